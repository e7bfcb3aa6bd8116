"""The pure core of delivery: floors and their bytes, what is due next in a lane, credit, tokens, deadlines, verdicts."""

import pytest

from builders_dispatch_segments import EPOCH
from builders_envelope import refused
from comity_broker.dispatch.floors import Change, LaneState, Partial
from comity_broker.dispatch.frames import Reason, SkipReason
from comity_broker.dispatch.lanes import LaneCursor
from comity_broker.dispatch.withheld import (
    decode_due,
    decode_withheld,
    encode_due,
    encode_withheld,
    mask_of,
    slots_of,
)
from comity_broker.storage.protocol import (
    ExceptionRow,
    ExceptionState,
    FloorRow,
    InboxRow,
    LaneKey,
    LaneRow,
)

NODE, CONSUMER, LANE = "XBO/n1", "default", 1
NOW_MS = 1_800_000_000_000


def row_of(state: LaneState) -> FloorRow:
    return state.encode(NODE, CONSUMER, LANE)


def inbox(item: int, count: int = 3, due=None) -> InboxRow:
    return InboxRow(NODE, LANE, item, encode_due(range(count) if due is None else due, count), b"")


def cursor(*rows: InboxRow, state: LaneState | None = None, transport_class: int = 4, exceptions=None, now=0.0):
    made = LaneCursor(LaneRow(LaneKey("XAR/n1", EPOCH, transport_class), LANE, 0), state or LaneState())
    made.extend(rows, exceptions or {}, now, NOW_MS)
    return made


def hand_all(lane: LaneCursor) -> None:
    """Hand over whatever is new, as a round does."""
    for pending in list(lane.fresh()):
        lane.take(pending.reference, pending.reference.change(hand=pending.slots), handed=True)


def settle(lane: LaneCursor, item: int, slots: int) -> None:
    """Acknowledge slots of an item, as an answer does."""
    reference = lane.items[item]
    told = lane.received(reference, slots)
    lane.take(reference, reference.change(settle=slots))
    for other in told:
        if other is not reference:
            lane.take(other, other.change())


def pendings(found) -> list[tuple[int, int]]:
    return [(one.reference.item, one.slots) for one in found]


# --- bitmaps --------------------------------------------------------------------------------------------------------


def test_a_bitmap_has_slot_0_in_the_lowest_bit_of_its_first_byte():
    assert encode_due({0, 9}, 10) == b"\x01\x02"
    assert list(slots_of(decode_due(b"\x01\x02", 10))) == [0, 9]


@pytest.mark.parametrize(("data", "count"), [(b"", 1), (b"\x01\x00", 8), (b"\x02", 1), (b"\x01" * 33, None)])
def test_a_bitmap_of_another_segment_is_refused(data, count):
    refused(lambda: decode_due(data, count))


def test_a_slot_or_portion_that_does_not_exist_is_not_written():
    refused(lambda: encode_due({3}, 3))
    refused(lambda: encode_withheld({0: {64}}))
    refused(lambda: encode_withheld({256: {0}}))
    refused(lambda: mask_of([-1]))


def test_slots_that_lack_the_same_portions_share_one_group():
    data = encode_withheld({slot: {1} for slot in range(200)})
    assert len(data) == 8 + 1 + 25
    assert decode_withheld(data, 200) == dict.fromkeys(range(200), frozenset({1}))


@pytest.mark.parametrize(
    "data",
    [
        encode_withheld({0: {1}}) + encode_withheld({1: {0}}),  # groups descend
        encode_withheld({0: {1}}) + encode_withheld({0: {2}}),  # one slot stands in two
        encode_withheld({0: {1}})[:-1],
        encode_withheld({0: {1}}) + b"\x00",
        bytes(8) + b"\x01\x01",  # no portion
        (1).to_bytes(8, "big") + b"\x00",  # no slot
        (1).to_bytes(8, "big") + b"\x02\x01\x00",  # a longer bitmap than it needs
    ],
)
def test_withheld_portions_written_in_another_way_are_refused(data):
    refused(lambda: decode_withheld(data))


