"""What every store does, whatever keeps its data (design 04, "Storage protocol"): numbers, refusals, builds."""

import asyncio
from collections import defaultdict
from dataclasses import replace
from functools import partial

import pytest

from builders_storage import (
    AGREEMENT,
    OTHER,
    RECEIVER,
    SENDER,
    acknowledgement,
    codes,
    digest,
    everything,
    exception,
    failing,
    lane_key,
    opening,
    report_id,
    segment,
    statement,
    with_entry,
)
from comity.errors import ComityError, ConflictError, ErrorCode
from comity_broker.journal import Journal
from comity_broker.storage.protocol import (
    KEYS,
    Committed,
    ExceptionState,
    Known,
    LaneRow,
    Reads,
    Rows,
    Unit,
)

# --- numbers ------------------------------------------------------------------------------------------------------------


async def test_two_committers_give_dense_items_leaves_and_sequences(storage, writer):
    async def committer(journal, first):
        return [await journal.submit(segment(first + 10 * number, 4)) for number in range(30)]

    fatal = []
    journal = Journal(writer, on_fatal=fatal.append)
    journal.start()
    both = await asyncio.gather(committer(journal, 1_000), committer(journal, 2_000))
    journal.stop()
    assert fatal == []
    outcomes = [*both[0], *both[1]]
    assert sorted(outcome.result for outcome in outcomes) == list(range(1, 61))
    head = await storage.reader.head(AGREEMENT)
    assert (head.item_next, head.leaf_next, head.agreement_sequence_next, head.lane_next) == (61, 61, 241, 2)
    assert [row.item for row in await storage.reader.segments_from(AGREEMENT, 0, 100)] == list(range(1, 61))
    assert [row.log_index for row in await storage.reader.entries(AGREEMENT, 0, 100)] == list(range(61))
    reports = await storage.reader.reports(AGREEMENT, (0, 0), 1_000)
    assert [row.agreement_sequence for row in reports] == list(range(1, 241))
    assert await storage.reader.check() == []


async def test_a_reader_never_sees_a_number_without_those_before_it(storage, writer):
    fatal = []
    journal = Journal(writer, on_fatal=fatal.append)
    journal.start()
    committing = asyncio.gather(*(journal.submit(segment(1 + 10 * number, 2)) for number in range(40)))
    seen = [0]
    while not committing.done():
        items = [row.item for row in await storage.reader.segments_from(AGREEMENT, 0, 1_000)]
        entries = [row.log_index for row in await storage.reader.entries(AGREEMENT, 0, 1_000)]
        head = await storage.reader.head(AGREEMENT)
        assert items == list(range(1, len(items) + 1))
        assert entries == list(range(len(entries)))
        assert len(items) < head.item_next
        assert seen[-1] <= len(items), "what was seen does not go away"
        seen.append(len(items))
        await asyncio.sleep(0)
    await committing
    journal.stop()
    assert fatal == []


def _with(head_change):
    def build(head, _known):
        rows = Rows(head, None)
        with_entry(head, rows, "REVIEWED")
        rows.head = replace(rows.head, **head_change(head))
        return rows

    return Unit(AGREEMENT, build)


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(_with(lambda head: {"item_next": head.item_next + 1}), id="an-item-is-left-out"),
        pytest.param(_with(lambda head: {"leaf_next": head.leaf_next + 2}), id="a-leaf-is-left-out"),
        pytest.param(_with(lambda head: {"leaf_next": head.leaf_next}), id="a-leaf-is-not-counted"),
        pytest.param(
            _with(lambda head: {"agreement_sequence_next": head.agreement_sequence_next + 1}),
            id="a-sequence-is-left-out",
        ),
        pytest.param(_with(lambda _: {"agreement_sequence_next": 0}), id="a-sequence-goes-back"),
        pytest.param(_with(lambda head: {"lane_next": head.lane_next + 1}), id="a-lane-is-left-out"),
        pytest.param(_with(lambda head: {"state_epoch": head.state_epoch - 1}), id="the-epoch-goes-back"),
        pytest.param(_with(lambda head: {"broker_time": head.broker_time - 1}), id="the-time-goes-back"),
        pytest.param(_with(lambda _: {"shard": OTHER}), id="it-is-another-shard's"),
        pytest.param(_with(lambda _: {"incarnation": bytes(16)}), id="it-is-another-incarnation's"),
        pytest.param(_with(lambda _: {"frontier": ()}), id="the-frontier-does-not-fit"),
        pytest.param(Unit(AGREEMENT, lambda head, _: _orphan_body(head)), id="a-body-without-an-entry"),
    ],
)
async def test_a_unit_that_does_not_follow_on_from_the_head_is_refused_alone(storage, writer, unit):
    before = await everything(storage.reader)
    assert codes(writer.commit([unit])) == [ErrorCode.INTERNAL]
    assert await everything(storage.reader) == before
    assert codes(writer.commit([segment(1), unit, segment(11)])) == [None, ErrorCode.INTERNAL, None]


