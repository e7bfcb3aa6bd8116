"""`comity receive`: reports become files, neither repeated nor lost, and are acknowledged with a signature."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click

import comity
from comity.attachment import SavedAttachment
from comity.cli.alarms import telling_alarms
from comity.cli.base import Invocation, command, first_of, now_ms, until_stopped
from comity.cli.filed import tell_filed
from comity.cli.output import clause_json, safe
from comity.cli.progress import AttachmentBars
from comity.cli.reading import acknowledging, reader_of, reading_options, tell_waiting
from comity.cli.receive_again import Start, Terms, receive_again
from comity.cli.taken_back import tell_taken_back
from comity.errors import ComityError, RefusedError, RejectedError, UnreachableError, UsageError
from comity.identity.names import IdentityKind
from comity.node.alerting import Alerted, Alerting
from comity.node.contacting import Contact, contact_of
from comity.node.filed_back import FiledBack, file_back
from comity.node.filing import file_report
from comity.node.filing_attachments import save_attachments
from comity.node.reading import Waiting
from comity.node.taken_back import held_by
from comity_policy.facts import Precedence, Use


class _Wanted(Terms):
    """What `Node.receive` is called with."""

    follow: bool
    take_over: bool
    exercise: bool


@dataclass(frozen=True, slots=True)
class _Waking:
    """Whom to wake, and for what."""

    contacts: tuple[Contact, ...]
    precedences: frozenset[Precedence]


_URGENT = frozenset({Precedence.FLASH})
# Reports that are written at the same time: their waits for the disk become one.
AT_ONCE = 32


@command(
    "receive",
    example="""comity receive --into inbox --as XBO/n1 --purpose counter-terrorism
comity receive --follow --into inbox --as XBO/n1 --purpose counter-terrorism --purpose threat-to-life
comity receive --into inbox --as XBO/n1 --purpose counter-terrorism --reader XBO/analyst1
comity receive --follow --into inbox --as XBO/n1 --on-flash '/usr/local/bin/page duty-desk' \\
    --on-flash https://desk.xbo.example/alerts
