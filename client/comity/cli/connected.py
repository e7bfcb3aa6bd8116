"""A command's connection to the broker, with the node's alarms told on standard error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import comity
from comity.cli.alarms import telling_alarms
from comity.cli.base import Invocation
from comity.node.home import Place

T = TypeVar("T")


def with_node(run: Invocation, place: Place, act: Callable[[comity.Node], Awaitable[T]]) -> T:
    """Connect as an identity of this machine, do something, tell its alarms, and leave."""
    passphrase = run.passphrase(str(place.identity))

    async def go() -> T:
        async with (
            comity.connect(
                run.broker or None, identity=str(place.identity), home=run.home.path, passphrase=passphrase
            ) as node,
            telling_alarms(run.output, node),
        ):
            return await act(node)

    return asyncio.run(go())
