"""Every number is a report or a reason: what a delivery accounts for, and what its claims say against the log."""

from dataclasses import replace

import pytest

from builders_audit import fresh_audit
from builders_audit_log import ORIGIN
from builders_delivery import cut, handing
from builders_hostile import Served
from comity.envelope.evidence import SlotCode
from comity.envelope.forwarding import prune
from comity.envelope.segment import parse_segment
from comity.node.accounting import account
from comity.node.claims import Claim, Said, contradiction, decode_claim, encode_claim, over
from comity.node.entries import MirroredEntry, Part
from comity.v1 import exchange_pb2
from comity_broker.auditlog import events
from comity_broker.auditlog.bodies import SegmentSlots


def skipped(number, leaf, reason, log_index=5):
    return exchange_pb2.Skipped(origin_sequence=number, leaf=leaf, reason=reason, log_index=log_index)


async def test_a_segment_handed_over_whole_is_accounted_for(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame(3, first=11)
        segment = parse_segment(frame.segment)
        for before in (None, 10):
            accounted = account(frame, segment, before)
            assert (accounted.until, accounted.missing, accounted.unexplained, accounted.over) == (13, (), (), ())
            (claim,) = accounted.claims
            assert (claim.said, claim.numbers, claim.segment_id) == (Said.DELIVERED, (0, 1, 2), segment.segment_id)
            assert claim.leaves == over(segment.leaves)


async def test_numbers_between_that_nothing_explains_are_missing(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame(2, first=11)
        segment = parse_segment(frame.segment)
        assert account(frame, segment, 7).missing == (8, 9, 10)
        told = cut(frame, skipped=[skipped(8, b"l" * 48, 3), skipped(10, b"m" * 48, 4)])
        accounted = account(told, segment, 7)
        assert accounted.missing == (9,)
        assert {(claim.said, claim.segment_id, claim.numbers) for claim in accounted.claims} >= {
            (Said.EXPIRED, b"", (8,)),
            (Said.PARKED, b"", (10,)),
        }
        # What comes again was accounted for before.
        assert account(frame, segment, 20).missing == ()
        assert account(frame, segment, 20).until == 20


async def test_a_slot_that_came_pruned_without_a_reason_is_unexplained(tmp_path):
    async with handing(tmp_path) as hand:
        whole = hand.frame(4)
        segment = parse_segment(prune(whole.segment, [1, 2]))
        frame = cut(whole, segment=segment.data, slots=[whole.slots[0], whole.slots[3]])
        assert account(frame, segment, 0).unexplained == (1, 2)
        leaves = segment.leaves
        told = cut(frame, absent=[skipped(2, leaves[1], 1), skipped(3, leaves[2], 9, 0)])
        accounted = account(told, segment, 0)
        assert accounted.unexplained == ()
        # Refused is for good; that its turn has not come is not.
        assert accounted.over == (1,)
        assert [(one.said, one.numbers) for one in accounted.claims] == [(Said.DELIVERED, (0, 3)), (Said.REFUSED, (1,))]


async def test_a_parked_slot_is_accounted_for_and_left_to_whoever_replays_it(tmp_path):
    async with handing(tmp_path) as hand:
        whole = hand.frame(1)
        segment = parse_segment(prune(whole.segment, [0]))
        frame = cut(whole, segment=segment.data, slots=[], absent=[skipped(1, segment.leaves[0], 4)])
        accounted = account(frame, segment, 0)
        assert (accounted.unexplained, accounted.over) == ((), ())
        assert [one.said for one in accounted.claims] == [Said.PARKED]


async def test_a_reason_that_names_another_leaf_explains_nothing(tmp_path):
    async with handing(tmp_path) as hand:
        whole = hand.frame(2)
        segment = parse_segment(prune(whole.segment, [1]))
        frame = cut(whole, segment=segment.data, slots=[whole.slots[0]], absent=[skipped(2, b"x" * 48, 1)])
        assert account(frame, segment, 0).unexplained == (1,)


async def test_a_reason_for_a_report_that_is_here_explains_nothing(tmp_path):
    async with handing(tmp_path) as hand:
        whole = hand.frame(2)
        segment = parse_segment(whole.segment)
        frame = cut(whole, slots=[whole.slots[0]], absent=[skipped(2, segment.leaves[1], 1)])
        assert account(frame, segment, 0).unexplained == (1,)


# --- claims against the log -----------------------------------------------------------------------------------------


class Logged:
    """One segment in XBO's view of a log: slot 2 refused, slots 0 and 1 given to XBO/m1."""

    def __init__(self):
        self.audit = fresh_audit()
        self.sent = self.audit.submit(3, refused={2: SlotCode.POLICY})
        self.index = len(self.audit.events) - 1
        self.claim = Claim(
            "XAR-XBO-1",
            self.index,
            Said.DELIVERED,
            self.sent.admission.segment_id,
            (0, 1),
            over(self.sent.leaves[:2]),
            self.sent.admission.time,
        )

    def add(self, event):
        self.audit.events.append(event)
        return len(self.audit.events) - 1

    def entry(self, index=None):
        served = Served.of(ORIGIN, self.audit.events, self.audit.log_keys, self.audit.records, ("XAR", "XBO"))
        at = self.index if index is None else index
        entry = served.entries[at]
        parts = {}
        for name in ("shared", "XBO"):
            tree = self.audit.records.get(at) if name == "shared" else None
            records = () if tree is None else tuple(zip(tree.salts, tree.records, strict=True))
            parts[name] = Part(entry.parts[name].salt, entry.parts[name].body, records)
        return MirroredEntry(ORIGIN, at, entry.kind.value, entry.data, parts)

    def wrong(self, claim, index=None):
        return contradiction(claim, self.entry(index), party="XBO", node="m1")


@pytest.fixture(scope="module")
def logged():
    return Logged()


def test_a_true_delivery_contradicts_nothing(logged):
    assert logged.wrong(logged.claim) == ""


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"segment_id": bytes(48)}, "another segment"),
        ({"admitted_at": 1}, "another time"),
        ({"leaves": over([bytes(48)])}, "other reports"),
        ({"numbers": (0, 7)}, "other reports"),
        ({"said": Said.REFUSED}, "says ADMITTED of slot 0"),
    ],
)
def test_a_delivery_that_the_log_does_not_know_is_contradicted(logged, changes, says):
    assert says in logged.wrong(replace(logged.claim, **changes))


