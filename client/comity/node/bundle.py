"""Audit bundles: everything that proves what happened under an agreement, as a folder to take away (design 05, "The verifier").

    logs/<origin>/policy, checkpoint, tile/..., body/<index>.<part>, record/<index>.shared/<slot>     the agreement's log, the key
                                log, and of an arrangement the umbrella's; of each also those that it continues after a restore
    agreements/<ID>.toml        the text that was signed        parties/XAR.json        the cards of its parties
    envelopes/<index>-<slot>    the signed manifest of each admitted report, with the batch signature and paths
    receipts/<index>-<number>   what the broker signed to this party's nodes, of those on this machine

Rules in order:
1. The logs come from the auditor's own mirror, which verified them; what a bundle is worth, `comity.verify` says, not this.
2. No plaintext, no content key and no key packet: envelopes come with every stanza and ciphertext withheld.
3. A bundle is a new folder. It is written beside its name and renamed when it is whole.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from comity.envelope.evidence import decode_batch_signature
from comity.envelope.exported import encode_exported, export
from comity.envelope.segment import WholeItem, parse_segment
from comity.errors import ConflictError, ErrorCode, NotFoundError
from comity.identity.cardfile import CardFile, encode_card_file
from comity.identity.names import exercise_of, is_exercise
from comity.node.agreement_view import AgreementView
from comity.node.connection import Connection
from comity.node.custody import kept_receipts
from comity.node.entries import MirroredEntry
from comity.node.files import storage_error
from comity.node.logs import LogPin
from comity.node.mirror import Mirror
from comity.v1 import audit_pb2 as pb
from comity.verify.notes import policy_without_witnesses
from comity.verify.trees import TILE_WIDTH, leaf_hash, root_of, tile_path

EVIDENCE_SEGMENTS: Final = 32
_PAGE: Final = 1024


@dataclass(frozen=True, slots=True)
class Written:
    """What a bundle holds: entries of each log by origin, and how many envelopes and receipts."""

    directory: Path
    entries: Mapping[str, int]
    envelopes: int
    receipts: int


async def write_bundle(
    connection: Connection,
    mirror: Mirror,
    agreement_id: str,
    cards: Mapping[str, CardFile],
    directory: Path,
    *,
    outboxes: Iterable[Path] = (),
    exercise: bool = False,
) -> Written:
    """Write a bundle of an agreement from a mirror that was just refreshed; the evidence of its reports is fetched.

    With `exercise` the log of its exercise goes along, with the evidence and receipts of that one's reports.

    `outboxes` are those of the party's nodes on this machine: the receipts in them whose entries the mirror has go along.
    Raises ConflictError FILE_EXISTS where the folder exists, NotFoundError for an agreement that is not mirrored, StorageError.
    """
    view = mirror.agreement(agreement_id)
    temporary = _begun(directory)
    try:
        entries = {}
        views = [view] if view.document.under is None else [view, mirror.agreement(view.document.under.agreement)]
        names = (agreement_id, exercise_of(agreement_id)) if exercise else (agreement_id,)
        for name in (*(one.agreement_id for one in views), *names[1:], None):
            pin = mirror.pin(name)
            if pin is None:
                raise NotFoundError("the mirror has not fetched this log yet", code=ErrorCode.LOG_UNKNOWN)
            entries.update(_write_logs(temporary / "logs", mirror, name, pin))
        for one in views:
            _write_texts(temporary, one, cards)
        envelopes = sum([await _write_envelopes(temporary / "envelopes", connection, name) for name in names])
        receipts = sum(_write_receipts(temporary / "receipts", mirror, name, outboxes) for name in names)
        temporary.rename(directory)
    except OSError as error:
        raise storage_error(directory, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Written(directory, entries, envelopes, receipts)


def _begun(directory: Path) -> Path:
    """Make the folder that a bundle is written into before it has its name."""
    if directory.exists():
        raise ConflictError(
            f"{directory} exists already", what_to_do="A bundle is a new folder.", code=ErrorCode.FILE_EXISTS
        )
    temporary = directory.with_name(f".{directory.name}.{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise storage_error(directory, error) from error
    return temporary


def _write_logs(folder: Path, mirror: Mirror, name: str | None, pin: LogPin) -> dict[str, int]:
    """Write a log with those it continues, each with all that is here of it; gives how many entries each has, by origin.

    Of a log that a restored broker left behind, what the broker lost is evidence, and goes along.
    """
    written = {}
    lost = mirror.lost.entries(name)
    for left in pin.before:
        beyond = [entry for entry in lost if entry.origin == left.origin]
        kept = _entries(mirror, name, left.first, left.end)
        _write_log(folder / left.origin, left.vkeys, left.note, chain(kept, beyond), left.verified)
        written[left.origin] = left.verified
    _write_log(folder / pin.origin, pin.vkeys, pin.note, _entries(mirror, name, pin.first, pin.size), pin.tree_size)
    written[pin.origin] = pin.tree_size
    return written


def _entries(mirror: Mirror, name: str | None, first: int, end: int) -> Iterator[MirroredEntry]:
    while first < end:
        page = mirror.entries(name, first, min(_PAGE, end - first))
        yield from page
        first += len(page)


def _write_log(folder: Path, vkeys: tuple[str, ...], note: bytes, entries: Iterable[MirroredEntry], size: int) -> None:
    """Write one log: entries, the parts of each as salt || body, its records as salt || record."""
    folder.mkdir(parents=True)
    (folder / "policy").write_bytes(policy_without_witnesses(vkeys))
    (folder / "checkpoint").write_bytes(note)
    leaves: list[bytes] = []
    run: list[bytes] = []
    for number, entry in enumerate(entries):
        index, data = entry.log_index, entry.entry
        leaves.append(leaf_hash(data))
        run.append(len(data).to_bytes(2, "big") + data)
        if len(run) == TILE_WIDTH or number == size - 1:
            _put(folder / tile_path(None, number // TILE_WIDTH, len(run)), b"".join(run))
            run = []
        for part, one in entry.parts.items():
            _put(folder / "body" / f"{index}.{part}", one.salt + one.body)
        records = [salt + record for one in entry.parts.values() for salt, record in one.records]
        for slot, record in enumerate(records):
            _put(folder / "record" / f"{index}.shared" / str(slot), record)
    _write_tiles(folder, leaves)


def _write_tiles(folder: Path, leaves: list[bytes]) -> None:
    level, hashes = 0, leaves
    while hashes:
        tiles = [hashes[start : start + TILE_WIDTH] for start in range(0, len(hashes), TILE_WIDTH)]
        for number, tile in enumerate(tiles):
            _put(folder / tile_path(level, number, len(tile)), b"".join(tile))
        level, hashes = level + 1, [root_of(tile) for tile in tiles if len(tile) == TILE_WIDTH]


def _write_texts(folder: Path, view: AgreementView, cards: Mapping[str, CardFile]) -> None:
    for party in view.parties:
        _put(folder / "parties" / f"{party}.json", encode_card_file(cards[party]))
    # The text that entry 0 names comes first; each is found by its digest.
    for number, (digest, text) in enumerate(view.texts.items()):
        name = f"{view.agreement_id}.{digest[:16]}" if number else view.agreement_id
        _put(folder / "agreements" / f"{name}.toml", text)


def _write_receipts(folder: Path, mirror: Mirror, agreement_id: str, outboxes: Iterable[Path]) -> int:
    pin = mirror.pin(agreement_id)
    size = 0 if pin is None else pin.size
    kept = [one for outbox in outboxes for one in kept_receipts(outbox, agreement_id, size)]
    for number, (log_index, signed) in enumerate(kept):
        _put(folder / f"{_mark(agreement_id)}{log_index}-{number}", signed)
    return len(kept)


async def _write_envelopes(folder: Path, connection: Connection, agreement_id: str) -> int:
    count = 0
    async for one in evidence_of(connection, agreement_id):
        count += _write_segment(one, lambda name, data: _put(folder / f"{_mark(agreement_id)}{name}", data))
    return count


async def evidence_of(connection: Connection, agreement_id: str) -> AsyncIterator[pb.SegmentEvidence]:
    """Fetch the evidence of every segment with reports that this party sent or was handed, in the log's order."""
    following = 0
    while True:
        answer = await connection.call(
            connection.audit.GetEvidence,
            pb.GetEvidenceRequest(agreement_id=agreement_id, first_log_index=following, limit=EVIDENCE_SEGMENTS),
        )
        for one in answer.segments:
            yield one
        # It always goes on: an answer that does not is the last one.
        if answer.next_log_index <= following:
            return
        following = answer.next_log_index


def _write_segment(one: pb.SegmentEvidence, put: Callable[[str, bytes], None]) -> int:
    segment = parse_segment(one.segment)
    batch = decode_batch_signature(one.batch_signature)
    whole = [slot for slot, item in enumerate(segment.items) if isinstance(item, WholeItem)]
    for slot in whole:
        exported = export(
            segment, slot, batch=batch, index=one.batch_index, batch_path=tuple(one.batch_path), key_packets=()
        )
        put(f"{one.log_index}-{slot}", encode_exported(exported))
    return len(whole)


def _mark(log_name: str) -> str:
    """Give how names of files begin that belong to a log: log indices of two logs are the same numbers."""
    return "exercise-" if is_exercise(log_name) else ""


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
