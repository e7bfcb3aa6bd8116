"""`comity broker restore`: a broker from a backup, as its next incarnation.

In order, so that a restore that stops half way leaves no broker rather than half a one: the backup is checked whole; it is copied beside
its place, moved to the next incarnation there and checked; what was in the place is set aside, `broker.toml` first; the new one moves in,
`broker.toml` last. A broker exists when that file does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from comity.cli.base import Invocation, command, now_ms
from comity.errors import ConflictError, ErrorCode, StorageError
from comity.identity.names import incarnation_of, is_exercise
from comity.node.files import private_directory, read_file, storage_error, sync_directory
from comity_broker.backup import Manifest, copy_file, files_of, holdings, read_backup
from comity_broker.cli.places import DATA_HELP, data_directory
from comity_broker.continuing import ContinuedLog, continue_logs
from comity_broker.installation import open_installation
from comity_broker.presented import Presented
from comity_broker.storage.sqlite import DirectoryLock, begin_incarnation, open_storage

_FIRST: Final = "broker.toml"
_NOTE_BYTES: Final = 64 << 10


@command(
    "restore",
    example="""comity broker restore /srv/backups/hub-2027-03-01 --data /var/lib/comity
comity broker restore FROM_DIR --replace --passphrase-file FILE""",
)
@click.argument("from_dir")
@click.option("--data", metavar="DIR", help=DATA_HELP)
@click.option("--replace", is_flag=True, help="Set aside what is in the data directory; nothing is deleted.")
@click.option(
    "--presented", multiple=True, metavar="FILE", help="A newer checkpoint of one of its logs, as a party holds it."
)
def restore(run: Invocation, from_dir: str, data: str | None, presented: tuple[str, ...], *, replace: bool) -> None:
    """Restore a broker that is stopped from a backup, as its next incarnation.

    Each of its logs begins anew with CONTINUES, which names what was restored. Every agreement then waits until a liaison of each
    party has confirmed that: comity agreement confirm-log. Senders publish again what the backup had not; receivers drop what they had.
    """
    where, source = data_directory(data), Path(from_dir)
    manifest = read_backup(source)
    passphrase = run.passphrase(f"the broker in {source}")
    private_directory(where)
    lock = DirectoryLock.take(where)
    try:
        found = holdings(where)
        if found and not replace:
            raise ConflictError(
                f"{where} is not empty: {', '.join(found[:5])}",
                what_to_do="Name an empty directory, or say --replace: what is there is then set aside, not deleted.",
                code=ErrorCode.FILE_EXISTS,
            )
        incarnation = os.urandom(16)
        staged = where / f"restoring-{incarnation.hex()[:8]}"
        _stage(source, staged)
        shown = _presented([where, staged], presented)
        logs = _continued(staged, manifest, incarnation, passphrase, shown)
        _give(where, [staged, *staged.rglob("*"), where / "broker.lock"])
        aside = where / f"set-aside-{incarnation.hex()[:8]}" if found else None
        try:
            _swap(where, staged, aside, found)
        except OSError as error:
            raise storage_error(where, error) from error
    finally:
        lock.release()
    _say(run, where, manifest, logs, aside)


def _stage(source: Path, staged: Path) -> None:
    try:
        private_directory(staged)
        for name in (Path("store.sqlite"), *files_of(source)):
            copy_file(source / name, staged / name)
    except OSError as error:
        raise storage_error(staged, error) from error


def _continued(
    staged: Path, manifest: Manifest, incarnation: bytes, passphrase: bytes, presented: Presented
) -> list[ContinuedLog]:
    """Move the staged broker to its next incarnation, and check all of it before and after."""
    # The certificate may have ended since: `comity broker init --renew` is for afterwards.
    installation = open_installation(staged, passphrase, manifest.taken_at)
    _check(staged)
    begin_incarnation(staged, incarnation)
    for name in sorted(installation.last_signed.glob("*.signed")):
        name.rename(name.with_suffix(f".before-{incarnation.hex()[:8]}"))

    async def work() -> list[ContinuedLog]:
        with open_storage(staged) as storage:
            return await continue_logs(
                installation, storage, presented.notes(), now_ms=now_ms(), random_bytes=os.urandom
            )

    logs = asyncio.run(work())
    _check(staged)
    (staged / "broker.lock").unlink(missing_ok=True)
    return logs


def _check(data: Path) -> None:
    async def look() -> list[str]:
        with open_storage(data) as storage:
            return await storage.reader.check()

    wrong = asyncio.run(look())
    if wrong:
        raise StorageError(
            f"the store of the backup is not sound: {'; '.join(wrong[:5])}", what_to_do="Take another backup."
        )


def _presented(folders: Iterable[Path], files: tuple[str, ...]) -> Presented:
    """Gather the checkpoints that nodes showed the old broker, and those that the operator was given."""
    found = Presented.of(folders)
    for file in files:
        found.add(read_file(Path(file), _NOTE_BYTES, f"{file} does not exist"))
    return found


def _give(where: Path, paths: Iterable[Path]) -> None:
    """Give files that root made to the owner of the data directory: under the unit that is not root."""
    if os.geteuid() != 0:
        return
    owner = where.stat()
    for path in paths:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _swap(where: Path, staged: Path, aside: Path | None, found: list[str]) -> None:
    if aside is not None:
        private_directory(aside)
        for name in sorted(found, key=lambda one: one != _FIRST):
            (where / name).rename(aside / name)
        sync_directory(aside)
        sync_directory(where)
    for name in sorted((one.name for one in staged.iterdir()), key=lambda one: one == _FIRST):
        (staged / name).rename(where / name)
    sync_directory(where)
    staged.rmdir()


def _say(run: Invocation, where: Path, manifest: Manifest, logs: list[ContinuedLog], aside: Path | None) -> None:
    incarnation = incarnation_of(logs[0].said.origin).hex()
    agreements = [one.shard for one in logs if "/agreement/" in one.said.origin and not is_exercise(one.said.origin)]
    run.output.record(
        broker=manifest.broker,
        data=str(where),
        taken_at=manifest.taken_at,
        incarnation=incarnation,
        before=manifest.incarnation,
        set_aside=None if aside is None else str(aside),
        logs={one.shard: one.said.first for one in logs},
        to_confirm=agreements,
    )
    run.output.say(
        f"Restored {manifest.broker} in {where}, as incarnation {incarnation}.",
        *([f"What was there is in {aside}."] if aside is not None else []),
        f"Start it: comity broker run --data {where}",
        *(f"{one} waits for a liaison of each party: comity agreement confirm-log {one}" for one in agreements),
    )
