"""`comity report recall | supersede | holders`: take back what was sent, put another in its place, and see who still holds what."""

from __future__ import annotations

from uuid import UUID

import click

import comity
from comity.cli.approvals import YES, Asking, approvers
from comity.cli.base import Group, Invocation
from comity.cli.connected import with_node
from comity.cli.reports import one_report, receipt_facts, report_options, wishes_of
from comity.identity.names import IdentityKind
from comity.node.holders import Holder, Holding, Proof
from comity.node.receipts import Receipt
from comity.node.times import rfc3339

_AGREEMENT = click.option("--agreement", "agreement_id", default="", help="The agreement it was sent under.")
_REPORT = click.argument("report_id", type=click.UUID)
_BACK = Group("back")
_PROOFS = ("sent", "delivered", "read", "taken_back", "told", "acknowledged", "destroyed")


def add_to(group: Group) -> None:
    """Add the commands to `comity report`."""
    for one in (recall, supersede, holders):
        group.add_command(one)


@_BACK.does(
    "recall",
    example="comity report recall 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --reason 'the source was wrong' --as XAR/n1",
)
@_REPORT
@_AGREEMENT
@click.option("--reason", default="", help="Why, in a few words. Every addressee reads it: say nothing classified.")
def recall(run: Invocation, *, report_id: UUID, agreement_id: str, reason: str) -> None:
    """Take a report back that this party sent. By any of its nodes, also while the agreement is suspended or over.

    Who was not handed it never gets it. Who was is told at once, ahead of everything else: its node shows the report no more and
    answers with a signature. That the copies are gone only its officers can certify; 'comity report holders' shows who did.
    """

    async def act(node: comity.Node) -> Receipt:
        return await node.recall(report_id, agreement=agreement_id, reason=reason)

    _tell(run, report_id, "recalled", with_node(run, run.acting(IdentityKind.NODE), act))


@_BACK.does(
    "supersede",
    example="""comity report supersede 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 corrected.txt \\
    --marking 'SECRET//REL TO XAR, XBO' --category terrorism --purpose counter-terrorism --as XAR/n1""",
)
@_REPORT
@click.argument("file", metavar="NEWFILE")
@_AGREEMENT
@report_options
@click.option("--approve-as", "approve_as", multiple=True, metavar="PARTY/NAME", help="An officer here who approves.")
@YES
def supersede(
    run: Invocation,
    *,
    report_id: UUID,
    file: str,
    agreement_id: str,
    approve_as: tuple[str, ...],
    yes: bool,
    **options: object,
) -> None:
    """Send a report in the place of one that this party sent: the old one is handed over and shown no more.

    NEWFILE and the options are those of 'comity send'; the agreement decides on it as on any report. Without --to it goes to the
    parties that were given the old one.
    """
    report = one_report(file, wishes_of(options))
    asking = Asking(run, yes)
    officers = approvers(run, approve_as, asking)

    async def act(node: comity.Node) -> Receipt:
        return await node.supersede(report_id, report, agreement=agreement_id, approved_by=officers)

    try:
        receipt = with_node(run, run.acting(IdentityKind.NODE), act)
    finally:
        asking.end()
    _tell(run, report_id, "superseded", receipt)


@_BACK.does("holders", example="comity report holders 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --as XAR/n1")
@_REPORT
@_AGREEMENT
def holders(run: Invocation, *, report_id: UUID, agreement_id: str) -> None:
    """Show for each node that was to get a report what it has of it, and after a recall who still holds it.

    By the log alone, as this machine's mirror has verified it: each statement names its entry. A node that was handed a recalled
    report is outstanding until officers of its party certify that it is destroyed; 'held' means that an open dispute forbids that.
    """

    async def ask(node: comity.Node) -> Holding:
        return node.holders(report_id, agreement=agreement_id)

    found = with_node(run, run.acting(), ask)
    for one in found.holders:
        run.output.record(
            report_id=str(found.report_id),
            agreement_id=found.agreement_id,
            admitted=_proof(found.admitted),
            taken_back_by=[str(by) for by in found.by],
            node=one.node,
            portions=[index + 1 for index in one.portions],
            standing=one.standing,
            outstanding=one.outstanding,
            held_by_disputes=list(one.held_by),
            taken_back_how=one.taken_back_how,
            **{name: _proof(getattr(one, name)) for name in _PROOFS},
        )
    run.output.table(
        ("NODE", "STANDS", "SENT", "DELIVERED", "READ", "RECALLED", "ACKNOWLEDGED", "CERTIFIED GONE"),
        (_row(one) for one in found.holders),
        "Nobody was to get it.",
    )
    if found.by:
        count = len(found.outstanding)
        run.output.note(f"{count} of {len(found.holders)} node{'s' * (len(found.holders) != 1)} outstanding.")


def _row(one: Holder) -> tuple[str, ...]:
    proofs = (one.sent, one.delivered, one.read, one.taken_back, one.acknowledged, one.destroyed)
    return one.node, one.standing, *("-" if p is None else f"{rfc3339(p.at_ms)} #{p.log_index}" for p in proofs)


def _proof(proof: Proof | None) -> dict[str, object] | None:
    return None if proof is None else {"at": rfc3339(proof.at_ms), "log_index": proof.log_index}


def _tell(run: Invocation, report_id: UUID, done: str, receipt: Receipt) -> None:
    run.output.record(**receipt_facts(receipt), **{done: str(report_id)})
    run.output.say(
        f"Report {report_id} is {done} by report {receipt.report_id}: entry {receipt.log_index} of the log of "
        f"{receipt.log_name}.",
        f"  comity report holders {report_id}",
    )