# --- floors ---------------------------------------------------------------------------------------------------------


def test_a_floor_rises_over_items_that_are_done_and_numbers_of_other_lanes():
    state = LaneState()
    state.apply(Change(0, 5, 0b11, hand=0b11))
    state.apply(Change(5, 9, 0b1, hand=0b1))
    state.apply(Change(5, 9, 0b1, settle=0b1, told=True))
    assert (state.floor, state.handed, state.done) == (0, 9, [(6, 9)])
    state.apply(Change(0, 5, 0b11, settle=0b11, told=True))
    assert (state.floor, state.handed, state.done, state.partial) == (9, 9, [], {})


def test_an_item_is_not_done_before_the_consumer_was_told_of_what_it_lacks():
    state = LaneState()
    state.apply(Change(0, 5, 0, told=False))
    assert state.floor == 0
    state.apply(Change(0, 5, 0, told=True))
    assert state.floor == 5


def test_what_was_not_handed_over_is_waiting_and_never_outstanding():
    state = LaneState()
    state.apply(Change(0, 5, 0b1111, hand=0b0011))
    assert state.waiting(5, 0b1111) == 0b1100
    assert state.outstanding(5, 0b1111) == 0b0011
    state.apply(Change(0, 5, 0b1111, hold=0b0100))
    assert (state.held(5), state.waiting(5, 0b1111)) == (0b0100, 0b1100)
    state.apply(Change(0, 5, 0b1111, hand=0b1100))
    assert (state.held(5), state.waiting(5, 0b1111), state.outstanding(5, 0b1111)) == (0, 0, 0b1111)


def test_what_is_settled_never_comes_back():
    state = LaneState()
    state.apply(Change(0, 5, 0b11, hand=0b11))
    state.apply(Change(0, 5, 0b11, settle=0b01))
    state.apply(Change(0, 5, 0b11, hand=0b01, hold=0b01))
    assert state.settled(5, 0b11) == 0b01
    assert state.waiting(5, 0b11) == 0


def test_a_state_survives_its_bytes():
    state = LaneState(4, 40, [(6, 9), (12, 30)], {10: Partial(0b1, 0b110, 0b100), 35: Partial(0b1)})
    assert LaneState.decode(row_of(state)) == state
    assert LaneState.decode(None) == LaneState()
    assert row_of(LaneState(7, 7)).above == b""


@pytest.mark.parametrize(
    "state",
    [
        LaneState(4, 40, [(5, 9)]),  # touches the floor
        LaneState(4, 40, [(6, 9), (10, 12)]),  # touches the range before
        LaneState(4, 40, [(9, 6)]),
        LaneState(4, 8, [(6, 9)]),  # above what was handed over
        LaneState(4, 40, [(6, 9)], {8: Partial(1)}),  # done and not done
        LaneState(4, 40, [], {4: Partial(1)}),
        LaneState(4, 40, [], {41: Partial(1)}),
        LaneState(4, 40, [], {9: Partial()}),  # says nothing
        LaneState(4, 40, [], {9: Partial(1, 1)}),  # settled and waiting
        LaneState(4, 40, [], {9: Partial(0, 1, 2)}),  # held and not waiting
        LaneState(5, 4),
    ],
)
def test_a_state_that_contradicts_itself_is_refused(state):
    refused(lambda: LaneState.decode(row_of(state)))


def test_damaged_bytes_of_a_floor_are_refused():
    whole = row_of(LaneState(4, 40, [(6, 9)], {10: Partial(0b1, 0b110, 0b100)}))
    for end in range(1, len(whole.above)):
        refused(lambda end=end: LaneState.decode(whole._replace(above=whole.above[:end])))
    for data in (whole.above + b"\x00", b"\x02" + whole.above[1:], b"\x01" + bytes(8), b"\x01\xff\xff\xff\xff"):
        refused(lambda data=data: LaneState.decode(whole._replace(above=data)))


