"""Replays: what a consumer was handed before comes once more, to be read only (design 04, "Wire shape").

Rules in order:
1. Only what this consumer was handed at least once comes, in the order of admission. What waits for its turn comes by its stream.
2. It is judged anew, as at any hand-over: what was recalled, superseded or withdrawn, has expired, or is not permitted now gets a reason.
   While nothing is handed over under the agreement, nothing is replayed.
3. The log says it first (REPLAYED: who, which consumer, from where, what), under the state it was judged in; then it is written.
4. Nothing else is written or changed: no floor, attempt, exception, session, deadline or credit of the consumer, connected or not.
5. A node has `PER_NODE` replays under way and begins `BEGUN_LIMIT` in `BEGUN_SECONDS` at most, so that neither streams nor entries are
   without bound. One round (16 segments, 2 MiB) is written before the next is planned, and nothing goes beyond the credit but the rest
   of the segment in hand.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from comity.envelope.profile import ProfileMemo
from comity.envelope.receipts import decode_receipt
from comity.envelope.segment import parse_segment
from comity.errors import ComityError, ErrorCode, MalformedError, NotFoundError, UnreachableError
from comity.identity.names import is_exercise
from comity_broker.access import Caller
from comity_broker.dispatch.checking import all_may_go, judge
from comity_broker.dispatch.claiming import consumer_name
from comity_broker.dispatch.composing import packets_for, path_of
from comity_broker.dispatch.credits import BYTES_LIMIT, REPORTS_LIMIT
from comity_broker.dispatch.dispatcher import Dispatcher
from comity_broker.dispatch.frames import Delivered, Reason, Skip, SkipReason
from comity_broker.dispatch.grounds import node_of, standing_for
from comity_broker.dispatch.handing import Epoch
from comity_broker.dispatch.logged import Recipient
from comity_broker.dispatch.replay_walk import Walk, first_item
from comity_broker.dispatch.replayed import Again, Start, replay_unit
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.withheld import deliverable_bytes, slots_of
from comity_broker.dispatch.words import taking_back_of, withdrawal_of
from comity_broker.operations import log_caller
from comity_broker.outcomes import settled
from comity_broker.storage.protocol import ExceptionState, HoldingRow, HoldingState, HoldRow, ReportRow

PER_NODE: Final = 2
BEGUN_LIMIT: Final = 20
BEGUN_SECONDS: Final = 1.0
ROUND_SEGMENTS: Final = 16
ROUND_BYTES: Final = 2 << 20
# Behind everything that is handed over for the first time.
_URGENCY: Final = 4
_EXERCISE_URGENCY: Final = 9
_BUSY_RETRY_SECONDS: Final = 1.0
# The ledger follows a commit within one turn of the loop.
_LAG_SECONDS: Final = 0.02
_NODES_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class Asking:
    """What a node asks for: agreement (or its exercise, by the name of its log), consumer ("" for the default), from where, and the credit."""

    agreement_id: str
    consumer: str
    start: Start
    reports: int
    size: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a replay; `next_log_index` says from which entry to go on where it is not complete."""

    complete: bool
    next_log_index: int


