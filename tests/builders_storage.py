"""Units for storage tests: segments with their reports, statements, acknowledgements, each with its log entry.

Everything is made of numbers, so a unit that is built twice gives the same rows, and a test says what it wants in one line.
"""

import hashlib
from dataclasses import replace

from comity.errors import ConflictError
from comity.verify.trees import Frontier, leaf_hash
from comity_broker.storage.protocol import (
    BatchRow,
    BodyRow,
    Committed,
    EntryRow,
    ExceptionRow,
    ExceptionState,
    FloorRow,
    HoldRow,
    InboxRow,
    LaneKey,
    LaneRow,
    PacketRow,
    QuotaRow,
    Reads,
    ReportOutcome,
    ReportRow,
    Rows,
    SegmentRow,
    StatementRow,
    TileRow,
    Unit,
    UploadRow,
)

AGREEMENT = "xar-xbo-ct-2026"
OTHER = "xar-xde-cert-2026"
SENDER = "XAR/n1"
RECEIVER = "XBO/n1"
EPOCH = bytes(range(16))
TOMORROW = 1_800_000_000_000


def digest(*parts) -> bytes:
    return hashlib.sha384(repr(parts).encode()).digest()


def report_id(number: int) -> bytes:
    return number.to_bytes(6, "big") + digest("report", number)[:10]


def lane_key(transport_class: int = 4, node: str = SENDER) -> LaneKey:
    return LaneKey(node, EPOCH, transport_class)


def with_entry(head, rows, kind: str, *parts: bytes) -> None:
    """Append one entry to the head's log, with its shared body."""
    entry = b"|".join((kind.encode(), head.leaf_next.to_bytes(8, "big"), *parts))
    frontier, full = Frontier(head.tree_size, head.frontier).append([leaf_hash(entry)])
    rows.entries.append(EntryRow(head.leaf_next, kind, entry, leaf_hash(entry)))
    rows.bodies.append(BodyRow(head.leaf_next, "shared", digest("salt", entry)[:32], b"body of " + entry, b""))
    rows.tiles.extend(TileRow(*tile) for tile in full)
    rows.head = replace(
        rows.head, leaf_next=head.log_first + frontier.size, frontier=frontier.hashes, root=frontier.root
    )


def opening(shard: str = AGREEMENT, **how) -> Unit:
    """Entry 0 of a shard's log."""

    def build(head, _known):
        rows = Rows(head, "opened")
        with_entry(head, rows, "LOG_OPENED", shard.encode())
        return rows

    return Unit(shard, build, create=True, **how)


