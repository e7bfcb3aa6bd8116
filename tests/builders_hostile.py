"""A broker of a test's making: real gRPC with mTLS, real signed logs, and a place to lie at.

source = Source(fresh_audit())
async with hostile(source) as broker:
    async with broker.connection() as connection: await mirror.refresh(connection)
    broker.lie = lambda method, reply: ...          # changes what is answered
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import pytest
from google.rpc import status_pb2
from grpc_status import rpc_status

from builders_audit_log import AGREEMENT, KEYS_ORIGIN, ORIGIN, Audit
from builders_envelope import Stream
from builders_identity import Held, Nation, nation
from comity.envelope.record_list import encode_record_list
from comity.errors import ComityError, VerificationError
from comity.node.connection import Connection
from comity.node.mirror import Mirror
from comity.v1 import agreement_pb2, agreement_pb2_grpc, audit_pb2, audit_pb2_grpc
from comity.verify.notes import Checkpoint
from comity.verify.trees import Frontier, consistency_proof, subtrees_of
from comity_broker.auditlog.bodies import Event
from comity_broker.auditlog.checkpoint import LogKeys
from comity_broker.auditlog.log import Entry, Log, RecordTree
from comity_broker.services.refusals import refusal_of

__all__ = ["AGREEMENT", "Hostile", "Served", "hostile", "mirror_of", "mirrored", "refused"]


@dataclass
class Served:
    """One log as it is served: entries with all parts, and notes of any size."""

    origin: str
    entries: tuple[Entry, ...]
    records: dict[int, RecordTree]
    keys: LogKeys
    notes: dict[object, bytes] = field(default_factory=dict)
    first: int = 0
    before: Served | None = None

    @classmethod
    def of(  # noqa: PLR0917 - everything a log is served from
        cls,
        origin: str,
        events: Sequence[Event],
        keys: LogKeys,
        records: dict[int, RecordTree] | None = None,
        parties: Sequence[str] = (),
        before: Served | None = None,
    ) -> Served:
        """Serve events; `before` is the log that a restored broker continues."""
        log, first = Log(origin, parties), 0 if before is None else before.end
        entries = log.append(Frontier(), events, Stream(origin.encode()), first).entries
        return cls(origin, entries, records or {}, keys, first=first, before=before)

    @property
    def end(self) -> int:
        return self.first + len(self.entries)

    @property
    def leaves(self) -> list[bytes]:
        return [entry.leaf_hash for entry in self.entries]

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        size = len(self.entries) if size is None else size
        return Checkpoint(self.origin, size, Frontier().append(self.leaves[:size])[0].root)

    def note(self, size: int | None = None) -> bytes:
        """Give the signed note of a size; the same bytes each time."""
        size = len(self.entries) if size is None else size
        if (size, self.keys) not in self.notes:
            self.notes[size, self.keys] = self.keys.sign(self.checkpoint(size))
        return self.notes[size, self.keys]

    def cut(self, size: int) -> Served:
        """Give the log as it was with so many entries."""
        return replace(self, entries=self.entries[:size])

    def entry(self, index: int, parts: Sequence[str]) -> audit_pb2.LogEntry:
        if self.before is not None and index < self.first:
            return self.before.entry(index, parts)
        entry = self.entries[index - self.first]
        message = audit_pb2.LogEntry(log_index=index, entry=entry.data)
        for name in parts:
            part = message.parts.add(part=name, salt=entry.parts[name].salt, body=entry.parts[name].body)
            tree = self.records.get(index)
            if tree is not None and name == "shared":
                part.records = encode_record_list(zip(tree.salts, tree.records, strict=True))
        return message


@dataclass
class Hostile:
    """The broker. `keys` and `log` may be put in other logs' place; `lie(method, reply)` gives what is answered instead."""

    audit: Audit
    transport: Nation
    hub: Held
    client: Held
    keys: Served = field(init=False)
    log: Served = field(init=False)
    lie: Callable[[str, object], object] = lambda method, reply: reply
    address: str = ""
    reader: str = "XAR"
    presented: list[bytes] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    texts: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.publish()

    def publish(self) -> None:
        """Serve what the audit's events are now."""
        audit = self.audit
        self.keys = Served.of(KEYS_ORIGIN, audit.key_events, audit.log_keys)
        self.log = Served.of(ORIGIN, audit.events, audit.log_keys, audit.records, ("XAR", "XBO"))

    def connection(self) -> Connection:
        return Connection.open(
            self.address,
            broker_tls_name=self.transport.broker_tls_name(),
            roots_pem=self.transport.authority_pem,
            key_pem=self.client.tls.pem(),
            certificate_pem=self.client.certificate_pem,
        )

    def served(self, selector: audit_pb2.LogSelector) -> tuple[Served, tuple[str, ...]]:
        return (self.log, ("shared", self.reader)) if selector.agreement_id else (self.keys, ("shared",))

    async def answer(self, method: str, reply: object, context: grpc.aio.ServicerContext) -> object:
        self.calls.append(method)
        try:
            return self.lie(method, reply)
        except ComityError as error:
            status = status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message=error.message)
            status.details.add().Pack(refusal_of(error))
            await context.abort_with_status(rpc_status.to_status(status))


