"""Bringing a mirror up to what a broker has logged by now, for people who act one after the other (design 05, "Format").

A broker signs a checkpoint of a log at most once a second, and a mirror takes nothing beyond a signed checkpoint: what was logged
a moment ago may not be in it yet. How many entries there are by now the broker only says; whoever waits for them is delayed by
a false answer, and never told anything that was not verified.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

from comity.node.connection import Connection
from comity.node.logs import OPERATIONS
from comity.node.mirror import Mirror
from comity.v1 import agreement_pb2, audit_pb2

PATIENCE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05


async def catch_up(
    connection: Connection,
    mirror: Mirror,
    agreements: Collection[str] | None = None,
    *,
    at_least: Mapping[str, int] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Refresh a mirror until it holds what the broker says is logged, of these agreements (None: all) and of the key log.

    `at_least` are sizes that are known, by agreement. After `patience_seconds` what was verified by then has to do. Raises as
    `Mirror.refresh` does.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    keys, logs = await _logged(connection, agreements)
    logs = {**logs, **(at_least or {})}
    while True:
        await mirror.refresh(connection, agreements)
        reached = all(_size(mirror, name) >= size for name, size in logs.items())
        if (reached and _size(mirror, None) >= keys) or loop.time() > deadline:
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def _logged(connection: Connection, agreements: Collection[str] | None) -> tuple[int, dict[str, int]]:
    newest = audit_pb2.GetEntriesRequest(log=audit_pb2.LogSelector(keys=True), first=0, limit=1)
    keys = await connection.call(connection.audit.GetEntries, newest)
    # Who reads the operations log need not be one who may list agreements; a checkpoint of it is signed on request.
    if agreements is not None and not set(agreements) - {OPERATIONS}:
        return keys.log_size, {}
    listed = await connection.call(connection.agreements.ListAgreements, agreement_pb2.ListAgreementsRequest())
    wanted = {one.agreement_id: one.log_size for one in listed.agreements}
    # A frozen log is never signed any further: waiting for it would be for nothing.
    frozen = {one.agreement_id for one in listed.agreements if one.frozen_reason}
    named = wanted.keys() if agreements is None else set(agreements) & wanted.keys()
    return keys.log_size, {name: wanted[name] for name in named - frozen}


def _size(mirror: Mirror, name: str | None) -> int:
    pin = mirror.pin(name)
    return 0 if pin is None else pin.size
