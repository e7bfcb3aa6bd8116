"""A segment as an agreement's log has it: what later entries, receipts and envelopes are held against."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from comity.verify.bundle import Entry
from comity.verify.records import require
from comity.verify.table import slots_of

Node = tuple[str, str]
_POLICY, _STANZAS = 2, 12


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

    def check_outcomes(self, own: dict[str, dict[str, Any]]) -> None:
        """Hold what became of each slot against its decision, and each decision's portions against what it says refused them.

        `own` has the body of each party that was presented. Raises FormError.
        """
        body, codes = self.entry.shared, dict(self.entry.shared["refusals"])
        for party, told in own.items():
            times, some = Counter[int](), set[int]()
            for decision in told["decisions"]:
                times.update(slots_of(decision["slots"]))
                for one in decision["recipients"]:
                    some |= set(slots_of(decision["slots"])) if one["portions"] else set()
                    refused = {portion for violated in one["violations"] for portion in violated["portions"]}
                    require(one["portions"] or refused, "a decision permits a recipient nothing, for no reason")
                    require(refused.isdisjoint(one["portions"]), "a decision permits a portion that a clause refused")
            odd = [slot for slot, code in codes.items() if code == _POLICY and slot in some]
            require(not odd, f"slots {odd} were refused by policy, and their decisions permit something of them")
            if party == body["actor"]["party"]:
                due = self.admitted | {slot for slot, code in codes.items() if code == _STANZAS}
                require(due <= some, f"slots {sorted(due - some)} were not refused, and nothing of them is permitted")
                due |= {slot for slot, code in codes.items() if code == _POLICY}
                require(all(times[slot] == 1 for slot in due), "a slot has not exactly one decision")