def _orphan_body(head):
    rows = Rows(head, None)
    with_entry(head, rows, "REVIEWED")
    rows.bodies.append(rows.bodies[0]._replace(log_index=head.leaf_next - 1, part="XAR"))
    return rows


# --- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("culprit", "code"),
    [
        pytest.param(failing(ConflictError("no", code=ErrorCode.REPLAYED)), ErrorCode.REPLAYED, id="refused-by-rule"),
        pytest.param(failing(ZeroDivisionError()), ErrorCode.INTERNAL, id="a-fault-of-the-broker"),
        pytest.param(segment(2, 1, checks=False), ErrorCode.INTERNAL, id="a-known-report-nobody-asked-about"),
        pytest.param(segment(900, weight=40, checks=False), None, id="careless-and-lucky"),
        pytest.param(segment(20, shard="nobody-knows-2026"), ErrorCode.AGREEMENT_UNKNOWN, id="no-such-agreement"),
        pytest.param(segment(20, expected_epoch=7), ErrorCode.STATE_CHANGED, id="decided-under-another-state"),
    ],
)
async def test_a_refused_unit_leaves_no_row_while_its_neighbours_commit(storage, writer, culprit, code):
    writer.commit([segment(1)])
    outcomes = writer.commit([segment(100), acknowledgement(1), culprit, segment(200), segment(1, shard=OTHER)])
    assert codes(outcomes) == [None, None, code, None, None]
    ids = [row.report_id for row in await storage.reader.reports(AGREEMENT, (0, 0), 100)]
    expected = [*range(1, 4), *range(100, 103), *(range(900, 903) if code is None else ()), *range(200, 203)]
    assert ids == [report_id(number) for number in expected]
    assert await storage.reader.check() == []


async def test_a_number_that_no_engine_keeps_refuses_its_own_unit_only(storage, writer):
    def build(head, _known):
        rows = segment(5).build(head, _nothing_known())
        rows.reports[0] = rows.reports[0]._replace(expires_at=1 << 64)
        return rows

    assert codes(writer.commit([segment(100), Unit(AGREEMENT, build), segment(200)])) == [
        None,
        ErrorCode.INTERNAL,
        None,
    ]
    assert (await storage.reader.head(AGREEMENT)).item_next == 3


def test_a_key_that_no_engine_keeps_refuses_its_own_unit_only(writer):
    odd = Unit(AGREEMENT, lambda head, _: Rows(head, None), Reads(consumers=[("XAR/n1", "\udc80")]))
    assert codes(writer.commit([segment(100), odd, segment(200)])) == [None, ErrorCode.INTERNAL, None]


async def test_an_epoch_raised_between_decision_and_commit_refuses_with_state_changed(storage, writer):
    decided = (await storage.reader.head(AGREEMENT)).state_epoch
    writer.commit([statement(1)])
    (outcome,) = writer.commit([segment(1, expected_epoch=decided)])
    assert outcome.error.code is ErrorCode.STATE_CHANGED
    assert isinstance(writer.commit([segment(1, expected_epoch=decided + 1)])[0], Committed)


def test_an_epoch_raised_earlier_in_the_same_commit_refuses_as_well(writer):
    assert codes(writer.commit([segment(1, expected_epoch=0), statement(1), segment(10, expected_epoch=0)])) == [
        None,
        None,
        ErrorCode.STATE_CHANGED,
    ]
    assert codes(writer.commit([segment(1, shard=OTHER, expected_epoch=0)])) == [None], "the other agreement stands"


