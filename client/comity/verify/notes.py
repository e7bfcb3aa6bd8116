"""C2SP signed notes, checkpoints, verifier keys and policies, as far as the logs use them (design of audit, "Format").

Rules in order: a note is at most 64 KiB of UTF-8 without control characters but newline, and its base64 encodes again to itself. Unknown
signers are ignored, a failing or second signature of a known key rejects the note. A checkpoint is exactly three lines: origin (1 to 255
of ``A-Z a-z 0-9 . - /``), decimal size below 2^63, root. A log signs with 0x01 (Ed25519) *and* 0x06 (ML-DSA-44, stating time 0), both
under its origin as key name. A policy lists both keys of one log; witnesses come with a later release, so its quorum is ``none``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from comity.verify.crypto import ed25519_verifies, mldsa_verifies
from comity.verify.trees import EMPTY_ROOT, HASH_BYTES, SIZE_LIMIT

NOTE_LIMIT: Final = 64 << 10
_ORIGIN: Final = re.compile(r"[A-Za-z0-9./-]{1,255}")
_NAME: Final = re.compile("[^\\s+\ud800-\udfff]{1,255}")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_POLICY: Final = re.compile(rb"(?:[\t\x20-\x7e\x80-\xff]*\n)*")


class NoteError(ValueError):
    """A note, key or policy that is malformed or does not verify."""


class KeyType(IntEnum):
    """The C2SP signature types in use."""

    ED25519 = 0x01
    MLDSA44 = 0x06


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named public key; its text form is the vkey. Raises NoteError for a name or size that cannot be."""

    name: str
    key_type: KeyType
    public: bytes

    def __post_init__(self) -> None:
        size = 32 if self.key_type is KeyType.ED25519 else 1312
        if not _NAME.fullmatch(self.name) or len(self.name.encode()) > 255 or len(self.public) != size:
            raise NoteError("a key name is 1 to 255 bytes without spaces and plus signs, and a key has its type's size")

    @property
    def bare(self) -> bytes:
        """Give type || public key, as a broker's key bundle lists it."""
        return bytes([self.key_type]) + self.public

    @property
    def key_id(self) -> bytes:
        """Give the first four bytes of SHA-256(name || 0x0A || type || public key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.bare).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(self.bare).decode()}"

    def line(self, signature: bytes) -> str:
        """Give the signature line of a note for what this key made."""
        return f"— {self.name} {base64.b64encode(self.key_id + signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log states: its origin, how many entries, the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """Give the three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def cosigned(self, cosigner: str, seconds: int) -> bytes:
        """Give the bytes a 0x06 key of that name signs; `seconds` is POSIX time, 0 for the log itself."""
        name, origin = cosigner.encode(), self.origin.encode()
        head = b"subtree/v1\n\0" + bytes([len(name)]) + name + seconds.to_bytes(8, "big")
        return head + bytes([len(origin)]) + origin + bytes(8) + self.size.to_bytes(8, "big") + self.root


@dataclass(frozen=True, slots=True)
class Policy:
    """Whose signatures a log's checkpoint needs: both its keys, 0x01 first; raises NoteError for others."""

    logs: tuple[VerifierKey, ...]

    def __post_init__(self) -> None:
        if [key.key_type for key in self.logs] != list(KeyType) or len({key.name for key in self.logs}) != 1:
            raise NoteError("a log has two keys under one name, 0x01 and 0x06")

    @property
    def origin(self) -> str:
        """Give the one origin the policy covers."""
        return self.logs[0].name


def parse_vkey(text: str) -> VerifierKey:
    """Read a verifier key; raises NoteError."""
    name, key_id, bare = (*text.split("+", 2), "", "")[:3]
    raw = _base64(bare)
    if not raw or raw[0] not in tuple(KeyType):
        raise NoteError("a verifier key is not of a type in use")
    key = VerifierKey(name, KeyType(raw[0]), raw[1:])
    if key.key_id.hex() != key_id:
        raise NoteError(f"{name}: the key id is not that of the key")
    return key


