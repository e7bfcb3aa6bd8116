"""The life of an agreement at a real broker: rounds, completion, amendments, notes, ends, disputes; and what a restart keeps."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from builders_life import amended, caveat_text, living, write_bundle
from comity.errors import ComityError, ErrorCode
from comity.texts import agreement_digest
from comity.v1 import agreement_pb2
from comity.verify.checks import Verification
from comity_broker.auditlog.kinds import EventKind
from comity_policy.facts import Role
from comity_policy.lifecycle import Phase, StepKind

ANNEX = b"""
[[annex]]
id = "D"
amended_by = "exchange-of-notes"
by = "security-authority"

[[annex.clause]]
id = "D.1"
kind = "article"
topic = "other"
text.en = "Rosters are exchanged weekly."
"""
ADMITTED, REFUSED = [], [0]


async def refused(waiting) -> ErrorCode:
    with pytest.raises(ComityError) as caught:
        await waiting
    return caught.value.code


def slots(receipt) -> list[int]:
    """Give the slots that were refused."""
    return [one.slot for one in receipt.refusals]


async def kinds_of(world, agreement_id: str = "XAR-XBO-1") -> list[str]:
    entries = await world.base.broker._storage.reader.entries(agreement_id, 0, 1024)
    return [one.kind for one in entries]


async def text_by_digest(world, treaty, digest: bytes) -> bytes:
    async with world.base.connection(world.officers["XBO", "liaison1"]) as connection:
        request = agreement_pb2.GetAgreementRequest(agreement_id=treaty.id, digest=digest)
        return (await connection.call(connection.agreements.GetAgreement, request)).document


# --- negotiation ------------------------------------------------------------------------------------------------------


async def test_rounds_and_an_objection_end_in_another_text_than_was_proposed(tmp_path):
    async with living(tmp_path) as world:
        treaty = world.treaty(world.text())
        first, second, third = treaty.text, world.text(retention_days=20), world.text(retention_days=10)
        await treaty.propose()
        await treaty.take(StepKind.COUNTER, "XBO", text=second)
        await treaty.take(StepKind.REVIEW_CLAUSES, "XAR", clauses=("1", "2"))
        await treaty.take(StepKind.OBJECT, "XAR", clauses=("8",), reason="Still too long.")
        assert treaty.state().phase is Phase.COUNTERED
        await treaty.take(StepKind.COUNTER, "XAR", text=third)
        for party in world.codes:
            await treaty.take(StepKind.INITIAL, party)
        assert treaty.state().phase is Phase.INITIALLED
        await treaty.agree()
        assert treaty.state().phase is Phase.IN_FORCE
        assert treaty.state().digest == agreement_digest(third)
        for text in (first, second, third):
            assert await text_by_digest(world, treaty, agreement_digest(text)) == text
        assert await text_by_digest(world, treaty, b"") == first
        assert slots(await world.publish("XAR", treaty)) == ADMITTED
        assert slots(await world.publish("XAR", treaty, named=first)) == REFUSED
        assert (await kinds_of(world))[:5] == [
            "LOG_OPENED",
            "AGREEMENT_PROPOSED",
            "AGREEMENT_COUNTERED",
            "AGREEMENT_REVIEWED",
            "AGREEMENT_OBJECTED",
        ]
    async with living(tmp_path, before=world) as again:
        treaty.world = again
        assert treaty.state().digest == agreement_digest(third)
        assert await text_by_digest(again, treaty, agreement_digest(second)) == second
        assert slots(await again.publish("XAR", treaty)) == ADMITTED


async def test_completion_and_the_later_receipt_fix_the_date(tmp_path):
    async with living(tmp_path) as world:
        text = world.text().replace(b'rule = "on-signature"', b'rule = "after-later-receipt"')
        treaty = await world.in_force(text)
        assert treaty.state().phase is Phase.SIGNED
        assert slots(await world.publish("XAR", treaty)) == REFUSED
        said = {"instrument": "Law 17", "authority": "Parliament", "date": "2026-01-04"}
        for party, other in (("XAR", "XBO"), ("XBO", "XAR")):
            await treaty.take(StepKind.NOTIFY_COMPLETION, party, **said)
            await treaty.take(StepKind.RECEIVE, other, names=treaty.heads[party])
        state = treaty.state()
        assert (state.phase, state.in_force_at) == (Phase.IN_FORCE, state.steps[-1].at_ms)
        assert slots(await world.publish("XAR", treaty)) == ADMITTED


# --- versions ---------------------------------------------------------------------------------------------------------


async def test_an_amendment_governs_from_its_entry_and_the_old_version_what_was_shared_before(tmp_path):
    async with living(tmp_path) as world:
        treaty = await world.in_force(world.text())
        first = treaty.text
        assert slots(await world.publish("XAR", treaty, categories=("cyber",))) == ADMITTED
        second = amended(world.text(categories=("terrorism",)), of=first)
        await treaty.take(StepKind.AMEND, "XBO", text=second)
        # Until it is in force the old version binds, and a report names it.
        assert slots(await world.publish("XAR", treaty, named=first, categories=("cyber",))) == ADMITTED
        assert slots(await world.publish("XAR", treaty)) == REFUSED
        await treaty.agree()
        assert treaty.state().document.version == 2
        assert slots(await world.publish("XAR", treaty, named=first)) == REFUSED
        assert slots(await world.publish("XAR", treaty, categories=("cyber",))) == REFUSED
        assert slots(await world.publish("XAR", treaty)) == ADMITTED
        reader = world.base.broker._storage.reader
        entries = await reader.entries(treaty.id, 0, 1024)
        accepted = [one.log_index for one in entries if one.kind == EventKind.SUBMIT_ACCEPTED]
        bodies = [one.body for one in await reader.bodies(treaty.id, accepted, ["shared"])]
        assert [first_named(one) for one in bodies] == [agreement_digest(first)] * 2 + [agreement_digest(second)]
        now = world.base.clock.now_ms()
        under = treaty.standing.compiled_before(now)
        assert [one.source.document.version for one in under(agreement_digest(first))] == [1]
    async with living(tmp_path, before=world) as again:
        treaty.world = again
        assert treaty.state().document.version == 2
        assert slots(await again.publish("XAR", treaty)) == ADMITTED


def first_named(body: bytes) -> bytes:
    return bytes.fromhex(json.loads(body)["agreement_digest"])


async def test_notes_of_both_security_authorities_change_an_annex(tmp_path):
    async with living(tmp_path) as world:
        treaty = await world.in_force(world.text() + ANNEX)
        second = amended(treaty.text).replace(b"weekly", b"daily")
        await treaty.take(StepKind.NOTES, "XAR", text=second, annex="D")
        assert treaty.state().document.version == 1
        # The other note names a text that is here: it need not come again, and may.
        await treaty.take(StepKind.NOTES, "XBO", annex="D")
        assert treaty.state().document.version == 2
        more = amended(second, version=3).replace(b"daily", b"hourly")
        await treaty.take(StepKind.NOTES, "XBO", text=more, annex="D")
        await treaty.take(StepKind.NOTES, "XAR", text=more, annex="D")
        assert treaty.state().document.version == 3
        wider = amended(more, version=4).replace(b"longest = { days = 30 }", b"longest = { days = 60 }")
        statement = treaty.statement(StepKind.NOTES, "XAR", annex="D", agreement_digest=agreement_digest(wider).hex())
        assert await refused(treaty.submit(statement, text=wider)) is ErrorCode.DIGEST_MISMATCH
        fourth = amended(more, version=4).replace(b"hourly", b"yearly")
        liaison = treaty.statement(
            StepKind.NOTES, "XAR", annex="D", agreement_digest=agreement_digest(fourth).hex(), role=Role.LIAISON
        )
        assert await refused(treaty.submit(liaison, text=fourth)) is ErrorCode.ROLE_NOT_ALLOWED


# --- ends -------------------------------------------------------------------------------------------------------------


async def test_notice_runs_and_a_dispute_is_opened_and_closed(tmp_path):
    async with living(tmp_path) as world:
        treaty = await world.in_force(world.text())
        await treaty.take(StepKind.NOTICE, "XBO", reason="We go other ways.")
        assert treaty.state().phase is Phase.NOTICE_GIVEN
        assert slots(await world.publish("XAR", treaty)) == ADMITTED
        deadline = {
            "deadline": str(_in_days(world, 30)),
            "subject": "report",
            "subject_id": "r-1",
            "reason": "Passed on.",
        }
        await treaty.take(StepKind.DISPUTE_OPEN, "XAR", **deadline)
        opened = treaty.heads["XAR"]
        assert treaty.state().disputed("report", "r-1")
        for party in world.codes:
            await treaty.take(StepKind.DISPUTE_CLOSE, party, names=opened)
        assert not treaty.state().disputed("report", "r-1")
        assert (await kinds_of(world))[-3:] == ["DISPUTE_OPENED", "DISPUTE_CLOSED", "DISPUTE_CLOSED"]


def _in_days(world, days: int):
    return (datetime.fromtimestamp(world.base.clock.now_ms() / 1000, UTC) + timedelta(days=days)).date()


async def test_of_three_two_begin_one_accedes_and_one_withdraws(tmp_path):
    async with living(tmp_path, "XAR", "XBO", "XDE") as world:
        text = world.text().replace(b'rule = "on-signature"', b'rule = "on-signature"\nminimum = 2')
        text = text.replace(b"notice = { months = 6 }", b"notice = { days = 30 }")
        treaty = world.treaty(text)
        await treaty.propose()
        await treaty.agree("XAR", "XBO")
        assert treaty.state().bound == {"XAR", "XBO"}
        assert slots(await world.publish("XAR", treaty, to=("XBO",))) == ADMITTED
        assert slots(await world.publish("XAR", treaty, to=("XDE",))) == REFUSED
        await treaty.take(StepKind.REVIEW, "XDE")
        terms = await world.base.broker.agreements.terms(treaty.id)
        await treaty.take(StepKind.LOG_SIGN, "XDE", log=terms)
        await treaty.take(StepKind.ACCEDE, "XDE")
        assert treaty.state().bound == {"XAR", "XBO", "XDE"}
        assert slots(await world.publish("XAR", treaty, to=("XDE",))) == ADMITTED
        await treaty.take(StepKind.WITHDRAW, "XBO", reason="We leave.")
        assert treaty.state().notices == {"XBO"}
        standing, now = treaty.standing, world.base.clock.now_ms()
        later = now + 31 * 86_400_000
        assert standing.state(later).bound == {"XAR", "XDE"}
        # Time alone ends what was shared with it: hand-over looks again.
        assert standing.turned(now, later)
        assert not standing.turned(now, now + 1)
        left = standing.compiled_before(later)(treaty.digest)
        assert [one.source.state.unbound for one in left] == [{"XBO"}]


# --- what an auditor makes of it --------------------------------------------------------------------------------------


async def test_the_verifier_passes_what_a_broker_logs_of_a_whole_life(tmp_path):
    async with living(tmp_path / "broker") as world:
        treaty = world.treaty(world.text())
        await treaty.propose()
        await treaty.take(StepKind.COUNTER, "XBO", text=world.text(retention_days=20))
        await treaty.agree()
        await treaty.caveat("XAR", caveat_text(treaty))
        await world.publish("XAR", treaty)
        await world.publish("XAR", treaty, categories=("cyber",))
        await world.publish("XBO", treaty, categories=("cyber",))
        await treaty.take(StepKind.SUSPEND, "XBO", clauses=("4",), reason="Under review.")
        await treaty.take(StepKind.RESUME, "XBO", clauses=("4",))
        await treaty.amend(amended(treaty.text))
        await world.publish("XBO", treaty)
        await treaty.take(StepKind.CAVEAT_WITHDRAW, "XAR", caveat="C1")
        await treaty.take(StepKind.NOTICE, "XBO", reason="We go other ways.")
        await write_bundle(world, tmp_path / "bundle", treaty)
    checked = Verification(tmp_path / "bundle")
    assert (checked.verdict, checked.findings) == ("PASS", [])
    for path in (tmp_path / "bundle").glob("logs/*/agreement/**/body/*.XAR"):
        path.unlink()
    assert Verification(tmp_path / "bundle", views=["XBO"]).verdict == "PASS"


async def test_a_party_that_a_report_is_not_addressed_to_learns_nothing_of_its_decision(tmp_path):
    async with living(tmp_path / "broker", "XAR", "XBO", "XDE") as world:
        treaty = await world.in_force(world.text())
        await world.publish("XAR", treaty, to=("XBO",))
        reader = world.base.broker._storage.reader
        entries = await reader.entries(treaty.id, 0, 100)
        (index,) = (one.log_index for one in entries if one.kind == EventKind.SUBMIT_ACCEPTED)
        bodies = {one.part: one.body for one in await reader.bodies(treaty.id, [index], ["XAR", "XBO", "XDE"])}
    assert bodies["XAR"] == bodies["XBO"] != b""
    assert bodies.get("XDE", b"") == b""
