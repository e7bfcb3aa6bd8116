"""Who reads, for what, and what is shown first: nothing opens that lacks one of these, and nothing is lost."""

import pytest

from builders_readers import (
    CLEARED,
    COPIES,
    NEED,
    PURPOSE,
    RELABEL,
    SURVIVES,
    USE,
    reading,
    reading_officer,
)
from comity.errors import AccessError, ErrorCode, KeyFault, NotFoundError, RefusedError, UsageError
from comity.node.enrolment import publish_statement
from comity.node.reader import ReadingOfficer
from comity.node.register import Register
from comity.node.reports import ReportState
from comity.portion import Portion
from comity_policy.facts import Use
from comity_policy.readers import Lack
from comity_policy.steps import StepKind


async def test_without_a_reader_a_report_waits_and_a_cleared_reader_opens_it(tmp_path):
    async with reading(tmp_path, NEED, CLEARED) as world:
        analyst = await world.officer("analyst1")
        await world.send("two boats")
        given = await world.read()
        assert given.texts == []
        (waits,) = given.waiting
        assert (waits.lacks, waits.whole) == ({Lack.READER}, True)
        assert [one.clause_id for one in waits.refused] == ["40", "41"]
        assert {one.remedy.command for one in waits.refused} == {"comity receive --reader XBO/OFFICER"}
        assert await world.states() == [ReportState.PARKED]
        # Again without one: it is left where it is.
        assert (await world.read()).waiting == []
        assert (await world.read(analyst)).texts == ["two boats"]
        assert await world.states() == [ReportState.DONE]
        assert (await world.read(analyst)).texts == []


async def test_a_portion_that_waits_is_named_and_the_report_is_not_acknowledged(tmp_path):
    async with reading(tmp_path, CLEARED) as world:
        analyst = await world.officer("analyst1")
        await world.send(
            "",
            Portion.of_text("a heading", "UNCLASSIFIED//REL TO XAR, XBO"),
            Portion.of_text("the source", "SECRET//REL TO XAR, XBO"),
        )
        given = await world.read()
        assert (given.texts, given.closed) == (["a heading"], [("41",)])
        (waits,) = given.waiting
        assert (waits.lacks, waits.whole) == ({Lack.READER}, False)
        assert await world.states() == [ReportState.PARKED]
        assert (await world.read(analyst)).texts == ["a heading\n\nthe source"]
        assert await world.states() == [ReportState.DONE]


@pytest.mark.parametrize(
    ("facts", "clause"),
    [
        ({"offices": ("registry",)}, "40"),
        ({"level": "CONFIDENTIAL"}, "41"),
        ({"clearance": None}, "41"),
        ({"agreements": ("OTHER-1",)}, "40"),
    ],
    ids=["another office", "a lower clearance", "no clearance", "another agreement"],
)
async def test_a_reader_who_may_not_leaves_it_for_one_who_may(tmp_path, facts, clause):
    async with reading(tmp_path, NEED, CLEARED) as world:
        wrong, right = await world.officer("clerk1", **facts), await world.officer("analyst1")
        await world.send("two boats")
        given = await world.read(wrong)
        assert given.texts == []
        assert clause in [one.clause_id for one in given.waiting[0].refused]
        # The same reader in vain is not asked for again; another one is.
        assert (await world.read(wrong)).waiting == []
        assert (await world.read(right)).texts == ["two boats"]


async def test_a_clearance_that_ended_reads_nothing(tmp_path):
    async with reading(tmp_path, CLEARED) as world:
        late = await world.officer("analyst1", cleared_until=1)
        await world.send("two boats")
        given = await world.read(late)
        assert given.texts == []
        assert given.waiting[0].lacks == {Lack.READER}


# --- control of the key ---------------------------------------------------------------------------------------------


async def test_a_reader_of_another_party_is_refused(tmp_path):
    async with reading(tmp_path, CLEARED) as world:
        stranger = await world.officer("analyst1", nation=world.shared.world.xar)
        await world.send("two boats")
        with pytest.raises(AccessError, match="no officer of XBO"):
            await world.read(stranger)
        assert await world.states() == [ReportState.DUE]


async def test_a_name_without_its_key_reads_nothing(tmp_path):
    async with reading(tmp_path, CLEARED) as world:
        analyst, clerk = await world.officer("analyst1"), await world.officer("clerk1", clearance=None)
        await world.send("two boats")
        for signers in ((), reading_officer(clerk).signers):
            with pytest.raises(KeyFault, match="not those that XBO lists"):
                await world.read(ReadingOfficer(analyst.identity, signers))
        assert await world.states() == [ReportState.DUE]


