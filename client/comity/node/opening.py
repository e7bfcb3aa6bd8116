"""Opening: a delivered segment becomes reports, or outcomes with precise reasons (design 03, "Open"; design 02, point O).

Rules in order, for a segment:
1. It parses; its key set names a node that had this key when the log admitted it; batch signature and equalities hold. What
   fails here is an alarm and is never acknowledged.
2. The originator's key was not revoked: before or after is decided by the order of entries in the agreement's log. A revocation
   that the key log has and the agreement's log does not have yet is fetched first, and counts.
For a slot:
3. The views of both logs that its core signs are part of ours; a further one is fetched first; anything else is a FORK.
4. It opens (`comity.envelope.open`): approvals, our stanza and packet, every ciphertext of ours.
5. Which portions its opener may have is decided by `permitting`. What is denied is not shown. A report with a portion for which
   only something of the opening is lacking *waits* for another opening and is never acknowledged; of the others one of which
   nothing is left is refused. "Now" is never before the admission that the log says: a clock that is behind makes no report early.
   Neither does one make early what was put off (`not_before`) and is handed over, within the two minutes that clocks may differ by;
   what comes earlier by our clock waits for its time.
6. A report that was kept is opened again by the same rules, from its envelope alone.
7. What is at hand is judged anew when the mirror has changed since, by whichever process: a step that is known stops it.
Nothing here does I/O: what must be fetched first is told by `RefreshNeeded`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from comity.envelope import limits
from comity.envelope.checks import OfficerLookup, SigningNode, VerifiedSegment, receive
from comity.envelope.core import Core
from comity.envelope.evidence import AckOutcome, BatchSignature, VerifiedBatches, decode_batch_signature
from comity.envelope.exported import Exported, verify_exported
from comity.envelope.open import NotOpened, OpenedPortion, OpenedReport, Opener, UploadedPortion, index_packets
from comity.envelope.packets import packet_id
from comity.envelope.profile import ProfileMemo
from comity.envelope.segment import Parsing, Segment, WholeItem, parse_segment
from comity.errors import KeyFault, MalformedError, NotFoundError
from comity.identity.names import Identity
from comity.identity.records import NodeRecord, RecordedKey
from comity.identity.verdicts import Verdict
from comity.node.acts import declared_at
from comity.node.agreements import AgreementFold
from comity.node.clock import NowMs, steady
from comity.node.deciding import Deciding
from comity.node.directory import officer_lookup
from comity.node.fetching import Attach, Fetchable, unfetched
from comity.node.logs import RefreshNeeded, Seen
from comity.node.mirror import Mirror
from comity.node.opened import OpenSegment, OpenSlot, Placed, Question, Refusal, Time
from comity.node.permitting import Occasion, Opened, Permitted, permitted
from comity.node.reader import ProvedReader
from comity.node.revoked_since import is_hidden, verdict_of
from comity.node.signed_terms import words_of
from comity.node.views import Views, judged_at
from comity.portion import Portion
from comity.report import ReceivedReport
from comity.v1 import exchange_pb2
from comity_policy.facts import Profile, Role, Times, Use
from comity_policy.lowering import CREATED_AT_AHEAD
from comity_policy.readers import UseCaveat, is_registered, use_caveats

_PACKETS_KEPT: Final = 16_384
_PEERS_KEPT: Final = 64
_NODE_ALONE: Final = frozenset({Role.NODE})
NOTHING: Final = Opened()


class Opening:
    """Opens for one consumer of one node. Not for several threads at once."""

    def __init__(
        self,
        mirror: Mirror,
        identity: Identity,
        opener: Opener,
        *,
        purposes: tuple[str, ...] = (),
        use: Use = Use.READ,
        reader: ProvedReader | None = None,
        now_ms: NowMs,
        attach: Attach = unfetched,
    ) -> None:
        self._attach = attach
        self._mirror = mirror
        self._identity = identity
        self._opener = opener
        self._purposes = purposes
        self._use = use
        self._reader = reader
        self._now_ms = steady(now_ms)
        self._profiles: dict[bytes, ProfileMemo] = {}
        self._batches = VerifiedBatches()
        self._packets: dict[bytes, bytes] = {}
        self._views = Views(mirror)
        self._deciding = Deciding(mirror, identity)

    # --- a segment --------------------------------------------------------------------------------------------------

    def parsing(self, frame: exchange_pb2.Delivery) -> Parsing:
        """Begin to parse a delivered segment; raises MalformedError."""
        return Parsing(frame.segment, self._profile_memo(decode_batch_signature(frame.batch_signature).key_set))

    def open_segment(
        self, frame: exchange_pb2.Delivery, *, refreshed: bool, segment: Segment | None = None
    ) -> OpenSegment:
        """Judge a delivered segment, parsed where it is given, by rules 1 to 3; raises RefreshNeeded, but not once `refreshed`.

        Raises MalformedError, RejectedError, KeyFault or NotFoundError for one that is an alarm.
        """
        if max(frame.log_index, frame.admitted_at) >= limits.INTEGER:
            raise MalformedError("a delivery names an entry or a time that no log has")
        self.remember_packets(frame.key_packets)
        batch = decode_batch_signature(frame.batch_signature)
        segment = segment or parse_segment(frame.segment, self._profile_memo(batch.key_set))
        fold = self._fold(segment.agreement_id, refreshed=refreshed)
        place = Placed(frame.log_index, frame.admitted_at)
        if not refreshed and self._mirror.decided_before(segment.log_name, place.log_index) is None:
            raise RefreshNeeded
        try:
            record, key = self._signer(batch, place)
        except KeyFault as error:
            if not refreshed:
                raise RefreshNeeded from error
            raise
        signed_by = SigningNode(record.party, record.node, batch.key_set, key.suite, key.public)
        verified = receive(segment, batch, frame.batch_index, frame.batch_path, signed_by, memo=self._batches)
        views = self._views.of(segment)
        if not refreshed and (
            Seen.AHEAD in views.values() or is_hidden(self._mirror.directory, (key.fingerprint, record.signed_by), fold)
        ):
            raise RefreshNeeded
        history = "its originator was shown another history of a log"
        forked = {slot: history for slot, seen in views.items() if seen is not Seen.CONSISTENT}
        where = batch, frame.batch_index, tuple(frame.batch_path)
        return self._open(verified, fold, place, (record, key), self._packets, forked, where)

    def reopen_envelope(self, exported: Exported, place: Placed) -> OpenSegment:
        """Judge an envelope that was kept, alone in a segment of its own; its views were compared when it came.

        Raises RejectedError, KeyFault or NotFoundError for one that does not verify any more.
        """
        fold = self._mirror.fold(exported.batch.agreement_id)
        record, key = self._signer(exported.batch, place)
        signed_by = SigningNode(record.party, record.node, exported.batch.key_set, key.suite, key.public)
        verified = verify_exported(exported, signed_by, memo=self._batches)
        where = exported.batch, exported.index, exported.batch_path
        return self._open(verified, fold, place, (record, key), index_packets(exported.key_packets), {}, where)

    def _signer(self, batch: BatchSignature, place: Placed) -> tuple[NodeRecord, RecordedKey]:
        log_size = self._mirror.key_log_size_at(place.admitted_at)
        return self._mirror.directory.signing_node(batch.key_set, batch.suite, place.admitted_at, log_size)

    def _officers(self, agreement_id: str, place: Placed) -> OfficerLookup:
        """Give the officers as the key log had them when it was admitted: what one lost since takes back no approval."""
        log_size = self._mirror.key_log_size_at(place.admitted_at)
        return officer_lookup(self._mirror.directory, agreement_id, place.admitted_at, log_size)

    def _open(  # noqa: PLR0917 - everything a segment's slots are judged by
        self,
        verified: VerifiedSegment,
        fold: AgreementFold,
        place: Placed,
        signer: tuple[NodeRecord, RecordedKey],
        packets: Mapping[bytes, bytes],
        forked: Mapping[int, str],
        where: tuple[BatchSignature, int, tuple[bytes, ...]],
    ) -> OpenSegment:
        judged = judged_at(self._mirror, verified.segment, place)
        (record, key), admission = signer, self._deciding.then(fold, verified.segment, judged)
        return OpenSegment(
            verified=verified,
            fold=fold,
            packets=packets,
            officers=self._officers(fold.agreement_id, place),
            log_index=place.log_index,
            admitted_at=place.admitted_at,
            key_verdict=verdict_of(self._mirror.directory, (key.fingerprint, record.signed_by), fold, judged),
            admission=admission,
            sender_key_since=key.since,
            sender_can=self._mirror.directory.can(
                record.party, record.node, self._mirror.key_log_size_at(place.admitted_at)
            ),
            forked=forked,
            batch=where[0],
            batch_index=where[1],
            batch_path=where[2],
            registered=is_registered(admission.compiled.source),
            levels=admission.compiled.source.document.levels_of(record.party),
            version=self._mirror.version,
        )

    def _renew(self, opened: OpenSegment) -> None:
        """Judge a segment at hand by rule 7; raises whatever stops its agreement now."""
        if opened.version != self._mirror.version:
            fold, place = self._mirror.fold(opened.fold.agreement_id), Placed(opened.log_index, opened.admitted_at)
            where = opened.batch, opened.batch_index, opened.batch_path
            signer = self._signer(opened.batch, place)
            opened.renew(self._open(opened.verified, fold, place, signer, opened.packets, opened.forked, where))

    def _fold(self, agreement_id: str, *, refreshed: bool) -> AgreementFold:
        if not refreshed and self._mirror.is_apart(agreement_id):
            raise RefreshNeeded
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

    def remember_packets(self, packets: Sequence[bytes]) -> None:
        """Keep key packets, as soon as they come: each comes once a stream, and what is urgent overtakes what it came with."""
        for data in packets:
            if len(self._packets) >= _PACKETS_KEPT:
                del self._packets[next(iter(self._packets))]
            self._packets[packet_id(data)] = data

    # --- a slot -----------------------------------------------------------------------------------------------------

    def is_registered(self, opened: OpenSegment, item: WholeItem) -> bool:
        """Say whether who opens a report is written down: an addressee or a clause asks, of its admission or of now."""
        self._renew(opened)
        if opened.registered:
            return True
        profile, now = item.core.profile, self._now(opened)
        asked = (profile, now, self._mirror.version)
        if opened.entered is None or opened.entered[0] != asked:
            named = any(one.officer for one in profile.addressees)
            opened.entered = (asked, named or self._deciding.now(opened.fold, profile, now).registered)
        return opened.entered[1]

    def open_slot(self, opened: OpenSegment, slot: int, given: Opened = NOTHING) -> OpenSlot | Refusal:
        """Judge and open one slot by rules 2 to 5; `given` is what is known of this opening beside its reader and purpose."""
        self._renew(opened)
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
        return self._permitted(opened, result, given)

    def _permitted(self, opened: OpenSegment, report: OpenedReport, given: Opened) -> OpenSlot | Refusal:
        profile, now = report.core.profile, self._now(opened)
        early_ms = report.core.not_before - now
        if early_ms > CREATED_AT_AHEAD:
            return Refusal(AckOutcome.REFUSED, "its time has not come", early_seconds=early_ms / 1000)
        ours = [one for one in report.portions if isinstance(one, OpenedPortion)]
        beside = [one for one in report.portions if isinstance(one, UploadedPortion)]
        indices = [one.index for one in ours]
        if beside:
            indices = sorted([*indices, *(one.index for one in beside)])
        times, decided = self._decided(opened, report, given, tuple(indices), now)
        if not decided.portions and not decided.waiting:
            reason = f"not permitted: {', '.join(decided.reasons) or 'no portion'}"
            return Refusal(AckOutcome.REFUSED, reason, clauses=decided.refused)
        shown = tuple(
            [
                (one.index, Portion.from_header(one.header, one.content, profile.portions[one.index]))
                for one in ours
                if one.index in decided.portions
            ]
        )
        attached = tuple([self._attach(Fetchable.of(report, one)) for one in beside if one.index in decided.portions])
        received = ReceivedReport(
            report_id=UUID(bytes=report.core.report_id),
            leaf=report.leaf,
            profile=profile,
            times=times,
            opened=shown,
            levels=opened.levels,
            viewer=self._identity.party,
            waiting=tuple(decided.waiting),
            refused=decided.refused,
            refers_to=words_of(report.core.refers_to),
            attachments=attached,
        )
        return OpenSlot(
            report=received if shown or attached else None,
            report_id=report.core.report_id,
            leaf=report.leaf,
            expires_at=report.core.expires_at,
            approved_by=report.approved_by,
            refused=decided.refused,
            waits=decided.waiting,
            caveats=decided.caveats,
        )

    def _decided(
        self, opened: OpenSegment, report: OpenedReport, given: Opened, indices: tuple[int, ...], now: int
    ) -> tuple[Times, Permitted]:
        """Decide as of its admission, and as of now under all that governs it; once for reports that ask the same."""
        core, now = report.core, max(now, report.core.not_before)
        roles = _NODE_ALONE
        if report.approvals:
            roles |= {approval.role for approval in report.approvals}
        lasts = core.created_at, core.not_before, core.expires_at
        question = Question(core.profile, lasts, indices, roles, given, now, self._mirror.version)
        kept = opened.decided
        if kept is not None and kept[0] == question:
            return kept[1]
        profile, times = core.profile, core.times
        reader = None if self._reader is None else self._reader.facts(opened.fold.agreement_id, now)
        brings = replace(given, purposes=self._purposes, use=self._use, reader=reader)
        occasions = tuple(self._occasion(opened, one, roles, brings, core) for one in self._times(opened, profile, now))
        decided = times, permitted(occasions, profile, times, indices)
        opened.decided = (question, decided)
        return decided

    def _occasion(
        self, opened: OpenSegment, time: Time, roles: frozenset[Role], brings: Opened, core: Core
    ) -> Occasion:
        profile, caveats = core.profile, tuple[UseCaveat, ...]()
        if brings.acknowledged and time.node is not None:
            caveats = use_caveats(time.compiled.source, profile, time.node, frozenset())
        moment = brings.onto(opened.moment(self._mirror.broker.name, time, roles), profile.purpose, caveats)
        if time is not opened.admission:
            moment = replace(moment, held=brings.held)
        elif moment.now < core.created_at:
            # Its sender's clock was ahead of the broker's, by no more than admission lets it be.
            moment = replace(moment, now=core.created_at)
        if self._declared(opened, profile):
            moment = replace(moment, emergency_declared=True)
        later = time is not opened.admission and time.compiled.source.digest != profile.agreement_digest
        return Occasion(time.compiled, time.node, moment, later, time is opened.admission)

    def _now(self, opened: OpenSegment) -> int:
        return max(self._now_ms(), opened.admitted_at)

    def _declared(self, opened: OpenSegment, profile: Profile) -> bool:
        """Say whether it went under a declaration that the own mirror has, and that was valid when it was admitted."""
        party, at_ms = profile.originator.party, opened.admitted_at
        return bool(profile.emergency) and declared_at(
            self._mirror, profile.agreement_id, profile.emergency, party, at_ms
        )

    def _times(self, opened: OpenSegment, profile: Profile, now: int) -> tuple[Time, ...]:
        present, then = self._deciding.now(opened.fold, profile, now), opened.admission.node
        node = present.node
        if node is not None and then is not None and node.oldest_key_since != then.oldest_key_since:
            # It was sealed to the key of then: a rotation since says nothing about how old that one was.
            node = replace(node, oldest_key_since=then.oldest_key_since)
        # What names a version that never governed is refused as of its admission already.
        age = self._mirror.key_log_age_ms
        return (opened.admission, *(Time(compiled, node, now, age) for compiled in present.compiled))
