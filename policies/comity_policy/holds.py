"""Legal holds: what open disputes name, and which reports that is. One normalisation of names, for everybody who asks.

Rules in order:
1. A report is named by its id, with or without dashes, or by the leaf of its envelope (SHA-384), in either case.
2. An entry is named by its number in the agreement's log, and holds every report that the entry speaks of: those it admitted, handed
   over, answered for, parked, held, or of which an officer certified something.
3. A decision is named by its entry, with or without the slot (``17``, ``17/3``), or by the report it is about; named by a slot it
   holds all of its entry. A hold rather keeps too much.
4. What is named in any other way holds nothing: nodes do not let it be written (`names_something`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_REPORT: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{96}")
_ENTRY: Final = re.compile(r"([0-9]{1,15})")
_DECISION: Final = re.compile(r"([0-9]{1,15})(?:[/:.][0-9]{1,9})?")
_NOTHING: Final[Mapping[int, Collection[str]]] = {}


def named(subject: str, subject_id: str) -> str | int:
    """Give what a dispute names: a report's id or leaf as plain digits, or the number of an entry."""
    text = subject_id.lower().removeprefix("sha384:")
    shape = {"entry": _ENTRY, "decision": _DECISION}.get(subject)
    found = None if shape is None else shape.fullmatch(text)
    return text.replace("-", "") if found is None else int(found[1])


def names_something(subject: str, subject_id: str) -> bool:
    """Say whether a dispute that names this holds anything, by rules 1 to 3."""
    what = named(subject, subject_id)
    return isinstance(what, int) or (subject != "entry" and _REPORT.fullmatch(what) is not None)


@dataclass(frozen=True, slots=True)
class Holds:
    """What is held: reports by id or leaf, and entries of the log by their numbers."""

    reports: frozenset[str] = frozenset()
    entries: frozenset[int] = frozenset()

    @classmethod
    def of(cls, disputes: Iterable[tuple[str, str]], speaking: Mapping[int, Collection[str]] = _NOTHING) -> Holds:
        """Give what disputes hold that name (subject, id); `speaking` has the ids of the reports that entries speak of."""
        names = [named(*one) for one in disputes if names_something(*one)]
        entries = frozenset(one for one in names if isinstance(one, int))
        reports = {one for one in names if isinstance(one, str)}
        return cls(frozenset(reports.union(*(speaking.get(one, ()) for one in entries))), entries)

    def on(self, report: str, leaf: str = "", entry: int | None = None) -> bool:
        """Say whether a report is held: by its id (32 hex digits), its leaf, or the entry that admitted it."""
        return report in self.reports or (bool(leaf) and leaf in self.reports) or entry in self.entries