def parse_note(data: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Give a note's text, with its last newline, and (name, key id, signature) of each line; raises NoteError. Verifies nothing."""
    try:
        note = data.decode() if len(data) <= NOTE_LIMIT else ""
    except UnicodeDecodeError as error:
        raise NoteError("a note is not UTF-8") from error
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n") or any(c < " " and c != "\n" for c in note):
        raise NoteError("a note is at most 64 KiB: text, an empty line and signature lines, without control characters")
    signatures = []
    for line in lines[:-1].split("\n"):
        dash, name, encoded, *rest = (*line.split(" "), "", "")
        raw = _base64(encoded)
        if dash != "—" or not _NAME.fullmatch(name) or any(rest) or line.count(" ") != 2 or len(raw) < 5:
            raise NoteError("a signature line has not the form it must have")
        signatures.append((name, raw[:4], raw[4:]))
    return text + "\n", signatures


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint; raises NoteError."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not _ORIGIN.fullmatch(lines[0]) or not _SIZE.fullmatch(lines[1]):
        raise NoteError("a checkpoint is exactly three lines: origin, decimal size, root")
    size, root = int(lines[1]), _base64(lines[2])
    if size >= SIZE_LIMIT or len(root) != HASH_BYTES or (size == 0 and root != EMPTY_ROOT):
        raise NoteError("a checkpoint's size is not below 2^63, or its root not 32 bytes or not that of an empty tree")
    return Checkpoint(lines[0], size, root)


def verify_checkpoint(data: bytes, policy: Policy) -> Checkpoint:
    """Give the checkpoint of a note that both keys of the policy's log signed under its origin; raises NoteError."""
    text, signatures = parse_note(data)
    checkpoint = parse_checkpoint(text)
    known = {(key.name, key.key_id): key for key in policy.logs}
    signed: set[VerifierKey] = set()
    for name, key_id, blob in signatures:
        key = known.get((name, key_id))
        if key is None:
            continue
        if key.key_type is KeyType.ED25519:
            good = ed25519_verifies(key.public, text.encode(), blob)
        else:
            good = blob[:8] == bytes(8) and mldsa_verifies(key.public, checkpoint.cosigned(name, 0), blob[8:])
        if key in signed or not good:
            raise NoteError(f"a signature of {name} does not verify, or is the second of one key")
        signed.add(key)
    if checkpoint.origin != policy.origin or signed != set(policy.logs):
        raise NoteError(f"the checkpoint is not signed by both keys of {policy.origin}, or is of another log")
    return checkpoint


def policy_without_witnesses(vkeys: Iterable[str]) -> bytes:
    """Write the policy file of a log."""
    return b"".join(f"log {vkey}\n".encode() for vkey in vkeys) + b"quorum none\n"


def parse_policy(data: bytes) -> Policy:
    """Read a policy file (C2SP tlog-policy) that lists a log's two keys and no witnesses; raises NoteError."""
    if len(data) > NOTE_LIMIT or not _POLICY.fullmatch(data):
        raise NoteError("a policy is at most 64 KiB of lines without control characters")
    keys, quorums = [], 0
    for line in data.decode(errors="surrogateescape").split("\n"):
        match re.split("[ \t]+", line.strip(" \t")):
            case ["log", vkey] | ["log", vkey, _]:
                keys.append(parse_vkey(vkey))
            case ["quorum", "none"]:
                quorums += 1
            case [word, *_] if word and not word.startswith("#"):
                raise NoteError(f"a policy's line {word!r} is not of this release: it lists log keys and quorum none")
    if quorums != 1:
        raise NoteError("a policy has exactly one quorum line")
    return Policy(tuple(sorted(keys, key=lambda key: key.key_type)))


def _base64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.encode(), validate=True)
    except ValueError as error:
        raise NoteError("not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise NoteError("base64 that does not encode to itself")
    return raw
