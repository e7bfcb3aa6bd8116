"""Entries, commitments, slot records and tiles: what the broker's log is made of, held against the design by hand."""

from __future__ import annotations

import hashlib
import os

import pytest

from builders_audit_log import KEYS_ORIGIN, ORIGIN
from builders_envelope import Stream
from comity.envelope import tree
from comity.envelope.evidence import SlotCode
from comity.envelope.receipts import SlotOutcome, SlotRecord, encode_slot_record, slot_record_leaf
from comity.errors import ErrorCode, MalformedError, NotFoundError
from comity.pae import pae
from comity.verify.trees import Frontier, leaf_hash, read_bundle, root_of, verify_consistency, verify_inclusion
from comity_broker.auditlog.bodies import Event
from comity_broker.auditlog.events import audit_failure
from comity_broker.auditlog.kinds import EventKind
from comity_broker.auditlog.log import Log, record_tree
from comity_broker.auditlog.tiles import Tiles, entry_bundle, from_leaf_hashes

LOG = Log(ORIGIN, ("XBO", "XAR"))
EVENT = Event(EventKind.DELIVERED, b'{"time":1}', {"XBO": b"{}"})


def appended(*events: Event, frontier: Frontier | None = None):
    return LOG.append(frontier or Frontier(), events, Stream(b"salts"))


def test_an_entry_is_what_the_design_says():
    (entry,) = appended(EVENT).entries

    def commitment(part: str, body: bytes) -> bytes:
        return hashlib.sha384(pae("audit-body", entry.parts[part].salt, ORIGIN, 0, part, body)).digest()

    shared, xar, xbo = commitment("shared", EVENT.shared), commitment("XAR", b""), commitment("XBO", b"{}")
    assert entry.data == pae("audit-entry", 0, "DELIVERED", shared, "XAR", xar, "XBO", xbo)
    assert entry.leaf_hash == leaf_hash(entry.data)


def test_a_log_without_an_agreement_has_the_shared_part_alone():
    (entry,) = Log(KEYS_ORIGIN).append(Frontier(), [audit_failure(time=1, reason="disk")], os.urandom).entries
    salt, body = entry.parts["shared"].salt, entry.parts["shared"].body
    committed = hashlib.sha384(pae("audit-body", salt, KEYS_ORIGIN, 0, "shared", body)).digest()
    assert entry.data == pae("audit-entry", 0, "AUDIT_FAILURE", committed)


def test_every_salt_is_drawn_for_itself():
    result = appended(EVENT, EVENT)
    salts = [part.salt for entry in result.entries for part in entry.parts.values()]
    assert len(salts) == len(set(salts)) == 6
    assert {len(salt) for salt in salts} == {32}
    assert result.entries[0].data[-150:] != result.entries[1].data[-150:]


def test_the_same_salts_give_the_same_bytes_so_that_a_unit_may_be_built_again():
    assert appended(EVENT, EVENT) == appended(EVENT, EVENT)


def test_appending_in_turns_gives_the_tree_of_appending_at_once():
    events = [EVENT] * 5
    whole = appended(*events)
    first = appended(*events[:2])
    second = LOG.append(first.frontier, events[2:], Stream(b"others"))
    assert [entry.log_index for entry in second.entries] == [2, 3, 4]
    leaves = [entry.leaf_hash for entry in (*first.entries, *second.entries)]
    assert second.frontier.root == root_of(leaves)
    assert whole.frontier.size == second.frontier.size == 5


def test_a_log_takes_no_event_that_is_not_its_own():
    for log, event in (
        (LOG, Event(EventKind.ADMIN_ACTION, b"{}")),
        (LOG, Event(EventKind.DELIVERED, b"{}", {"XDE": b"{}"})),
        (Log(KEYS_ORIGIN), Event(EventKind.DELIVERED, b"{}")),
        (Log(KEYS_ORIGIN), Event(EventKind.LOG_FROZEN, b"{}", {"XAR": b"{}"})),
    ):
        with pytest.raises(MalformedError):
            log.append(Frontier(), [event], os.urandom)


@pytest.mark.parametrize(
    ("origin", "parties"),
    [
        (ORIGIN, ()),
        (ORIGIN, ("XAR", "XAR")),
        (KEYS_ORIGIN, ("XAR",)),
        ("hub.xar.example/other/1", ()),
        ("hub.xar.example", ()),
    ],
)
def test_a_log_has_the_parties_its_origin_calls_for(origin, parties):
    with pytest.raises(MalformedError):
        Log(origin, parties)


