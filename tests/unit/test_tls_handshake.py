"""What a real handshake makes of our certificates: the authority's constraint holds before any of our code runs."""

from __future__ import annotations

import time

import grpc
import pytest
from cryptography import x509

from builders_certificates import crafted_leaf, uri
from builders_identity import HOUR, Held, directory_of, nation
from comity.identity.connecting import connecting
from comity.keys.tls import from_pem, to_pem

METHOD = "/comity.test/WhoAmI"


async def who_am_i(_: bytes, context: grpc.aio.ServicerContext) -> bytes:
    facts = context.auth_context()
    version = facts["ssl_tls_version"][0]
    return b"\n".join((facts["peer_spiffe_id"][0], version, facts["x509_pem_cert"][0]))


class Handshake:
    """A server with a broker's certificate that asks for one of some parties' authorities, for real time."""

    def __init__(self) -> None:
        now = int(time.time() * 1000)
        self.xar, self.xbo = nation("XAR", now=now), nation("XBO", now=now)
        self.hub = self.xar.broker("hub")

    async def call(self, caller: Held, certificate: bytes | None = None, server: tuple[bytes, bytes] | None = None):
        """Call the broker as its clients do, and give what the server saw of the caller."""
        chain = [(self.hub.tls.pem(), self.hub.certificate_pem)] if server is None else [server]
        roots = self.xar.authority_pem + self.xbo.authority_pem
        credentials = grpc.ssl_server_credentials(chain, roots, require_client_auth=True)
        listening = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(who_am_i)
        listening.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("comity.test", {"WhoAmI": handler})])
        port = listening.add_secure_port("127.0.0.1:0", credentials)
        await listening.start()
        try:
            own = grpc.ssl_channel_credentials(
                root_certificates=self.xar.authority_pem,
                private_key=caller.tls.pem(),
                certificate_chain=to_pem([certificate or caller.certificate]),
            )
            options = [("grpc.ssl_target_name_override", self.xar.broker_tls_name("hub"))]
            async with grpc.aio.secure_channel(f"127.0.0.1:{port}", own, options) as channel:
                return await channel.unary_unary(METHOD)(b"", timeout=20, wait_for_ready=False)
        finally:
            await listening.stop(0)


@pytest.fixture
def handshake() -> Handshake:
    return Handshake()


async def refused(call) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("party", ["xar", "xbo"])
async def test_a_handshake_takes_the_nodes_of_all_parties_and_shows_who_they_are(handshake, party):
    of = getattr(handshake, party)
    n1 = of.node("n1")
    spiffe, version, pem = (await handshake.call(n1)).split(b"\n", 2)
    assert spiffe.decode() == f"spiffe://{party}.example/node/n1"
    assert version == b"TLSv1.3"
    directory = directory_of(handshake.xar, handshake.xbo)
    assert connecting(directory, from_pem(pem), of.now).identity == n1.identity


async def test_a_handshake_refuses_a_leaf_of_another_partys_trust_domain(handshake):
    n1 = handshake.xbo.node("n1")
    names = [uri("spiffe://xar.example/node/n1")]
    forged = crafted_leaf(handshake.xbo, names, spki=n1.tls.spki, at_ms=handshake.xbo.now)
    await refused(handshake.call(n1, forged))
    honest = crafted_leaf(
        handshake.xbo, [uri("spiffe://xbo.example/node/n1")], spki=n1.tls.spki, at_ms=handshake.xbo.now
    )
    assert b"spiffe://xbo.example/node/n1" in await handshake.call(n1, honest)


@pytest.mark.parametrize("names", [["xbo.example"], ["hub.xbo.example"], ["hub.xar.example", "hub.xbo.example"]])
async def test_a_handshake_refuses_a_dns_name_outside_the_trust_domain(handshake, names):
    n1 = handshake.xar.node("n1")
    given = [uri("spiffe://xar.example/node/n1"), *map(x509.DNSName, names)]
    forged = crafted_leaf(handshake.xar, given, spki=n1.tls.spki, at_ms=handshake.xar.now)
    await refused(handshake.call(n1, forged))


async def test_a_handshake_refuses_a_caller_of_an_unknown_authority(handshake):
    await refused(handshake.call(nation("XDE", now=handshake.xar.now).node("n1")))


async def test_a_handshake_refuses_an_expired_leaf(handshake):
    n1 = handshake.xar.node("n1")
    validity = {"valid_from_ms": n1.nation.now - HOUR, "valid_until_ms": n1.nation.now - 60_000}
    await refused(handshake.call(n1, handshake.xar.leaf(n1.identity, n1.tls.spki, **validity)))


async def test_a_node_cannot_stand_in_for_the_broker(handshake):
    n1 = handshake.xar.node("n1")
    await refused(handshake.call(n1, server=(n1.tls.pem(), n1.certificate_pem)))


async def test_a_broker_of_another_name_or_party_is_not_the_one_called(handshake):
    n1 = handshake.xar.node("n1")
    for other in (handshake.xar.broker("hub2"), handshake.xbo.broker("hub")):
        await refused(handshake.call(n1, server=(other.tls.pem(), other.certificate_pem)))
