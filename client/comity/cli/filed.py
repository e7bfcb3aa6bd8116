"""How people are told that a report was written as files: what it is, where it is, and what of it stays closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comity
from comity.cli.base import Invocation
from comity.cli.output import safe
from comity.cli.reading import tell_closed


def tell_filed(
    run: Invocation, report: comity.ReceivedReport, described: Mapping[str, Any], *, waits: bool, **further: object
) -> None:
    """Tell of a report by its description; `waits` where what is lacking may still open the rest, `further` are facts beside it."""
    run.output.record(**described, **further)
    run.output.banner(report.banner, asked=False)
    title = f" {safe(report.title)!r}" if report.title else ""
    run.output.say(
        f"Report {report.report_id}{title} from {safe(str(described['originator']))}, under {described['agreement_id']}"
    )
    for portion in described["portions"]:
        run.output.say(f"  portion {portion['portion']} [{safe(portion['marking'])}]: {portion['file']}")
    closed = {*report.waiting, *(index for one in report.refused for index in one.portions)}
    keyless = [str(index + 1) for index in report.withheld if index not in closed]
    if keyless:
        run.output.say(f"  withheld: portion {', '.join(keyless)} (this node has no key for it)")
    if closed:
        tell_closed(run, report, waits=waits)
