"""Fetching the next entries of a log from a broker, checked page by page and led to a signed root (design 05).

What is fetched is provisional until its root is the checkpoint's (`mirror_store`). Checking and writing a page happens in a
worker thread, so that a long first fetch blocks nobody. A log of another incarnation in its place is followed as `continuing` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from comity.envelope.record_list import decode_record_list
from comity.errors import ErrorCode, MalformedError, NotFoundError, VerificationError
from comity.node.background import to_its_end
from comity.node.connection import Connection
from comity.node.continuing import ContinuedEntry, Continuing, Vouch
from comity.node.entries import MirroredEntry, Part, check_entry
from comity.node.logs import (
    OPERATIONS,
    ForkError,
    LogPin,
    check_continues,
    check_note,
    check_origin,
    check_root,
    extend,
    origin_of,
)
from comity.node.mirror_store import MirrorStore
from comity.v1 import audit_pb2
from comity.verify.trees import Frontier

PAGE: Final = 1024
# What a broker says of a log it served before, when it has lost it or a part of it.
_GONE: Final = frozenset({ErrorCode.LOG_UNKNOWN, ErrorCode.AGREEMENT_UNKNOWN, ErrorCode.RANGE_INVALID})


@dataclass(frozen=True, slots=True)
class Followed:
    """A log's name in the mirror (an agreement's id or its exercise's, empty for the key log, or OPERATIONS), who may stand in it, and who reads."""

    name: str
    parties: tuple[str, ...]
    own: str
    tls_name: str

    @property
    def selector(self) -> audit_pb2.LogSelector:
        """Give what the broker calls it."""
        if self.name == OPERATIONS:
            return audit_pb2.LogSelector(operations=True)
        return audit_pb2.LogSelector(agreement_id=self.name) if self.name else audit_pb2.LogSelector(keys=True)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A log after a fetch: its new pin, whose entries are in the store, and the index of the first new one.

    `continued` are the entries CONTINUES that led to an incarnation which was not pinned before. `has_exercise` is the broker's word
    that the agreement has a log of exercise traffic too.
    """

    pin: LogPin
    first_new: int
    continued: tuple[ContinuedEntry, ...] = ()
    has_exercise: bool = False


async def follow(
    connection: Connection, store: MirrorStore, log: Followed, pin: LogPin | None, vouch: Vouch
) -> Fetched:
    """Fetch what a log has beyond its pin; raises VerificationError, ForkError with the note shown.

    `vouch` checks the broker's signature of what continues a log.
    """
    known, first = (0, 0) if pin is None else (pin.size, pin.first)
    # To its end, whoever leaves meanwhile: the file is closed, or used by the next refresh, right afterwards.
    await to_its_end(asyncio.to_thread(store.drop_provisional, log.name, known, first))
    request = audit_pb2.GetCheckpointRequest(
        log=log.selector, known_size=known - first, incarnation=b"" if pin is None else pin.incarnation
    )
    try:
        reply = await connection.call(connection.audit.GetCheckpoint, request)
    except NotFoundError as error:
        if pin is None or error.code not in _GONE:
            raise
        raise ForkError(pin.origin, f"{pin.size} entries are not served any more ({error.message})") from error
    origin = origin_of(reply.checkpoint)
    continued: Sequence[ContinuedEntry] = ()
    proof: Sequence[bytes] = reply.consistency
    if pin is None or origin != pin.origin:
        check_origin(origin, log.tls_name, log.name or None)
        continuing = Continuing(log.name, store, partial(_page, connection, log), vouch)
        pin, continued = await continuing.reach(pin, origin, reply.first_log_index)
        # Nothing of the new tree was verified before.
        proof = ()
    checkpoint = check_note(pin, reply.checkpoint)
    try:
        check_continues(pin, checkpoint, proof)
        frontier = pin.frontier
        while frontier.size < checkpoint.size:
            wanted = min(PAGE, checkpoint.size - frontier.size)
            page = await _page(connection, log, origin, pin.first + frontier.size, wanted)
            frontier = await to_its_end(asyncio.to_thread(_take, store, log.name, frontier, page))
        verified = check_root(pin, frontier, checkpoint, reply.checkpoint)
        return Fetched(verified, known, tuple(continued), reply.exercise)
    except ForkError as error:
        error.shown = reply.checkpoint
        raise


async def _page(connection: Connection, log: Followed, origin: str, first: int, limit: int) -> Sequence[MirroredEntry]:
    request = audit_pb2.GetEntriesRequest(log=log.selector, first=first, limit=limit)
    reply = await connection.call(connection.audit.GetEntries, request)
    entries = reply.entries[:limit]
    if not entries or any(entry.log_index != first + number for number, entry in enumerate(entries)):
        raise VerificationError(f"{origin}: entries from {first} on were asked for, others or none came")
    return await asyncio.to_thread(_checked, log, origin, entries)


def _checked(log: Followed, origin: str, entries: Iterable[audit_pb2.LogEntry]) -> list[MirroredEntry]:
    return [checked_entry(log, origin, entry) for entry in entries]


def checked_entry(log: Followed, origin: str, entry: audit_pb2.LogEntry) -> MirroredEntry:
    """Check an entry as it came from a broker; raises VerificationError."""
    parts: dict[str, Part] = {}
    for part in entry.parts:
        if part.part in parts:
            raise VerificationError(f"entry {entry.log_index} of {origin}: came with one part twice")
        try:
            records = decode_record_list(part.records)
        except MalformedError as error:
            raise VerificationError(f"entry {entry.log_index} of {origin}: {error.message}") from error
        parts[part.part] = Part(part.salt, part.body, records)
    return check_entry(origin, entry.log_index, entry.entry, parts, parties=log.parties, own=log.own)


def _take(store: MirrorStore, name: str, frontier: Frontier, page: Sequence[MirroredEntry]) -> Frontier:
    grown, leaves, tiles = extend(frontier, (entry.entry for entry in page))
    store.append(name, page, leaves, tiles)
    return grown
