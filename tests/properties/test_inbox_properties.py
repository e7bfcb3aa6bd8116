"""The inbox under any interleaving of deliveries, acknowledgements, disk writes and crashes: nothing twice, nothing lost."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from comity.envelope.evidence import AckOutcome
from comity.node.claims import Claim, Said, decode_claim, encode_claim
from comity.node.inbox import Inbox, InboxLane, Known, Settlement
from comity.runs import Runs

LANES = [InboxLane("XAR-XBO-1", "XAR/n1", bytes([1]) * 16, 4), InboxLane("XAR-XBO-1", "XAR/n2", bytes([2]) * 16, 1)]
numbers = st.integers(1, 12)
lanes = st.sampled_from(LANES)
outcomes = st.sampled_from(
    [AckOutcome.ACKNOWLEDGED, AckOutcome.ACKNOWLEDGED, AckOutcome.PARKED, AckOutcome.UNREADABLE, AckOutcome.REFUSED]
)


class CrashError(Exception):
    """The process died."""


def report_id(lane: InboxLane, number: int) -> bytes:
    return lane.origin_epoch[:8] + number.to_bytes(8, "big")


def leaf(lane: InboxLane, number: int) -> bytes:
    return report_id(lane, number).ljust(48, b"L")


class InboxMachine(RuleBasedStateMachine):
    """What the application was told is compared with a model that knows which writes reached the disk."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.crash_at = ""
        self.open()
        self.pending: list[Settlement] = []
        self.durable: dict[tuple[InboxLane, int], AckOutcome] = {}
        self.memory: dict[tuple[InboxLane, int], AckOutcome] = {}
        self.accounted: dict[InboxLane, int] = {}

    def open(self) -> None:
        self.inbox = asyncio.run(Inbox.open(self.folder / "inbox-default.sqlite", fault=self.fault))

    def fault(self, point: str) -> None:
        if point == self.crash_at:
            raise CrashError(point)

    def shown(self, lane: InboxLane, number: int) -> bool:
        """Say whether a hand-over of this report would be shown, by the rules of `showing`."""
        known = self.inbox.knows(report_id(lane, number), leaf(lane, number))
        acknowledged = self.inbox.outcome(lane, number) is AckOutcome.ACKNOWLEDGED
        assert not (acknowledged and known is Known.NEW), "an acknowledged number whose report is forgotten"
        assert known is not Known.REUSED
        return known is Known.NEW

    @rule(lane=lanes, number=numbers, outcome=outcomes)
    def settle(self, lane: InboxLane, number: int, outcome: AckOutcome) -> None:
        if not self.shown(lane, number):
            return
        ids = (report_id(lane, number), leaf(lane, number), 10**13) if outcome is AckOutcome.ACKNOWLEDGED else ()
        settlement = Settlement(lane, number, outcome, *ids)
        self.inbox.settle([settlement])
        self.pending.append(settlement)
        self.memory[lane, number] = outcome

    @rule(lane=lanes, number=numbers)
    def account(self, lane: InboxLane, number: int) -> None:
        self.inbox.account(lane, number)
        self.accounted[lane] = max(self.accounted.get(lane, 0), number)

    def prepared(self):
        return self.inbox.prepare(self.pending, [], b"token")

    @rule()
    def write(self) -> None:
        prepared = self.prepared()
        self.inbox.write(prepared)
        self.inbox.written(prepared)
        self.durable = dict(self.memory)
        self.pending = []

    @rule(point=st.sampled_from(["", "write:begin", "write:before-commit", "write:after-commit"]))
    def crash(self, point: str) -> None:
        self.crash_at = point
        if point:
            prepared = self.prepared()
            try:
                self.inbox.write(prepared)
            except CrashError:
                if point == "write:after-commit":
                    self.durable = dict(self.memory)
        self.crash_at = ""
        # What the process held is gone; the files are what they are.
        self.inbox._db.close()
        self.inbox._asking.close()
        self.inbox._lock.release()
        self.open()
        self.memory = dict(self.durable)
        self.pending = []
        self.accounted = {lane: self.inbox.accounted(lane) or 0 for lane in LANES}

    @invariant()
    def nothing_acknowledged_is_shown_again_and_nothing_else_is_lost(self) -> None:
        for lane in LANES:
            for number in range(1, 13):
                expected = self.memory.get((lane, number))
                assert self.shown(lane, number) == (expected is not AckOutcome.ACKNOWLEDGED)
                assert self.inbox.outcome(lane, number) == expected

    @invariant()
    def what_was_accounted_for_never_falls_while_the_process_lives(self) -> None:
        for lane, number in self.accounted.items():
            assert (self.inbox.accounted(lane) or 0) >= number

    def teardown(self) -> None:
        self.inbox.close()
        shutil.rmtree(self.folder)


InboxMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestInbox = InboxMachine.TestCase


async def test_an_id_under_another_leaf_is_reused_and_under_another_number_is_settled(tmp_path):
    inbox = await Inbox.open(tmp_path / "inbox-default.sqlite")
    settlement = Settlement(LANES[0], 1, AckOutcome.ACKNOWLEDGED, report_id(LANES[0], 1), leaf(LANES[0], 1), 10**13)
    inbox.settle([settlement])
    for _ in range(2):
        assert inbox.knows(report_id(LANES[0], 1), leaf(LANES[0], 1)) is Known.SETTLED
        assert inbox.knows(report_id(LANES[0], 1), leaf(LANES[0], 2)) is Known.REUSED
        assert inbox.knows(report_id(LANES[0], 2), leaf(LANES[0], 2)) is Known.NEW
        prepared = inbox.prepare([settlement], [], b"")
        inbox.write(prepared)
        inbox.written(prepared)
    inbox.drop_expired(10**13 + 72 * 3_600_000)
    assert inbox.outcome(LANES[0], 1) is AckOutcome.ACKNOWLEDGED
    inbox.close()


# --- runs and claims ------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=40))
def test_runs_are_a_set_of_numbers_as_few_pairs_as_there_are_holes(spans):
    runs, model = Runs(), set()
    for first, length in spans:
        runs.add_span(first, first + length)
        model |= set(range(first, first + length + 1))
    assert len(runs) == len(model)
    assert {number for number in range(80) if number in runs} == model
    firsts = [number for number in model if number - 1 not in model]
    lasts = [number for number in model if number + 1 not in model]
    assert runs.spans == tuple(zip(sorted(firsts), sorted(lasts), strict=True))
    assert Runs(runs.spans).spans == runs.spans
    assert runs.end_of_first == (min(lasts) if lasts else 0)
    for first, length in spans:
        for asked in (set(range(first - 1, first + length)), set(range(first, first + length + 2))):
            assert runs.has_span(min(asked), max(asked)) == (asked <= model)


@given(
    st.sampled_from(Said),
    st.integers(0, 2**53 - 1),
    st.binary(min_size=48, max_size=48),
    st.frozensets(st.integers(0, 300), min_size=1),
    st.integers(0, 2**53 - 1),
)
def test_a_claim_is_read_back_as_it_was_written(said, log_index, digest, numbers, admitted_at):
    claim = Claim("XAR-XBO-1", log_index, said, digest, tuple(sorted(numbers)), digest[::-1], admitted_at)
    assert decode_claim("XAR-XBO-1", encode_claim(claim)) == claim
