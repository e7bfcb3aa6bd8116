"""`comity send`: a report, or a directory of them in one go with constant memory."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

import comity
from comity.cli.alarms import tell_maintenance
from comity.cli.approvals import APPROVE_AS, YES, Asking, approvers, waiting_facts, waiting_words
from comity.cli.base import Invocation, command
from comity.cli.output import clause_json, clause_lines, explained, safe
from comity.cli.progress import AttachmentBars
from comity.cli.reports import STRUCTURED_HELP, one_report, receipt_facts, report_options, wishes_of
from comity.errors import ComityError, UsageError
from comity.identity.names import IdentityKind
from comity.node.approving import Approver
from comity.node.report_files import Wishes, read_report, report_names
from comity.node.sending import PATIENCE_SECONDS
from comity.report import Report

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@command(
    "send",
    example="""comity send report.txt --agreement XAR-XBO-1 --marking 'SECRET//REL TO XAR, XBO' \\
    --category terrorism --purpose counter-terrorism
comity send source.txt --marking 'SECRET//NOFORN' --summary summary.txt 'SECRET//REL TO XAR, XBO' \\
    --agreement XAR-XBO-1 --category terrorism --purpose counter-terrorism
comity send reports/ --agreement XAR-XBO-1 --marking 'RESTRICTED//REL TO XAR, XBO' --category cyber \\
    --purpose cyber-defence
echo 'Two boats.' | comity send - --agreement XAR-XBO-1 --marking 'SECRET//REL TO XAR, XBO' \\
    --category terrorism --purpose counter-terrorism
comity send warning.txt --agreement XAR-XBO-1 --marking 'SECRET//REL TO XAR, XBO' --category terrorism \\
    --purpose counter-terrorism --precedence flash --approve-as XAR/officer1 --approve-as XAR/officer2
comity send warning.txt --agreement XAR-XBO-1 --marking 'SECRET//REL TO XAR, XBO' --category terrorism \\
    --purpose counter-terrorism --precedence flash --await-approval
comity send boats.txt --attach video.mp4 --agreement XAR-XBO-1 --marking 'SECRET//REL TO XAR, XBO' \\
    --category terrorism --purpose counter-terrorism
