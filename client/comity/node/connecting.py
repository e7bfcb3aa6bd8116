"""Connecting an identity of this machine to its broker: keys, mirror and connections opened, and the node that stands on them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from comity.identity.bodies import PartyCard
from comity.identity.names import Identity, IdentityKind
from comity.keys.passphrase import find_passphrase
from comity.node.abilities import state_when_changed
from comity.node.access import Access
from comity.node.clock import NowMs, wall_ms
from comity.node.connection import Connection
from comity.node.home import Home
from comity.node.logs import ForkError
from comity.node.mirror import Mirror
from comity.node.node import Node
from comity.node.sending import PATIENCE_SECONDS
from comity.suites import RandomBytes

REFRESH_SECONDS: Final = 10.0


@asynccontextmanager
async def connect(
    address: str | None = None,
    *,
    identity: str | Identity,
    home: str | os.PathLike[str] | None = None,
    passphrase_file: str | os.PathLike[str] | None = None,
    passphrase: bytes | None = None,
    now_ms: NowMs = wall_ms,
    random_bytes: RandomBytes = os.urandom,
    refresh_seconds: float = REFRESH_SECONDS,
    patience_seconds: float = PATIENCE_SECONDS,
) -> AsyncIterator[Node]:
    """Connect an identity of this machine to its broker, or to the one at `address` (HOST:PORT); gives a `Node`.

    The passphrase is given, or found: `passphrase_file`, the service's credentials, COMITY_PASSPHRASE_FILE. `send` waits at most
    `patience_seconds` for a broker that cannot take a report. Raises KeyFault for keys and certificates, UnreachableError,
    ForkError, and NotFoundError for what is not on this machine.
    """
    place = Home.at(home, os.environ)
    secret = passphrase
    if secret is None:
        file = None if passphrase_file is None else Path(passphrase_file)
        secret = find_passphrase(file=file, environ=os.environ, ask=None)
    access = await asyncio.to_thread(Access.load, place, identity, secret, now_ms=now_ms(), address=address)
    async with connected(
        access,
        place.trusted_roots(),
        now_ms=now_ms,
        random_bytes=random_bytes,
        refresh_seconds=refresh_seconds,
        patience_seconds=patience_seconds,
    ) as node:
        yield node


@asynccontextmanager
async def connected(
    access: Access,
    cards: Mapping[str, PartyCard],
    *,
    now_ms: NowMs = wall_ms,
    random_bytes: RandomBytes = os.urandom,
    refresh_seconds: float = REFRESH_SECONDS,
    patience_seconds: float = PATIENCE_SECONDS,
) -> AsyncIterator[Node]:
    """Connect an identity whose keys are loaded, with the cards that are trusted; gives a `Node`, as `connect`."""
    async with AsyncExitStack() as stack:
        normal = await stack.enter_async_context(Connection(access.target, now_ms=now_ms))
        urgent = await stack.enter_async_context(Connection(access.target, now_ms=now_ms))
        mirror = stack.enter_context(
            Mirror.open(
                access.place.mirror,
                party=access.place.identity.party,
                broker=access.broker,
                broker_tls_name=access.target.tls_name,
                cards=cards,
                now_ms=now_ms,
            )
        )
        node = Node(
            access,
            mirror,
            (normal, urgent),
            now_ms=now_ms,
            random_bytes=random_bytes,
            refresh_seconds=refresh_seconds,
            patience_seconds=patience_seconds,
        )
        stack.push_async_callback(node.close)
        try:
            await node.refresh()
        except ForkError:
            # One agreement's fork stops that agreement, wherever it is asked for; a fork of the key log stops everything.
            mirror.require_keys()
        if node.identity.kind is IdentityKind.NODE:
            await state_when_changed(normal, mirror, node.keys, now_ms())
        node.start()
        yield node
