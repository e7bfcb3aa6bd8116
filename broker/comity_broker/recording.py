"""What of the decisions on a segment's slots goes into its log entry: equal ones once, with the slots that they are of."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from comity.envelope.core import profile_bytes
from comity_broker.admission import Admissible
from comity_broker.auditlog.submissions import LoggedDecision
from comity_broker.slots import SlotDecision
from comity_policy.facts import NodeFacts


def decisions_of(
    of: Admissible, settled: Sequence[SlotDecision], ended: Collection[int]
) -> tuple[list[LoggedDecision], dict[int, int]]:
    """Group slots by equal (profile, moment, result): each group is recorded once. `ended` are the slots that do not enter."""
    groups: list[tuple[SlotDecision, list[int]]] = []
    index_of: dict[int, int] = {}
    # Where a quota counts them, hardly two slots are equal: only those of one size and usage are compared.
    alike: dict[object, list[int]] = {}
    before: SlotDecision | None = None
    for one in settled:
        if before is not None and _very_same(before, one):
            number = index_of[before.slot]
        else:
            numbers = alike.setdefault((one.moment.size, tuple((one.moment.usage or {}).items())), [])
            number = next((known for known in numbers if _equal(groups[known][0], one)), len(groups))
            if number == len(groups):
                numbers.append(number)
                groups.append((one, []))
        groups[number][1].append(one.slot)
        index_of[one.slot] = number
        before = one
    cores = {one.slot: one.item.core for one in of.slots} if ended else {}
    decisions = [
        LoggedDecision(
            slots,
            profile_bytes(first.item.manifest.core, first.item.core),
            first.moment,
            _addressed(of, first),
            first.decision,
            () if not ended or set(slots).isdisjoint(ended) else [cores[slot].times for slot in slots],
        )
        for first, slots in groups
    ]
    return decisions, index_of


def _very_same(one: SlotDecision, other: SlotDecision) -> bool:
    """Say whether two slots share the very objects, as those of a run mostly do: no field needs comparing then."""
    return (
        one.decision is other.decision
        and one.moment is other.moment
        and one.item.core.profile is other.item.core.profile
    )


def _equal(one: SlotDecision, other: SlotDecision) -> bool:
    profiles = one.item.core.profile, other.item.core.profile
    return _same(*profiles) and _same(one.moment, other.moment) and _same(one.decision, other.decision)


def _same(one: object, other: object) -> bool:
    return one is other or one == other


def _addressed(of: Admissible, one: SlotDecision) -> list[NodeFacts]:
    """Give the nodes that were decided: those of addressed parties; nobody else learns that there was a report."""
    parties = {addressee.party for addressee in one.item.core.profile.addressees}
    return [candidate.facts for candidate in of.candidates if candidate.record.party in parties]