class Pretender:
    """Says that it is the analyst's key, and signs with another."""

    def __init__(self, theirs, own):
        self.suite, self.public, self.fingerprint = theirs.suite, theirs.public, theirs.fingerprint
        self._own = own

    def sign(self, purpose, *items):
        return self._own.sign(purpose, *items)


async def test_a_key_that_only_claims_to_be_the_readers_reads_nothing(tmp_path):
    async with reading(tmp_path, CLEARED) as world:
        analyst, clerk = await world.officer("analyst1"), await world.officer("clerk1")
        with pytest.raises(KeyFault, match="not those that XBO lists"):
            await world.read(ReadingOfficer(analyst.identity, (Pretender(analyst.signer, clerk.signer),)))


async def test_a_revoked_reader_is_refused(tmp_path):
    async with reading(tmp_path, CLEARED) as world:
        analyst = await world.officer("analyst1")
        async with world.shared.world.connection(world.shared.nodes["XBO"]) as connection:
            await publish_statement(connection, world.xbo.revocation(analyst.signer.fingerprint))
        await world.send("two boats")
        with pytest.raises(KeyFault) as refused:
            await world.read(analyst)
        assert refused.value.code is ErrorCode.KEY_REVOKED
        assert await world.states() == [ReportState.DUE]


# --- caveats --------------------------------------------------------------------------------------------------------


async def test_a_caveat_is_shown_before_anything_and_what_is_not_acknowledged_waits(tmp_path):
    async with reading(tmp_path, USE) as world:
        await world.send("two boats")
        assert [one.lacks for one in (await world.read()).waiting] == [{Lack.CAVEATS}]
        refusing = await world.read(answer=False)
        (shown,) = refusing.shown
        assert (shown.caveat.clause_id, shown.caveat.caveat) == ("42", "For intelligence only.")
        assert shown.caveat.gloss
        assert shown.caveat.text == "As both parties agreed."
        assert refusing.texts == []
        assert await world.states() == [ReportState.PARKED]
        accepting = await world.read(answer=True)
        assert (len(accepting.shown), accepting.texts) == (1, ["two boats"])


async def test_the_register_says_who_acknowledged_and_opened(tmp_path):
    async with reading(tmp_path, CLEARED, USE) as world:
        analyst = await world.officer("analyst1")
        await world.send("two boats")
        given = await world.read(analyst, answer=True)
        report_id = given.shown[0].report_id.bytes
        register = Register(world.shared.access("XBO").place.register)
        try:
            (line,) = register.openings(report_id)
            assert (line.reader, line.purpose, line.use) == ("XBO/analyst1", "counter-terrorism", Use.READ)
            assert line.portions == {0}
            assert register.acknowledged(report_id, "XBO/analyst1") == {given.shown[0].caveat.digest}
            assert register.acknowledged(report_id, "XBO/n1") == frozenset()
            assert b"two boats" not in register.envelope(report_id).exported
        finally:
            register.close()


async def test_no_clause_that_asks_keeps_no_register(tmp_path):
    async with reading(tmp_path) as world:
        await world.send("two boats")
        assert (await world.read()).texts == ["two boats"]
        async with world.shared.node("XBO") as node:
            (row,) = [row async for row in node.reports()]
            with pytest.raises(NotFoundError, match="no envelope"):
                await node.reopen(row.report_id, use=Use.READ, purpose=PURPOSE)


# --- uses -----------------------------------------------------------------------------------------------------------


async def opened_report(world, reader=None):
    """Have a report sent and read; give its id."""
    await world.send("two boats")
    given = await world.read(reader, answer=True)
    assert given.texts == ["two boats"]
    async with world.shared.node("XBO") as node:
        (row,) = [row async for row in node.reports()]
    return row.report_id


async def test_a_copy_is_registered_first_and_made_once(tmp_path):
    async with reading(tmp_path, USE, COPIES, RELABEL) as world:
        report_id = await opened_report(world)
        async with world.shared.node("XBO") as node:
            with pytest.raises(RefusedError) as refused:
                await node.reopen(report_id, use=Use.COPY, purpose=PURPOSE)
            assert [one.clause_id for one in refused.value.clauses] == ["43"]
            assert "comity report register" in refused.value.what_to_do
            assert await node.register_copy(report_id, use=Use.COPY, purpose=PURPOSE) == 1
            with pytest.raises(RefusedError):
                await node.reopen(report_id, use=Use.TRANSLATION, purpose=PURPOSE)
            assert (await node.reopen(report_id, use=Use.COPY, purpose=PURPOSE)).text == "two boats"
            with pytest.raises(RefusedError):
                await node.reopen(report_id, use=Use.COPY, purpose=PURPOSE)
            assert await node.register_copy(report_id, use=Use.TRANSLATION, purpose=PURPOSE) == 2
            with pytest.raises(UsageError):
                await node.register_copy(report_id, use=Use.EVIDENCE, purpose=PURPOSE)