class _Audit(audit_pb2_grpc.AuditServiceServicer):
    def __init__(self, broker: Hostile) -> None:
        self.broker = broker

    async def GetCheckpoint(self, request, context):
        served, _ = self.broker.served(request.log)
        size = len(served.entries)
        same = request.incarnation.hex() in {"", served.origin.rpartition("/")[2]}
        known = min(request.known_size, size) if same else 0
        proof = consistency_proof(known, size, subtrees_of(served.leaves))
        reply = audit_pb2.GetCheckpointResponse(
            checkpoint=served.note(), consistency=proof, first_log_index=served.first
        )
        return await self.broker.answer("GetCheckpoint", reply, context)

    async def GetEntries(self, request, context):
        served, parts = self.broker.served(request.log)
        run = range(request.first, min(served.end, request.first + request.limit))
        reply = audit_pb2.GetEntriesResponse(entries=[served.entry(index, parts) for index in run], log_size=served.end)
        return await self.broker.answer("GetEntries", reply, context)

    async def PresentCheckpoint(self, request, context):
        self.broker.presented.append(request.checkpoint)
        served, _ = self.broker.served(request.log)
        reply = audit_pb2.PresentCheckpointResponse(checkpoint=served.note())
        return await self.broker.answer("PresentCheckpoint", reply, context)

    async def _not_here(self, request, context):
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

    GetInclusionProof = GetTile = GetEvidence = _not_here


class _Agreements(agreement_pb2_grpc.AgreementServiceServicer):
    def __init__(self, broker: Hostile) -> None:
        self.broker = broker

    async def ListAgreements(self, request, context):
        listed = [agreement_pb2.AgreementSummary(agreement_id=AGREEMENT)]
        reply = agreement_pb2.ListAgreementsResponse(agreements=listed)
        return await self.broker.answer("ListAgreements", reply, context)

    async def GetAgreement(self, request, context):
        document = self.broker.texts.get(request.digest, b"") if request.digest else self.broker.audit.text
        reply = agreement_pb2.GetAgreementResponse(document=document)
        return await self.broker.answer("GetAgreement", reply, context)

    async def _not_here(self, request, context):
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not here")

    Propose = SubmitStep = _not_here


@contextlib.asynccontextmanager
async def hostile(audit: Audit) -> AsyncIterator[Hostile]:
    """Serve an audit's logs on loopback."""
    # The handshake is of today, whatever time the logs are of.
    transport = nation("XAR", now=time.time_ns() // 1_000_000)
    broker = Hostile(audit, transport, transport.broker("hub"), transport.node("n1"))
    server = grpc.aio.server()
    audit_pb2_grpc.add_AuditServiceServicer_to_server(_Audit(broker), server)
    agreement_pb2_grpc.add_AgreementServiceServicer_to_server(_Agreements(broker), server)
    pair = (broker.hub.tls.pem(), broker.hub.certificate_pem)
    credentials = grpc.ssl_server_credentials([pair], transport.authority_pem, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    broker.address = f"127.0.0.1:{port}"
    try:
        yield broker
    finally:
        await server.stop(None)


def mirror_of(broker: Hostile, path: Path, *, now_ms: Callable[[], int] | None = None, **options: object) -> Mirror:
    """Open a mirror of the reader's that trusts both nations and this broker's name."""
    audit = broker.audit
    given = {
        "party": broker.reader,
        "broker": audit.hub.identity,
        "broker_tls_name": "hub.xar.example",
        "cards": {one.party: one.card for one in (audit.xar, audit.xbo)},
        "now_ms": now_ms or (lambda: audit.time + 1000),
        **options,
    }
    return Mirror.open(path / "mirror.sqlite", **given)


@contextlib.asynccontextmanager
async def mirrored(audit, path, *, reader="XAR", **options):
    """Serve an audit and open a mirror; refresh with `await refresh()`."""
    async with hostile(audit) as broker, broker.connection() as connection:
        broker.reader = reader
        with mirror_of(broker, path, **options) as mirror:

            async def refresh(agreements=None):
                await mirror.refresh(connection, agreements)

            yield broker, mirror, refresh


async def refused(refresh, kind=VerificationError, agreements=(AGREEMENT,)):
    with pytest.raises(kind) as caught:
        await refresh(agreements)
    return caught.value
