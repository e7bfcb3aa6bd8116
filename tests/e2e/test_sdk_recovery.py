"""The SDK when things break: a broker that goes away, a process that dies, keys that change under way."""

import asyncio
import contextlib
import threading

import pytest

import comity
from builders_broker import brokered
from builders_sdk import AGREEMENT, Shared, report, sharing, until
from builders_world import files
from comity.errors import ErrorCode, KeyFault, RefusedError, UnreachableError
from comity.node import sync
from comity.node.alarms import AlarmKind
from comity.node.enrolment import publish_statement
from comity.node.outbox import Outbox, SegmentState
from comity_broker.settings import Settings


@contextlib.asynccontextmanager
async def restarted(shared: Shared):
    """Start the broker again over its data, on the port it had."""
    port = shared.world.broker.address.rpartition(":")[2]
    shared.world.settings = Settings(listen=f"127.0.0.1:{port}", drain=2.0)
    async with brokered(shared.world.data, world=shared.world):
        yield shared


async def stopped(path):
    """Give a broker's world after it was drained, with the agreement in force and both nodes enrolled."""
    async with sharing(path) as shared:
        return shared


async def received(node):
    found = []
    async for delivery in node.receive(follow=False, purpose="counter-terrorism"):
        async with delivery as one:
            found.append(one.text)
    return found


