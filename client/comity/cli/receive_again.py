"""`comity receive --replay-from`: what a consumer was handed before is written as files once more, and acknowledged no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

import comity
from comity.attachment import SavedAttachment
from comity.cli.alarms import telling_alarms
from comity.cli.base import Invocation
from comity.cli.filed import tell_filed
from comity.cli.output import safe
from comity.cli.progress import AttachmentBars
from comity.errors import ErrorCode, RefusedError, RejectedError, UnreachableError, UsageError
from comity.node.filing import file_report
from comity.node.filing_attachments import save_attachments
from comity.node.reader import ReadingOfficer
from comity.node.reading import Acknowledge
from comity.node.reading_again import NotReplayed, Replayed
from comity.node.times import moment_of
from comity_policy.facts import Use

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Terms(TypedDict):
    """By what terms it is read; as for `Node.receive`."""

    consumer: str
    purpose: tuple[str, ...]
    use: Use
    reader: ReadingOfficer | None
    acknowledge: Acknowledge | None


@dataclass(frozen=True, slots=True)
class Start:
    """From where to read again, under which agreement; "" for every one of the party's."""

    agreement_id: str
    since: datetime | None
    entry: int

    @classmethod
    def of(cls, text: str, agreement_id: str) -> Start:
        """Read what people write: a time, or the number of an entry of one agreement's log; raises UsageError."""
        if not (text.isascii() and text.isdigit()):
            return cls(agreement_id, _EPOCH + timedelta(milliseconds=moment_of(text)), 0)
        if not agreement_id:
            raise UsageError(
                f"{text} is the number of an entry, and each agreement has a log of its own",
                what_to_do="Say --agreement, or a time: --replay-from 2027-01-31T12:00:00Z.",
            )
        return cls(agreement_id, None, int(text))


async def receive_again(  # noqa: PLR0917 - one command
    run: Invocation,
    into: Path,
    identity: str,
    passphrase: bytes,
    start: Start,
    limit: int | None,
    terms: Terms,
) -> None:
    """Write what was handed over before as files, and tell of what does not come any more."""
    written = gone = 0

    def not_replayed(one: NotReplayed) -> None:
        nonlocal gone
        gone += 1
        _tell_not(run, one)

    async with (
        comity.connect(run.broker or None, identity=identity, home=run.home.path, passphrase=passphrase) as node,
        telling_alarms(run.output, node),
    ):
        bars = AttachmentBars(run)
        try:
            async with aclosing(_all(run, node, start, terms, not_replayed)) as reports:
                async for one in reports:
                    written += await _file(run, into, one, bars)
                    if written == limit:
                        break
        finally:
            bars.close()
    last = f" {gone} did not come any more." if gone else ""
    run.output.note(f"{written} report{'' if written == 1 else 's'} read again.{last}")


async def _all(
    run: Invocation, node: comity.Node, start: Start, terms: Terms, told: Callable[[NotReplayed], None]
) -> AsyncGenerator[Replayed]:
    for agreement_id in [start.agreement_id] if start.agreement_id else [one.agreement_id for one in node.agreements()]:
        try:
            async for one in node.replay(
                agreement=agreement_id, since=start.since, from_entry=start.entry, **terms, told=told
            ):
                yield one
        except RefusedError as error:
            if start.agreement_id or error.code is not ErrorCode.AGREEMENT_NOT_IN_FORCE:
                raise
            run.output.note(error.message)


async def _file(run: Invocation, into: Path, one: Replayed, bars: AttachmentBars) -> bool:
    """Write a report's files and say so; False for one that has none: a recall, or one whose attachment was not had."""
    report = one.report
    if report.recalls is not None:
        return False
    attachments = await _attachments(run, into, report, bars)
    if attachments is None:
        return False
    filed = await asyncio.to_thread(
        file_report,
        into,
        report,
        agreement_id=one.agreement_id,
        originator=one.origin,
        admitted_at=one.admitted_at,
        log_index=one.log_index,
        attachments=attachments,
    )
    tell_filed(run, report, filed.description, waits=one.waits, replayed=True, new=filed.new)
    return True


async def _attachments(
    run: Invocation, into: Path, report: comity.ReceivedReport, bars: AttachmentBars
) -> dict[int, SavedAttachment] | None:
    name = str(report.report_id)
    try:
        return await save_attachments(into, report, lambda progress: bars.tell(progress, name))
    except (RefusedError, RejectedError, UnreachableError) as error:
        run.output.note(f"Report {name}: an attachment was not had ({error.code.name}): {safe(error.message)}")
    return None


def _tell_not(run: Invocation, one: NotReplayed) -> None:
    run.output.record(
        report_id=None if one.report_id is None else str(one.report_id),
        agreement_id=one.agreement_id,
        originator=one.origin,
        origin_sequence=one.origin_sequence,
        leaf=one.leaf.hex(),
        reason=one.reason,
        log_index=one.log_index or None,
        replayed=False,
    )
    which = f"number {one.origin_sequence}" if one.report_id is None else str(one.report_id)
    entry = f" (entry {one.log_index})" if one.log_index else ""
    run.output.say(f"Report {which} from {safe(one.origin)}, under {one.agreement_id}: {safe(one.reason)}{entry}")
