"""`comity preview`: who would receive a report, which portions, and why not the others. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from comity.cli.agreement_show import mirror_of
from comity.cli.approvals import APPROVE_AS, officers_named
from comity.cli.base import Invocation, command
from comity.cli.output import clause_json, clause_lines, folded
from comity.cli.reports import STRUCTURED_HELP, one_report, report_options, wishes_of
from comity.identity.names import IdentityKind
from comity.node.offline import OfflineNode
from comity.node.previews import Preview
from comity.report import Report
from comity_policy.readers import AskedAtOpening


@command(
    "preview",
    example="""comity preview report.txt --agreement XAR-XBO-1 --marking 'SECRET//REL TO XAR, XBO' \\
    --category terrorism --purpose counter-terrorism
comity preview transfer.report.toml --agreement XAR-XBO-1 --offline
comity preview warning.txt --agreement XAR-XBO-1 --marking 'SECRET//REL TO XAR, XBO' --category terrorism \\
    --purpose counter-terrorism --precedence flash --approve-as XAR/officer1""",
    notes=STRUCTURED_HELP,
)
@click.argument("file", metavar="FILE|-")
@click.option("--agreement", "agreement_id", required=True, help="The agreement it would be sent under.")
@click.option("--offline", is_flag=True, help="From the mirror alone, without asking the broker.")
@APPROVE_AS
@report_options
def preview(
    run: Invocation, *, file: str, agreement_id: str, offline: bool, approve_as: tuple[str, ...], **options: object
) -> int:
    """Say who would receive a report, which portions, and why not the others. Nothing is sent.

    The same decision as `comity send` takes, from the same signed clauses. The exit code is 10 where nobody would get anything.
    """
    report = one_report(file, wishes_of(options))
    decided = previewed(run, report, agreement_id, approve_as, offline=offline)
    tell(run, report, decided)
    return 0 if decided.permitted else 10


def previewed(
    run: Invocation, report: Report, agreement_id: str, approve_as: tuple[str, ...] = (), *, offline: bool
) -> Preview:
    """Decide a report here, from the acting node's mirror, which is fetched freshly unless `offline`."""
    approved_by = officers_named(approve_as)
    place = run.acting(IdentityKind.NODE)
    with mirror_of(run, IdentityKind.NODE, offline=offline, agreements=(agreement_id,)):
        pass
    with OfflineNode.open(run.home, place.identity) as node:
        return node.preview(report, agreement=agreement_id, approved_by=approved_by)


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
        at_opening=[asked_json(one) for one in decided.at_opening],
        approvals_required=decided.approvals_required or None,
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
    elif decided.refusal is not None:
        run.output.show(decided.refusal.message, decided.refusal.what_to_do)
    if decided.approvals_required:
        run.output.show(f"It goes with the approvals of at least {decided.approvals_required} officers.")
    asked = {one.clause_id for one in decided.at_opening}
    left = [clause_id for clause_id in decided.deferred if clause_id not in asked]
    if left:
        run.output.say(*folded(f"Decided elsewhere, at admission or opening: {', '.join(left)}"))
    tell_asked(run, decided.at_opening)


def tell_asked(run: Invocation, asked: Sequence[AskedAtOpening]) -> None:
    """Say what whoever opens the report is asked."""
    if asked:
        run.output.say("When it is opened:", *(line for one in asked for line in _asked_lines(one)))


def asked_json(one: AskedAtOpening) -> dict[str, object]:
    """Give what a clause asks of whoever opens, for programs."""
    return {"clause_id": one.clause_id, "kind": one.kind, "asks": one.asks, "gloss": one.gloss}


def _asked_lines(one: AskedAtOpening) -> list[str]:
    return [*folded(f"{one.asks} (clause {one.clause_id})", "  "), *folded(f"it means: {one.gloss}", "    ")]


def _counted(indices: Iterable[int]) -> list[int]:
    return [index + 1 for index in indices]
