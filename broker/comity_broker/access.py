"""Who calls, and whether they may: the interceptor that enforces the access declarations of the protocol files.

In order, for every call: TLS 1.3 (grpcio accepts 1.2, so it is looked at here); a client certificate whose SPIFFE id can be
read; the directory's word on that identity and that very key; one of the method's declared roles; a stream's place among those
of its node. A method without a declaration does not start. A live stream of a key that is revoked, superseded or expired ends
at once: the directory says so by `expel`, and a poll finds what time alone ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, TypeAlias, cast

import grpc

from comity.errors import AccessError, ComityError, ErrorCode, KeyFault
from comity.identity.names import Identity

_TLS = b"TLSv1.3"
UNENROLLED = "unenrolled"
NODE = "node"

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a connection is, as certificate and directory say. `roles` are words: "node", "unenrolled", or officers' roles.

    `certificate` is the SHA-384 of the leaf's DER, `key` the fingerprint of its public key. `agreements` empty: all of
    its party's.
    """

    identity: Identity
    roles: frozenset[str]
    certificate: bytes
    key: bytes
    agreements: frozenset[str] = frozenset()
    der: bytes = field(default=b"", repr=False)

    @property
    def party(self) -> str:
        """Give the caller's party."""
        return self.identity.party


@dataclass(frozen=True, slots=True)
class Declaration:
    """Who may call a method: one of these roles; where `operator_only`, of the party that operates the broker."""

    roles: frozenset[str]
    operator_only: bool = False


class Authenticator(Protocol):
    """The directory, as far as access asks it."""

    def caller(self, spiffe_uri: str, certificate_pem: bytes) -> Caller:
        """Give the caller; raises KeyFault or AccessError saying why there is none."""


class Failing(Protocol):
    """How a call ends with an error (``comity_broker.services.refusals`` is it)."""

    async def abort(self, context: Context, error: ComityError) -> NoReturn:
        """End the call with the error's status and its one detail."""

    def internal(self, method: str, error: Exception) -> ComityError:
        """Log a bug of ours; give what the caller is told of it."""


class Denials(Protocol):
    """Where denied and failed calls are written down."""

    def denied(self, method: str, caller: Caller | None, peer: str, error: ComityError) -> None:
        """Record one denied call; never blocks."""


_CALLER: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """Give the caller of the call that is being served."""
    return _CALLER.get()


@dataclass(slots=True, eq=False)
class _Stream:
    caller: Caller
    task: asyncio.Task[Any]
    ended_by: ComityError | None = None


