"""What one decision of the policy engine costs: an example agreement with all its clauses, facts that pass them all.

The target is the design's: under 3 us with 13 clauses. A permit is the costliest common case: every rule is evaluated either way.
"""

from __future__ import annotations

import time
from dataclasses import replace
from importlib.resources import files
from statistics import median

from results import Row

from comity_policy.document import load
from comity_policy.engine import CompiledAgreement, compile_agreement
from comity_policy.facts import Point
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


def policy_decision(seconds: float) -> dict[str, Row]:
    """Measure for about so many seconds."""
    document = load((files("comity_policy") / "examples" / _EXAMPLE).read_bytes())
    by_point = {point: build(document, bytes(48), _FACTS, point) for point in Point}
    first = by_point[Point.ADMISSION]
    compiled = compile_agreement(document, bytes(48), first.state, bundled())
    for facts in by_point.values():
        assert compiled.decide(facts.profile, facts.times, 0, facts.node, facts.moment).permit
    refused = replace(first, profile=replace(first.profile, purpose="export-control"))
    each = seconds / (len(by_point) + 2)
    us = {point.name.lower(): _us(compiled, facts, each) for point, facts in by_point.items()}
    context: dict[str, object] = {
        "agreement": document.id,
        "clauses": len(document.clauses),
        "us_by_point": {name: round(value, 3) for name, value in us.items()},
        "us_refused": round(_us(compiled, refused, each), 3),
    }
    return {"policy_decision": Row(us["admission"], "us/decision", TARGET_US, context)}


def _us(compiled: CompiledAgreement, facts: Facts, seconds: float) -> float:
    """Give the median over some rounds of the mean within one."""
    profile, times, node, moment = facts.profile, facts.times, facts.node, facts.moment
    decide = compiled.decide
    rounds: list[float] = []
    count = 200
    while len(rounds) < _ROUNDS:
        began = time.perf_counter()
        for _ in range(count):
            decide(profile, times, 0, node, moment)
        took = time.perf_counter() - began
        if not rounds and took < seconds / _ROUNDS / 2:
            count *= 2
            continue
        rounds.append(took / count * 1e6)
    return median(rounds)
