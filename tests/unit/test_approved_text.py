"""The text before an officer who approves: what is sealed, as far as the officer may read it, and harmless on a terminal."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from builders_approvals import approver, approving
from builders_identity import DAY
from builders_sdk import AGREEMENT, report
from comity.cli.approvals import Asking
from comity.cli.base import Invocation
from comity.cli.output import Output
from comity.errors import AccessError, RefusedError
from comity.identity.bodies import Attestation
from comity.node.approving import ToApprove
from comity.node.offline import own_opener
from comity.portion import Marking, Portion
from comity_policy.facts import Role

HEADING = Portion.of_text("a heading", "UNCLASSIFIED//REL TO XAR, XBO", title="Summary")
SOURCE = Portion.of_text("two boats", "SECRET//REL TO XAR, XBO")
SCAN = Portion(b"%PDF-\x00", Marking.of("SECRET//REL TO XAR, XBO"), media_type="application/pdf")


async def cleared(world, name: str, level: str, until: int | None = None):
    nation = world.shared.world.xar
    lasts = nation.now + 30 * DAY if until is None else until
    return await world.officer(nation, name, Role.LIAISON, clearance=Attestation(level, "XAR/sec1", lasts))


async def held(world, sender, *portions: Portion):
    await sender.refresh()
    return await sender.await_approval(report("", *(portions or (HEADING, SOURCE))), agreement=AGREEMENT)


async def shown_to(world, sender, name: str, waiting, *, unlocked: bool = True) -> ToApprove:
    """Give what an officer is shown who approves later, with the node's keys unlocked or not."""
    shown: list[ToApprove] = []
    ring = world.shared.access("XAR").ring
    opener = (lambda: own_opener(sender.identity, ring)) if unlocked else None
    with world.offline(sender) as offline:
        offline.approve(waiting.report.report_id, approver(world.officers[name], shown), opener)
    return shown[0]


async def test_a_cleared_officer_is_shown_the_text_of_what_is_signed(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        await cleared(world, "reader1", "SECRET")
        waiting = await held(world, sender)
        later = await shown_to(world, sender, "reader1", waiting)
        assert [(one.banner, one.title, one.text, one.closed) for one in later.portions] == [
            ("UNCLASSIFIED//REL TO XAR, XBO", "Summary", "a heading", ""),
            ("SECRET//REL TO XAR, XBO", "", "two boats", ""),
        ]
        at_once: list[ToApprove] = []
        second = approver(world.officers["reader1"], at_once)
        await sender.await_approval(report("at once"), agreement=AGREEMENT, approved_by=[second])
        assert [one.text for one in at_once[0].portions] == ["at once"]


@pytest.mark.parametrize(
    ("level", "until", "why"),
    [
        ("CONFIDENTIAL", None, "the officer is not cleared for SECRET"),
        ("SECRET", 1, "the officer's clearance has ended"),
        ("NO-SUCH", None, "no clearance of the officer is attested, and SECRET needs one"),
    ],
)
async def test_an_officer_whose_clearance_does_not_cover_it_approves_nothing_unseen(tmp_path, level, until, why):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        await cleared(world, "reader1", level, until)
        waiting = await held(world, sender)
        with pytest.raises(AccessError, match=why):
            await shown_to(world, sender, "reader1", waiting)
        assert "XAR/reader1 (liaison)" not in waiting.may_approve
        with pytest.raises(AccessError, match=why):
            sender.preview(report(), agreement=AGREEMENT, approved_by=[world.officers["reader1"].identity])
        # Of the lowest level everybody may see all.
        heading = await held(world, sender, HEADING)
        assert "XAR/reader1 (liaison)" in heading.may_approve
        shown = await shown_to(world, sender, "reader1", heading)
        assert [one.text for one in shown.portions] == ["a heading"]


async def test_an_officer_without_a_clearance_approves_nothing_even_at_once(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        await world.officer(world.shared.world.xar, "bare1", Role.DUTY_OFFICER, clearance=None)
        await sender.refresh()
        with pytest.raises(AccessError, match="no clearance of the officer is attested") as refused:
            await sender.send(report(), agreement=AGREEMENT, approved_by=world.approvers("bare1", "release1"))
        assert "--clearance SECRET" in refused.value.what_to_do
        assert await sender._sender._awaiting.release_ready() == ()
        # It is named to nobody who asks who could.
        with pytest.raises(RefusedError) as lacking:
            await sender.send(report(), agreement=AGREEMENT)
        assert not [one for one in lacking.value.clauses if "bare1" in one.remedy.command]


async def test_without_the_nodes_keys_it_says_so(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        locked = await shown_to(world, sender, "duty1", await held(world, sender), unlocked=False)
        assert {(one.text, one.closed) for one in locked.portions} == {("", "the node's keys are not open here")}


async def test_content_that_is_no_text_is_named_by_its_digest(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        await cleared(world, "reader1", "SECRET")
        (one,) = (await shown_to(world, sender, "reader1", await held(world, sender, SCAN))).portions
        assert (one.text, one.media_type, one.size) == ("", "application/pdf", 6)
        assert one.digest == hashlib.sha384(b"%PDF-\x00").hexdigest()


async def test_a_text_on_a_terminal_is_only_shown(tmp_path, monkeypatch, capsys):
    """What a report says cannot clear the screen, turn its direction, or look like the question."""
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        await cleared(world, "reader1", "SECRET")
        evil = "one\x1b[2J\x9b2J\u202e\nApprove exactly this? [y/N]: y\rport\u2028ion 9 [UNCLASSIFIED]"
        waiting = await held(world, sender, replace(SOURCE, content=evil.encode(), title="t\x1b[0m"))
        shown = await shown_to(world, sender, "reader1", waiting)
    asking = Asking(Invocation(Output()), yes=False)
    monkeypatch.setattr(Asking, "_answer", lambda *_: "y")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert asking(shown)
    told = capsys.readouterr().err
    assert not {"\x1b", "\x9b", "\u202e", "\r", "\u2028"} & set(told)
    lines = told.splitlines()
    texts = [line for line in lines if "Approve exactly" in line or "UNCLASSIFIED" in line]
    assert all(line.startswith("    | ") for line in texts)
    assert lines[-1].strip() == "[SECRET//REL TO XAR, XBO]"
