"""A broker inside the test's event loop that is restored from an older copy of its store, as `comity broker restore` does it.

saved = save(shared, tmp_path / "saved")
await restore(shared, saved)                 # the broker is stopped
async with brokered(shared.world.data, world=shared.world): await confirm(shared)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from builders_sdk import AGREEMENT, Shared
from comity_broker.continuing import ContinuedLog, continue_logs
from comity_broker.storage.sqlite import begin_incarnation, copy_store, open_storage
from comity_policy.steps import StepKind


def save(shared: Shared, into: Path) -> Path:
    """Copy the store of a broker, running or not."""
    into.mkdir()
    copy_store(shared.world.data, into, lambda _done, _all: None)
    return into


async def restore(
    shared: Shared, saved: Path, presented: Mapping[str, Sequence[bytes]] | None = None
) -> list[ContinuedLog]:
    """Put a copy in the place of a stopped broker's store and move it to its next incarnation."""
    world = shared.world
    for path in world.data.glob("store.sqlite*"):
        path.unlink()
    shutil.copy(saved / "store.sqlite", world.data / "store.sqlite")
    for path in world.installation.last_signed.glob("*.signed"):
        path.unlink()
    begin_incarnation(world.data, os.urandom(16))
    with open_storage(world.data) as storage:
        now = world.clock.now_ms()
        return await continue_logs(world.installation, storage, presented or {}, now_ms=now, random_bytes=os.urandom)


async def confirm(shared: Shared, *parties: str) -> None:
    """Let the liaisons of both parties, or of those named, confirm."""
    world = shared.world
    terms = await world.broker.agreements.terms(AGREEMENT)
    for nation in (world.xar, world.xbo):
        if nation.party in (parties or ("XAR", "XBO")):
            await shared.treaty.take(StepKind.LOG_CONFIRM, nation, log=terms)