def test_a_unit_that_depends_on_another_shard_too_is_refused_when_that_one_changed(writer):
    """So a suspension in an agreement's log stops its exercise, whose shard is another, from the very next unit."""
    of_exercise = partial(segment, shard=OTHER, beside=(AGREEMENT, 0))
    assert codes(writer.commit([of_exercise(1), statement(1), of_exercise(10)])) == [
        None,
        None,
        ErrorCode.STATE_CHANGED,
    ]
    assert codes(writer.commit([of_exercise(10)])) == [ErrorCode.STATE_CHANGED], "and in a commit of its own"
    assert codes(writer.commit([segment(10, shard=OTHER, beside=(AGREEMENT, 1))])) == [None]
    assert codes(writer.commit([segment(20, shard=OTHER, beside=("nobody-2026", 0))])) == [ErrorCode.STATE_CHANGED]


def test_a_refusal_says_what_happened_and_what_to_do(writer):
    outcomes = writer.commit(
        [segment(1, shard="nobody-2026"), segment(1, expected_epoch=9), failing(KeyError("secret"))]
    )
    for outcome in outcomes:
        assert isinstance(outcome.error, ComityError)
        assert outcome.error.what_to_do
        assert "secret" not in outcome.error.message


async def test_a_shard_is_made_only_by_a_unit_that_may(storage):
    assert codes(storage.writer.commit([segment(1), opening(KEYS), opening(KEYS), opening()])) == [
        ErrorCode.AGREEMENT_UNKNOWN,
        None,
        None,
        None,
    ]
    heads = await storage.reader.shards()
    assert [(head.shard, head.leaf_next) for head in heads] == [(KEYS, 2), (AGREEMENT, 1)]
    assert {head.incarnation for head in heads} == {storage.incarnation}
    assert await storage.reader.head("nobody-2026") is None


async def test_shards_that_one_commit_makes_stay_apart_also_when_it_is_written_one_by_one(storage, writer):
    writer.commit([segment(1)])
    made = [f"made-{number}-2026" for number in range(3)]
    outcomes = writer.commit([segment(1, checks=False), *map(opening, made), *(segment(5, shard=one) for one in made)])
    assert codes(outcomes) == [ErrorCode.INTERNAL, *[None] * 6]
    heads = await storage.reader.shards()
    assert [(head.shard, head.leaf_next) for head in heads[:3]] == [(one, 2) for one in made]
    assert await storage.reader.check() == []


async def test_a_refused_unit_makes_no_shard(storage):
    assert codes(storage.writer.commit([failing(ConflictError("no"), KEYS, create=True)])) == [
        ErrorCode.STATEMENT_CONFLICT
    ]
    assert await storage.reader.shards() == []


def test_a_commit_of_nothing_is_nothing(writer):
    assert writer.commit([]) == []


# --- build --------------------------------------------------------------------------------------------------------------


def test_a_build_that_runs_twice_gives_the_same_rows(storage, writer):
    """A careless neighbour makes the writer start again, one by one; what was built first must not differ."""
    made = defaultdict(list)

    def watched(name, unit):
        def build(head, known):
            rows = unit.build(head, known)
            made[name].append(rows)
            return rows

        return replace(unit, build=build)

    writer.commit([segment(1)])
    careless = segment(1, checks=False)
    outcomes = writer.commit([watched("segment", segment(100)), watched("statement", statement(2)), careless])
    assert codes(outcomes) == [None, None, ErrorCode.INTERNAL]
    assert [len(runs) for runs in made.values()] == [2, 2]
    assert all(first == second for first, second in made.values())


@pytest.mark.parametrize("unit", [segment(100), statement(1), acknowledgement(1), exception(1, 2)])
async def test_the_same_head_and_knowledge_give_the_same_rows(storage, writer, unit):
    writer.commit([segment(1)])
    head, known = await storage.reader.head(AGREEMENT), await storage.reader.known(AGREEMENT, unit.reads)
    assert unit.build(head, known) == unit.build(head, known)


