"""What `receive` and `report` share about opening: who reads, for what, and caveats shown on the terminal before anything else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from comity.cli.base import Invocation
from comity.cli.output import clause_json, clause_lines, folded, safe
from comity.errors import UsageError

if TYPE_CHECKING:
    from comity.node.reader import ReadingOfficer
    from comity.node.reading import Acknowledge, CaveatShown, Waiting
    from comity.report import ReceivedReport

F = TypeVar("F", bound=Callable[..., object])

_OPTIONS = (
    click.option("--reader", metavar="PARTY/NAME", help="The officer who reads; the key must be on this machine."),
    click.option("--reader-passphrase-file", metavar="FILE", help="The passphrase of the reader's keys, if another."),
    click.option(
        "--purpose",
        "purposes",
        multiple=True,
        envvar="COMITY_PURPOSE",
        help="What they are opened for, where an agreement asks; may be repeated. What is stated for something else stays closed.",
    ),
    click.option("--accept-caveats", is_flag=True, help="Acknowledge every use caveat, without being asked."),
)


def reading_options(function: F) -> F:
    """Add the options that say who opens and what for."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def reader_of(run: Invocation, name: str | None, passphrase_file: str | None) -> ReadingOfficer | None:
    """Unlock the officer who reads; None where none is named. Raises as `ReadingOfficer.unlock`."""
    from comity.node.reader import ReadingOfficer  # noqa: PLC0415 - loaded where an officer reads, not at each start

    if name is None:
        if passphrase_file is not None:
            raise UsageError("a reader's passphrase belongs to a reader", what_to_do="Say --reader PARTY/NAME.")
        return None
    return ReadingOfficer.unlock(name, home=run.home, passphrase=run.passphrase(name, passphrase_file or ""))


def acknowledging(*, accept: bool) -> Acknowledge | None:
    """Give what shows caveats: all accepted, or asked on the terminal, each caveat of a text once; None without a terminal."""
    if not accept and not sys.stdin.isatty():
        return None
    answered: dict[tuple[str, bytes], bool] = {}

    async def acknowledge(shown: CaveatShown) -> bool:
        caveat = shown.caveat
        key = (shown.agreement_id, caveat.digest)
        if key not in answered:
            for line in caveat_lines(shown):
                click.echo(line, err=True)
            answered[key] = accept or await asyncio.to_thread(_asked)
        return answered[key]

    return acknowledge


def caveat_lines(shown: CaveatShown) -> list[str]:
    """Give a caveat as its reader is shown it."""
    caveat = shown.caveat
    lines = [f"Before report {shown.report_id} from {shown.origin}, clause {caveat.clause_id} of {shown.agreement_id}:"]
    lines += folded(caveat.caveat, "  ")
    lines += folded(f"it means: {caveat.gloss}", "    ")
    lines += folded(f"it says: {caveat.text}", "    ")
    return [safe(line) for line in lines]


def _asked() -> bool:
    return click.confirm("Acknowledged, for this and what else comes now under this caveat?", default=False, err=True)


def tell_waiting(run: Invocation, waiting: Waiting) -> None:
    """Say that a report was not opened, and what would open it. One that was opened in part says so where it is told."""
    if not waiting.whole:
        return
    run.output.record(
        report_id=str(waiting.report_id),
        agreement_id=waiting.agreement_id,
        originator=waiting.origin,
        waits_for=sorted(waiting.lacks),
        clauses=[clause_json(one) for one in waiting.refused],
    )
    run.output.say(
        f"Report {waiting.report_id} from {safe(waiting.origin)}, under {waiting.agreement_id}, was not opened. It waits:",
        *clause_lines(waiting.refused),
    )


def tell_closed(run: Invocation, report: ReceivedReport, *, waits: bool) -> None:
    """Say which portions of an opened report stay closed or wait for another opening, and why; `waits` where others did not open them."""
    closed = sorted({index for one in report.refused for index in one.portions} | set(report.waiting))
    for index in closed:
        waiting = " It waits for what is lacking:" if waits else " Whoever may has opened it before:"
        why = waiting if index in report.waiting else " It stays closed:"
        run.output.say(f"  not opened: portion {index + 1}.{why}")
    run.output.say(*clause_lines(report.refused))
