"""Decisions: one rule, no options.

`PERMIT portion p to node r` if and only if no rule of the agreement in this direction at this point is violated. Rules in
order: the agreement named is the compiled one and in force, a grant of it applies, every requirement holds, every fact was
there. Every rule is evaluated every time, so the whole set of violated clauses comes out, baseline first, then in the
document's order. Default deny: a fact that is missing or of a wrong type denies (FACT_MISSING) where the clause is
decided. Nothing is cached but the compiled agreement.

    compiled = compile_agreement(document, digest, state, vocabularies)
    decision = compiled.decide(profile, times, 0, node, moment)
    decision.permit, decision.violations, decision.deferred

The meaning of each rule is docs/policy-semantics.md; `lowering.py` makes rules, `predicates.py` the closures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from comity_policy import lowering, predicates
from comity_policy.decision import Decision, Reason, ReportDecision, Violation
from comity_policy.document import Document
from comity_policy.facts import AgreementState, Moment, NodeFacts, Point, Profile, Times
from comity_policy.lowering import NO_TABLE, Direction, Source
from comity_policy.predicates import Check
from comity_policy.vocabulary import Vocabularies, VocabularyError

_REASONS = {
    predicates.DENIED: Reason.DENIED,
    predicates.MISSING: Reason.FACT_MISSING,
    predicates.SUSPENDED: Reason.CLAUSE_SUSPENDED,
}


@dataclass(frozen=True, slots=True)
class _Program:
    """The compiled rules of one direction under one table, by point; each check with its violation by code."""

    begins_at: int
    ranks: Mapping[str, int]
    checks: Mapping[Point, tuple[tuple[Check, Mapping[int, Violation]], ...]]


class CompiledAgreement:
    """An agreement ready to decide. Immutable; compile anew when its state changes."""

    __slots__ = ("_deferred", "_permits", "_programs", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self._programs = {
            (from_party, to_party): tuple(
                _compile(source, Direction(from_party, to_party, table))
                for table in lowering.tables(source.document, from_party, to_party)
            )
            for from_party, to_party in permutations(source.document.parties, 2)
        }
        self._deferred = {point: lowering.deferred(source.document, point) for point in Point}
        self._permits = {point: Decision(permit=True, deferred=self._deferred[point]) for point in Point}

    def decide(self, profile: Profile, times: Times, portion_index: int, node: NodeFacts, moment: Moment) -> Decision:
        """Decide one portion for one recipient node.

        Raises IndexError for a portion the profile does not have; everything else is an answer.
        """
        if portion_index < 0:
            raise IndexError(f"portions are counted from 0, not {portion_index}")
        label = profile.portions[portion_index].label
        program = self._program(profile.originator.party, node.party, times.created_at)
        rank = program.ranks.get(label.classification)
        point = moment.point
        violations: list[Violation] = []
        for check, by_code in program.checks[point]:
            try:
                if code := check(profile, times, label, rank, node, moment):
                    violations.append(by_code[code])
            except (TypeError, AttributeError):
                violations.append(by_code[predicates.MISSING])
        if violations:
            return Decision(permit=False, violations=tuple(violations), deferred=self._deferred[point])
        return self._permits[point]

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
    document: Document, digest: bytes, state: AgreementState, vocabularies: Vocabularies
) -> CompiledAgreement:
    """Give the agreement ready to decide, in the state it has; `digest` is that of the signed bytes.

    Raises VocabularyError for vocabularies other than those the document names by digest.
    """
    for name, named in document.vocabularies.items():
        if vocabularies.digests.get(name) != named:
            raise VocabularyError(name, f"the agreement names another version of {name!r}: {named}")
    return CompiledAgreement(lowering.source_of(document, digest, state, vocabularies))


def _compile(source: Source, direction: Direction) -> _Program:
    return _Program(
        direction.table.begins_at,
        direction.table.ranks,
        {
            point: tuple(
                (
                    predicates.build(rule.test),
                    {code: Violation(str(rule.clause_id), reason) for code, reason in _REASONS.items()},
                )
                for rule in lowering.lower(source, direction, point)
            )
            for point in Point
        },
    )


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
        deferred=lowering.deferred(compiled.source.document, moment.point),
    )
