"""Enrolment from the side of whoever proves: only to the broker that was checked, only keys that are listed."""

import contextlib
import time

import grpc
import pytest

from builders_broker import brokered
from builders_identity import nation
from comity.errors import ConflictError, ErrorCode, KeyFault
from comity.identity.bodies import NodeBundle, read_body
from comity.keys.possession import seal_kem_challenge
from comity.node.connection import Connection
from comity.node.enrolment import enrol, publish_statement
from comity.suites import KeyRole
from comity.v1 import identity_pb2 as pb
from comity.v1 import identity_pb2_grpc

NONCE = bytes(range(32))


class Asking(identity_pb2_grpc.DirectoryServiceServicer):
    """A broker with the right certificate that asks what the test says, and keeps what it is told."""

    def __init__(self, verifier: str, challenges: list[pb.PossessionChallenge]) -> None:
        self.verifier = verifier
        self.challenges = challenges
        self.begun: list[pb.BeginEnrolmentRequest] = []
        self.completed: list[pb.CompleteEnrolmentRequest] = []

    async def BeginEnrolment(self, request, context):
        self.begun.append(request)
        return pb.BeginEnrolmentResponse(nonce=NONCE, verifier=self.verifier, challenges=self.challenges)

    async def CompleteEnrolment(self, request, context):
        self.completed.append(request)
        return pb.CompleteEnrolmentResponse(log_index=7)


@pytest.fixture
def xar():
    return nation("XAR", now=time.time_ns() // 1_000_000)


@contextlib.asynccontextmanager
async def asking(xar, asks: Asking, held):
    hub = xar.broker()
    server = grpc.aio.server()
    identity_pb2_grpc.add_DirectoryServiceServicer_to_server(asks, server)
    pair = (hub.tls.pem(), hub.certificate_pem)
    credentials = grpc.ssl_server_credentials([pair], xar.authority_pem, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        async with Connection.open(
            f"127.0.0.1:{port}",
            broker_tls_name="hub.xar.example",
            roots_pem=xar.authority_pem,
            key_pem=held.tls.pem(),
            certificate_pem=held.certificate_pem,
        ) as connection:
            yield connection
    finally:
        await server.stop(None)


def challenge(held, *, verifier: str = "hub.xar.example") -> list[pb.PossessionChallenge]:
    """Ask for both keys of a node, as a broker of that name does."""
    kem = held.decapsulator
    sealed = seal_kem_challenge(
        int(kem.suite), kem.public, node=held.name, verifier=verifier, nonce=NONCE, challenge=bytes(32)
    )
    return [
        pb.PossessionChallenge(key=held.signer.fingerprint),
        pb.PossessionChallenge(key=kem.fingerprint, sealed=sealed),
    ]


async def test_a_node_proves_every_key_it_is_asked_for_and_never_gives_a_challenge_back(xar):
    node = xar.node("n1")
    asks = Asking("hub.xar.example", challenge(node))
    async with asking(xar, asks, node) as connection:
        assert await enrol(connection, node.statement, node.ring) == 7
    (completed,) = asks.completed
    assert {proof.key for proof in completed.proofs} == {node.signer.fingerprint, node.decapsulator.fingerprint}
    assert bytes(32) not in {proof.answer for proof in completed.proofs}
    assert completed.statement.body == node.statement.body


async def test_a_challenge_of_another_broker_is_not_answered(xar):
    node = xar.node("n1")
    asks = Asking("hub.xde.example", challenge(node, verifier="hub.xde.example"))
    async with asking(xar, asks, node) as connection:
        with pytest.raises(KeyFault) as refused:
            await enrol(connection, node.statement, node.ring)
    assert refused.value.code is ErrorCode.POSSESSION_FAILED
    assert "hub.xde.example" in refused.value.message
    assert asks.completed == []


async def test_a_key_that_the_statement_does_not_list_is_not_proved(xar):
    node, other = xar.node("n1"), xar.node("n2")
    asks = Asking("hub.xar.example", challenge(other))
    async with asking(xar, asks, node) as connection:
        with pytest.raises(KeyFault) as refused:
            # Even where its private half is at hand.
            await enrol(connection, node.statement, other.ring)
    assert refused.value.code is ErrorCode.POSSESSION_FAILED
    assert asks.completed == []


async def test_what_lists_no_keys_is_not_enrolled(xar):
    node = xar.node("n1")
    asks = Asking("hub.xar.example", [])
    async with asking(xar, asks, node) as connection:
        with pytest.raises(KeyFault):
            await enrol(connection, xar.directory_statement, node.ring)
    assert asks.begun == []


async def test_enrolling_again_is_answered_with_the_same_entry(tmp_path):
    async with brokered(tmp_path) as world:
        node = world.xar.node("n1")
        async with world.connection(node) as connection:
            first = await enrol(connection, node.statement, node.ring)
            assert await enrol(connection, node.statement, node.ring) == first
            older = node.statement
            await enrol(connection, node.reissued(region="xbo"), node.ring)
            assert await enrol(connection, older, node.ring) == first
            stale = world.xar.listing(node, sequence=1, offices=("ct-desk",))
            with pytest.raises(ConflictError) as refused:
                await enrol(connection, stale, node.ring)
    assert refused.value.code is ErrorCode.SEQUENCE_STALE


async def test_a_revocation_is_published_by_an_officer_and_the_node_is_out(tmp_path):
    async with brokered(tmp_path) as world:
        officer = await world.enrolled(world.xar.officer("liaison1"))
        node = await world.enrolled(world.xar.node("n1"))
        bundle = read_body(node.statement)
        assert isinstance(bundle, NodeBundle)
        tls = next(key for key in bundle.keys if key.role is KeyRole.NODE_TLS)
        async with world.connection(officer) as connection:
            await publish_statement(connection, world.xar.revocation(tls.fingerprint))
        async with world.connection(node) as connection:
            with pytest.raises(KeyFault) as refused:
                await publish_statement(connection, world.xar.revocation(tls.fingerprint))
    assert refused.value.code is ErrorCode.CERTIFICATE_REVOKED
