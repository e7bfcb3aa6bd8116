"""What the builders of audit events share: the event itself, who called, runs of slots, and bodies as canonical bytes.

Rule: a body is encoded once, here, and never printed again from a parsed value; what was committed is these bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from comity.errors import MalformedError
from comity_broker.auditlog.kinds import EventKind

# Keys are ASCII, so code point order is the order canonical JSON asks for; a test compares with `comity.canonical`.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode

Recipient = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Event:
    """One event before the log takes it. `own` has a body for each party that has something to see of its own."""

    kind: EventKind
    shared: bytes
    own: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who acted: names (empty for the broker itself), the SHA-384 of the peer's certificate, the request's id."""

    party: str = ""
    node: str = ""
    officer: str = ""
    certificate: bytes = b""
    request: bytes = b""


BROKER: Final = Caller()


@dataclass(frozen=True, slots=True)
class SegmentSlots:
    """Slots of one logged segment; `attempt` counts deliveries from 1, 0 where none is meant."""

    segment_id: bytes
    slots: Sequence[int]
    attempt: int = 0


def ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Give ascending numbers as [first, last] runs."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs


def body(**content: object) -> bytes:
    """Give the canonical bytes of a body; raises MalformedError."""
    try:
        return _encode(content).encode()
    except UnicodeEncodeError:
        raise MalformedError("an audit body holds a lone surrogate") from None


def shared_event(kind: EventKind, **content: object) -> Event:
    """Build an event that every party reads whole."""
    return Event(kind, body(**content))


def event_between(
    kind: EventKind,
    originator: str,
    recipient: Recipient,
    *,
    shared: Mapping[str, object],
    content: Mapping[str, object],
    segments: Sequence[SegmentSlots] | None = None,
) -> Event:
    """Build an event whose content only the originator's and the recipient's party read, both the same."""
    own: dict[str, object] = {**content, "recipient": {"party": recipient[0], "node": recipient[1]}}
    if segments is not None:
        own["segments"] = [
            {"segment_id": one.segment_id.hex(), "slots": ranges(one.slots), "attempt": one.attempt} for one in segments
        ]
    both = body(**own)
    return Event(kind, body(**shared), {originator: both, recipient[0]: both})


def call(caller: Caller, *, actor: bool = True) -> dict[str, object]:
    """Give what a body says of a call; without `actor` where another key names who acted."""
    keys: dict[str, object] = {"certificate": caller.certificate.hex(), "request": caller.request.hex()}
    if actor:
        keys["actor"] = {"party": caller.party, "node": caller.node, "officer": caller.officer}
    return keys


def one_of(kind: EventKind, *allowed: EventKind) -> None:
    """Check that a builder was given a kind it builds; raises MalformedError."""
    if kind not in allowed:
        raise MalformedError(f"{kind.value} is not built here")
