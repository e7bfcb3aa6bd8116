"""Replay: what a log says was decided, decided again from what it says it was decided from (design of policy, "The decision").

Rules in order:

1. What a decision was made under is compared first: engine, agreement, vocabularies, umbrella, caveats, and the state that the
   log's own steps amount to. Each that is not what is held here is named, and what cannot be decided without it is not decided.
2. Every report of a recorded decision is decided by the engine with its own times, and the first of each answer by the reference
   interpreter too (or that of each record, or every one, or none: `Second`). The answer is compared whole: portions, and every violated clause with its reason.
3. Where the answers differ, the difference names clause, recipient, portion, and the fact that the clause was decided on.
4. A violation by another party's caveat is told as ``PARTY/CAVEAT`` with the reason CAVEAT. Who cannot read that caveat takes it
   as given where it was in force: the rest of the answer has to be the same. Whether it fired or not, a decision that such a
   caveat may have touched is never called identical: `Told.unread` names it.
5. What was not presented is a gap, never a difference and never an identity: a decision without its text is not decided again,
   one of which something could not be held against the log is OPEN.
6. Nothing here reads a log: `Recorded` is made by whoever does. Everything in it is of its right type, and nothing else is taken
   for granted.

    replayer = Replayer(held)
    for told in replayer.replay(recorded):
        told.slot, told.verdict, told.differences
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from comity_policy import reference
from comity_policy.caveat import binding
from comity_policy.companions import Umbrella
from comity_policy.decision import ENGINE, Decision, Reason, ReportDecision, Violation
from comity_policy.document import Document
from comity_policy.engine import CompiledAgreement, CompositionError, decide_report
from comity_policy.explanation import explain
from comity_policy.facts import NodeFacts, Times
from comity_policy.recorded import (
    CAVEAT_REASON,
    Answer,
    Difference,
    Gap,
    Held,
    Missing,
    Recipient,
    Recorded,
    Under,
    What,
)
from comity_policy.replay_under import compared_with_steps, short
from comity_policy.sources import Source, source_of
from comity_policy.vocabulary import Vocabularies

_CAVEAT_PREFIX = "caveat/"
_KEPT = 64
_ANSWERS = 65_536
_NONE: Answer = frozenset()
# By cell (portion, recipient) what a record says.
Answers = tuple[tuple[int, Answer], ...]


class Second(StrEnum):
    """Of which reports the reference interpreter is asked too; it is much slower than the engine.

    ANSWER: of the first that each answer was recorded for, under the same agreement. FIRST: of the first of each record.
    """

    NONE = "none"
    ANSWER = "answer"
    FIRST = "first"
    EVERY = "every"


class Verdict(StrEnum):
    """What came of one report's decision, the worst last; OPEN is identical as far as could be seen."""

    IDENTICAL = "identical"
    OPEN = "open"
    UNKNOWN = "not replayed"
    DIFFERENT = "different"


