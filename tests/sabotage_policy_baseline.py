"""Named faults for the policy engine: its baseline rows in detail."""

from __future__ import annotations

from comity_policy import lowering, marking, rules
from comity_policy.predicates import baseline as baseline_predicates
from sabotage_tools import Fault, in_check, in_function, in_time_check, rewritten

BASELINE_FAULTS: dict[str, Fault] = {
    # Baseline rows in detail.
    "the digest is not compared": in_check(rules.Agreement, "profile.agreement_digest == digest and ", ""),
    "the id is not compared": in_check(rules.Agreement, " and profile.agreement_id == agreement_id", ""),
    "the office is ignored": in_function(baseline_predicates, "_matched", "_held(one.office, node.offices)", "HOLDS"),
    "the community is ignored": in_function(
        baseline_predicates, "_matched", "_held(one.community, node.communities)", "HOLDS"
    ),
    "the officer is ignored": in_function(
        baseline_predicates, "_matched", "_held(one.officer, node.officers)", "HOLDS"
    ),
    "whoever reads may be another officer": in_function(
        baseline_predicates, "_matched", "_read_by(one.officer, moment.reader) if asks_reader else HOLDS", "HOLDS"
    ),
    "the reader is asked at admission": in_function(
        lowering, "baseline", "asks_reader=point is Point.OPENING", "asks_reader=True"
    ),
    "an addressee that could not match lacks a fact": in_function(
        baseline_predicates, "_matched", "DENIED if DENIED in codes else max(codes)", "max(codes)"
    ),
    "a broker that is not known is waved through": in_check(rules.CarriedBy, "return MISSING", "return HOLDS"),
    "a broker nobody named carries": in_check(rules.CarriedBy, "broker in brokers", "True"),
    "a party may send to itself": in_function(lowering, "baseline", " or from_party == to_party", ""),
    "a stranger may receive": in_function(lowering, "baseline", "to_party not in document.parties or ", ""),
    "ill-formed labels are accepted": in_check(rules.WellMarked, "is_well_formed(label, codes)", "True"),
    "TLP:RED goes to a party": in_check(rules.WellMarked, "label.tlp is red", "False"),
    "TLP:RED goes to nobody": in_check(rules.WellMarked, " and not one.officer", ""),
    "TLP:RED needs the officers of everybody": in_check(rules.WellMarked, "one.party == to_party and ", ""),
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
