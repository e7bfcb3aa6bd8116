"""What commands share about officers' approvals: who approves, what an officer is shown, and reports that wait."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import click

from comity.attachment import Into
from comity.cli.base import Invocation
from comity.cli.output import safe
from comity.envelope.open import Opener
from comity.errors import UsageError
from comity.identity.names import Identity, IdentityKind
from comity.node.approving import Approver, SealedReport, ToApprove
from comity.node.awaited import WaitingReport
from comity.node.filing import name_of
from comity.node.home import Place
from comity.node.offline import OfflineNode, own_opener
from comity.node.times import rfc3339
from comity.node.waiting import WaitingReports, unknown

F = TypeVar("F", bound=Callable[..., object])

_LOOK_SECONDS: Final = 0.1
_LINE_BYTES: Final = 256

APPROVE_AS: Final = click.option(
    "--approve-as",
    "approve_as",
    multiple=True,
    metavar="PARTY/OFFICER",
    help="An officer who approves; may be repeated.",
)
YES: Final = click.option("--yes", is_flag=True, help="The officers have seen what they approve: do not ask.")


def officers_named(names: tuple[str, ...]) -> tuple[Identity, ...]:
    """Give the officers that --approve-as names; raises MalformedError for what is no identity."""
    return tuple(Identity.parse(one, IdentityKind.OFFICER) for one in names)


def approvers(run: Invocation, names: tuple[str, ...], asking: Asking) -> tuple[Approver, ...]:
    """Open the signing keys of the officers who approve, each of whom is shown what is sealed, and asked."""
    return tuple(Approver.open(run.home, str(one), run.passphrase(str(one)), asking) for one in officers_named(names))


@dataclass(frozen=True, slots=True)
class Asking:
    """Shows an officer a report and asks, unless `yes`. It may be called in a thread: `end` then gives up waiting.

    `save_into` is a folder for its attachments as files, to be looked at before the answer.
    """

    run: Invocation
    yes: bool
    save_into: Path | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self, shown: ToApprove) -> bool:
        """Say whether the officer agrees; raises UsageError where there is no terminal to ask on."""
        lines = (f"{shown.officer} approves as {shown.role.word}:", *(f"  {line}" for line in _lines(shown.report)))
        if self.yes:
            for line in lines:
                self.run.output.note(safe(line))
            return True
        if not sys.stdin.isatty():
            raise UsageError(
                f"{shown.officer} has to see what is approved, and there is no terminal to ask on",
                what_to_do="Say --yes where the officer has seen it.",
            )
        for line in (*lines, *self._saved_lines(shown), *_text_lines(shown)):
            click.echo(safe(line), err=True)
        return self._answer("Approve exactly this? [y/N]: ") in {"y", "yes"}

    def _saved_lines(self, shown: ToApprove) -> Iterator[str]:
        """Save what is attached, as far as the officer may read it, and say where."""
        for index, one in enumerate(shown.portions):
            if self.save_into is not None and one.file is not None:
                name = partial(name_of, shown.report.report_id, index)
                yield f"  portion {index + 1} is saved as {one.file.save(Into(self.save_into, name)).path}"

    def end(self) -> None:
        """Wait for no answer any more: who asked was interrupted."""
        self._ended.set()

    def _answer(self, question: str) -> str:
        # Read from the terminal itself: a read that waits inside Python's standard input keeps a process from ending.
        click.echo(question, err=True, nl=False)
        terminal = sys.stdin.fileno()
        while not self._ended.is_set():
            if select.select([terminal], [], [], _LOOK_SECONDS)[0]:
                return os.read(terminal, _LINE_BYTES).decode(errors="replace").strip().casefold()
        return ""


def _lines(report: SealedReport) -> tuple[str, ...]:
    return (
        f"[{report.banner}]",
        f"report      {report.report_id} under {report.agreement_id}: {report.kind}",
        f"precedence  {report.precedence.name}" + (", under a declared emergency" if report.emergency else ""),
        f"addressees  {'; '.join(report.addressees)}; keys for {report.keys_for} of their nodes",
        f"purpose     {report.purpose}; about {', '.join(report.categories)}",
        *(f"portion {number}   [{each}]" for number, each in enumerate(report.portions, 1)),
        *(f"refers to   {each}" for each in report.refers_to),
        f"expires     {rfc3339(report.expires_at)}",
        f"leaf        {report.leaf.hex()}",
    )


def _text_lines(shown: ToApprove) -> Iterator[str]:
    """Give the text as the officer may read it, between banners; no line of it can stand for one of ours."""
    for number, one in enumerate(shown.portions, 1):
        title = f" {one.title!r}" if one.title else ""
        if one.closed:
            yield f"  portion {number} [{one.banner}] is not shown: {one.closed}"
            continue
        attached = f" attached file {one.file_name!r}," if one.file is not None else ""
        yield f"  portion {number} [{one.banner}]{title}:{attached} {one.media_type}, {one.size} bytes, sha384:{one.digest}"
        for line in one.text.splitlines():
            yield f"    | {line}"
    yield f"  [{shown.report.banner}]"


# --- reports that wait --------------------------------------------------------------------------------------------------


def waiting_here(run: Invocation, acting: Place, agreement_id: str = "") -> list[tuple[Place, WaitingReport]]:
    """Give the reports that wait for approvals at the acting node, or at this machine's nodes of the acting officer's party."""
    return [
        (place, one)
        for place, node in _nodes(run, acting)
        for one in node.waiting()
        if agreement_id in {"", one.report.agreement_id}
    ]


def approve_here(
    run: Invocation, acting: Place, report_id: UUID, approver: Approver, *, asked: bool, passphrase_file: str = ""
) -> WaitingReport:
    """Have an officer approve a report that waits on this machine; raises NotFoundError where none does.

    Where the officer is asked, the node's keys open the text; its passphrase is in that file, or that of the officer's keys.
    """
    for place, node in _nodes(run, acting):
        if any(one.report.report_id == report_id for one in node.waiting()):
            opener = partial(_opener, run, place, passphrase_file) if asked else None
            return node.approve(report_id, approver, opener)
    raise unknown(report_id)


def _opener(run: Invocation, place: Place, passphrase_file: str) -> Opener:
    return own_opener(place.identity, run.ring(place, passphrase_file))


def _nodes(run: Invocation, acting: Place) -> Iterator[tuple[Place, OfflineNode]]:
    for place in run.home.places(IdentityKind.NODE):
        mine = place.identity == acting.identity
        of_party = acting.identity.kind is IdentityKind.OFFICER and place.identity.party == acting.identity.party
        if (mine or of_party) and WaitingReports.any_in(place.outbox):
            with OfflineNode.open(run.home, place.identity) as node:
                yield place, node


def waiting_facts(one: WaitingReport) -> dict[str, object]:
    """Give a waiting report with the protocol's field names."""
    report = one.report
    return {
        "report_id": str(report.report_id),
        "agreement_id": report.agreement_id,
        "exercise": report.exercise,
        "state": standing(one),
        "banner": report.banner,
        "precedence": report.precedence.name,
        "addressees": list(report.addressees),
        "leaf": report.leaf.hex(),
        "approvals_required": one.approvals_required,
        "approved_by": list(one.approved_by),
        "may_approve": list(one.may_approve),
        "waits_until": rfc3339(one.until_ms),
        "lacking": None if one.refusal is None else one.refusal.message,
    }


def standing(one: WaitingReport) -> str:
    """Give where a waiting report stands, in a word."""
    if one.expired:
        return "EXPIRED"
    return "APPROVED" if one.complete else "WAITING"


def waiting_words(one: WaitingReport) -> str:
    """Give where a waiting report stands, for people."""
    if one.expired:
        return f"EXPIRED: waited for approvals until {rfc3339(one.until_ms)}"
    if one.complete and one.refusal is not None:
        return f"APPROVED, and kept: {one.refusal.message}"
    if one.complete:
        return "APPROVED: goes with the next sending of its node (comity send)"
    there = ", ".join(one.approved_by) or "none"
    open_to = (
        ", ".join(each for each in one.may_approve if each.partition(" ")[0] not in one.approved_by) or "nobody listed"
    )
    return f"WAITING for approvals until {rfc3339(one.until_ms)}: {there} so far; may approve: {open_to}"