def test_a_refused_slot_cannot_be_delivered_and_an_admitted_one_not_called_refused(logged):
    leaf = logged.sent.leaves[2]
    handed = replace(logged.claim, numbers=(2,), leaves=over([leaf]))
    assert "says REFUSED of slot 2" in logged.wrong(handed)
    assert logged.wrong(replace(handed, said=Said.REFUSED)) == ""


def test_a_delivery_to_a_node_that_was_given_nothing_is_contradicted(logged):
    assert contradiction(logged.claim, logged.entry(), party="XBO", node="m2").endswith("nothing of slot 0")


def test_a_number_of_a_lane_is_found_by_the_segments_first(logged):
    first = logged.sent.admission.first_origin_sequence
    named = Claim("XAR-XBO-1", logged.index, Said.REFUSED, b"", (first + 2,), over([logged.sent.leaves[2]]))
    assert logged.wrong(named) == ""
    assert "other reports" in logged.wrong(replace(named, numbers=(first - 1,)))


def test_an_entry_of_another_kind_says_nothing_of_a_delivery(logged):
    assert "no submission" in logged.wrong(replace(logged.claim, log_index=1), 1)


def test_an_ending_must_be_in_the_log_for_this_node_and_these_slots():
    logged = Logged()
    segment = logged.sent.admission.segment_id
    slots = [SegmentSlots(segment, [0])]
    index = logged.add(
        events.expired(time=logged.audit.tick(), originator="XAR", recipient=("XBO", "m1"), segments=slots)
    )
    claim = Claim("XAR-XBO-1", index, Said.EXPIRED, segment, (0,), over(logged.sent.leaves[:1]))
    assert logged.wrong(claim, index) == ""
    assert "leaves out slots" in logged.wrong(replace(claim, numbers=(0, 1)), index)
    assert "other segments" in logged.wrong(replace(claim, segment_id=bytes(48)), index)
    assert "not PARKED" in logged.wrong(replace(claim, said=Said.PARKED), index)
    assert "another node" in contradiction(claim, logged.entry(index), party="XBO", node="m2")
    assert logged.wrong(replace(claim, segment_id=b""), index) == ""


def test_a_withdrawal_is_the_originators(logged):
    assert "not WITHDRAWN" in logged.wrong(replace(logged.claim, said=Said.WITHDRAWN))


async def test_a_lane_that_goes_on_beyond_all_numbers_is_one_gap_and_takes_no_time(tmp_path):
    """A hostile sender chooses its numbers; between two of them lie more than anybody can count."""
    async with handing(tmp_path) as hand:
        frame = hand.frame(1, first=2**52)
        segment = parse_segment(frame.segment)
        told = cut(frame, skipped=[skipped(2**51, b"l" * 48, 3)])
        missing = account(told, segment, 7).missing
        assert (missing[0], missing[-1]) == (8, 2**52 - 1)
        assert 2**51 not in missing


@pytest.mark.parametrize("field", ["origin_sequence", "log_index"])
async def test_a_reason_with_a_number_that_no_log_or_lane_has_is_none(tmp_path, field):
    async with handing(tmp_path) as hand:
        frame = hand.frame(1, first=11)
        segment = parse_segment(frame.segment)
        reason = skipped(10, b"l" * 48, 3)
        setattr(reason, field, 2**53)
        accounted = account(cut(frame, skipped=[reason]), segment, 9)
        assert accounted.missing == (10,)
        assert all(decode_claim(one.agreement_id, encode_claim(one)) == one for one in accounted.claims)
