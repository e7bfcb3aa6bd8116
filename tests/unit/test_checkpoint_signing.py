"""Signing a log's checkpoint at a running broker: one at a time, whoever asks and whoever goes away meanwhile."""

import asyncio
import threading

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity_broker.auditlog.checkpoint import Checkpointer


async def test_a_caller_who_leaves_while_a_checkpoint_is_signed_does_not_have_it_signed_twice_at_once(
    tmp_path, monkeypatch
):
    """A second writer of the last-signed file takes the first one's temporary file away."""
    began, go_on, at_work, most = asyncio.Event(), threading.Event(), [0], [0]
    honest, loop = Checkpointer.sign, asyncio.get_running_loop()

    def sign(self, *about):
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        loop.call_soon_threadsafe(began.set)
        go_on.wait()
        try:
            return honest(self, *about)
        finally:
            at_work[0] -= 1

    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        await sender.send(report(), agreement=AGREEMENT)
        logs = world.world.broker.logs
        monkeypatch.setattr(Checkpointer, "sign", sign)
        size = (await world.world.broker._storage.reader.head(AGREEMENT)).tree_size
        logs._served[AGREEMENT].size = -1
        leaves = asyncio.ensure_future(logs.checkpoint(AGREEMENT, size))
        await began.wait()
        leaves.cancel()
        stays = asyncio.ensure_future(logs.checkpoint(AGREEMENT, size))
        for _ in range(100):
            await asyncio.sleep(0)
        go_on.set()
        assert (await stays)[1] == size
        assert most == [1]
        with pytest.raises(asyncio.CancelledError):
            await leaves
