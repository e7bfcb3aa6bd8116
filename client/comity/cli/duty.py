"""`comity duty`: what officers say under an agreement at its times: attestations, reviews, contacts."""

from __future__ import annotations

import click

from comity.cli.agreement_show import mirror_of
from comity.cli.base import Group, Invocation
from comity.cli.officer_acts import act
from comity.cli.output import safe
from comity.node.acts import acts_of
from comity_policy.acts import ActKind
from comity_policy.contacts import contacts_of


@click.group(cls=Group)
def duty() -> None:
    """Attest measures, say that personal data was reviewed, set whom to call. What is due when: comity desk."""


@duty.does("attest", example="comity duty attest XAR-XBO-1 --reason 'all nodes were inspected' --as XAR/security1")
@click.argument("agreement_id")
@click.option("--reason", required=True, help="What was attested; the other parties read it.")
def attest(run: Invocation, *, agreement_id: str, reason: str) -> None:
    """Attest anew that the party's nodes protect what they receive. By a security authority."""
    act(run, "attested the measures", lambda at_work: at_work.say(agreement_id, ActKind.ATTEST, reason=reason))


@duty.does(
    "review-personal-data",
    example="comity duty review-personal-data XAR-XBO-1 --reason 'all of it is needed still' --as XAR/lawyer1",
)
@click.argument("agreement_id")
@click.option("--reason", required=True, help="What was found; the other parties read it.")
def review_personal_data(run: Invocation, *, agreement_id: str, reason: str) -> None:
    """Say that the personal data held under an agreement was reviewed. By a legal reviewer or a release authority."""
    act(
        run,
        "reviewed the personal data",
        lambda at_work: at_work.say(agreement_id, ActKind.REVIEW_PERSONAL, reason=reason),
    )


@duty.does(
    "contact",
    example="""comity duty contact XAR-XBO-1 --role 'duty desk' --name 'The desk' --contact '+000 2' --as XAR/officer1
comity duty contact XAR-XBO-1 --as XAR/officer1""",
)
@click.argument("agreement_id")
@click.option("--role", "contact_role", help="What the contact is for.")
@click.option("--name", help="Who answers.")
@click.option("--contact", help="How to reach them.")
def contact(
    run: Invocation, *, agreement_id: str, contact_role: str | None, name: str | None, contact: str | None
) -> None:
    """Set whom the other parties call, in the place of what the agreement says; without options: show all contacts."""
    if contact_role and name and contact:
        fields = {"contact_role": contact_role, "name": name, "contact": contact}
        act(run, "set a contact", lambda at_work: at_work.say(agreement_id, ActKind.CONTACT, **fields))
        return
    if contact_role or name or contact:
        raise click.UsageError("a contact has --role, --name and --contact")
    with mirror_of(run, agreements=(agreement_id,)) as mirror:
        found = contacts_of(mirror.agreement(agreement_id).document, acts_of(mirror, agreement_id))
    for one in found:
        run.output.record(party=one.party, role=one.role, name=one.name, contact=one.contact)
    rows = [(one.party, safe(one.role), safe(one.name), safe(one.contact)) for one in found]
    run.output.table(("PARTY", "ROLE", "NAME", "CONTACT"), rows, "No contact.")
