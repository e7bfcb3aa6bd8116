"""Test tables of an agreement: cases in a file of data, each with the exact answer, which a non-programmer could add to.

``<agreement>.test.toml`` beside the agreement. ``[defaults]`` and ``[[row]]`` hold facts (see `table_facts.py`); a row has
a `name` and says either ``permit = true`` or ``deny = [...]``, the exact set of violated clauses in the order in which a
decision lists them: baseline rows first, then the document's order. ``points = ["egress", "admission"]`` asks a row at
several points, ``vary = { kind = ["report", "rfi"] }`` repeats it for each of the words.

A table is sharp, and `run_table` says whether it is, when

1. every row is answered as it says;
2. every enforced requirement that can refuse at all is the sole reason of a denial somewhere, and every grant, and every
   clause that survives the end, the reason of a permit: one that turns into a denial when it is dropped;
3. every mutant of the agreement (`mutants.py`: clauses dropped, words dropped, ceilings and spans shifted) is killed:
   some row would be answered otherwise.

An arrangement is tested with its umbrella (in force), and an agreement, where wanted, with national caveats on it.

    result = run_table(load(data), digest, table, bundled())
    assert result.passed, result.lines()
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from comity_policy.clauses import Acknowledge, Audit, Clause, OnFailure, Onward, OriginatorControl, Status, Survives
from comity_policy.companions import Caveat, Umbrella
from comity_policy.document import Document
from comity_policy.engine import CompiledAgreement, compile_agreement
from comity_policy.facts import AgreementState, Point
from comity_policy.mutants import dropped, mutants
from comity_policy.sources import Layer, every_layer
from comity_policy.table_facts import Facts, TableError, build
from comity_policy.vocabulary import Vocabularies

__all__ = ["RowResult", "TableError", "TableResult", "run_table"]

SIZE_LIMIT = 1 << 20
CASES_LIMIT = 4096
_POINTS = {"egress": Point.EGRESS, "admission": Point.ADMISSION, "opening": Point.OPENING}
PERMIT: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowResult:
    """One case: what it expected and got, as violated clauses in order; none is a permit."""

    name: str
    point: Point
    expected: tuple[str, ...]
    got: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Say whether the answer was exactly the expected one."""
        return self.expected == self.got


@dataclass(frozen=True, slots=True)
class TableResult:
    """What a table showed. `uncovered` and `survivors` say in words what it would not have noticed."""

    rows: tuple[RowResult, ...]
    uncovered: tuple[str, ...]
    survivors: tuple[str, ...]
    mutants: int

    @property
    def failed(self) -> tuple[RowResult, ...]:
        """Give the cases that were answered otherwise."""
        return tuple(row for row in self.rows if not row.passed)

    @property
    def passed(self) -> bool:
        """Say whether every row holds and the table is sharp."""
        return not (self.failed or self.uncovered or self.survivors)

    def lines(self) -> tuple[str, ...]:
        """Give the result for people, one finding a line and the sum last."""
        wrong = (
            f"row {row.name!r} at {row.point.name.lower()}: expected {_shown(row.expected)}, got {_shown(row.got)}"
            for row in self.failed
        )
        killed = self.mutants - len(self.survivors)
        total = (
            f"{len(self.rows) - len(self.failed)} of {len(self.rows)} cases as expected, "
            f"{killed} of {self.mutants} mutants killed"
        )
        return (*wrong, *self.uncovered, *(f"mutant survived: {one}" for one in self.survivors), total)


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    point: Point
    facts: Facts
    expected: tuple[str, ...]


def run_table(
    document: Document,
    digest: bytes,
    table: bytes,
    vocabularies: Vocabularies,
    *,
    umbrella: Umbrella | None = None,
    caveats: Sequence[Caveat] = (),
) -> TableResult:
    """Run the table against the agreement and against its mutants; raises TableError for a table that cannot be read.

    `digest` is that of the agreement's bytes. Time grows with cases times mutants.
    """
    with_it = _Beside(digest, vocabularies, umbrella, tuple(caveats))
    cases = tuple(itertools.islice(_cases(document, with_it, table), CASES_LIMIT + 1))
    if len(cases) > CASES_LIMIT:
        raise TableError(f"the table has more than {CASES_LIMIT} cases")
    answers = _answers(document, with_it, cases)
    rows = tuple(RowResult(case.name, case.point, case.expected, got) for case, got in zip(cases, answers, strict=True))
    everyone = tuple(mutants(document))
    survivors = tuple(name for name, mutant in everyone if _answers(mutant, with_it, cases) == answers)
    uncovered = tuple(_uncovered(document, with_it, cases, answers))
    return TableResult(rows, uncovered, survivors, len(everyone))


@dataclass(frozen=True, slots=True)
class _Beside:
    """What an agreement is compiled with."""

    digest: bytes
    vocabularies: Vocabularies
    umbrella: Umbrella | None
    caveats: tuple[Caveat, ...]

    def compiled(self, document: Document, state: AgreementState) -> CompiledAgreement:
        return compile_agreement(
            document, self.digest, state, self.vocabularies, umbrella=self.umbrella, caveats=self.caveats
        )

    def layers(self, document: Document) -> tuple[Layer, ...]:
        """Give the texts that are decided beside the agreement's own."""
        source = self.compiled(document, AgreementState(in_force=True)).source
        return every_layer(source)[1:]


