"""`comity broker backup`: a consistent copy of a broker that runs or is stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import click

from comity.cli.base import Invocation, command, now_ms
from comity_broker.backup import Copied, LogState, take_backup
from comity_broker.cli.places import DATA_HELP, data_directory
from comity_broker.installation import named_in
from comity_broker.storage.protocol import SESSIONS
from comity_broker.storage.sqlite import copy_store


@command("backup", example="comity broker backup /srv/backups/hub-2027-03-01\ncomity broker backup TO_DIR --json")
@click.argument("to_dir")
@click.option("--data", metavar="DIR", help=DATA_HELP)
def backup(run: Invocation, to_dir: str, data: str | None) -> None:
    """Write a backup of the broker, running or stopped, into a directory that is not there yet.

    It holds everything a restore needs: the store as of one moment, cards, bundle, certificate, the trees signed last, and the keys,
    encrypted as they are. Keep it as safe as the broker itself, and its passphrase elsewhere. The broker goes on meanwhile.
    """
    where, into = data_directory(data), Path(to_dir)
    running = False

    def copied(part: Path) -> Copied:
        nonlocal running
        with progress(run, "store") as tell:
            found = copy_store(where, part, tell)
        running = found.running
        logs = [LogState(head.shard, head.leaf_next, head.root.hex()) for head in found.heads if head.shard != SESSIONS]
        return found.incarnation.hex(), logs

    manifest = take_backup(
        where, into, broker=named_in(where), version=version("comity"), now_ms=now_ms(), copy_store=copied
    )
    size = sum(one.size for one in manifest.files)
    run.output.record(
        backup=str(into),
        broker=manifest.broker,
        incarnation=manifest.incarnation,
        taken_at=manifest.taken_at,
        running=running,
        bytes=size,
        files=len(manifest.files),
        logs={one.log: one.entries for one in manifest.logs},
        left_out=manifest.left_out,
    )
    state = "while it ran" if running else "stopped"
    run.output.say(
        f"Backup of {manifest.broker} ({state}) in {into}: {len(manifest.files)} files, {size / (1 << 20):.1f} MiB.",
        *(f"Left out, not the broker's: {name}" for name in manifest.left_out),
        "Its keys are in it, encrypted. Without their passphrase it restores nothing: keep that elsewhere.",
    )


@contextmanager
def progress(run: Invocation, label: str) -> Iterator[Callable[[int, int], None]]:
    """Give what shows how much is done, as a bar on a terminal; nothing elsewhere, nor with --json or --quiet."""
    if run.output.json or run.output.quiet or not sys.stderr.isatty():
        yield lambda _done, _all: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def tell(done: int, everything: int) -> None:
            bar.length = max(1, everything)
            bar.update(done - bar.pos)

        yield tell
