"""Named faults for the policy engine, put in one at a time by rewriting a function of it in memory.

A test that claims to check the engine must find every one of them. A fault names a place in the source that must be there
exactly once, so a fault whose place has moved fails loudly instead of testing nothing. The shipped code has no switch for
any of this.
"""

from __future__ import annotations

from comity_policy import clauses as kinds
from comity_policy import engine, lowering, lowering_clauses, predicates, rules, sources
from comity_policy.decision import Baseline, Reason
from comity_policy.facts import Point
from comity_policy.predicates import baseline as baseline_predicates
from comity_policy.predicates import suspension
from sabotage_policy_baseline import BASELINE_FAULTS
from sabotage_policy_kinds import KIND_FAULTS
from sabotage_tools import (
    Fault,
    compiled_anew,
    in_check,
    in_controlled,
    in_function,
    in_method,
    skipped_clause,
    skipped_row,
    undecided_at,
)

_DECIDED = (
    kinds.Scope,
    kinds.Onward,
    kinds.NeedToKnow,
    kinds.PersonalDataRule,
    kinds.Channel,
    kinds.Reproduction,
    kinds.Quota,
    kinds.DualControl,
    kinds.Acknowledge,
    kinds.UseRule,
    kinds.Relabel,
    kinds.Audit,
    kinds.Ceiling,
    kinds.Clearance,
    kinds.Releasability,
    kinds.OriginatorControl,
    kinds.Purpose,
    kinds.Residency,
    kinds.Retention,
    kinds.Embargo,
    kinds.PrecedenceRule,
    kinds.Suites,
    kinds.Capabilities,
)