class Told(NamedTuple):
    """What came of one report. `gaps` say what was not presented, `unread` which caveats nobody showed may have decided."""

    slot: int
    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    gaps: tuple[Gap, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Made:
    """What a decision was made under, ready to decide by where its texts are held; `unread` are the caveats that are not.

    `answers` are those of which the reference interpreter was asked.
    """

    compiled: CompiledAgreement | None
    differences: tuple[Difference, ...]
    gaps: tuple[Gap, ...]
    unread: frozenset[tuple[str, str]]
    answers: set[Answers] = field(default_factory=set)


class Replayer:
    """Decides recorded decisions again, under what is held here."""

    def __init__(self, held: Held, second: Second = Second.ANSWER) -> None:
        self._held = held
        self._second = second
        self._compiled: dict[Under, _Made] = {}
        self._last: tuple[Under, _Made] | None = None

    def replay(self, recorded: Recorded) -> list[Told]:
        """Give what came of each report of a recorded decision, in their order."""
        made = self._under(recorded.under)
        differences, gaps = made.differences + recorded.faults, made.gaps + recorded.gaps
        if made.compiled is None:
            verdict = Verdict.DIFFERENT if differences else Verdict.UNKNOWN
            return [Told(slot, verdict, differences, gaps) for slot, _ in recorded.reports]
        unread = _concerned(recorded, made.unread)
        untold = frozenset((name, CAVEAT_REASON) for name in unread) if unread else _NONE
        expected = _Expected.of(recorded, untold)
        odd, second = expected.odd(made.compiled, recorded), self._asks_second(made, expected)
        alike = Verdict.DIFFERENT if differences else Verdict.OPEN if gaps or unread else Verdict.IDENTICAL
        if not odd and not second:
            rest = (alike, differences, gaps, unread)
            return [Told(slot, *rest) for slot, _ in recorded.reports]
        found: list[Told] = []
        for position, (slot, times) in enumerate(recorded.reports):
            told = differences
            if position in odd:
                told += tuple(_compared(made.compiled, recorded, times, untold))
            if second and (position == 0 or self._second is Second.EVERY):
                told += tuple(_second(made.compiled, self._held.vocabularies, recorded, times))
            found.append(Told(slot, Verdict.DIFFERENT if told else alike, told, gaps, unread))
        return found

    def _asks_second(self, made: _Made, expected: _Expected) -> bool:
        """Say whether the reference interpreter is asked of a record too."""
        if self._second is not Second.ANSWER:
            return self._second is not Second.NONE
        answers = expected.answers
        if answers in made.answers:
            return False
        if len(made.answers) < _ANSWERS:
            made.answers.add(answers)
        return True

    def source(self, under: Under) -> Source | None:
        """Give what decisions under that were made from, as far as caveats are read; None where a text is not held."""
        compiled = self._under(under).compiled
        return None if compiled is None else compiled.source

    def _under(self, under: Under) -> _Made:
        # The decisions of a segment come with the same object, which is told apart faster than it is looked up.
        if self._last is None or self._last[0] is not under:
            if under not in self._compiled:
                if len(self._compiled) >= _KEPT:
                    self._compiled.clear()
                self._compiled[under] = self._made(under)
            self._last = under, self._compiled[under]
        return self._last[1]

    def _made(self, under: Under) -> _Made:
        held, document = self._held, self._held.documents.get(under.agreement_digest)
        differences, gaps = [*self._compared_under(under, document)], list[Gap]()
        if document is None:
            gaps.append(Gap(Missing.TEXT, f"the text {short(under.agreement_digest)} that was decided by"))
        umbrella: Umbrella | None = None
        if under.umbrella is not None:
            name, digest, state = under.umbrella
            text = held.documents.get(digest)
            if text is None:
                gaps.append(Gap(Missing.TEXT, f"the text {short(digest)} of {name}, which was above it"))
                document = None
            else:
                umbrella = Umbrella(text, digest, state)
        caveats = [held.caveats[digest] for _, _, digest in under.caveats if digest in held.caveats]
        unread = frozenset((party, name) for party, name, digest in under.caveats if digest not in held.caveats)
        if document is None:
            return _Made(None, tuple(differences), tuple(gaps), unread)
        known = [binding(one, document, under.agreement_digest) for one in caveats]
        try:
            source = source_of(
                document, under.agreement_digest, under.state, held.vocabularies, umbrella=umbrella, caveats=known
            )
            return _Made(CompiledAgreement(source), tuple(differences), tuple(gaps), unread)
        except (CompositionError, KeyError) as error:
            differences.append(Difference(What.AGREEMENT, f"the text cannot be decided by as it was recorded: {error}"))
            return _Made(None, tuple(differences), tuple(gaps), unread)

    def _compared_under(self, under: Under, document: Document | None) -> Iterator[Difference]:
        held = self._held
        if under.engine != ENGINE:
            yield Difference(What.ENGINE, f"decided by {under.engine}, replayed by {ENGINE}")
        for name, digest in document.vocabularies.items() if document is not None else ():
            if held.vocabularies.digests.get(name) != digest:
                yield Difference(What.VOCABULARY, f"{name}: held here is another version than the agreement names")
        if under.vocabularies != held.vocabularies_digest:
            yield Difference(What.VOCABULARY, "what was decided by is not all of what is held here")
        for party, caveat_id, named in under.caveats:
            caveat = held.caveats.get(named)
            if caveat is not None and (caveat.party, caveat.id) != (party, caveat_id):
                yield Difference(What.CAVEAT, f"{party}/{caveat_id}: the text is that of {caveat.party}/{caveat.id}")
        if under.folded is not None:
            yield from compared_with_steps(under, under.folded)


# --- comparing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Expected:
    """What a record says of each portion for each addressed node, ready to be compared: none refused is a permit.

    `is_whole` is false where the record tells of a node or portion that is not decided: that is a difference by itself.
    """

    cells: tuple[tuple[int, NodeFacts, Answer], ...]
    masked: frozenset[str]
    is_whole: bool

    @classmethod
    def of(cls, recorded: Recorded, untold: Answer) -> _Expected:
        profile = recorded.profile
        own = (profile.originator.party, profile.originator.node)
        addressed = {one.party for one in profile.addressees}
        cells = list[tuple[int, NodeFacts, Answer]]()
        is_whole, permits, refusals = True, 0, 0
        for node in recorded.nodes:
            name = (node.party, node.node)
            if node.party not in addressed or name == own:
                continue
            permitted = recorded.permitted.get(name, ())
            for index in range(len(profile.portions)):
                answer = recorded.refused.get((*name, index), _NONE)
                is_permitted = index in permitted
                is_whole = is_whole and is_permitted is not bool(answer)
                permits += is_permitted
                refusals += bool(answer)
                cells.append((index, node, answer - untold if untold else answer))
        said = sum(len(set(portions)) for portions in recorded.permitted.values())
        # What is decided is told of: where more is told of, it is of what is not decided.
        is_whole = is_whole and said == permits and len(recorded.refused) == refusals
        return cls(tuple(cells), _masked_names(recorded), is_whole)

    @property
    def answers(self) -> Answers:
        """Give what is said of each portion and recipient, whoever the recipients are."""
        return tuple((index, answer) for index, _, answer in self.cells)

    def odd(self, compiled: CompiledAgreement, recorded: Recorded) -> AbstractSet[int]:
        """Give the places of those reports for which the engine answers otherwise."""
        profile, moment = recorded.profile, recorded.moment
        each = [times for _, times in recorded.reports]
        if not self.is_whole:
            return frozenset(range(len(each)))
        odd = set[int]()
        for index, node, expected in self.cells:
            found = compiled.decide_each(profile, each, index, node, moment)
            # What comes again is the same object: each is looked at once.
            alike = {
                number: frozenset(_masked(one, self.masked) for one in decision.violations) == expected
                for number, decision in {id(one): one for one in found}.items()
            }
            if not all(alike.values()):
                odd.update(place for place, decision in enumerate(found) if not alike[id(decision)])
        return odd


def _concerned(recorded: Recorded, unread: AbstractSet[tuple[str, str]]) -> tuple[str, ...]:
    """Give those caveats that may speak in this direction: the sender's own, and of whom it is sent to."""
    if not unread:
        return ()
    profile = recorded.profile
    concerned = {profile.originator.party, *(one.party for one in profile.addressees)}
    return tuple(sorted(f"{party}/{name}" for party, name in unread if party in concerned))


def _answers(found: ReportDecision, masked: AbstractSet[str]) -> dict[tuple[str, str, int], Answer]:
    """Give the violated clauses as a record has them; those of a caveat in `masked` under its name alone."""
    return {
        where: frozenset(_masked(one, masked) for one in violations) for where, violations in found.violations.items()
    }


def _masked(one: Violation, masked: AbstractSet[str]) -> tuple[str, str]:
    if masked and one.clause_id.startswith(_CAVEAT_PREFIX):
        name = "/".join(one.clause_id.split("/")[1:3])
        if name in masked:
            return name, CAVEAT_REASON
    return one.clause_id, one.reason.value


def _masked_names(recorded: Recorded) -> frozenset[str]:
    """Give the caveats that a record tells by their names alone."""
    return frozenset(
        clause for answer in recorded.refused.values() for clause, reason in answer if reason == CAVEAT_REASON
    )


def _compared(
    compiled: CompiledAgreement,
    recorded: Recorded,
    times: Times,
    untold: Answer,
) -> Iterator[Difference]:
    """Tell every difference between the recorded answer and the one found, clause by clause."""
    found = decide_report(compiled, recorded.profile, times, recorded.nodes, recorded.moment)
    answers = _answers(found, _masked_names(recorded))
    nodes = {(node.party, node.node): node for node in recorded.nodes}
    said = {(party, name, portion) for (party, name), portions in recorded.permitted.items() for portion in portions}
    got = {(party, name, portion) for (party, name), portions in found.permitted.items() for portion in portions}
    for where in sorted({*said, *got, *answers, *recorded.refused}):
        told, now = recorded.refused.get(where, frozenset()), answers.get(where, frozenset())
        if not untold.isdisjoint(told):
            told -= untold
            if where not in said and told == now:
                continue
        place = f"{where[0]}/{where[1]}, portion {where[2] + 1}"
        for clause, reason in sorted(told - now):
            fact = _fact(compiled, recorded, times, nodes, where, Violation(clause, _reason(reason)))
            yield Difference(What.FACT, f"{place}: clause {clause} was violated ({reason}) and is not{fact}")
        for clause, reason in sorted(now - told):
            fact = _fact(compiled, recorded, times, nodes, where, Violation(clause, _reason(reason)))
            yield Difference(What.FACT, f"{place}: clause {clause} is violated ({reason}) and was not{fact}")
        if told == now and (where in said) != (where in got):
            was, is_now = ("permitted", "refused") if where in said else ("refused", "permitted")
            yield Difference(What.FACT, f"{place} was {was} and is {is_now}")


def _fact(  # noqa: PLR0917 - the arguments of explain, but for its answer
    compiled: CompiledAgreement,
    recorded: Recorded,
    times: Times,
    nodes: Mapping[Recipient, NodeFacts],
    where: tuple[str, str, int],
    violation: Violation,
) -> str:
    """Give the fact a clause is decided on, what it is and what it should be; nothing where the clause is not known here."""
    node = nodes.get(where[:2])
    if node is None or not 0 <= where[2] < len(recorded.profile.portions):
        return ""
    decision = Decision(permit=False, violations=(violation,))
    try:
        (one,) = explain(compiled, recorded.profile, times, where[2], node, recorded.moment, decision)
    except KeyError:
        return ""
    return f"; {one.fact} is {one.got}, wanted {one.wanted}"


def _reason(word: str) -> Reason:
    return Reason(word) if word in set(Reason) else Reason.DENIED


def _second(
    compiled: CompiledAgreement, vocabularies: Vocabularies, recorded: Recorded, times: Times
) -> Iterator[Difference]:
    """Ask the reference interpreter."""
    source = compiled.source
    found = decide_report(compiled, recorded.profile, times, recorded.nodes, recorded.moment)
    second = reference.decide_report(
        source.document,
        source.digest,
        source.state,
        vocabularies,
        recorded.profile,
        times,
        recorded.nodes,
        recorded.moment,
        umbrella=source.umbrella,
        caveats=source.caveats,
    )
    if second != found:
        yield Difference(What.REFERENCE, "engine and reference interpreter do not agree: one of the two is wrong")
