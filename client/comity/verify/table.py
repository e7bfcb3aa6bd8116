"""Canonical JSON, and the closed tables of the audit (design of audit, "Events"): what a body may hold, and whose statements.

Of bodies it is the verifier's own copy of the broker's tables, kind -> parts -> keys -> shapes; a test compares them. A key has one shape
wherever it stands; ``?`` allows null, or empty text for hex. Undeclared keys and kinds refuse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from comity.verify.records import FormError, require

_TABLE: Final = """
agreement  LOG_OPENED: STEP statements origin log_vkeys anchor_slot anchor_key |
agreement  AGREEMENT_PROPOSED AGREEMENT_COUNTERED AGREEMENT_INITIALLED AGREEMENT_REVIEWED AGREEMENT_OBJECTED AGREEMENT_SIGNED
           AGREEMENT_COMPLETED AGREEMENT_RECEIVED AGREEMENT_ACCEDED AGREEMENT_AMENDED AGREEMENT_NOTED AGREEMENT_RENEWED
           AGREEMENT_RENEWAL_OBJECTED AGREEMENT_NOTICE_GIVEN AGREEMENT_WITHDRAWN AGREEMENT_SUSPENDED AGREEMENT_RESUMED
           AGREEMENT_CAVEAT_WITHDRAWN DISPUTE_OPENED DISPUTE_CLOSED: STEP statement |
agreement  CONTINUES LOG_CONFIRMED: STEP statement |
agreement  AGREEMENT_CAVEAT_ADDED: STEP statement | caveat salt
agreement  UMBRELLA_CHANGED: CALL state_epoch umbrella umbrella_origin umbrella_log_index |
agreement  EXERCISE_FOLLOWS: CALL state_epoch agreement agreement_origin agreement_log_index |
agreement  SUBMIT_ACCEPTED SUBMIT_REJECTED: CALL received_at key_log_size state_epoch class origin_epoch first_origin_sequence segment_id
           slots first_agreement_sequence count records agreement_digest engine under duplicates
           refusals | decisions attested
