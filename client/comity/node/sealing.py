"""From cleared reports to sealed segments: open runs of every lane, closed when full or when they are to go (design 03).

Rules in order:
1. A report is sealed as it comes, alone, so that no urgent one waits for a whole segment's work. A run holds up to 256 of them or
   1 MiB of one lane that share agreement text, addressees, precedence and keys; a report that does not fit closes it. One that
   cannot be sealed takes no number.
2. Numbers are drawn in the order in which reports come, dense a lane; ids are UUIDv7, drawn for each try anew.
3. A core names the newest verified views of both logs at the moment it is sealed.
Nothing here does I/O: what is sealed is durable only when the outbox has it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from comity.envelope import limits
from comity.envelope.core import Core, LogSeen
from comity.envelope.profile import is_urgent, transport_class
from comity.envelope.run_form import PortionInput
from comity.envelope.seal import Recipient, SealedReport, Sealer, SealInput
from comity.errors import ComityError, ErrorCode, MalformedError, UsageError
from comity.identity.names import Identity
from comity.node.cleared import Cleared
from comity.node.clock import NowMs
from comity.node.collecting import Pending
from comity.node.outbox import Lane, StoredSegment
from comity.suites import RandomBytes, Suite
from comity_policy.facts import Profile

RUN_BYTES: Final = limits.SEGMENT_BYTES - 2048
_IDS_A_DRAW: Final = 64
_ID_BYTES: Final = 10
_VERSION_7: Final = bytes([0x70 | value & 0x0F for value in range(256)])
_VARIANT: Final = bytes([0x80 | value & 0x3F for value in range(256)])

KeySet = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed segment before it is signed: what the outbox will hold, whose reports are in it, and their leaves."""

    stored: StoredSegment
    key_set: KeySet
    packets: tuple[tuple[bytes, bytes], ...]
    pendings: tuple[Pending, ...]
    cleared: tuple[Cleared, ...]
    leaves: tuple[bytes, ...]
    report_ids: tuple[bytes, ...]

    @property
    def urgent(self) -> bool:
        """Say whether it goes ahead of everything that is not."""
        return is_urgent(self.stored.lane.transport_class)


@dataclass(slots=True)
class _Run:
    lane: Lane
    profile: Profile
    shared: tuple[object, ...]
    first: int
    size: int = 0
    reports: list[SealedReport] = field(default_factory=list)
    pendings: list[Pending] = field(default_factory=list)
    cleared: list[Cleared] = field(default_factory=list)

    def add(self, one: SealedReport, pending: Pending, cleared: Cleared) -> None:
        self.reports.append(one)
        self.pendings.append(pending)
        self.cleared.append(cleared)
        self.size += len(one.item)


@dataclass(frozen=True, slots=True)
class _Way:
    """Into which lane reports of a profile go now, and who seals them."""

    profile: Profile
    lane: Lane
    sealer: Sealer


class ReportIds:
    """Draws UUIDv7 report ids: 48 bits of milliseconds, the rest random."""

    __slots__ = ("_left", "_random_bytes")

    def __init__(self, random_bytes: RandomBytes) -> None:
        self._random_bytes = random_bytes
        self._left: list[bytes] = []

    def draw(self, now_ms: int) -> bytes:
        """Give a fresh id."""
        if not self._left:
            data = bytearray(self._random_bytes(_ID_BYTES * _IDS_A_DRAW))
            # Version 7 and the variant of RFC 9562, in all of them at once.
            data[::_ID_BYTES] = data[::_ID_BYTES].translate(_VERSION_7)
            data[2::_ID_BYTES] = data[2::_ID_BYTES].translate(_VARIANT)
            self._left = [bytes(data[start : start + _ID_BYTES]) for start in range(0, len(data), _ID_BYTES)]
        return now_ms.to_bytes(6, "big") + self._left.pop()


