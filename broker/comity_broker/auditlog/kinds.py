"""The closed table of audit events: kind -> parts -> keys -> shapes (design of audit, "Events").

Rules in order:
1. A body is one object in canonical JSON, or no bytes at all where a part has nothing to say. Its action is the entry's kind.
2. `TABLE` says for each kind of log which kinds of event it may hold, and for each which keys the shared body has and which a
   party's own body has: exactly these, or none at all. Undeclared keys and kinds refuse.
3. A key has one shape wherever it stands (`SHAPES`).
4. What names a recipient stands in the own bodies of originator and recipient only, the same in both; what all parties must be
   able to check (numbers, roots, signed steps) stands in the shared body.

The offline verifier has its own copy of both tables; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from comity import canonical
from comity.canonical import INTEGER_LIMIT, Json, is_hex
from comity.errors import MalformedError

BODY_LIMIT: Final = 1 << 20
SHARED: Final = "shared"

Shape = str | list["Shape"] | dict[str, "Shape"]


class LogKind(StrEnum):
    """Which of a broker's logs: the word that stands in its origin."""

    AGREEMENT = "agreement"
    KEYS = "keys"
    OPERATIONS = "operations"


class EventKind(StrEnum):
    """What happened."""

    LOG_OPENED = "LOG_OPENED"
    LOG_FROZEN = "LOG_FROZEN"
    CONTINUES = "CONTINUES"
    LOG_CONFIRMED = "LOG_CONFIRMED"
    AUDIT_FAILURE = "AUDIT_FAILURE"
    SUBMIT_ACCEPTED = "SUBMIT_ACCEPTED"
    SUBMIT_REJECTED = "SUBMIT_REJECTED"
    ABANDONED = "ABANDONED"
    HELD = "HELD"
    HELD_CONFIRMED = "HELD_CONFIRMED"
    HELD_WITHDRAWN = "HELD_WITHDRAWN"
    DELIVERED = "DELIVERED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    REPLAYED = "REPLAYED"
    PARKED = "PARKED"
    PARKED_REPLAYED = "PARKED_REPLAYED"
    PARKED_DROPPED = "PARKED_DROPPED"
    EXPIRED = "EXPIRED"
    RECALLED = "RECALLED"
    SUPERSEDED = "SUPERSEDED"
    ID_REUSED = "ID_REUSED"
    FORK_SEEN = "FORK_SEEN"
    AGREEMENT_PROPOSED = "AGREEMENT_PROPOSED"
    AGREEMENT_COUNTERED = "AGREEMENT_COUNTERED"
    AGREEMENT_INITIALLED = "AGREEMENT_INITIALLED"
    AGREEMENT_REVIEWED = "AGREEMENT_REVIEWED"
    AGREEMENT_OBJECTED = "AGREEMENT_OBJECTED"
    AGREEMENT_SIGNED = "AGREEMENT_SIGNED"
    AGREEMENT_COMPLETED = "AGREEMENT_COMPLETED"
    AGREEMENT_RECEIVED = "AGREEMENT_RECEIVED"
    AGREEMENT_ACCEDED = "AGREEMENT_ACCEDED"
    AGREEMENT_AMENDED = "AGREEMENT_AMENDED"
    AGREEMENT_NOTED = "AGREEMENT_NOTED"
    AGREEMENT_RENEWED = "AGREEMENT_RENEWED"
    AGREEMENT_RENEWAL_OBJECTED = "AGREEMENT_RENEWAL_OBJECTED"
    AGREEMENT_NOTICE_GIVEN = "AGREEMENT_NOTICE_GIVEN"
    AGREEMENT_WITHDRAWN = "AGREEMENT_WITHDRAWN"
    AGREEMENT_SUSPENDED = "AGREEMENT_SUSPENDED"
    AGREEMENT_RESUMED = "AGREEMENT_RESUMED"
    AGREEMENT_CAVEAT_ADDED = "AGREEMENT_CAVEAT_ADDED"
    AGREEMENT_CAVEAT_WITHDRAWN = "AGREEMENT_CAVEAT_WITHDRAWN"
    DISPUTE_OPENED = "DISPUTE_OPENED"
    DISPUTE_CLOSED = "DISPUTE_CLOSED"
    UMBRELLA_CHANGED = "UMBRELLA_CHANGED"
    EXERCISE_FOLLOWS = "EXERCISE_FOLLOWS"
    EMERGENCY_DECLARED = "EMERGENCY_DECLARED"
    REVIEWED = "REVIEWED"
    SHREDDED = "SHREDDED"
    RETURNED = "RETURNED"
    HOLDER_RELEASED = "HOLDER_RELEASED"
    CORRECTION_ASKED = "CORRECTION_ASKED"
    DATA_CORRECTED = "DATA_CORRECTED"
    BREACH_OPENED = "BREACH_OPENED"
    BREACH_UPDATED = "BREACH_UPDATED"
    BREACH_CLOSED = "BREACH_CLOSED"
    MEASURES_ATTESTED = "MEASURES_ATTESTED"
    CONTACT_SET = "CONTACT_SET"
    READ = "READ"
    ACTIONED = "ACTIONED"
    DUTY_DUE = "DUTY_DUE"
    DUTY_OVERDUE = "DUTY_OVERDUE"
    DUTY_DONE = "DUTY_DONE"
    DUTY_MISSED = "DUTY_MISSED"
    KEY_ENROLLED = "KEY_ENROLLED"
    KEY_ROTATED = "KEY_ROTATED"
    KEY_REVOKED = "KEY_REVOKED"
    CAPABILITIES_STATED = "CAPABILITIES_STATED"
    AUTHN_FAILED = "AUTHN_FAILED"
    AUTHZ_DENIED = "AUTHZ_DENIED"
    ADMIN_ACTION = "ADMIN_ACTION"
    CLOCK_STEPPED = "CLOCK_STEPPED"
    REJECTED = "REJECTED"


