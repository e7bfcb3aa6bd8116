"""What a running broker decided is replayed from its own log with nothing different: quotas, late answers, umbrellas."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from builders_acting import CLAUSES, Officers, wall_ms
from builders_approvals import approver
from builders_every_kind import clause_text
from builders_officers import at_work
from builders_sdk import AGREEMENT, Shared, report, sharing
from comity.errors import RefusedError
from comity.node.bundle import write_bundle
from comity.node.catching_up import catch_up
from comity.node.logged_texts import Texts
from comity.node.replay_sources import (
    BundleReplay,
    bundle_logs,
    mirror_entries,
    mirror_lives,
    mirror_offices,
    replay_bundle,
)
from comity.node.replaying import IDENTICAL, NOT_HANDED, LogReplay
from comity.texts import agreement_digest
from comity.verify.bundle import Code
from comity.verify.checks import Verification
from comity_policy.acts import ActKind

UMBRELLA = "XAR-XBO-GSA"
MINUTE = 60_000
QUOTA = 'from = "XAR"\nto = "XBO"\nwindow = "week"\nreports = 6\nbytes = 1000000000'
LATE = "within = { ROUTINE = { minutes = 10 } }\nstop_after = { minutes = 5 }"


async def verified(shared: Shared, node, directory: Path) -> tuple[Verification, BundleReplay]:
    """Write a bundle as a node's party, verify it and replay it."""
    await catch_up(node.connection, node.mirror, (AGREEMENT,))
    cards = {one.party: one.card_file for one in (shared.world.xar, shared.world.xbo)}
    await write_bundle(node.connection, node.mirror, AGREEMENT, cards, directory)
    done = Verification(directory, views=[node.mirror.party])
    return done, replay_bundle(directory, done.logs)


async def from_mirror(node) -> Counter[str]:
    """Replay from a node's mirror and its broker's evidence; give what was counted."""
    texts = Texts(text for view in node.mirror.agreements() for text in view.texts.values())
    lives = mirror_lives(node.mirror, AGREEMENT)
    replaying, counts = LogReplay(texts, umbrellas=lives, offices=mirror_offices(node.mirror)), Counter[str]()
    async for entry in mirror_entries(node.connection, node.mirror, AGREEMENT):
        done = replaying.take(entry)
        if done is not None:
            assert list(done.lines()) == list(done.gaps()) == []
            counts.update(done.counts())
    return counts


def holds(found: tuple[Verification, BundleReplay], *but: str) -> Counter[str]:
    """Give what was counted, where nothing is different and nothing was missing."""
    done, replayed = found
    assert (done.verdict, done.findings) == ("PASS", [])
    assert (replayed.findings, replayed.gaps) == ([], [])
    assert set(+replayed.counts) <= {IDENTICAL, *but}
    return +replayed.counts


async def answering(reader) -> None:
    """Let XBO answer for everything it is handed."""
    async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
        async with delivery:
            pass


