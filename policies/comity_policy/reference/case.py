"""What every row of the reference interpreter reads: one case, its facts, and the words the table defines once.

Rules in order (docs/policy-semantics.md, "Words"):

1. `as_text` and its like give None for a fact that is missing or of a wrong type. A bool is no number.
2. The table of a direction is the one with the latest `valid_from` not after the UTC day of creation.
3. A rank is a row of it, from 0; an unknown rank counts as classified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from comity_policy.clauses import Emergency
from comity_policy.companions import Umbrella
from comity_policy.decision import Reason
from comity_policy.facts import (
    AgreementState,
    Moment,
    NodeFacts,
    Point,
    PortionMarking,
    Profile,
    Reader,
    Role,
    Times,
    Usage,
    Use,
)
from comity_policy.marking import Label
from comity_policy.sections import Document, Equivalence
from comity_policy.vocabulary import Vocabularies

Reasons = Iterator[Reason]
_DAY = 86_400_000


@dataclass(frozen=True, slots=True)
class Case:
    """One portion, one node, one point and moment, under one text; times in Unix milliseconds.

    `emergencies` are the clauses that may lift: those of the arrangement where `document` is its umbrella, none for a
    caveat. `umbrella` is that of the document, where it has one. `prefix` stands before the ids of the text's clauses.
    """

    document: Document
    digest: bytes
    state: AgreementState
    words: Vocabularies
    profile: Profile
    times: Times
    portion: PortionMarking
    node: NodeFacts
    moment: Moment
    emergencies: tuple[Emergency, ...]
    umbrella: Umbrella | None = None
    prefix: str = ""

    @property
    def label(self) -> Label:
        """Give L."""
        return self.portion.label

    @property
    def sender(self) -> str:
        """Give F."""
        return self.profile.originator.party

    @property
    def recipient(self) -> str:
        """Give T."""
        return self.node.party

    @property
    def point(self) -> Point:
        """Give where the decision is taken."""
        return self.moment.point


def as_text(value: object) -> str | None:
    """Give the text a fact is."""
    return value if isinstance(value, str) else None


def as_number(value: object) -> int | None:
    """Give the number a fact is."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_truth(value: object) -> bool | None:
    """Give the yes or no a fact is."""
    return value if isinstance(value, bool) else None


def as_words(value: object) -> frozenset[str] | None:
    """Give the words a fact is; what among them is no text is no word anybody asks for."""
    return value if isinstance(value, frozenset) else None


def as_reader(value: object) -> Reader | None:
    """Give the reader a fact is."""
    return value if isinstance(value, Reader) else None


def as_use(value: object) -> Use | None:
    """Give the use a fact is."""
    return value if isinstance(value, Use) else None


def as_usage(value: object, clause_id: str) -> tuple[int, int] | None:
    """Give the reports and bytes of a quota's window; None where they are missing or no counts."""
    used = value.get(clause_id) if isinstance(value, Mapping) else None
    if not isinstance(used, Usage):
        return None
    reports, size = as_number(used.reports), as_number(used.size)
    return None if reports is None or size is None or reports < 0 or size < 0 else (reports, size)


def as_roles(value: object) -> frozenset[Role] | None:
    """Give the roles a fact is; what among them is no role is none that anybody asks for."""
    return value if isinstance(value, frozenset) else None


def is_within(case: Case, category: str, granted: tuple[str, ...]) -> bool:
    """Say whether a category is one of these or a descendant of one."""
    one: str | None = category
    while one is not None:
        if one in granted:
            return True
        one = case.words.categories.get(one)
    return False


def table_of(case: Case) -> Equivalence | None:
    """Give the table in use when the report was created."""
    day = case.times.created_at // _DAY
    newest: Equivalence | None = None
    for one in case.document.equivalences:
        if one.from_party != case.sender or one.to_party != case.recipient:
            continue
        if (one.valid_from - date(1970, 1, 1)).days > day:
            continue
        if newest is None or one.valid_from > newest.valid_from:
            newest = one
    return newest


def rank_of(case: Case, level: str) -> int | None:
    """Give the row of the sender's level; None where there is no table or no such row."""
    table = table_of(case)
    if table is None:
        return None
    for rank, (from_level, _) in enumerate(table.rows):
        if from_level == level:
            return rank
    return None


def covered_rank(case: Case, level: str) -> int | None:
    """Give the largest row that the recipient's level covers; None when it stands in no row."""
    table = table_of(case)
    covered: int | None = None
    for rank, (_, to_level) in enumerate(table.rows if table is not None else ()):
        if (to_level if isinstance(to_level, str) else to_level.protect_as) == level:
            covered = rank
    return covered


def is_classified(case: Case) -> bool:
    """Say whether the portion is above rank 0; an unknown rank is."""
    return rank_of(case, case.label.classification) != 0


def is_controlled(case: Case) -> bool:
    """Say whether the portion may go only to whom it is released to."""
    label = case.label
    return (
        is_classified(case)
        or len(label.dissemination) > 0
        or label.releasable_to is not None
        or label.display_only is not None
    )
