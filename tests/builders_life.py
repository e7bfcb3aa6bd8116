"""Agreements taken through their whole life at a real broker, and reports published under them as a node's machine would.

    async with living(tmp_path) as world:                # two nations, or three: living(tmp_path, "XAR", "XBO", "XDE")
        treaty = await world.in_force(world.text())
        await treaty.caveat("XAR", caveat_text(...))
        answer = await world.publish("XAR", treaty)      # a SegmentReceipt

Officers act over connections of their own; a node seals and signs its report itself and publishes it raw, so that a test says which
text it names and to whom it goes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from builders_audit_files import put, write_entries
from builders_broker import World, brokered
from builders_envelope import NodeKeys, core, portion, profile
from builders_identity import DAY, Held, Nation, nation
from builders_three import ThreeNations
from comity.envelope.core import LogSeen
from comity.envelope.evidence import encode_batch_signature, sign_batch
from comity.envelope.record_list import decode_record_list
from comity.envelope.seal import SealInput
from comity.identity.bodies import Attestation, key_set_of
from comity.identity.cardfile import encode_card_file
from comity.identity.names import log_name
from comity.node.enrolment import statement_message
from comity.node.refusals import error_of
from comity.statement import Statement, sign_statement
from comity.suites import KemSecret, SigningSecret
from comity.texts import agreement_digest, caveat_digest
from comity.v1 import agreement_pb2, exchange_pb2
from comity.verify.notes import policy_without_witnesses
from comity.verify.trees import EMPTY_ROOT
from comity_broker.server import RunningBroker
from comity_broker.settings import Settings
from comity_broker.standing import Standing
from comity_broker.storage.protocol import KEYS
from comity_policy.facts import Action, Addressee, PortionMarking, Role
from comity_policy.marking import Label
from comity_policy.steps import ABOUT_LOGS, Step, StepKind

OFFICERS = {
    Role.LIAISON: "liaison1",
    Role.LEGAL_REVIEWER: "legal1",
    Role.PLENIPOTENTIARY: "plenipotentiary1",
    Role.SECURITY_AUTHORITY: "security1",
}
SALT = bytes(range(32))
PARTNER_TEXT = "A national limitation applies."


def role_of(kind: StepKind) -> Role:
    """Give the role that takes a step in these tests."""
    if kind in {StepKind.CAVEAT_ADD, StepKind.CAVEAT_WITHDRAW, StepKind.NOTES}:
        return Role.SECURITY_AUTHORITY
    return next(role for role in OFFICERS if role in kind.roles)


def caveat_text(
    agreement: Living,
    *,
    party: str = "XAR",
    name: str = "C1",
    clauses: str = "",
    partner_text: str = PARTNER_TEXT,
    **more: str,
) -> bytes:
    """Give the text of a caveat that excludes cyber, or says what `clauses` say."""
    clauses = clauses or '[[clause]]\nid = "1"\nkind = "exclude"\ncategories = ["cyber"]\ntext.en = "CANARY-7731"\n'
    heading = {
        "party": party,
        "id": name,
        "agreement": agreement.id,
        "digest": f"sha384:{agreement.digest.hex()}",
        **more,
    }
    lines = "".join(f'{key} = "{value}"\n' for key, value in heading.items())
    return f'[caveat]\n{lines}partner_text = "{partner_text}"\nincoming = true\n\n{clauses}'.encode()


def amended(text: bytes, *, of: bytes | None = None, applies_to: str = "new", version: int = 2) -> bytes:
    """Give a text as the version that follows `of`, itself if that is left out."""
    before = agreement_digest(of or text).hex()
    amends = f'[amends]\nversion = {version - 1}\ndigest = "sha384:{before}"\napplies_to = "{applies_to}"\n\n'
    text = text.replace(b"version = %d" % (version - 1), b"version = %d" % version, 1)
    if b"[amends]" in text:
        start, _, rest = text.partition(b"[amends]")
        text = start + rest.partition(b"\n\n")[2]
    return text.replace(b"[entry_into_force]", amends.encode() + b"[entry_into_force]", 1)


@dataclass
class Living:
    """One agreement: the text that its next step is about, and how far the chains have come."""

    world: LivingWorld
    id: str
    text: bytes
    head: str = ""
    heads: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> bytes:
        return agreement_digest(self.text)

    @property
    def standing(self) -> Standing:
        return self.world.base.broker.ledger.require(self.id)

    def state(self):
        return self.standing.state(self.world.base.clock.now_ms())

    def statement(self, kind: StepKind, party: str, **changes: Any) -> Statement:
        """Give a signed step that follows what has been taken, with what is changed."""
        role = changes.pop("role", role_of(kind))
        who = self.world.officers[party, OFFICERS[role]]
        follows = self.head if kind.multilateral else self.heads.get(party, "")
        given = {
            "agreement_id": self.id,
            "agreement_digest": self.digest.hex(),
            "party": party,
            "officer": who.name,
            "role": role,
            "follows": "" if kind in ABOUT_LOGS else follows,
        }
        return sign_statement(Step(kind=kind, **{**given, **changes}).to_body(), who.signer)

    async def submit(
        self, statement: Statement, *, by: Held | None = None, text: bytes = b"", salt: bytes = b""
    ) -> int:
        """Bring a signed step as its officer (or another); give its log index."""
        party, _, name = str(statement.fields["officer"]).partition("/")
        async with self.world.base.connection(by or self.world.officers[party, name]) as connection:
            message = statement_message(statement)
            if statement.type == StepKind.PROPOSE.value:
                call, request = connection.agreements.Propose, agreement_pb2.ProposeRequest(document=text, step=message)
            else:
                call = connection.agreements.SubmitStep
                request = agreement_pb2.SubmitStepRequest(agreement_id=self.id, step=message, text=text, salt=salt)
            return (await connection.call(call, request)).log_index

    async def take(self, kind: StepKind, party: str, *, text: bytes = b"", salt: bytes = b"", **changes: Any) -> int:
        """Take a step; a text becomes the one that later steps are about. Gives its log index."""
        if text and kind is not StepKind.CAVEAT_ADD:
            changes.setdefault("agreement_digest", agreement_digest(text).hex())
        statement = self.statement(kind, party, **changes)
        log_index = await self.submit(statement, text=text, salt=salt)
        if kind.multilateral:
            self.head = statement.digest.hex()
        elif kind.unilateral:
            self.heads[party] = statement.digest.hex()
        if text and kind is not StepKind.CAVEAT_ADD:
            self.text = text
        return log_index

    async def propose(self) -> None:
        await self.take(StepKind.PROPOSE, "XAR", text=self.text)

    async def agree(self, *parties: str) -> None:
        """Review and sign what is on the table, and the terms of the log where that was not done."""
        chosen = parties or self.world.codes
        for party in chosen:
            await self.take(StepKind.REVIEW, party)
        terms = await self.world.base.broker.agreements.terms(self.id)
        done = self.state().log_signed.get(terms.origin, frozenset())
        for party in chosen:
            await self.take(StepKind.SIGN, party)
            if party not in done:
                await self.take(StepKind.LOG_SIGN, party, log=terms)

    async def amend(self, text: bytes, by: str = "XAR") -> None:
        """Bring the next version into force."""
        await self.take(StepKind.AMEND, by, text=text)
        await self.agree()

    async def caveat(self, party: str, text: bytes, *, name: str = "C1", partner_text: str = PARTNER_TEXT) -> int:
        """Add a caveat."""
        said = {"caveat": name, "caveat_digest": caveat_digest(SALT, text).hex(), "partner_text": partner_text}
        return await self.take(StepKind.CAVEAT_ADD, party, text=text, salt=SALT, **said)


@dataclass
class LivingWorld:
    """A broker, its nations' officers and a node n1 of each, enrolled."""

    base: World
    nations: dict[str, Nation]
    officers: dict[tuple[str, str], Held] = field(default_factory=dict)
    nodes: dict[str, Held] = field(default_factory=dict)
    sequence: int = 0

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(self.nations)

    def text(self, **template: Any) -> bytes:
        """Give a text by the template that grants reports on terrorism and cyber."""
        return self.base.agreement(**{"categories": ("terrorism", "cyber"), **template}).encode()

    def treaty(self, text: bytes, agreement_id: str = "XAR-XBO-1") -> Living:
        return Living(self, agreement_id, text)

    async def in_force(self, text: bytes, agreement_id: str = "XAR-XBO-1") -> Living:
        """Bring a text into force."""
        made = self.treaty(text, agreement_id)
        await made.propose()
        await made.agree()
        return made

    async def enrol(self) -> None:
        for code, one in self.nations.items():
            for role, name in OFFICERS.items():
                self.officers[code, name] = await self.base.enrolled(one.officer(name, [role]))
            attested = Attestation("TOP-SECRET", f"{code}/security1", one.now + 59 * DAY)
            self.nodes[code] = await self.base.enrolled(one.node("n1", region="xar", accreditation=attested))

    async def seen(self, shard: str) -> LogSeen:
        head = await self.base.broker._storage.reader.head(shard)
        if head is None:
            return LogSeen(self.base.broker._storage.incarnation, 0, EMPTY_ROOT)
        return LogSeen(head.incarnation, head.tree_size, head.root)

    def keys(self, code: str) -> NodeKeys:
        held = self.nodes[code]
        key_set = key_set_of(held.statement.body)
        return NodeKeys(code, "n1", held.secret(SigningSecret), held.secret(KemSecret), key_set)

    async def publish(
        self,
        sender: str,
        treaty: Living,
        *,
        to: tuple[str, ...] = (),
        named: bytes | None = None,
        level: str = "SECRET",
        **fields: Any,
    ) -> exchange_pb2.SegmentReceipt:
        """Publish one report on terrorism to other parties' nodes; `named` is the text it names. Gives its receipt."""
        node, now = self.keys(sender), self.base.clock.now_ms()
        to = to or tuple(code for code in self.codes if code != sender)
        self.sequence += 1
        label = Label(policy=sender, classification=level, releasable_to=frozenset({sender, *to}))
        shared = profile(
            node,
            agreement_id=treaty.id,
            agreement_digest=treaty.digest if named is None else agreement_digest(named),
            statements_seen=1,
            addressees=tuple(Addressee(code, Action.ACTION) for code in to),
            portions=(PortionMarking(label),),
            **fields,
        )
        sealed_core = replace(
            core(node, self.sequence, shared),
            created_at=now,
            not_before=now,
            expires_at=now + 3_600_000,
            origin_epoch=self.sequence.to_bytes(16, "big"),
            origin_sequence=1,
            agreement_log_seen=await self.seen(log_name(treaty.id, exercise=shared.exercise)),
            key_log_seen=await self.seen(KEYS),
        )
        recipients = tuple((self.keys(code).recipient, (0,)) for code in to)
        sealed = node.sealer(lambda: now).seal_segment([SealInput(sealed_core, (portion("a report"),), recipients)])
        batch = sign_batch(node.signer, treaty.id, node.key_set, [sealed.segment_id])
        frame = exchange_pb2.PublishBatch(
            batch_signature=encode_batch_signature(batch.signature),
            segment_ids=[sealed.segment_id],
            segments=[sealed.data],
            indices=[0],
            key_packets=sorted(one.data for one in sealed.packets),
        )
        async with self.base.connection(self.nodes[sender]) as connection:
            answer = await connection.call(connection.exchange.PublishOne, exchange_pb2.PublishOneRequest(batch=frame))
        if answer.refusals:
            raise error_of(answer.refusals[0].refusal)
        return answer.receipts[0]


