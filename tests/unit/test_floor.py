"""An agreement sets the floor for what nodes can: below it nothing is sealed, admitted, handed over or opened, and all say why."""

from __future__ import annotations

import contextlib
import json

import pytest

from builders_every_kind import MORE, clause_text
from builders_sdk import AGREEMENT, report, sharing
from comity.errors import ErrorCode, RefusedError
from comity.node.bundle import write_bundle
from comity.node.catching_up import catch_up
from comity.node.clock import wall_ms
from comity.node.doctor_peer import PeerDoctor
from comity.node.enrolment import publish_statement
from comity.node.examining import Findings, Standing
from comity.node.logged_texts import Texts
from comity.node.offline import OfflineNode
from comity.node.replay_sources import mirror_entries, mirror_offices, replay_bundle
from comity.node.replaying import IDENTICAL, LogReplay
from comity.verify.checks import Verification
from comity_broker.dispatch.checking import Rechecker
from comity_policy.abilities import OBLIGATIONS
from comity_policy.document import load

FLOOR = clause_text("39", *MORE["39"]).encode()
LESS = OBLIGATIONS - {"destruction-certificate"}


@contextlib.asynccontextmanager
async def floored(path):
    """Give a world whose agreement sets a floor that this software reaches."""
    async with sharing(path, into_force=False) as world:
        world.treaty.text += FLOOR
        await world.treaty.into_force()
        yield world


async def say(world, party: str, obligations=LESS) -> int:
    """Let a node's newest statement say that it can less (or again all); gives the entry."""
    held, keys = world.nodes[party], world.world.broker.directory.keys
    said = held.nation.capabilities(
        held, obligations=obligations, sequence=keys.next_capabilities(party, "n1"), valid_from=held.nation.now
    )
    async with world.world.connection(held) as connection:
        return await publish_statement(connection, said)


async def mirrored(node, log_index: int) -> None:
    """Refresh a node until its mirror has an entry of the key log."""
    for _ in range(2000):
        await node.refresh()
        if node.mirror.directory.size > log_index:
            return
    raise AssertionError("the entry never came to the mirror")


async def opened(reader) -> list:
    found = []
    async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
        async with delivery as one:
            found.append(one.text)
    return found


async def replayed(shared, node, directory):
    """Verify and replay a node's bundle; gives what the replay found and counted."""
    await catch_up(node.connection, node.mirror, (AGREEMENT,))
    cards = {one.party: one.card_file for one in (shared.world.xar, shared.world.xbo)}
    await write_bundle(node.connection, node.mirror, AGREEMENT, cards, directory)
    done = Verification(directory, views=[node.mirror.party])
    assert (done.verdict, done.findings) == ("PASS", [])
    return replay_bundle(directory, done.logs)


async def test_nodes_that_reach_the_floor_exchange_and_the_log_says_what_they_stated(tmp_path):
    async with floored(tmp_path) as world, world.node("XBO") as reader, world.node("XAR") as sender:
        await sender.send(report(), agreement=AGREEMENT)
        assert await opened(reader) == ["two boats"]
        found = await replayed(world, sender, tmp_path / "bundle")
        assert (found.findings, found.gaps, +found.counts) == ([], [], {IDENTICAL: 1})
        assert examined(sender, world)["capabilities"].standing is Standing.OK


def examined(node, world):
    """Let the doctor look at the way to XBO; gives its findings by check."""
    findings = Findings()
    offline = OfflineNode(node.mirror, node.identity, world.home / "outbox")
    PeerDoctor(offline, "XBO", findings, wall_ms).examine()
    return {one.check: one for one in findings.all}


async def test_a_recipient_below_the_floor_is_named_before_anything_is_sealed(tmp_path):
    async with floored(tmp_path) as world, world.node("XBO"), world.node("XAR") as sender:
        await mirrored(sender, await say(world, "XBO"))
        with pytest.raises(RefusedError) as refused:
            await sender.send(report(), agreement=AGREEMENT)
        (told,) = refused.value.clauses
        assert (told.clause_id, told.got) == ("39", "XBO/n1 cannot enforce destruction-certificate")
        assert "XBO renews the software of its node" in told.nearest
        assert "amend clause 39" in told.nearest
        assert told.remedy.command == "comity node capabilities XBO --as XAR/n1"
        found = examined(sender, world)["capabilities"]
        assert (found.standing, found.code) == (Standing.FAIL, ErrorCode.POLICY_DENIED)
        assert "XBO/n1 comity 0, 15 obligations, cannot enforce destruction-certificate" in found.found
        assert found.what_to_do == (
            f"XBO renews the software of XBO/n1, or both parties amend clause 39 of {AGREEMENT}."
        )
        await mirrored(sender, await say(world, "XBO", OBLIGATIONS))
        await sender.send(report(), agreement=AGREEMENT)