_NODE: Final[dict[str, Shape]] = {"party": "text", "node": "text"}
_STATEMENT: Final[Shape] = {"body": "hex", "signatures": [{"key": "hex48", "signature": "hex"}]}
_SEEN: Final[Shape] = {"incarnation": "hex16", "size": "int", "root": "hex32"}
_MOMENT: Final[Shape] = {
    "now": "int",
    "broker": "text?",
    "broker_region": "text?",
    "key_log_age": "signed?",
    "sender_roles": "texts?",
    "sender_key_since": "int?",
    "sender_capabilities": "texts?",
    "direct": "bool?",
    "onward_grant": "bool",
    "size": "int?",
    "usage": "usages?",
    "approvals": "texts?",
    "log_available": "bool?",
    "emergency_declared": "bool",
    "hops": "int?",
    "disputed": "bool?",
}
_USAGE: Final[Shape] = {"clause": "text", "reports": "int", "size": "int"}
_STATE: Final[Shape] = {"in_force": "bool", "reason": "text", "suspended_clauses": ["text"], "unbound": ["text"]}
_UNDER: Final[Shape] = {
    "vocabularies": "hex48",
    "state": _STATE,
    "umbrella": "text",
    "umbrella_digest": "hex48?",
    "umbrella_state": _STATE,
    "caveats": [{"party": "text", "id": "text", "digest": "hex48"}],
}
_FACTS: Final[Shape] = {
    "region": "text?",
    "offices": ["text"],
    "communities": ["text"],
    "accreditation_level": "text?",
    "accreditation_until": "int?",
    "oldest_key_since": "int?",
    "valid": "bool?",
    "officers": "texts?",
    "overdue": "texts?",
    "capabilities": "texts?",
}
_RECIPIENT: Final[Shape] = {
    "party": "text",
    "node": "text",
    "facts": "int",
    "portions": ["int"],
    "violations": [{"clause": "text", "reason": "text", "portions": ["int"]}],
}

_DUTY: Final[Shape] = {
    "duty": "text",
    "kind": "text",
    "clause": "text",
    "owner": "text",
    "subject": "text",
    "due": "int",
    "done": "int?",
}

_INTEGERS: Final = """time received_at key_log_size key_log_index known_log_index state_epoch class first_origin_sequence slots
    first_agreement_sequence count anchor_slot umbrella_log_index agreement_log_index since from_log_index before
    after"""
_WORDS: Final = """engine consumer reason agreement origin broker peer identity action object outcome umbrella umbrella_origin
    agreement_origin"""

SHAPES: Final[Mapping[str, Shape]] = {
    **dict.fromkeys(_INTEGERS.split(), "int"),
    **dict.fromkeys(_WORDS.split(), "text"),
    **dict.fromkeys(("segment_id", "records", "agreement_digest", "leaf", "known_leaf"), "hex48"),
    **dict.fromkeys(("origin_epoch", "session", "report_id"), "hex16"),
    "anchor_key": "hex32",
    "caveat": "hex",
    "salt": "hex32",
    "certificate": "hex48?",
    "request": "hex16?",
    "ack": "hex",
    "signature": "hex",
    "log_vkeys": ["text"],
    "duplicates": "pairs",
    "refusals": "pairs",
    "ranges": "pairs",
    "actor": {**_NODE, "officer": "text"},
    "recipient": _NODE,
    "segments": [{"segment_id": "hex48", "slots": "pairs", "attempt": "int"}],
    "decisions": [
        {
            "slots": "pairs",
            "profile": "hex48?",
            "content": "hex",
            "times": [["int"]],
            "moment": _MOMENT,
            "recipients": [_RECIPIENT],
        }
    ],
    "attested": [_FACTS],
    "under": _UNDER,
    "duties": [_DUTY],
    "statement": _STATEMENT,
    "statements": [_STATEMENT],
    "seen": _SEEN,
    "own": _SEEN,
}

