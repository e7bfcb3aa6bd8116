"""Test tables of an agreement: cases in a file of data, each with the exact answer, which a non-programmer could add to.

``<agreement>.test.toml`` beside the agreement. ``umbrella = "file"`` and ``caveats = ["file"]`` name texts beside the table
that the agreement is decided with (`companions_named`). ``[defaults]`` and ``[[row]]`` hold facts (see `table_facts.py`); a row has
a `name` and says either ``permit = true`` or ``deny = [...]``, the exact set of violated clauses in the order in which a
decision lists them: baseline rows first, then the document's order. ``points = ["egress", "admission"]`` asks a row at
several points, ``vary = { kind = ["report", "rfi"] }`` repeats it for each of the words.

A table is sharp, and `run_table` says whether it is, when

1. every row is answered as it says;
2. every enforced requirement that can refuse at all is the sole reason of a denial somewhere, and every grant, and every
   clause that survives the end, the reason of a permit: one that turns into a denial when it is dropped;
3. every mutant of the agreement (`mutants.py`: clauses dropped, words dropped, ceilings and spans shifted) is killed:
   some row would be answered otherwise.

An arrangement is tested with its umbrella, in force unless a row says otherwise, and an agreement with the national caveats
on it: their clauses and mutants count like its own, which may have a narrower caveat beside them. Under an umbrella alone nothing is granted: its requirements are held to
stand beside `baseline/grant`, and what survives to make a difference.

    result = run_table(load(data), digest, table, bundled())
    assert result.passed, result.lines()
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from comity_policy.clauses import Acknowledge, Audit, Clause, OnFailure, Onward, OriginatorControl, Status, Survives
from comity_policy.companions import Caveat, Umbrella
from comity_policy.decision import Baseline
from comity_policy.document import Document
from comity_policy.engine import CompiledAgreement, compile_agreement
from comity_policy.facts import AgreementState, Point
from comity_policy.mutants import caveat_mutants, dropped, mutants
from comity_policy.sections import AgreementKind
from comity_policy.sources import Layer, every_layer
from comity_policy.strict_toml import DocumentError, tables_of
from comity_policy.table_facts import Facts, TableError, build
from comity_policy.vocabulary import Vocabularies

__all__ = ["CompanionNames", "RowResult", "TableError", "TableResult", "companions_named", "run_table"]

SIZE_LIMIT = 1 << 20
CASES_LIMIT = 4096
_SECTIONS = {"defaults", "row", "umbrella", "caveats"}
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
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
class CompanionNames:
    """The files beside a table whose texts its agreement is decided with; an empty name is none."""

    umbrella: str = ""
    caveats: tuple[str, ...] = ()


def companions_named(table: bytes) -> CompanionNames:
    """Give the files a table names; raises TableError for a table that cannot be read and for what is no plain file name."""
    raw = _read(table)
    umbrella, caveats = raw.get("umbrella", ""), raw.get("caveats", [])
    if not isinstance(umbrella, str) or not isinstance(caveats, list):
        raise TableError("'umbrella' is the name of a file, 'caveats' a list of them")
    for name in (*([umbrella] if "umbrella" in raw else []), *caveats):
        if not isinstance(name, str) or not _FILE.fullmatch(name):
            raise TableError(f"{name!r} is no name of a file beside the table: letters, digits, '.', '_' and '-'")
    return CompanionNames(umbrella, tuple(caveats))


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
    everyone = tuple(_mutants(document, with_it))
    survivors = tuple(name for name, mutant, beside in everyone if _answers(mutant, beside, cases) == answers)
    uncovered = (*_uncovered(document, with_it, cases, answers), *_idle_caveats(with_it, answers))
    return TableResult(rows, uncovered, survivors, len(everyone))


@dataclass(frozen=True, slots=True)
class _Beside:
    """What an agreement is compiled with."""

    digest: bytes
    vocabularies: Vocabularies
    umbrella: Umbrella | None
    caveats: tuple[Caveat, ...]

    def compiled(
        self, document: Document, state: AgreementState, above: AgreementState | None = None
    ) -> CompiledAgreement:
        """Give the agreement ready to decide, its umbrella in the state `above` where that is said."""
        umbrella = self.umbrella
        if umbrella is not None and above is not None:
            umbrella = replace(umbrella, state=above)
        return compile_agreement(
            document, self.digest, state, self.vocabularies, umbrella=umbrella, caveats=self.caveats
        )

    def layers(self, document: Document) -> tuple[Layer, ...]:
        """Give the texts that are decided beside the agreement's own."""
        source = self.compiled(document, AgreementState(in_force=True)).source
        return every_layer(source)[1:]


