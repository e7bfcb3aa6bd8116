"""`comity report`: the reports of a party as the broker lists them, whether they were read, and what becomes of those parked or held."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import click

import comity
from comity.cli import report_copies, report_end, report_read, report_recall
from comity.cli.approvals import YES, Asking, approve_here, approvers, waiting_facts, waiting_here, waiting_words
from comity.cli.base import Group, Invocation
from comity.cli.connected import with_node
from comity.cli.handling import action_words, handled_facts, handled_of, handled_words, reading_words
from comity.cli.output import safe
from comity.cli.reading import reading_options
from comity.cli.report_reading import show_to
from comity.errors import UsageError
from comity.identity.names import IdentityKind
from comity.node.awaited import WaitingReport
from comity.node.handled import Handled
from comity.node.reports import HeldAction, ParkedAction, ReportRow, ReportState
from comity.node.times import rfc3339

_STATES = {state.name.lower(): state for state in ReportState}
_CONSUMER = click.option("--consumer", default="default", show_default=True, help="The cursor's name.")


@click.group(cls=Group)
def report() -> None:
    """List and show reports, and settle those parked or held.

    A broker sees no content and no title: only what routes and proves. What a report says is in the files that `comity receive`
    wrote.
    """


report_copies.add_to(report)


@report.does(
    "list",
    example="""comity report list --as XAR/n1
comity report list --agreement XAR-XBO-1 --state parked --as XBO/n1
comity report list --exercise --as XBO/n1""",
)
@click.option("--agreement", "agreement_id", help="Of one agreement only.")
@click.option("--state", "states", multiple=True, type=click.Choice(list(_STATES)), help="Only these; may be repeated.")
@click.option("--exercise", is_flag=True, help="Reports of exercises and nothing else; without it none of them.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most so many.")
def list_(run: Invocation, *, agreement_id: str | None, states: tuple[str, ...], exercise: bool, limit: int) -> None:
    """List the reports that this party sent or may receive, the newest last, and those that wait for approvals here.

    Whether an officer has read what was handed over, and until when it is to be read, is by the own verified mirror. What the node
    noticed and cannot mend (its alarms) is told on standard error.
    """
    wanted = _Wanted(agreement_id or "", tuple(_STATES[word] for word in states), exercise=exercise, limit=limit)
    rows, known = _rows(run, wanted)
    waiting = [] if states else waiting_here(run, run.acting(), agreement_id or "")
    held = [(place, one) for place, one in waiting if one.report.exercise is exercise]
    for row in rows:
        run.output.record(**_facts(row), handling=[handled_facts(one) for one in known.get(row.report_id, ())])
    for _, one in held:
        run.output.record(**waiting_facts(one))
    run.output.table(
        ("REPORT", "AGREEMENT", "FROM", "ADMITTED", "WHERE IT STANDS"),
        (
            *(
                (str(row.report_id), row.agreement_id, row.originator, rfc3339(row.admitted_at), _standing(row, known))
                for row in rows
            ),
            *(
                (str(one.report.report_id), one.report.agreement_id, str(place.identity), "-", waiting_words(one))
                for place, one in held
            ),
        ),
        "No report.",
    )


@report.does(
    "show",
    example="""comity report show 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --as XAR/n1
