"""Checkpoints that this broker was shown and cannot extend, kept for a restore (design 04, "Incarnation").

Rules: only notes that carry this broker's own signatures come here, so a peer cannot fill the disk; of each log the longest
tree is kept, one file a log beside the database. A restore names them in CONTINUES: what the broker once signed, and what it has lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from comity.errors import MalformedError, UsageError
from comity.identity.names import agreement_of, is_exercise, log_name
from comity.node.files import read_file, write_file
from comity.verify.notes import Checkpoint, NoteError, parse_checkpoint, parse_note
from comity_broker.logs import origin_of

FOLDER: Final = "presented"
_NOTE_BYTES: Final = 64 << 10
_SUFFIX: Final = ".note"


@dataclass(slots=True)
class Presented:
    """Checkpoints that were presented, by shard; nothing here says that they are signed."""

    _notes: dict[str, list[bytes]] = field(default_factory=dict)

    @classmethod
    def of(cls, folders: Iterable[Path]) -> Presented:
        """Read those that brokers kept in their data directories."""
        found = cls()
        for folder in folders:
            for path in sorted((folder / FOLDER).glob(f"*{_SUFFIX}")):
                found.add(read_file(path, _NOTE_BYTES))
        return found

    def add(self, note: bytes) -> None:
        """Take a checkpoint; raises MalformedError for what is none."""
        self._notes.setdefault(shard_of(_checkpoint(note).origin), []).append(note)

    def notes(self) -> dict[str, list[bytes]]:
        """Give them by shard."""
        return {shard: list(notes) for shard, notes in self._notes.items()}


def keep_presented(data: Path, note: bytes) -> None:
    """Keep a checkpoint that carries this broker's signatures, where it is of a longer tree than the one that is kept."""
    checkpoint = _checkpoint(note)
    path = data / FOLDER / f"{shard_of(checkpoint.origin).replace('/', '.')}{_SUFFIX}"
    if path.exists():
        before = _checkpoint(read_file(path, _NOTE_BYTES))
        if before.origin == checkpoint.origin and before.size >= checkpoint.size:
            return
    write_file(path, note)


def shard_of(origin: str) -> str:
    """Give the shard whose log has this origin; raises MalformedError."""
    host, _, rest = origin.partition("/")
    name, _, incarnation = agreement_of(rest).rpartition("/")
    shard = log_name(name.removeprefix("agreement/"), exercise=is_exercise(rest))
    try:
        same = origin_of(host, shard, bytes.fromhex(incarnation)) == origin
    except (MalformedError, UsageError, ValueError):
        same = False
    if not same:
        raise MalformedError(f"{origin[:200]!r} is no log of a broker")
    return shard


def _checkpoint(note: bytes) -> Checkpoint:
    try:
        return parse_checkpoint(parse_note(note)[0])
    except NoteError as error:
        raise MalformedError(f"this is no checkpoint: {error}") from error
