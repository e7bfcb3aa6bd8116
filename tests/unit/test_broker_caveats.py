"""National caveats at a real broker: they refuse at once, bind every version, and the partner reads the partner text alone."""

from __future__ import annotations

import json

import pytest

from builders_life import PARTNER_TEXT, SALT, amended, caveat_text, living
from comity.errors import ComityError, ErrorCode
from comity.texts import CAVEAT_LIMIT, TEXT_LIMIT, agreement_digest, caveat_digest
from comity.v1 import agreement_pb2, audit_pb2
from comity_broker.brought import CAVEATS_LIMIT
from comity_policy.lifecycle import StepKind

CANARY = "CANARY-7731"
CYBER = {"categories": ("cyber",)}


async def refused(waiting) -> ComityError:
    with pytest.raises(ComityError) as caught:
        await waiting
    return caught.value


def told(receipt) -> str:
    """Give everything that a sender reads of its receipt."""
    return str(receipt)


async def own_bodies(world, party: str) -> list[dict]:
    """Give the party's own bodies of the segments of the log, as its node fetches them."""
    async with world.base.connection(world.nodes[party]) as connection:
        log = audit_pb2.LogSelector(agreement_id="XAR-XBO-1")
        page = await connection.call(connection.audit.GetEntries, audit_pb2.GetEntriesRequest(log=log, limit=200))
    parts = [part for entry in page.entries for part in entry.parts]
    assert {part.part for part in parts} <= {"shared", party}
    bodies = [json.loads(part.body) for part in parts if part.part == party and part.body]
    assert bodies
    return bodies


def violations(bodies: list[dict]) -> list[tuple[str, str]]:
    decisions = [one for body in bodies for one in body.get("decisions", ())]
    rows = [row for one in decisions for recipient in one["recipients"] for row in recipient["violations"]]
    return [(row["clause"], row["reason"]) for row in rows]


async def everything_of(world, party: str) -> str:
    """Give all that a party's machines read of the agreement: entries with its parts, texts, lists."""
    async with world.base.connection(world.nodes[party]) as connection:
        log = audit_pb2.LogSelector(agreement_id="XAR-XBO-1")
        entries = await connection.call(connection.audit.GetEntries, audit_pb2.GetEntriesRequest(log=log, limit=200))
        evidence = await connection.call(
            connection.audit.GetEvidence, audit_pb2.GetEvidenceRequest(agreement_id="XAR-XBO-1", limit=200)
        )
        listed = await connection.call(connection.agreements.ListAgreements, agreement_pb2.ListAgreementsRequest())
    raw = b"".join(part.body for entry in entries.entries for part in entry.parts)
    return raw.decode() + str(entries) + str(evidence) + str(listed)


async def test_a_caveat_refuses_the_very_next_report_and_only_what_it_says(tmp_path):
    async with living(tmp_path) as world:
        treaty = await world.in_force(world.text())
        assert not (await world.publish("XAR", treaty, **CYBER)).refusals
        await treaty.caveat("XAR", caveat_text(treaty))
        assert (await world.publish("XAR", treaty, **CYBER)).refusals
        assert not (await world.publish("XAR", treaty)).refusals
        # In the other direction as well: it is for what comes in, too.
        assert (await world.publish("XBO", treaty, **CYBER)).refusals
        await treaty.take(StepKind.CAVEAT_WITHDRAW, "XAR", caveat="C1")
        assert not (await world.publish("XAR", treaty, **CYBER)).refusals


