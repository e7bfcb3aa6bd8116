"""Builders for audit bundles: the events of an agreement's log and of its key log, one method an event, and the bundle they make.

The logs are built by the broker's own code, so whatever a test changes before `write` is consistently committed to and signed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

from builders_audit_decisions import UNDER, decided
from builders_audit_files import changed, put, write_log
from builders_audit_outcomes import (
    AGREEMENT,
    INCARNATION,
    ORIGIN,
    made_under,
    note_caveat,
    outcome_of,
    receipt_of,
    with_manifests,
)
from builders_envelope import EPOCH, NodeKeys, Stream, core, portion, profile
from builders_identity import NOW, Held, Nation
from comity.envelope.core import LogSeen
from comity.envelope.evidence import Ack, SlotCode, sign_ack, sign_approval, sign_batch
from comity.envelope.exported import encode_exported, export
from comity.envelope.forwarding import with_approvals
from comity.envelope.manifest import Manifest
from comity.envelope.receipts import (
    Receipt,
    SlotRecord,
    encode_receipt,
    encode_signed_receipt,
    encode_slot_record,
    sign_receipts,
)
from comity.envelope.seal import SealInput
from comity.envelope.segment import parse_segment
from comity.identity.cardfile import encode_card_file
from comity.keys.signer import SoftSigner
from comity.pae import pae
from comity.statement import Statement, sign_statement, to_json
from comity.suites import KemSecret, SigningSecret
from comity_broker.auditlog import events
from comity_broker.auditlog.bodies import BROKER, Caller, Event, SegmentSlots
from comity_broker.auditlog.checkpoint import LogKeys
from comity_broker.auditlog.kinds import EventKind
from comity_broker.auditlog.log import Log, RecordTree, record_tree
from comity_broker.auditlog.replays import replayed
from comity_broker.auditlog.submissions import (
    LoggedDecision,
    SegmentAdmission,
    submitted,
)
from comity_policy.facts import Profile, Role, Times
from comity_policy.steps import LogTerms, Step, StepKind

KEYS_ORIGIN = f"hub.xar.example/keys/{INCARNATION}"
SECOND = 1000


@dataclass
class Sent:
    """A segment as it was published, and what the log's event says of it."""

    admission: SegmentAdmission
    leaves: tuple[bytes, ...]
    records: list[SlotRecord]
    envelopes: list[bytes]


