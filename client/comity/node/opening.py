"""Opening: a delivered segment becomes reports, or outcomes with precise reasons (design 03, "Open"; design 02, point O).

Rules in order, for a segment:
1. It parses; its key set names a node that had this key when the log admitted it; batch signature and equalities hold. What
   fails here is an alarm and is never acknowledged.
2. The originator's key was not revoked: before or after is decided by the order of entries in the agreement's log. A revocation
   that the key log has and the agreement's log does not have yet is fetched first, and counts.
For a slot:
3. The views of both logs that its core signs are part of ours; a further one is fetched first; anything else is a FORK.
4. It opens (`comity.envelope.open`): approvals, our stanza and packet, every ciphertext of ours.
5. Each portion is decided twice: as the log's time and state of its admission had it, and as of now. What is denied is not shown;
   a report of which nothing is left is refused.
Whoever opens for no purpose of its own adopts the one that the report states.
Nothing here does I/O: what must be fetched first is told by `RefreshNeeded`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from comity.envelope.checks import OfficerLookup, SigningNode, VerifiedSegment, receive
from comity.envelope.core import LogSeen
from comity.envelope.evidence import AckOutcome, VerifiedBatches, decode_batch_signature
from comity.envelope.open import NotOpened, OpenedPortion, OpenedReport, Opener, UploadedPortion
from comity.envelope.packets import packet_id
from comity.envelope.profile import ProfileMemo
from comity.envelope.segment import Segment, WholeItem, parse_segment
from comity.errors import KeyFault, NotFoundError
from comity.identity.names import Identity
from comity.identity.verdicts import Verdict, verdict
from comity.node.agreements import AgreementFold
from comity.node.clock import NowMs
from comity.node.directory import officer_lookup
from comity.node.logs import Seen
from comity.node.mirror import Mirror
from comity.portion import Portion
from comity.report import ReceivedReport
from comity.v1 import exchange_pb2
from comity_policy.engine import CompiledAgreement
from comity_policy.facts import Moment, NodeFacts, Point, Profile, Role

_PACKETS_KEPT: Final = 16_384
_PEERS_KEPT: Final = 64
_NODE_ALONE: Final = frozenset({Role.NODE})
_FORKED: Final = "its originator was shown another history of a log"


class RefreshNeeded(Exception):  # noqa: N818 - not an error: it says what to do first, and never leaves the receiver
    """The mirror must be refreshed before this segment can be judged."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a slot is not shown: the outcome to acknowledge, the reason for our own log, and whether it is an alarm."""

    outcome: AckOutcome
    reason: str
    fork: bool = False


@dataclass(frozen=True, slots=True)
class OpenSlot:
    """A report as the application gets it, with what acknowledging it needs."""

    report: ReceivedReport
    report_id: bytes
    expires_at: int
    approved_by: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Occasion:
    """One of the two occasions to decide at: the agreement as it was, our node as it was (None: not enrolled), the time."""

    compiled: CompiledAgreement
    node: NodeFacts | None
    now: int
    key_log_age: int | None


# What a pair of decisions of one segment depends on, beside the report: roles, purpose, time, the mirror's version.
_Question = tuple[frozenset[Role], str, int, int]
_Deciding = tuple[CompiledAgreement, NodeFacts | None, Moment]


@dataclass(slots=True)
class OpenSegment:
    """A segment whose signature holds, and everything its slots are judged by."""

    verified: VerifiedSegment
    fold: AgreementFold
    packets: Mapping[bytes, bytes]
    officers: OfficerLookup
    log_index: int
    admitted_at: int
    key_verdict: Verdict
    admission: _Occasion
    sender_key_since: int
    forked: Mapping[int, str]
    decided_by: tuple[_Question, tuple[_Deciding, ...]] | None = None

    @property
    def segment(self) -> Segment:
        """Give the parsed segment."""
        return self.verified.segment