async def test_the_partner_reads_the_partner_text_and_nothing_else_of_a_caveat(tmp_path):
    async with living(tmp_path) as world:
        treaty = await world.in_force(world.text())
        text = caveat_text(treaty)
        await treaty.caveat("XAR", text)
        mine = await world.publish("XAR", treaty, **CYBER)
        theirs = await world.publish("XBO", treaty, **CYBER)
        # Its own sender is told everything, the partner's the partner text.
        assert CANARY in told(mine)
        assert PARTNER_TEXT in told(theirs)
        (detail,) = theirs.refusals[0].refusal.policy.clauses
        assert (detail.clause_id, detail.kind, detail.gloss, detail.text) == (
            "XAR/C1",
            "national-caveat",
            PARTNER_TEXT,
            PARTNER_TEXT,
        )
        assert [detail.fact, detail.got, detail.wanted, detail.nearest, detail.remedy.command] == [""] * 5
        # So do the logs: whole to XAR, by name to XBO, whoever sent.
        assert violations(await own_bodies(world, "XAR")) == [("caveat/XAR/C1/1", "DENIED")] * 2
        assert violations(await own_bodies(world, "XBO")) == [("XAR/C1", "CAVEAT")] * 2
        shown = await everything_of(world, "XBO") + told(theirs)
        for secret in (CANARY, text.hex(), SALT.hex(), "caveat/XAR", "exclude"):
            assert secret not in shown, secret
        assert PARTNER_TEXT.encode().hex() in shown
        assert text.hex() in await everything_of(world, "XAR")


async def test_no_text_of_a_caveat_is_given_out_by_its_digest(tmp_path):
    async with living(tmp_path) as world:
        treaty = await world.in_force(world.text())
        text = caveat_text(treaty)
        await treaty.caveat("XAR", text)
        for name in ("XAR", "XBO"):
            async with world.base.connection(world.nodes[name]) as connection:
                for digest in (caveat_digest(SALT, text), agreement_digest(text), bytes(48), b"\x00"):
                    request = agreement_pb2.GetAgreementRequest(agreement_id=treaty.id, digest=digest)
                    error = await refused(connection.call(connection.agreements.GetAgreement, request))
                    assert error.code is ErrorCode.AGREEMENT_UNKNOWN


async def test_a_caveat_binds_the_next_version_too_and_a_restart_remembers_it(tmp_path):
    async with living(tmp_path) as world:
        treaty = await world.in_force(world.text())
        await treaty.caveat("XAR", caveat_text(treaty))
        await treaty.amend(amended(treaty.text))
        assert (await world.publish("XAR", treaty, **CYBER)).refusals
        assert not (await world.publish("XAR", treaty)).refusals
    async with living(tmp_path, before=world) as again:
        treaty.world = again
        assert (await again.publish("XAR", treaty, **CYBER)).refusals
        assert not (await again.publish("XAR", treaty)).refusals


async def test_a_caveat_that_does_not_read_on_a_version_stops_what_its_party_shares_and_is_never_left_out(tmp_path):
    async with living(tmp_path) as world:
        treaty = await world.in_force(world.text())
        ceiling = '[[clause]]\nid = "1"\nkind = "ceiling"\nlimits = [{ from = "XAR", to = "XBO", level = "SECRET" }]\ntext.en = "x"\n'
        text = caveat_text(treaty, clauses=ceiling).replace(b"incoming = true", b"incoming = false")
        await treaty.caveat("XAR", text)
        assert not (await world.publish("XAR", treaty)).refusals
        # The next version calls its levels by other names.
        renamed = amended(treaty.text.replace(b'"SECRET"', b'"GEHEIM"'), of=treaty.text)
        await treaty.amend(renamed)
        stopped = await world.publish("XAR", treaty, level="RESTRICTED")
        assert [one.clause_id for one in stopped.refusals[0].refusal.policy.clauses] == ["caveat/XAR/C1/does-not-read"]
        assert not (await world.publish("XBO", treaty, level="RESTRICTED")).refusals
        assert treaty.standing.compiled(treaty.standing.state(0).now_ms).source.state.in_force
        await treaty.take(StepKind.CAVEAT_WITHDRAW, "XAR", caveat="C1")
        assert not (await world.publish("XAR", treaty, level="RESTRICTED")).refusals


# --- what is hostile --------------------------------------------------------------------------------------------------


