"""`comity emergency`: a duty officer declares a threat to life, another officer reviews it afterwards."""

from __future__ import annotations

import click

from comity.cli.agreement_show import mirror_of
from comity.cli.base import Group, Invocation, now_ms
from comity.cli.officer_acts import act
from comity.cli.output import safe
from comity.node.acts import acts_of
from comity.node.times import rfc3339
from comity_policy.act_rules import valid_declaration
from comity_policy.acts import ActKind


@click.group(cls=Group)
def emergency() -> None:
    """Declare a threat to life, so that what is urgent is not held up; review it afterwards."""


@emergency.does(
    "declare",
    example="""comity emergency declare XAR-XBO-1 --reason 'two boats are sinking' --as XAR/duty1
comity emergency declare XAR-XBO-1 --reason 'two boats are sinking' --minutes 90 --as XAR/duty1""",
)
@click.argument("agreement_id")
@click.option("--reason", required=True, help="Why; the other parties read it.")
@click.option("--minutes", type=click.IntRange(min=1), help="For how long (default: as long as the agreement allows).")
def declare(run: Invocation, *, agreement_id: str, reason: str, minutes: int | None) -> None:
    """Declare a threat to life under an agreement. By a duty officer; it is to be reviewed afterwards (comity desk).

    Quotas, dual control, late acknowledgements and embargoes then do not hold up a report that names the declaration. Nothing
    else is lifted: markings, ceilings and clearances hold as ever.
    """
    taken = act(run, "declared a threat to life", lambda at_work: at_work.declare(agreement_id, reason, minutes))
    run.output.say(f"It is valid until {rfc3339(taken.valid_until)}. Send under it:")
    run.output.show(f"comity send FILE --agreement {agreement_id} --emergency {taken.digest}")


@emergency.does(
    "review",
    example="comity emergency review XAR-XBO-1 3f9c2b7e --finding justified --reason 'lives were saved' --as XAR/officer1",
)
@click.argument("agreement_id")
@click.argument("declaration")
@click.option("--finding", required=True, type=click.Choice(["justified", "unjustified"]), help="What was found.")
@click.option("--reason", required=True, help="Why; the other parties read it.")
def review(run: Invocation, *, agreement_id: str, declaration: str, finding: str, reason: str) -> None:
    """Review a declaration of the own party. By another officer than the one who declared.

    DECLARATION is its digest, or the first eight or more digits of it.
    """
    act(
        run,
        f"found the declaration {declaration[:16]} {finding}",
        lambda at_work: at_work.review(agreement_id, declaration, finding, reason),
    )


@emergency.does("list", example="comity emergency list XAR-XBO-1 --as XAR/officer1")
@click.argument("agreement_id")
def list_(run: Invocation, *, agreement_id: str) -> None:
    """List the declarations under an agreement and what became of them, from the own verified mirror."""
    with mirror_of(run, agreements=(agreement_id,)) as mirror:
        acts = acts_of(mirror, agreement_id)
    now = now_ms()
    reviews = {one.names: one for one in acts if one.kind is ActKind.REVIEW}
    rows = []
    for one in (one for one in acts if one.kind is ActKind.DECLARE):
        found = reviews.get(one.digest)
        valid = valid_declaration(one, one.party, now)
        stands = found.finding if found is not None else "valid" if valid else "not reviewed"
        run.output.record(
            digest=one.digest,
            officer=one.officer,
            declared_at=rfc3339(one.at_ms),
            valid_until=rfc3339(one.valid_until),
            reason=one.reason,
            stands=stands,
        )
        rows.append(
            (one.digest[:16], one.officer, rfc3339(one.at_ms), rfc3339(one.valid_until), stands, safe(one.reason))
        )
    run.output.table(("DECLARATION", "BY", "AT", "VALID UNTIL", "WHERE IT STANDS", "REASON"), rows, "No declaration.")