async def test_a_sender_below_the_floor_is_told_so_itself(tmp_path, monkeypatch):
    async with floored(tmp_path) as world, world.node("XBO"):
        monkeypatch.setattr("comity.node.abilities.OBLIGATIONS", LESS)
        async with world.node("XAR") as sender:
            with pytest.raises(RefusedError) as refused:
                await sender.send(report(), agreement=AGREEMENT)
            (told,) = refused.value.clauses
            assert told.got == "XAR/n1 cannot enforce destruction-certificate"
            assert told.remedy.who == "operator of XAR"
            found = examined(sender, world)["capabilities"]
            assert found.standing is Standing.FAIL
            assert found.what_to_do.startswith("Renew the software of XAR/n1 and connect with it, or")


async def test_a_node_that_stated_nothing_is_named(tmp_path):
    async with floored(tmp_path) as world, world.node("XAR") as sender:
        with pytest.raises(RefusedError) as refused:
            await sender.send(report(), agreement=AGREEMENT)
        (told,) = refused.value.clauses
        assert (told.reason, told.got) == ("FACT_MISSING", "XBO/n1 has stated nothing")


async def test_the_broker_refuses_what_an_older_view_would_send_and_the_refusal_is_replayed(tmp_path):
    async with floored(tmp_path) as world, world.node("XBO"), world.node("XAR") as sender:
        await say(world, "XBO")
        # The sender's mirror does not know of it yet.
        with pytest.raises(RefusedError) as refused:
            await sender.send(report(), agreement=AGREEMENT)
        assert {one.clause_id for one in refused.value.clauses} == {"39"}
        found = await replayed(world, sender, tmp_path / "bundle")
        assert (found.findings, found.gaps, +found.counts) == ([], [], {IDENTICAL: 1})


async def test_a_broker_that_records_other_capabilities_is_found_by_replay(tmp_path, monkeypatch):
    async with floored(tmp_path) as world, world.node("XBO"), world.node("XAR") as sender:
        await say(world, "XBO")
        keys = world.world.broker.directory.keys
        stated = keys.can("XAR", "n1")
        monkeypatch.setattr(type(keys), "can", lambda *_: stated)
        await sender.send(report(), agreement=AGREEMENT)
        monkeypatch.undo()
        found = await replayed(world, sender, tmp_path / "bundle")
        assert any("capabilities of XBO/n1 are" in json.dumps(one, default=str) for one in found.findings)


async def test_what_was_admitted_is_not_handed_over_below_the_floor_and_is_again_above_it(tmp_path):
    async with floored(tmp_path) as world, world.node("XBO") as reader, world.node("XAR") as sender:
        await sender.send(report(), agreement=AGREEMENT)
        await say(world, "XBO")
        assert await opened(reader) == []
        await say(world, "XBO", OBLIGATIONS)
        await sender.send(report("three boats"), agreement=AGREEMENT)
        assert await opened(reader) == ["two boats", "three boats"]


async def test_what_is_handed_over_all_the_same_stays_closed(tmp_path, monkeypatch):
    async def nothing(*_: object, **__: object) -> int:
        return 0

    monkeypatch.setattr(Rechecker, "denied", nothing)
    async with floored(tmp_path) as world, world.node("XBO") as reader, world.node("XAR") as sender:
        await sender.send(report(), agreement=AGREEMENT)
        await mirrored(reader, await say(world, "XBO"))
        assert await opened(reader) == []
        (row,) = [one async for one in sender.reports(AGREEMENT)]
        assert row.report_id


async def test_a_draft_that_adds_a_floor_is_asked_with_what_nodes_had_stated_then(tmp_path):
    async with sharing(tmp_path) as world, world.node("XBO"), world.node("XAR") as sender:
        await sender.send(report(), agreement=AGREEMENT)
        await sender.refresh()
        await say(world, "XBO")
        await sender.send(report("three boats"), agreement=AGREEMENT)
        text = next(iter(sender.mirror.agreement(AGREEMENT).texts.values()))
        texts = Texts(one for view in sender.mirror.agreements() for one in view.texts.values())
        draft = load(text + FLOOR)
        replaying = LogReplay(texts, draft=draft, offices=mirror_offices(sender.mirror))
        await catch_up(sender.connection, sender.mirror, (AGREEMENT,))
        changes = []
        async for entry in mirror_entries(sender.connection, sender.mirror, AGREEMENT):
            done = replaying.take(entry)
            changes += () if done is None else [one.clauses for one in done.changes]
        assert changes == [("39",)]