@dataclass
class Audit:
    """The events of two logs and what lies beside them. `changed` files are put over what `write` writes; None deletes."""

    xar: Nation
    xbo: Nation
    hub: Held
    officers: dict[str, Held]
    nodes: dict[str, Held]
    text: bytes
    key_events: list[Event] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    records: dict[int, RecordTree] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    receipts: dict[int, Receipt] = field(default_factory=dict)
    envelopes: list[bytes] = field(default_factory=list)
    time: int = NOW
    own_log_keys: LogKeys | None = None
    caveats: dict[tuple[str, str], str] = field(default_factory=dict)
    agreement: ClassVar[str] = AGREEMENT
    origin: ClassVar[str] = ORIGIN

    # --- names ------------------------------------------------------------------------------------------------------

    @property
    def digest(self) -> bytes:
        return hashlib.sha384(pae("agreement", self.text)).digest()

    @property
    def log_keys(self) -> LogKeys:
        return self.own_log_keys or LogKeys(*self.hub.log_keys)

    @property
    def key_log_size(self) -> int:
        return len(self.key_events)

    @property
    def terms(self) -> LogTerms:
        return LogTerms(self.origin, self.log_keys.vkeys(self.origin), 1, "ab" * 32)

    def key_set(self, node: str) -> bytes:
        return hashlib.sha384(pae("key-set", self.nodes[node].statement.body)).digest()

    def node(self, name: str) -> NodeKeys:
        held = self.nodes[name]
        party, short = name.split("/")
        return NodeKeys(party, short, held.secret(SigningSecret), held.secret(KemSecret), self.key_set(name))

    def find(self, kind: str, number: int = 0) -> int:
        """Give the index of an event of that kind."""
        return [index for index, event in enumerate(self.events) if event.kind == kind][number]

    # --- changing ---------------------------------------------------------------------------------------------------

    def change(self, index: int, part: str = "shared", **fields: object) -> None:
        """Put other values into a body of an event; `part` is shared or a party, `both` every party."""
        event = self.events[index]
        if part == "shared":
            self.events[index] = replace(event, shared=changed(event.shared, **fields))
        else:
            own = {
                name: changed(body, **fields) if part in (name, "both") else body for name, body in event.own.items()
            }
            self.events[index] = replace(event, own=own)

    def body(self, index: int, part: str = "shared") -> dict:
        event = self.events[index]
        return json.loads(event.shared if part == "shared" else event.own[part])

    def tick(self) -> int:
        self.time += SECOND
        return self.time

    def caller(self, identity: str, *, officer: bool = False) -> Caller:
        party, name = identity.split("/")
        names = {"officer": name} if officer else {"node": name}
        return Caller(party, certificate=bytes(48), request=bytes(16), **names)

    # --- events -----------------------------------------------------------------------------------------------------

    def enrol(self, statement: Statement, kind: EventKind = EventKind.KEY_ENROLLED) -> None:
        self.key_events.append(events.key_statement(kind, time=self.tick(), caller=BROKER, statement=statement))

    def revoke(self, nation_: Nation, key: bytes, *, compromised_at: int = 0) -> None:
        statement = nation_.revocation(key, issued_at=self.time, compromised_at=compromised_at)
        self.enrol(statement, EventKind.KEY_REVOKED)
        self.events.append(self.revoked(statement))

    def revoked(self, statement: Statement) -> Event:
        """Give KEY_REVOKED of the agreement's log for the newest entry of the key log."""
        return events.key_revoked_in_agreement(
            time=self.tick(), caller=BROKER, state_epoch=9, key_log_index=self.key_log_size - 1, statement=statement
        )

    def statement(self, kind: StepKind, officer: str, role: Role, follows: str = "", **fields: object) -> Statement:
        step = Step(
            kind=kind,
            agreement_id=self.agreement,
            agreement_digest=self.digest.hex(),
            party=officer[:3],
            officer=officer,
            role=role,
            follows=follows,
            **fields,
        )
        return sign_statement(step.to_body(), self.officers[officer].signer)

    def step(self, statement: Statement, kind: StepKind, **brought: object) -> None:
        common = self.common(statement)
        note_caveat(self.caveats, statement.fields)
        if kind is StepKind.LOG_SIGN:
            self.events.append(events.agreement_log_opened(terms=self.terms, statements=[statement], **common))
        else:
            self.events.append(events.step_taken(kind, statement=statement, **common, **brought))

    def common(self, statement: Statement | None = None) -> dict:
        caller = BROKER if statement is None else self.caller(str(statement.fields["officer"]), officer=True)
        return {
            "time": self.tick(),
            "caller": caller,
            "key_log_size": self.key_log_size,
            "state_epoch": 1,
            "agreement_id": self.agreement,
            "agreement_digest": self.digest,
        }

    def resign(self, index: int, fields: dict, signer: SoftSigner) -> None:
        """Put another statement into an event."""
        self.change(index, statement=to_json(sign_statement(fields, signer)))

    def submit(
        self,
        count: int = 2,
        *,
        refused: dict[int, SlotCode] | None = None,
        sender: str = "XAR/n1",
        first: int | None = None,
        approve: Sequence[str] = (),
        records: Callable[[SlotRecord], SlotRecord] = lambda record: record,
        manifest: Callable[[Manifest], Manifest] | None = None,
        given: tuple[int, ...] = (0,),
        **fields: object,
    ) -> Sent:
        """Publish a segment: SUBMIT_ACCEPTED (or _REJECTED), its records, its receipt and its envelopes."""
        node, reader = self.node(sender), self.node("XBO/m1" if sender == "XAR/n1" else "XAR/n1")
        before = sum(one.admission.slots for one in self.sent)
        first = first or before + 1
        shared = profile(node, **{"agreement_digest": self.digest, **fields})
        inputs = [
            SealInput(core(node, number, shared), (portion("first"), portion("second")), ((reader.recipient, given),))
            for number in range(first, first + count)
        ]
        sealed = node.sealer(random_bytes=Stream(b"sealing %d" % first)).seal_segment(inputs)
        segment = parse_segment(sealed.data if manifest is None else with_manifests(sealed.data, manifest))
        batch = sign_batch(node.signer, AGREEMENT, node.key_set, [segment.segment_id])
        approvals = {
            slot: [sign_approval(self.officers[one].signer, item.leaf, Role.LIAISON, NOW) for one in approve]
            for slot, item in segment.whole
        }
        segment = parse_segment(with_approvals(segment.data, approvals))
        refusals = refused or {}
        slot_records = [
            records(
                SlotRecord(
                    slot=slot,
                    outcome=outcome_of(refusals.get(slot)),
                    leaf=item.leaf,
                    report_id=item.core.report_id,
                    code=refusals.get(slot),
                    decision=0,
                )
            )
            for slot, item in segment.whole
        ]
        admission = SegmentAdmission(
            time=self.tick(),
            received_at=self.time,
            key_log_size=self.key_log_size,
            state_epoch=1,
            transport_class=segment.transport_class,
            origin_epoch=EPOCH,
            first_origin_sequence=first,
            segment_id=segment.segment_id,
            slots=count,
            first_agreement_sequence=1 + sum(one.admission.count for one in self.sent),
            records=bytes(48),
            agreement_digest=self.digest,
            under=made_under(UNDER, self.caveats),
            refusals=tuple(sorted(refusals.items())),
        )
        tree = record_tree([encode_slot_record(one) for one in slot_records], Stream(b"records %d" % first))
        admission = replace(admission, records=tree.root)
        envelopes = [
            encode_exported(
                export(segment, slot, batch=batch.signature, index=0, batch_path=batch.paths[0], key_packets=())
            )
            for slot, _ in segment.whole
        ]
        sent = Sent(admission, segment.leaves, slot_records, envelopes)
        decision = self.decision(reader, [item.core.times for _, item in segment.whole], shared)
        index = len(self.events)
        self.events.append(submitted(admission, self.caller(sender), [decision]))
        self.records[index] = tree
        self.receipts[index] = receipt_of(admission, index)
        self.sent.append(sent)
        self.envelopes += envelopes
        return sent

    def decision(self, reader: NodeKeys, times: Sequence[Times], shared: Profile) -> LoggedDecision:
        """Decide as the broker does, by the engine and the text; a replay gives the same."""
        return decided(self.text, self.digest, reader, times, shared, now=self.time)

    def deliver(self, sent: Sent, slots: Sequence[int], *, consumer: str = "default") -> None:
        self.events.append(
            events.delivered(
                time=self.tick(),
                caller=self.caller("XBO/m1"),
                originator="XAR",
                recipient=("XBO", "m1"),
                consumer=consumer,
                session=bytes(16),
                segments=[SegmentSlots(sent.admission.segment_id, slots, 1)],
            )
        )

    def replay(self, sent: Sent, slots: Sequence[int], *, consumer: str = "default") -> None:
        self.events.append(
            replayed(
                time=self.tick(),
                caller=self.caller("XBO/m1"),
                originator="XAR",
                recipient=("XBO", "m1"),
                consumer=consumer,
                since=1,
                from_log_index=0,
                segments=[SegmentSlots(sent.admission.segment_id, slots)],
            )
        )

    def acknowledge(
        self,
        sent: Sent,
        outcomes: Sequence[int],
        *,
        signer: SoftSigner | None = None,
        consumer: str = "default",
    ) -> None:
        node = self.node("XBO/m1")
        ack = Ack(
            suite=1,
            agreement_id=AGREEMENT,
            key_set=node.key_set,
            consumer=consumer,
            time=self.time,
            agreement_log_seen=LogSeen(bytes(16), 1, bytes(32)),
            segments=((sent.admission.segment_id, bytes(outcomes)),),
        )
        self.events.append(
            events.acknowledged(
                time=self.tick(),
                caller=self.caller("XBO/m1"),
                key_log_size=self.key_log_size,
                originator="XAR",
                recipient=("XBO", "m1"),
                consumer=consumer,
                ack=sign_ack(signer or node.signer, ack),
            )
        )

    def abandon(self, sequence: int, *leaves: bytes, signer: SoftSigner | None = None) -> None:
        body = {
            "type": "report-abandoned",
            "agreement": AGREEMENT,
            "party": "XAR",
            "node": "n1",
            "origin_epoch": EPOCH.hex(),
            "class": 4,
            "first_origin_sequence": sequence,
            "leaves": [leaf.hex() for leaf in leaves],
        }
        self.events.append(
            events.abandoned(
                time=self.tick(),
                caller=self.caller("XAR/n1"),
                key_log_size=self.key_log_size,
                transport_class=4,
                origin_epoch=EPOCH,
                first_origin_sequence=sequence,
                count=len(leaves),
                statement=sign_statement(body, signer or self.nodes["XAR/n1"].signer),
            )
        )

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(self, folder: Path) -> SimpleNamespace:
        """Write the bundle; gives the folders of the two logs."""
        keys = self.log_keys
        logs = SimpleNamespace(keys=folder / "logs" / KEYS_ORIGIN, agreement=folder / "logs" / ORIGIN, folder=folder)
        write_log(logs.keys, Log(KEYS_ORIGIN), self.key_events, {}, keys)
        appended = write_log(logs.agreement, Log(ORIGIN, ("XAR", "XBO")), self.events, self.records, keys)
        put(folder / "agreements" / f"{AGREEMENT}.toml", self.text)
        for one in (self.xar, self.xbo):
            put(folder / "parties" / f"{one.party}.json", encode_card_file(one.card_file))
        for index, receipt in self.receipts.items():
            named = replace(receipt, leaf_hash=receipt.leaf_hash or appended.entries[index].leaf_hash)
            signer = self.hub.signer
            (signed,) = sign_receipts(signer, signer.fingerprint, [encode_receipt(named)], Stream(b"receipts"))
            put(folder / "receipts" / str(index), encode_signed_receipt(signed))
        for number, envelope in enumerate(self.envelopes):
            put(folder / "envelopes" / str(number), envelope)
        return logs