class Opening:
    """Opens for one consumer of one node. Not for several threads at once."""

    def __init__(
        self, mirror: Mirror, identity: Identity, opener: Opener, *, purpose: str | None, now_ms: NowMs
    ) -> None:
        self._mirror = mirror
        self._identity = identity
        self._opener = opener
        self._purpose = purpose
        self._now_ms = now_ms
        self._profiles: dict[bytes, ProfileMemo] = {}
        self._batches = VerifiedBatches()
        self._packets: dict[bytes, bytes] = {}
        self._seen: dict[tuple[str | None, LogSeen], Seen] = {}
        self._version = -1

    # --- a segment --------------------------------------------------------------------------------------------------

    def open_segment(self, frame: exchange_pb2.Delivery, *, refreshed: bool) -> OpenSegment:
        """Judge a delivered segment by rules 1 to 3; raises RefreshNeeded, but not once `refreshed` is said.

        Raises MalformedError, RejectedError, KeyFault or NotFoundError for one that is an alarm.
        """
        self._remember_packets(frame.key_packets)
        batch = decode_batch_signature(frame.batch_signature)
        segment = parse_segment(frame.segment, self._profile_memo(batch.key_set))
        fold = self._fold(segment.agreement_id, refreshed=refreshed)
        log_size = self._mirror.key_log_size_at(frame.admitted_at)
        try:
            record, key = self._mirror.directory.signing_node(batch.key_set, batch.suite, frame.admitted_at, log_size)
        except KeyFault as error:
            if not refreshed:
                raise RefreshNeeded from error
            raise
        signed_by = SigningNode(record.party, record.node, batch.key_set, key.suite, key.public)
        verified = receive(segment, batch, frame.batch_index, frame.batch_path, signed_by, memo=self._batches)
        views = self._views(segment)
        if not refreshed and (Seen.AHEAD in views.values() or self._hidden((key.fingerprint, record.signed_by), fold)):
            raise RefreshNeeded
        return OpenSegment(
            verified=verified,
            fold=fold,
            packets=self._packets,
            officers=officer_lookup(self._mirror.directory, segment.agreement_id, frame.admitted_at),
            log_index=frame.log_index,
            admitted_at=frame.admitted_at,
            key_verdict=self._verdict((key.fingerprint, record.signed_by), fold, frame),
            admission=self._occasion_of_admission(fold, segment, frame, log_size),
            sender_key_since=key.since,
            forked={slot: _FORKED for slot, seen in views.items() if seen is not Seen.CONSISTENT},
        )

    def _fold(self, agreement_id: str, *, refreshed: bool) -> AgreementFold:
        try:
            return self._mirror.fold(agreement_id)
        except NotFoundError as error:
            if not refreshed:
                raise RefreshNeeded from error
            raise

    def _profile_memo(self, key_set: bytes) -> ProfileMemo:
        memo = self._profiles.get(key_set)
        if memo is None:
            if len(self._profiles) >= _PEERS_KEPT:
                self._profiles.clear()
            memo = self._profiles[key_set] = ProfileMemo()
        return memo

    def _remember_packets(self, packets: Sequence[bytes]) -> None:
        for data in packets:
            if len(self._packets) >= _PACKETS_KEPT:
                del self._packets[next(iter(self._packets))]
            self._packets[packet_id(data)] = data

    def _hidden(self, keys: tuple[bytes, bytes], fold: AgreementFold) -> bool:
        """Say whether the key log has a revocation that the agreement's log does not have."""
        directory = self._mirror.directory
        return any(directory.revocation(key) is not None and key not in fold.revoked for key in keys)

    def _views(self, segment: Segment) -> dict[int, Seen]:
        """Compare the views of both logs that each core signs with ours; the worse of both, by slot."""
        views: dict[int, Seen] = {}
        before: tuple[LogSeen, LogSeen] | None = None
        worst = Seen.CONSISTENT
        for slot, item in segment.whole:
            seen = (item.core.agreement_log_seen, item.core.key_log_seen)
            # Reports of one run were sealed under the same views.
            if seen != before:
                before = seen
                both = (self._compare(segment.agreement_id, seen[0]), self._compare(None, seen[1]))
                worst = next((one for one in (Seen.FORK, Seen.AHEAD) if one in both), Seen.CONSISTENT)
            views[slot] = worst
        return views

    def _compare(self, agreement_id: str | None, seen: LogSeen) -> Seen:
        if self._version != self._mirror.version:
            self._seen.clear()
            self._version = self._mirror.version
        found = self._seen.get((agreement_id, seen))
        if found is None:
            found = self._seen[agreement_id, seen] = self._mirror.compare(agreement_id, seen)
        return found

    def _verdict(self, keys: tuple[bytes, bytes], fold: AgreementFold, frame: exchange_pb2.Delivery) -> Verdict:
        worst = Verdict.VALID
        for key in keys:
            revoked = fold.revoked.get(key)
            if revoked is None:
                # Revoked, but not in the agreement's log: whoever hides the entry gains nothing.
                one = Verdict.VALID if self._mirror.directory.revocation(key) is None else Verdict.INVALID
            else:
                one = verdict(frame.log_index, revoked.log_index, frame.admitted_at, revoked.compromised_at)
            if one is not Verdict.VALID and worst is not Verdict.INVALID:
                worst = one
        return worst

    def _occasion_of_admission(
        self, fold: AgreementFold, segment: Segment, frame: exchange_pb2.Delivery, log_size: int
    ) -> _Occasion:
        state = fold.state_before(frame.log_index, frame.admitted_at)
        suite = segment.whole[0][1].core.profile.suite if segment.whole else 0
        node = self._node_facts(suite, frame.admitted_at, log_size)
        # The broker decided by its own key log, so its view was of that moment.
        return _Occasion(fold.compiled(state), node, frame.admitted_at, 0)

    def _node_facts(self, suite: int, now: int, log_size: int | None) -> NodeFacts | None:
        directory = self._mirror.directory
        record = directory.node(self._identity.party, self._identity.name, log_size)
        return None if record is None else directory.node_facts(record, now, suite, log_size)

    # --- a slot -----------------------------------------------------------------------------------------------------

    def open_slot(self, opened: OpenSegment, slot: int) -> OpenSlot | Refusal:
        """Judge and open one slot by rules 2 to 5."""
        item = opened.segment.items[slot]
        if not isinstance(item, WholeItem):
            return Refusal(AckOutcome.INCOMPLETE, "it was handed over without its content")
        if opened.key_verdict is not Verdict.VALID:
            return Refusal(AckOutcome.REFUSED, f"the originator's key: {opened.key_verdict.value}")
        if slot in opened.forked:
            return Refusal(AckOutcome.REFUSED, opened.forked[slot], fork=True)
        result = self._opener.open_slot(opened.verified, slot, opened.packets, opened.officers)
        if isinstance(result, NotOpened):
            return Refusal(result.outcome, result.reason.value)
        return self._permitted(opened, result)

    def _permitted(self, opened: OpenSegment, report: OpenedReport) -> OpenSlot | Refusal:
        profile, times = report.core.profile, report.core.times
        if any(isinstance(portion, UploadedPortion) for portion in report.portions):
            return Refusal(AckOutcome.INCOMPLETE, "a ciphertext was uploaded, and this release fetches none")
        occasions = self._occasions(opened, report)
        shown: list[tuple[int, Portion]] = []
        denied: list[str] = []
        for portion in report.portions:
            if not isinstance(portion, OpenedPortion):
                continue
            clauses = _denials(occasions, report, portion.index)
            if clauses:
                denied += clauses
            else:
                marking = profile.portions[portion.index]
                shown.append((portion.index, Portion.from_header(portion.header, portion.content, marking)))
        if not shown:
            return Refusal(AckOutcome.REFUSED, f"not permitted: {', '.join(dict.fromkeys(denied)) or 'no portion'}")
        received = ReceivedReport(
            report_id=UUID(bytes=report.core.report_id),
            leaf=report.leaf,
            profile=profile,
            times=times,
            opened=tuple(shown),
            levels=opened.fold.document.levels_of(profile.originator.party),
            viewer=self._identity.party,
        )
        return OpenSlot(received, report.core.report_id, report.core.expires_at, report.approved_by)

    def _occasions(self, opened: OpenSegment, report: OpenedReport) -> tuple[_Deciding, ...]:
        """Give what the two decisions of a report are taken from: as of its admission, and as of now."""
        profile = report.core.profile
        roles = _NODE_ALONE
        if report.approvals:
            roles |= {approval.role for approval in report.approvals}
        question = (roles, self._purpose or profile.purpose, self._now_ms(), self._mirror.version)
        kept = opened.decided_by
        if kept is not None and kept[0] == question:
            return kept[1]
        occasions = (opened.admission, self._occasion_of_now(opened, profile, question[2]))
        decided_by = tuple((one.compiled, one.node, self._moment(opened, one, roles, question[1])) for one in occasions)
        opened.decided_by = (question, decided_by)
        return decided_by

    def _occasion_of_now(self, opened: OpenSegment, profile: Profile, now: int) -> _Occasion:
        compiled = opened.fold.compiled(opened.fold.state(now))
        node, then = self._node_facts(profile.suite, now, None), opened.admission.node
        if node is not None and then is not None:
            # It was sealed to the key of then: a rotation since says nothing about how old that one was.
            node = replace(node, oldest_key_since=then.oldest_key_since)
        return _Occasion(compiled, node, now, self._mirror.key_log_age_ms)

    def _moment(self, opened: OpenSegment, occasion: _Occasion, roles: frozenset[Role], purpose: str) -> Moment:
        return Moment(
            point=Point.OPENING,
            now=occasion.now,
            broker=self._mirror.broker.name,
            broker_region=None,
            key_log_age=occasion.key_log_age,
            sender_roles=roles,
            admitted_at=opened.admitted_at,
            opening_purpose=purpose,
            # The segment's checks hold its originator to be who published it.
            direct=True,
            sender_key_since=opened.sender_key_since,
        )


def _denials(occasions: Sequence[_Deciding], report: OpenedReport, index: int) -> list[str]:
    """Give the clauses that refuse a portion, at its admission or now; none where both permit it."""
    refused: list[str] = []
    for compiled, node, moment in occasions:
        if node is None:
            refused.append("this node was not enrolled then")
        else:
            decision = compiled.decide(report.core.profile, report.core.times, index, node, moment)
            refused += [violation.clause_id for violation in decision.violations]
    return refused