def _answers(document: Document, with_it: _Beside, cases: Sequence[_Case]) -> tuple[tuple[str, ...], ...]:
    compiled = {state: with_it.compiled(document, state) for state in {c.facts.state for c in cases}}
    found = []
    for case in cases:
        facts = case.facts
        decision = compiled[facts.state].decide(facts.profile, facts.times, 0, facts.node, facts.moment)
        found.append(PERMIT if decision.permit else tuple(one.clause_id for one in decision.violations))
    return tuple(found)


def _uncovered(
    document: Document, with_it: _Beside, cases: Sequence[_Case], answers: Sequence[tuple[str, ...]]
) -> Iterator[str]:
    sole = {answer[0] for answer in answers if len(answer) == 1}
    for clause in document.clauses:
        if _lets(clause):
            without = _answers(dropped(document, clause.id), with_it, cases)
            if not any(before == PERMIT and after != PERMIT for before, after in zip(answers, without, strict=True)):
                yield f"{'grant' if clause.grant else 'clause'} {clause.id} is never the reason of a permit"
        elif isinstance(clause, OriginatorControl) and not any(isinstance(one, Onward) for one in document.clauses):
            # Nothing may be passed on at all: the baseline row stands beside it in every denial.
            if not any(clause.id in answer for answer in answers):
                yield f"clause {clause.id} is never a reason of a denial"
        elif _can_refuse(clause) and clause.id not in sole:
            yield f"clause {clause.id} is never the sole reason of a denial"


def _lets(clause: Clause) -> bool:
    """Say whether a clause lets something pass that would be refused without it."""
    return clause.grant or isinstance(clause, Survives)


def _can_refuse(clause: Clause) -> bool:
    match clause:
        case Acknowledge():
            return clause.stop_after is not None
        case Audit():
            return clause.on_failure is OnFailure.HALT
        case _:
            return Status.ENFORCED in clause.status


def _cases(document: Document, with_it: _Beside, table: bytes) -> Iterator[_Case]:
    raw, layers = _read(table), with_it.layers(document)
    defaults, rows = raw.get("defaults", {}), raw.get("row")
    if not isinstance(defaults, dict) or not isinstance(rows, list) or not rows or set(raw) - {"defaults", "row"}:
        raise TableError("a table has [[row]] entries, [defaults], and nothing else")
    for position, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise TableError(f"row {position} has no name")
        try:
            yield from _expanded(document, with_it.digest, layers, defaults, row)
        except TableError as error:
            raise TableError(f"row {position} ({row['name']}): {error}") from error


def _read(table: bytes) -> dict[str, object]:
    if len(table) > SIZE_LIMIT:
        raise TableError(f"the table is {len(table)} bytes long, at most {SIZE_LIMIT} are allowed")
    try:
        return tomllib.loads(table.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise TableError(f"the table is not TOML: {error}") from error


def _expanded(
    document: Document,
    digest: bytes,
    layers: tuple[Layer, ...],
    defaults: Mapping[str, object],
    row: Mapping[str, object],
) -> Iterator[_Case]:
    merged = {**defaults, **{key: value for key, value in row.items() if key not in {"name", "permit", "deny", "vary"}}}
    points = _points(merged.pop("points", ["admission"]))
    expected = _expected(document, layers, row)
    vary = row.get("vary", {})
    if not isinstance(vary, dict) or not all(isinstance(values, list) for values in vary.values()):
        raise TableError("'vary' is a table of lists")
    for combination in itertools.product(*vary.values()):
        varied = dict(zip(vary, combination, strict=True))
        name = " ".join([str(row["name"]), *(f"[{key} = {value}]" for key, value in varied.items())])
        for point in points:
            yield _Case(name, point, build(document, digest, {**merged, **varied}, point, layers), expected)


def _points(words: object) -> tuple[Point, ...]:
    if not isinstance(words, list) or not words or not all(isinstance(one, str) and one in _POINTS for one in words):
        raise TableError(f"'points' is a list of {', '.join(_POINTS)}")
    return tuple(_POINTS[one] for one in words)


def _expected(document: Document, layers: tuple[Layer, ...], row: Mapping[str, object]) -> tuple[str, ...]:
    if row.get("permit") is True and "deny" not in row:
        return PERMIT
    clauses = row.get("deny")
    if "permit" in row or not isinstance(clauses, list) or not clauses:
        raise TableError("say either permit = true, or deny = [...] with at least one clause")
    known = {clause.id for clause in document.clauses}
    known |= {layer.written(clause) for layer in layers for clause in layer.clauses}
    for one in clauses:
        if not isinstance(one, str) or not (one in known or one.startswith("baseline/")):
            raise TableError(f"there is no clause {one!r}")
    return tuple(clauses)


def _shown(clauses: tuple[str, ...]) -> str:
    return f"deny by {', '.join(clauses)}" if clauses else "permit"
