"""`comity breach`: cases of breach, from their discovery to their close."""

from __future__ import annotations

import click

from comity.cli.agreement_show import mirror_of
from comity.cli.base import Group, Invocation, now_ms
from comity.cli.officer_acts import act
from comity.cli.output import safe
from comity.node.acts import acts_of
from comity.node.times import moment_of, rfc3339
from comity_policy.act_rules import breach_stage
from comity_policy.acts import ActKind

_REASON = click.option("--reason", required=True, help="What there is to say; the other parties read it.")


@click.group(cls=Group)
def breach() -> None:
    """Notify a breach, report on it, say what was done about it, close it: each in its time."""


@breach.does(
    "open",
    example="""comity breach open XAR-XBO-1 --report 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 \\
    --discovered 2027-01-31T08:00:00Z --reason 'a laptop is lost' --as XAR/officer1""",
)
@click.argument("agreement_id")
@click.option("--report", "report", help="The report it is about.")
@click.option("--entry", "entry", help="Or the entry of the log that it is about.")
@click.option("--discovered", metavar="TIME", help="When it was discovered (default: now).")
@_REASON
def open_(
    run: Invocation, *, agreement_id: str, report: str | None, entry: str | None, discovered: str | None, reason: str
) -> None:
    """Notify a breach to the other parties; the clocks of its clause run from here."""
    if (report is None) == (entry is None):
        raise click.UsageError("name either --report or --entry")
    subject, subject_id = ("report", report) if report is not None else ("entry", entry)
    at = now_ms() if discovered is None else moment_of(discovered)
    act(
        run,
        "notified a breach",
        lambda at_work: at_work.open_breach(
            agreement_id, reason, subject=subject, subject_id=str(subject_id), discovered_at=at
        ),
    )


@breach.does(
    "update",
    example="""comity breach update XAR-XBO-1 3f9c2b7e --stage initial-report --reason 'where and when' --as XAR/officer1
comity breach update XAR-XBO-1 3f9c2b7e --stage measures --reason 'keys are renewed' --as XAR/officer1""",
)
@click.argument("agreement_id")
@click.argument("case")
@click.option("--stage", required=True, type=click.Choice(["initial-report", "measures"]), help="What this is.")
@_REASON
def update(run: Invocation, *, agreement_id: str, case: str, stage: str, reason: str) -> None:
    """Report on a breach for the first time, then say what was done. CASE is eight or more digits of its digest."""
    act(run, f"gave the {stage} of {case[:16]}", lambda one: one.update_breach(agreement_id, case, stage, reason))


@breach.does("close", example="comity breach close XAR-XBO-1 3f9c2b7e --reason 'mended' --as XAR/officer1")
@click.argument("agreement_id")
@click.argument("case")
@_REASON
def close(run: Invocation, *, agreement_id: str, case: str, reason: str) -> None:
    """Close a breach of the own party, after its measures."""
    act(run, f"closed the breach {case[:16]}", lambda at_work: at_work.close_breach(agreement_id, case, reason))


@breach.does("list", example="comity breach list XAR-XBO-1 --as XAR/officer1")
@click.argument("agreement_id")
def list_(run: Invocation, *, agreement_id: str) -> None:
    """List the breaches under an agreement, from the own verified mirror."""
    with mirror_of(run, agreements=(agreement_id,)) as mirror:
        acts = acts_of(mirror, agreement_id)
    rows = []
    for one in (one for one in acts if one.kind is ActKind.BREACH_OPEN):
        stage = breach_stage(one, acts)
        run.output.record(
            digest=one.digest,
            party=one.party,
            stage=stage,
            subject=one.subject,
            subject_id=one.subject_id,
            discovered_at=rfc3339(one.discovered_at),
            notified_at=rfc3339(one.at_ms),
            reason=one.reason,
        )
        rows.append((one.digest[:16], one.party, stage, f"{one.subject} {one.subject_id}", safe(one.reason)))
    run.output.table(("CASE", "PARTY", "STAGE", "ABOUT", "REASON"), rows, "No breach.")