async def test_a_stream_goes_on_when_the_broker_comes_back(tmp_path):
    shared = await stopped(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        async with restarted(shared):
            sender = await stack.enter_async_context(shared.node("XAR"))
            reader = await stack.enter_async_context(shared.node("XBO"))
            await sender.send(report("before"), agreement=AGREEMENT)
        seen = []
        sending = asyncio.create_task(sender.send(report("while it was away"), agreement=AGREEMENT))
        async with restarted(shared):
            async for delivery in reader.receive(purpose="counter-terrorism"):
                async with delivery as one:
                    seen.append(one.text)
                if len(seen) == 2:
                    break
            assert (await sending).origin_sequence == 2
            await reader.refresh()
            await sender.refresh()
            assert seen == ["before", "while it was away"]
            assert not (*sender.alarms(), *reader.alarms())


async def test_what_a_process_stored_and_did_not_send_the_next_one_sends_first(tmp_path):
    shared = await stopped(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        async with restarted(shared):
            sender = await stack.enter_async_context(shared.node("XAR"))
            await sender.send(report("first"), agreement=AGREEMENT)
        late = asyncio.create_task(sender.send(report("second"), agreement=AGREEMENT))
        await until(lambda: _unanswered(sender))
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
    async with restarted(shared), shared.node("XAR") as sender, shared.node("XBO") as reader:
        receipt = await sender.send(report("third"), agreement=AGREEMENT)
        assert receipt.origin_sequence == 3
        assert await received(reader) == ["first", "second", "third"]


def _unanswered(sender) -> int:
    return sum(publisher.unanswered for publisher in sender._sender._publishers.values())


async def test_whoever_waits_too_long_is_told_that_the_report_is_in_the_outbox(tmp_path):
    shared = await stopped(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        async with restarted(shared):
            sender = await stack.enter_async_context(shared.node("XAR", patience_seconds=0.0))
            await sender.refresh()
        with pytest.raises(UnreachableError, match="outbox"):
            await sender.send(report("later"), agreement=AGREEMENT)
        async with restarted(shared), shared.node("XBO") as reader:
            async for delivery in reader.receive(purpose="counter-terrorism"):
                async with delivery as one:
                    assert one.text == "later"
                    break


async def test_a_second_sender_waits_for_the_first(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as first, world.node("XAR") as second:
        await first.send(report("one"), agreement=AGREEMENT)
        waiting = asyncio.create_task(second.send(report("two"), agreement=AGREEMENT))
        await first.send(report("three"), agreement=AGREEMENT)
        assert not waiting.done()
        await first.close()
        assert (await waiting).origin_sequence == 3


async def test_a_lost_outbox_begins_a_new_epoch_and_nothing_is_confused(tmp_path):
    async with sharing(tmp_path) as world, world.node("XBO") as reader:
        async with world.node("XAR") as sender:
            await sender.send(report("one"), agreement=AGREEMENT)
        for file in (world.home / "XAR/n1/outbox").iterdir():
            file.unlink()
        async with world.node("XAR") as sender:
            assert (await sender.send(report("two"), agreement=AGREEMENT)).origin_sequence == 1
        assert await received(reader) == ["one", "two"]
        await reader.refresh()
        assert not reader.alarms()


async def test_an_outbox_from_a_backup_is_noticed_and_its_report_is_sealed_again(tmp_path):
    async with sharing(tmp_path) as world, world.node("XBO") as reader:
        async with world.node("XAR") as sender:
            await sender.send(report("one"), agreement=AGREEMENT)
        outbox = world.home / "XAR/n1/outbox"
        backup = {file.name: file.read_bytes() for file in outbox.iterdir()}
        async with world.node("XAR") as sender:
            await sender.send(report("two"), agreement=AGREEMENT)
        for file in outbox.iterdir():
            file.unlink()
        for name, data in backup.items():
            (outbox / name).write_bytes(data)
        async with world.node("XAR") as sender:
            receipt = await sender.send(report("three"), agreement=AGREEMENT)
            assert receipt.origin_sequence == 1
        assert await received(reader) == ["one", "two", "three"]
        # Were the process to die with the receipt written, its numbers would be known as used up.
        stored = await Outbox.open(outbox, wait=False)
        assert len(stored.lanes_in(SegmentState.ENDED)) == 1
        stored.close()


async def test_a_report_of_an_earlier_process_that_is_refused_raises_an_alarm(tmp_path):
    shared = await stopped(tmp_path)
    outbox = shared.home / "XAR/n1/outbox"
    async with restarted(shared), shared.node("XAR") as sender:
        await sender.send(report("one"), agreement=AGREEMENT)
    before = files(outbox)
    async with contextlib.AsyncExitStack() as stack:
        async with restarted(shared):
            sender = await stack.enter_async_context(shared.node("XAR", patience_seconds=0.0))
            await sender.refresh()
        with pytest.raises(UnreachableError, match="outbox"):
            await sender.send(report("stored"), agreement=AGREEMENT)
    stored = files(outbox)
    # Its number goes to another report meanwhile, by an outbox from a backup.
    put(outbox, before)
    async with restarted(shared), shared.node("XAR") as sender:
        assert (await sender.send(report("two"), agreement=AGREEMENT)).origin_sequence == 2
    put(outbox, stored)
    async with restarted(shared), shared.node("XAR") as sender:
        await sender.settle()
        (alarm,) = sender.alarms()
        assert (alarm.kind, alarm.agreement_id) == (AlarmKind.NOT_TAKEN, AGREEMENT)
        assert "REPLAYED" in alarm.detail


def put(directory, content: dict[str, bytes]) -> None:
    for file in directory.iterdir():
        file.unlink()
    for name, data in content.items():
        (directory / name).write_bytes(data)


async def test_a_key_revoked_under_way_is_sealed_to_no_more_and_the_stream_goes_on(tmp_path):
    async with sharing(tmp_path) as world:
        second = await world.enrol(world.world.xbo, "n2")
        async with world.node("XAR") as sender, world.node("XBO") as reader:
            receipt = await sender.send(report("to both"), agreement=AGREEMENT)
            assert [node for node, _ in receipt.recipients] == ["XBO/n1", "XBO/n2"]
            revocation = world.world.xbo.revocation(second.decapsulator.fingerprint)
            async with world.world.connection(world.nodes["XBO"]) as connection:
                await publish_statement(connection, revocation)
            receipt = await sender.send(report("to one"), agreement=AGREEMENT)
            assert [node for node, _ in receipt.recipients] == ["XBO/n1"]
            assert await received(reader) == ["to both", "to one"]


async def test_a_revoked_node_is_shut_out(tmp_path):
    async with sharing(tmp_path) as world:
        held = world.nodes["XAR"]
        async with world.world.connection(world.nodes["XAR"]) as connection:
            await publish_statement(connection, world.world.xar.revocation(held.signer.fingerprint))
        with pytest.raises(KeyFault) as caught:
            async with world.node("XAR"):
                pass
        assert caught.value.code is ErrorCode.CERTIFICATE_REVOKED


def test_a_program_without_an_event_loop_sends_and_receives(tmp_path):
    running, done, ready = {}, threading.Event(), threading.Event()

    async def serve():
        async with sharing(tmp_path) as world:
            running["world"] = world
            ready.set()
            await asyncio.to_thread(done.wait)

    broker = threading.Thread(target=lambda: asyncio.run(serve()))
    broker.start()
    try:
        assert ready.wait(60)
        world = running["world"]
        with sync.opened(world.node("XAR")) as sender, sync.opened(world.node("XBO")) as reader:
            assert sender.preview(report(), agreement=AGREEMENT).permitted
            sender.send(report("one"), agreement=AGREEMENT)
            outcomes = list(
                sender.send_many([report("two"), report("three", marking="SECRET//NOFORN")], agreement=AGREEMENT)
            )
            assert [one.accepted for one in outcomes] == [True, False]
            with pytest.raises(RefusedError):
                sender.send(report("four", marking="SECRET//NOFORN"), agreement=AGREEMENT)
            texts = []
            for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
                with delivery as one:
                    texts.append(one.text)
            assert texts == ["one", "two"]
            assert [row.originator for row in reader.reports(AGREEMENT)] == ["XAR/n1", "XAR/n1"]
            video = tmp_path / "video.mp4"
            video.write_bytes(bytes(1000) * 1000)
            attached = comity.attached(video, "SECRET//REL TO XAR, XBO")
            heard = []
            sender.send(report("", attached), agreement=AGREEMENT, progress=heard.append)
            assert heard[-1].done == heard[-1].total
            for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
                with delivery as one:
                    (attachment,) = one.attachments
                    assert (attachment.index, attachment.marking.banner) == (0, "SECRET//REL TO XAR, XBO")
                    saved = attachment.save(tmp_path / "saved.mp4")
                    assert saved.path.read_bytes() == video.read_bytes()
                    assert attachment.length > saved.portion.length == 1_000_000
            assert not reader.alarms()
    finally:
        done.set()
        broker.join()


async def test_an_outbox_is_one_process_at_a_time(tmp_path):
    first = await Outbox.open(tmp_path)
    with pytest.raises(Exception, match="another process"):
        await Outbox.open(tmp_path, wait=False)
    first.close()
    (await Outbox.open(tmp_path, wait=False)).close()