@dataclass(slots=True)
class LiveStreams:
    """The streams that are open now, by caller."""

    per_caller: int
    _open: set[_Stream] = field(default_factory=set)

    def enter(self, who: Caller) -> _Stream:
        """Count a stream in; raises AccessError when its caller has too many."""
        if sum(one.caller.identity == who.identity for one in self._open) >= self.per_caller:
            raise AccessError(
                f"{who.identity} has {self.per_caller} streams open already",
                what_to_do="Close one, or use the streams that are open.",
                code=ErrorCode.RATE_LIMITED,
                retry_after_seconds=1.0,
            )
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a stream is served outside a task")
        stream = _Stream(who, task)
        self._open.add(stream)
        return stream

    def leave(self, stream: _Stream) -> None:
        """Count a stream out."""
        self._open.discard(stream)

    def expel(self, still: Callable[[Caller], ComityError | None]) -> int:
        """End every stream of whose caller `still` gives an error; give how many."""
        ended = 0
        for stream in self._open:
            if stream.ended_by is None and (error := still(stream.caller)) is not None:
                stream.ended_by = error
                stream.task.cancel()
                ended += 1
        return ended

    def count(self) -> int:
        """Give how many are open."""
        return len(self._open)


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler with the checks of this module, in order."""

    def __init__(
        self,
        *,
        declarations: Mapping[str, Declaration],
        authenticator: Authenticator,
        denials: Denials,
        streams: LiveStreams,
        operator_party: str,
        failing: Failing,
    ) -> None:
        self._declarations = declarations
        self._authenticator = authenticator
        self._denials = denials
        self._streams = streams
        self._operator_party = operator_party
        self._failing = failing

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Give the handler with the checks before it; an unknown method has none and stays unimplemented."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        return None if handler is None else self._wrapped(method, self._declarations.get(method), handler)

    def _wrapped(self, method: str, declared: Declaration | None, handler: Handler) -> Handler:
        if handler.response_streaming:
            return self._streaming(method, declared, handler)
        return self._unary(method, declared, handler)

    def _unary(self, method: str, declared: Declaration | None, handler: Handler) -> Handler:
        behaviour = cast("Callable[[Any, Context], Awaitable[Any]]", handler.unary_unary or handler.stream_unary)

        async def serve(request: Any, context: Context) -> Any:
            await self._admit(method, declared, context)
            try:
                return await behaviour(request, context)
            except ComityError as error:
                return await self._failing.abort(context, error)
            except (asyncio.CancelledError, grpc.aio.AbortError):
                raise
            except Exception as error:  # noqa: BLE001 - the outermost place of a call: the caller gets INTERNAL, the log the trace
                return await self._failing.abort(context, self._failing.internal(method, error))

        make = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        return make(serve, handler.request_deserializer, handler.response_serializer)

    def _streaming(self, method: str, declared: Declaration | None, handler: Handler) -> Handler:
        behaviour = cast(
            "Callable[[Any, Context], AsyncIterator[Any] | Awaitable[None]]",
            handler.stream_stream or handler.unary_stream,
        )

        async def serve(request: Any, context: Context) -> AsyncIterator[Any]:
            who = await self._admit(method, declared, context)
            try:
                stream = self._streams.enter(who)
            except ComityError as error:
                await self._failing.abort(context, error)
            try:
                served = behaviour(request, context)
                if isinstance(served, AsyncIterator):
                    async for response in served:
                        yield response
                else:
                    # A handler that writes to the context itself, as the health service's does.
                    await served
            except ComityError as error:
                await self._failing.abort(context, error)
            except asyncio.CancelledError:
                if stream.ended_by is None:
                    raise
                stream.task.uncancel()
                await self._failing.abort(context, stream.ended_by)
            except (GeneratorExit, grpc.aio.AbortError):
                raise
            except Exception as error:  # noqa: BLE001 - the outermost place of a call: the caller gets INTERNAL, the log the trace
                await self._failing.abort(context, self._failing.internal(method, error))
            finally:
                self._streams.leave(stream)

        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return make(serve, handler.request_deserializer, handler.response_serializer)

    async def _admit(self, method: str, declared: Declaration | None, context: Context) -> Caller:
        who: Caller | None = None
        try:
            who = self._authenticated(context)
            self._authorised(method, declared, who)
        except ComityError as error:
            self._denials.denied(method, who, context.peer() or "", error)
            await self._failing.abort(context, error)
        if who is None:
            raise AssertionError("a caller is known after authentication")
        _CALLER.set(who)
        return who

    def _authenticated(self, context: Context) -> Caller:
        auth = context.auth_context()
        if _first(auth, "ssl_tls_version") != _TLS:
            raise KeyFault(
                "the connection is not TLS 1.3",
                what_to_do="Connect with TLS 1.3.",
                code=ErrorCode.TLS_TOO_OLD,
            )
        uri, pem = _first(auth, "peer_spiffe_id"), _first(auth, "x509_pem_cert")
        if not uri or not pem:
            raise KeyFault(
                "the client certificate names no identity",
                what_to_do="Use the certificate your party issued for this node or officer.",
                code=ErrorCode.UNAUTHENTICATED,
            )
        return self._authenticator.caller(uri.decode("ascii", "replace"), pem)

    def _authorised(self, method: str, declared: Declaration | None, who: Caller) -> None:
        if declared is None:
            raise AccessError(f"{method} is not offered", code=ErrorCode.ROLE_NOT_ALLOWED)
        if who.roles == {UNENROLLED} and UNENROLLED not in declared.roles:
            raise AccessError(
                f"{who.identity} is not enrolled here; it may call enrolment only",
                what_to_do=f"Enrol it: comity {who.identity.kind.value} {_enrolling(who)} {who.identity}.",
                code=ErrorCode.NOT_ENROLLED,
            )
        if who.roles.isdisjoint(declared.roles):
            raise AccessError(
                f"none of the roles of {who.identity} ({', '.join(sorted(who.roles))}) may call {method}",
                what_to_do=f"It is for: {', '.join(sorted(declared.roles - {UNENROLLED}))}.",
                code=ErrorCode.ROLE_NOT_ALLOWED,
            )
        if declared.operator_only and who.party != self._operator_party:
            raise AccessError(
                f"{method} is for the operator of this broker's own party, {self._operator_party}",
                code=ErrorCode.ROLE_NOT_ALLOWED,
            )


def _enrolling(who: Caller) -> str:
    return "accredit" if who.identity.kind.value == "officer" else "enrol"


def _first(auth: Mapping[str, Iterable[bytes]], name: str) -> bytes:
    return next(iter(auth.get(name, ())), b"")
