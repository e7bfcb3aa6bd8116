"""`comity agreement`: the group. The other `agreement_...` modules have its commands, a file for each part of a treaty's life."""

from __future__ import annotations

import click

from comity.cli import (
    agreement_caveat,
    agreement_change,
    agreement_confirm,
    agreement_diff,
    agreement_end,
    agreement_export,
    agreement_negotiate,
    agreement_prove,
    agreement_show,
    agreement_text,
)
from comity.cli.base import Group


@click.group(cls=Group)
def agreement() -> None:
    """Agreements: write, check, negotiate, sign, amend, suspend, renew, end."""


agreement_text.add_to(agreement)
agreement_prove.add_to(agreement)
agreement_diff.add_to(agreement)
agreement_export.add_to(agreement)
agreement_negotiate.add_to(agreement)
agreement_change.add_to(agreement)
agreement_end.add_to(agreement)
agreement_caveat.add_to(agreement)
agreement_confirm.add_to(agreement)
agreement_show.add_to(agreement)
