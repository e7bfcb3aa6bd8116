"""Reopening: a report that was opened before is opened again for a use, from its kept envelope (design 02, point O).

Rules in order:
1. The envelope is verified anew, with the keys and logs as they are known now, and each portion decided anew for that use.
   What is refused names its clauses; nothing of it comes out.
2. A copy or translation that must be registered takes a number that the same reader entered for that use. The number is taken
   before anything comes out, once. What is written down for another use (`copied`) is a copy as well: both must be permitted.
3. Each reopening is in the register before anything comes out, with its use.
4. What is opened to be read whole is read by an officer: once it is, the log says so, where the agreement has it (`officer_says`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from comity.envelope.exported import decode_exported
from comity.envelope.segment import WholeItem
from comity.errors import ConflictError, ErrorCode, RefusedError, UsageError
from comity.node.officer_says import OfficerSays
from comity.node.opened import OpenSegment, OpenSlot, Placed, Refusal
from comity.node.opening import Opening
from comity.node.reading import Reading
from comity.node.register import KeptEnvelope, Register
from comity.report import ReceivedReport
from comity_policy.acts import ActKind
from comity_policy.explanation import ClauseExplanation
from comity_policy.facts import Use
from comity_policy.readers import COPYING


class Reopening:
    """Opens kept envelopes by the terms of one opening; owns the register that it shares with `reading`.

    `opening` gives what opens by these terms for a use.
    """

    def __init__(
        self, opening: Callable[[Use], Opening], register: Register, reading: Reading, says: OfficerSays | None
    ) -> None:
        self._opening = opening
        self._register = register
        self._reading = reading
        self._says = says

    def close(self) -> None:
        """Close the register."""
        self._reading.close()

    async def open(self, report_id: UUID, portion: int | None = None, *, copied: bool = False) -> ReceivedReport:
        """Give one portion of a report for the use of the terms; None means the only one that may be had.

        `copied`: it is written down, whatever it is for. Raises NotFoundError for a report that is not kept, UsageError where several portions could be meant, RefusedError with
        the clauses, ConflictError where another process took the registered number first.
        """
        self._reading.refuse_taken_back(report_id.bytes)
        kept = self._register.envelope(report_id.bytes)
        reading, use = self._reading, self._reading.use
        copying = use if use in COPYING else Use.COPY if copied else None
        number = None
        if copying is not None:
            entered = self._register.unmade_copy(kept.report_id, copying, reading.reader)
            number = None if entered is None else entered.number
        opened, item, result = await self._decided(kept, use, registered=number is not None)
        report = _chosen(_shown(result, kept, use), portion, kept, use)
        if copying not in {None, use}:
            _, _, as_copy = await self._decided(kept, Use.COPY, registered=number is not None)
            _chosen(_shown(as_copy, kept, Use.COPY), report.opened[0][0], kept, Use.COPY)
        if number is not None and not self._register.make_copy(number, reading.now_ms()):
            raise ConflictError(
                f"copy {number} was made by another process meanwhile", code=ErrorCode.TRANSITION_NOT_ALLOWED
            )
        await reading.enter_opened(opened, item, replace(result, report=report), None)
        return report

    async def read(self, report_id: UUID) -> ReceivedReport:
        """Give everything of a report that may be had, to be read here; the log says so where nothing of it waits, and of no exercise. Raises as `open`."""
        kept = self._register.envelope(report_id.bytes)
        opened, item, result = await self._decided(kept, Use.READ, registered=False)
        report = _shown(result, kept, Use.READ)
        await self._reading.enter_opened(opened, item, result, None)
        says_nothing = result.waits or item.core.profile.exercise
        if self._says is not None and not says_nothing and self._says.tells(kept.agreement_id):
            named = ((report_id.hex, item.leaf.hex()),)
            await self._says.say(ActKind.READ, kept.agreement_id, opened.verified.signed_by.party, named)
        return report

    async def register_copy(self, report_id: UUID) -> int:
        """Enter a copy or translation by the reader of the terms; gives its number. Raises as `open`, UsageError for another use."""
        use = self._reading.use
        if use not in COPYING:
            raise UsageError(
                f"{use.value} is not registered",
                what_to_do=f"One of {', '.join(sorted(one.value for one in COPYING))}.",
            )
        self._reading.refuse_taken_back(report_id.bytes)
        kept = self._register.envelope(report_id.bytes)
        _, _, result = await self._decided(kept, use, registered=True)
        _shown(result, kept, use)
        now = self._reading.now_ms()
        return await asyncio.to_thread(
            self._register.enter_copy, kept.report_id, kept.agreement_id, use, self._reading.reader, now
        )

    async def _decided(
        self, kept: KeptEnvelope, use: Use, *, registered: bool
    ) -> tuple[OpenSegment, WholeItem, OpenSlot]:
        exported, opening = decode_exported(kept.exported), self._opening(use)
        opened = opening.reopen_envelope(exported, Placed(kept.log_index, kept.admitted_at))
        reading, item = self._reading, exported.item
        given = replace(reading.known(item), registered=registered)
        result = opening.open_slot(opened, 0, given)
        if isinstance(result, OpenSlot) and result.caveats and await reading.ask(opened, item, result):
            given = replace(reading.known(item), registered=registered)
            result = opening.open_slot(opened, 0, given)
        if isinstance(result, Refusal):
            raise RefusedError(
                f"report {UUID(bytes=kept.report_id)} does not open: {result.reason}",
                what_to_do=f"comity agreement show {kept.agreement_id}",
                code=ErrorCode.POLICY_DENIED,
                clauses=result.clauses,
            )
        return opened, item, result


def _chosen(report: ReceivedReport, portion: int | None, kept: KeptEnvelope, use: Use) -> ReceivedReport:
    """Give a report with the one portion that is meant."""
    if portion in {one.index for one in report.attachments}:
        raise UsageError(
            f"portion {(portion or 0) + 1} is an attachment: its file is written when the report is received",
            what_to_do="Copy or use that file as the agreement lets you.",
        )
    if portion is None and len(report.opened) > 1:
        numbers = ", ".join(str(index + 1) for index, _ in report.opened)
        raise UsageError("which portion is not said", what_to_do=f"--portion: one of {numbers}.")
    found = tuple(one for one in report.opened if portion in (None, one[0]))
    if not found:
        closed = tuple(one for one in report.refused if portion in one.portions)
        raise _refused(closed, kept, use, f"portion {(portion or 0) + 1} of report")
    return replace(report, opened=found, attachments=())


def _shown(result: OpenSlot, kept: KeptEnvelope, use: Use) -> ReceivedReport:
    if result.report is not None:
        return result.report
    raise _refused(result.refused, kept, use, "report")


def _refused(refused: tuple[ClauseExplanation, ...], kept: KeptEnvelope, use: Use, what: str) -> RefusedError:
    clauses = ", ".join(dict.fromkeys(one.clause_id for one in refused)) or "this node has no key for it"
    remedies = [one.remedy.command for one in refused if one.remedy.command]
    return RefusedError(
        f"{kept.agreement_id} does not permit {use.value} of {what} {UUID(bytes=kept.report_id)}: {clauses}",
        what_to_do=remedies[0] if remedies else "",
        code=ErrorCode.POLICY_DENIED,
        clauses=refused,
    )
