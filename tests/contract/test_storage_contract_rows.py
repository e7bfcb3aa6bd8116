"""What every store keeps, and how it is read (design 04, "Data"): pages, replaced rows, one agreement beside another."""

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
    opening,
    reservation,
    segment,
    statement,
    uploaded,
)
from comity.errors import ConflictError, ErrorCode
from comity_broker.storage.protocol import (
    OPERATIONS,
    SESSIONS,
    ConsumerRow,
    DocumentRow,
    ExceptionState,
    HoldingRow,
    HoldingState,
    PacketRow,
    QuotaRow,
    Reads,
    Rows,
    UmbrellaRow,
    Unit,
    UploadState,
)


async def test_everything_written_is_there_after_a_restart_and_goes_on_from_there(backend, writer):
    incarnation = backend.storage.incarnation
    writer.commit([segment(1), statement(1), acknowledgement(1), exception(1, 2), segment(1, shard=OTHER)])
    before = await everything(backend.storage.reader)
    storage = backend.reopen()
    assert storage.incarnation == incarnation
    assert await everything(storage.reader) == before
    assert [outcome.result for outcome in storage.writer.commit([segment(100), segment(1, expected_epoch=0)])[:1]] == [
        2
    ]
    assert await storage.reader.check() == []


def test_a_second_broker_is_refused_as_long_as_the_first_has_the_store(backend):
    with pytest.raises(ConflictError) as caught:
        backend.second_broker()
    assert caught.value.code is ErrorCode.LOCKED
    backend.reopen()


async def test_pages_are_as_long_as_asked_and_go_on_where_the_last_ended(storage, writer):
    writer.commit([segment(1 + 10 * number, 3) for number in range(10)])
    reader = storage.reader
    assert [row.item for row in await reader.inbox(AGREEMENT, RECEIVER, 1, 4, 3)] == [5, 6, 7]
    assert [row.item for row in await reader.segments_from(AGREEMENT, 4, 2)] == [4, 5]
    assert [(row.item, row.slot) for row in await reader.reports(AGREEMENT, (4, 1), 3)] == [(4, 2), (5, 0), (5, 1)]
    assert [row.log_index for row in await reader.entries(AGREEMENT, 8, 5)] == [8, 9, 10]
    hashes = [row.leaf_hash for row in await reader.entries(AGREEMENT, 0, 100)]
    assert await reader.leaf_hashes(AGREEMENT, 3, 4) == hashes[3:7]
    assert list(await reader.segments(AGREEMENT, [3, 3, 9, 77])) == [3, 9]
    by_item = await reader.reports_of(AGREEMENT, [2, 8, 77])
    assert {item: [row.slot for row in rows] for item, rows in by_item.items()} == {2: [0, 1, 2], 8: [0, 1, 2]}
    assert await reader.segments(AGREEMENT, []) == {}


async def test_bodies_come_by_entry_and_part(storage, writer):
    writer.commit([segment(1), segment(10)])
    found = await storage.reader.bodies(AGREEMENT, [2, 0, 2], ["shared", "XAR"])
    assert [(row.log_index, row.part) for row in found] == [(0, "shared"), (2, "shared")]
    assert await storage.reader.bodies(AGREEMENT, [0], ["XAR"]) == []


async def test_full_tiles_are_kept_by_level_and_number(storage, writer):
    for _ in range(6):
        writer.commit([statement(2) for _ in range(100)])
    head = await storage.reader.head(AGREEMENT)
    assert head.leaf_next == 601
    assert len(await storage.reader.tiles(AGREEMENT, 1, 0, 100)) == 2
    assert len(await storage.reader.tiles(AGREEMENT, 1, 1, 100)) == 1
    assert await storage.reader.tiles(AGREEMENT, 2, 0, 100) == []
    assert await storage.reader.check() == []


