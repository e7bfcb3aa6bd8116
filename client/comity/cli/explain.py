"""`comity explain`: why a report was refused or permitted, clause by clause: one that was sent, or a file that may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import click

from comity.cli.agreement_show import mirror_of
from comity.cli.approvals import APPROVE_AS
from comity.cli.base import Invocation, command
from comity.cli.output import folded, safe
from comity.cli.preview import asked_json, previewed, tell, tell_asked
from comity.cli.reports import STRUCTURED_HELP, one_report, report_options, wishes_of
from comity.errors import UsageError
from comity.node.decided import DecidedReport, decided_report
from comity.node.times import rfc3339
from comity_policy.decision import Baseline
from comity_policy.document import Document
from comity_policy.findings import baseline
from comity_policy.gloss import gloss
from comity_policy.readers import AskedAtOpening, asked_at_opening

_TIMES: Final = frozenset({"accreditation_until", "oldest_key_since"})


@command(
    "explain",
    example="""comity explain 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --as XAR/n1
comity explain report.txt --agreement XAR-XBO-1 --marking 'SECRET//REL TO XAR, XBO' --category cyber \\
    --purpose counter-terrorism""",
    notes=STRUCTURED_HELP,
)
@click.argument("what", metavar="REPORT_ID|FILE")
@click.option("--agreement", "agreement_id", help="The agreement; for a file it must be said.")
@click.option("--offline", is_flag=True, help="From the mirror alone, without asking the broker.")
@APPROVE_AS
@report_options
def explain(
    run: Invocation,
    *,
    what: str,
    agreement_id: str | None,
    offline: bool,
    approve_as: tuple[str, ...],
    **options: object,
) -> None:
    """Say why a report was permitted or refused, clause by clause, with what each clause means and says.

    A report's id is looked up in the agreement's log, as this identity's mirror verified it. A file is decided now, as
    `comity preview` does.
    """
    report_id = _report_id(what)
    if report_id is None:
        if agreement_id is None:
            raise UsageError("under which agreement is not said", what_to_do="--agreement ID")
        report = one_report(what, wishes_of(options))
        tell(run, report, previewed(run, report, agreement_id, approve_as, offline=offline))
        return
    names = None if agreement_id is None else (agreement_id,)
    with mirror_of(run, offline=offline, agreements=names) as mirror:
        found = decided_report(mirror, report_id, agreement_id)
        view = mirror.agreement(found.agreement_id)
    recipients = [one.node.partition("/")[0] for one in found.recipients]
    originator = str(found.entry.shared()["actor"]["party"])
    asked = asked_at_opening(view.compiled.source, originator, recipients)
    _tell_logged(run, report_id, found, view.document, asked)


def _tell_logged(
    run: Invocation, report_id: UUID, found: DecidedReport, document: Document, asked: Sequence[AskedAtOpening]
) -> None:
    record = found.record
    recipients = [
        {
            "node": one.node,
            "portions": [index + 1 for index in one.portions],
            "clauses": [
                {**_clause(document, clause), "reason": reason, "portions": [index + 1 for index in portions]}
                for clause, reason, portions in one.violations
            ],
            "facts": _facts(one.facts),
        }
        for one in found.recipients
    ]
    run.output.record(
        report_id=str(report_id),
        agreement_id=found.agreement_id,
        log_index=found.entry.log_index,
        at=rfc3339(found.at_ms),
        outcome=record.outcome.name,
        code=record.code.name if record.code is not None else None,
        leaf=record.leaf.hex(),
        recipients=recipients,
        at_opening=[asked_json(one) for one in asked],
    )
    why = f" ({record.code.name})" if record.code is not None else ""
    run.output.show(
        f"Report {report_id}: {record.outcome.name}{why} at {rfc3339(found.at_ms)}, "
        f"entry {found.entry.log_index} of the log of {found.agreement_id}"
    )
    for one in found.recipients:
        gets = ", ".join(str(index + 1) for index in one.portions) or "none"
        run.output.show(f"{one.node}: portions {gets}")
        for clause, reason, portions in one.violations:
            words = _clause(document, clause)
            counted = ", ".join(str(index + 1) for index in portions)
            run.output.show(f"  clause {clause} ({words['kind']}), portion {counted}: {reason}")
            run.output.show(
                *folded(f"it means: {words['gloss']}", "    "), *folded(f"it says: {words['text']}", "    ")
            )
        facts = _facts(one.facts).items()
        shown = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts if value not in (None, [], ""))
        run.output.show(*folded(f"decided on: {shown}", "    "))
    tell_asked(run, asked)
    if not found.recipients:
        run.output.show("The log tells this party nothing of who was to receive it.")


def _facts(facts: Mapping[str, object]) -> dict[str, object]:
    """Give the facts of a recipient as the log keeps them, times written as people write them."""
    return {
        name: rfc3339(value) if name in _TIMES and isinstance(value, int) else value for name, value in facts.items()
    }


def _clause(document: Document, clause_id: str) -> dict[str, object]:
    if clause_id in baseline.FINDINGS:
        meaning, text = baseline.TEXT[Baseline(clause_id)]
        return {"clause_id": clause_id, "kind": "baseline", "gloss": meaning, "text": text}
    try:
        clause = document.clause(clause_id)
    except KeyError:
        return {"clause_id": safe(clause_id), "kind": "unknown", "gloss": "", "text": "not a clause of this agreement"}
    text = clause.text.get(document.languages.prevailing) or next(iter(clause.text.values()))
    return {
        "clause_id": clause_id,
        "kind": str(clause.__struct_config__.tag),
        "gloss": gloss(clause, document),
        "text": text,
    }


def _report_id(what: str) -> UUID | None:
    if Path(what).exists() or what == "-":
        return None
    try:
        return UUID(what)
    except ValueError:
        return None
