"""The encrypted attachments of a node's outbox: files of ciphertext, and the rows that they live by (design 04, "Sender").

Rules in order:
1. A row comes before its file and goes after it. A row without a segment is of a file that is being written: whoever opens the
   outbox next removes both, since the key was in memory only and nothing was promised.
2. A file is ciphertext, written once as a stream; plaintext is never written. A row with a segment says what the file holds.
3. A file is released when the outbox has its segment no more, or when a refusal ended it: file first, row last.
4. Each report with attachments has a lane to itself until the broker has answered: one that is refused for good breaks no other's.
   A lane is used again then; one that broke is not.

The outbox's owner has it, and one thread at a time uses it. Everything blocks, with fsync.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comity.envelope import limits
from comity.errors import ErrorCode, StorageError
from comity.node.database import open_database, rows_of, storing
from comity.node.files import private_directory, storage_error, sync_directory, write_pieces
from comity.node.flushing import Flushing
from comity.node.outbox import Lane
from comity.suites import RandomBytes

_VERSION: Final = 1
_NAME_BYTES: Final = 16
_SCHEMA: Final = """
CREATE TABLE pool (agreement TEXT, class INTEGER, origin_epoch BLOB, PRIMARY KEY (agreement, class, origin_epoch)) WITHOUT ROWID;
CREATE TABLE file (name TEXT PRIMARY KEY, segment_id BLOB NOT NULL, portion INTEGER NOT NULL, digest BLOB NOT NULL,
  length INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX by_segment ON file (segment_id);
"""
DATABASE: Final = "attachments.sqlite"
FOLDER: Final = "attachments"
LANES: Final = 64


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A sealed portion of a stored segment: its index, the SHA-384 and the length of its ciphertext, and where that lies."""

    portion: int
    digest: bytes
    length: int
    path: Path


class AttachedFiles:
    """The files of one outbox. `release_unfinished` is to be called first."""

    def __init__(self, outbox: Path, random_bytes: RandomBytes) -> None:
        self._path = outbox / DATABASE
        self._folder = outbox / FOLDER
        self._random_bytes = random_bytes
        self._db = open_database(self._path, schema=_SCHEMA, version=_VERSION)
        private_directory(self._folder)

    @staticmethod
    def any_in(outbox: Path) -> bool:
        """Say whether a report with an attachment was ever sent from there."""
        return (outbox / DATABASE).exists()

    def close(self) -> None:
        """Close the rows."""
        with storing(self._path):
            self._db.close()

    # --- lanes --------------------------------------------------------------------------------------------------------

    def free_lane(self, agreement_id: str, transport_class: int, avoid: Collection[Lane]) -> Lane:
        """Give a lane that is none of those to avoid; raises StorageError where there are as many as may be."""
        lane = fresh = Lane(agreement_id, self._random_bytes(limits.UUID), transport_class)
        with storing(self._path), self._db:
            rows = rows_of(
                self._db,
                "SELECT origin_epoch FROM pool WHERE agreement = ? AND class = ?",
                (agreement_id, transport_class),
            )
            lanes = (Lane(agreement_id, epoch, transport_class) for (epoch,) in rows)
            lane = next((one for one in lanes if one not in avoid), fresh)
            if lane is fresh:
                if len(rows) >= LANES:
                    raise StorageError(
                        f"{len(rows)} reports with attachments wait for the broker under {agreement_id} already",
                        what_to_do="Wait until they are answered: comity send --resume",
                        code=ErrorCode.LIMIT_EXCEEDED,
                    )
                key = (agreement_id, transport_class, fresh.origin_epoch)
                rows_of(self._db, "INSERT INTO pool VALUES (?, ?, ?)", key)
        return lane

    def retire(self, lane: Lane) -> None:
        """Use a lane no more: the broker takes no further number of it."""
        with storing(self._path), self._db:
            key = (lane.agreement_id, lane.transport_class, lane.origin_epoch)
            rows_of(self._db, "DELETE FROM pool WHERE agreement = ? AND class = ? AND origin_epoch = ?", key)

    # --- writing ------------------------------------------------------------------------------------------------------

    def begin(self) -> str:
        """Give the name of a file that is to be written."""
        name = self._random_bytes(_NAME_BYTES).hex()
        with storing(self._path), self._db:
            rows_of(self._db, "INSERT INTO file VALUES (?, x'', 0, x'', 0)", (name,))
        return name

    def write(self, name: str, ciphertext: Iterable[bytes], go_on: Callable[[], None]) -> None:
        """Write a file, durably; `go_on` is called before each piece and may raise. Raises StorageError.

        Any thread may do this, also while another one uses the rows.
        """
        path = self._folder / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb", 0), Flushing(descriptor) as flushing:
                for piece in ciphertext:
                    go_on()
                    write_pieces(descriptor, (piece,))
                    flushing.wrote(len(piece))
                flushing.finish()
            sync_directory(self._folder)
        except OSError as error:
            raise storage_error(path, error) from error

    def keep(self, segment_id: bytes, files: Iterable[tuple[str, int, bytes, int]]) -> None:
        """Say of written files that they are of a segment: (name, portion, digest, length) each."""
        with storing(self._path), self._db:
            for name, portion, digest, length in files:
                rows_of(
                    self._db,
                    "UPDATE file SET segment_id = ?, portion = ?, digest = ?, length = ? WHERE name = ?",
                    (segment_id, portion, digest, length, name),
                )

    # --- what is there ------------------------------------------------------------------------------------------------

    def of(self, segment_id: bytes) -> tuple[AttachedFile, ...]:
        """Give the files of a segment, by portion."""
        with storing(self._path):
            rows = rows_of(
                self._db,
                "SELECT portion, digest, length, name FROM file WHERE segment_id = ? ORDER BY portion",
                (segment_id,),
            )
        return tuple(
            AttachedFile(portion, digest, length, self._folder / name) for portion, digest, length, name in rows
        )

    def segment_ids(self) -> tuple[bytes, ...]:
        """Give the segments that have files."""
        with storing(self._path):
            rows = rows_of(self._db, "SELECT DISTINCT segment_id FROM file WHERE segment_id != x''")
        return tuple(segment_id for (segment_id,) in rows)

    # --- releasing ----------------------------------------------------------------------------------------------------

    def release_unfinished(self) -> None:
        """Remove what an earlier process was writing when it died."""
        self.release([b""])

    def release(self, segment_ids: Iterable[bytes]) -> None:
        """Remove the files of segments, durably, then their rows."""
        names: list[str] = []
        with storing(self._path):
            for segment_id in segment_ids:
                rows = rows_of(self._db, "SELECT name FROM file WHERE segment_id = ?", (segment_id,))
                names += [name for (name,) in rows]
        self._release(names)

    def forget(self, names: Iterable[str]) -> None:
        """Remove files that were written for a report that was not sealed."""
        self._release(list(names))

    def _release(self, names: list[str]) -> None:
        if not names:
            return
        with storing(self._path):
            for name in names:
                with suppress(FileNotFoundError):
                    (self._folder / name).unlink()
            sync_directory(self._folder)
            with self._db:
                for name in names:
                    rows_of(self._db, "DELETE FROM file WHERE name = ?", (name,))
