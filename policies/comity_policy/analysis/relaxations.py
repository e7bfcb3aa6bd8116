"""What a version of an agreement permits that another one does not, as cases: z3's own list, to hold a clause diff against.

For each direction and each clause of the earlier version, a case that the later version permits and that the clause
refused, as far as there is one; it violates as few other clauses of the earlier version as possible. That a report names
the one version or the other is left out on both sides. Every case is confirmed by the engine, under both versions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from comity_policy.analysis.concrete import wishes, within, witness
from comity_policy.analysis.conditions import Section, Window, directions, sections, without_baseline
from comity_policy.analysis.solver import Example, Search, find
from comity_policy.analysis.terms import FALSE, Term, no, some
from comity_policy.analysis.witness import UnconfirmedError, Witness
from comity_policy.decision import Baseline
from comity_policy.facts import Point
from comity_policy.lowering import Source


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A case that the later version permits, and the clauses of the earlier one that refuse it."""

    from_party: str
    to_party: str
    clause_ids: tuple[str, ...]
    witness: Witness

    @property
    def words(self) -> str:
        """Give what is newly permitted in one line."""
        return f"refused before by {', '.join(self.clause_ids)}: {self.witness.words}"


def relaxations(before: Source, after: Source) -> Iterator[Relaxation]:
    """Give, per direction, a case for every clause of the earlier version that refused what the later one permits."""
    for pair in directions(after):
        told: set[str] = set()
        for piece in _pieces(before, after, pair):
            if find(piece.newly_permitted) is None:
                continue
            for clause_id, found in piece.cases(told):
                told.add(clause_id)
                case = witness(found, pair, piece.point, after).permitted_by(after)
                yield Relaxation(*pair, _refused_by(case, before), case)


def newly_permitted(before: Source, after: Source, counts: Callable[[str], bool] = bool) -> Witness | None:
    """Give one case that the later version permits and the earlier one refuses; None: there is none.

    Of the earlier version only refusals by the clauses that `counts` names by their ids count; all do unless said.
    """
    for pair in directions(after):
        for piece in _pieces(before, after, pair, counts):
            found = find(piece.newly_permitted, piece.wishes)
            if found is not None:
                case = witness(found, pair, piece.point, after).permitted_by(after)
                _refused_by(case, before)
                return case
    return None


def case_of(permitted: Sequence[Source], refused: Sequence[Source]) -> Witness | None:
    """Give one case that each of some versions permits and each of others refuses; None: there is none.

    `permitted` is not empty; its first version says between whom.
    """
    for pair in directions(permitted[0]):
        for held in product(*(sections(one, *pair) for one in (*permitted, *refused))):
            window = _common(held)
            if window is None:
                continue
            permit = tuple(
                no(one.term)
                for section in held[: len(permitted)]
                for one in without_baseline(section, Baseline.AGREEMENT)
            )
            wanted = (within(window), *permit, *(some(*_refusals(one).values()) for one in held[len(permitted) :]))
            found = find(wanted, wishes(pair, window))
            if found is not None:
                case = witness(found, pair, held[0].point, permitted[0])
                for one in permitted:
                    case.permitted_by(one)
                for one in refused:
                    _refused_by(case, one)
                return case
    return None


def _common(held: Sequence[Section]) -> Window | None:
    """Give the window that sections of one point have in common; None: they have none, or are of several points."""
    window: Window | None = held[0].window
    for one in held[1:]:
        window = window.common(one.window) if window is not None and one.point is held[0].point else None
    return window


@dataclass(frozen=True, slots=True)
class _Piece:
    """A window in which both versions decide by one table each, at one point of one direction."""

    point: Point
    permit: tuple[Term, ...]
    refusals: Mapping[str, Term]
    wishes: tuple[Term, ...]

    @property
    def newly_permitted(self) -> tuple[Term, ...]:
        """Give what holds of a case that is permitted now and was refused."""
        return (*self.permit, some(*self.refusals.values()))

    def cases(self, told: set[str]) -> Iterator[tuple[str, Example]]:
        """Give each clause that refused something permitted now, with a case refused by few others; not those told."""
        holding = {clause_id: no(refusal) for clause_id, refusal in self.refusals.items()}
        search = Search(self.permit, (*self.refusals.values(), *holding.values(), *self.wishes))
        for clause_id, refusal in self.refusals.items():
            alone = tuple(term for other, term in holding.items() if other != clause_id)
            found = search.example((*alone, *self.wishes), (refusal,)) if clause_id not in told else None
            if found is not None:
                yield clause_id, found


def _refused_by(case: Witness, before: Source) -> tuple[str, ...]:
    decision = case.decided_by(before)
    if decision.permit:
        raise UnconfirmedError(f"the model refuses what the engine permits under the earlier version: {case.words}")
    return tuple(one.clause_id for one in decision.violations)


def _pieces(
    before: Source, after: Source, pair: tuple[str, str], counts: Callable[[str], bool] = bool
) -> Iterator[_Piece]:
    earlier = sections(before, *pair)
    for new in sections(after, *pair):
        refused = {one.term for one in without_baseline(new, Baseline.AGREEMENT)}
        permit = tuple(no(one.term) for one in without_baseline(new, Baseline.AGREEMENT))
        for old in earlier:
            window = old.window.common(new.window)
            if FALSE not in permit and old.point is new.point and window is not None:
                refusals = {clause_id: term for clause_id, term in _refusals(old, refused).items() if counts(clause_id)}
                yield _Piece(new.point, (within(window), *permit), refusals, wishes(pair, window))


def _refusals(section: Section, but: Collection[Term] = ()) -> dict[str, Term]:
    """Give by clause what is refused, but for some terms: what refuses in the later version too is permitted by none."""
    by_clause: dict[str, list[Term]] = {}
    for one in without_baseline(section, Baseline.AGREEMENT):
        if one.term not in but:
            by_clause.setdefault(one.clause_id, []).append(one.term)
    return {clause_id: some(*terms) for clause_id, terms in by_clause.items()}
