"""Connections over real TLS on loopback: whatever goes wrong, the error says what and what to do."""

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass, field

import grpc
import pytest
from google.rpc import status_pb2
from grpc_status import rpc_status

from builders_identity import HOUR, Held, Nation, nation
from comity.errors import (
    AccessError,
    ComityError,
    ConflictError,
    ErrorCode,
    KeyFault,
    MalformedError,
    NotFoundError,
    RefusedError,
    RejectedError,
    StorageError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from comity.keys.tls import to_pem
from comity.node.access import Target
from comity.node.connection import MESSAGE_BYTES, Connection
from comity.node.duplex import Duplex
from comity.v1 import agreement_pb2, errors_pb2, exchange_pb2
from comity_policy.explanation import ClauseExplanation, RemedyAction

REQUEST = agreement_pb2.ListAgreementsRequest()


def wall() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Answering:
    """A broker that answers every ListAgreements with what a test says."""

    xar: Nation = field(default_factory=lambda: nation("XAR", now=wall()))
    xbo: Nation = field(default_factory=lambda: nation("XBO", now=wall()))
    address: str = ""
    answer: object = None

    def __post_init__(self) -> None:
        self.hub, self.node = self.xar.broker("hub"), self.xar.node("n1")

    async def respond(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if isinstance(self.answer, errors_pb2.Refusal):
            status = status_pb2.Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message="refused")
            status.details.add().Pack(self.answer)
            await context.abort_with_status(rpc_status.to_status(status))
        if callable(self.answer):
            return await self.answer(context)
        return agreement_pb2.ListAgreementsResponse().SerializeToString()

    async def stream(self, requests, context):
        async for _ in requests:
            yield await self.respond(b"", context)

    def connection(self, held: Held | None = None, **changes: object) -> Connection:
        who = held or self.node
        given = {
            "broker_tls_name": self.xar.broker_tls_name(),
            "roots_pem": self.xar.authority_pem,
            "key_pem": who.tls.pem(),
            "certificate_pem": who.certificate_pem,
            **changes,
        }
        return Connection.open(self.address, **given)

    def target(self, **changes: object) -> Target:
        return Target(
            address=self.address,
            tls_name=self.xar.broker_tls_name(),
            key_pem=self.node.tls.pem(),
            certificate_pem=self.node.certificate_pem,
            **changes,
        )


@contextlib.asynccontextmanager
async def answering(certificate: bytes | None = None, world: Answering | None = None):
    world = world or Answering()
    server = grpc.aio.server()
    handlers = {"ListAgreements": grpc.unary_unary_rpc_method_handler(world.respond)}
    streams = {"Publish": grpc.stream_stream_rpc_method_handler(world.stream)}
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler("comity.v1.AgreementService", handlers),
            grpc.method_handlers_generic_handler("comity.v1.ExchangeService", streams),
        ]
    )
    pair = (world.hub.tls.pem(), certificate or world.hub.certificate_pem)
    credentials = grpc.ssl_server_credentials([pair], world.xar.authority_pem, require_client_auth=True)
    world.address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    await server.start()
    try:
        yield world
    finally:
        await server.stop(None)


async def fails(connection: Connection, kind: type[ComityError], code: ErrorCode, says: str, **options) -> ComityError:
    async with connection:
        with pytest.raises(kind) as caught:
            await connection.call(connection.agreements.ListAgreements, REQUEST, **options)
    assert type(caught.value) is kind
    assert caught.value.code is code
    assert says in f"{caught.value.message} {caught.value.what_to_do}"
    assert caught.value.what_to_do
    return caught.value


async def test_a_call_is_answered():
    async with answering() as broker, broker.connection() as connection:
        assert not (await connection.call(connection.agreements.ListAgreements, REQUEST)).agreements


# --- who is at the other end ----------------------------------------------------------------------------------------


async def test_a_renewed_authority_is_read_from_the_card_once_the_handshake_fails():
    async with answering() as broker:
        roots = [broker.xbo.authority_pem]
        old = broker.target(roots_pem=roots[0], newer_roots=lambda _: roots[0])
        async with Connection(old) as connection:
            calls = [asyncio.create_task(listed(connection)) for _ in range(2)]
            assert [type(one) for one in await asyncio.gather(*calls, return_exceptions=True)] == [KeyFault] * 2
            # As a person trusts the renewed card.
            roots[0] = broker.xar.authority_pem
            calls = [asyncio.create_task(listed(connection)) for _ in range(2)]
            assert [type(one) for one in await asyncio.gather(*calls, return_exceptions=True)] == [UnreachableError] * 2
            assert not (await listed(connection)).agreements