comity receive --replay-from 2027-01-31T12:00:00Z --into again --as XBO/n1 --purpose counter-terrorism
comity receive --exercise --into played --as XBO/n1 --purpose counter-terrorism""",
)
@click.option("--into", required=True, metavar="DIR", help="Where the files are written.")
@click.option("--follow", is_flag=True, help="Go on waiting for new reports, until interrupted.")
@click.option("--consumer", default="default", show_default=True, help="The cursor's name; each is a copy of its own.")
@reading_options
@click.option(
    "--use", default=Use.READ.value, show_default=True, type=click.Choice([one.value for one in Use]), help="For what."
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many reports.")
@click.option(
    "--remove-recalled", is_flag=True, help="Remove the files here of what is recalled or superseded, unless disputed."
)
@click.option(
    "--on-flash",
    "--webhook",
    "contacts",
    multiple=True,
    metavar="CMD|URL",
    help="Whom to wake for a FLASH report: a command, run without a shell, or an https address; may be repeated, in their order.",
)
@click.option("--on-immediate", is_flag=True, help="Wake them for IMMEDIATE reports too.")
@click.option("--exercise", is_flag=True, help="Reports of exercises and nothing else; without it none of them.")
@click.option("--take-over", is_flag=True, help="Take the consumer from the process that holds it.")
@click.option(
    "--replay-from",
    metavar="TIME|ENTRY",
    help="Read again what the consumer was handed since, and acknowledge nothing: a time, or an entry's number with --agreement.",
)
@click.option("--agreement", "agreement_id", default="", help="Read again under this agreement only.")
def receive(
    run: Invocation,
    *,
    into: str,
    follow: bool,
    consumer: str,
    purposes: tuple[str, ...],
    use: str,
    reader: str | None,
    reader_passphrase_file: str | None,
    accept_caveats: bool,
    limit: int | None,
    remove_recalled: bool,
    contacts: tuple[str, ...],
    on_immediate: bool,
    take_over: bool,
    replay_from: str | None,
    agreement_id: str,
    exercise: bool,
) -> None:
    """Receive reports as files.

    Each report is verified, opened as far as the agreement lets this node, written as files, flushed to disk, and only then
    acknowledged with a signature. Killed at any moment and started again, it neither repeats nor loses a file.
    ID-N.* is portion N, ID.json says what the report is, its banner first. What the node noticed and cannot mend (its alarms)
    is told on standard error.

    Where an agreement asks who reads, --reader names an officer whose keys are on this machine; where it asks what for, --purpose
    says so (or COMITY_PURPOSE): the sender's word is not the reader's. A use caveat is shown before the report and acknowledged on
    the terminal, or with --accept-caveats. What lacks one of these is not opened and not lost: it waits, and comes again when
    somebody receives who brings it. Under an agreement with a clause on precedence the originator is told that the officer read it.

    Reports of exercises come with --exercise alone, to a consumer of its own: files of both kinds are told apart by their banner and by
    the first line said of them, best by another directory.

    A recall comes ahead of everything else. What it recalls is not written any more; files of it that are here already are flagged
    by ID.recalled.json, and with --remove-recalled removed. That all copies are gone an officer certifies: comity report destroy.

    --on-flash (or --webhook) wakes people: the first contact when the report arrives, the next after half of the time that is left to read
    it, while no officer has. A command finds the facts in COMITY_ALERT_REPORT_ID, _AGREEMENT_ID, _ORIGINATOR, _PRECEDENCE,
    _EXERCISE (yes or no), _READING_DUE, _CONTACT and _CONTACTS, an address gets them as JSON: never what the report says.

    --replay-from gives once more what the consumer was handed from then on, to be read only: nothing is acknowledged, and nothing of the
    consumer moves, also while another process receives for it. The log says who read again and from where. What was recalled, superseded
    or withdrawn, has expired or is not permitted any more is told of and not written. Reports of exercises are not given. It asks for the same reader, purpose and caveats.
    """
    again = None if replay_from is None else Start.of(replay_from, agreement_id)
    if again is None and agreement_id:
        raise UsageError("--agreement narrows what is read again", what_to_do="Say from where: --replay-from TIME.")
    if again is not None and (follow or take_over or remove_recalled or contacts or exercise):
        raise UsageError(
            "what is read again is real traffic, neither followed nor taken over, removes nothing and wakes nobody",
            what_to_do=(
                "Leave --exercise, --follow, --take-over, --remove-recalled and --on-flash to a receive without --replay-from."
            ),
        )
    waking = tuple(contact_of(words) for words in contacts)
    if on_immediate and not waking:
        raise UsageError("--on-immediate wakes nobody", what_to_do="Say whom: --on-flash CMD, or --webhook URL.")
    place = run.acting(IdentityKind.NODE)
    passphrase = run.passphrase(str(place.identity))
    terms: Terms = {
        "consumer": consumer,
        "purpose": purposes,
        "use": Use(use),
        "reader": reader_of(run, reader, reader_passphrase_file),
        "acknowledge": acknowledging(accept=accept_caveats),
    }
    if again is not None:
        until_stopped(receive_again(run, Path(into), str(place.identity), passphrase, again, limit, terms))
        return
    until_stopped(
        _receive(
            run,
            identity=str(place.identity),
            passphrase=passphrase,
            filing=_Filing(run, Path(into), remove_recalled=remove_recalled),
            limit=limit,
            waking=_Waking(waking, _URGENT | ({Precedence.IMMEDIATE} if on_immediate else set())),
            wanted={**terms, "follow": follow, "take_over": take_over, "exercise": exercise},
        )
    )


@dataclass(frozen=True, slots=True)
class _Filing:
    """Where files are written, and whether those of what was taken back are removed."""

    run: Invocation
    directory: Path
    remove_recalled: bool


async def _receive(
    run: Invocation,
    *,
    filing: _Filing,
    identity: str,
    passphrase: bytes,
    limit: int | None,
    waking: _Waking,
    wanted: _Wanted,
) -> None:
    count = 0
    async with (
        comity.connect(run.broker or None, identity=identity, home=run.home.path, passphrase=passphrase) as node,
        telling_alarms(run.output, node),
        _alerting(run, node, waking) as alerting,
    ):
        bars = AttachmentBars(run)
        deliveries = node.receive(**wanted, waiting=lambda one: _waits(run, alerting, one))
        room = asyncio.Semaphore(AT_ONCE)
        before = asyncio.Event()
        before.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                # Leaving the connection closes what still receives: acknowledgements that were given go out first.
                async for delivery in deliveries:
                    if alerting is not None:
                        report_id = delivery.report.report_id
                        alerting.arrived(delivery.agreement_id, report_id, delivery.origin, delivery.transport_class)
                    await room.acquire()
                    after = asyncio.Event()
                    tasks.create_task(_file(filing, node, delivery, bars, room, before, after))
                    before = after
                    count += 1
                    if count == limit:
                        break
        except* ComityError as several:
            raise first_of(several) from None
        finally:
            bars.close()
    run.output.note(f"{count} report{'' if count == 1 else 's'} received.")


@asynccontextmanager
async def _alerting(run: Invocation, node: comity.Node, waking: _Waking) -> AsyncIterator[Alerting | None]:
    """Wake the contacts, if there are any, until the end of the block."""
    if not waking.contacts:
        yield None
        return
    alerting = Alerting(
        node.mirror,
        waking.contacts,
        precedences=waking.precedences,
        told=lambda one: _tell_alerted(run, one),
        now_ms=now_ms,
    )
    alerting.begin()
    try:
        yield alerting
    finally:
        await alerting.close()


def _tell_alerted(run: Invocation, one: Alerted) -> None:
    kind = "EXERCISE " * one.urgent.exercise
    about = f"{kind}{one.urgent.precedence.name} report {one.urgent.report_id} from {one.urgent.originator}"
    which = f"contact {one.contact} of {one.contacts} ({one.name})"
    if one.woken:
        run.output.note(f"{about}: {which} was alerted.")
    else:
        run.output.alarm(
            f"ALERT FAILED, {about}: {which} could not be alerted", kind="ALERT_FAILED", **_alert_facts(one)
        )


def _alert_facts(one: Alerted) -> dict[str, object]:
    return {**one.urgent.facts(one.contact, one.contacts), "name": one.name}


def _waits(run: Invocation, alerting: Alerting | None, waiting: Waiting) -> None:
    if alerting is not None:
        alerting.arrived(waiting.agreement_id, waiting.report_id, waiting.origin, waiting.transport_class)
    tell_waiting(run, waiting)


async def _file(  # noqa: PLR0917 - one task of the group above
    filing: _Filing,
    node: comity.Node,
    delivery: comity.Delivery,
    bars: AttachmentBars,
    room: asyncio.Semaphore,
    before: asyncio.Event,
    after: asyncio.Event,
) -> None:
    """Write a report's files, then acknowledge it and say so, after the one before: several wait for the disk at once."""
    try:
        async with delivery as report:
            back = await _file_back(filing, node, delivery, report)
            filed = None
            if back is None or back.how != "recalled":
                if report.attachments:
                    # What comes after it does not wait for hours: only what is written at once is told in order.
                    await before.wait()
                    after.set()
                attachments = await _attachments(filing, delivery, bars)
                if attachments is None:
                    return
                filed = await asyncio.to_thread(
                    file_report,
                    filing.directory,
                    report,
                    agreement_id=delivery.agreement_id,
                    originator=delivery.origin,
                    admitted_at=delivery.admitted_at,
                    log_index=delivery.log_index,
                    attachments=attachments,
                )
            await before.wait()
        if back is not None:
            tell_taken_back(filing.run, report, back, delivery)
        if filed is not None:
            _tell(filing.run, report, filed.description, delivery, new=filed.new)
    finally:
        after.set()
        room.release()