comity send --resume""",
    notes=STRUCTURED_HELP,
)
@click.argument("source", metavar="FILE|DIR|-", default="")
@click.option("--agreement", "agreement_id", default="", help="The agreement it is sent under.")
@click.option("--resume", is_flag=True, help="Send nothing new: go on with what an earlier command left in the outbox.")
@APPROVE_AS
@click.option("--await-approval", is_flag=True, help="Seal it and let it wait until enough officers have approved it.")
@YES
@report_options
def send(
    run: Invocation,
    *,
    source: str,
    agreement_id: str,
    approve_as: tuple[str, ...],
    resume: bool,
    await_approval: bool,
    yes: bool,
    **options: object,
) -> int:
    """Send a report from a file, a directory or standard input.

    The agreement is decided here first, clause by clause; what it refuses never leaves this machine. A receipt means that the
    report is durable at the broker and in the agreement's log. A directory is sent in one go, a report a file.
    Officers of this machine who approve (--approve-as) are each shown what was sealed. What waits for approvals goes with the
    next sending after 'comity report approve', at most 72 hours later.
    Attachments (--attach) are encrypted into the outbox and uploaded before their report goes; after a cut or a kill the next
    sending goes on where it ended, and --resume does nothing else.
    """
    if resume:
        return _resume(run, new=bool(source or agreement_id))
    if not source or not agreement_id:
        raise UsageError("what is sent, and under which agreement?", what_to_do="comity send FILE --agreement ID")
    wishes = wishes_of(options)
    place = run.acting(IdentityKind.NODE)
    passphrase = run.passphrase(str(place.identity))
    directory = Path(source)
    several = source != "-" and directory.is_dir()
    if several and wishes.attachments:
        raise UsageError("an attachment goes with one report", what_to_do="Name the file of that report.")
    reading = Reading(directory, report_names(directory) if several else [], wishes)
    single = None if several else one_report(source, wishes)
    asking = Asking(run, yes)
    officers = approvers(run, approve_as, asking)

    async def go() -> int:
        async with comity.connect(
            run.broker or None, identity=str(place.identity), home=run.home.path, passphrase=passphrase
        ) as node:
            if await_approval:
                return await _hold(run, node, reading if single is None else [single], agreement_id, officers)
            if single is not None:
                with AttachmentBars(run) as bars:
                    sending = node.send(single, agreement=agreement_id, approved_by=officers, progress=bars.tell)
                    receipt = await sending
                _tell_one(run, single, receipt)
                exit_code = 0
            else:
                exit_code = await _send_all(run, node, reading, agreement_id, officers)
            await _tell_released(run, node)
            if node.connection.held_until:
                tell_maintenance(run.output, node.connection.held_until)
            return exit_code

    async def asked() -> int:
        try:
            return await go()
        finally:
            asking.end()

    return asyncio.run(asked())


def _resume(run: Invocation, *, new: bool) -> int:
    """Wait until everything in the outbox is answered."""
    if new:
        raise UsageError("--resume sends nothing new", what_to_do="Leave file and agreement out.")
    place = run.acting(IdentityKind.NODE)
    passphrase = run.passphrase(str(place.identity))

    async def go() -> None:
        async with comity.connect(
            run.broker or None, identity=str(place.identity), home=run.home.path, passphrase=passphrase
        ) as node:
            await node.settle()
            await _tell_released(run, node)

    asyncio.run(go())
    run.output.record(identity=str(place.identity), waiting=0)
    run.output.say(f"Nothing waits in the outbox of {place.identity}: all of it is answered.")
    return 0


@dataclass(slots=True)
class Reading:
    """The reports of a directory, read one by one as they are sent. A file that is no report is kept apart, with why."""

    directory: Path
    names: list[str]
    wishes: Wishes
    on_their_way: dict[int, str] = field(default_factory=dict)
    failed: list[tuple[str, ComityError]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Report]:
        """Read the next; `on_their_way` has the file of each report by its number until it is answered."""
        number = 0
        for name in self.names:
            try:
                report = read_report(self.directory / name, self.wishes)
            except ComityError as error:
                self.failed.append((name, error))
                continue
            self.on_their_way[number] = name
            number += 1
            yield report


async def _hold(
    run: Invocation, node: comity.Node, reports: Iterable[Report], agreement_id: str, officers: Sequence[Approver]
) -> int:
    for report in reports:
        with AttachmentBars(run) as bars:
            held = await node.await_approval(report, agreement=agreement_id, approved_by=officers, progress=bars.tell)
        run.output.record(**waiting_facts(held))
        run.output.banner(held.report.banner, asked=False)
        run.output.say(
            f"Report {held.report.report_id} is sealed and not sent: {waiting_words(held)}",
            f"  comity report approve {held.report.report_id} --as PARTY/OFFICER",
        )
    return 0


async def _tell_released(run: Invocation, node: comity.Node) -> None:
    """Wait until what was approved meanwhile is answered, as long as a report of this command would have."""
    if not node.released:
        return
    try:
        await asyncio.wait_for(node.settle(), PATIENCE_SECONDS)
    except TimeoutError:
        run.output.note("What was approved is in the outbox, and goes when the broker can take it.")
    for report_id in node.released:
        run.output.record(report_id=str(report_id), released=True)
        run.output.say(f"Report {report_id}, which had waited for approvals, is sent.")


async def _send_all(
    run: Invocation, node: comity.Node, reading: Reading, agreement_id: str, officers: Sequence[Approver]
) -> int:
    began = time.monotonic()
    accepted = refused = 0
    exit_code = 0
    with Bar(run, len(reading.names)) as bar:
        async for sent in node.send_many(iter(reading), agreement=agreement_id, approved_by=officers):
            name = reading.on_their_way.pop(sent.number)
            if sent.receipt is not None:
                accepted += 1
                run.output.record(file=name, **receipt_facts(sent.receipt))
            elif sent.refusal is not None:
                refused += 1
                exit_code = exit_code or sent.refusal.exit_code
                _tell_refused(run, name, sent.refusal)
            bar.advance()
        for name, error in reading.failed:
            exit_code = exit_code or error.exit_code
            _tell_refused(run, name, error)
            bar.advance()
    seconds = time.monotonic() - began
    rate = accepted / seconds if seconds > 0 else 0.0
    run.output.record(
        accepted=accepted,
        refused=refused,
        unreadable=len(reading.failed),
        seconds=round(seconds, 3),
        reports_per_second=round(rate, 1),
    )
    not_sent = f", {refused} refused" if refused else ""
    unread = f", {len(reading.failed)} files are no reports" if reading.failed else ""
    run.output.say(f"{accepted} reports accepted{not_sent}{unread}, in {seconds:.1f} s: {rate:,.0f} reports a second.")
    return exit_code


def _tell_one(run: Invocation, report: Report, receipt: comity.Receipt) -> None:
    run.output.record(banner=report.banner, title=report.title, **receipt_facts(receipt))
    run.output.banner(report.banner, asked=False)
    title = f" {safe(report.title)!r}" if report.title else ""
    run.output.say(
        f"Report {receipt.report_id}{title} is accepted: entry {receipt.log_index} of the log of {receipt.log_name}."
    )
    for node, portions in receipt.recipients:
        run.output.say(
            f"  {node} gets the keys of portion {', '.join(str(index + 1) for index in portions)} of {len(report.portions)}"
        )


def _tell_refused(run: Invocation, name: str, error: ComityError) -> None:
    clauses = explained(error)
    run.output.record(
        file=name,
        error={
            "code": error.code.name,
            "message": error.message,
            "what_to_do": error.what_to_do,
            "clauses": [clause_json(one) for one in clauses] or None,
        },
    )
    run.output.show(f"{safe(name)}: {safe(error.message)}", *clause_lines(clauses))


class Bar:
    """A progress bar on a terminal; nothing elsewhere, nor with --json or --quiet."""

    def __init__(self, run: Invocation, total: int) -> None:
        self._shown = sys.stderr.isatty() and not run.output.json and not run.output.quiet
        self._total = total
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._shown:
            from rich.console import Console  # noqa: PLC0415 - a fifth of a second, for a bar nobody may see
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - the same

            columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("sending", total=self._total)
        return self

    def advance(self) -> None:
        """Count one more report."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
