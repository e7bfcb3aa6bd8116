"""`comity preview`: who would receive a report, which portions, and why not the others. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable

import click

from comity.cli.agreement_show import mirror_of
from comity.cli.base import Invocation, command
from comity.cli.output import clause_json, clause_lines, folded
from comity.cli.reports import STRUCTURED_HELP, one_report, report_options, wishes_of
from comity.identity.names import IdentityKind
from comity.node.egress import Preview
from comity.node.node import OfflineNode
from comity.report import Report


@command(
    "preview",
    example="""comity preview report.txt --agreement XAR-XBO-1 --marking 'SECRET//REL TO XAR, XBO' \\
    --category terrorism --purpose counter-terrorism
comity preview transfer.report.toml --agreement XAR-XBO-1 --offline""",
    notes=STRUCTURED_HELP,
)
@click.argument("file", metavar="FILE|-")
@click.option("--agreement", "agreement_id", required=True, help="The agreement it would be sent under.")
@click.option("--offline", is_flag=True, help="From the mirror alone, without asking the broker.")
@report_options
def preview(run: Invocation, *, file: str, agreement_id: str, offline: bool, **options: object) -> int:
    """Say who would receive a report, which portions, and why not the others. Nothing is sent.

    The same decision as `comity send` takes, from the same signed clauses. The exit code is 10 where nobody would get anything.
    """
    report = one_report(file, wishes_of(options))
    decided = previewed(run, report, agreement_id, offline=offline)
    tell(run, report, decided)
    return 0 if decided.permitted else 10


def previewed(run: Invocation, report: Report, agreement_id: str, *, offline: bool) -> Preview:
    """Decide a report here, from the acting node's mirror, which is fetched freshly unless `offline`."""
    place = run.acting(IdentityKind.NODE)
    with mirror_of(run, IdentityKind.NODE, offline=offline, agreements=(agreement_id,)):
        pass
    with OfflineNode.open(run.home, place.identity) as node:
        return node.preview(report, agreement=agreement_id)


def tell(run: Invocation, report: Report, decided: Preview) -> None:
    """Say what was decided: per node, then every clause that refuses."""
    total = len(report.portions)
    run.output.record(
        agreement_id=decided.agreement_id,
        banner=decided.banner,
        permitted=decided.permitted,
        nodes=[
            {"node": one.node, "portions": _counted(one.portions), "withheld": _counted(one.withheld)}
            for one in decided.nodes
        ],
        refused_parties=list(decided.refused_parties),
        clauses=[clause_json(one) for one in decided.explanations],
        deferred=list(decided.deferred),
    )
    run.output.banner(decided.banner)
    rows = []
    for one in decided.nodes:
        gets = ", ".join(map(str, _counted(one.portions))) or "none"
        rows.append((one.node, f"{gets} of {total}", ", ".join(map(str, _counted(one.withheld))) or "-"))
    run.output.table(("NODE", "WOULD GET PORTIONS", "NOT"), rows, "No node of any addressee could receive it.")
    for party in decided.refused_parties:
        run.output.show(f"{party} would get nothing of it.")
    if decided.explanations:
        run.output.show("Why not:", *clause_lines(decided.explanations))
    if decided.deferred:
        words = f"Decided elsewhere, at admission or opening: {', '.join(decided.deferred)}"
        run.output.say(*folded(words))


def _counted(indices: Iterable[int]) -> list[int]:
    return [index + 1 for index in indices]
