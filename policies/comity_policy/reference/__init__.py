"""The reference interpreter: what docs/policy-semantics.md says, as plainly as possible, for tests and second opinions.

It was written from that table and the dataclasses alone, by somebody who had not read the engine, so that a mistake has to
be made twice to stay hidden; a property test holds both to the same answers. It shares no rule, no table and no helper
with the engine, and it is slow.

Rules in order:

1. One small function per baseline row (`baseline.py`) and per clause kind (`clauses.py`). Each yields every reason it
   sees; FACT_MISSING stands before DENIED.
2. Baseline rows first, then clauses in document order; every row that is decided at the point is evaluated every time.
3. A suspended clause that can be suspended is not evaluated: it is CLAUSE_SUSPENDED for what it covers.
4. A fact of a wrong type is a missing one (`case.py`).
5. Of a recall six baseline rows and the clauses `suites` and `audit` are asked, and nothing else.

    decide(document, digest, state, vocabularies, profile, times, 0, node, moment)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from comity_policy.clauses import Audit, CaveatClause, Clause, Emergency, Onward, Scope, Suites
from comity_policy.companions import Caveat, Umbrella
from comity_policy.decision import Baseline, Decision, Reason, ReportDecision, Violation
from comity_policy.facts import AgreementState, Kind, Moment, NodeFacts, Point, Profile, Times
from comity_policy.reference.baseline import BASELINE
from comity_policy.reference.case import Case
from comity_policy.reference.clauses import judged, points_of
from comity_policy.sections import Document
from comity_policy.vocabulary import Vocabularies

__all__ = ["decide", "decide_report"]

# Rule 5.
_ROWS_OF_RECALLS = (
    Baseline.PARTIES,
    Baseline.AGREEMENT,
    Baseline.ADDRESSEE,
    Baseline.BROKER,
    Baseline.NODE,
    Baseline.TIMES,
)
_NOTHING_SUSPENDED = AgreementState(in_force=True)


def decide(  # noqa: PLR0917 - the arguments of the engine, agreement first
    document: Document,
    digest: bytes,
    state: AgreementState,
    vocabularies: Vocabularies,
    profile: Profile,
    times: Times,
    portion_index: int,
    node: NodeFacts,
    moment: Moment,
    *,
    umbrella: Umbrella | None = None,
    caveats: Sequence[Caveat] = (),
) -> Decision:
    """Give the answer for one portion and one node under the agreement of that digest (48 bytes); times in Unix ms.

    Raises IndexError when the report has no such portion.
    """
    if portion_index < 0:
        raise IndexError(f"portions are counted from 0, not {portion_index}")
    portion = profile.portions[portion_index]
    lifting = tuple(
        one for one in document.clauses if isinstance(one, Emergency) and one.id not in state.suspended_clauses
    )
    case = Case(document, digest, state, vocabularies, profile, times, portion, node, moment, lifting, umbrella)
    violations: list[Violation] = []
    for row, points, rule in BASELINE:
        if moment.point.value in points and (profile.kind != Kind.RECALL or row in _ROWS_OF_RECALLS):
            violations += _violation(row.value, rule(case))
    for name, clause, its_case in _clauses(case, caveats):
        if profile.kind == Kind.RECALL and not isinstance(clause, Suites | Audit):
            continue
        if moment.point.value in points_of(clause):
            violations += _violation(name, judged(its_case, clause))
    parties = (profile.originator.party, (node.party,))
    return Decision(not violations, tuple(violations), _deferred(document, umbrella, caveats, parties, moment.point))


def _clauses(case: Case, caveats: Sequence[Caveat]) -> Iterator[tuple[str, Clause | CaveatClause, Case]]:
    """Give every clause with its name and the case it is judged in: the agreement's, the umbrella's, the caveats'."""
    cases: list[tuple[Case, Sequence[Clause | CaveatClause]]] = [(case, case.document.clauses)]
    if (umbrella := case.umbrella) is not None:
        prefix = f"{umbrella.document.id}/"
        above = replace(case, document=umbrella.document, state=umbrella.state, prefix=prefix)
        cases.append((above, _requirements(umbrella)))
    for caveat in _applying(caveats, case.sender, (case.recipient,)):
        prefix = f"caveat/{caveat.party}/{caveat.id}/"
        cases.append((replace(case, state=_NOTHING_SUSPENDED, emergencies=(), prefix=prefix), caveat.clauses))
    for its_case, clauses in cases:
        for clause in clauses:
            yield its_case.prefix + clause.id, clause, its_case


def _requirements(umbrella: Umbrella) -> list[Clause]:
    return [one for one in umbrella.document.clauses if not isinstance(one, Scope | Onward | Emergency)]


def _applying(caveats: Sequence[Caveat], sender: str, recipients: Sequence[str]) -> list[Caveat]:
    found = [one for one in caveats if one.party == sender or (one.incoming and one.party in recipients)]
    return sorted(found, key=lambda one: (one.party, one.id))


def decide_report(  # noqa: PLR0917 - the arguments of the engine, agreement first
    document: Document,
    digest: bytes,
    state: AgreementState,
    vocabularies: Vocabularies,
    profile: Profile,
    times: Times,
    nodes: Iterable[NodeFacts],
    moment: Moment,
    *,
    umbrella: Umbrella | None = None,
    caveats: Sequence[Caveat] = (),
) -> ReportDecision:
    """Give the answer for every portion and every node of an addressed party but the originator's own node."""
    addressed = list(dict.fromkeys(addressee.party for addressee in profile.addressees))
    permitted: dict[tuple[str, str], tuple[int, ...]] = {}
    violations: dict[tuple[str, str, int], tuple[Violation, ...]] = {}
    for node in nodes:
        own = (node.party, node.node) == (profile.originator.party, profile.originator.node)
        if node.party not in addressed or own:
            continue
        for index in range(len(profile.portions)):
            decision = decide(
                document,
                digest,
                state,
                vocabularies,
                profile,
                times,
                index,
                node,
                moment,
                umbrella=umbrella,
                caveats=caveats,
            )
            where = (node.party, node.node)
            if decision.permit:
                permitted[where] = (*permitted.get(where, ()), index)
            else:
                violations[(*where, index)] = decision.violations
    reached = {party for party, _ in permitted}
    refused = tuple(party for party in addressed if party not in reached)
    parties = (profile.originator.party, addressed)
    left = _deferred(document, umbrella, caveats, parties, moment.point)
    return ReportDecision(bool(permitted), permitted, violations, refused, left)


def _violation(clause_id: str, reasons: Iterable[Reason]) -> list[Violation]:
    found = set(reasons)
    for reason in (Reason.CLAUSE_SUSPENDED, Reason.FACT_MISSING, Reason.DENIED):
        if reason in found:
            return [Violation(clause_id, reason)]
    return []


def _deferred(
    document: Document,
    umbrella: Umbrella | None,
    caveats: Sequence[Caveat],
    parties: tuple[str, Sequence[str]],
    point: Point,
) -> tuple[str, ...]:
    named: list[tuple[str, Clause | CaveatClause]] = [(one.id, one) for one in document.clauses]
    if umbrella is not None:
        named += [(f"{umbrella.document.id}/{one.id}", one) for one in _requirements(umbrella)]
    for caveat in _applying(caveats, *parties):
        named += [(f"caveat/{caveat.party}/{caveat.id}/{one.id}", one) for one in caveat.clauses]
    return tuple(name for name, one in named if points_of(one) and point.value not in points_of(one))
