"""`comity demo`: two nations exchange reports on this machine, the whole way and for real.

Every step is a command of this very installation in a process of its own, with mutual TLS between them on loopback. The
demo says what happened after it happened, checks it, and ends with an error at the first step that did not do what it says.
"""

from __future__ import annotations

import time
from importlib.resources import as_file, files
from pathlib import Path

import click

from comity.cli.base import Invocation, command
from comity.errors import NotFoundError
from comity_broker.cli.demo_scenes import Story, tell
from comity_broker.cli.demo_stage import Stage


@command(
    "demo",
    example="""comity demo
comity demo --reports ~/stix --keep /tmp/demo-run
comity demo --json""",
)
@click.option("--reports", metavar="DIR", help="Send these files instead of the samples, e.g. STIX 2.1 bundles.")
@click.option(
    "--keep", metavar="DIR", default="demo-run", show_default=True, help="Where everything is left to look at."
)
def demo(run: Invocation, *, reports: str | None, keep: str) -> None:
    """Show the whole way on this machine: two nations, an agreement, reports, refusals, an audit.

    Two fictional nations make keys, trust each other's cards, enrol nodes with proof of possession, sign an agreement, exchange
    reports under it; what the agreement does not allow is refused, at the sender and at the broker; an auditor verifies the log
    offline and finds a changed byte. The directory is removed and made anew at each start, and left to look at.
    With --json one record a step: {step, command, exit, facts}.
    """
    own = Path(reports).absolute() if reports is not None else None
    if own is not None and not own.is_dir():
        raise NotFoundError(f"there is no directory {own}")
    began = time.monotonic()
    with (
        as_file(files("comity_broker.cli").joinpath("samples")) as samples,
        Stage.set_up(Path(keep).absolute(), run.output) as stage,
    ):
        tell(Story(stage, samples, own or samples / "stix"))
        seconds = time.monotonic() - began
        stage.note("done", ("demo",), 0, {"steps": len(stage.records), "seconds": round(seconds, 1)})
        run.output.say(
            "",
            f"{len(stage.records)} steps, each checked, in {seconds:.0f} s. Look around in {stage.directory}: XAR/home and XBO/home "
            "are the two nations' machines, broker is what the broker has, XBO/inbox what arrived, audit what proves it.",
        )
