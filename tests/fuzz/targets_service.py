"""A real broker, called over gRPC by nodes and officers that mean harm: no call fails for a reason of the program's own.

What a hostile caller signs itself is signed anew in every mutant (statements, batches), so that it comes as far as a lie can.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha384
from pathlib import Path
from typing import Any, TypeVar

import grpc

from builders_acts import FIELDS as ACT_FIELDS
from builders_broker import AGREEMENT, World
from builders_document import DIGEST
from builders_envelope import NodeKeys, Stream, core, portion, profile
from builders_every_kind import caveat_text
from builders_identity import DAY, Held, nation
from builders_sdk import Shared, sharing
from comity import canonical
from comity.envelope.evidence import encode_batch_signature, sign_batch
from comity.envelope.seal import SealInput
from comity.envelope.segment import parse_segment
from comity.errors import ComityError, ErrorCode, MalformedError
from comity.identity.bodies import key_set_of
from comity.node.connection import Connection
from comity.node.enrolment import statement_message
from comity.node.refusals import error_of_call
from comity.statement import sign_statement
from comity.suites import KemSecret, SigningSecret
from comity.texts import caveat_digest
from comity.v1 import agreement_pb2, audit_pb2, exchange_pb2, identity_pb2
from comity_broker.settings import Settings
from comity_policy.acts import Act, ActKind
from comity_policy.facts import Role
from comity_policy.steps import StepKind
from fuzz.target import Target, canonical_form, joined, split
from fuzz.targets_wire import message

_T = TypeVar("_T")
_CALL_SECONDS = 30
# Without the calls that stop a broker, which none of these callers may make anyhow.
_METHODS: tuple[tuple[str, str, type[Any]], ...] = (
    ("exchange", "PublishOne", exchange_pb2.PublishOneRequest),
    ("exchange", "ListReports", exchange_pb2.ListReportsRequest),
    ("exchange", "ResolveParked", exchange_pb2.ResolveParkedRequest),
    ("exchange", "ResolveHeld", exchange_pb2.ResolveHeldRequest),
    ("agreements", "Propose", agreement_pb2.ProposeRequest),
    ("agreements", "SubmitStep", agreement_pb2.SubmitStepRequest),
    ("agreements", "SubmitAct", agreement_pb2.SubmitActRequest),
    ("agreements", "ListAgreements", agreement_pb2.ListAgreementsRequest),
    ("agreements", "GetAgreement", agreement_pb2.GetAgreementRequest),
    ("audit", "GetCheckpoint", audit_pb2.GetCheckpointRequest),
    ("audit", "GetEntries", audit_pb2.GetEntriesRequest),
    ("audit", "GetInclusionProof", audit_pb2.GetInclusionProofRequest),
    ("audit", "GetTile", audit_pb2.GetTileRequest),
    ("audit", "PresentCheckpoint", audit_pb2.PresentCheckpointRequest),
    ("audit", "GetEvidence", audit_pb2.GetEvidenceRequest),
    ("directory", "BeginEnrolment", identity_pb2.BeginEnrolmentRequest),
    ("directory", "CompleteEnrolment", identity_pb2.CompleteEnrolmentRequest),
    ("directory", "PublishStatement", identity_pb2.PublishStatementRequest),
)
_SHARED_STEPS = {kind.value for kind in StepKind if not kind.unilateral}
_INDEX = {name: number for number, (_, name, _) in enumerate(_METHODS)}


class _Faults(logging.Handler):
    """Keeps the exceptions that the broker logged: what lies behind an INTERNAL."""

    def __init__(self) -> None:
        super().__init__()
        self.last: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.last = record.exc_info[1]


@dataclass
class Called:
    """A broker in a thread with its own event loop, and callers with their connections."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)
    faults: _Faults = field(default_factory=_Faults)
    callers: list[tuple[Held, Connection]] = field(default_factory=list)
    shared: Shared = field(init=False)
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    thread: threading.Thread = field(init=False)
    seen: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        logging.getLogger("comity_broker").addHandler(self.faults)
        self.run(self._begin())

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=4 * _CALL_SECONDS)

    def close(self) -> None:
        """Stop the broker and its thread."""
        self.run(self.stack.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        logging.getLogger("comity_broker").removeHandler(self.faults)
        self.folder.cleanup()

    async def _begin(self) -> None:
        path, stack = Path(self.folder.name), self.stack
        settings = Settings(listen="127.0.0.1:0", drain=2.0, refusals_per_second=10_000)
        now = time.time_ns() // 1_000_000
        nations = nation("XAR", now=now), nation("XBO", now=now)
        world = World(path / "broker", *nations, nations[0].broker(), settings)
        shared = self.shared = await stack.enter_async_context(sharing(path, world=world))
        xar = shared.world.xar
        duty = await shared.world.enrolled(
            xar.officer("duty1", [Role.DUTY_OFFICER, Role.SECURITY_AUTHORITY, Role.LIAISON, Role.RELEASE_AUTHORITY])
        )
        officers = [shared.treaty.officer(xar, name) for name in ("liaison1", "plenipotentiary1", "auditor1")]
        for held in (shared.nodes["XAR"], shared.nodes["XBO"], *officers, duty, xar.node("n9")):
            connection = await stack.enter_async_context(shared.world.connection(held))
            self.callers.append((held, connection))
        logs = shared.world.broker.logs
        self.seen = {"agreement_log_seen": await logs.seen(AGREEMENT), "key_log_seen": await logs.seen("keys")}


@cache
def called() -> Called:
    return Called()


def stop() -> None:
    """Stop the broker where it was started."""
    if called.cache_info().currsize:
        called().close()
        called.cache_clear()


def call(data: bytes) -> object:
    """Call one method as one caller; a failed call carries a refusal of ours, and none that says INTERNAL."""
    if len(data) < 3:
        raise MalformedError("no call")
    here = called()
    held, connection = here.callers[data[0] % len(here.callers)]
    service, name, kind = _METHODS[data[1] % len(_METHODS)]
    request = message(kind, data[3:])
    if data[2] & 1:
        _sign_anew(request, held)
    answer = _called(connection, _answered(getattr(getattr(connection, service), name), request))
    if name == "SubmitStep":
        _follow(request.step.body)
    # A page of a log or a list of agreements is as long as they are, whatever was asked.
    return len(answer.SerializeToString()) and name


def publish(data: bytes) -> object:
    """Send a publish stream to its end: the frames behind their u16be lengths, signed anew by their sender where said."""
    if len(data) < 2:
        raise MalformedError("no stream")
    here = called()
    held, connection = here.callers[data[0] % len(here.callers)]
    requests = [message(exchange_pb2.PublishRequest, part) for part in split(data[2:], 4)]
    for request in requests:
        if data[1] & 1 and request.WhichOneof("frame") == "batch":
            _sign_batch(request.batch, held)
    answers = _called(connection, _streamed(connection.exchange.Publish, requests))
    return [one.WhichOneof("frame") for one in answers]


def _called(connection: Connection, work: Coroutine[Any, Any, _T]) -> _T:
    here = called()
    here.faults.last = None
    try:
        return here.run(work)
    except grpc.aio.AioRpcError as error:
        said = error_of_call(error, address=connection.address, tls_name=connection.broker_tls_name)
        assert said.code is not ErrorCode.INTERNAL, repr(here.faults.last or said.message)
        raise said from here.faults.last


async def _streamed(method: Any, requests: list[Any]) -> list[Any]:
    return [one async for one in method(iter(requests), timeout=_CALL_SECONDS)]


def _streams() -> list[bytes]:
    opening = exchange_pb2.PublishRequest(open=exchange_pb2.PublishOpen(window=4)).SerializeToString()
    batches = [exchange_pb2.PublishRequest(batch=_batch(count)).SerializeToString() for count in (1, 2)]
    return [
        b"\x00\x01" + joined(opening, batches[0], batches[0], batches[1]),
        b"\x00\x00" + joined(opening, batches[1], batches[0], b""),
    ]


def _follow(body: bytes) -> None:
    """Remember what a party's next step follows."""
    said = canonical.load_object(body)
    if StepKind(str(said["type"])).unilateral:
        called().shared.treaty.heads[str(said["party"])] = sha384(body).hexdigest()


async def _answered(method: Any, request: Any) -> Any:
    return await method(request, timeout=_CALL_SECONDS)


def _sign_anew(request: Any, held: Held) -> None:
    names = request.DESCRIPTOR.fields_by_name
    for name in ("step", "act", "statement"):
        if name in names and hasattr(held, "signer"):
            with contextlib.suppress(ComityError, ValueError, RecursionError):
                said = getattr(request, name)
                body = canonical.load_object(canonical_form(said.body))
                if "follows" in body and body.get("type") not in _SHARED_STEPS:
                    body["follows"] = called().shared.treaty.heads.get(str(body.get("party")), "")
                said.CopyFrom(statement_message(sign_statement(body, held.signer)))
    if "batch" in names:
        _sign_batch(request.batch, held)


def _sign_batch(batch: exchange_pb2.PublishBatch, held: Held) -> None:
    """Sign the segments of a batch as their sender, whatever they say."""
    segments = []
    for data in batch.segments:
        with contextlib.suppress(ComityError):
            segments.append(parse_segment(data))
    if len(segments) != len(batch.segments) or not segments:
        return
    ids = [one.segment_id for one in segments]
    signed = sign_batch(held.signer, segments[0].agreement_id, key_set_of(held.statement.body), ids)
    batch.batch_signature = encode_batch_signature(signed.signature)
    del batch.segment_ids[:], batch.indices[:]
    batch.segment_ids.extend(ids)
    batch.indices.extend(range(len(ids)))


# --- seeds --------------------------------------------------------------------------------------------------------------


def _seeds() -> list[bytes]:
    here = called()
    log = audit_pb2.LogSelector(agreement_id=AGREEMENT)
    slots = [exchange_pb2.SlotRef(agreement_id=AGREEMENT, segment_id=bytes(48), slot=0)]
    calls: list[tuple[int, str, Any]] = [
        (0, "PublishOne", exchange_pb2.PublishOneRequest(batch=_batch(1))),
        (0, "PublishOne", exchange_pb2.PublishOneRequest(batch=_batch(3))),
        (1, "ListReports", exchange_pb2.ListReportsRequest(agreement_id=AGREEMENT, limit=10)),
        (1, "ResolveParked", exchange_pb2.ResolveParkedRequest(consumer="default", slots=slots, action=1)),
        (0, "ResolveHeld", exchange_pb2.ResolveHeldRequest(slots=slots, action=1)),
        (2, "ListAgreements", agreement_pb2.ListAgreementsRequest()),
        (2, "GetAgreement", agreement_pb2.GetAgreementRequest(agreement_id=AGREEMENT)),
        (0, "GetCheckpoint", audit_pb2.GetCheckpointRequest(log=log, known_size=2)),
        (0, "GetEntries", audit_pb2.GetEntriesRequest(log=log, first=1, limit=3)),
        (0, "GetInclusionProof", audit_pb2.GetInclusionProofRequest(log=log, log_index=1, tree_size=3)),
        (0, "GetTile", audit_pb2.GetTileRequest(log=log, path="tile/0/000.p/3")),
        (4, "GetEvidence", audit_pb2.GetEvidenceRequest(agreement_id=AGREEMENT)),
        (0, "PresentCheckpoint", audit_pb2.PresentCheckpointRequest(log=log, checkpoint=b"x")),
        *_steps(),
        *_enrolments(),
    ]
    assert len(here.callers) > 6
    return [bytes((caller, _INDEX[name], 1)) + request.SerializeToString() for caller, name, request in calls]


def _batch(count: int) -> exchange_pb2.PublishBatch:
    here = called()
    sender, reader = (_keys(here.shared.nodes[party]) for party in ("XAR", "XBO"))
    digest = here.shared.treaty.digest
    now = here.shared.world.clock.now_ms()
    shared = profile(sender, agreement_digest=digest)
    times = {"created_at": now, "not_before": now, "expires_at": now + DAY, **here.seen}
    inputs = [
        SealInput(
            core(sender, number, shared, **times),
            tuple(portion(f"{number}") for _ in shared.portions),
            ((reader.recipient, (0,)),),
        )
        for number in range(1, count + 1)
    ]
    sealed = sender.sealer(now_ms=lambda: now, random_bytes=Stream(b"fuzz %d" % count)).seal_segment(inputs)
    batch = exchange_pb2.PublishBatch(segments=[sealed.data], key_packets=[one.data for one in sealed.packets])
    _sign_batch(batch, here.shared.nodes["XAR"])
    return batch


def _keys(held: Held) -> NodeKeys:
    key_set = key_set_of(held.statement.body)
    identity = held.identity
    return NodeKeys(identity.party, identity.name, held.secret(SigningSecret), held.secret(KemSecret), key_set)


def _steps() -> list[tuple[int, str, Any]]:
    treaty, xar = called().shared.treaty, called().shared.world.xar
    said = {"agreement_id": AGREEMENT, "agreement_digest": treaty.digest.hex(), "party": "XAR", "made_at": xar.now}
    duty = called().callers[5][0]
    acts = [
        Act(kind=kind, officer=duty.name, role=min(kind.roles), **said, **ACT_FIELDS.get(kind, {}))
        for kind in (ActKind.DECLARE, ActKind.CERTIFY, ActKind.BREACH_OPEN, ActKind.ATTEST)
    ]
    taken: dict[StepKind, dict[str, Any]] = {
        StepKind.DISPUTE_OPEN: {
            "subject": "entry",
            "subject_id": "a/7",
            "deadline": str(datetime.fromtimestamp(xar.now // 1000 + 40_000_000, UTC).date()),
            "reason": "No.",
        },
        StepKind.NOTIFY_COMPLETION: {"instrument": "Law 7", "authority": "Parliament", "date": "2027-01-31"},
        StepKind.CAVEAT_WITHDRAW: {"caveat": "NO-ROUTES", "role": Role.RELEASE_AUTHORITY},
        StepKind.SUSPEND: {"clauses": ("1",), "reason": "No."},
        StepKind.RESUME: {"clauses": ("1",), "reason": "Yes."},
        StepKind.RENEW: {"role": Role.PLENIPOTENTIARY},
    }
    steps = [treaty.statement(kind, xar, by=duty, **{"role": Role.LIAISON, **more}) for kind, more in taken.items()]
    text = caveat_text(("1", "exclude", 'categories = ["terrorism"]'), agreement=AGREEMENT)
    text = text.replace(DIGEST, f"sha384:{treaty.digest.hex()}").encode()
    told = {
        "caveat": "NO-ROUTES",
        "caveat_digest": caveat_digest(bytes(32), text).hex(),
        "partner_text": "Arland applies a limitation.",
    }
    adding = treaty.statement(StepKind.CAVEAT_ADD, xar, by=duty, role=Role.RELEASE_AUTHORITY, **told)
    added = {"agreement_id": AGREEMENT, "step": statement_message(adding), "text": text, "salt": bytes(32)}
    object_to = treaty.statement(StepKind.OBJECT, xar, by=called().callers[2][0], clauses=("1",), reason="No.")
    return [
        (2, "SubmitStep", agreement_pb2.SubmitStepRequest(agreement_id=AGREEMENT, step=statement_message(object_to))),
        (5, "SubmitStep", agreement_pb2.SubmitStepRequest(**added)),
        *(
            (5, "SubmitStep", agreement_pb2.SubmitStepRequest(agreement_id=AGREEMENT, step=statement_message(one)))
            for one in steps
        ),
        (2, "Propose", agreement_pb2.ProposeRequest(document=treaty.text, step=statement_message(object_to))),
        *(
            (
                5,
                "SubmitAct",
                agreement_pb2.SubmitActRequest(
                    agreement_id=AGREEMENT, act=statement_message(sign_statement(one.to_body(), duty.signer))
                ),
            )
            for one in acts
        ),
    ]


def _enrolments() -> list[tuple[int, str, Any]]:
    fresh = called().callers[6][0]
    said = statement_message(fresh.statement)
    xar = called().shared.world.xar
    revoked = statement_message(xar.revocation(fresh.signer.fingerprint))
    return [
        (6, "BeginEnrolment", identity_pb2.BeginEnrolmentRequest(statement=said)),
        (2, "PublishStatement", identity_pb2.PublishStatementRequest(statement=revoked)),
    ]


TARGETS = (
    Target("call", "calls of nodes and officers at a real broker", call, _seeds, inputs=200, stop=stop),
    Target("publish-stream", "publish streams to a real broker", publish, _streams, inputs=60, stop=stop),
)
