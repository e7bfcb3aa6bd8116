"""Alarms on standard error: what a node noticed and cannot mend, told to whoever runs a command that asks its broker.

Rules in order:
1. An alarm is told like an error: also with --quiet, and with --json as one object a line, ``{"alarm": {...}}``.
2. Those that stand are told when a command begins, those that come while it runs within `LOOK_SECONDS`, each once a command.
3. A peer may cause any number: of those that are due at once the newest `MOST` are told, and how many were before them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from comity.cli.output import Output
from comity.node.times import rfc3339

if TYPE_CHECKING:
    from comity.node.alarms import Alarm
    from comity.node.node import Node

LOOK_SECONDS: Final = 10.0
MOST: Final = 20


@asynccontextmanager
async def telling_alarms(output: Output, node: Node, *, look_seconds: float = LOOK_SECONDS) -> AsyncIterator[None]:
    """Tell a node's alarms by the rules above, from now until the end of the block. Raises StorageError."""
    teller = _Teller(output, node)
    teller.tell()
    watching = asyncio.create_task(teller.watch(look_seconds))
    try:
        yield
    finally:
        watching.cancel()
        # What ended it early (the mirror cannot be read) ends the next line too, where it is raised.
        await asyncio.gather(watching, return_exceptions=True)
        teller.tell()


def tell_maintenance(output: Output, until_ms: int) -> None:
    """Say that the broker holds what it accepts until then, Unix milliseconds; 0: that it hands over again."""
    if until_ms:
        line = f"The broker is in maintenance until {rfc3339(until_ms)}: it accepts reports, and hands them over afterwards."
    else:
        line = "The broker hands over again."
    output.alarm(line, kind="MAINTENANCE", until=rfc3339(until_ms) if until_ms else None)


class _Teller:
    def __init__(self, output: Output, node: Node) -> None:
        self._output = output
        self._node = node
        self._told = 0
        self._held_until = 0

    async def watch(self, look_seconds: float) -> None:
        while True:
            await asyncio.sleep(look_seconds)
            self.tell()

    def tell(self) -> None:
        if self._node.connection.held_until != self._held_until:
            self._held_until = self._node.connection.held_until
            tell_maintenance(self._output, self._held_until)
        # An alarm is never taken back, so those that were told are the first ones.
        due = self._node.alarms()[self._told :]
        self._told += len(due)
        if len(due) > MOST:
            self._output.alarm(f"{len(due) - MOST} alarms before these are not shown", earlier=len(due) - MOST)
        for one in due[-MOST:]:
            self._output.alarm(_line(one), **_facts(one))


def _line(alarm: Alarm) -> str:
    about = f"{alarm.agreement_id}, {alarm.subject}" if alarm.agreement_id else alarm.subject
    return f"ALARM {alarm.kind.value} at {rfc3339(alarm.at)}, {about}: {alarm.detail}"


def _facts(alarm: Alarm) -> dict[str, object]:
    return {
        "kind": alarm.kind.value,
        "agreement_id": alarm.agreement_id or None,
        "subject": alarm.subject,
        "detail": alarm.detail,
        "at": rfc3339(alarm.at),
    }
