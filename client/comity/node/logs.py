"""Following a log without trusting who serves it: pure rules over checkpoints and entries (designs 04 and 05).

Rules in order:
1. A log's two keys are those its entry 0 names, and they are keys of the broker, as the operator's directory key signed them;
   its origin is the broker's TLS name, the kind of log (and the agreement), and one incarnation. The first origin is pinned.
2. A checkpoint is signed with both keys. One that is smaller than what was verified before, or of equal size with another
   root, or that does not continue it, is a FORK: evidence against the broker.
3. Entries are hashed again from the pinned edge to the checkpoint's root: so the whole log is a prefix of what comes next.
4. A checkpoint that somebody else was shown (a core, an acknowledgement, a stream) is a part of this log or a FORK.
5. A log of another incarnation in its place is a FORK unless it continues this one (`continuing`). Log indices count over all
   incarnations, the sizes of trees and checkpoints over one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from comity.envelope.core import LogSeen
from comity.errors import ErrorCode, VerificationError
from comity.identity.directory import KeyDirectory
from comity.identity.names import INCARNATION_BYTES, Identity, agreement_of, incarnation_of, is_exercise, lasting_name
from comity.node.entries import MirroredEntry
from comity.suites import KeyRole, Suite, fingerprint
from comity.verify.notes import (
    Checkpoint,
    NoteError,
    Policy,
    parse_checkpoint,
    parse_note,
    parse_policy,
    policy_without_witnesses,
    verify_checkpoint,
)
from comity.verify.trees import Frontier, TileHash, TreeError, leaf_hash, verify_consistency

VKEYS: Final = 2
# What the mirror calls the operations log: no agreement's id is in small letters.
OPERATIONS: Final = "operations"


class RefreshNeeded(Exception):  # noqa: N818 - not an error: it says what to do first, and never leaves the receiver
    """The mirror must be refreshed before this segment can be judged."""


class Seen(Enum):
    """What a view of a log that a peer signed is worth to the reader."""

    CONSISTENT = "consistent"
    AHEAD = "ahead"
    FORK = "fork"


@dataclass(frozen=True, slots=True)
class LeftLog:
    """A log that a restored broker left behind. `first` is the log_index of its first leaf, `note` the newest checkpoint seen of it.

    `kept` leaves were restored, `verified` were verified here before: those beyond are lost to the broker, and kept here as evidence.
    """

    origin: str
    vkeys: tuple[str, ...]
    first: int
    kept: int
    verified: int
    note: bytes

    @property
    def incarnation(self) -> bytes:
        """Give the 16 bytes that end the origin."""
        return incarnation_of(self.origin)

    @property
    def end(self) -> int:
        """Give the log_index after its last restored entry."""
        return self.first + self.kept


@dataclass(frozen=True, slots=True)
class LogPin:
    """What was verified of a log so far: its name and keys, the edge of its tree, and the note that says so.

    `first` is the log_index of the tree's first leaf; `before` are the logs that restores left behind, the oldest first.
    """

    origin: str
    vkeys: tuple[str, ...]
    frontier: Frontier = field(default_factory=Frontier)
    note: bytes = b""
    first: int = 0
    before: tuple[LeftLog, ...] = ()

    @property
    def incarnation(self) -> bytes:
        """Give the 16 bytes that end the origin."""
        return incarnation_of(self.origin)

    @property
    def size(self) -> int:
        """Give how many entries were verified, over all incarnations."""
        return self.first + self.frontier.size

    @property
    def tree_size(self) -> int:
        """Give how many leaves of the present incarnation's tree were verified."""
        return self.frontier.size

    @property
    def origins(self) -> frozenset[str]:
        """Give the names of this log in all its incarnations."""
        return frozenset({self.origin, *(one.origin for one in self.before)})

    def origin_at(self, log_index: int) -> str:
        """Give the name of the log that has the entry with this index."""
        return next((one.origin for one in self.before if log_index < one.end), self.origin)

    @property
    def seen(self) -> LogSeen:
        """Give what a core or an acknowledgement says of this log."""
        return LogSeen(self.incarnation, self.frontier.size, self.frontier.root)

    @property
    def policy(self) -> Policy:
        """Give whose signatures a checkpoint needs; raises VerificationError for keys that are none."""
        try:
            policy = parse_policy(policy_without_witnesses(self.vkeys))
        except NoteError as error:
            raise VerificationError(f"{self.origin}: the keys its entry 0 names are none ({error})") from error
        if len(self.vkeys) != VKEYS or policy.origin != self.origin:
            raise VerificationError(f"{self.origin}: entry 0 does not name the log's two keys")
        return policy


