"""`comity agreement caveat add | withdraw | list`: what one party alone takes back from an agreement."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from comity.cli.agreement_facts import caveat_facts
from comity.cli.agreement_print import show_caveats
from comity.cli.agreement_show import OFFLINE, mirror_of
from comity.cli.agreement_steps import take_step
from comity.cli.base import Group, Invocation, command
from comity.node.files import read_file
from comity.node.treaty_life import agreement_named
from comity.texts import CAVEAT_LIMIT

_NOTES: Final = """\
A caveat
[caveat]
party = "XAR"
id = "NO-ROUTES"
agreement = "XAR-XBO-1"
digest = "sha384:..."        # of the version that governs: comity agreement show XAR-XBO-1
incoming = false             # true: also on what the own party receives
partner_text = "Arland applies a national limitation to this agreement."

[[clause]]
id = "1"
kind = "exclude"             # or any kind that only requires, such as ceiling or need-to-know
text = { en = "Nothing on routes." }
categories = ["illegal-migration"]
"""


@click.group(cls=Group)
def caveat() -> None:
    """National caveats: they only subtract, need nobody's consent, take effect at once; others read the partner text alone."""


def add_to(group: Group) -> None:
    """Add the group to `comity agreement`."""
    group.add_command(caveat)


@command("add", example="comity agreement caveat add no-routes.toml --as XAR/security1", notes=_NOTES, group=caveat)
@click.argument("file", type=click.Path())
def add(run: Invocation, *, file: str) -> None:
    """Add a national caveat of the own party. By a security authority, release authority or plenipotentiary.

    The broker decides by it and shows its text to the own party alone.
    """
    text = read_file(Path(file), CAVEAT_LIMIT)
    take_step(run, agreement_named(text), lambda at_work: at_work.caveat_add(text))


@caveat.does("withdraw", example="comity agreement caveat withdraw XAR-XBO-1 NO-ROUTES --as XAR/security1")
@click.argument("agreement_id")
@click.argument("caveat_id", metavar="CAVEAT")
def withdraw(run: Invocation, *, agreement_id: str, caveat_id: str) -> None:
    """Withdraw a national caveat of the own party, at once."""
    take_step(run, agreement_id, lambda at_work: at_work.caveat_withdraw(agreement_id, caveat_id))


@caveat.does("list", example="comity agreement caveat list XAR-XBO-1 --as XAR/officer1")
@click.argument("agreement_id")
@OFFLINE
def list_(run: Invocation, *, agreement_id: str, offline: bool) -> None:
    """List the caveats in force on an agreement: the own party's whole, a partner's by its partner text."""
    with mirror_of(run, offline=offline, agreements=(agreement_id,)) as mirror:
        view = mirror.agreement(agreement_id)
    for facts in caveat_facts(view):
        run.output.record(agreement_id=agreement_id, **facts)
    if not view.state.caveats:
        run.output.show(f"No caveat is in force on {agreement_id}.")
    show_caveats(run.output, view)
