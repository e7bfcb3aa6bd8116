"""A segment as an agreement's log has it: what later entries, receipts and envelopes are held against."""

from __future__ import annotations

from dataclasses import dataclass

from comity.verify.bundle import Entry
from comity.verify.records import require

Node = tuple[str, str]


@dataclass(slots=True)
class Segment:
    """A logged segment: its entry, its admitted slots, and by reader the decisions as (slots, portions by recipient)."""

    entry: Entry
    admitted: set[int]
    told: dict[str, list[tuple[set[int], dict[Node, list[int]]]]]

    def permitted(self, slot: int, reader: str) -> dict[Node, list[int]]:
        """Give what the part of `reader` says each recipient may have of a slot; raises FormError where nothing covers it."""
        found = [portions for slots, portions in self.told[reader] if slot in slots]
        require(len(found) == 1, f"slot {slot} was admitted without exactly one decision")
        return found[0]