def segment(
    first: int, count: int = 3, shard: str = AGREEMENT, *, weight: int = 40, checks: bool = True, **how
) -> Unit:
    """A segment of reports `first`, `first` + 1, ...; `checks` False makes a careless broker that asks for nothing."""
    ids = [report_id(first + slot) for slot in range(count)]
    segment_id = digest("segment", first, count)
    key = lane_key()
    batch, packet = digest("batch", first // 100), digest("packet", first // 100)

    def build(head, known):
        if known.reports and checks:
            raise ConflictError("one of these reports is known")
        lane = known.lanes.get(key) or LaneRow(key, head.lane_next, 0)
        item, after = head.item_next, lane.last_origin_sequence
        rows = Rows(head, item)
        rows.head = replace(
            head,
            item_next=item + 1,
            lane_next=max(head.lane_next, lane.lane + 1),
            agreement_sequence_next=head.agreement_sequence_next + count,
        )
        rows.lanes.append(lane._replace(last_origin_sequence=after + count))
        data = b"".join(digest("sealed", one)[:weight].ljust(weight, b".") for one in ids)
        rows.segments.append(
            SegmentRow(
                item, segment_id, data, batch, 0, b"", lane.lane, key.transport_class, after + 1, count, head.leaf_next,
                head.broker_time, TOMORROW, head.state_epoch, b"receipt of %d" % item, TOMORROW, 0, b"",
            )
        )  # fmt: skip
        rows.reports.extend(
            ReportRow(
                one, digest("leaf", one), item, slot, after + 1 + slot, head.agreement_sequence_next + slot,
                ReportOutcome.ADMITTED, 0, TOMORROW, head.leaf_next,
            )
            for slot, one in enumerate(ids)
        )  # fmt: skip
        rows.batches.append(BatchRow(batch, b"signature over " + batch))
        if packet not in known.packets:
            rows.packets.append(PacketRow(packet, b"packet", digest("kem"), TOMORROW))
        rows.inboxes.append(InboxRow(RECEIVER, lane.lane, item, b"\xff" * -(-count // 8), b""))
        with_entry(head, rows, "SUBMIT_ACCEPTED", segment_id)
        return rows

    reads = Reads(ids if checks else (), (segment_id,), (key,), packets=(packet,))
    return Unit(shard, build, reads, **how)


def statement(number: int, shard: str = AGREEMENT, **how) -> Unit:
    """A step that raises the epoch; an odd one suspends."""

    def build(head, _known):
        rows = Rows(head.raised(), head.state_epoch + 1)
        rows.head = replace(rows.head, broker_time=head.broker_time + 1)
        rows.statements.append(StatementRow(head.leaf_next, head.broker_time, b"statement %d" % number, b"signatures"))
        if number % 2:
            rows.holds.append(HoldRow(head.leaf_next, head.item_next, ""))
        with_entry(head, rows, "AGREEMENT_SUSPENDED", b"%d" % number)
        return rows

    return Unit(shard, build, urgency=how.pop("urgency", 0), **how)


def acknowledgement(upto: int, shard: str = AGREEMENT, lane: int = 1, **how) -> Unit:
    """The receiver's default consumer settles every item up to one that is there."""
    key = (RECEIVER, "default", lane)

    def build(head, known):
        before = known.floors.get(key) or FloorRow(*key, 0, 0, b"")
        floor = max(before.floor, min(upto, head.item_next - 1))
        rows = Rows(head, before.floor)
        rows.floors.append(FloorRow(*key, floor, floor, b""))
        with_entry(head, rows, "ACKNOWLEDGED", b"%d" % upto)
        return rows

    return Unit(shard, build, Reads(floors=(key,)), **how)


def exception(item: int, state: int, shard: str = AGREEMENT, **how) -> Unit:
    """One report of the receiver's default consumer is to be tried again, parked, or (0) simply due again."""
    key = (RECEIVER, "default", item, 0)

    def build(head, known):
        before = known.exceptions.get(key)
        attempts = before.attempts + 1 if before else 1
        rows = Rows(head, attempts)
        rows.exceptions.append(ExceptionRow(*key, state, attempts, 0, ExceptionState(state).name if state else "", 0))
        return rows

    return Unit(shard, build, Reads(exceptions=(key,)), **how)


def reservation(
    reports: int, *, limit: int = 10, clause: str = "quota", starts_at: int = 0, shard: str = AGREEMENT, **how
) -> Unit:
    """Reserve so many reports of a hundred bytes in a window, which never holds more than `limit`."""
    key = (clause, "XAR", "XBO", "day", starts_at)

    def build(head, known):
        before = known.quotas.get(key) or QuotaRow(*key, 0, 0)
        if before.reports + reports > limit:
            raise ConflictError(f"the window holds {before.reports} already")
        rows = Rows(head, before.reports + reports)
        rows.quotas.append(QuotaRow(*key, before.reports + reports, before.size + 100 * reports))
        return rows

    return Unit(shard, build, Reads(quotas=(key,)), **how)


def uploaded(number: int, state: int, *, shard: str = AGREEMENT, node: str = SENDER, **how) -> Unit:
    """An upload of a node stands where it is said to, or (0) is gone; the result is what was there before."""
    key = (node, digest("upload", number))

    def build(head, known):
        rows = Rows(head, known.uploads.get(key))
        rows.uploads.append(UploadRow(*key, 1000 + number, state, head.broker_time, 0))
        return rows

    return Unit(shard, build, Reads(uploads=(key,)), **how)


def failing(error: Exception, shard: str = AGREEMENT, **how) -> Unit:
    """A unit whose build raises."""

    def build(_head, _known):
        raise error

    return Unit(shard, build, **how)


def codes(outcomes) -> list:
    """The code of each refusal, and None for each commit."""
    return [None if isinstance(outcome, Committed) else outcome.error.code for outcome in outcomes]


async def everything(reader) -> dict:
    """All that a reader shows of every shard, for comparing two stores."""
    shown: dict = {"consumers": await reader.consumers()}
    for head in await reader.shards():
        shard, nodes = head.shard, {row.key.node for row in await reader.lanes(head.shard)} | {RECEIVER}
        lanes = await reader.lanes(shard)
        segments = await reader.segments_from(shard, 0, 10_000)
        entries = await reader.entries(shard, 0, 10_000)
        shown[shard] = {
            "head": head,
            "lanes": lanes,
            "entries": entries,
            "leaf_hashes": await reader.leaf_hashes(shard, 0, 10_000),
            "bodies": await reader.bodies(shard, [entry.log_index for entry in entries], ["shared"]),
            "tiles": await reader.tiles(shard, 1, 0, 10_000),
            "statements": await reader.statements(shard),
            "documents": sorted(await reader.documents(shard)),
            "segments": segments,
            "reports": await reader.reports(shard, (0, 0), 10_000),
            "batches": await reader.batches(shard, [segment.batch for segment in segments]),
            "inboxes": [
                await reader.inbox(shard, node, row.lane, 0, 10_000) for node in sorted(nodes) for row in lanes
            ],
            "floors": await reader.floors(shard),
            "exceptions": await reader.exceptions(shard),
            "holds": await reader.holds(shard),
            "umbrellas": await reader.umbrellas(shard),
            "holdings": await reader.holdings(shard),
            "quotas": await reader.quotas(shard),
            "uploads": await reader.uploads(shard),
        }
    return shown
