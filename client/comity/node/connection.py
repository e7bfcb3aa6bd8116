"""One connection to a broker: mutual TLS 1.3, typed stubs, and errors of our tree (designs 01 and 04).

Rules in order:
1. The broker is who its certificate says: its TLS name is asked for by name and its operator's authorities, from the card a
   person trusted, are the only roots. An address decides nothing. Where they no longer issue the broker's certificate, the
   card is read again: with other authorities in it a new connection takes the place of this one, and the call that met it
   fails as one to be tried again.
2. Our own certificate is looked at before it is shown: one that has expired by our clock is said so, and never sent.
3. Every failure of a call is a ComityError: the broker's Refusal, or what the transport says in words that help.
4. A read is never cancelled by a deadline of ours: unary calls carry a gRPC deadline, streams end by `cancel` only.
5. Two connections never share a TCP connection: what is urgent does not queue behind what is not.

    async with Connection.of_identity(home, "XAR/n1", passphrase) as connection:
        reply = await connection.call(connection.agreements.ListAgreements, ListAgreementsRequest())
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc

from comity.errors import ComityError, UnreachableError, UsageError
from comity.identity.certificates import read_leaf, require_time
from comity.identity.names import Identity
from comity.keys.tls import from_pem
from comity.node.access import Access, Target
from comity.node.clock import NowMs, wall_ms
from comity.node.home import Home
from comity.node.refusals import error_of_call, is_of_another_authority
from comity.v1.agreement_pb2_grpc import AgreementServiceStub
from comity.v1.attachments_pb2_grpc import AttachmentServiceStub
from comity.v1.audit_pb2_grpc import AuditServiceStub
from comity.v1.exchange_pb2_grpc import ExchangeServiceStub
from comity.v1.identity_pb2_grpc import DirectoryServiceStub
from comity.v1.operations_pb2_grpc import OperationsServiceStub

_WINDOW_BYTES: Final = 2 << 20
MESSAGE_BYTES: Final = 8 << 20
TIMEOUT_SECONDS: Final = 30.0

Request = TypeVar("Request")
Response = TypeVar("Response")


class Connection:
    """A connection, opened by ``async with``; streams and calls of one event loop share it."""

    exchange: ExchangeServiceStub
    directory: DirectoryServiceStub
    agreements: AgreementServiceStub
    attachments: AttachmentServiceStub
    audit: AuditServiceStub
    operations: OperationsServiceStub

    def __init__(self, target: Target, *, now_ms: NowMs = wall_ms) -> None:
        self._target = target
        self._now_ms = now_ms
        self._channel: grpc.aio.Channel | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._renewed_at: float | None = None
        # Until when the broker says that it hands nothing over, Unix milliseconds; 0 where it does.
        self.held_until = 0

    @classmethod
    def open(
        cls,
        address: str,
        *,
        broker_tls_name: str,
        roots_pem: bytes,
        key_pem: bytes,
        certificate_pem: bytes,
        now_ms: NowMs = wall_ms,
    ) -> Connection:
        """Describe a connection to the broker with that TLS name; ``async with`` opens it."""
        return cls(Target(address, broker_tls_name, roots_pem, key_pem, certificate_pem), now_ms=now_ms)

    @classmethod
    def of_identity(
        cls,
        home: Home,
        identity: str | Identity,
        passphrase: bytes,
        address: str | None = None,
        *,
        now_ms: NowMs = wall_ms,
    ) -> Connection:
        """Describe a connection of an identity of this machine to its broker; raises as `Access.load`."""
        return cls(Access.load(home, identity, passphrase, now_ms=now_ms(), address=address).target, now_ms=now_ms)

    @property
    def address(self) -> str:
        """Give HOST:PORT."""
        return self._target.address

    @property
    def broker_tls_name(self) -> str:
        """Give the name the broker's certificate must hold."""
        return self._target.tls_name

    async def __aenter__(self) -> Self:
        """Open; nothing is sent before the first call. Raises KeyFault for a certificate that is not valid now."""
        leaf = read_leaf(from_pem(self._target.certificate_pem))
        require_time(str(leaf.spiffe), leaf.not_before_ms, leaf.not_after_ms, self._now_ms())
        self._open()
        return self

    def _open(self) -> None:
        target = self._target
        credentials = grpc.ssl_channel_credentials(target.roots_pem, target.key_pem, target.certificate_pem)
        self._channel = channel = grpc.aio.secure_channel(target.address, credentials, options=_options(target))
        self.exchange = ExchangeServiceStub(channel)
        self.directory = DirectoryServiceStub(channel)
        self.agreements = AgreementServiceStub(channel)
        self.attachments = AttachmentServiceStub(channel)
        self.audit = AuditServiceStub(channel)
        self.operations = OperationsServiceStub(channel)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close; calls that are open end."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
        if self._closing:
            await asyncio.wait(self._closing)

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout: float = TIMEOUT_SECONDS,  # noqa: ASYNC109 - a gRPC deadline, which the broker sees; not a cancelled await
    ) -> Response:
        """Call a unary method; `timeout` in seconds. Raises ComityError of the tree for every failure."""
        if self._channel is None:
            raise UsageError("the connection is not open", what_to_do="Use it inside 'async with'.")
        try:
            return await method(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise self.error_of(error) from error

    def error_of(self, error: grpc.aio.AioRpcError) -> ComityError:
        """Give what a failed call or stream of this connection means; may open the connection anew, by rule 1."""
        meaning = error_of_call(error, address=self._target.address, tls_name=self._target.tls_name)
        if not is_of_another_authority(error):
            return meaning
        try:
            renewed = self._renewed()
        except ComityError as unread:
            # The card does not help: what the handshake said stands, and why the card was no help with it.
            meaning.add_note(f"{unread.code.name}: {unread.message}")
            return meaning
        if not renewed:
            return meaning
        return UnreachableError(
            f"the authority of the broker {self._target.tls_name} at {self._target.address} was renewed",
            what_to_do="Try again: its operator's newest card has been read.",
        )

    def _renewed(self) -> bool:
        """Take the operator's authorities as its card names them now; say whether they are others than those that failed."""
        before, channel, now = self._target, self._channel, asyncio.get_running_loop().time()
        if before.newer_roots is None or channel is None:
            return False
        roots = before.newer_roots(self._now_ms())
        if roots == before.roots_pem:
            # Several calls fail together: the first has opened the new channel, the others still speak of the old one.
            return self._renewed_at is not None and now < self._renewed_at + TIMEOUT_SECONDS
        self._renewed_at = now
        self._target = replace(before, roots_pem=roots)
        self._open()
        closing = asyncio.get_running_loop().create_task(channel.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return True


def _options(target: Target) -> list[tuple[str, str | int]]:
    return [
        ("grpc.ssl_target_name_override", target.tls_name),
        ("grpc.default_authority", target.tls_name),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 10_000),
        ("grpc.enable_retries", 0),
        # A window that is measured grows with every wait of this process, up to 16 MiB a stream.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
    ]