async def test_batches_repeat_and_key_packets_do_not(storage, writer):
    assert codes(writer.commit([segment(1), segment(10)])) == [None, None]
    assert list(await storage.reader.batches(AGREEMENT, [digest("batch", 0), b"nothing"])) == [digest("batch", 0)]
    assert await storage.reader.packets(AGREEMENT, [digest("packet", 0), b"nothing"]) == {
        digest("packet", 0): b"packet"
    }

    def another(head, _known):
        rows = Rows(head, None)
        rows.packets.append(PacketRow(digest("packet", 0), b"other bytes", digest("kem"), 0))
        return rows

    assert codes(writer.commit([Unit(AGREEMENT, another)])) == [ErrorCode.INTERNAL]


async def test_floors_and_exceptions_are_replaced_and_found_by_whom_they_belong_to(storage, writer):
    writer.commit([segment(1), segment(10), acknowledgement(1), exception(1, 1), exception(2, 1)])
    writer.commit([acknowledgement(2), exception(2, 2), exception(1, 0), exception(1, 0)])
    reader = storage.reader
    assert [(row.node, row.lane, row.floor) for row in await reader.floors(AGREEMENT)] == [(RECEIVER, 1, 2)]
    found = await reader.exceptions(AGREEMENT, RECEIVER, "default")
    assert [(row.item, row.state, row.attempts) for row in found] == [(2, ExceptionState.PARKED, 2)]
    assert await reader.exceptions(AGREEMENT, consumer="other") == await reader.floors(AGREEMENT, SENDER) == []


async def test_an_exception_that_goes_and_comes_back_within_a_commit_stays(storage, writer):
    writer.commit([segment(1), exception(1, 1), exception(1, 0), exception(1, 2)])
    assert [row.state for row in await storage.reader.exceptions(AGREEMENT)] == [ExceptionState.PARKED]


async def test_texts_are_kept_by_digest_and_umbrellas_by_entry(storage, writer):
    texts = [DocumentRow(digest(word), word.encode()) for word in ("first", "second")]

    def bringing(*rows_of):
        def build(head, _):
            rows = Rows(head, None)
            rows.documents.extend(rows_of)
            rows.umbrellas.extend(UmbrellaRow(index, index + 7) for index, _ in enumerate(rows_of, len(rows_of) * 10))
            return rows

        return Unit(AGREEMENT, build, create=True)

    assert codes(writer.commit([bringing(texts[0]), bringing(*texts)])) == [None, None]
    reader = storage.reader
    assert sorted(await reader.documents(AGREEMENT)) == sorted(texts)
    assert await reader.umbrellas(AGREEMENT) == [UmbrellaRow(10, 17), UmbrellaRow(20, 27), UmbrellaRow(21, 28)]


async def test_statements_holds_holdings_document_and_consumers_are_kept(storage, writer):
    document = DocumentRow(digest("text"), b"the agreement's text")
    holding = HoldingRow(1, 2, HoldingState.CONFIRMED, 3)

    def agreement(head, known):
        rows = Rows(head, dict(known.holdings))
        rows.documents.append(document)
        rows.holdings.append(holding)
        return rows

    def session(head, known):
        before = known.consumers.get((RECEIVER, "default"))
        rows = Rows(head, before)
        rows.consumers.append(ConsumerRow(RECEIVER, "default", before.session + 1 if before else 1, 7))
        return rows

    sessions = Unit(SESSIONS, session, Reads(consumers=[(RECEIVER, "default")]), create=True)
    outcomes = writer.commit([statement(1), statement(2), Unit(AGREEMENT, agreement), sessions, sessions])
    assert codes(outcomes) == [None] * 5
    assert [outcome.result for outcome in outcomes[2:]] == [{}, None, ConsumerRow(RECEIVER, "default", 1, 7)]
    reader = storage.reader
    assert [row.body for row in await reader.statements(AGREEMENT)] == [b"statement 1", b"statement 2"]
    assert [row.body for row in await reader.statements(AGREEMENT, 2)] == [b"statement 2"]
    assert [row.log_index for row in await reader.holds(AGREEMENT)] == [1]
    assert await reader.documents(AGREEMENT) == [document]
    assert await reader.documents(OTHER) == []
    assert await reader.umbrellas(OTHER) == []
    assert await reader.holdings(AGREEMENT) == [holding]
    assert await reader.consumers() == [ConsumerRow(RECEIVER, "default", 2, 7)]
    assert (await reader.known(AGREEMENT, Reads(holdings=[(1, 2), (9, 9)]))).holdings == {(1, 2): holding}


