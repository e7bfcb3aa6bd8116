"""What one decision of the policy engine costs: an example agreement with all its clauses, facts that pass them all.

The target is the design's: under 3 us with 13 clauses. A permit is the costliest common case: every rule is evaluated either way.
The Cedar twin decides the same facts under the same agreement, to compare with: it is the second opinion, not the hot path.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from itertools import cycle
from statistics import median

from results import Row

from comity_policy.analysis.cedar import CedarTwin
from comity_policy.decision import Decision
from comity_policy.document import Document, load
from comity_policy.engine import FUSED_FROM, CompiledAgreement, compile_agreement
from comity_policy.facts import Moment, NodeFacts, Point, Profile, Times
from comity_policy.table_facts import Facts, build
from comity_policy.vocabulary import bundled

TARGET_US = 3.0
_EXAMPLE = "xar-xbo-ct.toml"
_FACTS = {
    "from": "XAR",
    "to": "XBO",
    "level": "SECRET",
    "releasable_to": ("XAR", "XBO"),
    "categories": ("terrorism",),
    "purpose": "counter-terrorism",
    "expires": "20d",
}
_ROUNDS = 9
# Compiling a thousand agreements takes some seconds, which a short run does not have.
MANY, FEW, SECONDS_FOR_MANY = 1_000, 10, 0.3


def policy_decision(seconds: float) -> dict[str, Row]:
    """Measure for about so many seconds."""
    document, by_point = _example()
    first = by_point[Point.ADMISSION]
    compiled = compile_agreement(document, bytes(48), first.state, bundled())
    for facts in by_point.values():
        assert compiled.decide(facts.profile, facts.times, 0, facts.node, facts.moment).permit
    refused = replace(first, profile=replace(first.profile, purpose="export-control"))
    each = seconds / (len(by_point) + 4)
    us = {point.name.lower(): _us(compiled, facts, each) for point, facts in by_point.items()}
    context: dict[str, object] = {
        "agreement": document.id,
        "clauses": len(document.clauses),
        "us_by_point": {name: round(value, 3) for name, value in us.items()},
        "us_refused": round(_us(compiled, refused, each), 3),
        "us_by_agreements": {str(count): round(value, 3) for count, value in _by_agreements(document, first, each)},
    }
    return {"policy_decision": Row(us["admission"], "us/decision", TARGET_US, context)}


def policy_decision_cedar(seconds: float) -> dict[str, Row]:
    """Measure the Cedar twin at admission for about so many seconds, with its policies and schema parsed beforehand."""
    document, by_point = _example()
    facts = by_point[Point.ADMISSION]
    compiled = compile_agreement(document, bytes(48), facts.state, bundled())
    twin = CedarTwin(compiled.source)
    case = (facts.profile, facts.times, 0, facts.node, facts.moment)
    assert twin.decide(*case) == compiled.decide(*case)
    us, engine_us = _us(twin, facts, seconds / 2), _us(compiled, facts, seconds / 2)
    context: dict[str, object] = {
        "agreement": document.id,
        "clauses": len(document.clauses),
        "us_engine": round(engine_us, 3),
        "times_the_engine": round(us / engine_us),
    }
    return {"policy_decision_cedar": Row(us, "us/decision", None, context)}


def _example() -> tuple[Document, dict[Point, Facts]]:
    document = load((files("comity_policy") / "examples" / _EXAMPLE).read_bytes())
    return document, {point: build(document, bytes(48), _FACTS, point) for point in Point}


def _by_agreements(document: Document, facts: Facts, seconds: float) -> Iterator[tuple[int, float]]:
    """Give what finding an agreement by its id and deciding costs, with so many in force, each asked in turn."""
    for count in (1, MANY if seconds > SECONDS_FOR_MANY else FEW):
        by_id = {
            f"X-{number}": (
                compile_agreement(document, _digest(number), facts.state, bundled()),
                replace(facts.profile, agreement_digest=_digest(number)),
            )
            for number in range(count)
        }
        asked = _InTurn(by_id)
        for _ in range(count * (FUSED_FROM + 1)):
            assert asked.decide(facts.profile, facts.times, 0, facts.node, facts.moment).permit
        yield count, _us(asked, facts, seconds)


def _digest(number: int) -> bytes:
    return number.to_bytes(48, "big")


class _InTurn:
    """Decides by one agreement after another, each found by its id, a report that names it."""

    def __init__(self, by_id: dict[str, tuple[CompiledAgreement, Profile]]) -> None:
        self._by_id = by_id
        self._ids = cycle(by_id)

    def decide(self, profile: Profile, times: Times, portion_index: int, node: NodeFacts, moment: Moment) -> Decision:
        compiled, named = self._by_id[next(self._ids)]
        return compiled.decide(named, times, portion_index, node, moment)


def _us(decider: CompiledAgreement | CedarTwin | _InTurn, facts: Facts, seconds: float) -> float:
    """Give the median over some rounds of the mean within one, in processor time: a decision never waits."""
    profile, times, node, moment = facts.profile, facts.times, facts.node, facts.moment
    decide = decider.decide
    rounds: list[float] = []
    count = 10
    while len(rounds) < _ROUNDS:
        began = time.process_time()
        for _ in range(count):
            decide(profile, times, 0, node, moment)
        took = time.process_time() - began
        if not rounds and took < seconds / _ROUNDS / 2:
            count *= 2
            continue
        rounds.append(took / count * 1e6)
    return median(rounds)