async def test_a_unit_knows_what_is_stored_and_what_earlier_units_of_its_commit_made(storage, writer):
    told = []
    reads = Reads(
        report_ids=[report_id(1), report_id(100), report_id(999)],
        segment_ids=[digest("segment", 1, 3), digest("segment", 100, 3), b"nothing"],
        lanes=[lane_key(), lane_key(1)],
        floors=[(RECEIVER, "default", 1), (RECEIVER, "other", 1)],
        exceptions=[(RECEIVER, "default", 1, 0), (RECEIVER, "default", 2, 0)],
        packets=[digest("packet", 0), digest("packet", 1), b"nothing"],
        lanes_of=[SENDER, RECEIVER],
    )

    def build(head, known):
        told.append(known)
        return Rows(head, None)

    writer.commit([segment(1), acknowledgement(1), exception(1, 1), exception(2, 1)])
    writer.commit([segment(100), acknowledgement(2), exception(1, 2), exception(2, 0), Unit(AGREEMENT, build, reads)])
    (known,) = told
    assert [row.item for row in known.reports.values()] == [1, 2]
    assert [row.item for row in known.segments.values()] == [1, 2]
    assert known.lanes[lane_key()].last_origin_sequence == 6
    assert list(known.lanes) == [lane_key()]
    assert known.lane_counts == {SENDER: 1, RECEIVER: 0}
    assert [row.floor for row in known.floors.values()] == [2]
    assert [(row.state, row.attempts) for row in known.exceptions.values()] == [(ExceptionState.PARKED, 2)]
    assert known.packets == {digest("packet", 0), digest("packet", 1)}
    assert known == await storage.reader.known(AGREEMENT, reads), "a reader is told the same after the commit"
    assert not (await storage.reader.known(OTHER, reads)).reports, "another agreement's rows are not among them"
    assert not (await storage.reader.known("nobody-2026", reads)).reports


async def test_a_unit_knows_how_many_lanes_a_node_has_with_those_of_its_own_commit(storage, writer):
    told = []

    def lane(key):
        def build(head, known):
            told.append(dict(known.lane_counts))
            row = known.lanes.get(key) or LaneRow(key, head.lane_next, 0)
            rows = Rows(replace(head, lane_next=max(head.lane_next, row.lane + 1)), None)
            rows.lanes.append(row._replace(last_origin_sequence=row.last_origin_sequence + 1))
            return rows

        return Unit(AGREEMENT, build, Reads(lanes=(key,), lanes_of=(SENDER, RECEIVER)))

    mine = [lane(lane_key(number)) for number in range(3)]
    writer.commit([mine[0], mine[1], mine[0], lane(lane_key(0, RECEIVER)), mine[2]])
    writer.commit([mine[1]])
    assert [one[SENDER] for one in told] == [0, 1, 2, 2, 2, 3]
    assert [one[RECEIVER] for one in told] == [0, 0, 0, 0, 1, 1]
    assert (await storage.reader.known(AGREEMENT, Reads(lanes_of=[SENDER]))).lane_counts == {SENDER: 3}
    assert (await storage.reader.known(OTHER, Reads(lanes_of=[SENDER]))).lane_counts == {SENDER: 0}


def test_a_commit_closes_where_go_on_says_no_and_leaves_the_rest_untouched(storage, writer):
    asked = []

    def go_on(taken, size):
        asked.append((taken, size))
        return taken < 2

    built = []
    late = Unit(AGREEMENT, lambda head, _: built.append(1) or Rows(head, None))
    outcomes = writer.commit([segment(1, 2, weight=1_000), segment(10), late, late], go_on)
    assert codes(outcomes) == [None, None]
    assert [taken for taken, _ in asked] == [1, 2]
    assert 2_000 <= asked[0][1] < asked[1][1]
    assert built == []


def test_a_commit_closes_in_the_same_way_when_it_is_written_one_by_one(writer):
    writer.commit([segment(1)])
    careless = segment(1, checks=False)
    assert codes(writer.commit([careless, segment(10), segment(20)], lambda taken, _: taken < 2)) == [
        ErrorCode.INTERNAL,
        None,
    ]


def _nothing_known():
    return Known({}, {}, {}, {}, {}, frozenset(), {}, {}, {}, {}, {})
