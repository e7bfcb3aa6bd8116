"""An agreement as conditions: per direction, point and time of making, what violates which clause, and why.

A section holds for reports of one direction, decided at one point and made within one window: the time for which one
equivalence table speaks, or the time before the first. Its conditions stand in the order in which a decision lists
violations. Decisions of the twin and of the model are read back by the same rule as the engine's: one violation a clause,
the strongest reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

from comity_policy import lowering
from comity_policy.analysis.attributes import ATTRIBUTES, KIND
from comity_policy.analysis.terms import FALSE, TRUE, Among, Attribute, Term, attributes_of, every, no, walk
from comity_policy.analysis.verdicts import verdict
from comity_policy.decision import Baseline, Decision, Reason, Violation
from comity_policy.facts import Kind, Point
from comity_policy.lowering import NO_TABLE, Direction, Source

# A recall, of which only the rules that name recalls are asked.
RECALLING: Term = Among(KIND, frozenset({Kind.RECALL.word}))
STRENGTH = (Reason.CLAUSE_SUSPENDED, Reason.FACT_MISSING, Reason.DENIED)


@dataclass(frozen=True, slots=True)
class Condition:
    """Where this holds, the clause is violated for this reason."""

    clause_id: str
    reason: Reason
    term: Term


@dataclass(frozen=True, slots=True)
class Window:
    """Reports made from `begins_at` on and before `ends_at` (Unix milliseconds); None: no bound."""

    begins_at: int | None = None
    ends_at: int | None = None

    def holds(self, created_at: int) -> bool:
        """Say whether a report made then is meant."""
        after = self.begins_at is None or self.begins_at <= created_at
        return after and (self.ends_at is None or created_at < self.ends_at)

    def common(self, other: Window) -> Window | None:
        """Give what both windows hold; None: nothing."""
        begins = [one for one in (self.begins_at, other.begins_at) if one is not None]
        ends = [one for one in (self.ends_at, other.ends_at) if one is not None]
        found = Window(max(begins, default=None), min(ends, default=None))
        empty = found.begins_at is not None and found.ends_at is not None and found.begins_at >= found.ends_at
        return None if empty else found


@dataclass(frozen=True, slots=True)
class Section:
    """What is decided in one direction at one point of reports made in one window."""

    direction: Direction
    window: Window
    point: Point
    conditions: tuple[Condition, ...]

    @property
    def parties(self) -> tuple[str, str]:
        """Give from whom to whom."""
        return self.direction.from_party, self.direction.to_party


def directions(source: Source) -> Iterator[tuple[str, str]]:
    """Give every direction between two parties of the agreement."""
    return permutations(source.document.parties, 2)


def sections(source: Source, from_party: str, to_party: str) -> tuple[Section, ...]:
    """Give all sections of a direction, of strangers too."""
    return tuple(
        Section(direction, window, point, tuple(_conditions(source, direction, point)))
        for window, direction in _windows(source, from_party, to_party)
        for point in Point
    )


def every_attribute(made: Iterable[Section]) -> tuple[Attribute, ...]:
    """Give the attributes of every agreement, and those that some sections ask for besides."""
    terms = dict.fromkeys(one.term for section in made for one in section.conditions)
    asked = (attribute for term in terms for part in walk(term) for attribute in attributes_of(part))
    known = dict.fromkeys(ATTRIBUTES)
    for attribute in asked:
        known.update({one: None for one in (attribute.known, attribute) if one is not None})
    return tuple(known)


def _windows(source: Source, from_party: str, to_party: str) -> Iterator[tuple[Window, Direction]]:
    """Give a direction with each pair of tables, the latest first, and the time for which they speak; strangers have none."""
    ends_at: int | None = None
    if (from_party, to_party) in directions(source):
        for direction in lowering.directions(source, from_party, to_party):
            yield Window(direction.begins_at, ends_at), direction
            ends_at = direction.begins_at
    yield Window(None, ends_at), Direction(from_party, to_party, NO_TABLE)


def _conditions(source: Source, direction: Direction, point: Point) -> Iterator[Condition]:
    for rule in lowering.lower(source, direction, point):
        found = verdict(rule.test, direction.table)
        asked = TRUE if rule.of_recalls else no(RECALLING)
        terms = (every(asked, one) for one in (found.suspended, found.missing, found.denied))
        for reason, term in zip(STRENGTH, terms, strict=True):
            if term != FALSE:
                yield Condition(str(rule.clause_id), reason, term)


def decision_of(source: Source, section: Section, violated: Iterable[Condition]) -> Decision:
    """Give the decision in which exactly these conditions hold."""
    strongest: dict[str, Reason] = {}
    for one in violated:
        before = strongest.get(one.clause_id, one.reason)
        strongest[one.clause_id] = min(before, one.reason, key=STRENGTH.index)
    order = dict.fromkeys(one.clause_id for one in section.conditions)
    violations = tuple(Violation(clause_id, strongest[clause_id]) for clause_id in order if clause_id in strongest)
    from_party, to_party = section.parties
    return Decision(not violations, violations, lowering.deferred(source, from_party, (to_party,), section.point))


def without_baseline(section: Section, *rows: Baseline) -> tuple[Condition, ...]:
    """Give the conditions but for some baseline rows."""
    return tuple(one for one in section.conditions if one.clause_id not in rows)
