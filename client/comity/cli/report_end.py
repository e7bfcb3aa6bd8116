"""`comity report destroy | release | ask-correction | corrected`: what originator and holder of reports certify to one another."""

from __future__ import annotations

from uuid import UUID

import click

from comity.cli.base import Group, Invocation
from comity.cli.officer_acts import act, witnesses_of


def add_to(group: Group) -> None:
    """Add the commands to `comity report`."""
    for one in (destroy, release, ask_correction, corrected):
        group.add_command(one)


_END = Group("end")
_AGREEMENT = click.option("--agreement", "agreement_id", required=True, help="The agreement they came under.")
_REPORTS = click.argument("report_ids", metavar="REPORT_ID...", type=click.UUID, nargs=-1, required=True)


@_END.does(
    "destroy",
    example="""comity report destroy 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --agreement XAR-XBO-1 \\
    --means 'cross-cut shredding' --witness XBO/officer2 --as XBO/officer1""",
)
@_REPORTS
@_AGREEMENT
@click.option("--means", required=True, help="How it was destroyed, or brought back; the originator reads it.")
@click.option("--witness", "witnesses", multiple=True, metavar="PARTY/NAME", help="An officer here who signs too.")
@click.option("--witness-passphrase-file", metavar="FILE", help="The passphrase of the witnesses' keys, if another.")
@click.option("--returned", is_flag=True, help="They were returned to the originator, not destroyed.")
@click.option(
    "--in-emergency", is_flag=True, help="They were destroyed in an emergency, where the agreement allows it."
)
def destroy(
    run: Invocation,
    *,
    report_ids: tuple[UUID, ...],
    agreement_id: str,
    means: str,
    witnesses: tuple[str, ...],
    witness_passphrase_file: str | None,
    returned: bool,
    in_emergency: bool,
) -> None:
    """Certify that reports of one originator were destroyed or returned, with witnesses who sign beside the officer.

    The certificate is signed; the destroying is yours. What an open dispute names must not be destroyed, and no certificate of it is
    taken.
    """
    signing = witnesses_of(run, witnesses, witness_passphrase_file or "")
    ids = [one.hex for one in report_ids]
    outcome, cause = "returned" if returned else "destroyed", "emergency" if in_emergency else "end"
    act(
        run,
        f"certified that {len(ids)} report{'s were' if len(ids) > 1 else ' was'} {outcome}",
        lambda at_work: at_work.certify(agreement_id, ids, signing, outcome=outcome, cause=cause, means=means),
    )


@_END.does(
    "release",
    example="""comity report release 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --agreement XAR-XBO-1 --holder XBO \\
    --reason 'still of use' --as XAR/release1""",
)
@_REPORTS
@_AGREEMENT
@click.option("--holder", required=True, metavar="PARTY", help="The party that may keep them.")
@click.option("--reason", required=True, help="Why; the holder reads it.")
def release(run: Invocation, *, report_ids: tuple[UUID, ...], agreement_id: str, holder: str, reason: str) -> None:
    """Release a holder of the own party's reports from destroying or returning them."""
    ids = [one.hex for one in report_ids]
    act(run, f"released {holder}", lambda at_work: at_work.release(agreement_id, ids, holder, reason))


@_END.does(
    "ask-correction",
    example="""comity report ask-correction 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --agreement XAR-XBO-1 --holder XBO \\
    --reason 'it is another person' --as XAR/release1""",
)
@_REPORTS
@_AGREEMENT
@click.option("--holder", required=True, metavar="PARTY", help="The party that holds them.")
@click.option("--reason", required=True, help="What is wrong; the holder reads it.")
def ask_correction(
    run: Invocation, *, report_ids: tuple[UUID, ...], agreement_id: str, holder: str, reason: str
) -> None:
    """Tell a holder that personal data in the own party's reports is wrong. It corrects it in the time the agreement gives.

    By a liaison officer, legal reviewer or release authority.
    """
    ids = [one.hex for one in report_ids]
    act(run, f"asked {holder} to correct", lambda one: one.ask_correction(agreement_id, ids, holder, reason))


@_END.does(
    "corrected",
    example="""comity report corrected 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --agreement XAR-XBO-1 \\
    --reason 'the name is struck from all files' --as XBO/officer1""",
)
@_REPORTS
@_AGREEMENT
@click.option("--reason", required=True, help="What was done; the originator reads it.")
def corrected(run: Invocation, *, report_ids: tuple[UUID, ...], agreement_id: str, reason: str) -> None:
    """Say that wrong personal data in reports of one originator was corrected here.

    By a liaison officer, legal reviewer or release authority of the holder. The report as it was signed stays what it is: what is
    corrected is what was made of it.
    """
    ids = [one.hex for one in report_ids]
    act(run, "corrected the personal data", lambda at_work: at_work.corrected(agreement_id, ids, reason))