agreement  ABANDONED: CALL key_log_size class origin_epoch first_origin_sequence count statement |
agreement  HELD HELD_CONFIRMED HELD_WITHDRAWN: time | actor certificate request recipient segments reason
agreement  PARKED PARKED_REPLAYED PARKED_DROPPED: time | actor certificate request recipient consumer segments reason
agreement  DELIVERED: time | certificate request recipient consumer session segments
agreement  REPLAYED: time | certificate request recipient consumer since from_log_index segments
agreement  ACKNOWLEDGED: time key_log_size | certificate request recipient consumer ack signature
agreement  EXPIRED: time | recipient segments
agreement  RECALLED SUPERSEDED: time | actor certificate request recipient segments report_id leaf
agreement  ID_REUSED: time | actor certificate request report_id leaf known_leaf known_log_index
agreement  EMERGENCY_DECLARED REVIEWED BREACH_OPENED BREACH_UPDATED BREACH_CLOSED MEASURES_ATTESTED CONTACT_SET: STEP statement |
agreement  SHREDDED RETURNED HOLDER_RELEASED CORRECTION_ASKED DATA_CORRECTED READ ACTIONED: time key_log_size | actor certificate request agreement agreement_digest statement
agreement  DUTY_DUE DUTY_OVERDUE DUTY_DONE DUTY_MISSED: time | duties
agreement  KEY_REVOKED: CALL statement state_epoch key_log_index |
keys       KEY_ENROLLED KEY_ROTATED KEY_REVOKED CAPABILITIES_STATED: CALL statement |
operations AUTHN_FAILED: time certificate peer identity reason count since |
operations AUTHZ_DENIED: CALL action agreement reason |
operations ADMIN_ACTION: CALL action object outcome |
operations CLOCK_STEPPED: time before after |
operations REJECTED: CALL agreement object ranges reason |
keys operations LOG_OPENED: time origin log_vkeys broker |
keys operations CONTINUES: time statement |
agreement keys FORK_SEEN: CALL object seen own |
agreement keys operations LOG_FROZEN: CALL reason |
agreement keys operations AUDIT_FAILURE: time reason |
"""
SHARED: Final = "shared"
# The keys that name a lane and its place, the terms of a log that parties sign, and the keys of the statement in a CONTINUES.
LANE: Final = ("origin_epoch", "class", "first_origin_sequence")
TERMS: Final = ("agreement", "origin", "log_vkeys", "anchor_slot", "anchor_key")
CONTINUED: Final = {*TERMS[1:], "type", "time", "before", "checkpoint", "presented", "agreement_sequence"}
# In the order of their numbers in records.
ROLES: Final = """none node liaison release-authority legal-reviewer duty-officer security-authority plenipotentiary auditor
    operator"""
SUBMITS: Final = ("SUBMIT_ACCEPTED", "SUBMIT_REJECTED")
_CASES: Final = ("liaison", "security-authority", "plenipotentiary")
_HANDLING: Final = (
    "liaison",
    "release-authority",
    "legal-reviewer",
    "duty-officer",
    "security-authority",
    "plenipotentiary",
)
_CORRECTING: Final = ("liaison", "legal-reviewer", "release-authority")
# Per kind of entry that holds an act: the types of statement it may hold, with the roles of officers who may take each.
ACTS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "EMERGENCY_DECLARED": {"emergency-declaration": ("duty-officer",)},
    "REVIEWED": {
        "emergency-review": ("liaison", "release-authority", "plenipotentiary"),
        "personal-data-review": ("legal-reviewer", "release-authority"),
    },
    "SHREDDED": {"destruction-certificate": ("liaison", "security-authority")},
    "RETURNED": {"destruction-certificate": ("liaison", "security-authority")},
    "HOLDER_RELEASED": {"holder-release": ("release-authority", "plenipotentiary")},
    "CORRECTION_ASKED": {"correction-asked": _CORRECTING},
    "DATA_CORRECTED": {"data-corrected": _CORRECTING},
    "BREACH_OPENED": {"breach-open": _CASES},
    "BREACH_UPDATED": {"breach-update": _CASES},
    "BREACH_CLOSED": {"breach-close": _CASES},
    "MEASURES_ATTESTED": {"measures-attest": ("security-authority",)},
    "CONTACT_SET": {"contact-set": _CASES},
    "READ": {"report-read": _HANDLING},
    "ACTIONED": {"report-actioned": _HANDLING},
}
_LIAISON: Final = ("liaison", "plenipotentiary")
_REVIEWER: Final = ("legal-reviewer",)
_FULL: Final = ("plenipotentiary",)
_CAVEATS: Final = ("release-authority", "security-authority", "plenipotentiary")
# The types of step that a kind of entry may hold, and the roles that may take them.
STEPS: Final = {
    "LOG_OPENED": (("log-opened",), _FULL),
    "LOG_CONFIRMED": (("log-confirmed",), _LIAISON),
    "AGREEMENT_PROPOSED": (("propose",), _LIAISON),
    "AGREEMENT_COUNTERED": (("counter",), _LIAISON),
    "AGREEMENT_INITIALLED": (("initial",), _LIAISON),
    "AGREEMENT_REVIEWED": (("review", "review-clauses"), _REVIEWER),
    "AGREEMENT_OBJECTED": (("object",), _REVIEWER),
    "AGREEMENT_SIGNED": (("sign",), _FULL),
    "AGREEMENT_COMPLETED": (("notify-completion",), _LIAISON),
    "AGREEMENT_RECEIVED": (("receive",), _LIAISON),
    "AGREEMENT_ACCEDED": (("accede",), _FULL),
    "AGREEMENT_AMENDED": (("amend",), _LIAISON),
    "AGREEMENT_NOTED": (("notes",), ("liaison", *_CAVEATS)),
    "AGREEMENT_RENEWED": (("renew",), _FULL),
    "AGREEMENT_RENEWAL_OBJECTED": (("object-renewal",), _FULL),
    "AGREEMENT_NOTICE_GIVEN": (("notice",), _FULL),
    "AGREEMENT_WITHDRAWN": (("withdraw",), _FULL),
    "AGREEMENT_SUSPENDED": (("suspend",), _LIAISON),
    "AGREEMENT_RESUMED": (("resume",), _LIAISON),
    "AGREEMENT_CAVEAT_ADDED": (("caveat-add",), _CAVEATS),
    "AGREEMENT_CAVEAT_WITHDRAWN": (("caveat-withdraw",), _CAVEATS),
    "DISPUTE_OPENED": (("dispute-open",), _LIAISON),
    "DISPUTE_CLOSED": (("dispute-close",), _LIAISON),
}
TABLE: Final[dict[str, dict[str, tuple[frozenset[str], ...]]]] = {"agreement": {}, "keys": {}, "operations": {}}
for _kinds, _keys in re.findall(r"^(\w[^:]*):((?:.|\n )*)$", _TABLE, re.MULTILINE):
    _keys = _keys.replace("STEP", "CALL key_log_size state_epoch agreement agreement_digest")
    _keys = _keys.replace("CALL", "time actor certificate request")
    for _log in TABLE.keys() & set(_kinds.split()):
        for _kind in set(_kinds.split()) - TABLE.keys():
            TABLE[_log][_kind] = tuple(frozenset(part.split()) for part in _keys.split("|"))
_SHAPES: Final = """{
"actor": {"party": "text", "node": "text", "officer": "text"}, "recipient": {"party": "text", "node": "text"},
"segments": [{"segment_id": "hex48", "slots": "pairs", "attempt": "int"}],
"decisions": [{"slots": "pairs", "profile": "hex48?", "content": "hex", "times": [["int"]], "moment": {"now": "int", "broker": "text?", "broker_region": "text?",
  "key_log_age": "signed?", "sender_roles": "texts?", "sender_key_since": "int?", "sender_capabilities": "texts?", "direct": "bool?", "onward_grant": "bool",
  "size": "int?", "usage": "usages?", "approvals": "texts?", "log_available": "bool?", "emergency_declared": "bool",
  "hops": "int?", "disputed": "bool?"},
  "recipients": [{"party": "text", "node": "text", "portions": ["int"],
    "violations": [{"clause": "text", "reason": "text", "portions": ["int"]}], "facts": "int"}]}],
"attested": [{"region": "text?", "offices": ["text"], "communities": ["text"], "accreditation_level": "text?",
  "accreditation_until": "int?", "oldest_key_since": "int?", "valid": "bool?", "officers": "texts?", "overdue": "texts?", "capabilities": "texts?"}],
"under": {"vocabularies": "hex48", "umbrella": "text", "umbrella_digest": "hex48?",
  "state": {"in_force": "bool", "reason": "text", "suspended_clauses": ["text"], "unbound": ["text"]},
  "umbrella_state": {"in_force": "bool", "reason": "text", "suspended_clauses": ["text"], "unbound": ["text"]},
  "caveats": [{"party": "text", "id": "text", "digest": "hex48"}]},
"statement": {"body": "hex", "signatures": [{"key": "hex48", "signature": "hex"}]},
"duties": [{"duty": "text", "kind": "text", "clause": "text", "owner": "text", "subject": "text", "due": "int", "done": "int?"}],
"seen": {"incarnation": "hex16", "size": "int", "root": "hex32"},
"log_vkeys": ["text"], "duplicates": "pairs", "refusals": "pairs", "ranges": "pairs", "anchor_key": "hex32", "caveat": "hex", "salt": "hex32",
"certificate": "hex48?", "request": "hex16?", "ack": "hex", "signature": "hex"}"""
_PLAIN: Final = {
    "int": """time received_at key_log_size key_log_index known_log_index state_epoch class first_origin_sequence slots
        first_agreement_sequence count anchor_slot umbrella_log_index agreement_log_index since from_log_index before after""",
    "text": "engine consumer reason agreement origin broker peer identity action object outcome umbrella umbrella_origin agreement_origin",
    "hex48": "segment_id records agreement_digest leaf known_leaf",
    "hex16": "origin_epoch session report_id",
}
SHAPES: Final[dict[str, Any]] = json.loads(_SHAPES) | {
    key: word for word, keys in _PLAIN.items() for key in keys.split()
}
SHAPES.update(statements=[SHAPES["statement"]], own=SHAPES["seen"])


def read_body(log: str, kind: str, part: str, body: bytes) -> dict[str, Any]:
    """Read one part's body of an entry of a ``agreement``, ``keys`` or ``operations`` log; empty bytes give an empty object.

    Raises FormError for undeclared kinds and keys, values of another shape, and bytes that are not canonical.
    """
    require(kind in TABLE[log], f"{kind} is no event of the {log} log")
    value = read_json(body) if body else {}
    declared = TABLE[log][kind][part != SHARED]
    require(isinstance(value, dict) and set(value) in (set(), declared), f"{kind}: undeclared or missing keys ({part})")
    odd = [key for key, item in value.items() if not fits(key, item)]
    require(not odd, f"{kind}: {', '.join(odd)} not of the shape declared")
    return dict(value)


def fits(key: str, value: Any) -> bool:
    """Say whether a value has the shape that its key has in `SHAPES`."""
    return _CHECKS[key](value)


def slots_of(ranges: Iterable[list[int]]) -> list[int]:
    """Give the slots that ascending, disjoint [first, last] ranges name; raises FormError."""
    slots: list[int] = []
    for first, last in ranges:
        require((slots[-1] + 1 if slots else 0) <= first <= last < 256, "ranges of slots do not ascend")
        slots += range(first, last + 1)
    return slots


_TYPES: Final = {"bool": (bool,), "text": (str,)}


def _check_of(shape: Any) -> Callable[[Any], bool]:
    """Give what says whether a value has a shape: a shape is looked at once, its values a million times."""
    if isinstance(shape, dict):
        return _keyed(shape.keys(), tuple((key, _check_of(one)) for key, one in shape.items()))
    if isinstance(shape, list):
        return _each(_check_of(shape[0]))
    word = shape.rstrip("?")
    check = _plain(word)
    if word == shape:
        return check
    if word.startswith("hex"):
        return lambda value: value == "" or check(value)
    if word in _TYPES:
        types = (*_TYPES[word], type(None))
        return lambda value: isinstance(value, types)
    return lambda value: value is None or check(value)


def _keyed(keys: Collection[str], checks: Sequence[tuple[str, Callable[[Any], bool]]]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, dict) or value.keys() != keys:
            return False
        for key, one in checks:  # noqa: SIM110 - a generator would cost more than what it asks
            if not one(value[key]):
                return False
        return True

    return check


def _each(one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(one, value))


def _plain(word: str) -> Callable[[Any], bool]:
    match word:
        case "bool" | "text":
            types = _TYPES[word]
            return lambda value: isinstance(value, types)
        case "signed":
            return lambda value: isinstance(value, int) and not isinstance(value, bool)
        case "int":
            return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0
        case "texts":
            return _check_of(["text"])
        case "usages":
            return _check_of([{"clause": "text", "reports": "int", "size": "int"}])
        case "pairs":
            numbers = _check_of(["int"])
            return lambda value: isinstance(value, list) and all(numbers(pair) and len(pair) == 2 for pair in value)
    size = word.removeprefix("hex")
    length = 2 * int(size) if size else None
    return lambda value: isinstance(value, str) and length in {None, len(value)} and _is_hex(value)


_CHECKS: Final = {key: _check_of(shape) for key, shape in SHAPES.items()}


def _is_hex(text: str) -> bool:
    try:
        return bytes.fromhex(text).hex() == text
    except ValueError:
        return False


def read_json(data: bytes, limit: int = 1 << 20) -> Any:
    """Read canonical JSON (RFC 8785 without floats, integers below 2^53), checked by encoding again; raises FormError."""
    try:
        value = json.loads(data, parse_float=_no_number, parse_constant=_no_number) if len(data) <= limit else ...
        again = json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise FormError("not canonical JSON, or over its limit") from error
    require(again == data, "JSON that is not in canonical form")
    return value


def _no_number(word: str) -> None:
    raise FormError(f"{word} is no integer")


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _sorted(value[name]) for name in sorted(value, key=lambda n: n.encode("utf-16-be", "surrogatepass"))
        }
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    require(not isinstance(value, int) or abs(value) < 1 << 53, "an integer is not below 2^53")
    return value
