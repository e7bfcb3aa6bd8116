"""Delivery against models: its encodings, its floors, and whole sessions with a broker that is killed at any commit."""

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders_dispatch_machine import Delivery
from builders_dispatch_segments import AGREEMENT, Draft, Maker, cast
from builders_identity import NOW, Seeded
from comity.envelope.segment import WholeItem, parse_segment
from comity.errors import MalformedError
from comity_broker.auditlog.log import Log
from comity_broker.dispatch.floors import Change, LaneState
from comity_broker.dispatch.packets import decode_named, encode_named, packets_named
from comity_broker.dispatch.tokens import ResumeToken, decode_token, encode_token
from comity_broker.dispatch.withheld import (
    decode_due,
    decode_withheld,
    deliverable_bytes,
    encode_due,
    encode_withheld,
    mask_of,
    slots_of,
)
from comity_broker.storage.protocol import FloorRow

SLOTS = st.integers(0, 255)

# --- encodings ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 256).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, count - 1)))))
def test_due_slots_survive_their_bytes(of):
    count, slots = of
    assert set(slots_of(decode_due(encode_due(slots, count), count))) == slots


@given(st.dictionaries(SLOTS, st.frozensets(st.integers(0, 63), min_size=1), max_size=20))
def test_withheld_portions_survive_their_bytes(withheld):
    assert decode_withheld(encode_withheld(withheld)) == withheld


@given(st.binary(max_size=64))
def test_bytes_of_withheld_portions_have_one_meaning_or_none(data):
    with contextlib.suppress(MalformedError):
        assert encode_withheld(decode_withheld(data)) == data


@given(
    st.binary(min_size=16, max_size=16),
    st.integers(0, 1 << 50),
    st.dictionaries(
        st.tuples(st.from_regex(r"[A-Z]{3}-[A-Z]{3}-\d", fullmatch=True), st.integers(1, 1 << 30)),
        st.integers(0, 1 << 50),
        max_size=10,
    ),
)
def test_tokens_survive_their_bytes(incarnation, session, floors):
    token = ResumeToken(incarnation, session, floors)
    assert decode_token(encode_token(token)) == token


@given(st.binary(max_size=80))
def test_bytes_of_a_token_have_one_meaning_or_none(data):
    with contextlib.suppress(MalformedError):
        assert encode_token(decode_token(b"CRT1" + data)) == b"CRT1" + data


@given(st.binary(max_size=80))
def test_bytes_of_a_floor_have_one_meaning_or_none(data):
    row = FloorRow("XBO/n1", "default", 1, 3, 200, b"\x01" + data)
    with contextlib.suppress(MalformedError):
        assert LaneState.decode(row).encode("XBO/n1", "default", 1) == row


def segment_of(count: int, portions: int) -> bytes:
    people = cast()
    maker = Maker(
        Log(f"hub.xar.example/agreement/{AGREEMENT}/{'00' * 16}", ("XAR", "XBO")),
        bytes(48),
        bytes(48),
        Seeded("p"),
        people,
    )
    return maker._segment(Draft(count, portions=portions), 1, NOW)[0]


@given(st.integers(1, 6), st.integers(1, 3), st.data())
@settings(deadline=None)
def test_what_a_node_may_have_is_cut_out_and_the_segment_keeps_its_id(count, portions, data):
    whole = segment_of(count, portions)
    slots = data.draw(st.sets(st.integers(0, count - 1)))
    withheld = data.draw(
        st.dictionaries(st.integers(0, count - 1), st.frozensets(st.integers(0, portions - 1), min_size=1))
    )
    cut = deliverable_bytes(whole, count, mask_of(slots), encode_withheld(withheld))
    before, after = parse_segment(whole), parse_segment(cut)
    assert after.segment_id == before.segment_id
    assert {slot for slot, _ in after.whole} == slots
    for slot, item in after.whole:
        kept = [body if index not in withheld.get(slot, ()) else None for index, body in enumerate(item.ciphertexts)]
        assert [body for body in item.ciphertexts if isinstance(body, bytes)] == [
            body for body in kept if body is not None
        ]
    named = {
        (row.fingerprint, row.packet_id)
        for item in after.items
        if isinstance(item, WholeItem)
        for row in item.manifest.rows
    }
    assert packets_named(cut) == named == decode_named(encode_named(named))


# --- floors against a model -----------------------------------------------------------------------------------------

CHANGES = st.lists(
    st.tuples(st.integers(0, 7), *(st.integers(0, 7),) * 3, st.booleans()),
    max_size=40,
)
DUE = st.lists(st.integers(0, 7), min_size=8, max_size=8)


@given(DUE, CHANGES)
def test_a_lanes_state_is_what_a_plain_model_says(due, changes):
    items = [3 * (index + 1) for index in range(len(due))]
    state = LaneState()
    settled, waiting, done, touched = {}, {}, set(), -1
    for wanted, hand, settle, hold, told in changes:
        index = min(wanted, touched + 1)  # items are touched in their order
        item, mask = items[index], due[index]
        state.apply(Change(items[index - 1] if index else 0, item, mask, hand, settle, hold, told))
        state = LaneState.decode(state.encode("XBO/n1", "default", 1))
        if index in done:
            continue
        waits = mask if index > touched else waiting.get(index, 0)
        touched = max(touched, index)
        settled[index] = settled.get(index, 0) | settle & mask
        waiting[index] = (waits & ~hand | hold & mask) & ~settled[index]
        if told and settled[index] == mask:
            done.add(index)
    for index, item in enumerate(items):
        mask = due[index]
        assert state.is_done(item) == (index in done)
        if index in done:
            assert state.settled(item, mask) == mask
        elif index <= touched:
            assert state.settled(item, mask) == settled[index]
            assert state.waiting(item, mask) == waiting[index]
            assert state.outstanding(item, mask) == mask & ~settled[index] & ~waiting[index]
        else:
            assert (state.waiting(item, mask), state.outstanding(item, mask)) == (mask, 0)
    first_open = next((index for index in range(len(items)) if index not in done), len(items))
    assert state.floor == (items[first_open - 1] if first_open else 0)
    assert state.handed == (items[touched] if touched >= 0 else 0)


# --- sessions against a model ---------------------------------------------------------------------------------------

Delivery.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestDelivery = Delivery.TestCase
