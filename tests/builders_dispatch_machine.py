"""One consumer of one node against a model of delivery: a state machine for property tests."""

from __future__ import annotations

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from builders_dispatch import DispatchWorld
from builders_dispatch_consumer import Consumer, outcomes_of
from builders_dispatch_replays import delivery_state, logged, replayed, slots_of_frames
from builders_dispatch_segments import AGREEMENT, EPOCH
from comity.envelope.evidence import AckOutcome
from comity.envelope.segment import parse_segment
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.answering import GivenBack, SlotName
from comity_broker.dispatch.frames import AckConfirmed, Delivered, SkipReason
from comity_broker.storage.protocol import ExceptionState

LANES = [(4, EPOCH), (4, bytes(16)), (1, EPOCH), (0, EPOCH)]
FINAL = {*SkipReason} - {SkipReason.HELD, SkipReason.RETRY, SkipReason.OTHER_FRAME}


class Delivery(RuleBasedStateMachine):
    """One consumer of one node, four lanes, a store that survives, a broker and connections that do not.

    At every frame: nothing comes that was acknowledged, numbers of a lane come for the first time in their order, every number
    below one that comes was brought or explained, no attempt is above five. At the end: nothing is lost.
    """

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.runner.get_loop().set_exception_handler(lambda *_: None)
        self.world = DispatchWorld()
        self.due: dict[tuple, bool] = {}
        self.acknowledged: set[tuple] = set()
        self.parked: set[tuple] = set()
        self.seen: dict[tuple, list[int]] = {lane: [] for lane in LANES}
        self.explained: set[tuple] = set()
        self.open: list[Delivered] = []
        self.asked: list[tuple] = []
        self.connect(10)

    def run(self, work):
        return self.runner.run(work)

    def connect(self, reports: int) -> None:
        self.open.clear()
        self.consumer: Consumer = self.run(self.world.connect(reports=reports))

    # --- what happens -----------------------------------------------------------------------------------------------

    @rule(lane=st.sampled_from(LANES), due=st.lists(st.booleans(), min_size=1, max_size=4))
    def admit(self, lane, due) -> None:
        transport_class, epoch = lane
        slots = [slot for slot, one in enumerate(due) if one]
        made = self.run(self.world.admit(len(due), transport_class=transport_class, epoch=epoch, due=slots))
        self.due.update({(lane, made.number(slot)): one for slot, one in enumerate(due)})

    @rule(reports=st.integers(1, 8))
    def grant(self, reports) -> None:
        self.run(self.credit(reports))

    async def credit(self, reports: int) -> None:
        self.consumer.session.credit(reports, 1 << 20)

    @rule(frames=st.integers(1, 6))
    def read(self, frames) -> None:
        for frame in self.run(self.some(frames)):
            self.take(frame)

    @rule(data=st.data(), outcome=st.sampled_from([AckOutcome.ACKNOWLEDGED] * 3 + [AckOutcome.PARKED]))
    @precondition(lambda self: self.open)
    def acknowledge(self, data, outcome) -> None:
        frame = self.open[data.draw(st.integers(0, len(self.open) - 1))]
        slots = data.draw(st.sets(st.sampled_from([slot for slot, _ in frame.slots] or [0])))
        slots &= {slot for slot, _ in frame.slots}
        if outcome is AckOutcome.PARKED and parse_segment(frame.segment).transport_class == 0:
            outcome = AckOutcome.ACKNOWLEDGED
        self.answer(frame, outcome, slots)

    @rule(data=st.data(), after=st.sampled_from([0.0, 0.0, 30.0, None]))
    @precondition(lambda self: self.open)
    def give_back(self, data, after) -> None:
        frame = self.open[data.draw(st.integers(0, len(self.open) - 1))]
        segment = parse_segment(frame.segment)
        if after is None and segment.transport_class == 0:
            after = 0.0
        names = [SlotName(AGREEMENT, segment.segment_id, slot) for slot, _ in frame.slots]
        if names:
            self.run(self.consumer.session.answer(GivenBack(names, after)))
            self.read(1)

    @rule(seconds=st.sampled_from([1, 31, 61]), heartbeat=st.booleans())
    def pass_time(self, seconds, heartbeat) -> None:
        self.world.pass_seconds(seconds)

        async def passed() -> None:
            if heartbeat:
                self.consumer.session.heartbeat()
            self.consumer.session.pass_time()

        self.run(passed())

    @rule(reports=st.integers(0, 12))
    def lose_the_connection(self, reports) -> None:
        self.run(self.consumer.leave())
        self.connect(reports)

    @rule(where=st.sampled_from(["before", "after"]), frames=st.integers(1, 4), reports=st.integers(0, 12))
    def kill_the_broker(self, where, frames, reports) -> None:
        """Kill it at the next commit, whichever that is, while the consumer reads on."""
        self.world.reader.kill = where
        self.run(self.credit(4))
        for frame in self.run(self.some(frames)):
            self.take(frame)
        self.run(self.restart())
        self.connect(reports)

    @rule()
    def replay(self) -> None:
        """Read again from the beginning: exactly what was handed over and may be read again comes; nothing of delivery changes."""
        self.run(self.consumer.idle())
        before = self.run(delivery_state(self.world))
        frames, ended = self.run(replayed(self.world))
        assert ended.complete
        came = slots_of_frames(frames)
        assert len(came) == len(set(came))
        assert set(came) == self.readable_again()
        assert self.run(delivery_state(self.world)) == before

    def readable_again(self) -> set[tuple[str, int]]:
        """Give what the log says was handed over, by segment id and slot."""
        return set(self.run(logged(self.world, EventKind.DELIVERED)))

    async def restart(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        self.world.reader.kill, self.world.reader.dead = "", False
        self.world.started()

    # --- what is checked --------------------------------------------------------------------------------------------

    async def some(self, frames: int) -> list:
        """Read at most so many frames; what is asked of the broker meanwhile is under way all the time."""
        return await self.consumer.all(frames)

    def answer(self, frame: Delivered, outcome: AckOutcome, slots) -> None:
        signed = self.consumer.ack(outcomes_of(frame, outcome, slots))
        self.asked.append((outcome, [self.key(frame, slot) for slot in slots]))
        before = self.world.reader.commits
        self.run(self.consumer.session.answer(signed))
        for one in self.run(self.some(3)):
            self.take(one)
        if self.world.reader.commits > before and any(isinstance(one, AckConfirmed) for one in self.consumer.frames):
            for said, keys in self.asked:
                (self.acknowledged if said is AckOutcome.ACKNOWLEDGED else self.parked).update(keys)
            self.asked.clear()

    def key(self, frame: Delivered, slot: int) -> tuple:
        segment = parse_segment(frame.segment)
        return (segment.transport_class, segment.origin_epoch), segment.first_origin_sequence + slot

    def take(self, frame) -> None:
        if not isinstance(frame, Delivered):
            return
        self.open.append(frame)
        lane, _ = self.key(frame, 0)
        self.explained.update((lane, one.origin_sequence) for one in frame.skipped if one.reason.why in FINAL)
        self.explained.update((lane, one.origin_sequence) for one in frame.absent if one.reason.why in FINAL)
        for slot, attempt in frame.slots:
            _, number = self.key(frame, slot)
            assert self.due[lane, number], "a report came that this node may not have"
            assert (lane, number) not in self.acknowledged, "an acknowledged report came again"
            assert attempt <= 5 or lane[0] == 0
            if number not in self.seen[lane]:
                assert not self.seen[lane] or number > max(self.seen[lane]), "a lane came out of its order"
                missing = [n for n in range(1, number) if n not in self.seen[lane] and (lane, n) not in self.explained]
                assert not missing, f"{lane}: {missing} neither came nor were explained before {number}"
                self.seen[lane].append(number)

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            self.run(self.restart())
            self.connect(0)
            quiet = 0
            while quiet < 2:
                self.lose_the_connection(1000)
                came = self.run(self.consumer.deliveries())
                for frame in came:
                    self.take(frame)
                    self.run(self.consumer.session.answer(self.consumer.ack(outcomes_of(frame))))
                    self.acknowledged.update(self.key(frame, slot) for slot, _ in frame.slots)
                for frame in self.run(self.consumer.all()):
                    self.take(frame)
                self.world.pass_seconds(31)
                quiet = 0 if came else quiet + 1
            self.check_nothing_is_lost()
        finally:
            self.run(self.restart())
            self.runner.close()

    def check_nothing_is_lost(self) -> None:
        for (lane, number), due in self.due.items():
            here = number in self.seen[lane] or (lane, number) in self.explained
            assert here, f"{lane} {number} is lost (due: {due})"
            if due and number not in self.seen[lane]:
                assert (lane, number) in self.explained
        rows = self.run(self.world.reader.exceptions(AGREEMENT, "XBO/n1", "default"))
        assert not [row for row in rows if row.state == ExceptionState.RETRY]
        lanes = {row.lane: row for row in self.run(self.world.reader.lanes(AGREEMENT))} if self.due else {}
        floors = self.run(self.world.reader.floors(AGREEMENT, "XBO/n1", "default"))
        for floor in floors:
            last = max(row.item for row in self.world.reader._of(AGREEMENT, "inboxes") if row.lane == floor.lane)
            assert floor.handed == last
        assert {floor.lane for floor in floors} == set(lanes)