@contextlib.asynccontextmanager
async def living(path: Path, *codes: str, before: LivingWorld | None = None) -> AsyncIterator[LivingWorld]:
    """Start a broker with two or three nations, officers and nodes enrolled; `before` starts it again over its data."""
    if before is not None:
        async with brokered(path, world=before.base) as base:
            yield replace(before, base=base)
        return
    now = time.time_ns() // 1_000_000
    nations = {code: nation(code, now=now) for code in codes or ("XAR", "XBO")}
    settings = Settings(listen="127.0.0.1:0", drain=2.0)
    first, second, *third = nations.values()
    if third:
        made: World = ThreeNations(path, first, second, first.broker(), settings, xde=third[0])
    else:
        made = World(path, first, second, first.broker(), settings)
    async with brokered(path, world=made) as base:
        world = LivingWorld(base, nations)
        await world.enrol()
        yield world


async def write_bundle(world: LivingWorld, folder: Path, *treaties: Living) -> None:
    """Write what an auditor of all parties takes from the broker: both kinds of logs with every body, texts and cards."""
    broker = world.base.broker
    for shard in (KEYS, *(one.id for one in treaties)):
        await write_stored_log(folder, broker, shard)
    for treaty in treaties:
        for number, row in enumerate(await broker._storage.reader.documents(treaty.id)):
            put(folder / f"agreements/{treaty.id}-{number}.toml", row.document)
    for code, one in world.nations.items():
        put(folder / f"parties/{code}.json", encode_card_file(one.card_file))


async def write_stored_log(folder: Path, broker: RunningBroker, shard: str) -> None:
    """Write one log as it is stored."""
    reader, where = broker._storage.reader, folder / "logs" / broker.logs.origin(shard)
    head = await reader.head(shard)
    assert head is not None
    note, size = await broker.logs.checkpoint(shard, head.tree_size)
    put(where / "checkpoint", note)
    put(where / "policy", policy_without_witnesses(broker.logs.vkeys(shard)))
    entries = await reader.entries(shard, 0, size)
    write_entries(where, [one.entry for one in entries])
    parties = ["shared", *world_parties(broker, shard)]
    for body in await reader.bodies(shard, range(size), parties):
        put(where / f"body/{body.log_index}.{body.part}", body.salt + body.body)
        for slot, (salt, record) in enumerate(decode_record_list(body.records)):
            put(where / f"record/{body.log_index}.{body.part}/{slot}", salt + record)


def world_parties(broker: RunningBroker, shard: str) -> tuple[str, ...]:
    standing = broker.ledger.standing(shard)
    return () if standing is None else standing.parties
