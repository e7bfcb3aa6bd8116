"""Named faults for the policy engine, second half: in force, passing on, emergencies, and the kinds that ask more facts."""

from __future__ import annotations

from comity_policy import lowering, lowering_clauses, predicates, rules, sources
from comity_policy.predicates import handling, sharing, suspension
from sabotage_tools import Fault, in_check, in_function, in_lifting, in_method

KIND_FAULTS: dict[str, Fault] = {
    # In force
    "what is held is read on after the end without any survival": in_function(
        lowering, "_over", "(state.reason in _READ_ON_AFTER and survives)", "state.reason in _READ_ON_AFTER"
    ),
    "what survives lets nothing be read on": in_function(
        lowering, "_over", " or (state.reason in _READ_ON_AFTER and survives)", ""
    ),
    "a suspension stops what is held": in_function(lowering, "_over", 'state.reason == "SUSPENDED" or ', ""),
    "what is held is admitted again": in_function(lowering, "_over", "point is Point.OPENING and ", ""),
    "a first opening counts as held": in_check(rules.OnlyHeld, "moment.held is True", "True"),
    # Passing on
    "an originator nobody attests is told as a denial": in_check(
        rules.SentDirectly, "DENIED if direct is False else MISSING", "DENIED"
    ),
    "hops are not counted": in_check(rules.PassedOn, "1 <= hops <= max_hops and ", ""),
    "one hop more is allowed": in_check(rules.PassedOn, "hops <= max_hops", "hops <= max_hops + 1"),
    "the last hop is lost": in_check(rules.PassedOn, "hops <= max_hops", "hops < max_hops"),
    "no hop at all will do": in_check(rules.PassedOn, "1 <= hops", "0 <= hops"),
    "hops may be of any type": in_check(rules.PassedOn, "type(hops) is not int", "hops is None"),
    "a dispute stops nothing": in_check(rules.PassedOn, " and moment.disputed is False", ""),
    "a dispute nobody knows of is told as a denial": in_check(
        rules.PassedOn, "not all(isinstance(one, bool) for one in attested)", "False"
    ),
    "the originator's grant does not count for passing on": in_check(
        rules.PassedOn, "moment.onward_grant is True or ", ""
    ),
    "nothing needs the originator's consent": in_check(
        rules.PassedOn, "if not consented(profile, portion, moment):", "if False:"
    ),
    "a grant nobody attests is told as a denial": in_check(
        rules.PassedOn, "DENIED if grant is False else MISSING", "DENIED"
    ),
    "a pre-approval for tearlines is one for everything": in_check(
        rules.PassedOn, "(is_tearline or not tearline_only)", "True"
    ),
    "a pre-approval is for tearlines": in_check(rules.PassedOn, "or not tearline_only", ""),
    "a pre-approval of another category counts": in_check(rules.PassedOn, "covers(categories) and ", ""),
    "a pre-approval is not for what is below its category": in_function(
        lowering, "_pre_approved", "sources.below((one.category,), source.descendants)", "frozenset({one.category})"
    ),
    "a suspended onward clause grants": in_function(sources, "onward_grants", " and not own.suspends(one)", ""),
    "a suspended onward clause stops the originator": in_check(rules.SuspendedOnward, "moment.direct is False", "True"),
    "a suspended onward clause is named beside another": in_function(
        lowering_clauses, "suspended_grant", "() if sources.onward_grants(source) else ", ""
    ),
    "the fewest hops count": in_function(lowering, "passed_on", "max(clause.max_hops", "min(clause.max_hops"),
    # Emergencies
    "an emergency nobody declared lifts": in_lifting("lifted", " and moment.emergency_declared is True", ""),
    "an emergency the report does not name lifts": in_lifting("lifted", "bool(profile.emergency) and ", ""),
    "what is no warning goes on in an emergency": in_lifting("lifted_onward", "portion.warn is True and ", ""),
    "an emergency lifts nothing": in_method(
        lowering_clauses.Setting,
        lowering_clauses,
        "unless_lifted",
        "rules.UnlessLifted(test) if liftable else test",
        "test",
    ),
    "an emergency without a clause lifts": in_method(
        lowering_clauses.Setting,
        lowering_clauses,
        "unless_lifted",
        "rules.UnlessLifted(test) if liftable else test",
        "rules.UnlessLifted(test)",
    ),
    "a suspended emergency clause lifts": in_function(sources, "lifts", " and not own.suspends(one)", ""),
    "an emergency lifts to anybody": in_function(sources, "lifts", " and to_party in one.to", ""),
    "every emergency lifts the prior consent": in_function(sources, "lifts", " and (one.onward or not onward)", ""),
    "no emergency lifts the prior consent of ORCON": in_function(
        lowering_clauses,
        "originator_control",
        "sources.lifts(setting.source, setting.direction.to_party, onward=True)",
        "False",
    ),
    "no emergency lifts the prior consent to passing on": in_function(
        lowering, "passed_on", "sources.lifts(source, direction.to_party, onward=True)", "False"
    ),
    "an emergency lets an unknown level pass": in_function(
        lowering_clauses, "dual_control", "if isinstance(approved, rules.UnlessLifted)", "if False"
    ),
    # Suspension
    "a suspended clearance lets an uncleared reader have the unclassified": in_function(
        lowering_clauses, "covers", "Guard.ALWAYS if _asks_reader(setting, clause) else ", ""
    ),
    "a suspended embargo lets be opened too early": in_function(
        lowering_clauses, "covers", "Guard.NOT_YET if setting.is_opening else ", ""
    ),
    "a suspended personal-data clause stops everything": in_function(
        lowering_clauses, "covers", "return Guard.PERSONAL_DATA", "return Guard.ALWAYS"
    ),
    "a suspended reproduction stops reading": in_function(
        lowering_clauses, "covers", "return Guard.COPYING", "return Guard.ALWAYS"
    ),
    "a suspended reproduction lets pass what nobody knows the use of": in_function(
        suspension, "_covered", "not isinstance(moment.use, Use) or ", ""
    ),
    "a suspended acknowledgement stops IMMEDIATE": in_function(
        lowering_clauses, "covers", "return Guard.UNHURRIED", "return Guard.ALWAYS"
    ),
    "a suspended quota stops the other direction": in_function(
        lowering_clauses, "concerns", "return direction.has(clause)", "return True"
    ),
    # The reader's clearance
    "the reader is cleared for one level less": in_check(rules.ReaderCleared, "rank <= highest", "rank < highest"),
    "the reader's clearance never ends": in_check(rules.ReaderCleared, " and moment.now < until", ""),
    "a clearance counts at the moment it ends": in_check(
        rules.ReaderCleared, "moment.now < until", "moment.now <= until"
    ),
    "the reader is asked below the level": in_check(rules.ReaderCleared, "if rank < lowest:", "if False:"),
    "the reader is not asked at the level itself": in_check(rules.ReaderCleared, "rank < lowest", "rank <= lowest"),
    "a reader nobody knows is waved through": in_check(
        rules.ReaderCleared,
        "if not isinstance(reader, Reader):\n            return MISSING",
        "if not isinstance(reader, Reader):\n            return HOLDS",
    ),
    "the readers of every party's information are asked": in_function(
        lowering_clauses,
        "_asks_reader",
        "any(row.party == from_party for row in clause.officer_from)",
        "bool(clause.officer_from)",
    ),
    "only the reader's clearance counts": in_function(
        lowering_clauses,
        "clearance",
        "(rules.ReaderCleared(setting.table.covers, lowest), accredited)",
        "(rules.ReaderCleared(setting.table.covers, lowest),)",
    ),
    # Need to know
    "anybody needs to know": in_function(sharing, "_some", "DENIED if named.isdisjoint(held) else HOLDS", "HOLDS"),
    "an office nobody attests is told as a denial": in_function(sharing, "_some", "return MISSING", "return DENIED"),
    "an addressed officer does not count": in_check(rules.NeedsToKnow, "one.officer in officers", "False"),
    "a reading officer does not count": in_check(rules.NeedsToKnow, " or reader.officer in officers", ""),
    "everybody needs to know where nobody is named": in_function(
        lowering_clauses, "need_to_know", "return rules.Never()", "return rules.NotPassedOn()"
    ),
    "the sender's row says who needs to know": in_function(
        lowering_clauses, "need_to_know", "row.party == to_party", "row.party == setting.direction.from_party"
    ),
    # Personal data
    "personal data flow for any purpose": in_check(rules.PersonalDataFor, "purpose not in purposes or ", ""),
    "personal data are opened for any purpose": in_check(
        rules.PersonalDataFor, " or (asked_again and asked not in purposes)", ""
    ),
    "the opener of personal data states nothing": in_check(
        rules.PersonalDataFor,
        "if asked_again and not (isinstance(asked, str) and asked):\n            return MISSING",
        "if asked_again and not asked:\n            return HOLDS",
    ),
    "one person more": in_check(rules.PersonalDataFor, "persons > persons_max", "persons > persons_max + 1"),
    "one person fewer": in_check(rules.PersonalDataFor, "persons > persons_max", "persons >= persons_max"),
    "personal data of nobody": in_check(rules.PersonalDataFor, " or persons < 1", ""),
    "special categories always flow": in_check(
        rules.PersonalDataFor, " or (kind is PersonalData.SPECIAL and not special)", ""
    ),
    "special categories never flow": in_check(rules.PersonalDataFor, " and not special", ""),
    # Rows of levels
    "the row above counts": in_function(
        lowering_clauses, "rows_by_rank", "ranks[row.level] <= rank", "ranks[row.level] >= rank"
    ),
    "the lowest row counts": in_function(lowering_clauses, "rows_by_rank", "max(below", "min(below"),
    "another party's rows count": in_function(
        lowering_clauses, "rows_by_rank", " if row.party == setting.direction.from_party", ""
    ),
    "a row of an unknown level counts for nothing": in_function(
        lowering_clauses,
        "rows_by_rank",
        "if any(row.level not in ranks for row in own):\n        return None",
        "own = [row for row in own if row.level in ranks]",
    ),
    "the broker carries everything": in_check(rules.CarriedAs, "is broker else DENIED", "else DENIED"),
    "the broker carries nothing below the rows": in_check(rules.CarriedAs, "get(rank, broker)", "get(rank)"),
    # Copies
    "a copy nobody registers is made": in_check(rules.CopiedAs, "_true(moment.registered)", "HOLDS"),
    "consent to one use is consent to all": in_function(handling, "_consented", "use in consents", "consents"),
    "consent nobody attests is told as a denial": in_function(
        handling, "_consented", "return MISSING", "return DENIED"
    ),
    "what nobody attests is told as a denial": in_function(
        handling, "_true", "DENIED if attested is False else MISSING", "DENIED"
    ),
    "a translation is no copy": in_check(rules.CopiedAs, "use not in COPYING", "use is not Use.COPY"),
    "a use nobody states is reading": in_check(
        rules.CopiedAs,
        "if not isinstance(use, Use):\n            return MISSING",
        "if not isinstance(use, Use):\n            return HOLDS",
    ),
    "copies below every row need consent": in_check(
        rules.CopiedAs, "get(rank, Copies.FREE)", "get(rank, Copies.CONSENT)"
    ),
    # Quota
    "reports are not counted": in_check(rules.WithinQuota, "reports + 1 <= most_reports and ", ""),
    "one report too many": in_check(rules.WithinQuota, "reports + 1 <= most_reports", "reports <= most_reports"),
    "one report too few": in_check(rules.WithinQuota, "reports + 1 <= most_reports", "reports + 1 < most_reports"),
    "bytes are not counted": in_check(rules.WithinQuota, " and held + size <= most_bytes", ""),
    "this report's bytes are not counted": in_check(rules.WithinQuota, "held + size <=", "held <="),
    "one byte too few": in_check(rules.WithinQuota, "held + size <= most_bytes", "held + size < most_bytes"),
    "fewer than nothing counts": in_check(rules.WithinQuota, " and min(size, reports, held) >= 0", ""),
    "a truth value is a number of reports": in_check(
        rules.WithinQuota, "type(reports) is int", "isinstance(reports, int)"
    ),
    "a quota nobody counted is waved through": in_check(
        rules.WithinQuota,
        "if not isinstance(used, Usage):\n            return MISSING",
        "if not isinstance(used, Usage):\n            return HOLDS",
    ),
    # Dual control
    "one officer fewer": in_check(rules.ApprovedBy, "named >= officers", "named >= officers - 1"),
    "one officer more": in_check(rules.ApprovedBy, "named >= officers", "named > officers"),
    "the report need not ask for approvals": in_check(
        rules.ApprovedBy, " and profile.approvals_required >= officers", ""
    ),
    "what is no officer approves": in_check(
        rules.ApprovedBy, "sum(isinstance(one, str) for one in approvals)", "len(approvals)"
    ),
    "approvals are asked below the level": in_check(rules.ApprovedBy, "if rank < from_rank:", "if False:"),
    "approvals are not asked at the level itself": in_check(rules.ApprovedBy, "rank < from_rank", "rank <= from_rank"),
    "approvals nobody verified are told as a denial": in_check(
        rules.ApprovedBy,
        "if not isinstance(approvals, frozenset):\n            return MISSING",
        "if not isinstance(approvals, frozenset):\n            return DENIED",
    ),
    # Acknowledgements
    "overdue acknowledgements stop IMMEDIATE": in_check(rules.NotOverdue, "profile.precedence < stopped_from", "False"),
    "overdue acknowledgements never stop PRIORITY": in_check(rules.NotOverdue, "< stopped_from", "<= stopped_from"),
    "another clause's overdue acknowledgements stop": in_check(rules.NotOverdue, "clause_id in overdue", "overdue"),
    "what stops nothing stops": in_function(
        lowering_clauses, "clause_tests", "if clause.stop_after else ()", "if True else ()"
    ),
    "what nobody knows to be overdue is waved through": in_check(rules.NotOverdue, "return MISSING", "return HOLDS"),
    # Use
    "no caveat is acknowledged": in_check(rules.UsedAs, "HOLDS if clause_id in acknowledged else DENIED", "HOLDS"),
    "evidence is free": in_function(lowering_clauses, "use", "Use.EVIDENCE: clause.evidence, ", ""),
    "action is free": in_function(lowering_clauses, "use", ", Use.ACTION: clause.action_on", ""),
    "every use needs consent": in_check(rules.UsedAs, " if use in by_consent else HOLDS", ""),
    "a use or a caveat nobody knows is waved through": in_check(rules.UsedAs, "return MISSING", "return HOLDS"),
    # Capabilities
    "what the recipient can is not asked": in_check(rules.Enables, "floor <= of_node and ", ""),
    "what the sender can is not asked": in_check(rules.Enables, " and floor <= of_sender", ""),
    "one word of the floor will do": in_check(rules.Enables, "floor <= of_node", "not floor.isdisjoint(of_node)"),
    "a node must be able to do exactly the floor": in_check(rules.Enables, "floor <= of_node", "floor == of_node"),
    "a node that states nothing is waved through": in_check(rules.Enables, "return MISSING", "return HOLDS"),
    "a sender that states nothing is told as a denial": in_check(
        rules.Enables,
        "if not (isinstance(of_node, frozenset) and isinstance(of_sender, frozenset)):\n            return MISSING",
        "if not isinstance(of_node, frozenset):\n            return MISSING\n        if of_sender is None:\n            return DENIED",
    ),
    # Markings and the log
    "anybody changes a marking": in_check(rules.MarkedBy, "HOLDS if by in unchanged_or_own else DENIED", "HOLDS"),
    "the originator changes no marking": in_check(rules.MarkedBy, '("", test.party)', '("",)'),
    "a marking nobody knows who changed is waved through": in_check(rules.MarkedBy, "return MISSING", "return HOLDS"),
    "traffic never goes on without a log": in_function(
        lowering_clauses, "clause_tests", "if clause.on_failure is OnFailure.HALT else ()", "if True else ()"
    ),
    "traffic goes on without a log": in_check(rules.LogTakesEntries, "_true(moment.log_available)", "HOLDS"),
    "an emergency is not asked for": lambda patch: patch.setitem(
        predicates.BUILDERS, rules.UnlessLifted, lambda test: predicates.build(test.test)
    ),
}
