"""The numbers of one log: agreement_sequence goes on without a hole, and every origin_sequence of a lane ends once (`numbering`).

After a restore of each lane numbers may be missing once.
"""

from __future__ import annotations

from typing import Any

from comity.verify.records import require
from comity.verify.table import SUBMITS

_REPLAYED, _GAP = 3, 9


class Numbering:
    """The numbers as far as the entries that were taken, in the log's order."""

    def __init__(self) -> None:
        self._next, self._restored = 1, False
        self._lanes: dict[tuple[Any, ...], tuple[int, set[int]]] = {}
        self._going_on = set[tuple[Any, ...]]()

    def continued(self) -> None:
        """Take that the log goes on after a restore: of every lane numbers may have been lost."""
        self._restored, self._going_on = True, set(self._lanes)

    def take(self, kind: str, body: dict[str, Any]) -> None:
        """Take what an entry says of numbers; raises FormError where it does not go on."""
        duplicates, refusals = dict(body.get("duplicates", [])), dict(body.get("refusals", []))
        slots = body.get("slots", body["count"])
        require(1 <= slots <= 1024, "a number of slots that cannot be")
        if kind != "ABANDONED":
            count = slots - len(duplicates) - len(refusals)
            require((body["count"], kind) == (count, SUBMITS[count == 0]), "the numbers of slots do not add up")
            require(body["first_agreement_sequence"] == self._next, f"agreement_sequence goes on with {self._next}")
            self._next += count
        lane = (body["actor"]["party"], body["actor"]["node"], body["origin_epoch"], body["class"])
        following, ahead = self._lanes.get(lane, (1, set()))
        if lane in self._going_on or (self._restored and lane not in self._lanes):
            following = max(following, body["first_origin_sequence"])
        self._going_on.discard(lane)
        for slot in range(slots):
            number, code = body["first_origin_sequence"] + slot, refusals.get(slot, 0)
            ended = number < following or number in ahead
            if slot in duplicates or code == _REPLAYED:
                require(ended, f"origin_sequence {number} had not ended before")
            elif ended and code:
                continue
            elif code == _GAP or kind == "ABANDONED":
                require(not ended, f"origin_sequence {number} had ended before")
                ahead |= {number} if kind == "ABANDONED" else set()
            else:
                require(number == following, f"origin_sequence goes on with {following}, not {number}")
                following += 1
            while following in ahead:
                ahead.remove(following)
                following += 1
        self._lanes[lane] = following, ahead
