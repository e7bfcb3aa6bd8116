"""What an agreement never permits, whatever the facts: proved by z3 or refuted by a case.

Rules in order:

1. A proof is about what is decided: it asks, for every direction, point and time of making, whether the conditions of a
   permit hold together with what must never be. What must never be is said here from the agreement's own clauses, not
   from how they were lowered. It is about messages that give something: a recall, which takes back, is not asked about.
2. There is no such case: PROVED. There is one: REFUTED, with the case, which the engine was asked too (`witness`).
3. Suspension only subtracts: what is permitted while a clause (or the whole agreement) is suspended was permitted before.
   So does a national caveat. An emergency lifts what it may lift and nothing else; an arrangement permits nothing that a
   clause of its umbrella refuses.
4. What the parties hold the agreement to (`[[invariant]]`, the umbrella's too) is proved like rule 1; see `agreed`.

    for proof in prove(source):
        proof.invariant, proof.outcome, proof.counterexample
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from comity_policy.analysis import attributes as of
from comity_policy.analysis.agreed import promises
from comity_policy.analysis.concrete import wishes, within, witness
from comity_policy.analysis.conditions import RECALLING, Section, directions, sections
from comity_policy.analysis.relaxations import newly_permitted
from comity_policy.analysis.solver import find
from comity_policy.analysis.terms import (
    FALSE,
    Is,
    Nothing,
    Term,
    among,
    every,
    holds,
    no,
    some,
)
from comity_policy.analysis.verdicts.parts import applies, is_lifted_onward
from comity_policy.analysis.witness import Witness
from comity_policy.check_finding import Finding, error
from comity_policy.clauses import (
    Acknowledge,
    Ceiling,
    DualControl,
    Embargo,
    Emergency,
    Onward,
    OriginatorControl,
    Quota,
    Scope,
    UseRule,
)
from comity_policy.decision import Baseline
from comity_policy.facts import AgreementState, Point
from comity_policy.lowering import Source, Umbrella
from comity_policy.marking import Control
from comity_policy.sources import layer_of, lifts


class Outcome(StrEnum):
    """What came of a proof."""

    PROVED = "PROVED"
    REFUTED = "REFUTED"


@dataclass(frozen=True, slots=True)
class Proof:
    """One invariant and what came of it; `clause_id` is what was suspended, or the name of what the parties agreed on."""

    invariant: str
    statement: str
    clause_id: str = ""
    counterexample: Witness | None = None

    @property
    def outcome(self) -> Outcome:
        """Give whether it holds."""
        return Outcome.PROVED if self.counterexample is None else Outcome.REFUTED

    @property
    def words(self) -> str:
        """Give what was proved or refuted, and the case that refutes it."""
        told = f"{self.outcome}: {self.statement}"
        return told if self.counterexample is None else f"{told}; permitted all the same: {self.counterexample.words}"


Never = Callable[[Source, Section], Term]


def _national_only(_source: Source, _section: Section) -> Term:
    return holds(of.DISSEMINATION, Control.NATIONAL_ONLY)


def _unmarked(_source: Source, section: Section) -> Term:
    """Give what is classified or controlled, and not marked releasable to the recipient."""
    lowest = among(of.CLASSIFICATION, (level for level, rank in section.direction.table.ranks.items() if rank == 0))
    free = every(lowest, Nothing(of.DISSEMINATION), no(Is(of.RELEASABLE)), no(Is(of.DISPLAYABLE)))
    return every(no(free), no(every(Is(of.RELEASABLE), holds(of.RELEASABLE_TO, section.direction.to_party))))


def _above_the_ceiling(source: Source, section: Section) -> Term:
    """Give a level that is none of those up to the lowest limit, none of the table's where no ceiling is agreed."""
    ranks = section.direction.table.ranks
    allowed = set(ranks)
    for clause in source.document.clauses:
        if isinstance(clause, Ceiling):
            limits = [limit.level for limit in clause.limits if section.direction.has(limit)]
            known = bool(limits) and all(level in ranks for level in limits)
            lowest = min(ranks[level] for level in limits) if known else -1
            allowed = {level for level in allowed if ranks[level] <= lowest}
    return no(among(of.CLASSIFICATION, allowed))


def _passed_on(source: Source, section: Section) -> Term:
    """Give ORCON content that goes on without its originator's consent; egress leaves that to others."""
    if section.point is Point.EGRESS:
        return FALSE
    warned = is_lifted_onward() if lifts(source, section.direction.to_party, onward=True) else FALSE
    return every(holds(of.DISSEMINATION, Control.ORCON), no(Is(of.DIRECT)), no(Is(of.ONWARD_GRANT)), no(warned))


def _not_granted(source: Source, section: Section) -> Term:
    granted = [
        applies(source.grants[clause.id])
        for clause in source.document.clauses
        if isinstance(clause, Scope)
        and section.direction.has(clause)
        and clause.id not in source.state.suspended_clauses
    ]
    return no(some(*granted))


