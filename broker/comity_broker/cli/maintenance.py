"""`comity broker maintenance`: have a running broker accept and hold for a while, and say so."""

from __future__ import annotations

import asyncio

import click

from comity.cli.base import Group, Invocation
from comity.identity.names import IdentityKind
from comity.node.connection import Connection
from comity.node.operations import broker_status, set_maintenance
from comity.node.times import moment_of, rfc3339


@click.group(cls=Group)
def maintenance() -> None:
    """Maintenance: a running broker accepts reports and hands nothing over, until a time or until it is told to go on."""


@maintenance.does("on", example="comity broker maintenance on --until 2027-03-01T06:00:00Z --as XAR/operator1")
@click.option("--until", "end", required=True, metavar="TIME", help="When it ends by itself; at most 7 days ahead.")
def on(run: Invocation, end: str) -> None:
    """Begin maintenance, or move its end. Reports are accepted, with receipts, and wait; every node is told until when."""
    _say(run, asyncio.run(_set(run, moment_of(end))))


@maintenance.does("off", example="comity broker maintenance off --as XAR/operator1")
def off(run: Invocation) -> None:
    """End maintenance: what waits is handed over."""
    _say(run, asyncio.run(_set(run, 0)))


@maintenance.does("status", example="comity broker maintenance status --as XAR/operator1 --json")
def status(run: Invocation) -> None:
    """Say whether the broker is in maintenance, and until when."""

    async def ask() -> int:
        async with _connected(run) as connection:
            return (await broker_status(connection)).maintenance_until

    _say(run, asyncio.run(ask()))


async def _set(run: Invocation, until_ms: int) -> int:
    async with _connected(run) as connection:
        return await set_maintenance(connection, until_ms)


def _say(run: Invocation, until_ms: int) -> None:
    run.output.record(maintenance=bool(until_ms), until=rfc3339(until_ms) if until_ms else None)
    run.output.show(
        f"In maintenance until {rfc3339(until_ms)}: reports are accepted and wait."
        if until_ms
        else "Not in maintenance: reports are handed over."
    )


def _connected(run: Invocation) -> Connection:
    place = run.acting(IdentityKind.OFFICER)
    passphrase = run.passphrase(str(place.identity))
    return Connection.of_identity(run.home, str(place.identity), passphrase, run.broker or None)
