"""What a decision before sealing says to its sender: who would get which portions, or why nobody does. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comity.errors import ErrorCode, RefusedError
from comity_policy.decision import ReportDecision
from comity_policy.explanation import ClauseExplanation
from comity_policy.facts import NodeFacts, Profile
from comity_policy.readers import AskedAtOpening


@dataclass(frozen=True, slots=True)
class PreviewedNode:
    """What one node (PARTY/NODE) would get: indices of portions that it may read, and of those that stay closed to it."""

    node: str
    portions: tuple[int, ...]
    withheld: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """Who would receive a report, which portions, and why not the others. Times are Unix milliseconds.

    `deferred` are the clauses that only the broker or the reader decides, `at_opening` says of every clause that asks something
    of the reader what that is. `explanations` are for our own party only. `refusal` is the error `send` would raise; None where
    it would go.
    """

    agreement_id: str
    banner: str
    in_force: bool
    permitted: bool
    nodes: tuple[PreviewedNode, ...]
    refused_parties: tuple[str, ...]
    explanations: tuple[ClauseExplanation, ...]
    deferred: tuple[str, ...]
    at_opening: tuple[AskedAtOpening, ...]
    key_log_age_ms: int | None
    expires_at: int
    approvals_required: int
    refusal: RefusedError | None


def previewed(nodes: Sequence[NodeFacts], profile: Profile, decision: ReportDecision) -> tuple[PreviewedNode, ...]:
    """Give what each node of an addressee would get."""
    addressed = {one.party for one in profile.addressees}
    count = range(len(profile.portions))
    found = []
    for node in nodes:
        if node.party in addressed:
            portions = decision.permitted.get((node.party, node.node), ())
            withheld = tuple(index for index in count if index not in portions)
            found.append(PreviewedNode(f"{node.party}/{node.node}", portions, withheld))
    return tuple(found)


def refused(
    agreement_id: str,
    parties: Sequence[str],
    explanations: tuple[ClauseExplanation, ...],
    *,
    in_force: bool,
) -> RefusedError:
    """Give the error that tells these parties would get nothing, and the first command that may mend it."""
    who = ", ".join(parties) or "anybody"
    if not explanations:
        return RefusedError(
            f"no node of {who} has keys that this report could be sealed to",
            what_to_do="Ask the partner to enrol its nodes, then fetch the key log again.",
        )
    clauses = ", ".join(dict.fromkeys(one.clause_id for one in explanations))
    remedies = [one.remedy.command for one in explanations if one.remedy.command]
    return RefusedError(
        f"{agreement_id} does not permit this report to {who}: {clauses}",
        what_to_do=remedies[0] if remedies else explanations[0].nearest,
        code=ErrorCode.POLICY_DENIED if in_force else ErrorCode.AGREEMENT_NOT_IN_FORCE,
        clauses=explanations,
    )
