"""What officers say that they read or acted on: only what a node of their party was handed before (code `not_delivered`).

A statement names leaves; which slots these are, the slot records say. Where some were not presented, an unknown leaf may be one of those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from comity.verify.keys import Statement
from comity.verify.records import require


class Handed:
    """Where each admitted leaf stands, and which slots were handed to which party."""

    def __init__(self) -> None:
        self._whole = True
        self._places: dict[str, tuple[str, int]] = {}
        self._handed: set[tuple[str, str, int]] = set()

    def submitted(self, segment_id: str, admitted: int, records: Mapping[int, Mapping[str, Any]]) -> None:
        """Take a segment with so many admitted slots, and its records as far as they were presented."""
        leaves = {one["leaf"].hex(): (segment_id, slot) for slot, one in records.items() if one["outcome"] == 1}
        self._whole = self._whole and len(leaves) == admitted
        self._places.update(leaves)

    def delivered(self, party: str, segment_id: str, slots: Iterable[int]) -> None:
        """Take that slots were handed to a node of a party."""
        self._handed.update((party, segment_id, slot) for slot in slots)

    def check(self, kind: str, value: dict[str, Any], *, sure: bool) -> None:
        """Hold an entry's statement against it, where it is of reading; `sure` that all is known. Raises FormError."""
        fields = Statement(value).fields if sure and kind in ("READ", "ACTIONED") else {"leaves": ()}
        for place in map(self._places.get, fields["leaves"]):
            there = not self._whole if place is None else (fields["party"], *place) in self._handed
            require(there, "an officer read or acted on a report that had not been delivered to its party")