class Replaying:
    """Every replay that is under way; `request_id` draws the 16 bytes that name a request in the log."""

    def __init__(self, dispatcher: Dispatcher, request_id: Callable[[], bytes]) -> None:
        self._dispatcher = dispatcher
        self._shared = dispatcher.shared
        self._request_id = request_id
        self._under_way: Counter[str] = Counter()
        self._begun: OrderedDict[str, deque[float]] = OrderedDict()

    async def frames(self, who: Caller, asking: Asking) -> AsyncGenerator[Delivered | Ended]:
        """Give the frames of one replay. Raises ComityError: MALFORMED, AGREEMENT_NOT_IN_FORCE, LOG_FROZEN, RATE_LIMITED, DRAINING, ITEM_UNKNOWN."""
        _check_credit(asking)
        node, consumer = str(who.identity), consumer_name(asking.consumer, exercise=is_exercise(asking.agreement_id))
        standing_for(self._shared, who, asking.agreement_id)
        self._take_place(node)
        try:
            await self._require_consumer(node, consumer)
            to = Recipient(who.party, who.identity.name, consumer, 0, log_caller(who, self._request_id()))
            replay = Replay(self._shared, who, to, asking, self._require_serving)
            async with aclosing(replay.frames()) as frames:
                async for frame in frames:
                    yield frame
        finally:
            self._under_way -= Counter((node,))

    def _take_place(self, node: str) -> None:
        now = self._shared.clock.monotonic()
        begun = self._begun.setdefault(node, deque(maxlen=BEGUN_LIMIT))
        self._begun.move_to_end(node)
        while len(self._begun) > _NODES_KEPT:
            self._begun.popitem(last=False)
        if self._under_way[node] >= PER_NODE:
            raise _too_many(f"{node} has {PER_NODE} replays under way", _BUSY_RETRY_SECONDS)
        if len(begun) == BEGUN_LIMIT and now - begun[0] < BEGUN_SECONDS:
            wait = BEGUN_SECONDS - (now - begun[0])
            raise _too_many(f"{node} has begun {BEGUN_LIMIT} replays within {BEGUN_SECONDS:.0f} s", wait)
        begun.append(now)
        self._under_way[node] += 1

    async def _require_consumer(self, node: str, consumer: str) -> None:
        rows = await self._shared.reader.consumers()
        if not any((row.node, row.consumer) == (node, consumer) for row in rows):
            raise NotFoundError(
                f"{node} has no consumer {consumer!r}: it was never handed anything",
                what_to_do="Name the consumer that received; the first time of all needs no replay, only receive.",
                code=ErrorCode.ITEM_UNKNOWN,
            )

    def _require_serving(self) -> None:
        self._dispatcher.require_serving()
        until = self._shared.held_until()
        if until:
            raise UnreachableError(
                "the broker is in maintenance: nothing is handed over now",
                what_to_do="Try again when it is over; comity broker status says until when.",
                retry_after_seconds=max(1.0, (until - self._shared.clock.now_ms()) / 1000),
            )


