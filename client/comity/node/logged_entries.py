"""Entries of an agreement's log as they are replayed: bodies by part, and what lies beside them. Shared by all who read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from comity.node.decision_records import Evidence
from comity_policy.recorded import Gap, Missing

SUBMISSIONS: Final = frozenset({"SUBMIT_ACCEPTED", "SUBMIT_REJECTED"})


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """One entry as it is replayed: its shared body, the own bodies that are here by party, and by slot what proves a report.

    A body that was not presented is not in `own`; one that has nothing to say is there and empty.
    """

    log_index: int
    kind: str
    shared: Mapping[str, Any]
    own: Mapping[str, Mapping[str, Any]]
    manifests: Mapping[int, Evidence] = field(default_factory=dict)

    @property
    def told(self) -> Mapping[str, Any] | None:
        """Give what the parties concerned were told; empty where those whose bodies are here are not, None where none is here."""
        found = (one for one in self.own.values() if one)
        return next(found, {} if self.own else None)

    @property
    def unseen(self) -> Gap:
        """Give the gap that it leaves where a body of it was not presented."""
        return Gap(Missing.ENTRY, f"a body of entry {self.log_index}, {self.kind}")


def slots_in(ranges: Iterable[Iterable[int]]) -> list[int]:
    """Give the slots that [first, last] ranges name, each below 256."""
    return [slot for first, last in ranges for slot in range(first, min(last, 255) + 1)]