def _answers(document: Document, with_it: _Beside, cases: Sequence[_Case]) -> tuple[tuple[str, ...], ...]:
    states = {(case.facts.state, case.facts.above) for case in cases}
    compiled = {both: with_it.compiled(document, *both) for both in states}
    found = []
    for case in cases:
        facts = case.facts
        agreement = compiled[facts.state, facts.above]
        decision = agreement.decide(facts.profile, facts.times, 0, facts.node, facts.moment)
        found.append(PERMIT if decision.permit else tuple(one.clause_id for one in decision.violations))
    return tuple(found)


def _mutants(document: Document, with_it: _Beside) -> Iterator[tuple[str, Document, _Beside]]:
    """Give each mutant of the agreement, and each of a caveat on it, with what it is decided beside."""
    for name, mutant in mutants(document):
        yield name, mutant, with_it
    for position, caveat in enumerate(with_it.caveats):
        for name, changed in caveat_mutants(document, caveat):
            others = (*with_it.caveats[:position], changed, *with_it.caveats[position + 1 :])
            yield f"caveat {caveat.party}/{caveat.id}, {name}", document, replace(with_it, caveats=others)


def _uncovered(
    document: Document, with_it: _Beside, cases: Sequence[_Case], answers: Sequence[tuple[str, ...]]
) -> Iterator[str]:
    # An umbrella grants nothing: that stands beside every other reason.
    always = {str(Baseline.GRANT)} if document.kind == AgreementKind.UMBRELLA else set()
    # A caveat that is narrower than a clause stands beside it always.
    own = ({one for one in answer if not one.startswith("caveat/")} - always for answer in answers)
    sole = {one for answer in own for one in answer if len(answer) == 1}
    for clause in document.clauses:
        if _lets(clause):
            without = _answers(dropped(document, clause.id), with_it, cases)
            if not any(_is_let(*both, always) for both in zip(answers, without, strict=True)):
                yield f"{'grant' if clause.grant else 'clause'} {clause.id} is never the reason of a permit"
        elif isinstance(clause, OriginatorControl) and not any(isinstance(one, Onward) for one in document.clauses):
            # Nothing may be passed on at all: the baseline row stands beside it in every denial.
            if not any(clause.id in answer for answer in answers):
                yield f"clause {clause.id} is never a reason of a denial"
        elif _can_refuse(clause) and clause.id not in sole:
            yield f"clause {clause.id} is never the sole reason of a denial"


def _is_let(before: tuple[str, ...], after: tuple[str, ...], always: set[str]) -> bool:
    """Say whether nothing but what always stands refused before, and something else does afterwards."""
    return {*before} <= always and not {*after} <= always


def _idle_caveats(with_it: _Beside, answers: Sequence[tuple[str, ...]]) -> Iterator[str]:
    sole = {answer[0] for answer in answers if len(answer) == 1}
    for caveat in with_it.caveats:
        for clause in caveat.clauses:
            written = f"caveat/{caveat.party}/{caveat.id}/{clause.id}"
            if written not in sole:
                yield f"clause {written} is never the sole reason of a denial"


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
    if not isinstance(defaults, dict) or not isinstance(rows, list) or not rows or set(raw) - _SECTIONS:
        raise TableError("a table has [[row]] entries, [defaults], umbrella, caveats, and nothing else")
    for position, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise TableError(f"row {position} has no name")
        try:
            yield from _expanded(document, with_it, layers, defaults, row)
        except TableError as error:
            raise TableError(f"row {position} ({row['name']}): {error}") from error


def _read(table: bytes) -> dict[str, object]:
    if len(table) > SIZE_LIMIT:
        raise TableError(f"the table is {len(table)} bytes long, at most {SIZE_LIMIT} are allowed")
    try:
        return tables_of(table)
    except DocumentError as error:
        raise TableError(f"the table is not TOML: {error}") from error


def _expanded(
    document: Document,
    with_it: _Beside,
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
            facts = build(document, with_it.digest, {**merged, **varied}, point, layers)
            yield _Case(name, point, facts, expected)


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