async def test_a_card_that_reads_no_more_leaves_the_failure_of_the_handshake_as_it_is():
    def unread(_: int) -> bytes:
        raise NotFoundError("no card of XAR is trusted here", code=ErrorCode.FILE_UNKNOWN)

    async with answering() as broker:
        target = broker.target(roots_pem=broker.xbo.authority_pem, newer_roots=unread)
        error = await fails(Connection(target), KeyFault, ErrorCode.UNAUTHENTICATED, "comity party trust")
        assert error.__notes__ == ["FILE_UNKNOWN: no card of XAR is trusted here"]


async def listed(connection: Connection) -> agreement_pb2.ListAgreementsResponse:
    return await connection.call(connection.agreements.ListAgreements, REQUEST)


async def test_a_broker_of_another_authority_is_not_talked_to():
    async with answering() as broker:
        connection = broker.connection(roots_pem=broker.xbo.authority_pem)
        await fails(connection, KeyFault, ErrorCode.UNAUTHENTICATED, "comity party trust")


async def test_a_broker_of_another_name_is_not_talked_to():
    async with answering() as broker:
        connection = broker.connection(broker_tls_name="hub2.xar.example")
        await fails(connection, KeyFault, ErrorCode.UNAUTHENTICATED, "is not hub2.xar.example")


async def test_an_expired_certificate_of_the_broker_says_so_and_names_the_clock():
    world = Answering()
    old = world.xar.leaf(
        world.hub.identity, world.hub.tls.spki, valid_from_ms=wall() - 5 * HOUR, valid_until_ms=wall() - HOUR
    )
    async with answering(to_pem([old]), world) as broker:
        await fails(broker.connection(), KeyFault, ErrorCode.CERTIFICATE_EXPIRED, "clock")


async def test_a_certificate_of_the_broker_from_the_future_names_the_clock():
    world = Answering()
    early = world.xar.leaf(
        world.hub.identity, world.hub.tls.spki, valid_from_ms=wall() + HOUR, valid_until_ms=wall() + 9 * HOUR
    )
    async with answering(to_pem([early]), world) as broker:
        await fails(broker.connection(), KeyFault, ErrorCode.CERTIFICATE_EXPIRED, "not valid yet")


async def test_our_own_expired_certificate_is_never_shown():
    async with answering() as broker:
        connection = broker.connection()
        late = Connection(connection._target, now_ms=lambda: wall() + 1000 * HOUR)
        with pytest.raises(KeyFault) as caught:
            async with late:
                pass
        assert caught.value.code is ErrorCode.CERTIFICATE_EXPIRED


async def test_our_certificate_from_the_future_names_the_clock():
    async with answering() as broker:
        early = Connection(broker.connection()._target, now_ms=lambda: wall() - 1000 * HOUR)
        with pytest.raises(KeyFault) as caught:
            async with early:
                pass
        assert caught.value.code is ErrorCode.CLOCK_WINDOW


async def test_a_broker_that_refuses_our_certificate_is_said_to_close_the_connection():
    async with answering() as broker:
        stranger = broker.xbo.node("n1")
        await fails(broker.connection(stranger), UnreachableError, ErrorCode.UNREACHABLE, "newest card")


# --- nobody there ---------------------------------------------------------------------------------------------------


async def test_a_broker_that_is_not_there_is_unreachable():
    async with answering() as broker:
        pass
    await fails(broker.connection(), UnreachableError, ErrorCode.UNREACHABLE, "refused")


async def test_a_host_that_does_not_exist_is_unreachable():
    broker = Answering(address="no-such-host.invalid:7443")
    await fails(broker.connection(), UnreachableError, ErrorCode.UNREACHABLE, "no-such-host.invalid")


async def test_something_else_at_the_address_is_not_taken_for_a_broker():
    broker = Answering()
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(20)
        broker.address = f"127.0.0.1:{other.getsockname()[1]}"

        def greet() -> None:
            accepted, _ = other.accept()
            accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            accepted.close()

        greeting = asyncio.create_task(asyncio.to_thread(greet))
        await fails(broker.connection(), UnreachableError, ErrorCode.UNREACHABLE, "Check the address")
        await greeting


async def test_a_broker_that_does_not_answer_in_time_is_unreachable():
    async def never(context):
        await asyncio.Event().wait()

    async with answering() as broker:
        broker.answer = never
        await fails(broker.connection(), UnreachableError, ErrorCode.UNREACHABLE, "in time", timeout=0.2)


async def test_a_connection_that_is_not_open_says_so():
    async with answering() as broker:
        connection = broker.connection()
        async with connection:
            pass
        with pytest.raises(UsageError):
            await connection.call(connection.agreements.ListAgreements, REQUEST)