# --- what is due next -----------------------------------------------------------------------------------------------


def test_items_and_slots_come_in_their_order():
    lane = cursor(inbox(3), inbox(7, due={0, 2}))
    assert pendings(lane.fresh()) == [(3, 0b111), (7, 0b101)]


def test_a_lane_waits_behind_a_report_that_is_given_back():
    lane = cursor(inbox(3), inbox(7))
    first = next(lane.fresh())
    lane.take(first.reference, first.reference.change(hand=0b111), handed=True)
    lane.give_back(first.reference, 0b010, when=50.0)
    assert lane.blocked
    assert pendings(lane.fresh()) == []
    assert lane.again(now=49.0) == []
    assert lane.next_retry() == 50.0
    assert pendings(lane.again(now=50.0)) == [(3, 0b010)]
    lane.take(first.reference, first.reference.change(), again={1: 2}, handed=True)
    assert lane.blocked
    settle(lane, 3, 0b010)
    assert not lane.blocked
    assert pendings(lane.fresh()) == [(7, 0b111)]


def test_only_what_is_with_the_consumer_can_be_given_back():
    lane = cursor(inbox(3))
    hand_all(lane)
    settle(lane, 3, 0b001)
    assert lane.give_back(lane.items[3], 0b011, when=0.0) == 0b010


def test_a_new_session_hands_over_again_what_was_not_answered_and_keeps_the_attempts():
    state = LaneState(handed=7)
    state.apply(Change(0, 3, 0b111, settle=0b001))
    exceptions = {3: {1: ExceptionRow(NODE, CONSUMER, 3, 1, ExceptionState.RETRY, 1, NOW_MS + 5000, "", 0)}}
    lane = cursor(inbox(3), inbox(7), inbox(9), state=state, exceptions=exceptions, now=100.0)
    assert lane.again(now=100.0) == []  # slot 1 asked for five seconds, and the lane waits behind it
    assert pendings(lane.again(now=105.0)) == [(3, 0b110), (7, 0b111)]
    assert pendings(lane.fresh()) == []


def test_what_was_handed_over_twice_comes_alone():
    state = LaneState(handed=7)
    attempts = {slot: ExceptionRow(NODE, CONSUMER, 3, slot, ExceptionState.RETRY, 2, 0, "", 0) for slot in (0, 1)}
    lane = cursor(inbox(3, 2), inbox(7), state=state, exceptions={3: attempts})
    assert pendings(lane.again(now=0.0)) == [(3, 0b01)]
    lane.take(lane.items[3], lane.items[3].change(), again={0: 3}, handed=True)
    assert lane.again(now=0.0) == []
    assert lane.next_retry() is None
    settle(lane, 3, 0b01)
    assert pendings(lane.again(now=0.0)) == [(3, 0b10)]


def test_used_up_attempts_are_parked_except_in_class_0():
    spent = {0: ExceptionRow(NODE, CONSUMER, 3, 0, ExceptionState.RETRY, 5, 0, "", 0)}
    for transport_class, expected in ((4, [(3, 0b1)]), (1, [(3, 0b1)]), (0, [])):
        lane = cursor(inbox(3, 1), state=LaneState(handed=3), exceptions={3: spent}, transport_class=transport_class)
        assert pendings(lane.exhausted(5)) == expected


def test_a_parked_report_lets_the_lane_go_on_and_is_owed_to_the_next_frame():
    lane = cursor(inbox(3, 1), inbox(7, 1))
    hand_all(lane)
    reference = lane.items[3]
    lane.give_back(reference, 0b1, when=0.0)
    why = Reason(SkipReason.PARKED, 12)
    lane.take(reference, reference.change(settle=0b1, owes=True), reasons={0: why})
    assert not lane.blocked
    assert not lane.state.is_done(3), "the consumer was not told yet"
    other = lane.items[7]
    lane.skips.append((reference, None))
    lane.written(other, 0b1, frame=2)
    settle(lane, 7, 0b1)
    assert lane.state.floor == 7


