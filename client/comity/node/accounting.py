"""Whether every number of a lane is accounted for by a delivery: a report, or a reason (design 04, promise 3). Pure.

Rules in order:
1. A slot that is handed over is a report. Every other slot has a reason, which names that slot's leaf; one without a reason, or
   with another leaf, is a finding.
2. Numbers between what was accounted for and the segment have a reason in `skipped`; one without is a gap. A lane that was
   never seen begins where it is seen first: what came before this node was enrolled is not owed to it.
3. What the broker says of entries becomes claims, to be compared with its log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from comity.envelope import limits
from comity.envelope.segment import PrunedItem, Segment
from comity.node.claims import Claim, Said, over
from comity.v1 import exchange_pb2

# Reasons after which a slot needs nothing more from this consumer.
FINAL: Final = frozenset(Said) - {Said.DELIVERED}
# A duplicate's entry is that of the segment in which it stood first, which this node need not have seen.
_CLAIMED: Final = FINAL - {Said.DUPLICATE}
# A sender chooses its numbers, so that a gap may be as long as a number is large.
_LISTED: Final = 4096


@dataclass(frozen=True, slots=True)
class Accounted:
    """What a delivery accounts for: numbers up to `until`, slots that are over, claims; and what is wrong with it."""

    until: int
    over: tuple[int, ...]
    claims: tuple[Claim, ...]
    missing: Sequence[int]
    unexplained: tuple[int, ...]


def account(frame: exchange_pb2.Delivery, segment: Segment, accounted: int | None) -> Accounted:
    """Account for a delivery; `accounted` is the last number of its lane that was accounted for, None for a new lane."""
    first = segment.first_origin_sequence
    last = first + len(segment.items) - 1
    handed = {one.slot for one in frame.slots}
    reasons: dict[int, exchange_pb2.Skipped] = {}
    for one in filter(_is_possible, frame.absent):
        slot = one.origin_sequence - first
        if 0 <= slot < len(segment.items) and segment.items[slot].leaf == one.leaf:
            reasons[slot] = one
    unexplained = tuple(
        slot
        for slot, item in enumerate(segment.items)
        if slot not in handed and (slot not in reasons or not isinstance(item, PrunedItem))
    )
    skipped = [one for one in frame.skipped if _is_possible(one)]
    said = {one.origin_sequence for one in skipped}
    begin = first if accounted is None else accounted + 1
    ended = tuple(slot for slot, one in reasons.items() if slot not in handed and _said(one.reason) in FINAL)
    return Accounted(
        until=max(last, accounted or 0),
        # Parked is not over: an answer about it would be the last word on a report that somebody may still replay.
        over=tuple(slot for slot in ended if _said(reasons[slot].reason) is not Said.PARKED),
        claims=tuple(_claims(frame, segment, sorted(handed), [reasons[slot] for slot in ended], skipped)),
        missing=_missing(begin, first, said),
        unexplained=unexplained,
    )


def _is_possible(one: exchange_pb2.Skipped) -> bool:
    """Say whether a lane has such a number and a log such an entry; a reason that names others is none."""
    return max(one.origin_sequence, one.log_index) < limits.INTEGER


def _missing(begin: int, end: int, said: set[int]) -> Sequence[int]:
    """Give the numbers from `begin` on, before `end`, of which nothing was said; where they are too many, the first and the last."""
    runs, start = [], begin
    for number in sorted(number for number in said if begin <= number < end):
        runs.append(range(start, number))
        start = number + 1
    gaps = [run for run in (*runs, range(start, end)) if run]
    if sum(map(len, gaps)) > _LISTED:
        return (gaps[0][0], gaps[-1][-1])
    return tuple(chain.from_iterable(gaps))


def _claims(
    frame: exchange_pb2.Delivery,
    segment: Segment,
    handed: list[int],
    reasons: Iterable[exchange_pb2.Skipped],
    skipped: Iterable[exchange_pb2.Skipped],
) -> Iterable[Claim]:
    agreement = segment.log_name
    if handed:
        leaves = over(segment.items[slot].leaf for slot in handed)
        yield Claim(
            agreement,
            frame.log_index,
            Said.DELIVERED,
            segment.segment_id,
            tuple(handed),
            leaves,
            frame.admitted_at,
        )
    for named, group in ((segment.segment_id, _grouped(reasons)), (b"", _grouped(skipped))):
        first = segment.first_origin_sequence if named else 0
        for (said, log_index), ones in group.items():
            if said in _CLAIMED and log_index:
                numbers = tuple(one.origin_sequence - first for one in ones)
                yield Claim(agreement, log_index, said, named, numbers, over(one.leaf for one in ones))


def _grouped(
    reasons: Iterable[exchange_pb2.Skipped],
) -> dict[tuple[Said | None, int], list[exchange_pb2.Skipped]]:
    groups: dict[tuple[Said | None, int], list[exchange_pb2.Skipped]] = {}
    for one in sorted(reasons, key=lambda one: one.origin_sequence):
        groups.setdefault((_said(one.reason), one.log_index), []).append(one)
    return groups


def _said(reason: int) -> Said | None:
    try:
        return Said(reason) if reason else None
    except ValueError:  # a reason that only says "not now", or one of a later version
        return None
