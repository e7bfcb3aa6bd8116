"""Admission: whether a segment's reports may enter, slot by slot (design 03 "Admit", design 04 "Idempotency").

In order, for a segment: it parses strictly; what this node published before is known, and nothing below is asked of it; its
key set is the caller's newest; batch signature, equalities and bodies (`comity.envelope.checks`); nothing is pruned; exercise
traffic goes to its agreement's exercise (`exercises`); the agreement is one of the caller's, its log is signed by all and not frozen; key packets
are there; every KEM key belongs to a node of the party it is named for. Any of these refuses the segment whole: nothing of it is
stored and its lane does not move.

Then, for a slot: approvals verify; the views of the logs that the sender signed are parts of ours; every recipient node is
decided; a stanza gives exactly the portions that were decided for its node (`slots`); what it takes back may be (`recalling`). What fails here refuses the slot alone.
Duplicates, replays, the lane and the room in a quota are settled where it is committed (`admitting`), since only there they are
known.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from comity.envelope import checks, tree
from comity.envelope.checks import OfficerKey, SigningNode
from comity.envelope.core import LogSeen
from comity.envelope.evidence import BatchSignature, SlotCode
from comity.envelope.reasons import RejectReason
from comity.envelope.segment import Segment, WholeItem, carried_size
from comity.errors import (
    AccessError,
    ErrorCode,
    KeyFault,
    MalformedError,
    RejectedError,
    StorageError,
    UnreachableError,
    VerificationError,
)
from comity.identity.directory import KeyDirectory
from comity.identity.names import IdentityKind
from comity.identity.records import NodeRecord, RecordedKey
from comity.suites import KeyRole
from comity_broker.access import Caller
from comity_broker.auditlog.submissions import DecidedUnder
from comity_broker.deciding import Approved, Candidate, Circumstances, Decider
from comity_broker.disk import DiskGuard
from comity_broker.frames import PreparedFrame
from comity_broker.ledger import Ledger
from comity_broker.logs import Logs
from comity_broker.naming import uploaded_size
from comity_broker.quotas import UNUSED, QuotaRule, quota_rules
from comity_broker.recalling import Recalling, Taking
from comity_broker.slots import SlotDecider, SlotDecision, SlotRefused, rows_of
from comity_broker.standing import Standing
from comity_broker.storage.protocol import KEYS, LaneKey, Reader, Reads, SegmentRow
from comity_policy.facts import Moment, Profile

_RETRY_SECONDS: Final = 1.0
_LANES_REMEMBERED: Final = 4096
_FROZEN_RETRY_SECONDS: Final = 30.0
_UNCONFIRMED_RETRY_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Admissible:
    """A segment that is sound as a whole, with its decisions, ready to be committed under `epoch`."""

    segment: Segment
    standing: Standing
    agreement_digest: bytes
    epoch: int
    beside: tuple[str, int] | None
    signed_by: SigningNode
    key: RecordedKey
    batch: bytes
    batch_index: int
    batch_path: tuple[bytes, ...]
    packets: Mapping[bytes, bytes]
    candidates: tuple[Candidate, ...]
    slots: tuple[SlotDecision, ...]
    under: DecidedUnder
    deciding: SlotDecider
    takings: Mapping[int, Taking]
    quotas: tuple[QuotaRule, ...]
    received_at: int
    decided_at: int
    key_log_size: int


# Gives an agreement's exercise, begun where it has none.
BeginExercise = Callable[[Standing], Awaitable[Standing]]


class Admission:
    """Decides what may enter; writes nothing."""

    def __init__(
        self,
        *,
        keys: KeyDirectory,
        ledger: Ledger,
        logs: Logs,
        decider: Decider,
        reader: Reader,
        disk: DiskGuard,
        exercises: BeginExercise,
    ) -> None:
        self._keys = keys
        self._ledger = ledger
        self._logs = logs
        self._decider = decider
        self._reader = reader
        self._disk = disk
        self._exercises = exercises
        self._recalling = Recalling(reader, keys)
        self._come_to: OrderedDict[tuple[str, LaneKey], int] = OrderedDict()

    async def stored(self, caller: Caller, segment: Segment) -> SegmentRow | None:
        """Give the row of a parsed segment that this caller published before; None for a new one, or another node's.

        The id is of the bytes, and it commits to leaves, epoch, class and numbers: equal id, equal reports (docs/adr/0007). What begins
        beyond what a lane has come to is new, and is not looked for.
        """
        own = LaneKey(f"{caller.party}/{caller.identity.name}", segment.origin_epoch, segment.transport_class)
        come_to = self._come_to.get((segment.log_name, own))
        if come_to is not None and segment.first_origin_sequence > come_to:
            return None
        known = await self._reader.known(segment.log_name, Reads(segment_ids=[segment.segment_id], lanes=[own]))
        row, lane = known.segments.get(segment.segment_id), known.lanes.get(own)
        self.committed(segment.log_name, own, 0 if lane is None else lane.last_origin_sequence)
        return row if row is not None and lane is not None and row.lane == lane.lane else None

    def committed(self, log_name: str, lane: LaneKey, last_origin_sequence: int) -> None:
        """Take what a lane has come to; to be told of every segment's commit, in their order."""
        key = (log_name, lane)
        self._come_to[key] = max(last_origin_sequence, self._come_to.pop(key, 0))
        while len(self._come_to) > _LANES_REMEMBERED:
            self._come_to.popitem(last=False)

    async def examine(
        self, prepared: PreparedFrame, number: int, segment: Segment, received_at: int, now_ms: int
    ) -> Admissible:
        """Examine `segment`, the parsed segment `number` of a frame; raises the ComityError that refuses it whole."""
        frame, publisher = prepared.frame, prepared.publisher
        signed = prepared.signed_list()
        batch = signed.signature
        record, key = self._sender(publisher.caller, batch, now_ms)
        signed_by = SigningNode(record.party, record.node, batch.key_set, key.suite, key.public)
        index = frame.indices[number]
        for _ in checks.admitting(
            segment,
            batch,
            signed.segment_ids,
            index,
            signed_by,
            caller=(publisher.caller.party, publisher.caller.identity.name),
            memo=publisher.verified,
            root=signed.root,
        ):
            # So that what is urgent passes between; and what was revoked meanwhile counts.
            await asyncio.sleep(0)
        self._sender(publisher.caller, batch, now_ms)
        items = self._whole_items(segment)
        standing = await self._standing(segment, publisher.caller.party, items[0].core.profile, now_ms)
        # Taken before the next wait: what changes from here on gives another epoch, and the commit is refused.
        epoch, beside = standing.epoch, standing.beside
        await self._disk.check(segment.transport_class)
        packets = await self._packets(prepared, standing.agreement_id, items)
        self._check_rows(items, record)
        profile = items[0].core.profile
        compiled = standing.compiled(now_ms)
        candidates = self._decider.candidates(
            segment.agreement_id,
            standing.parties,
            signed_by.party,
            profile.suite,
            now_ms,
            under=standing.agreement_id,
            capable=compiled.sets_floor,
        )
        deciding = SlotDecider(segment.agreement_id, compiled, candidates, self._decider)
        to_parties = tuple(dict.fromkeys(one.party for one in profile.addressees))
        quotas = quota_rules(deciding.compiled.source, signed_by.party, to_parties)
        within = Circumstances(
            standing.agreement_id,
            standing.state(now_ms),
            log_available=not standing.stopped,
            # What the windows hold is known where it is committed; until then a report is decided as if it came first.
            usage=dict.fromkeys((one.clause_id for one in quotas), UNUSED),
        )
        can = self._keys.can(record.party, record.node) if compiled.sets_floor else None
        base = self._decider.moment(now_ms, key, can=can)
        base = self._decider.within(base, within)
        unseen = await self._unseen(standing.agreement_id, items)
        takings, wrong = await self._recalling.look(standing.agreement_id, signed_by.party, items, standing.parties)
        slots: list[SlotDecision] = []
        for slot, item in enumerate(items):
            unsound = unseen[slot] or wrong.get(slot)
            if slots and unsound is None and not (within.usage or within.state.disputes) and slots[-1].speaks_for(item):
                slots.append(SlotDecision(slot, item, slots[-1].moment, slots[-1].decision, None))
            else:
                slots.append(self._slot(deciding, base, within, slot, item, unsound))
        return Admissible(
            segment=segment,
            standing=standing,
            agreement_digest=standing.digest(now_ms),
            epoch=epoch,
            beside=beside,
            signed_by=signed_by,
            key=key,
            batch=frame.batch_signature,
            batch_index=index,
            batch_path=tree.path(signed.rows, index),
            packets=packets,
            candidates=candidates,
            slots=tuple(slots),
            under=standing.decided_under(now_ms),
            deciding=deciding,
            takings=takings,
            quotas=quotas,
            received_at=received_at,
            decided_at=now_ms,
            key_log_size=self._keys.size,
        )

    def took_back(self, standing: Standing, epoch: int) -> None:
        """Take that reports were taken back by a commit that raised the epoch: whoever hands over looks again."""
        standing.epoch = max(standing.epoch, epoch)
        self._ledger.changed(standing.agreement_id)

    # --- the segment as a whole -------------------------------------------------------------------------------------

    def _sender(self, caller: Caller, batch: BatchSignature, now_ms: int) -> tuple[NodeRecord, RecordedKey]:
        record, key = self._keys.signing_node(batch.key_set, batch.suite, now_ms)
        if (record.party, record.node) != (caller.party, caller.identity.name):
            raise AccessError(
                f"{caller.identity} brings a batch of {record.identity}",
                what_to_do="Each node publishes what it sealed itself.",
                code=ErrorCode.ACTING_FOR_ANOTHER,
            )
        return record, key

    def _whole_items(self, segment: Segment) -> list[WholeItem]:
        items = [item for _, item in segment.whole]
        if len(items) != len(segment.items):
            raise MalformedError(
                "a slot came pruned",
                what_to_do="A node publishes every report of a segment with its content.",
                code=ErrorCode.PRUNED,
            )
        return items

    async def _standing(self, segment: Segment, party: str, profile: Profile, now_ms: int) -> Standing:
        """Give what a segment is decided under: its agreement, or that one's exercise, which begins with its first segment."""
        agreement_id = segment.agreement_id
        real = self._ledger.require(agreement_id, party)
        self._check_standing(real, agreement_id, profile, now_ms)
        if not profile.exercise:
            return real
        if any(uploaded_size(item) for _, item in segment.whole):
            raise MalformedError(
                "a report of an exercise comes with an attachment, which this release does not carry",
                what_to_do="Send it without one.",
            )
        standing = await self._exercises(real)
        self._check_standing(standing, agreement_id, profile, now_ms)
        if standing.lags:
            raise UnreachableError(
                f"the log of the exercise of {agreement_id} has yet to follow its agreement",
                code=ErrorCode.STATEMENTS_BEHIND,
                retry_after_seconds=_RETRY_SECONDS,
            )
        return standing

    def _check_standing(self, standing: Standing, agreement_id: str, profile: Profile, now_ms: int) -> None:
        if standing.stopped:
            raise StorageError(
                f"the log of {agreement_id} is frozen: {standing.stopped}",
                what_to_do="Nothing is accepted under it until both parties have compared their mirrors."
                if standing.frozen_reason
                else f"A liaison of each party confirms it: comity agreement confirm-log {agreement_id}",
                code=ErrorCode.LOG_FROZEN,
                retry_after_seconds=_FROZEN_RETRY_SECONDS if standing.frozen_reason else _UNCONFIRMED_RETRY_SECONDS,
            )
        if profile.statements_seen > standing.statements:
            raise UnreachableError(
                f"the sender has seen {profile.statements_seen} statements of {agreement_id}, "
                f"this broker {standing.statements}",
                code=ErrorCode.STATEMENTS_BEHIND,
                retry_after_seconds=_RETRY_SECONDS,
            )
        if not standing.admits(now_ms):
            raise AccessError(
                f"not every party has signed the terms of the log of {agreement_id}",
                what_to_do=f"comity agreement sign {agreement_id}",
                code=ErrorCode.AGREEMENT_NOT_IN_FORCE,
            )

    async def _packets(
        self, prepared: PreparedFrame, agreement_id: str, items: Sequence[WholeItem]
    ) -> dict[bytes, bytes]:
        named = {row.packet_id for row in rows_of(items)}
        came, kept = prepared.packets(), prepared.publisher.packets
        here = {one: came.get(one) or kept[one] for one in named if one in came or one in kept}
        missing = [one for one in named if one not in here]
        if missing:
            known = (await self._reader.known(agreement_id, Reads(packets=missing))).packets
            if any(one not in known for one in missing):
                raise RejectedError(RejectReason.PACKET_MISSING)
        return here

    def _check_rows(self, items: Sequence[WholeItem], sender: NodeRecord) -> None:
        for party, fingerprint in {(row.party, row.fingerprint): None for row in rows_of(items)}:
            owner = self._keys.owner(fingerprint)
            of_party = (
                owner is not None
                and owner.party == party
                and owner.identity is not None
                and owner.identity.kind is IdentityKind.NODE
                and owner.key.role is KeyRole.NODE_KEM
            )
            # Its own stanza is exempt from decisions, so it is for the sender itself and no other node of its party.
            of_sender = party != sender.party or fingerprint in sender.fingerprints
            if not of_party or not of_sender or not self._keys.counts(fingerprint):
                raise KeyFault(
                    f"a stanza is for a key that is not one {party} may be sealed to here",
                    what_to_do="Fetch the key log and seal again.",
                    code=ErrorCode.KEY_UNKNOWN,
                )

    # --- one slot ---------------------------------------------------------------------------------------------------

    async def _unseen(self, agreement_id: str, items: Sequence[WholeItem]) -> list[SlotRefused | None]:
        """Say of each slot whether the views of the logs that it signs are no parts of ours; most slots have the same ones."""
        found: list[SlotRefused | None] = []
        before: tuple[LogSeen, LogSeen] | None = None
        refused: SlotRefused | None = None
        for item in items:
            seen = (item.core.agreement_log_seen, item.core.key_log_seen)
            if seen != before:
                before, refused = seen, None
                try:
                    await self._logs.check_seen(agreement_id, seen[0])
                    await self._logs.check_seen(KEYS, seen[1])
                except VerificationError as error:
                    refused = SlotRefused(SlotCode.LOG_SEEN, error)
            found.append(refused)
        return found

    def _slot(  # noqa: PLR0917 - everything a slot is decided by
        self,
        deciding: SlotDecider,
        base: Moment,
        within: Circumstances,
        slot: int,
        item: WholeItem,
        unsound: SlotRefused | None,
    ) -> SlotDecision:
        if item.approvals:
            try:
                approved = self._approved(deciding.agreement_id, item, base.now)
                base = replace(
                    base,
                    approvals=approved.identities,
                    sender_roles=(base.sender_roles or frozenset()) | approved.roles,
                )
            except RejectedError as error:
                unsound = unsound or SlotRefused(SlotCode.MALFORMED, error)
        size = carried_size(item) + uploaded_size(item) if within.usage else None
        moment = self._decider.admission(base, within, item.core.profile, item.core.report_id, size=size)
        return deciding.decide(slot, item, moment, unsound)

    def _approved(self, agreement_id: str, item: WholeItem, now_ms: int) -> Approved:
        def officer(fingerprint: bytes) -> OfficerKey | None:
            try:
                record = self._keys.officer_by_key(fingerprint, now_ms)
            except KeyFault:
                return None
            held = frozenset(role for role in record.roles if record.holds(role, agreement_id))
            key = next(key for key in record.keys if key.fingerprint == fingerprint)
            return OfficerKey(str(record.identity), record.party, key.suite, key.public, held)

        identities = checks.verified_approvals(item, officer)
        return Approved(identities, frozenset(approval.role for approval in item.approvals))