def test_an_entry_fits_its_bundle_or_is_refused():
    many = [f"{a}{b}{c}" for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJ" for c in "ABCDEFGHIJ"]
    with pytest.raises(MalformedError) as caught:
        Log(ORIGIN, many).append(Frontier(), [Event(EventKind.DELIVERED, b"{}")], os.urandom)
    assert caught.value.code is ErrorCode.LIMIT_EXCEEDED


def test_slot_records_make_the_tree_of_the_envelopes_codec():
    records = [
        encode_slot_record(SlotRecord(0, SlotOutcome.ADMITTED, bytes(48), bytes(16), None, 0)),
        encode_slot_record(SlotRecord(1, SlotOutcome.REFUSED, bytes(48), bytes(16), SlotCode.POLICY, 1)),
        encode_slot_record(SlotRecord(2, SlotOutcome.PRUNED, bytes(48), b"", SlotCode.PRUNED, 0)),
    ]
    built = record_tree(records, Stream(b"records"))
    assert len(set(built.salts)) == 3
    leaves = [slot_record_leaf(salt, record) for salt, record in zip(built.salts, records, strict=True)]
    assert built.root == tree.root(leaves)


# --- tiles ----------------------------------------------------------------------------------------------------------

LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(70_000)]


class Store:
    """Stored hashes by tile level; counts how many are read."""

    def __init__(self, leaves: list[bytes]) -> None:
        _, full = Frontier().append(leaves)
        self.levels = {0: leaves}
        for one in full:
            self.levels.setdefault(one.level, []).append(one.hash)
        self.read = 0

    def __call__(self, level: int, start: int, end: int) -> list[bytes]:
        self.read += end - start
        return self.levels.get(level, [])[start:end]


@pytest.mark.parametrize(("level", "number", "width"), [(0, 0, 256), (0, 273, 112), (1, 0, 256), (1, 1, 17), (2, 0, 1)])
def test_a_tree_of_70000_has_the_tiles_of_the_specifications_example(level, number, width):
    tile = Tiles(Store(LEAVES)).tile(level, number, 70_000)
    assert len(tile) == 32 * width
    span = 256**level
    first = number * 256 * span
    assert tile[:32] == root_of(LEAVES[first : first + span])


@pytest.mark.parametrize(("level", "number"), [(0, 274), (1, 2), (2, 1), (3, 0), (0, -1)])
def test_a_tile_that_a_tree_does_not_have_is_not_found(level, number):
    with pytest.raises(NotFoundError) as caught:
        Tiles(Store(LEAVES)).tile(level, number, 70_000)
    assert caught.value.code is ErrorCode.RANGE_INVALID


def test_a_full_tree_of_256_has_no_partial_tile_of_leaves():
    tiles = Tiles(Store(LEAVES[:256]))
    assert len(tiles.tile(0, 0, 256)) == 8192
    assert tiles.tile(1, 0, 256) == root_of(LEAVES[:256])
    with pytest.raises(NotFoundError):
        tiles.tile(0, 1, 256)


def test_proofs_out_of_tiles_verify_and_read_a_few_tiles_only():
    store = Store(LEAVES)
    tiles = Tiles(store)
    root = root_of(LEAVES)
    assert tiles.root(70_000) == root
    verify_inclusion(LEAVES[12_345], 12_345, 70_000, tiles.inclusion(12_345, 70_000), root)
    verify_consistency(513, root_of(LEAVES[:513]), 70_000, root, tiles.consistency(513, 70_000))
    assert store.read < 12 * 256
    before = store.read
    tiles.inclusion(12_346, 70_000)
    assert store.read - before < 512


def test_a_store_of_leaf_hashes_alone_gives_the_same_tiles():
    plain = Tiles(from_leaf_hashes(lambda start, end: LEAVES[start:end]))
    stored = Tiles(Store(LEAVES))
    for level, number in ((0, 3), (1, 1), (2, 0)):
        assert plain.tile(level, number, 70_000) == stored.tile(level, number, 70_000)


def test_an_empty_log_has_the_empty_root():
    assert Tiles(Store([])).root(0) == root_of(())


def test_an_entry_bundle_comes_back_as_the_entries():
    entries = [os.urandom(length) for length in (0, 1, 300, 5)] * 75
    data = entry_bundle(1, 300, lambda start, end: entries[start:end])
    assert read_bundle(data, 44) == entries[256:300]
    with pytest.raises(NotFoundError):
        entry_bundle(2, 300, lambda start, end: entries[start:end])
