"""Every method with every role over a real connection: who may not call is told so, in a Refusal, before anything is read."""

import asyncio
import contextlib
import ssl
import struct

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from access_table import LETTERS, TABLE, roles_of
from builders_broker import brokered
from builders_certificates import crafted_leaf, uri
from builders_identity import nation
from comity.errors import ErrorCode
from comity.keys.tls import to_pem
from comity.node.refusals import error_of_call
from comity_broker.services.declarations import FILES
from comity_policy.facts import Role

DENIED = {ErrorCode.ROLE_NOT_ALLOWED, ErrorCode.NOT_ENROLLED}


def methods():
    """Give every method as (path, request class, streams in, streams out)."""
    for file in FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                request = getattr(__import__(_module(file), fromlist=["x"]), method.input_type.name)
                yield f"/{service.full_name}/{method.name}", request, method.client_streaming, method.server_streaming
    yield "/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest, False, False
    yield "/grpc.health.v1.Health/Watch", health_pb2.HealthCheckRequest, False, True
    reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    yield reflection, reflection_pb2.ServerReflectionRequest, True, True


def _module(file):
    return file.name.replace("/", ".").removesuffix(".proto") + "_pb2"


def test_the_walk_visits_every_method_of_the_table():
    assert {path for path, *_ in methods()} == TABLE.keys()


async def code_of(connection, path, request, streams_in, streams_out):
    """Call with an empty request; give the error's code, or None where the call went through or said something else."""
    kind = f"{'stream' if streams_in else 'unary'}_{'stream' if streams_out else 'unary'}"
    channel = connection._channel
    call = getattr(channel, kind)(path, request_serializer=request.SerializeToString, response_deserializer=bytes)
    given = iter([request()]) if streams_in else request()
    try:
        answer = call(given, timeout=10)
        if streams_out:
            with contextlib.suppress(StopAsyncIteration):
                await anext(aiter(answer))
            answer.cancel()
        else:
            await answer
    except grpc.aio.AioRpcError as error:
        found = error_of_call(error, address=connection.address, tls_name=connection.broker_tls_name).code
        denied = error.code() is grpc.StatusCode.PERMISSION_DENIED
        return found if denied or found not in DENIED else ErrorCode.INTERNAL
    return None


async def test_every_method_is_open_to_exactly_the_roles_of_the_table(tmp_path):
    async with brokered(tmp_path) as world:
        callers = {"unenrolled": world.xar.officer("stranger", [Role.LIAISON])}
        callers["node"] = await world.enrolled(world.xbo.node("n1"))
        for role in Role:
            if role is not Role.NODE:
                officer = world.xbo.officer(f"{role.word}1", [role])
                callers[role.word] = await world.enrolled(officer)
        assert callers.keys() == set(LETTERS.values())
        wrong = []
        for role, held in callers.items():
            async with world.connection(held) as connection:
                for path, request, streams_in, streams_out in methods():
                    if path.endswith("/Drain"):
                        continue
                    code = await code_of(connection, path, request, streams_in, streams_out)
                    # XBO's operator is not one of the party that operates this broker.
                    allowed = role in roles_of(path) and "O" not in TABLE[path]
                    expected = ErrorCode.NOT_ENROLLED if role == "unenrolled" else ErrorCode.ROLE_NOT_ALLOWED
                    if (code is expected) == allowed:
                        wrong.append((path, role, code))
        assert wrong == []


async def test_only_an_operator_of_the_brokers_own_party_may_ask_for_status_or_a_drain(tmp_path):
    async with brokered(tmp_path) as world:
        for nation, expected in ((world.xbo, ErrorCode.ROLE_NOT_ALLOWED), (world.xar, None)):
            operator = await world.enrolled(nation.officer("operator1", [Role.OPERATOR]))
            async with world.connection(operator) as connection:
                for path, request, streams_in, streams_out in methods():
                    if "OperationsService" in path:
                        assert await code_of(connection, path, request, streams_in, streams_out) is expected, path


async def test_a_denied_call_is_written_to_the_operations_log(tmp_path):
    async with brokered(tmp_path) as world:
        node = await world.enrolled(world.xbo.node("n1"))
        path, request, *_ = next(one for one in methods() if one[0].endswith("/Propose"))
        async with world.connection(node) as connection:
            assert await code_of(connection, path, request, False, False) is ErrorCode.ROLE_NOT_ALLOWED
        reader = world.broker._storage.reader
        while not any(entry.kind == "AUTHZ_DENIED" for entry in await reader.entries("operations", 0, 100)):
            await world.broker.operations.flush()


def outsider(world, attack):
    """Give a client's key and certificate that must not pass the handshake, or None for no certificate at all."""
    node = world.xbo.node("n1")
    match attack:
        case "no certificate":
            return None
        case "foreign authority":
            node = nation("XDE", now=world.xbo.now).node("n1")
            return node.tls.pem(), node.certificate_pem
        case _:
            # XBO's own authority signed it, but the name lies in XAR's trust domain.
            spki = node.tls.spki
            leaf = crafted_leaf(world.xbo, [uri("spiffe://xar.example/node/n1")], spki=spki, at_ms=world.xbo.now)
            return node.tls.pem(), to_pem([leaf])


@pytest.mark.parametrize("attack", ["no certificate", "foreign authority", "a name outside the constraint"])
async def test_a_client_without_a_certificate_of_a_trusted_party_fails_in_the_handshake(tmp_path, attack):
    async with brokered(tmp_path) as world:
        key, certificate = outsider(world, attack) or (None, None)
        credentials = grpc.ssl_channel_credentials(world.xar.authority_pem, key, certificate)
        options = [("grpc.ssl_target_name_override", world.xar.broker_tls_name())]
        async with grpc.aio.secure_channel(world.broker.address, credentials, options=options) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/comity.v1.AgreementService/ListAgreements")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert world.broker.streams.count() == 0


async def test_a_call_below_tls_1_3_is_refused_before_anything_of_it_is_read(tmp_path):
    async with brokered(tmp_path) as world:
        node = await world.enrolled(world.xbo.node("n1"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        context.load_verify_locations(cadata=world.xar.authority_pem.decode())
        pair = tmp_path / "pair.pem"
        pair.write_bytes(node.tls.pem() + node.certificate_pem)
        context.load_cert_chain(pair)
        host, _, port = world.broker.address.rpartition(":")
        reader, writer = await asyncio.open_connection(
            host, int(port), ssl=context, server_hostname=world.xar.broker_tls_name()
        )
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _http2(4, 0, 0, b""))
        writer.write(_http2(1, 4, 1, _headers("/comity.v1.AgreementService/ListAgreements")))
        writer.write(_http2(0, 1, 1, bytes(5)))
        answer = b""
        async with asyncio.timeout(20):
            while b"grpc-status" not in answer:
                answer += await reader.read(4096)
        writer.close()
        assert b"TLS 1.3" in answer


def _http2(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _headers(path):
    fields = {
        ":method": "POST",
        ":scheme": "https",
        ":path": path,
        ":authority": "hub",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    literal = (
        bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in fields.items()
    )
    return b"".join(literal)