async def test_what_a_step_brings_is_refused_where_it_is_not_what_the_step_names(tmp_path):
    async with living(tmp_path) as world:
        treaty = await world.in_force(world.text())
        before = treaty.standing.steps
        text = caveat_text(treaty)
        said = {"caveat": "C1", "caveat_digest": caveat_digest(SALT, text).hex(), "partner_text": PARTNER_TEXT}

        def add(**changes):
            return treaty.statement(StepKind.CAVEAT_ADD, "XAR", **{**said, **changes})

        def named(other: bytes) -> dict:
            return {"caveat_digest": caveat_digest(SALT, other).hex()}

        other_party = caveat_text(treaty, party="XBO")
        other_text = caveat_text(treaty, partner_text="Nothing is limited.")
        other_version = caveat_text(treaty, digest="sha384:" + "0" * 96)
        counter = treaty.statement(StepKind.AMEND, "XAR", agreement_digest=agreement_digest(amended(treaty.text)).hex())
        strange = amended(treaty.text.replace(b"XAR-XBO-1", b"XAR-XBO-2"))
        foreign = treaty.statement(StepKind.AMEND, "XAR", agreement_digest=agreement_digest(strange).hex())
        suspend = treaty.statement(StepKind.SUSPEND, "XAR", reason="x")
        hostile = [
            (add(), text, bytes(32), ErrorCode.DIGEST_MISMATCH),
            (add(), text, SALT[:-1], ErrorCode.MALFORMED),
            (add(), text, b"", ErrorCode.MALFORMED),
            (add(), b"", SALT, ErrorCode.MALFORMED),
            (add(), text + b" ", SALT, ErrorCode.DIGEST_MISMATCH),
            (add(), b"x" * (CAVEAT_LIMIT + 1), SALT, ErrorCode.LIMIT_EXCEEDED),
            (add(**named(other_party)), other_party, SALT, ErrorCode.AGREEMENT_INVALID),
            (add(**named(other_text)), other_text, SALT, ErrorCode.AGREEMENT_INVALID),
            (add(**named(other_version)), other_version, SALT, ErrorCode.AGREEMENT_INVALID),
            (add(caveat="C2"), text, SALT, ErrorCode.AGREEMENT_INVALID),
            (add(**named(b"\xff\xfe")), b"\xff\xfe", SALT, ErrorCode.AGREEMENT_INVALID),
            (add(**named(treaty.text)), treaty.text, SALT, ErrorCode.AGREEMENT_INVALID),
            (counter, treaty.text, b"", ErrorCode.DIGEST_MISMATCH),
            (counter, b"", b"", ErrorCode.DIGEST_MISMATCH),
            (counter, amended(treaty.text), SALT, ErrorCode.MALFORMED),
            (counter, b"x" * (TEXT_LIMIT + 1), b"", ErrorCode.LIMIT_EXCEEDED),
            (foreign, strange, b"", ErrorCode.DIGEST_MISMATCH),
            (suspend, b"x", b"", ErrorCode.LIMIT_EXCEEDED),
            (suspend, b"", SALT, ErrorCode.MALFORMED),
        ]
        for statement, brought, salt, code in hostile:
            error = await refused(treaty.submit(statement, text=brought, salt=salt))
            assert error.code is code, (error, code)
        # Neither a node nor another officer brings what an officer signed.
        error = await refused(treaty.submit(add(), by=world.nodes["XAR"], text=text, salt=SALT))
        assert error.code is ErrorCode.ROLE_NOT_ALLOWED
        partner = world.officers["XBO", "security1"]
        error = await refused(treaty.submit(add(), by=partner, text=text, salt=SALT))
        assert error.code is ErrorCode.ACTING_FOR_ANOTHER
        assert treaty.standing.steps == before
        assert not treaty.standing.caveats
        assert len(treaty.standing.texts) == 0


async def test_a_party_has_so_many_caveats_and_no_more(tmp_path):
    async with living(tmp_path) as world:
        treaty = await world.in_force(world.text())
        for number in range(CAVEATS_LIMIT):
            await treaty.caveat("XAR", caveat_text(treaty, name=f"C{number}"), name=f"C{number}")
        with pytest.raises(ComityError) as caught:
            await treaty.caveat("XAR", caveat_text(treaty, name="ONE-MORE"), name="ONE-MORE")
        assert caught.value.code is ErrorCode.LIMIT_EXCEEDED
