"""What of the decisions on a segment's slots goes into its log entry: equal ones once, with the slots that they are of."""

from __future__ import annotations

from collections.abc import Sequence

from comity.envelope.profile import encode_profile
from comity_broker.admission import Admissible
from comity_broker.auditlog.submissions import LoggedDecision
from comity_broker.slots import SlotDecision
from comity_policy.facts import NodeFacts


def decisions_of(of: Admissible, settled: Sequence[SlotDecision]) -> tuple[list[LoggedDecision], dict[int, int]]:
    """Group slots by equal (profile, moment, result): each group is recorded once."""
    groups: list[tuple[SlotDecision, list[int]]] = []
    index_of: dict[int, int] = {}
    # Where a quota counts them, hardly two slots are equal: only those of one size and usage are compared.
    alike: dict[object, list[int]] = {}
    for one in settled:
        numbers = alike.setdefault((one.moment.size, tuple((one.moment.usage or {}).items())), [])
        for number in numbers:
            first, slots = groups[number]
            profiles = first.item.core.profile, one.item.core.profile
            if _same(*profiles) and _same(first.moment, one.moment) and _same(first.decision, one.decision):
                slots.append(one.slot)
                index_of[one.slot] = number
                break
        else:
            index_of[one.slot] = len(groups)
            numbers.append(len(groups))
            groups.append((one, [one.slot]))
    times = {one.slot: one.item.core.times for one in of.slots}
    decisions = [
        LoggedDecision(
            slots,
            encode_profile(first.item.core.profile),
            first.moment,
            _addressed(of, first),
            first.decision,
            [times[slot] for slot in slots],
        )
        for first, slots in groups
    ]
    return decisions, index_of


def _same(one: object, other: object) -> bool:
    # Slots of a run mostly share the very objects, whose fields need no comparing then.
    return one is other or one == other


def _addressed(of: Admissible, one: SlotDecision) -> list[NodeFacts]:
    """Give the nodes that were decided: those of addressed parties; nobody else learns that there was a report."""
    parties = {addressee.party for addressee in one.item.core.profile.addressees}
    return [candidate.facts for candidate in of.candidates if candidate.record.party in parties]