_CALL: Final = "actor certificate request"
_SUBMIT: Final = (
    f"time {_CALL} received_at key_log_size state_epoch class origin_epoch first_origin_sequence segment_id slots "
    "first_agreement_sequence count records agreement_digest engine under duplicates refusals"
)
_STEP: Final = f"time {_CALL} key_log_size state_epoch agreement agreement_digest"
_STEP_KINDS: Final = """AGREEMENT_PROPOSED AGREEMENT_COUNTERED AGREEMENT_INITIALLED AGREEMENT_REVIEWED AGREEMENT_OBJECTED
    AGREEMENT_SIGNED AGREEMENT_COMPLETED AGREEMENT_RECEIVED AGREEMENT_ACCEDED AGREEMENT_AMENDED AGREEMENT_NOTED AGREEMENT_RENEWED
    AGREEMENT_RENEWAL_OBJECTED AGREEMENT_NOTICE_GIVEN AGREEMENT_WITHDRAWN AGREEMENT_SUSPENDED AGREEMENT_RESUMED
    AGREEMENT_CAVEAT_WITHDRAWN DISPUTE_OPENED DISPUTE_CLOSED"""
_ACT_KINDS: Final = (
    "EMERGENCY_DECLARED REVIEWED BREACH_OPENED BREACH_UPDATED BREACH_CLOSED MEASURES_ATTESTED CONTACT_SET"
)
_REPORT_ACT_KINDS: Final = "SHREDDED RETURNED HOLDER_RELEASED CORRECTION_ASKED DATA_CORRECTED READ ACTIONED"
_DUTY_KINDS: Final = "DUTY_DUE DUTY_OVERDUE DUTY_DONE DUTY_MISSED"
_KEY: Final = f"time {_CALL} statement"
_PARKED: Final = f"{_CALL} recipient consumer segments reason"
_HELD: Final = f"{_CALL} recipient segments reason"
_TAKEN_BACK: Final = f"{_CALL} recipient segments report_id leaf"
_FROZEN: Final = f"time {_CALL} reason"
_FORK: Final = f"time {_CALL} object seen own"

_ROWS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "agreement": {
        "LOG_OPENED": (f"{_STEP} statements origin log_vkeys anchor_slot anchor_key", ""),
        "CONTINUES": (f"{_STEP} statement", ""),
        "LOG_CONFIRMED": (f"{_STEP} statement", ""),
        "LOG_FROZEN": (_FROZEN, ""),
        "AUDIT_FAILURE": ("time reason", ""),
        "SUBMIT_ACCEPTED": (_SUBMIT, "decisions attested"),
        "SUBMIT_REJECTED": (_SUBMIT, "decisions attested"),
        "ABANDONED": (f"time {_CALL} key_log_size class origin_epoch first_origin_sequence count statement", ""),
        "HELD": ("time", _HELD),
        "HELD_CONFIRMED": ("time", _HELD),
        "HELD_WITHDRAWN": ("time", _HELD),
        "DELIVERED": ("time", "certificate request recipient consumer session segments"),
        "ACKNOWLEDGED": ("time key_log_size", "certificate request recipient consumer ack signature"),
        "REPLAYED": ("time", "certificate request recipient consumer since from_log_index segments"),
        "PARKED": ("time", _PARKED),
        "PARKED_REPLAYED": ("time", _PARKED),
        "PARKED_DROPPED": ("time", _PARKED),
        "EXPIRED": ("time", "recipient segments"),
        "RECALLED": ("time", _TAKEN_BACK),
        "SUPERSEDED": ("time", _TAKEN_BACK),
        "ID_REUSED": ("time", f"{_CALL} report_id leaf known_leaf known_log_index"),
        "FORK_SEEN": (_FORK, ""),
        **dict.fromkeys(_STEP_KINDS.split(), (f"{_STEP} statement", "")),
        "AGREEMENT_CAVEAT_ADDED": (f"{_STEP} statement", "caveat salt"),
        "UMBRELLA_CHANGED": (f"time {_CALL} state_epoch umbrella umbrella_origin umbrella_log_index", ""),
        "EXERCISE_FOLLOWS": (f"time {_CALL} state_epoch agreement agreement_origin agreement_log_index", ""),
        **dict.fromkeys(_ACT_KINDS.split(), (f"{_STEP} statement", "")),
        **dict.fromkeys(
            _REPORT_ACT_KINDS.split(), ("time key_log_size", f"{_CALL} agreement agreement_digest statement")
        ),
        **dict.fromkeys(_DUTY_KINDS.split(), ("time", "duties")),
        "KEY_REVOKED": (f"{_KEY} state_epoch key_log_index", ""),
    },
    "keys": {
        "LOG_OPENED": ("time origin log_vkeys broker", ""),
        "CONTINUES": ("time statement", ""),
        "LOG_FROZEN": (_FROZEN, ""),
        "AUDIT_FAILURE": ("time reason", ""),
        "FORK_SEEN": (_FORK, ""),
        "KEY_ENROLLED": (_KEY, ""),
        "KEY_ROTATED": (_KEY, ""),
        "KEY_REVOKED": (_KEY, ""),
        "CAPABILITIES_STATED": (_KEY, ""),
    },
    "operations": {
        "LOG_OPENED": ("time origin log_vkeys broker", ""),
        "CONTINUES": ("time statement", ""),
        "LOG_FROZEN": (_FROZEN, ""),
        "AUDIT_FAILURE": ("time reason", ""),
        "AUTHN_FAILED": ("time certificate peer identity reason count since", ""),
        "AUTHZ_DENIED": (f"time {_CALL} action agreement reason", ""),
        "ADMIN_ACTION": (f"time {_CALL} action object outcome", ""),
        "CLOCK_STEPPED": ("time before after", ""),
        "REJECTED": (f"time {_CALL} agreement object ranges reason", ""),
    },
}

