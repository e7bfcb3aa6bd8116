"""Whole generated cases and reports, each set from one seed: an agreement and what is decided under it.

A case has no change, one, or a few (`builders_generated_changes`), so that about half of them pass or fail one clause.
"""

from __future__ import annotations

from random import Random

from builders_generated import Generated, agreement, chance, some
from builders_generated_changes import broken
from builders_generated_floors import stating, with_floors
from builders_generated_reports import Facts, report
from comity_policy.facts import Addressee, Moment, NodeFacts, Originator, Profile, Times

FACTS_EACH = 50
REPORTS_EACH = 10

ReportFacts = tuple[Profile, Times, tuple[NodeFacts, ...], Moment]


def cases(seed: int) -> tuple[Generated, list[Facts]]:
    """Give the agreement and the cases of a seed, the same every time."""
    rng, beside = Random(seed), Random(f"floors of {seed}")
    made = with_floors(beside, agreement(rng))
    drafts = (
        broken(rng, made, report(rng, made), rng.choices((0, 1, 2, 4), (46, 44, 6, 4))[0]) for _ in range(FACTS_EACH)
    )
    return made, [stating(beside, made, one).facts() for one in drafts]


def reports(seed: int) -> tuple[Generated, list[ReportFacts]]:
    """Give the agreement of a seed, and reports of several portions to several nodes, the same every time."""
    rng, beside = Random(seed), Random(f"floors of {seed}")
    made = with_floors(beside, agreement(rng))
    return made, [_report(rng, beside, made) for _ in range(REPORTS_EACH)]


def _report(rng: Random, beside: Random, made: Generated) -> ReportFacts:
    first = broken(rng, made, report(rng, made), rng.choices((0, 1), (4, 1))[0])
    drafts = [first, *(broken(rng, made, first.copy(), rng.choice((0, 1, 2))) for _ in range(rng.randint(0, 3)))]
    drafts += [report(rng, made) for _ in range(rng.choice((0, 0, 1)))]
    drafts = [stating(beside, made, one) for one in drafts]
    nodes = [NodeFacts(**{**draft.node, "node": f"n{number}"}) for number, draft in enumerate(drafts, 1)]
    own = Originator(first.sender, rng.choice(("n0", "n1")))
    nodes += [NodeFacts(**{**first.node, "party": own.party, "node": "n0"})] if chance(rng, 0.5) else []
    addressees = [one for draft in drafts for one in draft.profile["addressees"]]
    addressees += [Addressee(own.party)] if chance(rng, 0.3) else []
    profile = first.profile | {
        "originator": own,
        "addressees": some(rng, addressees, 1),
        "portions": tuple(draft.portion() for draft in drafts[: rng.randint(0, 4)]),
    }
    nodes = [] if chance(rng, 0.05) else nodes
    return Profile(**profile), Times(**first.times), some(rng, nodes, len(nodes)), Moment(**first.moment)