# --- what a broker answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ErrorCode.POLICY_DENIED, RefusedError),
        (ErrorCode.NOT_ENROLLED, AccessError),
        (ErrorCode.AGREEMENT_UNKNOWN, NotFoundError),
        (ErrorCode.STATEMENT_CONFLICT, ConflictError),
        (ErrorCode.MALFORMED, MalformedError),
        (ErrorCode.FORK, VerificationError),
        (ErrorCode.CERTIFICATE_REVOKED, KeyFault),
        (ErrorCode.DRAINING, UnreachableError),
        (ErrorCode.STORAGE_FULL, StorageError),
        (ErrorCode.USAGE, UsageError),
        (ErrorCode.INTERNAL, ComityError),
    ],
)
async def test_a_refusal_becomes_the_error_its_code_names(code, kind):
    async with answering() as broker:
        broker.answer = errors_pb2.Refusal(code=int(code), message="what happened", what_to_do="what to do")
        error = await fails(broker.connection(), kind, code, "what happened")
        assert error.retry_after_seconds is None


async def test_every_code_has_an_error():
    for code in ErrorCode:
        async with answering() as broker:
            broker.answer = errors_pb2.Refusal(code=int(code), message="m", what_to_do="w")
            async with broker.connection() as connection:
                with pytest.raises(ComityError) as caught:
                    await connection.call(connection.agreements.ListAgreements, REQUEST)
            assert caught.value.code is code


async def test_a_rejection_keeps_its_one_public_text():
    async with answering() as broker:
        broker.answer = errors_pb2.Refusal(code=int(ErrorCode.REJECTED), message="rejected")
        error = await fails(broker.connection(), RejectedError, ErrorCode.REJECTED, "operations log")
        assert error.message == "rejected"


async def test_a_refusal_brings_its_time_and_its_clauses():
    refusal = errors_pb2.Refusal(code=int(ErrorCode.POLICY_DENIED), message="m", what_to_do="w")
    refusal.retry_after.FromMilliseconds(1500)
    clause = refusal.policy.clauses.add(clause_id="4.1", kind="ceiling", reason="DENIED", portions=[1, 2])
    clause.remedy.action = "mark"
    refusal.policy.clauses.add(clause_id="4.2", reason="OF-A-LATER-VERSION").remedy.action = "of-a-later-version"
    async with answering() as broker:
        broker.answer = refusal
        error = await fails(broker.connection(), RefusedError, ErrorCode.POLICY_DENIED, "m")
        assert error.retry_after_seconds == 1.5
        first, second = error.clauses
        assert isinstance(first, ClauseExplanation)
        assert (first.clause_id, first.portions, first.remedy.action) == ("4.1", (1, 2), RemedyAction.MARK)
        assert second.remedy.action is RemedyAction.NONE


async def test_a_code_of_a_later_version_is_an_error_with_the_brokers_words():
    async with answering() as broker:
        broker.answer = errors_pb2.Refusal(code=9999, message="something new", what_to_do="upgrade")
        await fails(broker.connection(), ComityError, ErrorCode.INTERNAL, "something new")


async def test_a_failure_without_a_refusal_is_told_by_its_status():
    async def fail(context):
        await context.abort(grpc.StatusCode.INTERNAL, "oops")

    async with answering() as broker:
        broker.answer = fail
        await fails(broker.connection(), ComityError, ErrorCode.INTERNAL, "oops")


async def test_a_call_that_a_broker_does_not_know_says_that_it_is_older():
    async with answering() as broker, broker.connection() as connection:
        with pytest.raises(UsageError, match="does not know this call"):
            await connection.call(
                connection.agreements.GetAgreement, agreement_pb2.GetAgreementRequest(agreement_id="X")
            )


async def test_an_answer_that_is_too_large_is_refused():
    async def flood(context):
        return bytes(MESSAGE_BYTES + 1)

    async with answering() as broker:
        broker.answer = flood
        async with broker.connection() as connection:
            with pytest.raises(MalformedError) as caught:
                await connection.call(connection.agreements.ListAgreements, REQUEST)
        assert caught.value.code is ErrorCode.LIMIT_EXCEEDED


# --- streams --------------------------------------------------------------------------------------------------------


async def test_a_stream_ends_with_the_brokers_refusal():
    frames = iter([exchange_pb2.PublishRequest()])

    async def one_frame():
        return next(frames, None) or await asyncio.Event().wait()

    async with answering() as broker:
        broker.answer = errors_pb2.Refusal(code=int(ErrorCode.CERTIFICATE_REVOKED), message="revoked", what_to_do="w")
        async with broker.connection() as connection:
            with pytest.raises(KeyFault, match="revoked"):
                async with Duplex(connection, connection.exchange.Publish(), one_frame) as stream:
                    await stream.read()


async def test_a_bug_in_a_writer_does_not_hide_behind_the_stream():
    async def broken():
        raise ZeroDivisionError("a bug")

    async with answering() as broker, broker.connection() as connection:
        with pytest.raises(ZeroDivisionError):
            async with Duplex(connection, connection.exchange.Publish(), broken) as stream:
                await stream.read()