comity report show 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --as XBO/n1 --reader XBO/analyst1""",
)
@click.argument("report_id", type=click.UUID)
@reading_options
def show(run: Invocation, *, report_id: UUID, reader: str | None, **options: Any) -> None:
    """Show where one report stands, for every consumer this party may know of, or what it waits for here.

    Of each party that was handed it: when, who read it, what was done; and while nobody has, until when it is to be read and which
    of its contacts it alerts by the agreement's clock. That is by the own verified mirror.

    With --reader an officer reads it here: all that may be opened of its kept envelope is shown, and the log says that it was read.
    """
    if reader is not None:
        show_to(run, report_id, reader, **options)
        return
    if any(options.values()):
        raise UsageError("what is opened is opened to an officer", what_to_do="Say --reader PARTY/NAME.")
    for _, waiting in waiting_here(run, run.acting()):
        if waiting.report.report_id == report_id:
            _show_waiting(run, waiting)
            return
    rows, known = _rows(run, _Wanted(report_id=report_id))
    (row,) = rows
    facts, handling = _facts(row), known.get(report_id, ())
    run.output.record(**facts, handling=[handled_facts(one) for one in handling])
    for name, value in facts.items():
        if name != "consumers":
            run.output.show(f"{name.replace('_', ' '):17}{value}")
    for one in row.consumers:
        reason = f": {safe(one.reason)}" if one.reason else ""
        attempts = f", handed over {one.attempts} times" if one.attempts else ""
        run.output.show(f"{one.node} ({one.consumer}): {one.state.name}{attempts}{reason}")
    for at_party in handling:
        run.output.show(handled_words(at_party))
        for said in at_party.actions:
            run.output.show(f"  {action_words(said)}")


@report.does(
    "approve",
    example="""comity report approve 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --as XAR/officer2
