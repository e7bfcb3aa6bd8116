"""The attributes of a case: what conditions compare, by name. `values` has what they are worth in one case.

Rules in order:

1. Whether a fact is there is an attribute of its own, ``..._known``; where it is not, its value is neutral.
2. `ATTRIBUTES` is all there are in every agreement. A quota's window has some of its own, by the clause's id (`usage`).
3. An addressee, and what a node answers to, is a word: its party with office, community and officer, so that they can be
   compared as wholes. What a node may answer to has ``?`` for what is not known, on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from comity_policy.analysis.terms import Attribute, Owner, Sort
from comity_policy.facts import Kind, PersonalData, Precedence, Role, Use
from comity_policy.marking import OriginKind, Tlp

Value = bool | int | str | frozenset[str]
Values = Mapping[Attribute, Value]

ATTRIBUTES: list[Attribute] = []


def _attribute(owner: Owner, name: str, sort: Sort, domain: str = "", known: Attribute | None = None) -> Attribute:
    made = Attribute(owner, name, sort, domain, known)
    ATTRIBUTES.append(made)
    return made


def _fact(owner: Owner, name: str, sort: Sort, domain: str = "") -> tuple[Attribute, Attribute]:
    """Make the two attributes of a fact that may be missing: whether it is known, and its value."""
    known = _attribute(owner, f"{name}_known", Sort.TRUTH)
    return known, _attribute(owner, name, sort, domain, known)


_T, _N, _W, _S = Sort.TRUTH, Sort.NUMBER, Sort.WORD, Sort.WORDS
_NODE, _REPORT, _MOMENT = Owner.NODE, Owner.REPORT, Owner.MOMENT

# The recipient node.
VALID_KNOWN, VALID = _fact(_NODE, "valid", _T)
OFFICES_KNOWN, OFFICES = _fact(_NODE, "offices", _S, "office")
COMMUNITIES_KNOWN, COMMUNITIES = _fact(_NODE, "communities", _S, "community")
ANSWERS_TO = _attribute(_NODE, "answers_to", _S, "addressee")
MAY_ANSWER_TO = _attribute(_NODE, "may_answer_to", _S, "addressee")
NODE_REGION_KNOWN, NODE_REGION = _fact(_NODE, "region", _W, "region")
ACCREDITATION_LEVEL_KNOWN, ACCREDITATION_LEVEL = _fact(_NODE, "accreditation_level", _W, "recipient's level")
ACCREDITATION_UNTIL_KNOWN, ACCREDITATION_UNTIL = _fact(_NODE, "accreditation_until", _N)
OLDEST_KEY_SINCE_KNOWN, OLDEST_KEY_SINCE = _fact(_NODE, "oldest_key_since", _N)
OVERDUE_KNOWN, OVERDUE = _fact(_NODE, "overdue", _S, "clause")
CAPABILITIES_KNOWN, CAPABILITIES = _fact(_NODE, "capabilities", _S, "capability")

# The report and its portion.
AGREEMENT_ID = _attribute(_REPORT, "agreement_id", _W, "agreement")
AGREEMENT_DIGEST = _attribute(_REPORT, "agreement_digest", _W, "digest")
ADDRESSEES = _attribute(_REPORT, "addressees", _S, "addressee")
MAY_ADDRESS = _attribute(_REPORT, "may_address", _S, "addressee")
PARTIES_WITHOUT_OFFICER = _attribute(_REPORT, "parties_without_officer", _S, "party")
NAMED_OFFICERS = _attribute(_REPORT, "named_officers", _S, "named officer")
SUITE = _attribute(_REPORT, "suite", _N)
PRECEDENCE = _attribute(_REPORT, "precedence", _W, "precedence")
KIND = _attribute(_REPORT, "kind", _W, "kind")
CATEGORIES = _attribute(_REPORT, "categories", _S, "category")
PURPOSE = _attribute(_REPORT, "purpose", _W, "purpose")
EMERGENCY = _attribute(_REPORT, "emergency", _T)
APPROVALS_REQUIRED = _attribute(_REPORT, "approvals_required", _N)
CREATED_AT = _attribute(_REPORT, "created_at", _N)
NOT_BEFORE = _attribute(_REPORT, "not_before", _N)
EXPIRES_AT = _attribute(_REPORT, "expires_at", _N)
PERSONAL_DATA = _attribute(_REPORT, "personal_data", _W, "personal data")
PERSONS_KNOWN, PERSONS = _fact(_REPORT, "persons", _N)
WARN = _attribute(_REPORT, "warn", _T)
POLICY = _attribute(_REPORT, "policy", _W, "party")
CLASSIFICATION = _attribute(_REPORT, "classification", _W, "level")
DISSEMINATION = _attribute(_REPORT, "dissemination", _S, "dissemination")
RELEASABLE = _attribute(_REPORT, "releasable", _T)
RELEASABLE_TO = _attribute(_REPORT, "releasable_to", _S, "party", RELEASABLE)
DISPLAYABLE = _attribute(_REPORT, "displayable", _T)
DISPLAY_ONLY = _attribute(_REPORT, "display_only", _S, "party", DISPLAYABLE)
ORIGIN = _attribute(_REPORT, "origin", _W, "origin")
ORIGIN_PARTIES = _attribute(_REPORT, "origin_parties", _S, "party")
TLP = _attribute(_REPORT, "tlp", _W, "tlp")
RESTRICTED = _attribute(_REPORT, "restricted", _T)
RESTRICTION_ABSENT = _attribute(_REPORT, "restriction_absent", _T)
PERMISSIVE = _attribute(_REPORT, "permissive", _T)
PERMISSIVE_TO = _attribute(_REPORT, "permissive_to", _S, "party", PERMISSIVE)
CODES_WELL_WRITTEN = _attribute(_REPORT, "codes_well_written", _T)
TAGS_ASCENDING = _attribute(_REPORT, "tags_ascending", _T)
SUCCESSOR_SOUND = _attribute(_REPORT, "successor_sound", _T)

# The moment.
NOW = _attribute(_MOMENT, "now", _N)
BROKER_KNOWN, BROKER = _fact(_MOMENT, "broker", _W, "broker")
BROKER_REGION_KNOWN, BROKER_REGION = _fact(_MOMENT, "broker_region", _W, "region")
KEY_LOG_AGE_KNOWN, KEY_LOG_AGE = _fact(_MOMENT, "key_log_age", _N)
SENDER_ROLES_KNOWN, SENDER_ROLES = _fact(_MOMENT, "sender_roles", _S, "role")
DIRECT_KNOWN, DIRECT = _fact(_MOMENT, "direct", _T)
ONWARD_GRANT_KNOWN, ONWARD_GRANT = _fact(_MOMENT, "onward_grant", _T)
ADMITTED_AT_KNOWN, ADMITTED_AT = _fact(_MOMENT, "admitted_at", _N)
OPENING_PURPOSE_KNOWN, OPENING_PURPOSE = _fact(_MOMENT, "opening_purpose", _W, "purpose")
SENDER_KEY_SINCE_KNOWN, SENDER_KEY_SINCE = _fact(_MOMENT, "sender_key_since", _N)
SENDER_CAPABILITIES_KNOWN, SENDER_CAPABILITIES = _fact(_MOMENT, "sender_capabilities", _S, "capability")
EMERGENCY_DECLARED = _attribute(_MOMENT, "emergency_declared", _T)
HOPS_KNOWN, HOPS = _fact(_MOMENT, "hops", _N)
DISPUTED_KNOWN, DISPUTED = _fact(_MOMENT, "disputed", _T)
SIZE_KNOWN, SIZE = _fact(_MOMENT, "size", _N)
APPROVALS_KNOWN, APPROVALS = _fact(_MOMENT, "approvals", _N)
LOG_AVAILABLE_KNOWN, LOG_AVAILABLE = _fact(_MOMENT, "log_available", _T)
HELD = _attribute(_MOMENT, "held", _T)
USE_KNOWN, USE = _fact(_MOMENT, "use", _W, "use")
CONSENTS_KNOWN, CONSENTS = _fact(_MOMENT, "consents", _S, "use")
REGISTERED_KNOWN, REGISTERED = _fact(_MOMENT, "registered", _T)
CAVEATS_ACKNOWLEDGED_KNOWN, CAVEATS_ACKNOWLEDGED = _fact(_MOMENT, "caveats_acknowledged", _S, "clause")
RELABELLED_BY_KNOWN, RELABELLED_BY = _fact(_MOMENT, "relabelled_by", _W, "party")
READER_KNOWN = _attribute(_MOMENT, "reader_known", _T)
READER_ANSWERS_TO = _attribute(_MOMENT, "reader_answers_to", _S, "addressee")
READER_MAY_ANSWER_TO = _attribute(_MOMENT, "reader_may_answer_to", _S, "addressee")
READER_MAY_BE_ADDRESSED = _attribute(_MOMENT, "reader_may_be_addressed", _S, "addressee")
READER_OFFICER_KNOWN, READER_OFFICER = _fact(_MOMENT, "reader_officer", _W, "officer")
READER_OFFICES_KNOWN, READER_OFFICES = _fact(_MOMENT, "reader_offices", _S, "office")
READER_COMMUNITIES_KNOWN, READER_COMMUNITIES = _fact(_MOMENT, "reader_communities", _S, "community")
CLEARANCE_LEVEL_KNOWN, CLEARANCE_LEVEL = _fact(_MOMENT, "clearance_level", _W, "recipient's level")
CLEARANCE_UNTIL_KNOWN, CLEARANCE_UNTIL = _fact(_MOMENT, "clearance_until", _N)

# Domains whose words are all known beforehand.
CLOSED: Mapping[str, tuple[str, ...]] = {
    "precedence": tuple(one.name for one in Precedence),
    "kind": tuple(one.word for one in Kind),
    "origin": tuple(one.name for one in OriginKind),
    "personal data": tuple(one.name for one in PersonalData),
    "tlp": ("", *(one.name for one in Tlp)),
    "role": tuple(one.word for one in Role),
    "use": ("", *(one.value for one in Use)),
}


def usage(clause_id: str) -> tuple[Attribute, Attribute, Attribute]:
    """Give the attributes of a quota's window: whether it is known, and the reports and bytes it holds."""
    name = "usage_" + re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):x}_", clause_id)
    known = Attribute(Owner.MOMENT, f"{name}_known", Sort.TRUTH)
    return (
        known,
        Attribute(Owner.MOMENT, f"{name}_reports", Sort.NUMBER, known=known),
        Attribute(Owner.MOMENT, f"{name}_bytes", Sort.NUMBER, known=known),
    )
