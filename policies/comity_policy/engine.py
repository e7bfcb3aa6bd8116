"""Decisions: one rule, no options.

`PERMIT portion p to node r` if and only if no rule of the agreement in this direction at this point is violated. Rules in
order: the agreement named is the compiled one and in force (with its umbrella, where it has one), a grant of it applies, every
requirement of both holds, no national caveat fires, every fact was there. Every rule is evaluated every time, so the whole
set of violated clauses comes out, baseline first, then in the order of document, umbrella and caveats. Default deny: a fact that is missing or of a wrong type denies (FACT_MISSING) where the clause is
decided. Nothing is cached but the compiled agreement. A recall gives nothing: only the rules it is named in are asked of it.

    compiled = compile_agreement(document, digest, state, vocabularies)
    decision = compiled.decide(profile, times, 0, node, moment)
    decision.permit, decision.violations, decision.deferred

The meaning of each rule is docs/policy-semantics.md; `lowering.py` makes rules, `predicates` the closures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Final

from comity_policy import lowering, predicates
from comity_policy.companions import Caveat, Umbrella
from comity_policy.decision import Decision, Reason, ReportDecision, Violation
from comity_policy.document import Document
from comity_policy.facts import AgreementState, Kind, Moment, NodeFacts, Point, Profile, Times
from comity_policy.floors import sets_floor
from comity_policy.fused import Fused, fuse
from comity_policy.lowering import NO_TABLE, Direction, Source
from comity_policy.predicates import Check
from comity_policy.rules import Rule, Test
from comity_policy.sections import AgreementKind
from comity_policy.vocabulary import Vocabularies, VocabularyError

# After so many decisions in a direction at a point its checks are laid end to end, which takes a few milliseconds.
FUSED_FROM: Final = 32
_SHARED: Final = 4_096
_REASONS = {
    predicates.DENIED: Reason.DENIED,
    predicates.MISSING: Reason.FACT_MISSING,
    predicates.SUSPENDED: Reason.CLAUSE_SUSPENDED,
}

__all__ = ["CompiledAgreement", "CompositionError", "Umbrella", "compile_agreement", "decide_report"]


class CompositionError(ValueError):
    """An umbrella or a caveat that does not belong to the agreement it is compiled with; the message says which and why."""


@dataclass(slots=True)
class _Rules:
    """The compiled rules of one direction at one point: checks, the violation of each by code, and what they permit with.

    `fused` is the same checks as one function, from when it was worth making.
    """

    checks: tuple[tuple[Check, Mapping[int, Violation]], ...]
    permit: Decision
    by_code: tuple[Mapping[int, Violation], ...]
    fused: Fused | None = None
    decided: int = 0

    def asked(self) -> Fused | None:
        """Count one decision; give the one function from when it is worth making, None before."""
        if self.decided >= FUSED_FROM:
            self.fused = fuse([check for check, _ in self.checks])
        self.decided += 1
        return self.fused


@dataclass(frozen=True, slots=True)
class _Program:
    """The compiled rules of one direction under its tables, by point; `recalling` are those that are asked of a recall."""

    begins_at: int
    ranks: Mapping[str, int]
    at: Mapping[Point, _Rules]
    recalling: Mapping[Point, _Rules]

    def rules(self, profile: Profile, point: Point) -> _Rules:
        """Give what a report with that profile is decided by at a point."""
        return (self.recalling if profile.kind is Kind.RECALL else self.at)[point]


class CompiledAgreement:
    """An agreement ready to decide. Immutable; compile anew when its state changes."""

    __slots__ = ("_programs", "sets_floor", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        # Whether anything asks what a node can: else nobody gathers it.
        self.sets_floor = sets_floor(source)
        self._programs = {
            (from_party, to_party): tuple(
                _compile(source, direction) for direction in lowering.directions(source, from_party, to_party)
            )
            for from_party, to_party in permutations(source.document.parties, 2)
        }

    def decide(self, profile: Profile, times: Times, portion_index: int, node: NodeFacts, moment: Moment) -> Decision:
        """Decide one portion for one recipient node.

        Raises IndexError for a portion the profile does not have; everything else is an answer.
        """
        if portion_index < 0:
            raise IndexError(f"portions are counted from 0, not {portion_index}")
        portion = profile.portions[portion_index]
        program = self._program(profile.originator.party, node.party, times.created_at)
        rank = program.ranks.get(portion.label.classification)
        rules = program.rules(profile, moment.point)
        fused = rules.fused or rules.asked()
        if fused is not None:
            found = fused.run(fused.constants, rules.by_code, profile, times, portion, rank, node, moment)
            return Decision(permit=False, violations=found, deferred=rules.permit.deferred) if found else rules.permit
        violations: list[Violation] = []
        for check, by_code in rules.checks:
            try:
                if code := check(profile, times, portion, rank, node, moment):
                    violations.append(by_code[code])
            except (TypeError, AttributeError):
                violations.append(by_code[predicates.MISSING])
        if violations:
            return Decision(permit=False, violations=tuple(violations), deferred=rules.permit.deferred)
        return rules.permit

    def decide_each(
        self, profile: Profile, each: Sequence[Times], portion_index: int, node: NodeFacts, moment: Moment
    ) -> list[Decision]:
        """Decide one portion for one node in reports that differ in their times alone; the same decision is the same object.

        Raises IndexError for a portion the profile does not have.
        """
        found: list[Decision] = []
        known: dict[tuple[Violation, ...], Decision] = {}
        portion, decided_by = profile.portions[portion_index], None
        for times in each:
            program = self._program(profile.originator.party, node.party, times.created_at)
            rules = program.rules(profile, moment.point)
            if program is not decided_by:
                known, decided_by, rank = {}, program, program.ranks.get(portion.label.classification)
            fused = rules.fused or rules.asked()
            if fused is None:
                found.append(self.decide(profile, times, portion_index, node, moment))
                continue
            timed = fused.timed(fused.constants, rules.by_code, profile, times, portion, rank, node, moment)
            if timed not in known:
                known[timed] = self.decide(profile, times, portion_index, node, moment)
            found.append(known[timed])
        return found

    def deferred(self, from_party: str, to_parties: Sequence[str], point: Point) -> tuple[str, ...]:
        """Give the ids of the clauses decided on what a party sends to any of these, but not at this point."""
        programs = self._programs.get((from_party, to_parties[0]), ()) if len(to_parties) == 1 else ()
        if programs:
            return programs[0].at[point].permit.deferred
        return lowering.deferred(self.source, from_party, to_parties, point)

    def _program(self, from_party: str, to_party: str, created_at: int) -> _Program:
        try:
            for program in self._programs.get((from_party, to_party), ()):
                if program.begins_at <= created_at:
                    return program
        except TypeError:
            pass  # A time that is no number is in no table: every rule that needs it says FACT_MISSING below.
        # Strangers, and reports older than every table, are denied all the same, with the whole set of reasons.
        return _compile(self.source, Direction(from_party, to_party, NO_TABLE))


def compile_agreement(
    document: Document,
    digest: bytes,
    state: AgreementState,
    vocabularies: Vocabularies,
    *,
    umbrella: Umbrella | None = None,
    caveats: Iterable[Caveat] = (),
) -> CompiledAgreement:
    """Give the agreement ready to decide, in the state it has; `digest` is that of the signed bytes.

    An arrangement is compiled with its umbrella: without it, nothing of it is ever in force. `caveats` are those on this
    agreement that are not withdrawn. Raises VocabularyError for vocabularies other than those the documents name by digest,
    CompositionError for an umbrella that is not the one the document names and for a caveat on something else.
    """
    for one in (document, umbrella.document) if umbrella is not None else (document,):
        for name, named in one.vocabularies.items():
            if vocabularies.digests.get(name) != named:
                raise VocabularyError(name, f"the agreement names another version of {name!r}: {named}")
    known = tuple(caveats)
    if umbrella is not None:
        _check_umbrella(document, umbrella)
    _check_caveats(document, digest, known)
    return CompiledAgreement(
        lowering.source_of(document, digest, state, vocabularies, umbrella=umbrella, caveats=known)
    )


def _check_umbrella(document: Document, umbrella: Umbrella) -> None:
    if document.kind != AgreementKind.ARRANGEMENT or document.under is None:
        raise CompositionError(f"{document.id} is no arrangement and has no umbrella")
    if umbrella.document.kind != AgreementKind.UMBRELLA:
        raise CompositionError(f"{umbrella.document.id} is no umbrella")
    given = (umbrella.document.id, f"sha384:{umbrella.digest.hex()}")
    if given != (document.under.agreement, document.under.digest):
        named = f"{document.under.agreement} {document.under.digest}"
        raise CompositionError(f"{document.id} is under {named}, not under {' '.join(given)}")


def _check_caveats(document: Document, digest: bytes, caveats: Sequence[Caveat]) -> None:
    named = set[tuple[str, str]]()
    for one in caveats:
        if (one.agreement, one.digest) != (document.id, f"sha384:{digest.hex()}"):
            raise CompositionError(
                f"caveat {one.id} of {one.party} is on {one.agreement} {one.digest}, not on this text"
            )
        if one.party not in document.parties:
            raise CompositionError(f"caveat {one.id} is of {one.party}, which is no party of {document.id}")
        if (one.party, one.id) in named:
            raise CompositionError(f"caveat {one.id} of {one.party} is given twice")
        named.add((one.party, one.id))


def _compile(source: Source, direction: Direction) -> _Program:
    lowered = {point: lowering.lower(source, direction, point) for point in Point}
    return _Program(
        direction.begins_at,
        direction.table.ranks,
        {point: _rules(source, direction, point, lowered[point]) for point in Point},
        {point: _rules(source, direction, point, [one for one in lowered[point] if one.of_recalls]) for point in Point},
    )


def _rules(source: Source, direction: Direction, point: Point, lowered: Sequence[Rule]) -> _Rules:
    checks = tuple((_check(rule.test), _violations(str(rule.clause_id))) for rule in lowered)
    left = lowering.deferred(source, direction.from_party, (direction.to_party,), point)
    return _Rules(checks, Decision(permit=True, deferred=left), tuple(by_code for _, by_code in checks))


# Agreements say much in the same words. What they share is one object, which the processor's caches hold however many
# agreements are in force.


def _check(test: Test) -> Check:
    try:
        return _shared_check(test)
    except TypeError:
        return predicates.build(test)  # It holds a table, which has no hash.


_shared_check = lru_cache(maxsize=_SHARED)(predicates.build)


@lru_cache(maxsize=_SHARED)
def _violations(clause_id: str) -> Mapping[int, Violation]:
    return {code: Violation(clause_id, reason) for code, reason in _REASONS.items()}


def decide_report(
    compiled: CompiledAgreement, profile: Profile, times: Times, nodes: Sequence[NodeFacts], moment: Moment
) -> ReportDecision:
    """Decide every portion for every node of an addressed party.

    The originator's own node is left out: its own stanza holds all portions and is no release.
    """
    own = (profile.originator.party, profile.originator.node)
    addressed = tuple(dict.fromkeys(one.party for one in profile.addressees))
    permitted: dict[tuple[str, str], tuple[int, ...]] = {}
    violations: dict[tuple[str, str, int], tuple[Violation, ...]] = {}
    for node in nodes:
        if node.party not in addressed or (node.party, node.node) == own:
            continue
        indices = []
        for index in range(len(profile.portions)):
            decision = compiled.decide(profile, times, index, node, moment)
            if decision.permit:
                indices.append(index)
            else:
                violations[node.party, node.node, index] = decision.violations
        if indices:
            permitted[node.party, node.node] = tuple(indices)
    served = {party for party, _ in permitted}
    return ReportDecision(
        permit=bool(permitted),
        permitted=permitted,
        violations=violations,
        refused_parties=tuple(party for party in addressed if party not in served),
        deferred=compiled.deferred(profile.originator.party, addressed, moment.point),
    )
