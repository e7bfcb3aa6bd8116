"""How people are told that a report was taken back, and what is left to do about it here."""

from __future__ import annotations

import comity
from comity.cli.base import Invocation
from comity.cli.output import safe
from comity.node.filed_back import FiledBack


def tell_taken_back(run: Invocation, report: comity.ReceivedReport, back: FiledBack, delivery: comity.Delivery) -> None:
    """Tell what became of the files of a report that was taken back."""
    run.output.record(
        report_id=str(back.report_id),
        agreement_id=delivery.agreement_id,
        **{back.how: str(report.report_id)},
        originator=delivery.origin,
        reason=report.text if back.how == "recalled" else "",
        held_by_disputes=list(back.held_by),
        flag=back.flag.name,
        files_left=[one.name for one in back.left],
        files_removed=[one.name for one in back.removed],
        log_index=delivery.log_index,
        attempt=delivery.attempt,
    )
    reason = f": {safe(report.text)}" if back.how == "recalled" else f" by report {report.report_id}"
    run.output.say(f"Report {back.report_id} is {back.how.upper()} by {safe(delivery.origin)}{reason}")
    for one in back.removed:
        run.output.say(f"  removed: {one.name}")
    if back.held_by:
        which = ", ".join(one[:16] for one in back.held_by)
        run.output.say(f"  An open dispute holds it ({which}): keep what is here, show it to nobody.")
        return
    for one in back.left:
        run.output.say(f"  to be destroyed: {one.name}")
    run.output.say(
        "  Copies made of it are to be destroyed too; when all are gone, an officer certifies that:",
        f"    comity report destroy {back.report_id} --agreement {delivery.agreement_id} --means MEANS",
    )
