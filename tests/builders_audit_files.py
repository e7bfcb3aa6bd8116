"""Builders for audit bundles as files: one log's folder as it is served, and what the verifier finds in a bundle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from builders_envelope import Stream
from comity import canonical
from comity.verify.checks import Verification
from comity.verify.notes import Checkpoint, policy_without_witnesses
from comity.verify.trees import TILE_WIDTH, Frontier, root_of, tile_path
from comity_broker.auditlog.bodies import Event
from comity_broker.auditlog.checkpoint import LogKeys
from comity_broker.auditlog.log import Appended, Log, RecordTree


def changed(body: bytes, **fields: object) -> bytes:
    """Give a body with other values."""
    return canonical.dumps({**json.loads(body), **fields})


def write_log(  # noqa: PLR0917 - everything a log is written from
    folder: Path,
    log: Log,
    log_events: Sequence[Event],
    records: dict[int, RecordTree],
    keys: LogKeys,
    log_first: int = 0,
) -> Appended:
    """Write one log's folder as served: policy, checkpoint, tiles, entry bundles, every body and record."""
    appended = log.append(Frontier(), log_events, Stream(log.origin.encode()), log_first)
    size, root = appended.frontier.size, appended.frontier.root
    put(folder / "policy", policy_without_witnesses(keys.vkeys(log.origin)))
    put(folder / "checkpoint", keys.sign(Checkpoint(log.origin, size, root)))
    write_entries(folder, [entry.data for entry in appended.entries])
    hashes, level = [entry.leaf_hash for entry in appended.entries], 0
    while hashes:
        tiles = [hashes[i : i + TILE_WIDTH] for i in range(0, len(hashes), TILE_WIDTH)]
        for number, tile in enumerate(tiles):
            put(folder / tile_path(level, number, len(tile)), b"".join(tile))
        level, hashes = level + 1, [root_of(tile) for tile in tiles if len(tile) == TILE_WIDTH]
    for entry in appended.entries:
        for name, part in entry.parts.items():
            put(folder / f"body/{entry.log_index}.{name}", part.salt + part.body)
    for index, tree in records.items():
        for slot, (salt, record) in enumerate(zip(tree.salts, tree.records, strict=True)):
            put(folder / f"record/{index}.shared/{slot}", salt + record)
    return appended


def write_entries(folder: Path, entries: Sequence[bytes]) -> None:
    """Write entry bundles."""
    for start in range(0, len(entries), TILE_WIDTH):
        run = entries[start : start + TILE_WIDTH]
        data = b"".join(len(entry).to_bytes(2, "big") + entry for entry in run)
        put(folder / tile_path(None, start // TILE_WIDTH, len(run)), data)


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def codes(folder: Path, **options: object) -> set[str]:
    """Give the codes of what the verifier finds."""
    return {finding.code.name for finding in Verification(folder, **options).findings}