INVARIANTS: Mapping[str, tuple[str, Never]] = {
    "national-only": ("nothing marked national-only leaves its party", _national_only),
    "unmarked": ("nothing classified or controlled leaves without being marked releasable to the recipient", _unmarked),
    "ceiling": ("nothing above the ceiling of its direction leaves", _above_the_ceiling),
    "originator-control": ("nothing originator-controlled goes on without its originator's consent to it", _passed_on),
    "grant": ("nothing leaves that no clause in force grants", _not_granted),
}
SUSPENSION, CAVEAT, EMERGENCY, UMBRELLA, AGREED = "suspension", "caveat", "emergency", "umbrella", "agreed"
_LIFTABLE = (Quota, Acknowledge, DualControl, Embargo, Onward, OriginatorControl)
_LIFTABLE_ROWS = {Baseline.ONWARD, Baseline.ORIGINATOR_CONTROL, Baseline.TIMES}
# Facts about these are named by the clause's id, which is another one under an arrangement than alone.
_BY_ID = (Quota, Acknowledge, UseRule)


def prove(source: Source) -> Iterator[Proof]:
    """Prove every invariant of an agreement in its state, then that suspending any clause, or all of it, only subtracts.

    Where there are any: what the parties agreed on, that caveats only subtract, what an emergency lifts, that the umbrella
    holds. Raises UnsolvedError where z3 gives up, and UnconfirmedError where the engine decides a counterexample otherwise.
    """
    for invariant, (statement, never) in INVARIANTS.items():
        yield Proof(invariant, statement, counterexample=_permitted(source, never))
    yield from prove_agreed(source)
    yield from _suspensions(source)
    for caveat in source.caveats:
        others = tuple(one for one in source.caveats if one is not caveat)
        statement = f"caveat {caveat.id} of {caveat.party} permits nothing that was refused without it"
        yield Proof(CAVEAT, statement, counterexample=newly_permitted(replace(source, caveats=others), source))
    if any(isinstance(clause, Emergency) for clause in source.document.clauses):
        yield _emergency(source)
    if source.umbrella is not None:
        yield _umbrella(source, source.umbrella)


def prove_agreed(source: Source) -> Iterator[Proof]:
    """Prove what the parties hold the agreement to, and its umbrella; raises as `prove` does."""
    for promise in promises(source):
        yield Proof(AGREED, promise.statement, promise.name, _permitted(source, promise.broken))


def broken_promises(source: Source) -> Iterator[Finding]:
    """Give an error for each thing that the parties hold the agreement to and that its clauses do not keep."""
    for proof in prove_agreed(source):
        if proof.counterexample is not None:
            case = proof.counterexample.words
            yield error("", f"invariant {proof.clause_id} does not hold, this is permitted all the same: {case}")


def _suspensions(source: Source) -> Iterator[Proof]:
    suspended = source.state.suspended_clauses
    for clause in source.document.clauses:
        if clause.suspendable and clause.id not in suspended:
            state = replace(source.state, suspended_clauses=suspended | {clause.id})
            yield _suspension(source, state, f"suspending clause {clause.id}", clause.id)
    yield _suspension(source, replace(source.state, in_force=False, reason="SUSPENDED"), "suspending the agreement")


def _suspension(source: Source, state: AgreementState, what: str, clause_id: str = "") -> Proof:
    statement = f"{what} permits nothing that was refused before"
    return Proof(SUSPENSION, statement, clause_id, newly_permitted(source, replace(source, state=state)))


def _emergency(source: Source) -> Proof:
    """Compare the agreement with itself without emergency clauses: nothing else but what they may lift refused before."""
    calm = tuple(clause for clause in source.document.clauses if not isinstance(clause, Emergency))
    before = replace(source, document=replace(source.document, clauses=calm))

    def is_kept(clause_id: str) -> bool:
        is_row = clause_id in {*Baseline}
        return clause_id not in _LIFTABLE_ROWS if is_row else not isinstance(layer_of(before, clause_id)[1], _LIFTABLE)

    return Proof(
        EMERGENCY,
        "a declared emergency lifts nothing but quotas, acknowledgements, approvals, embargoes and agreed consent",
        counterexample=newly_permitted(before, source, is_kept),
    )


def _umbrella(source: Source, umbrella: Umbrella) -> Proof:
    """Ask the umbrella's clauses as though it stood alone; what an emergency of the arrangement lifts is not asked."""
    alone = replace(
        source, document=umbrella.document, digest=umbrella.digest, state=umbrella.state, umbrella=None, caveats=()
    )
    clauses = {clause.id: clause for clause in umbrella.document.clauses}
    statement = f"the arrangement permits nothing that a clause of its umbrella {umbrella.document.id} refuses"

    def is_asked(clause_id: str) -> bool:
        return clause_id in clauses and not isinstance(clauses[clause_id], (*_LIFTABLE, *_BY_ID))

    return Proof(UMBRELLA, statement, counterexample=newly_permitted(alone, source, is_asked))


def _permitted(source: Source, never: Never) -> Witness | None:
    """Give a permitted case of what must never be."""
    for pair in directions(source):
        for section in sections(source, *pair):
            permit = (no(one.term) for one in section.conditions)
            wanted = (within(section.window), no(RECALLING), never(source, section), *permit)
            example = find(wanted, wishes(pair, section.window))
            if example is not None:
                return witness(example, pair, section.point, source).permitted_by(source)
    return None