@dataclass(slots=True)
class Replay:
    """One replay under way. `require_serving` raises while the broker hands over nothing to anybody."""

    shared: Shared
    who: Caller
    to: Recipient
    asking: Asking
    require_serving: Callable[[], None]
    _memo: ProfileMemo = field(default_factory=ProfileMemo)
    _brought: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    _words: dict[int, dict[int, HoldingRow]] = field(default_factory=dict)
    _holds: list[HoldRow] = field(default_factory=list)
    _epoch: Epoch | None = None

    async def frames(self) -> AsyncGenerator[Delivered | Ended]:
        """Give the frames, the last an `Ended`."""
        shared, agreement_id = self.shared, self.asking.agreement_id
        item = await first_item(shared.reader, agreement_id, self.asking.start)
        walk = await Walk.of(shared.reader, agreement_id, self.to, item)
        reports, size, following = self.asking.reports, self.asking.size, self.asking.start.log_index
        while reports > 0 and size > 0:
            self.require_serving()
            segments = await self._collect(walk, reports, size)
            if not segments:
                yield Ended(complete=True, next_log_index=0)
                return
            await self._commit(segments)
            following = segments[-1].row.log_index + 1
            for one in segments:
                frame = await self._compose(walk, one)
                reports -= one.give.bit_count()
                size -= len(frame.segment)
                yield frame
        yield Ended(complete=False, next_log_index=following)

    async def _collect(self, walk: Walk, reports: int, size: int) -> list[Again]:
        """Give the segments of the next round, as far as credit may go."""
        found: list[Again] = []
        room = min(size, ROUND_BYTES)
        while reports > 0 and room > 0 and len(found) < ROUND_SEGMENTS and (one := await walk.next()) is not None:
            found.append(one)
            reports -= one.before.bit_count()
            room -= len(one.row.data)
        return found

    async def _commit(self, segments: list[Again]) -> None:
        """Judge the segments of a round and have the log say what comes again; begins anew where the state changed meanwhile."""
        shared, agreement_id = self.shared, self.asking.agreement_id
        while True:
            standing = standing_for(shared, self.who, agreement_id)
            epoch = standing.epoch, standing.beside
            await self._look(epoch)
            for one in segments:
                await self._judge(one)
            given = [one for one in segments if one.give]
            if not given:
                return
            unit = replay_unit(
                agreement_id,
                self.to,
                self.asking.start,
                given,
                self._holds,
                shared.logs.log(agreement_id),
                now_ms=shared.clock.now_ms(),
                epoch=epoch[0],
                beside=epoch[1],
                urgency=_EXERCISE_URGENCY if self.to.exercise else _URGENCY,
                random_bytes=shared.random_bytes,
            )
            try:
                shared.clock.committed(settled(await shared.journal.submit(unit)).result)
            except ComityError as error:
                if error.code is not ErrorCode.STATE_CHANGED:
                    raise
                self._epoch = None
                await asyncio.sleep(_LAG_SECONDS)
                self.require_serving()
            else:
                return

    async def _look(self, epoch: Epoch) -> None:
        """Read what originators said of their reports, where that may be another than before."""
        if epoch == self._epoch:
            return
        reader, agreement_id = self.shared.reader, self.asking.agreement_id
        self._holds = await reader.holds(agreement_id)
        self._words = {}
        for row in await reader.holdings(agreement_id):
            if row.state != HoldingState.CONFIRMED:
                self._words.setdefault(row.item, {})[row.slot] = row
        self._epoch = epoch

    async def _judge(self, one: Again) -> None:
        shared, row, now_ms = self.shared, one.row, self.shared.clock.now_ms()
        standing, node = standing_for(shared, self.who, self.asking.agreement_id), node_of(shared, self.who)
        denied = 0
        if shared.rechecker.may_have_changed(row, standing, node, now_ms):
            segment = parse_segment(row.data, self._memo)
            under = standing.compiled_before(now_ms)
            denied = await shared.rechecker.denied(under, segment, one.before, node, now_ms, breathe=_breathe)
        words = self._words.get(row.item, {})
        one.give, one.reasons = one.before, {}
        if not (denied or words) and all_may_go(row, now_ms):
            return
        found = await shared.reader.reports_of(self.asking.agreement_id, [row.item])
        reports = {report.slot: report for report in found.get(row.item, ())}
        await self._weigh(one, reports, denied, words, now_ms)

    async def _weigh(
        self, one: Again, reports: dict[int, ReportRow], denied: int, words: dict[int, HoldingRow], now_ms: int
    ) -> None:
        verdicts = judge(one.before, reports, now_ms, denied=denied, words=words)
        reader, agreement_id, segment_id = self.shared.reader, self.asking.agreement_id, one.row.segment_id
        one.give = verdicts.hand
        one.reasons = {slot: Reason(SkipReason.EXPIRED) for slot in slots_of(verdicts.expired)}
        one.reasons |= {slot: Reason(SkipReason.HELD) for slot in verdicts.hold}
        for slot, first in verdicts.withdrawn.items():
            entry = await withdrawal_of(reader, agreement_id, self.to, segment_id, first)
            one.reasons[slot] = Reason(SkipReason.WITHDRAWN, entry)
        for slot, word in verdicts.taken_back.items():
            state = ExceptionState[HoldingState(word.state).name]
            entry = await taking_back_of(reader, agreement_id, self.to, segment_id, word.log_index, state)
            one.reasons[slot] = Reason(SkipReason[state.name], entry)

    async def _compose(self, walk: Walk, one: Again) -> Delivered:
        row, agreement_id = one.row, self.asking.agreement_id
        data = deliverable_bytes(row.data, row.slots, one.give, one.inbox.withheld)
        missing = ((1 << row.slots) - 1) & ~one.give
        receipt, exceptions = decode_receipt(row.receipt), walk.exceptions_of(row.item)
        leaves = parse_segment(data, self._memo).leaves if missing else ()
        return Delivered(
            segment=data,
            batch_signature=await self.shared.shelf.batch(agreement_id, row.batch),
            batch_index=row.batch_index,
            batch_path=path_of(row.batch_path),
            key_packets=await packets_for(self.shared, self.to, agreement_id, row, data, self._brought),
            log_index=row.log_index,
            admitted_at=row.admitted_at,
            slots=tuple((slot, 0) for slot in slots_of(one.give)),
            skipped=(),
            absent=tuple(
                Skip(row.first_origin_sequence + slot, leaves[slot], one.why(slot, receipt, exceptions))
                for slot in slots_of(missing)
            ),
            resume_token=b"",
        )


async def _breathe() -> None:
    await asyncio.sleep(0)


def _check_credit(asking: Asking) -> None:
    if not (1 <= asking.reports <= REPORTS_LIMIT and 1 <= asking.size <= BYTES_LIMIT):
        raise MalformedError(
            f"a replay is given credit of 1 to {REPORTS_LIMIT} reports and 1 to {BYTES_LIMIT} bytes",
            what_to_do="Ask again from next_log_index with fresh credit.",
            code=ErrorCode.LIMIT_EXCEEDED,
        )


def _too_many(what: str, retry_after_seconds: float) -> UnreachableError:
    return UnreachableError(
        what,
        what_to_do="Read the replays that are under way to their end, or wait.",
        code=ErrorCode.RATE_LIMITED,
        retry_after_seconds=retry_after_seconds,
    )