comity report approve 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --save to-look-at --as XAR/officer2""",
)
@click.argument("report_id", type=click.UUID)
@click.option("--node-passphrase-file", metavar="FILE", help="The passphrase of the node's keys, if another.")
@click.option("--save", "folder", metavar="FOLDER", help="Save the attachments there first, to look at them.")
@YES
def approve(
    run: Invocation, *, report_id: UUID, node_passphrase_file: str | None, folder: str | None, yes: bool
) -> None:
    """Approve a report that waits on this machine. By an officer, who is shown what is signed; nothing is sent.

    The text is shown as far as the officer's clearance goes: opened with the node's keys from the bytes that are signed. Of each attachment name, kind, size and digest are shown, and with --save it can be looked at before the answer. Once enough officers have approved it, the next 'comity send' of its node sends it, or the one that runs.
    """
    if folder is not None and yes:
        raise UsageError("--save is for an officer who is asked", what_to_do="Leave --yes out, or --save.")
    place = run.acting(IdentityKind.OFFICER)
    asking = Asking(run, yes, Path(folder) if folder is not None else None)
    (officer,) = approvers(run, (str(place.identity),), asking)
    file = node_passphrase_file or ""
    one = approve_here(run, place, report_id, officer, asked=not yes, passphrase_file=file)
    run.output.record(**waiting_facts(one))
    run.output.say(f"{place.identity} approved report {report_id}. {waiting_words(one)}")


def _show_waiting(run: Invocation, one: WaitingReport) -> None:
    facts = waiting_facts(one)
    run.output.record(**facts)
    for name, value in facts.items():
        words = ", ".join(map(str, value)) if isinstance(value, list) else value
        if words:
            run.output.show(f"{name.replace('_', ' '):19}{safe(str(words))}")


@report.does("replay", example="comity report replay 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --as XBO/n1")
@click.argument("report_ids", metavar="REPORT_ID...", type=click.UUID, nargs=-1, required=True)
@_CONSUMER
def replay(run: Invocation, *, report_ids: tuple[UUID, ...], consumer: str) -> None:
    """Hand parked reports over again, from the first attempt on. By the node that parked them."""
    _parked(run, report_ids, ParkedAction.REPLAY, consumer)


@report.does("drop", example="comity report drop 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --as XBO/n1")
@click.argument("report_ids", metavar="REPORT_ID...", type=click.UUID, nargs=-1, required=True)
@_CONSUMER
def drop(run: Invocation, *, report_ids: tuple[UUID, ...], consumer: str) -> None:
    """Give parked reports up for good. By the node that parked them; the log says so."""
    _parked(run, report_ids, ParkedAction.DROP, consumer)


@report.does("confirm", example="comity report confirm 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --as XAR/n1")
@click.argument("report_ids", metavar="REPORT_ID...", type=click.UUID, nargs=-1, required=True)
def confirm(run: Invocation, *, report_ids: tuple[UUID, ...]) -> None:
    """Have reports handed over that a suspension held, after the resume. By the node that sent them."""
    _held(run, report_ids, HeldAction.CONFIRM)


@report.does("withdraw", example="comity report withdraw 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --as XAR/n1")
@click.argument("report_ids", metavar="REPORT_ID...", type=click.UUID, nargs=-1, required=True)
def withdraw(run: Invocation, *, report_ids: tuple[UUID, ...]) -> None:
    """Never have reports handed over that a suspension held. By the node that sent them."""
    _held(run, report_ids, HeldAction.WITHDRAW)


report_recall.add_to(report)
report_end.add_to(report)
report_read.add_to(report)


@dataclass(frozen=True, slots=True)
class _Wanted:
    agreement_id: str = ""
    states: tuple[ReportState, ...] = ()
    report_id: UUID | None = None
    exercise: bool = False
    limit: int = 500


def _parked(run: Invocation, report_ids: tuple[UUID, ...], action: ParkedAction, consumer: str) -> None:
    async def resolve(node: comity.Node, rows: list[ReportRow]) -> int:
        return await node.resolve_parked([row.ref for row in rows], action, consumer=consumer)

    _resolve(run, report_ids, resolve, {ParkedAction.REPLAY: "comes again", ParkedAction.DROP: "is dropped"}[action])


def _held(run: Invocation, report_ids: tuple[UUID, ...], action: HeldAction) -> None:
    async def resolve(node: comity.Node, rows: list[ReportRow]) -> int:
        return await node.resolve_held([row.ref for row in rows], action)

    words = {HeldAction.CONFIRM: "is handed over", HeldAction.WITHDRAW: "is withdrawn"}
    _resolve(run, report_ids, resolve, words[action])


def _resolve(
    run: Invocation,
    report_ids: tuple[UUID, ...],
    resolve: Callable[[comity.Node, list[ReportRow]], Awaitable[int]],
    words: str,
) -> None:
    async def act(node: comity.Node) -> tuple[list[ReportRow], int]:
        rows = [await node.find(report_id) for report_id in report_ids]
        if len({row.agreement_id for row in rows}) != 1:
            raise UsageError("these reports are of several agreements", what_to_do="Name those of one at a time.")
        return rows, await resolve(node, rows)

    rows, log_index = with_node(run, run.acting(IdentityKind.NODE), act)
    for row in rows:
        run.output.record(report_id=str(row.report_id), agreement_id=row.agreement_id, log_index=log_index)
        run.output.say(f"Report {row.report_id} {words}: entry {log_index} of the log of {row.agreement_id}.")


_Known = Mapping[UUID, Sequence[Handled]]


def _rows(run: Invocation, wanted: _Wanted) -> tuple[list[ReportRow], _Known]:
    async def ask(node: comity.Node) -> tuple[list[ReportRow], _Known]:
        if wanted.report_id is not None:
            one = await node.find(wanted.report_id)
            return [one], handled_of(node, [one])
        found: list[ReportRow] = []
        async for row in node.reports(wanted.agreement_id, states=wanted.states, exercise=wanted.exercise):
            found.append(row)
            if len(found) == wanted.limit:
                break
        return found, handled_of(node, found)

    return with_node(run, run.acting(), ask)


def _standing(row: ReportRow, known: _Known) -> str:
    states = ", ".join(f"{one.node} {one.state.name}" for one in row.consumers) or "-"
    told = (one for one in known.get(row.report_id, ()) if one.read is not None or one.due_ms is not None)
    said = [reading_words(one) for one in told]
    return "; ".join((states, *said))


def _facts(row: ReportRow) -> dict[str, object]:
    return {
        "report_id": str(row.report_id),
        "agreement_id": row.agreement_id,
        "originator": row.originator,
        "transport_class": row.transport_class,
        "origin_sequence": row.origin_sequence,
        "created_at": rfc3339(row.created_at),
        "admitted_at": rfc3339(row.admitted_at),
        "expires_at": rfc3339(row.expires_at),
        "log_index": row.log_index,
        "leaf": row.leaf.hex(),
        "segment_id": row.segment_id.hex(),
        "slot": row.slot,
        "consumers": [
            {
                "node": one.node,
                "consumer": one.consumer,
                "state": one.state.name,
                "attempts": one.attempts,
                "reason": one.reason,
            }
            for one in row.consumers
        ],
    }
