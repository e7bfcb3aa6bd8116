"""A refresh that is left under way, as Ctrl-C leaves it: its file is used by one at a time, and closed when nobody uses it."""

import asyncio
import threading

import pytest

from builders_audit import good_audit
from builders_hostile import AGREEMENT, mirrored
from comity.node import following
from comity.node.mirror_store import MirrorStore


@pytest.mark.parametrize(
    ("where", "what"), [(MirrorStore, "drop_provisional"), (following, "_take")], ids=["at its begin", "with entries"]
)
async def test_a_refresh_that_is_cancelled_is_over_when_nothing_of_it_is_at_work_any_more(
    tmp_path, monkeypatch, where, what
):
    began, may_end, ended = threading.Event(), threading.Event(), []
    work = getattr(where, what)

    def working(*words):
        began.set()
        may_end.wait(60)
        done = work(*words)
        ended.append(what)
        return done

    async with mirrored(good_audit(), tmp_path) as (_, mirror, refresh):
        monkeypatch.setattr(where, what, working)
        refreshing = asyncio.create_task(refresh())
        await asyncio.to_thread(began.wait)
        refreshing.cancel()
        asyncio.get_running_loop().call_later(0.05, may_end.set)
        await asyncio.gather(refreshing, return_exceptions=True)
        assert refreshing.cancelled()
        assert ended == [what]
        monkeypatch.setattr(where, what, work)
        await refresh()
        assert mirror.agreement(AGREEMENT).log_seen.size > 0