async def test_quotas_are_worked_out_as_the_broker_counted_them(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        shared.treaty.text += clause_text("25", "quota", QUOTA).encode()
        await shared.treaty.into_force()
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            await sender.send(report(), agreement=AGREEMENT)
            async for each in sender.send_many([report("two"), report("three")], agreement=AGREEMENT):
                assert each.receipt is not None
            answers = await asyncio.gather(
                *(sender.send(report(f"{number}"), agreement=AGREEMENT) for number in range(6)), return_exceptions=True
            )
            assert sum(isinstance(one, RefusedError) for one in answers) == 3
            assert holds(await verified(shared, sender, tmp_path / "sent"))[IDENTICAL] == 9
            assert (+await from_mirror(sender))[IDENTICAL] == 9
            await answering(reader)
            counted = holds(await verified(shared, reader, tmp_path / "received"), NOT_HANDED)
            assert counted[IDENTICAL] == 6


async def test_late_answers_are_worked_out_as_the_broker_followed_them(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        shared.treaty.text += clause_text("27", "acknowledge", LATE).encode()
        await shared.treaty.into_force()
        officers = await Officers(shared).accredit()
        awake = [approver(officers.held(shared.world.xar, "duty1"))]
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            await sender.send(report(), agreement=AGREEMENT)
            async for _ in reader.receive(purpose="counter-terrorism"):
                break
            await shared.world.broker.monitor.look()
            shared.world.clock.committed(wall_ms() + 16 * MINUTE)
            with pytest.raises(RefusedError):
                await sender.send(report("three boats"), agreement=AGREEMENT)
            await sender.send(report("four boats", precedence="flash"), agreement=AGREEMENT, approved_by=awake)
            await answering(reader)
            await shared.world.broker.monitor.look()
            await sender.send(report("five boats"), agreement=AGREEMENT)
            assert holds(await verified(shared, sender, tmp_path / "bundle"))[IDENTICAL] == 4


async def test_a_declaration_is_worked_out_from_its_entry(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        tight = QUOTA.replace("reports = 6", "reports = 1")
        for clause_id, kind, fields in (("25", "quota", tight), ("30", *CLAUSES["30"])):
            shared.treaty.text += clause_text(clause_id, kind, fields).encode()
        officers = await Officers(shared).accredit()
        await shared.treaty.into_force()
        async with shared.node("XAR") as sender:
            await sender.send(report(), agreement=AGREEMENT)
            declared, log_index = await officers.take(ActKind.DECLARE, officers.held(shared.world.xar, "duty1"))
            while sender.mirror.pin(AGREEMENT).size <= log_index:
                await sender.refresh()
            await sender.send(report("two boats", emergency=declared.digest), agreement=AGREEMENT)
            assert holds(await verified(shared, sender, tmp_path / "bundle"))[IDENTICAL] == 2
            assert +await from_mirror(sender) == Counter({IDENTICAL: 2})
            (log,) = (tmp_path / "bundle" / "logs").glob("*/keys")
            log.rename(tmp_path / "elsewhere")
            (gap,) = replay_bundle(tmp_path / "bundle", bundle_logs(tmp_path / "bundle")).gaps
            assert gap[2].startswith("keys: the key log, by which who declared was in office")


def umbrella_text(world) -> bytes:
    head, *clauses = world.agreement().replace(f'id = "{AGREEMENT}"', f'id = "{UMBRELLA}"', 1).split("[[clause]]")
    kept = [one for one in clauses if 'kind = "scope"' not in one]
    return "[[clause]]".join([head, *kept]).replace('kind = "agreement"', 'kind = "umbrella"', 1).encode()


def arrangement_text(world, above: bytes) -> bytes:
    under = f'[under]\nagreement = "{UMBRELLA}"\ndigest = "sha384:{agreement_digest(above).hex()}"\n\n[interpretation]'
    text = world.agreement().replace('kind = "agreement"', 'kind = "arrangement"', 1)
    return text.replace("[interpretation]", under, 1).encode()


async def test_a_bundle_of_an_arrangement_carries_its_umbrellas_log_and_is_held_against_it(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        above = umbrella_text(shared.world)
        people = shared.treaty.officers
        for text, name in ((above, UMBRELLA), (arrangement_text(shared.world, above), AGREEMENT)):
            async with at_work(shared.world, people["XAR", "liaison1"], tmp_path) as officer:
                await officer.propose(text)
            for step, who in (("review", "legal1"), ("sign", "plenipotentiary1")):
                for party in ("XAR", "XBO"):
                    async with at_work(shared.world, people[party, who], tmp_path) as officer:
                        await getattr(officer, step)(name)
        async with shared.node("XAR") as sender:
            await sender.send(report(), agreement=AGREEMENT)
            async with at_work(shared.world, people["XBO", "liaison1"], tmp_path) as officer:
                await officer.suspend(UMBRELLA, (), "consultations")
            found = await verified(shared, sender, tmp_path / "bundle")
            assert holds(found)[IDENTICAL] == 1
            assert len(list((tmp_path / "bundle" / "logs").glob("*/agreement/*/*"))) == 2
            assert +await from_mirror(sender) == Counter({IDENTICAL: 1})
            (log,) = (tmp_path / "bundle" / "logs").glob(f"*/agreement/{UMBRELLA}")
            log.rename(tmp_path / "elsewhere")
            done = Verification(tmp_path / "bundle", views=["XAR"])
            assert (done.verdict, [one.code for one in done.findings]) == ("PASS_WITH_GAPS", [Code.UMBRELLA_LOG])
            (gap,) = replay_bundle(tmp_path / "bundle", done.logs).gaps
            assert gap[2].startswith("umbrella: the umbrella's log ")