_KINDS: Final = frozenset(EventKind)
TABLE: Final[Mapping[LogKind, Mapping[EventKind, tuple[frozenset[str], frozenset[str]]]]] = {
    LogKind(log): {
        EventKind(kind): (frozenset(shared.split()), frozenset(own.split())) for kind, (shared, own) in rows.items()
    }
    for log, rows in _ROWS.items()
}


def log_kind_of(origin: str) -> LogKind:
    """Give which kind of log an origin names; raises MalformedError."""
    words = origin.split("/")
    try:
        return LogKind(words[1] if len(words) > 2 else "")
    except ValueError:
        raise MalformedError(f"{origin!r} is not the origin of a log of this release") from None


def read_body(log: LogKind, kind: str, part: str, body: bytes) -> dict[str, Json]:
    """Read one part's body of an entry of that kind; empty bytes give an empty object.

    Raises MalformedError for a kind or key that the table does not declare, for a value of another shape, for bytes that are
    not canonical, and for more than 1 MiB.
    """
    keys = TABLE[log].get(EventKind(kind)) if kind in _KINDS else None
    if keys is None:
        raise MalformedError(f"{kind!r} is no event of the {log.value} log")
    if not body:
        return {}
    value = canonical.load_object(body, limit=BODY_LIMIT)
    wanted = keys[0] if part == SHARED else keys[1]
    if set(value) != wanted:
        odd = ", ".join(sorted(set(value) ^ wanted)[:8])
        raise MalformedError(f"{kind}: the {part} body misses or does not declare {odd}")
    for key, item in value.items():
        if not has_shape(item, SHAPES[key]):
            raise MalformedError(f"{kind}: {key!r} has not the shape it must have")
    return value


def has_shape(value: Json, shape: Shape) -> bool:
    """Say whether a value has a shape of `SHAPES`."""
    if isinstance(shape, dict):
        return (
            isinstance(value, dict) and set(value) == set(shape) and all(has_shape(value[k], shape[k]) for k in shape)
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(has_shape(item, shape[0]) for item in value)
    return _has_plain_shape(value, shape)


def _has_plain_shape(value: Json, shape: str) -> bool:
    word = shape.rstrip("?")
    if word != shape and value == ("" if word.startswith("hex") else None):
        return True
    match word:
        case "bool":
            return isinstance(value, bool)
        case "int" | "signed":
            least = 0 if word == "int" else -INTEGER_LIMIT
            return isinstance(value, int) and not isinstance(value, bool) and value >= least
        case "text":
            return isinstance(value, str)
        case "texts":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case "usages":
            return isinstance(value, list) and all(has_shape(item, _USAGE) for item in value)
        case "pairs":
            return isinstance(value, list) and all(
                isinstance(pair, list) and len(pair) == 2 and all(_has_plain_shape(item, "int") for item in pair)
                for pair in value
            )
        case _:
            size = word.removeprefix("hex")
            return isinstance(value, str) and is_hex(value) and size in ("", str(len(value) // 2))
