"""A bundle holds what the party's nodes hold against the broker: receipts whose entries the mirror has, and no others."""

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.envelope.core import LogSeen
from comity.node.bundle import write_bundle
from comity.node.catching_up import catch_up
from comity.node.custody import kept_receipts
from comity.verify.checks import Verification
from comity_broker.auditlog.bodies import Caller
from comity_broker.forks import Forks


async def bundled(world, sender, directory):
    """Write a bundle as XAR, with what its node keeps."""
    await catch_up(sender.connection, sender.mirror, (AGREEMENT,))
    cards = {one.party: one.card_file for one in (world.world.xar, world.world.xbo)}
    outbox = world.access("XAR").place.outbox
    return await write_bundle(sender.connection, sender.mirror, AGREEMENT, cards, directory, outboxes=[outbox])


async def test_a_bundle_has_the_receipts_of_the_partys_nodes_and_passes_with_them(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        for text in ("one", "two"):
            await sender.send(report(text), agreement=AGREEMENT)
        written = await bundled(world, sender, tmp_path / "bundle")
        assert (written.receipts, written.envelopes) == (2, 2)
        assert len(list((tmp_path / "bundle" / "receipts").iterdir())) == 2
        assert Verification(tmp_path / "bundle", views=["XAR"]).verdict == "PASS"


async def test_a_log_that_holds_a_fork_verifies(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        await sender.send(report(), agreement=AGREEMENT)
        broker = world.world.broker
        forks = Forks(broker.journal, broker.logs, world.world.clock, bytes)
        forks.take(AGREEMENT, LogSeen(bytes(16), 3, bytes(32)), Caller("XBO", "n1"), bytes(48))
        assert await forks.write() == 0
        await bundled(world, sender, tmp_path / "bundle")
        assert Verification(tmp_path / "bundle", views=["XAR"]).verdict == "PASS"
        assert any(entry.kind == "FORK_SEEN" for entry in sender.mirror.entries(AGREEMENT))


async def test_a_receipt_whose_entry_the_log_does_not_have_fails_the_bundle(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        await sender.send(report(), agreement=AGREEMENT)
        await bundled(world, sender, tmp_path / "bundle")
        (kept,) = (tmp_path / "bundle" / "receipts").iterdir()
        signed = bytearray(kept.read_bytes())
        signed[-1] ^= 1
        kept.write_bytes(bytes(signed))
        done = Verification(tmp_path / "bundle", views=["XAR"])
        assert [one.code.value for one in done.findings] == ["receipt"]


@pytest.mark.parametrize("below", [0, 1])
async def test_a_receipt_beyond_what_was_mirrored_waits_for_the_next_bundle(tmp_path, below):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        await sender.send(report(), agreement=AGREEMENT)
        assert kept_receipts(world.access("XAR").place.outbox, AGREEMENT, below) == ()


def test_a_node_that_never_sent_keeps_no_receipt(tmp_path):
    assert kept_receipts(tmp_path, AGREEMENT, 100) == ()
    assert not list(tmp_path.iterdir())