async def test_a_number_of_the_register_is_its_readers_own(tmp_path):
    async with reading(tmp_path, CLEARED, COPIES) as world:
        analyst, other = await world.officer("analyst1"), await world.officer("analyst2")
        report_id = await opened_report(world, analyst)
        async with world.shared.node("XBO") as node:
            with pytest.raises(RefusedError) as refused:
                await node.register_copy(report_id, use=Use.COPY, purpose=PURPOSE)
            assert [one.clause_id for one in refused.value.clauses] == ["41"]
            await node.register_copy(report_id, use=Use.COPY, purpose=PURPOSE, reader=reading_officer(analyst))
            with pytest.raises(RefusedError):
                await node.reopen(report_id, use=Use.COPY, purpose=PURPOSE, reader=reading_officer(other))
            assert (
                await node.reopen(report_id, use=Use.COPY, purpose=PURPOSE, reader=reading_officer(analyst))
            ).text == "two boats"


async def test_a_use_that_needs_consent_is_refused_and_a_free_one_is_not(tmp_path):
    async with reading(tmp_path, USE) as world:
        report_id = await opened_report(world)
        async with world.shared.node("XBO") as node:
            with pytest.raises(RefusedError) as refused:
                await node.reopen(report_id, use=Use.EVIDENCE, purpose=PURPOSE)
            assert [one.clause_id for one in refused.value.clauses] == ["42"]
            assert (await node.reopen(report_id, use=Use.ACTION, purpose=PURPOSE)).text == "two boats"
            with pytest.raises(RefusedError):
                await node.reopen(report_id, use=Use.ACTION, purpose="threat-to-life")


async def test_what_is_taken_out_for_another_use_is_a_copy_as_well(tmp_path):
    async with reading(tmp_path, USE, COPIES) as world:
        report_id = await opened_report(world)
        async with world.shared.node("XBO") as node:
            given = {"use": Use.ACTION, "purpose": PURPOSE}
            assert (await node.reopen(report_id, **given)).text == "two boats"
            with pytest.raises(RefusedError) as refused:
                await node.reopen(report_id, **given, copied=True)
            assert [one.clause_id for one in refused.value.clauses] == ["43"]
            assert await node.register_copy(report_id, use=Use.COPY, purpose=PURPOSE) == 1
            assert (await node.reopen(report_id, **given, copied=True)).text == "two boats"
            with pytest.raises(RefusedError):
                await node.reopen(report_id, **given, copied=True)
            # A number is not spent on what is refused for its use.
            assert await node.register_copy(report_id, use=Use.COPY, purpose=PURPOSE) == 2
            with pytest.raises(RefusedError) as refused:
                await node.reopen(report_id, use=Use.EVIDENCE, purpose=PURPOSE, copied=True)
            assert [one.clause_id for one in refused.value.clauses] == ["42"]
            assert (await node.reopen(report_id, **given, copied=True)).text == "two boats"


async def test_what_was_opened_before_a_suspension_may_be_read_on(tmp_path):
    async with reading(tmp_path, USE, SURVIVES) as world:
        report_id = await opened_report(world)
        await world.shared.treaty.take(StepKind.SUSPEND, world.xbo, reason="a review")
        async with world.shared.node("XBO") as node:
            assert (await node.reopen(report_id, use=Use.READ, purpose=PURPOSE)).text == "two boats"
            with pytest.raises(RefusedError):
                await node.reopen(report_id, use=Use.EVIDENCE, purpose=PURPOSE)


async def test_what_is_sent_to_a_named_officer_is_opened_by_that_officer_alone(tmp_path):
    async with reading(tmp_path) as world:
        named, other = await world.officer("analyst1"), await world.officer("analyst2")
        await world.send("two boats", addressees=["XBO/analyst1"], marking="SECRET//REL TO XAR, XBO//TLP:RED")
        assert (await world.read(other)).texts == []
        assert await world.states() == [ReportState.PARKED]
        assert (await world.read(named)).texts == ["two boats"]
