"""What a call began is finished though the call is cancelled; no party's work waits for another's."""

import asyncio

import pytest

from comity.errors import ConflictError
from comity_broker.finishing import LIMIT, Finishing


async def test_what_a_commit_began_memory_follows_though_the_caller_went_away():
    finishing, committed, remembered = Finishing(), asyncio.Event(), asyncio.Event()

    async def suspend() -> None:
        await committed.wait()
        remembered.set()

    call = asyncio.create_task(finishing.whole("XAR", suspend))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    committed.set()
    await finishing.finished(5.0)
    assert remembered.is_set()


async def test_what_it_gives_and_what_it_refuses_reaches_the_caller():
    async def seven() -> int:
        return 7

    async def refuse() -> int:
        raise ConflictError("somebody was first")

    finishing = Finishing()
    assert await finishing.whole("XAR", seven) == 7
    with pytest.raises(ConflictError, match="somebody was first"):
        await finishing.whole("XAR", refuse)


async def test_a_party_that_fills_its_places_keeps_no_other_party_waiting():
    finishing, go = Finishing(), asyncio.Event()
    began: list[str] = []

    async def slow() -> None:
        began.append("XAR")
        await go.wait()

    async def quick() -> str:
        return "done"

    calls = [asyncio.create_task(finishing.whole("XAR", slow)) for _ in range(LIMIT + 1)]
    assert await finishing.whole("XBO", quick) == "done"
    assert len(began) == LIMIT
    # A call that waits for its turn is cancelled whole.
    calls[-1].cancel()
    go.set()
    await asyncio.gather(*calls[:-1])
    await finishing.finished(5.0)
    assert len(began) == LIMIT
