"""An item of a lane as one session knows it, and what is kept by item and by slot beside it. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from comity_broker.dispatch.floors import Change
from comity_broker.dispatch.frames import Reason


@dataclass(slots=True, eq=False)
class Reference:
    """An item that is not done, or whose reports are replayed: what this session knows of it beyond the stored state.

    `addressed` are the slots that the node gets; `due` the same, or of a replay those that are replayed.
    `flight` slots are on their way or with the consumer; `retry` says from when on a slot may be handed over again; `attempts`
    counts hand-overs where there was more than one; `reasons` says why settled slots did not come, `held_by` which entry holds a
    slot. Frames of the session are
    numbered: `first_sent` and `sent` brought the item first and last (`newest` are the slots of the last), `told_by` told the
    newest of its reasons, 0 where that is still owed; `told` is set when the consumer is known to have got them.
    """

    item: int
    previous: int
    due: int
    withheld: bytes
    addressed: int = 0
    segment_id: bytes = b""
    flight: int = 0
    retry: dict[int, float] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    reasons: dict[int, Reason] = field(default_factory=dict)
    held_by: dict[int, int] = field(default_factory=dict)
    first_sent: int = 0
    sent: int = 0
    newest: int = 0
    told_by: int = 0
    told: bool = False

    def attempt(self, slot: int) -> int:
        """Give how often a handed slot was handed over."""
        return self.attempts.get(slot, 1)

    def out_by(self, slots: int, attempts: Mapping[int, int]) -> int:
        """Give those of the slots that are out by the hand-over of that number; `attempts` has those that are not the first."""
        out = self.flight & slots
        for slot in attempts.keys() | self.attempts.keys():
            if attempts.get(slot, 1) != self.attempt(slot):
                out &= ~(1 << slot)
        return out

    def change(self, *, hand: int = 0, settle: int = 0, hold: int = 0, owes: bool = False) -> Change:
        """Give the change of this item; with `owes` it settles for reasons that are still to be told."""
        return Change(self.previous, self.item, self.due, hand, settle, hold, self.told and not owes)


class Pending(NamedTuple):
    """Slots of an item that could be handed over now."""

    reference: Reference
    slots: int


def mark(known: dict[int, int], item: int, slots: int) -> None:
    """Add slots of an item to masks by item."""
    known[item] = known.get(item, 0) | slots


def unmark(known: dict[int, int], item: int, slots: int) -> None:
    """Take slots of an item out of masks by item."""
    left = known.get(item, 0) & ~slots
    if left:
        known[item] = left
    else:
        known.pop(item, None)


def drop(by_slot: dict[int, Any], slots: int) -> None:
    """Take what some slots have out of a mapping by slot."""
    for slot in [one for one in by_slot if slots >> one & 1]:
        del by_slot[slot]