class ForkError(VerificationError):
    """Two histories of one log. `shown` is the signed note that contradicts ours, where there is one."""

    default_code = ErrorCode.FORK

    def __init__(self, origin: str, problem: str, shown: bytes = b"") -> None:
        super().__init__(
            f"{origin}: {problem}",
            what_to_do="The broker shows two histories of this log: nothing is sent or opened under it, and the evidence is kept "
            "in the mirror. Compare with the other parties' mirrors and tell your security authority.",
        )
        self.shown = shown


def check_origin(origin: str, tls_name: str, agreement_id: str | None) -> None:
    """Check that an origin is this broker's log of this agreement or exercise (None: of keys; or OPERATIONS); raises VerificationError."""
    of_exercise = is_exercise(agreement_id or "")
    kind = {None: "keys", OPERATIONS: OPERATIONS}.get(agreement_id, f"agreement/{agreement_of(agreement_id or '')}")
    head = f"{tls_name}/{kind}/"
    tail = (agreement_of(origin) if of_exercise else origin).removeprefix(head)
    if (
        not origin.startswith(head)
        or is_exercise(origin) != of_exercise
        or len(tail) != 2 * INCARNATION_BYTES
        or not set(tail) <= set("0123456789abcdef")
    ):
        raise VerificationError(f"{origin[:200]!r} is not the origin of a log of {tls_name}")


def origin_of(note: bytes) -> str:
    """Give the origin a checkpoint states, before anything of it was checked; raises VerificationError."""
    try:
        return parse_checkpoint(parse_note(note)[0]).origin
    except NoteError as error:
        raise VerificationError(f"the broker's checkpoint is none: {error}") from error


def same_log(origin: str, other: str) -> bool:
    """Say whether two origins are incarnations of one log."""
    return lasting_name(origin) == lasting_name(other)


def opened(entry: MirroredEntry) -> LogPin:
    """Read a log's terms out of its entry 0; raises VerificationError."""
    if entry.kind != "LOG_OPENED" or entry.log_index != 0:
        raise VerificationError(f"{entry.origin}: entry 0 does not open the log")
    body = entry.shared()
    if body["origin"] != entry.origin:
        raise VerificationError(f"{entry.origin}: entry 0 opens a log of another name")
    pin = LogPin(entry.origin, tuple(body["log_vkeys"]))
    _ = pin.policy
    return pin


def check_keys(pin: LogPin, broker: Identity, directory: KeyDirectory) -> None:
    """Check that both keys of a log are the broker's, as its party's directory key listed them; raises VerificationError."""
    for vkey in pin.policy.logs:
        owner = directory.owner(fingerprint(KeyRole.LOG, Suite.X509, vkey.bare))
        if owner is None or owner.identity != broker or directory.revocation(owner.key.fingerprint) is not None:
            raise VerificationError(
                f"{pin.origin}: a key that signs it is not listed as a log key of {broker}",
                what_to_do="Ask the broker's operator; do not go on before its bundle lists the key.",
            )


def check_note(pin: LogPin, note: bytes) -> Checkpoint:
    """Check a checkpoint's signatures and name; raises VerificationError."""
    try:
        return verify_checkpoint(note, pin.policy)
    except NoteError as error:
        raise VerificationError(f"{pin.origin}: {error}") from error


def check_continues(pin: LogPin, checkpoint: Checkpoint, proof: Sequence[bytes]) -> None:
    """Check that a signed checkpoint continues the pinned tree; raises ForkError."""
    before = pin.frontier
    if checkpoint.size < before.size:
        raise ForkError(pin.origin, f"shrunk from {before.size} entries to {checkpoint.size}")
    try:
        verify_consistency(before.size, before.root, checkpoint.size, checkpoint.root, proof)
    except TreeError as error:
        raise ForkError(
            pin.origin, f"{checkpoint.size} entries do not continue the {before.size} seen ({error})"
        ) from error


def extend(frontier: Frontier, entries: Iterable[bytes]) -> tuple[Frontier, list[bytes], list[TileHash]]:
    """Give the edge after further entries, their leaf hashes, and the hashes of tiles that became full."""
    leaves = [leaf_hash(entry) for entry in entries]
    grown, tiles = frontier.append(leaves)
    return grown, leaves, tiles


def check_root(pin: LogPin, frontier: Frontier, checkpoint: Checkpoint, note: bytes) -> LogPin:
    """Pin a checkpoint whose entries were hashed again; raises ForkError where they are not its tree."""
    if frontier.size != checkpoint.size or frontier.root != checkpoint.root:
        raise ForkError(pin.origin, f"the {checkpoint.size} entries shown are not those that the checkpoint signs")
    return replace(pin, frontier=frontier, note=note)
