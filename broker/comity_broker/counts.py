"""What a broker counts of its own work, for its operator: plain numbers, and how long commits took.

Rules in order:
1. A count costs the work it counts an addition: once a segment, round, unit or commit, never once a report. Nothing is formatted,
   summed or sorted before somebody asks.
2. Counts are told apart by party, agreement and class, and by the code of a refusal; by nobody's name and by nothing of a report.
   An agreement's id is one that this broker carries: what a peer merely states is counted under "".
3. Durations are counted in classes, a sixteenth of a doubling wide, from 0.1 ms to 100 s: constant memory, and a percentile is at
   most 4.5 % above what was measured.
4. Everything here is of the event loop's thread, but for the journal's durations, which it changes under its lock (`journal`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

CLASS_NAMES: Final = ("control", "flash", "immediate", "priority", "routine")

LEAST_SECONDS: Final = 0.0001
OCTAVES: Final = 20
PER_OCTAVE: Final = 16

# Agreement, party, class.
Lane = tuple[str, str, int]
# Agreement, party, the refusal's code by name.
Refusal = tuple[str, str, str]


def class_name(transport_class: int) -> str:
    """Give the word for a class, 0 to 9: those of exercise traffic begin with ``exercise-``; another one by its number."""
    exercise, urgency = divmod(transport_class, len(CLASS_NAMES))
    return f"{'exercise-' * exercise}{CLASS_NAMES[urgency]}" if exercise <= 1 else str(transport_class)


def no_durations() -> list[int]:
    """Give the counts of nothing measured: one of all up to 0.1 ms, one of each class, one of all above the last."""
    return [0] * (OCTAVES * PER_OCTAVE + 2)


def bound_seconds(number: int) -> float:
    """Give the upper bound of a class of durations; infinity for the last."""
    return LEAST_SECONDS * 2 ** (number / PER_OCTAVE) if number <= OCTAVES * PER_OCTAVE else math.inf


def percentile_seconds(counts: Sequence[int], part: float) -> float:
    """Give the bound that `part` (0 to 1) of the durations do not exceed; 0 where none was measured."""
    total = sum(counts)
    rank = max(1, math.ceil(total * part))
    for number, count in enumerate(counts):
        rank -= count
        if total and rank <= 0:
            return min(bound_seconds(number), bound_seconds(OCTAVES * PER_OCTAVE))
    return 0.0


@dataclass(slots=True)
class Durations:
    """How long things took since the start: how many in each class, and all together in seconds."""

    counts: list[int] = field(default_factory=no_durations)
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        number = math.ceil(math.log2(seconds / LEAST_SECONDS) * PER_OCTAVE) if seconds > LEAST_SECONDS else 0
        self.counts[min(number, OCTAVES * PER_OCTAVE + 1)] += 1
        self.seconds += seconds

    def copy(self) -> Durations:
        """Give what was counted so far."""
        return Durations(self.counts.copy(), self.seconds)

    @property
    def number(self) -> int:
        """Give how many were counted."""
        return sum(self.counts)


def durations_since(now: Durations, before: Durations) -> list[int]:
    """Give the counts of what was added between two copies."""
    return [later - earlier for later, earlier in zip(now.counts, before.counts, strict=True)]


@dataclass(slots=True)
class Counts:
    """The numbers since the start, by `Lane` and `Refusal`; `denied_calls` by the code alone."""

    admitted_segments: dict[Lane, int] = field(default_factory=dict)
    admitted_reports: dict[Lane, int] = field(default_factory=dict)
    admitted_bytes: dict[Lane, int] = field(default_factory=dict)
    duplicate_segments: dict[Lane, int] = field(default_factory=dict)
    refused_reports: dict[Refusal, int] = field(default_factory=dict)
    handed_over_reports: dict[Lane, int] = field(default_factory=dict)
    redelivered_reports: dict[Lane, int] = field(default_factory=dict)
    acknowledged_reports: dict[tuple[str, str], int] = field(default_factory=dict)
    refused_answers: dict[Refusal, int] = field(default_factory=dict)
    denied_calls: dict[str, int] = field(default_factory=dict)

    def admitted(self, lane: Lane, reports: int, size: int) -> None:
        """Count a segment that was committed: how many of its reports entered, and its bytes."""
        self.admitted_segments[lane] = self.admitted_segments.get(lane, 0) + 1
        self.admitted_reports[lane] = self.admitted_reports.get(lane, 0) + reports
        self.admitted_bytes[lane] = self.admitted_bytes.get(lane, 0) + size

    def duplicate(self, lane: Lane) -> None:
        """Count a segment that came again."""
        self.duplicate_segments[lane] = self.duplicate_segments.get(lane, 0) + 1

    def refused(self, refusal: Refusal, reports: int) -> None:
        """Count reports that were refused."""
        self.refused_reports[refusal] = self.refused_reports.get(refusal, 0) + reports

    def handed_over(self, lane: Lane, reports: int, again: int) -> None:
        """Count reports of one round, to a consumer of that party: how many, and how many of them not for the first time."""
        self.handed_over_reports[lane] = self.handed_over_reports.get(lane, 0) + reports
        if again:
            self.redelivered_reports[lane] = self.redelivered_reports.get(lane, 0) + again

    def acknowledged(self, agreement_id: str, party: str, reports: int) -> None:
        """Count reports that one unit settled."""
        key = (agreement_id, party)
        self.acknowledged_reports[key] = self.acknowledged_reports.get(key, 0) + reports

    def answer_refused(self, refusal: Refusal) -> None:
        """Count an acknowledgement, or a report given back, that was refused."""
        self.refused_answers[refusal] = self.refused_answers.get(refusal, 0) + 1

    def denied(self, code: str) -> None:
        """Count a call that was refused before it was served."""
        self.denied_calls[code] = self.denied_calls.get(code, 0) + 1
