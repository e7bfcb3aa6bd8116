"""A log's two keys, its signed checkpoints, and the file that keeps it from signing two histories (design of audit, "Format").

Rules in order:
1. A log has an Ed25519 and an ML-DSA-44 key, C2SP keys outside the suites of envelopes; both sign every checkpoint, the second as
   a cosignature that states time 0.
2. Order: the database has committed, the new size and root are durable in the last-signed file, then the signature is made. A
   signature that a crash took away may be made again; one that was made is never contradicted.
3. Nothing is signed that is not proven consistent with the last-signed tree: a smaller tree, another root under the same size and a
   proof that does not verify raise LogFrozenError, and the caller freezes the log.
4. The last-signed file lies apart from the database, so that restoring an old copy of one does not restore the other. It is made when
   the log is opened and never made again: a missing or damaged file refuses (StorageError).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from comity.errors import ErrorCode, MalformedError, StorageError
from comity.keys.log_keys import LogSecret
from comity.suites import RandomBytes
from comity.verify.notes import Checkpoint, KeyType, NoteError, VerifierKey, parse_checkpoint
from comity.verify.trees import EMPTY_ROOT, TreeError, verify_consistency

Consistency = Callable[[int, int], Sequence[bytes]]


class LogFrozenError(StorageError):
    """A tree that the log must not sign, because it does not continue the one it signed last."""

    default_code = ErrorCode.LOG_FROZEN


class LogKeys:
    """The two private keys of a broker's logs, one of each type. Its text form shows nothing."""

    __slots__ = ("_ed25519", "_mldsa")

    def __init__(self, ed25519: LogSecret, mldsa: LogSecret) -> None:
        if (ed25519.kind, mldsa.kind) != (KeyType.ED25519, KeyType.MLDSA44):
            raise MalformedError("a log has an Ed25519 and an ML-DSA-44 key, in this order")
        self._ed25519 = ed25519
        self._mldsa = mldsa

    @classmethod
    def generate(cls, random_bytes: RandomBytes = os.urandom) -> LogKeys:
        """Make fresh keys."""
        return cls(*(LogSecret.generate(kind, random_bytes) for kind in (KeyType.ED25519, KeyType.MLDSA44)))

    def verifier_keys(self, origin: str) -> tuple[VerifierKey, VerifierKey]:
        """Give both public keys under the name they sign a log's checkpoints with: its origin."""
        return (
            VerifierKey(origin, KeyType.ED25519, self._ed25519.public[1:]),
            VerifierKey(origin, KeyType.MLDSA44, self._mldsa.public[1:]),
        )

    def vkeys(self, origin: str) -> tuple[str, str]:
        """Give the verifier keys in the text form that entry 0 and policies name."""
        ed25519, mldsa = self.verifier_keys(origin)
        return str(ed25519), str(mldsa)

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """Give the signed note of a checkpoint. `Checkpointer.sign` decides whether it may be signed."""
        ed25519, mldsa = self.verifier_keys(checkpoint.origin)
        message = checkpoint.cosigned(checkpoint.origin, 0)
        lines = (
            ed25519.line(self._ed25519.sign(checkpoint.text.encode())),
            mldsa.line(bytes(8) + self._mldsa.sign(message)),
        )
        return f"{checkpoint.text}\n{''.join(lines)}".encode()

    def __repr__(self) -> str:
        return "LogKeys()"


class Checkpointer:
    """Signs the checkpoints of one log by rules 2 to 4. One process at a time uses a file; `sign` blocks on two fsyncs."""

    __slots__ = ("_keys", "_path", "origin")

    def __init__(self, path: Path, origin: str, keys: LogKeys) -> None:
        self._path = path
        self._keys = keys
        self.origin = origin

    def create(self) -> None:
        """Make the file for a log that has signed nothing; raises StorageError where there is one already."""
        if self._path.exists():
            raise StorageError(
                f"{self._path.name} exists already",
                what_to_do="A log that was opened before continues with its file; nothing replaces it.",
            )
        self._write(Checkpoint(self.origin, 0, EMPTY_ROOT))

    def last_signed(self) -> Checkpoint:
        """Give the tree signed last, of size 0 before the first; raises StorageError for a missing or damaged file."""
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise self._damaged("cannot be read") from error
        text, _, check = data.partition(b"\n\n")
        if hashlib.sha256(text + b"\n").hexdigest().encode() + b"\n" != check:
            raise self._damaged("is damaged")
        try:
            checkpoint = parse_checkpoint(text.decode() + "\n")
        except (NoteError, UnicodeDecodeError) as error:
            raise self._damaged("is damaged") from error
        if checkpoint.origin != self.origin:
            raise self._damaged(f"is of {checkpoint.origin}")
        return checkpoint

    def sign(self, size: int, root: bytes, consistency: Consistency) -> bytes:
        """Sign the tree of a committed size and root.

        `consistency(old, new)` gives the proof from the stored tree; it is not asked where none is needed. Raises LogFrozenError where
        the tree does not continue the last-signed one, StorageError where the file cannot be read or written.
        """
        last = self.last_signed()
        try:
            proof = consistency(last.size, size) if 0 < last.size < size else ()
            verify_consistency(last.size, last.root, size, root, proof)
        except TreeError as error:
            raise LogFrozenError(
                f"{self.origin}: {size} entries do not continue the {last.size} signed last ({error})",
                what_to_do="Nothing is signed any more. Compare with the parties' mirrors, then use: comity broker restore",
            ) from error
        checkpoint = Checkpoint(self.origin, size, root)
        if checkpoint != last:
            self._write(checkpoint)
        return self._keys.sign(checkpoint)

    def _write(self, checkpoint: Checkpoint) -> None:
        text = checkpoint.text.encode()
        beside = self._path.with_name(self._path.name + ".new")
        try:
            with beside.open("wb") as file:
                file.write(text + b"\n" + hashlib.sha256(text).hexdigest().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StorageError(
                f"{self._path.name} cannot be written: {error.strerror}",
                what_to_do="Nothing was signed. Make room or mend the disk, then try again.",
            ) from error

    def _damaged(self, how: str) -> StorageError:
        return StorageError(
            f"{self._path.name} {how}",
            what_to_do="Nothing is signed without it. Put it back from where it was, or use: comity broker restore",
        )