async def _file_back(
    filing: _Filing, node: comity.Node, delivery: comity.Delivery, report: comity.ReceivedReport
) -> FiledBack | None:
    """Flag (and remove) the files of what a report takes back; None where it takes nothing."""
    named = report.recalls or report.supersedes
    if named is None:
        return None
    leaf = next(leaf for _, report_id, leaf in report.refers_to if report_id == named)
    state = node.agreement(delivery.agreement_id).state
    return await asyncio.to_thread(
        file_back,
        filing.directory,
        report,
        agreement_id=delivery.agreement_id,
        received_at=delivery.admitted_at,
        remove=filing.remove_recalled,
        held_by=held_by(state, named.bytes, leaf),
    )


async def _attachments(
    filing: _Filing, delivery: comity.Delivery, bars: AttachmentBars
) -> dict[int, SavedAttachment] | None:
    """Save a report's attachments; None where they cannot be had now, and the report is put aside or given back."""
    report = delivery.report
    name = str(report.report_id)
    try:
        return await save_attachments(filing.directory, report, lambda progress: bars.tell(progress, name))
    except (RefusedError, RejectedError, UnreachableError) as error:
        if isinstance(error, UnreachableError):
            delivery.retry()
        else:
            delivery.park(f"an attachment was not had: {error.code.name}")
        filing.run.output.note(f"Report {name}: an attachment was not had ({error.code.name}): {safe(error.message)}")
    return None


def _tell(
    run: Invocation,
    report: comity.ReceivedReport,
    description: Mapping[str, object],
    delivery: comity.Delivery,
    *,
    new: bool,
) -> None:
    further: dict[str, object] = {}
    if delivery.waits_for:
        further = {"waits_for": sorted(delivery.waits_for), "clauses": [clause_json(one) for one in report.refused]}
    waits = bool(delivery.waits_for)
    tell_filed(run, report, description, waits=waits, **further, attempt=delivery.attempt, new=new)
