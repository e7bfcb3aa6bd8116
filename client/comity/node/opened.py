"""What opening gives: a segment that is judged, a slot as this opening may have it, or why it is not shown. Values of `opening`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from comity.envelope.checks import OfficerLookup, VerifiedSegment
from comity.envelope.evidence import AckOutcome, BatchSignature
from comity.envelope.exported import Exported, export
from comity.envelope.segment import Segment, WholeItem
from comity.identity.verdicts import Verdict
from comity.light import light
from comity.node.agreements import AgreementFold
from comity.node.permitting import Opened, Permitted
from comity.report import ReceivedReport
from comity_policy.engine import CompiledAgreement
from comity_policy.explanation import ClauseExplanation
from comity_policy.facts import Moment, NodeFacts, Point, Profile, Role, Times
from comity_policy.readers import Lack, UseCaveat


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the agreement's log has the admission of a segment: the entry and its time (Unix ms)."""

    log_index: int
    admitted_at: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a slot is not shown: the outcome to acknowledge, the reason for our own log, whether it is an alarm, and the clauses.

    With `early_seconds` it is not refused: it comes so much before its time by our clock, and is to come again.
    """

    outcome: AckOutcome
    reason: str
    fork: bool = False
    clauses: tuple[ClauseExplanation, ...] = ()
    early_seconds: float = 0.0


@light
class OpenSlot:
    """A report as this opening may have it, with what acknowledging it needs.

    `report` is None where it is not to be shown: it waits whole. `waits` says of each portion that waits what another opening would
    bring for it, `caveats` which were not acknowledged and keep something closed.
    """

    report: ReceivedReport | None
    report_id: bytes
    leaf: bytes
    expires_at: int
    approved_by: frozenset[str]
    refused: tuple[ClauseExplanation, ...] = ()
    waits: Mapping[int, frozenset[Lack]] = field(default_factory=dict)
    caveats: tuple[UseCaveat, ...] = ()

    @property
    def lacks(self) -> frozenset[Lack]:
        """Give what other openings would bring for all of what waits."""
        return frozenset[Lack]().union(*self.waits.values())


@dataclass(frozen=True, slots=True)
class Time:
    """One of the two times to decide at: the agreement as it was, our node as it was (None: not enrolled), the time."""

    compiled: CompiledAgreement
    node: NodeFacts | None
    now: int
    key_log_age: int | None


@dataclass(frozen=True, slots=True)
class Present:
    """What decides from `since` until `until`, Unix ms, as the mirror stands in its `version`: all agreements, and our node.

    `registered`: one of them asks that openings are written down.
    """

    version: int
    since: int
    until: int
    compiled: tuple[CompiledAgreement, ...]
    node: NodeFacts | None
    registered: bool


class Question(NamedTuple):
    """All that what an opening may have depends on, within one segment and for one opener; equal questions have one answer."""

    profile: Profile
    times: tuple[int, int, int]
    indices: tuple[int, ...]
    roles: frozenset[Role]
    given: Opened
    now: int
    mirror_version: int


@dataclass(slots=True)
class OpenSegment:
    """A segment whose signature holds, and everything its slots are judged by.

    `registered`: what governed at its admission asks that who opens it is written down. `levels` are the originator's. `version` is
    the mirror's that it was judged with.
    """

    verified: VerifiedSegment
    fold: AgreementFold
    packets: Mapping[bytes, bytes]
    officers: OfficerLookup
    log_index: int
    admitted_at: int
    key_verdict: Verdict
    admission: Time
    sender_key_since: int
    sender_can: frozenset[str] | None
    forked: Mapping[int, str]
    batch: BatchSignature
    batch_index: int
    batch_path: tuple[bytes, ...]
    registered: bool
    levels: tuple[str, ...]
    version: int
    decided: tuple[Question, tuple[Times, Permitted]] | None = None
    entered: tuple[tuple[Profile, int, int], bool] | None = None

    @property
    def segment(self) -> Segment:
        """Give the parsed segment."""
        return self.verified.segment

    def moment(self, broker: str, time: Time, roles: frozenset[Role]) -> Moment:
        """Give the moment of a decision about it at one of the two times, of a report sent in these roles by that broker."""
        return Moment(
            point=Point.OPENING,
            now=time.now,
            broker=broker,
            broker_region=None,
            key_log_age=time.key_log_age,
            sender_roles=roles,
            admitted_at=self.admitted_at,
            # The segment's checks hold its originator to be who published it.
            direct=True,
            sender_key_since=self.sender_key_since,
            sender_capabilities=self.sender_can,
        )

    def renew(self, fresh: OpenSegment) -> None:
        """Take over what the same segment is judged by now."""
        self.fold, self.officers, self.admission = fresh.fold, fresh.officers, fresh.admission
        self.key_verdict, self.sender_key_since = fresh.key_verdict, fresh.sender_key_since
        self.sender_can = fresh.sender_can
        self.registered, self.levels, self.version = fresh.registered, fresh.levels, fresh.version
        self.decided = self.entered = None

    def exported(self, slot: int) -> Exported:
        """Give one slot as an envelope alone; raises UsageError for one that came pruned."""
        item = self.segment.items[slot]
        named = {row.packet_id for row in item.manifest.rows} if isinstance(item, WholeItem) else set()
        return export(
            self.segment,
            slot,
            batch=self.batch,
            index=self.batch_index,
            batch_path=self.batch_path,
            key_packets=[self.packets[name] for name in named if name in self.packets],
        )