async def test_one_agreement_never_sees_another_ones_rows(storage, writer):
    writer.commit([segment(1), segment(1, shard=OTHER), statement(1, OTHER), opening(OPERATIONS)])
    shown = await everything(storage.reader)
    assert [row.log_index for row in shown[AGREEMENT]["entries"]] == [0, 1]
    assert [row.log_index for row in shown[OTHER]["entries"]] == [0, 1, 2]
    assert [row.log_index for row in shown[OPERATIONS]["entries"]] == [0]
    assert shown[AGREEMENT]["statements"] == []


async def test_a_quota_is_read_and_reserved_in_one_unit_so_that_no_window_holds_more_than_its_limit(backend, writer):
    some = [reservation(4), reservation(4), reservation(4), reservation(2), reservation(4, starts_at=86_400_000)]
    other = reservation(9, clause="XAR-XBO-GSA/5")
    outcomes = writer.commit([opening(), *some, other, reservation(1, shard=OTHER)])
    assert codes(outcomes) == [None, None, None, ErrorCode.STATEMENT_CONFLICT, None, None, None, None]
    assert codes(writer.commit([reservation(1), reservation(6, starts_at=86_400_000)])) == [
        ErrorCode.STATEMENT_CONFLICT,
        None,
    ]
    kept = [
        QuotaRow("XAR-XBO-GSA/5", "XAR", "XBO", "day", 0, 9, 900),
        QuotaRow("quota", "XAR", "XBO", "day", 0, 10, 1000),
        QuotaRow("quota", "XAR", "XBO", "day", 86_400_000, 10, 1000),
    ]
    assert await backend.storage.reader.quotas(AGREEMENT) == kept
    reopened = backend.reopen()
    assert await reopened.reader.quotas(AGREEMENT) == kept
    assert codes(reopened.writer.commit([reservation(1)])) == [ErrorCode.STATEMENT_CONFLICT]


async def test_usage_says_how_much_room_there_is(storage):
    usage = await storage.reader.usage()
    assert 0 < usage.free_bytes <= usage.total_bytes


async def test_uploads_are_replaced_removed_and_known_to_what_comes_after_them(storage, writer):
    outcomes = writer.commit([uploaded(1, UploadState.OPEN), uploaded(2, UploadState.OPEN), uploaded(1, 2)])
    assert [None if one.result is None else one.result.state for one in outcomes] == [None, None, UploadState.OPEN]
    found = await storage.reader.uploads(AGREEMENT)
    assert {row.length: row.state for row in found} == {1001: UploadState.READY, 1002: UploadState.OPEN}
    assert await storage.reader.uploads(OTHER) == []
    writer.commit([uploaded(2, 0), uploaded(1, 0), uploaded(1, UploadState.OPEN)])
    assert [row.length for row in await storage.reader.uploads(AGREEMENT)] == [1001]
    known = await storage.reader.known(AGREEMENT, Reads(uploads=[row[:2] for row in found]))
    assert [row.state for row in known.uploads.values()] == [UploadState.OPEN]


async def test_the_upload_of_another_node_or_agreement_is_another_upload(storage, writer):
    writer.commit([uploaded(1, 1), uploaded(1, 2, node=RECEIVER), uploaded(1, 3, shard=OTHER)])
    assert [(row.node, row.state) for row in await storage.reader.uploads(AGREEMENT)] == [(SENDER, 1), (RECEIVER, 2)]
    assert [row.state for row in await storage.reader.uploads(OTHER)] == [3]