_FAULTS: dict[str, Fault] = {
    **{f"the {kind.__struct_config__.tag} clause is skipped": skipped_clause(kind) for kind in _DECIDED},
    **BASELINE_FAULTS,
    **KIND_FAULTS,
    **{f"{row} is skipped": skipped_row(row) for row in Baseline},
    **{f"nothing is decided at {point.name.lower()}": undecided_at(point) for point in Point},
    # The whole set, in order, with its reasons.
    "only the first violation is told": in_method(
        engine.CompiledAgreement,
        engine,
        "decide",
        "violations.append(by_code[code])",
        "violations = violations or [by_code[code]]",
    ),
    "clauses stand before the baseline": in_method(
        engine.CompiledAgreement, engine, "decide", "tuple(violations)", "tuple(violations[::-1])"
    ),
    "a missing fact is told as a denial": lambda patch: patch.setitem(
        engine._REASONS, predicates.MISSING, Reason.DENIED
    ),
    "an unknown level is unclassified": in_method(
        engine.CompiledAgreement,
        engine,
        "decide",
        "ranks.get(portion.label.classification)",
        "ranks.get(portion.label.classification, 0)",
    ),
    "clauses left to another point are not told": in_function(
        lowering, "deferred", "point not in clause.points", "False"
    ),
    "an article is left to another point": in_function(lowering, "deferred", "clause.points and ", ""),
    # Suspension.
    "a suspended requirement is dropped": in_function(
        lowering_clauses, "clause_tests", "return (rules.Suspended(covers(setting, clause)),)", "return ()"
    ),
    "a suspended requirement holds as before": in_function(
        lowering_clauses, "clause_tests", "if setting.layer.suspends(clause):", "if False:"
    ),
    "a suspended grant still grants": in_function(
        sources, "grants", "own.suspends(clause) is suspended", "not suspended"
    ),
    "a suspended grant is named though another applies": in_check(
        rules.SuspendedGrant, " or any(_applies(other, profile) for other in others)", ""
    ),
    "a protective clause can be suspended": in_method(
        sources.Layer, sources, "suspends", "clause.suspendable and ", ""
    ),
    "a suspended clearance stops the unclassified": in_function(
        lowering_clauses, "covers", "else Guard.CLASSIFIED", "else Guard.ALWAYS"
    ),
    "a suspended releasability stops the neutral": in_function(
        lowering_clauses, "covers", "return Guard.CONTROLLED", "return Guard.ALWAYS"
    ),
    "a suspended releasability lets the unclassified with a control pass": in_function(
        lowering_clauses, "covers", "return Guard.CONTROLLED", "return Guard.CLASSIFIED"
    ),
    "a suspended embargo stops what has none": in_function(
        lowering_clauses, "covers", "else Guard.EMBARGOED", "else Guard.ALWAYS"
    ),
    "a suspended precedence clause stops ROUTINE": in_function(
        lowering_clauses, "covers", "return Guard.URGENT", "return Guard.ALWAYS"
    ),
    "a suspended precedence clause lets IMMEDIATE pass": in_function(
        suspension,
        "_covered",
        "precedence in {Precedence.FLASH, Precedence.IMMEDIATE}",
        "precedence is Precedence.FLASH",
    ),
    # Grants.
    "grants and limits of the other direction count": in_method(
        sources.Direction,
        sources,
        "has",
        "one.from_party == self.from_party and one.to_party == self.to_party",
        "one.to_party == self.from_party and one.from_party == self.to_party",
    ),
    "grants and limits to anybody count": in_method(
        sources.Direction, sources, "has", " and one.to_party == self.to_party", ""
    ),
    "one granted category grants the report": in_check(
        rules.Granted, "covers(categories)", "any(covers((one,)) for one in categories)"
    ),
    "several grants are added up": in_check(
        rules.Granted,
        "if kind in kinds and covers(categories):",
        "if all(any(kind in k and c((one,)) for k, c in grants) for one in categories):",
    ),
    "a grant ignores the kind of message": in_check(rules.Granted, "kind in kinds and ", ""),
    "a report without categories is granted": in_check(rules.Granted, "if categories:", "if True:"),
    "a category does not grant its descendants": in_function(
        sources, "_grant", "below(clause.categories, descendants)", "frozenset(clause.categories)"
    ),
    "a category grants what stands above it": in_function(
        sources, "_descendants", "found[above].add(category)", "found[category].add(above)"
    ),
    # Ranks and tables.
    "the ceiling excludes its own level": in_check(rules.RankAtMost, "rank <= limit", "rank < limit"),
    "an unknown rank is below every ceiling": in_check(
        rules.RankAtMost,
        "return MISSING",
        "return HOLDS",
    ),
    "a direction without a limit has no ceiling": in_function(
        lowering_clauses, "ceiling", "return rules.Never()", "return rules.RankAtMost(99)"
    ),
    "an old table stays in use": in_function(sources, "tables", "reverse=True", "reverse=False"),
    "a table begins a moment late": in_method(
        engine.CompiledAgreement,
        engine,
        "_program",
        "program.begins_at <= created_at",
        "program.begins_at < created_at",
    ),
    "a table applies before it begins": in_method(
        engine.CompiledAgreement, engine, "_program", "program.begins_at <= created_at", "True"
    ),
    "an accreditation covers its lowest row only": in_function(
        sources, "_table", "for rank, (_, level) in rows)", "for rank, (_, level) in reversed(rows))"
    ),
    "an accreditation excludes its own level": in_check(rules.Accredited, "rank <= highest", "rank < highest"),
    "an accreditation counts at the moment it ends": in_check(
        rules.Accredited, "moment.now < until", "moment.now <= until"
    ),
    "an accreditation never ends": in_check(rules.Accredited, " and moment.now < until", ""),
    "the unclassified needs an accreditation": in_check(rules.Accredited, "if rank == 0:", "if False:"),
    "an accreditation that is not attested is waved through": in_check(
        rules.Accredited,
        "if rank is None or level is None or type(until) is not int:\n            return MISSING",
        "if rank is None or level is None or type(until) is not int:\n            return HOLDS",
    ),
    "an unknown accreditation is waved through": in_check(
        rules.Accredited,
        "if highest is None:\n            return MISSING",
        "if highest is None:\n            return HOLDS",
    ),
    # Releasability.
    "releasable to the originator is releasable to all": in_check(
        rules.Released, "party in released_to", "label.policy in released_to"
    ),
    "unmarked is releasable": in_check(
        rules.Released, "return DENIED if controlled(label, rank) else HOLDS", "return HOLDS"
    ),
    "REL TO and DISPLAY ONLY are united": in_check(
        rules.Released,
        "released_to = label.releasable_to",
        "released_to = (label.releasable_to or frozenset()) | (label.display_only or frozenset()) or None",
    ),
    "RELIDO releases": in_check(
        rules.Released,
        "released_to = label.releasable_to",
        "released_to = {party} if 'RELIDO' in label.dissemination else label.releasable_to",
    ),
    "an unclassified portion with a dissemination word is neutral": in_controlled("bool(label.dissemination)", "False"),
    "an unclassified portion with DISPLAY ONLY is neutral": in_controlled("label.display_only is not None", "False"),
    "a classified portion without a control is neutral": in_controlled("rank != 0", "False"),
    "an unclassified portion is never neutral": in_check(rules.Released, "controlled(label, rank)", "True"),
    "national-only with a list goes out": in_check(
        rules.NotNationalOnly,
        "_NATIONAL_ONLY in label.dissemination",
        "_NATIONAL_ONLY in label.dissemination and label.releasable_to is None",
    ),
    # Originator control.
    "ORCON is not read": in_check(rules.NotPassedOn, "_ORCON not in label.dissemination", "True"),
    "ORCON stops the originator": in_check(rules.NotPassedOn, "moment.direct is True or ", ""),
    "a grant for that very report does not count": in_check(rules.NotPassedOn, " or moment.onward_grant is True", ""),
    "everything is ORCON": in_check(rules.NotPassedOn, "_ORCON not in label.dissemination or ", ""),
    # Purpose.
    "any purpose will do": in_check(rules.PurposeAmong, "purpose in purposes", "True"),
    "the opener's purpose is not asked": in_check(
        rules.PurposeAmong, "(asked_again and not moment.opening_purpose)", "False"
    ),
    "the opener may have another allowed purpose": in_check(
        rules.PurposeAmong, "moment.opening_purpose != purpose", "moment.opening_purpose not in purposes"
    ),
    "the opener's purpose is asked of the sender": in_function(
        lowering_clauses, "clause_tests", "asked_again=setting.is_opening", "asked_again=True"
    ),
    # Residency.
    "only the broker's region counts": in_check(rules.RestsIn, " and at_node in regions", ""),
    "only the node's region counts": in_check(rules.RestsIn, "at_broker in regions and ", ""),
    "one allowed region is enough": in_check(
        rules.RestsIn, "at_broker in regions and at_node", "at_broker in regions or at_node"
    ),
    "a region that is not attested is waved through": in_check(rules.RestsIn, "return MISSING", "return HOLDS"),
    "the recipient's regions count": in_function(
        lowering_clauses,
        "clause_tests",
        "clause.regions[direction.from_party]",
        "clause.regions.get(direction.to_party, ())",
    ),
    "a party without regions may rest anywhere": in_function(
        lowering_clauses, "clause_tests", "else rules.Never()", "else rules.NotPassedOn()"
    ),
    # Retention and embargo.
    "the longest keeping is one moment too short": in_check(
        rules.ExpiresWithin, "times.expires_at <= times", "times.expires_at < times"
    ),
    "keeping is counted from the embargo": in_check(
        rules.ExpiresWithin, "times.created_at + longest", "times.not_before + longest"
    ),
    "the last moment to open is lost": in_check(rules.OpenedWithin, "moment.now <= admitted", "moment.now < admitted"),
    "keeping is counted from the sender's time at opening": in_check(
        rules.OpenedWithin, "admitted_at + longest", "_t.created_at + longest"
    ),
    "an admission that is not logged is waved through": in_check(rules.OpenedWithin, "return MISSING", "return HOLDS"),
    "an embargo may last to the end": in_check(rules.EmbargoEnds, "not_before < times", "not_before <= times"),
    "an embargo lasts a moment too long": in_check(rules.EmbargoOver, "now >= times", "now > times"),
    "an embargo is over when the report expires": in_check(rules.EmbargoOver, "times.not_before", "times.expires_at"),
    # Precedence and suites.
    "anybody may send urgently": in_check(rules.SentBy, "if precedence >= free_from:", "if True:"),
    "PRIORITY needs a role": in_check(rules.SentBy, "precedence >= free_from", "precedence > free_from"),
    "roles for IMMEDIATE may send FLASH": in_check(
        rules.SentBy, "flash if precedence == most_urgent else immediate", "flash | immediate"
    ),
    "roles that are not attested are waved through": in_check(rules.SentBy, "return MISSING", "return HOLDS"),
    "any suite will do": in_check(rules.SealedWith, "profile.suite in allowed", "True"),
    "the sender's key may be old": in_check(
        rules.SealedWith, "0 <= used_at - sender_since <= oldest_key", "0 <= used_at - sender_since"
    ),
    "the recipient's key may be old": in_check(
        rules.SealedWith, "0 <= used_at - node_since <= oldest_key", "0 <= used_at - node_since"
    ),
    "a key of the oldest age is too old": in_check(
        rules.SealedWith, "used_at - sender_since <= oldest_key", "used_at - sender_since < oldest_key"
    ),
    "the sender's key may begin in the future": in_check(
        rules.SealedWith, "0 <= used_at - sender_since <=", "used_at - sender_since <="
    ),
    "the recipient's key may begin in the future": in_check(
        rules.SealedWith, "0 <= used_at - node_since <=", "used_at - node_since <="
    ),
    "the key log may be stale": in_check(rules.SealedWith, "0 <= view_age <= oldest_view", "0 <= view_age"),
    "a key-log view of the oldest age is stale": in_check(
        rules.SealedWith, "view_age <= oldest_view", "view_age < oldest_view"
    ),
    "keys that are not attested are waved through": in_check(rules.SealedWith, "return MISSING", "return HOLDS"),
    "at opening keys are as old as now": in_function(
        lowering_clauses, "suites", "as_admitted=point is Point.OPENING", "as_admitted=False"
    ),
    # Facts of a wrong type.
    "the end of an accreditation may be of any type": in_check(
        rules.Accredited, "type(until) is not int", "until is None"
    ),
    "the age of a key-log view may be of any type": in_check(
        rules.SealedWith, "type(view_age) is int", "view_age is not None"
    ),
    "roles may be of any type": in_check(rules.SentBy, "not isinstance(roles, frozenset)", "roles is None"),
    "a region may be of any type": in_check(
        rules.RestsIn, "isinstance(at_broker, str) and isinstance(at_node, str)", "at_broker and at_node"
    ),
    "an opener's purpose of a wrong type is told as a denial": in_check(
        rules.PurposeAmong, "DENIED if isinstance(moment.opening_purpose, str) else MISSING", "DENIED"
    ),
    "a sender nobody attests is told as a denial": in_check(
        rules.NotPassedOn, "DENIED if all(one is False for one in attested) else MISSING", "DENIED"
    ),
    "a node nobody attests is told as a denial": in_check(
        rules.NodeValid, "DENIED if valid is False else MISSING", "DENIED"
    ),
    "a broker may be of any type": in_check(rules.CarriedBy, "not isinstance(broker, str)", "broker is None"),
    "an admission may be logged at any type of time": in_check(
        rules.OpenedWithin, "type(admitted_at) is not int", "admitted_at is None"
    ),
    "an office is looked for in whatever there is": in_function(
        baseline_predicates, "_held", "not isinstance(held, frozenset)", "held is None"
    ),
}

FAULTS: dict[str, Fault] = {name: compiled_anew(fault) for name, fault in _FAULTS.items()}