class Sealing:
    """Open runs and what was sealed out of them. `own` gives this node's recipient of a suite, for its own stanza."""

    def __init__(
        self,
        identity: Identity,
        own: Callable[[bytes, Suite], Recipient],
        epoch: bytes,
        numbers: dict[Lane, int],
        *,
        now_ms: NowMs,
        random_bytes: RandomBytes,
    ) -> None:
        self._identity = identity
        self._own = own
        self._epoch = epoch
        self._numbers = dict(numbers)
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._ids = ReportIds(random_bytes)
        self._sealers: dict[KeySet, Sealer] = {}
        self._runs: dict[Lane, _Run] = {}
        self._way: _Way | None = None
        self.sealed: deque[Sealed] = deque()

    @property
    def waiting(self) -> int:
        """Give how many reports stand in open runs."""
        return sum(len(run.reports) for run in self._runs.values())

    def begin_epoch(self, epoch: bytes) -> None:
        """Begin every lane anew under another epoch; what is open under the old one stays in its lane."""
        self._epoch = epoch
        self._numbers = {}
        self._way = None

    def drop_lane(self, lane: Lane) -> list[Pending]:
        """Give back the reports of a lane that broke and are not on disk yet: open or sealed, but not signed."""
        run = self._runs.pop(lane, None)
        dropped = [] if run is None else list(run.pendings)
        dropped += [pending for one in self.sealed if one.stored.lane == lane for pending in one.pendings]
        self.sealed = deque(one for one in self.sealed if one.stored.lane != lane)
        return dropped

    def add(self, pending: Pending, cleared: Cleared, agreement_seen: LogSeen, keys_seen: LogSeen) -> bool:
        """Seal a report into its lane's run; says whether a segment was closed. Raises UsageError, MalformedError."""
        profile = cleared.profile
        way = self._way
        if way is None or way.profile is not profile:
            lane = Lane(profile.agreement_id, self._epoch, transport_class(profile))
            way = self._way = _Way(profile, lane, self._sealer((profile.key_set, profile.suite)))
        lane, sealer = way.lane, way.sealer
        number = self._numbers.get(lane, 1)
        one = sealer.seal(self._input(cleared, lane, number, agreement_seen, keys_seen))
        size = len(one.item)
        if size > RUN_BYTES:
            raise MalformedError(
                f"the report takes {size} bytes sealed, at most {RUN_BYTES} travel in one piece",
                what_to_do="Split the content over several reports.",
                code=ErrorCode.LIMIT_EXCEEDED,
            )
        run, closed = self._runs.get(lane), False
        if run is not None and (run.size + size > RUN_BYTES or not _fits(run, profile)):
            self._close(run)
            run, closed = None, True
            if self._numbers.get(lane, 1) != number:
                # The run was refused, so its numbers were never used.
                number = self._numbers[lane]
                one = sealer.seal(self._input(cleared, lane, number, agreement_seen, keys_seen))
        if run is None:
            run = self._runs[lane] = _Run(lane, profile, _shared(profile), number)
        run.add(one, pending, cleared)
        self._numbers[lane] = number + 1
        if len(run.reports) == limits.SLOTS:
            self._close(run)
            closed = True
        return closed

    def alone(self, pending: Pending, cleared: Cleared, lane: Lane, number: int) -> Sealed:
        """Seal one report by itself, with that number of a lane that no run uses; it may wait for approvals.

        Raises UsageError, MalformedError.
        """
        core = self.core_alone(cleared, lane, number)
        return self.sealed_alone(pending, cleared, lane, SealInput(core, _inline(cleared), cleared.recipients))

    def core_alone(self, cleared: Cleared, lane: Lane, number: int) -> Core:
        """Give the core of a report that is sealed by itself: what its attachments are encrypted under before it is."""
        return self._core(cleared, lane, number, cleared.view.log_seen, cleared.view.key_log_seen)

    def sealed_alone(self, pending: Pending, cleared: Cleared, lane: Lane, seal_input: SealInput) -> Sealed:
        """Seal one report by itself, its portions in memory or encrypted before. Raises UsageError, MalformedError."""
        profile, number = cleared.profile, seal_input.core.origin_sequence
        run = _Run(lane, profile, _shared(profile), number)
        run.add(self._sealer((profile.key_set, profile.suite)).seal(seal_input), pending, cleared)
        return self._closed(run)

    def _input(
        self, cleared: Cleared, lane: Lane, number: int, agreement_seen: LogSeen, keys_seen: LogSeen
    ) -> SealInput:
        core = self._core(cleared, lane, number, agreement_seen, keys_seen)
        # Whoever adds a report has looked that all of it is in memory; this is the hot path.
        return SealInput(core, cast("tuple[PortionInput, ...]", cleared.portions), cleared.recipients)

    def _core(self, cleared: Cleared, lane: Lane, number: int, agreement_seen: LogSeen, keys_seen: LogSeen) -> Core:
        times = cleared.times
        return Core(
            report_id=self._ids.draw(self._now_ms()),
            origin_epoch=lane.origin_epoch,
            origin_sequence=number,
            created_at=times.created_at,
            not_before=times.not_before,
            expires_at=times.expires_at,
            agreement_log_seen=agreement_seen,
            key_log_seen=keys_seen,
            refers_to=cleared.refers_to,
            profile=cleared.profile,
        )

    def seal_all(self, *, urgent_only: bool = False) -> None:
        """Close every open run, or those that are urgent."""
        for run in list(self._runs.values()):
            if not urgent_only or is_urgent(run.lane.transport_class):
                self._close(run)

    def forget_keys(self) -> None:
        """Start fresh key-encryption keys: a recipient's key was revoked, or a bundle is another one now."""
        self._sealers.clear()
        self._way = None

    def _close(self, run: _Run) -> None:
        del self._runs[run.lane]
        try:
            self.sealed.append(self._closed(run))
        except ComityError as error:
            # Nothing of it left this process: its numbers are free, and nothing of its lane was numbered after it.
            self._numbers[run.lane] = run.first
            for pending in run.pendings:
                pending.refuse(error)

    def _closed(self, run: _Run) -> Sealed:
        key_set = (run.profile.key_set, run.profile.suite)
        segment = self._sealer(key_set).close(run.reports)
        cores = [one.core for one in run.reports]
        stored = StoredSegment(
            segment_id=segment.segment_id,
            lane=run.lane,
            first_origin_sequence=run.first,
            slots=len(cores),
            data=segment.data,
            position=0,
            packet_ids=tuple(packet.packet_id for packet in segment.packets),
            expires_at=max([core.expires_at for core in cores]),
        )
        return Sealed(
            stored,
            key_set,
            tuple((packet.packet_id, packet.data) for packet in segment.packets),
            tuple(run.pendings),
            tuple(run.cleared),
            segment.leaves,
            tuple([core.report_id for core in cores]),
        )

    def _sealer(self, key_set: KeySet) -> Sealer:
        sealer = self._sealers.get(key_set)
        if sealer is None:
            own = self._own(key_set[0], Suite(key_set[1]))
            sealer = self._sealers[key_set] = Sealer(
                own, self._identity.name, key_set[0], now_ms=self._now_ms, random_bytes=self._random_bytes
            )
        return sealer


def _inline(cleared: Cleared) -> tuple[PortionInput, ...]:
    """Give the portions of a report all of which is in memory; raises UsageError for another."""
    inline = tuple(one for one in cleared.portions if isinstance(one, PortionInput))
    if len(inline) != len(cleared.portions):
        raise UsageError("a report with attachments is sealed after they were encrypted")
    return inline


def _fits(run: _Run, profile: Profile) -> bool:
    return profile is run.profile or _shared(profile) == run.shared


def _shared(profile: Profile) -> tuple[object, ...]:
    return (
        profile.agreement_digest,
        frozenset(profile.addressees),
        profile.precedence,
        profile.exercise,
        profile.key_set,
        profile.suite,
    )
