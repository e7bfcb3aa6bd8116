"""`comity receive`: reports become files, neither repeated nor lost, and are acknowledged with a signature."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

import comity
from comity.cli.alarms import telling_alarms
from comity.cli.base import Invocation, command, first_of, until_stopped
from comity.cli.output import safe
from comity.errors import ComityError
from comity.identity.names import IdentityKind
from comity.node.filing import file_report

# Reports that are written at the same time: their waits for the disk become one.
AT_ONCE = 32


@command(
    "receive",
    example="""comity receive --into inbox --as XBO/n1
comity receive --follow --into inbox --as XBO/n1 --purpose counter-terrorism""",
)
@click.option("--into", required=True, metavar="DIR", help="Where the files are written.")
@click.option("--follow", is_flag=True, help="Go on waiting for new reports, until interrupted.")
@click.option("--consumer", default="default", show_default=True, help="The cursor's name; each is a copy of its own.")
@click.option("--purpose", help="What they are opened for; a report stated for something else stays closed.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many reports.")
@click.option("--take-over", is_flag=True, help="Take the consumer from the process that holds it.")
def receive(
    run: Invocation,
    *,
    into: str,
    follow: bool,
    consumer: str,
    purpose: str | None,
    limit: int | None,
    take_over: bool,
) -> None:
    """Receive reports as files.

    Each report is verified, opened as far as the agreement lets this node, written as files, flushed to disk, and only then
    acknowledged with a signature. Killed at any moment and started again, it neither repeats nor loses a file.
    ID-N.* is portion N, ID.json says what the report is, its banner first. What the node noticed and cannot mend (its alarms)
    is told on standard error.
    """
    place = run.acting(IdentityKind.NODE)
    passphrase = run.passphrase(str(place.identity))
    until_stopped(
        _receive(
            run,
            Path(into),
            identity=str(place.identity),
            passphrase=passphrase,
            follow=follow,
            consumer=consumer,
            purpose=purpose,
            limit=limit,
            take_over=take_over,
        )
    )


async def _receive(
    run: Invocation,
    directory: Path,
    *,
    identity: str,
    passphrase: bytes,
    follow: bool,
    consumer: str,
    purpose: str | None,
    limit: int | None,
    take_over: bool,
) -> None:
    count = 0
    async with (
        comity.connect(run.broker or None, identity=identity, home=run.home.path, passphrase=passphrase) as node,
        telling_alarms(run.output, node),
    ):
        deliveries = node.receive(consumer=consumer, follow=follow, purpose=purpose, take_over=take_over)
        room = asyncio.Semaphore(AT_ONCE)
        before = asyncio.Event()
        before.set()
        try:
            async with asyncio.TaskGroup() as filing:
                # Leaving the connection closes what still receives: acknowledgements that were given go out first.
                async for delivery in deliveries:
                    await room.acquire()
                    after = asyncio.Event()
                    filing.create_task(_file(run, directory, delivery, room, before, after))
                    before = after
                    count += 1
                    if count == limit:
                        break
        except* ComityError as several:
            raise first_of(several) from None
    run.output.note(f"{count} report{'' if count == 1 else 's'} received.")


async def _file(  # noqa: PLR0917 - one task of the group above
    run: Invocation,
    directory: Path,
    delivery: comity.Delivery,
    room: asyncio.Semaphore,
    before: asyncio.Event,
    after: asyncio.Event,
) -> None:
    """Write a report's files, then acknowledge it and say so, after the one before: several wait for the disk at once."""
    try:
        async with delivery as report:
            filed = await asyncio.to_thread(
                file_report,
                directory,
                report,
                agreement_id=delivery.agreement_id,
                originator=delivery.origin,
                admitted_at=delivery.admitted_at,
                log_index=delivery.log_index,
            )
            await before.wait()
        _tell(run, report, filed.description, attempt=delivery.attempt, new=filed.new)
    finally:
        after.set()
        room.release()


def _tell(run: Invocation, report: comity.ReceivedReport, description: object, *, attempt: int, new: bool) -> None:
    facts = description if isinstance(description, dict) else {}
    run.output.record(**facts, attempt=attempt, new=new)
    run.output.banner(report.banner, asked=False)
    title = f" {safe(report.title)!r}" if report.title else ""
    run.output.say(
        f"Report {report.report_id}{title} from {safe(str(facts['originator']))}, under {facts['agreement_id']}"
    )
    for portion in facts["portions"]:
        run.output.say(f"  portion {portion['portion']} [{safe(portion['marking'])}]: {portion['file']}")
    if facts["withheld"]:
        run.output.say(f"  withheld: portion {', '.join(map(str, facts['withheld']))} (this node has no key for it)")
