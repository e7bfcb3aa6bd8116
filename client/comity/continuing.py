"""CONTINUES: what a restored broker says of each of its logs, as the first entry of the log's next incarnation (designs 04 and 05).

Rules in order:
1. A statement of type ``log-continued`` under the broker's signing key. It names what LOG_OPENED names, anew (origin, log keys, place in
   the anchor log), and the log it continues: origin, the log_index of its first leaf, how many leaves were restored and their root.
2. `checkpoint` is that restored tree, signed by the keys of the log it belongs to: whoever has a longer tree of the same log holds the
   proof that entries were lost. `presented` are the newest checkpoints of that log which the broker was shown, as they were signed.
3. A log_index counts over all incarnations: the new log's first leaf is the entry after the last restored one. So does the
   agreement_sequence (0 in a log without an agreement).
4. It says nothing about what was lost: that stands in the mirrors of those who saw it (docs/adr/0023).

The form is closed: a key that is missing or undeclared refuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from comity.canonical import Json, is_hex
from comity.errors import MalformedError

TYPE: Final = "log-continued"
PRESENTED_LIMIT: Final = 4
NOTE_BYTES: Final = 6 << 10
VKEYS_LIMIT: Final = 4
_INCARNATION: Final = r"/[0-9a-f]{32}(?=(?:/exercise)?$)"
_ORIGIN: Final = re.compile(rf"[A-Za-z0-9./-]{{1,213}}{_INCARNATION}(?:/exercise)?")
_VKEY: Final = re.compile(r"[!-~]{1,8192}")
_LIMIT: Final = 1 << 53
_KEYS: Final = frozenset(
    [
        "type",
        "time",
        "origin",
        "log_vkeys",
        "anchor_slot",
        "anchor_key",
        "before",
        "checkpoint",
        "presented",
        "agreement_sequence",
    ]
)
_BEFORE: Final = frozenset({"origin", "first", "size", "root"})


@dataclass(frozen=True, slots=True)
class LeftLog:
    """The log that is continued: its origin, the log_index of its first leaf, and the tree that was restored."""

    origin: str
    first: int
    size: int
    root: bytes

    @property
    def end(self) -> int:
        """Give the log_index after its last restored entry."""
        return self.first + self.size


@dataclass(frozen=True, slots=True)
class Continued:
    """A CONTINUES statement; `time` in Unix milliseconds, `anchor_key` in hex, notes as they were signed."""

    time: int
    origin: str
    log_vkeys: tuple[str, ...]
    anchor_slot: int
    anchor_key: str
    before: LeftLog
    checkpoint: bytes
    presented: tuple[bytes, ...] = ()
    agreement_sequence: int = 0

    @property
    def first(self) -> int:
        """Give the log_index of the entry that holds it."""
        return self.before.end

    def to_body(self) -> dict[str, object]:
        """Give the object the broker signs; raises MalformedError for one that could not be read."""
        body: dict[str, object] = {
            "type": TYPE,
            "time": self.time,
            "origin": self.origin,
            "log_vkeys": list(self.log_vkeys),
            "anchor_slot": self.anchor_slot,
            "anchor_key": self.anchor_key,
            "before": {
                "origin": self.before.origin,
                "first": self.before.first,
                "size": self.before.size,
                "root": self.before.root.hex(),
            },
            "checkpoint": self.checkpoint.hex(),
            "presented": [one.hex() for one in self.presented],
            "agreement_sequence": self.agreement_sequence,
        }
        Continued.from_body(body)
        return body

    @classmethod
    def from_body(cls, body: Mapping[str, object]) -> Continued:
        """Read the object of a statement; raises MalformedError."""
        before, vkeys, presented = body.get("before"), body.get("log_vkeys"), body.get("presented")
        listed = isinstance(vkeys, list) and isinstance(presented, list)
        if (
            set(body) != _KEYS
            or body["type"] != TYPE
            or not isinstance(before, dict)
            or set(before) != _BEFORE
            or not listed
        ):
            raise MalformedError("a statement that continues a log has another form")
        if not isinstance(vkeys, list) or not isinstance(presented, list) or len(presented) > PRESENTED_LIMIT:
            raise MalformedError(f"a continued log names at most {PRESENTED_LIMIT} checkpoints that were presented")
        if not 1 <= len(vkeys) <= VKEYS_LIMIT:
            raise MalformedError("a continued log names its keys")
        left = LeftLog(
            _text(before, "origin", _ORIGIN),
            _number(before, "first"),
            _number(before, "size"),
            _hex(before["root"], 32, 32),
        )
        found = cls(
            time=_number(body, "time"),
            origin=_text(body, "origin", _ORIGIN),
            log_vkeys=tuple(_matching(one, "log_vkeys", _VKEY) for one in vkeys),
            anchor_slot=_number(body, "anchor_slot"),
            anchor_key=_hex(body["anchor_key"], 32, 32).hex(),
            before=left,
            checkpoint=_hex(body["checkpoint"], 1, NOTE_BYTES),
            presented=tuple(_hex(one, 1, NOTE_BYTES) for one in presented),
            agreement_sequence=_number(body, "agreement_sequence"),
        )
        if not left.size or left.end >= _LIMIT:
            raise MalformedError("a continued log follows a log that has entries")
        if left.origin == found.origin or _log_of(left.origin) != _log_of(found.origin):
            raise MalformedError("a log is continued by another incarnation of the same log")
        return found


def _number(body: Mapping[str, Json] | Mapping[str, object], key: str) -> int:
    value = body[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LIMIT:
        raise MalformedError(f"{key!r} of a continued log is no number below 2^53")
    return value


def _text(body: Mapping[str, Json] | Mapping[str, object], key: str, shape: re.Pattern[str]) -> str:
    return _matching(body[key], key, shape)


def _matching(value: object, key: str, shape: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not shape.fullmatch(value):
        raise MalformedError(f"{key!r} of a continued log has another form")
    return value


def _hex(value: object, least: int, most: int) -> bytes:
    if not isinstance(value, str) or not is_hex(value) or not least <= len(value) // 2 <= most:
        raise MalformedError("bytes of a continued log are lower-case hexadecimal of a bounded length")
    return bytes.fromhex(value)


def _log_of(origin: str) -> str:
    """Give an origin without its incarnation: what is the same in all of a log's."""
    return re.sub(_INCARNATION, "", origin)
