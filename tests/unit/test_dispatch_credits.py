"""Credit, resume tokens, deadlines, and verdicts at hand-over: the pure parts of dispatch beside the lanes."""

import pytest

from builders_dispatch_segments import EPOCH
from builders_envelope import refused
from comity.errors import ErrorCode, StorageError
from comity_broker.dispatch.checking import Suspension, judge
from comity_broker.dispatch.credits import BYTES_LIMIT, REPORTS_LIMIT, Credits
from comity_broker.dispatch.deadlines import Deadlines
from comity_broker.dispatch.floors import LaneState
from comity_broker.dispatch.lanes import LaneCursor
from comity_broker.dispatch.tokens import ResumeToken, decode_token, encode_token
from comity_broker.dispatch.withheld import (
    encode_due,
)
from comity_broker.storage.protocol import (
    FloorRow,
    HoldingRow,
    HoldingState,
    InboxRow,
    LaneKey,
    LaneRow,
    ReportRow,
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


# --- credit, tokens, deadlines --------------------------------------------------------------------------------------


def test_routine_leaves_an_eighth_of_the_credit():
    credits_ = Credits()
    credits_.grant(80, 8000)
    assert (credits_.free(4), credits_.free(3), credits_.free(1)) == (70, 80, 80)
    credits_.use(4, 70, 100)
    assert (credits_.free(4), credits_.free(1)) == (0, 10)
    credits_.grant(70, 100)
    assert credits_.free(4) == 70


def test_a_small_window_is_never_stuck():
    credits_ = Credits()
    credits_.grant(1, 1)
    assert credits_.free(4) == 1
    credits_.use(4, 1, 1 << 20)
    assert credits_.free(1) == 0


def test_class_0_needs_no_credit_and_uses_none():
    credits_ = Credits()
    assert credits_.free(0) > 0
    credits_.use(0, 5, 5)
    assert (credits_.reports, credits_.size) == (0, 0)


def test_a_consumer_cannot_grant_without_bound():
    credits_ = Credits()
    for _ in range(3):
        credits_.grant((1 << 32) - 1, (1 << 64) - 1)
    assert (credits_.reports, credits_.size) == (REPORTS_LIMIT, BYTES_LIMIT)


def test_a_token_survives_its_bytes_and_damage_is_refused():
    token = ResumeToken(bytes(16), 7, {("XAR-XBO-1", 2): 9, ("XAR-XBO-1", 1): 4, ("XAR-XDE-1", 1): 0})
    data = encode_token(token)
    assert decode_token(data) == token
    for damaged in (data[:-1], data + b"\x00", b"CRT2" + data[4:], b""):
        refused(lambda damaged=damaged: decode_token(damaged))
    one = encode_token(ResumeToken(bytes(16), 7, {("A", 1): 1}))
    refused(lambda: decode_token(one[: -17 - 4] + b"\x00\x00\x00\x02" + one[-17:] * 2))


def test_a_token_with_too_many_lanes_is_refused_before_it_is_read():
    data = encode_token(ResumeToken(bytes(16), 7, {}))[:-4] + b"\x00\x00\x04\x01" + bytes(17 * 1025)
    refused(lambda: decode_token(data), code=ErrorCode.LIMIT_EXCEEDED)


def test_a_deadline_takes_back_what_was_not_answered_and_nothing_else():
    lane = cursor(inbox(3), inbox(7))
    hand_all(lane)
    deadlines = Deadlines(60.0, now=0.0)
    deadlines.begin(0.0, lane, lane.items[3], 0b111, {})
    deadlines.begin(30.0, lane, lane.items[7], 0b111, {})
    settle(lane, 3, 0b001)
    assert deadlines.next() == 60.0
    assert not deadlines.take_back(59.0)
    assert deadlines.take_back(60.0)
    assert pendings(lane.again(60.0)) == [(3, 0b110)]
    assert deadlines.next() == 90.0


def test_a_heartbeat_begins_every_deadline_anew():
    lane = cursor(inbox(3))
    hand_all(lane)
    deadlines = Deadlines(60.0, now=0.0)
    deadlines.begin(0.0, lane, lane.items[3], 0b111, {})
    deadlines.heard(50.0)
    assert not deadlines.take_back(109.0)
    assert deadlines.take_back(110.0)


def test_the_deadline_of_an_earlier_hand_over_does_not_touch_the_next():
    lane = cursor(inbox(3, 1))
    hand_all(lane)
    deadlines = Deadlines(60.0, now=0.0)
    deadlines.begin(0.0, lane, lane.items[3], 0b1, {})
    lane.give_back(lane.items[3], 0b1, when=1.0)
    lane.take(lane.items[3], lane.items[3].change(), again={0: 2}, handed=True)
    deadlines.begin(2.0, lane, lane.items[3], 0b1, {0: 2})
    assert not deadlines.take_back(61.0)
    assert deadlines.next() == 62.0


# --- verdicts -------------------------------------------------------------------------------------------------------


def report(slot: int, *, not_before: int = 0, expires_at: int = NOW_MS + 1) -> ReportRow:
    return ReportRow(bytes(16), bytes(48), 3, slot, slot + 1, slot + 1, 1, not_before, expires_at, 0)


def word(slot: int, state: HoldingState, log_index: int) -> dict[int, HoldingRow]:
    return {slot: HoldingRow(3, slot, state, log_index)}


def test_what_is_in_time_permitted_and_not_held_may_go():
    verdicts = judge(0b11, {0: report(0), 1: report(1)}, NOW_MS)
    assert (verdicts.hand, verdicts.expired, verdicts.hold, verdicts.withdrawn) == (0b11, 0, {}, {})


def test_what_expired_does_not_go_and_what_is_denied_is_held():
    reports = {0: report(0, expires_at=NOW_MS), 1: report(1), 2: report(2)}
    verdicts = judge(0b111, reports, NOW_MS, denied=0b010)
    assert (verdicts.hand, verdicts.expired, verdicts.hold) == (0b100, 0b001, {1: 0})


def test_an_embargo_stops_what_follows_in_its_lane_and_nothing_before():
    reports = {0: report(0), 1: report(1, not_before=NOW_MS + 500), 2: report(2)}
    verdicts = judge(0b111, reports, NOW_MS)
    assert (verdicts.hand, verdicts.until_ms) == (0b001, NOW_MS + 500)


@pytest.mark.parametrize(
    ("words", "held"),
    [
        ({}, True),
        (word(0, HoldingState.CONFIRMED, 19), True),  # said before the suspension
        (word(0, HoldingState.CONFIRMED, 21), False),
    ],
)
def test_a_suspension_holds_until_the_originator_says_a_word_after_it(words, held):
    verdicts = judge(0b1, {0: report(0)}, NOW_MS, suspensions=[Suspension(20, 0b1)], words=words)
    assert (verdicts.hold, verdicts.hand) == (({0: 20}, 0) if held else ({}, 0b1))


def test_a_word_counts_only_for_the_suspensions_before_it():
    suspensions = [Suspension(20, 0b1), Suspension(30, 0b1)]
    verdicts = judge(0b1, {0: report(0)}, NOW_MS, suspensions=suspensions, words=word(0, HoldingState.CONFIRMED, 25))
    assert verdicts.hold == {0: 30}


def test_a_confirmed_report_is_still_decided_anew():
    verdicts = judge(
        0b1,
        {0: report(0)},
        NOW_MS,
        denied=0b1,
        suspensions=[Suspension(20, 0b1)],
        words=word(0, HoldingState.CONFIRMED, 21),
    )
    assert verdicts.hold == {0: 0}


def test_what_was_withdrawn_never_goes_and_never_expires():
    reports = {0: report(0, expires_at=NOW_MS)}
    verdicts = judge(0b1, reports, NOW_MS, words=word(0, HoldingState.WITHDRAWN, 21))
    assert (verdicts.withdrawn, verdicts.expired, verdicts.hand) == ({0: 21}, 0, 0)


def test_a_report_that_the_store_lost_is_an_error_and_no_silence():
    with pytest.raises(StorageError):
        judge(0b1, {}, NOW_MS)
