"""What becomes of each slot of a segment where it is committed: only there is known what came before.

In order, for a slot: a report known under the same leaf is a duplicate, under another ID_REUSED; a number at or below the lane's
highest is REPLAYED; what takes back a report that was taken back before is refused; then its decision counts, which is taken
once more where a quota counts the report, with what its window holds by then; and what enters reserves its room. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from comity.envelope.evidence import SlotCode
from comity.errors import ComityError, ConflictError, ErrorCode
from comity_broker.admission import Admissible
from comity_broker.auditlog.bodies import Caller, Event
from comity_broker.auditlog.events import id_reused
from comity_broker.quotas import Count, Tally
from comity_broker.slots import SlotDecision, SlotRefused
from comity_broker.storage.protocol import Known, LaneRow


@dataclass(slots=True)
class Settled:
    """The slots as they are decided at last, and which of them do not enter."""

    slots: list[SlotDecision] = field(default_factory=list)
    duplicates: dict[int, int] = field(default_factory=dict)
    refused: dict[int, SlotRefused] = field(default_factory=dict)
    reused: list[Event] = field(default_factory=list)


def settle(  # noqa: PLR0917 - what the commit found
    of: Admissible, caller: Caller, known: Known, lane: LaneRow, tally: Tally, now: int
) -> Settled:
    """Settle every slot of a segment, in order; `tally` then holds what the admitted ones reserve."""
    settled = Settled()
    duplicates, refused, reused = settled.duplicates, settled.refused, settled.reused
    taken = set[tuple[int, int]]()
    for one in of.slots:
        core = one.item.core
        before = known.reports.get(core.report_id)
        if before is not None and before.leaf == one.item.leaf:
            duplicates[one.slot] = before.log_index
        elif before is not None:
            refused[one.slot] = SlotRefused(SlotCode.ID_REUSED, _reused(core.report_id))
            reused.append(
                id_reused(
                    time=now,
                    caller=caller,
                    report_id=core.report_id,
                    leaf=one.item.leaf,
                    known_leaf=before.leaf,
                    known_log_index=before.log_index,
                )
            )
        elif core.origin_sequence <= lane.last_origin_sequence:
            refused[one.slot] = SlotRefused(SlotCode.REPLAYED, _replayed(core.origin_sequence))
        elif (taking := of.takings.get(one.slot)) is not None:
            done = taking.after(known.holdings.get(taking.place)) or (
                taking.after(taking.word(0)) if taking.place in taken else None
            )
            if done is not None:
                refused[one.slot] = done
            elif one.refused is None:
                taken.add(taking.place)
    fresh = {one.slot for one in of.slots} - duplicates.keys() - refused.keys()
    settled.slots = _counted(of, fresh, tally) if of.quotas else list(of.slots)
    refused.update((one.slot, one.refused) for one in settled.slots if one.slot in fresh and one.refused is not None)
    return settled


def _counted(of: Admissible, fresh: Collection[int], tally: Tally) -> list[SlotDecision]:
    """Decide every slot once more as its quotas count it, and reserve what is admitted."""
    counts = {one.slot: _count(one) for one in of.slots if one.slot in fresh and one.refused is None}
    entire = tally.with_all(Counter(counts.values()))
    beside = {own: tally.without(entire, own) for own in set(counts.values())}
    together = [of.deciding.again(one, beside[counts[one.slot]] if one.slot in counts else entire) for one in of.slots]
    if all(one.refused is None for one in together if one.slot in counts):
        for count in counts.values():
            tally.reserve(count.to_parties, count.size)
        return together
    found: list[SlotDecision] = []
    for before in of.slots:
        one = of.deciding.again(before, tally.usage)
        if one.slot in fresh and one.refused is None:
            tally.reserve(*_count(one))
        found.append(one)
    return found


def _count(one: SlotDecision) -> Count:
    return Count(one.recipients, one.moment.size or 0)


def _reused(report_id: bytes) -> ComityError:
    return ConflictError(
        f"report id {report_id.hex()} was used for another report",
        what_to_do="A new report takes a new id.",
        code=ErrorCode.ID_REUSED,
    )


def _replayed(sequence: int) -> ComityError:
    return ConflictError(
        f"origin_sequence {sequence} ended before",
        what_to_do="A new try is a new envelope with the next number.",
        code=ErrorCode.REPLAYED,
    )