def test_an_item_of_which_nothing_is_due_is_done_when_a_later_frame_of_the_lane_is_answered():
    lane = cursor(inbox(3, due=()), inbox(7, 1))
    for number, pending in enumerate(list(lane.fresh()), 1):
        lane.take(pending.reference, pending.reference.change(hand=pending.slots), handed=True)
        lane.written(pending.reference, pending.slots, number)
    assert lane.state.floor == 0
    settle(lane, 7, 0b1)
    assert lane.state.floor == 7


def test_an_answer_to_an_older_frame_of_an_item_tells_nothing_of_its_newest():
    lane = cursor(inbox(3, 2))
    reference = lane.items[3]
    lane.take(reference, reference.change(hand=0b01), handed=True)
    lane.written(reference, 0b01, 1)
    lane.take(
        reference, reference.change(settle=0b10, owes=True), reasons={1: Reason(SkipReason.EXPIRED, 9)}, handed=True
    )
    lane.written(reference, 0, 2)
    settle(lane, 3, 0b01)
    assert lane.state.floor == 0, "frame 2, which says EXPIRED, may not have come"


def test_what_only_waits_to_be_told_does_not_pile_up():
    lane = cursor(*(inbox(item, 1, due=()) for item in range(1, 81)))
    for number, pending in enumerate(list(lane.fresh()), 1):
        lane.take(pending.reference, pending.reference.change(), handed=True)
        lane.written(pending.reference, 0, number)
    assert [one.item for one in lane.overdue()] == list(range(1, 17))
    assert lane.overdue() == []


def test_a_lane_that_waits_gives_its_room_back_and_reads_again_later():
    lane = cursor(inbox(3, 1), inbox(7, 1), inbox(9, 1))
    first = next(lane.fresh())
    lane.take(first.reference, first.reference.change(hand=0b1), handed=True)
    lane.give_back(first.reference, 0b1, when=5.0)
    lane.let_go()
    assert (lane.ahead, lane.read_after, lane.more) == (0, 3, True)
    lane.extend([inbox(7, 1)], {}, 0.0, NOW_MS)
    assert lane.items[7].previous == 3


def test_done_items_are_passed_over_when_reading():
    lane = cursor(state=LaneState(4, 40, [(6, 30)], {5: Partial(1)}))
    assert lane.read_after == 4
    lane.extend([inbox(5)], {}, 0.0, NOW_MS)
    assert lane.read_after == 30


def test_a_replay_neither_waits_for_its_lane_nor_moves_a_floor():
    lane = cursor(inbox(7, 1), state=LaneState(5, 5))
    lane.replay(inbox(4), {1: 0}, now=0.0)
    assert [(one.reference.item, one.slots) for one in lane.replayable(0.0)] == [(4, 0b010)]
    assert not lane.blocked
    reference = lane.replays[4]
    lane.take_replay(reference, {1: 1})
    assert lane.replayable(0.0) == []
    assert lane.give_back(reference, 0b010, when=9.0) == 0b010
    assert not lane.blocked
    assert lane.next_retry() == 9.0
    lane.take_replay(reference, {}, settled=0b010)
    assert (lane.replays, lane.state.floor) == ({}, 5)


def test_an_answer_that_memory_took_before_the_hand_over_blocks_nothing():
    lane = cursor(inbox(3, 1), state=LaneState(handed=3))
    reference = lane.items[3]
    lane.take(reference, Change(0, 3, 0b1, settle=0b1, told=True))
    lane.take(reference, reference.change(), again={0: 2}, handed=True)
    assert not lane.blocked
    assert lane.in_flight == 0
    assert lane.state.floor == 3
