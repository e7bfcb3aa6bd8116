"""Named faults for the policy engine, put in one at a time by rewriting a function of it in memory.

A test that claims to check the engine must find every one of them. A fault names a place in the source that must be there
exactly once, so a fault whose place has moved fails loudly instead of testing nothing. The shipped code has no switch for
any of this.
"""

from __future__ import annotations

from comity_policy import clauses as kinds
from comity_policy import engine, lowering, marking, predicates, rules
from comity_policy.decision import Baseline, Reason
from comity_policy.facts import Point
from comity_policy.predicates import baseline as baseline_predicates
from comity_policy.predicates import clauses as clause_predicates
from sabotage_tools import (
    Fault,
    in_check,
    in_controlled,
    in_function,
    in_method,
    in_time_check,
    rewritten,
    skipped_clause,
    skipped_row,
    undecided_at,
)

_DECIDED = (
    kinds.Scope,
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
)

FAULTS: dict[str, Fault] = {
    **{f"the {kind.__struct_config__.tag} clause is skipped": skipped_clause(kind) for kind in _DECIDED},
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
        "ranks.get(label.classification)",
        "ranks.get(label.classification, 0)",
    ),
    "clauses left to another point are not told": in_function(
        lowering, "deferred", "point not in clause.points", "False"
    ),
    "an article is left to another point": in_function(lowering, "deferred", "clause.points and ", ""),
    # Suspension.
    "a suspended requirement is dropped": in_function(
        lowering, "clause_tests", "return (rules.Suspended(covers(clause)),)", "return ()"
    ),
    "a suspended requirement holds as before": in_function(
        lowering, "clause_tests", "if is_suspended(source.state, clause):", "if False:"
    ),
    "a suspended grant still grants": in_function(
        lowering, "grants", "is_suspended(source.state, clause) is suspended", "not suspended"
    ),
    "a suspended grant is named though another applies": in_check(
        rules.SuspendedGrant, " or any(_applies(other, profile) for other in others)", ""
    ),
    "a protective clause can be suspended": in_function(lowering, "is_suspended", "clause.suspendable and ", ""),
    "a suspended clearance stops the unclassified": in_function(
        lowering, "covers", "return Guard.CLASSIFIED", "return Guard.ALWAYS"
    ),
    "a suspended releasability stops the neutral": in_function(
        lowering, "covers", "return Guard.CONTROLLED", "return Guard.ALWAYS"
    ),
    "a suspended releasability lets the unclassified with a control pass": in_function(
        lowering, "covers", "return Guard.CONTROLLED", "return Guard.CLASSIFIED"
    ),
    "a suspended embargo stops what has none": in_function(
        lowering, "covers", "return Guard.EMBARGOED", "return Guard.ALWAYS"
    ),
    "a suspended precedence clause stops ROUTINE": in_function(
        lowering, "covers", "return Guard.URGENT", "return Guard.ALWAYS"
    ),
    "a suspended precedence clause lets IMMEDIATE pass": in_function(
        clause_predicates, "_covered", "in {Precedence.FLASH, Precedence.IMMEDIATE}", "is Precedence.FLASH"
    ),
    # Grants.
    "grants and limits of the other direction count": in_method(
        lowering.Direction,
        lowering,
        "has",
        "one.from_party == self.from_party and one.to_party == self.to_party",
        "one.to_party == self.from_party and one.from_party == self.to_party",
    ),
    "grants and limits to anybody count": in_method(
        lowering.Direction, lowering, "has", " and one.to_party == self.to_party", ""
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
        lowering, "_grant", "vocabularies.descendants(category)", "frozenset({category})"
    ),
    "a category grants what stands above it": in_function(
        lowering, "_grant", "vocabularies.descendants(category)", "frozenset(vocabularies.lineage(category))"
    ),
    # Ranks and tables.
    "the ceiling excludes its own level": in_check(rules.RankAtMost, "rank <= limit", "rank < limit"),
    "an unknown rank is below every ceiling": in_check(
        rules.RankAtMost,
        "return MISSING",
        "return HOLDS",
    ),
    "a direction without a limit has no ceiling": in_function(
        lowering, "ceiling", "return rules.Never()", "return rules.RankAtMost(99)"
    ),
    "an old table stays in use": in_function(lowering, "tables", "reverse=True", "reverse=False"),
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
        lowering, "_table", "for rank, (_, level) in rows}", "for rank, (_, level) in reversed(rows)}"
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
        rules.Released, "return DENIED if _controlled(label, rank) else HOLDS", "return HOLDS"
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
    "an unclassified portion is never neutral": in_check(rules.Released, "_controlled(label, rank)", "True"),
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
        lowering, "clause_tests", "asked_again=point is Point.OPENING", "asked_again=True"
    ),
    # Residency.
    "only the broker's region counts": in_check(rules.RestsIn, " and at_node in regions", ""),
    "only the node's region counts": in_check(rules.RestsIn, "at_broker in regions and ", ""),
    "one allowed region is enough": in_check(
        rules.RestsIn, "at_broker in regions and at_node", "at_broker in regions or at_node"
    ),
    "a region that is not attested is waved through": in_check(rules.RestsIn, "return MISSING", "return HOLDS"),
    "the recipient's regions count": in_function(
        lowering, "clause_tests", "clause.regions[direction.from_party]", "clause.regions.get(direction.to_party, ())"
    ),
    "a party without regions may rest anywhere": in_function(
        lowering, "clause_tests", "else rules.Never()", "else rules.NotPassedOn()"
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
        lowering, "suites", "as_admitted=point is Point.OPENING", "as_admitted=False"
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
    # Baseline rows in detail.
    "the digest is not compared": in_check(rules.Agreement, "profile.agreement_digest == digest and ", ""),
    "the id is not compared": in_check(rules.Agreement, " and profile.agreement_id == agreement_id", ""),
    "the office is ignored": in_check(rules.Addressed, "_held(one.office, node.offices)", "HOLDS"),
    "the community is ignored": in_check(rules.Addressed, "_held(one.community, node.communities)", "HOLDS"),
    "an addressee that names an officer matches": in_check(rules.Addressed, "not one.officer", "True"),
    "a broker that is not known is waved through": in_check(rules.CarriedBy, "return MISSING", "return HOLDS"),
    "a broker nobody named carries": in_check(rules.CarriedBy, "broker in brokers", "True"),
    "a party may send to itself": in_function(lowering, "baseline", " or from_party == to_party", ""),
    "a stranger may receive": in_function(lowering, "baseline", "to_party not in document.parties or ", ""),
    "ill-formed labels are accepted": in_check(rules.WellMarked, "is_well_formed(label, codes)", "True"),
    "TLP:RED goes to a party": in_check(rules.WellMarked, "label.tlp is red", "False"),
    "a classified portion needs no disclosure marking": in_check(rules.WellMarked, "rank != 0", "False"),
    "an unclassified portion needs a disclosure marking": in_check(rules.WellMarked, "rank != 0", "True"),
    "RELIDO is no disclosure marking": in_check(
        rules.WellMarked,
        "not has_disclosure_marking(label)",
        "(not has_disclosure_marking(label) or 'RELIDO' in label.dissemination)",
    ),
    "the quick look at a label's form is too quick": lambda patch: patch.setattr(
        baseline_predicates,
        "is_well_formed",
        rewritten(marking.is_well_formed, marking, "label.policy in released", "True"),
    ),
    "the quick look at a label's form does not read the codes": lambda patch: patch.setattr(
        baseline_predicates,
        "is_well_formed",
        rewritten(marking.is_well_formed, marking, "and released <= codes", ""),
    ),
    "a report without purpose or categories is waved through": in_check(
        rules.KnownWords, "return MISSING", "return HOLDS"
    ),
    "an unknown level is known": in_check(rules.KnownWords, "rank is None or ", ""),
    "a label of another policy is known": in_check(rules.KnownWords, "label.policy != policy or ", ""),
    "an unknown purpose is known": in_check(rules.KnownWords, "purpose not in purposes or ", ""),
    "an unknown category is known": in_check(rules.KnownWords, " or not known_categories(categories)", ""),
    "an unknown dissemination word is known": in_check(rules.KnownWords, "words <= DISSEMINATION", "True"),
    "an unknown party in REL TO is known": in_check(rules.KnownWords, "released <= parties", "True"),
    "an unknown party in DISPLAY ONLY is known": in_check(rules.KnownWords, "displayed <= parties", "True"),
    "an unknown origin is known": in_check(rules.KnownWords, "origins <= parties", "True"),
    "an absent permissive set is everybody": in_check(
        rules.CategoryAccess,
        "one.values is None or party not in one.values",
        "one.values is not None and party not in one.values",
    ),
    "an empty permissive set is everybody": in_check(
        rules.CategoryAccess, "party not in one.values", "(one.values and party not in one.values)"
    ),
    "a restrictive set is not read": in_check(rules.CategoryAccess, "return MISSING", "continue"),
    "an absent restrictive set asks nothing": in_check(
        rules.CategoryAccess, "if one.values is None:\n                    code = DENIED", "pass"
    ),
    "an informative set shuts out": in_check(rules.CategoryAccess, "one.kind != CategoryKind.INFORMATIVE and ", ""),
    "an embargo before creation is in order": in_time_check("created_at <= times.not_before and ", ""),
    "no embargo at all is out of order": in_time_check(
        "created_at <= times.not_before", "created_at < times.not_before"
    ),
    "a report may be over when it is made": in_time_check(
        "created_at < times.expires_at", "created_at <= times.expires_at"
    ),
    "an expired report is admitted": in_check(
        rules.InTime, "created_at < times.expires_at > now", "created_at < times.expires_at"
    ),
    "an expired report is opened": in_check(
        rules.InTime, "created_at < times.expires_at > moment.now", "created_at < times.expires_at"
    ),
    "a report is admitted at the moment it expires": in_check(
        rules.InTime, "times.expires_at > now", "times.expires_at >= now"
    ),
    "a report of any age is admitted": in_check(rules.InTime, "now - oldest <= created_at", "True"),
    "the oldest report is too old": in_check(rules.InTime, "now - oldest <= created_at", "now - oldest < created_at"),
    "a report of tomorrow is admitted": in_check(rules.InTime, " <= now + ahead", ""),
    "the farthest clock is too far": in_check(rules.InTime, "created_at <= now + ahead", "created_at < now + ahead"),
    "the clock window is asked at opening": in_function(
        lowering, "baseline", "rules.InTime(point is not Point.OPENING,", "rules.InTime(True,"
    ),
    "nothing stands in for a missing releasability clause": in_function(
        lowering, "baseline", "if Releasability not in kinds:", "if False:"
    ),
    "nothing stands in for a missing embargo clause": in_function(
        lowering, "baseline", "if Embargo not in kinds", "if False"
    ),
    "nothing stands in for a missing originator-control clause": in_function(
        lowering, "baseline", "OriginatorControl not in kinds and", "False and"
    ),
    "originator control is decided at egress": in_function(lowering, "baseline", " and point is not Point.EGRESS", ""),
}
