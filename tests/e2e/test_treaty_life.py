"""A treaty's life by hand, with real processes: rounds of negotiation, ratification, a caveat, an amendment, notice."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from builders_world import AGREEMENT, World, parties, running

# The whole way into force, by commands: each opens its keys anew, which is meant to take long.
pytestmark = pytest.mark.timeout(600)

ON_RECEIPT = 'rule = "after-later-receipt"'
COMPLETED = ("--instrument", "Law 17/2026", "--authority", "the Assembly", "--date", "2026-10-01")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running(parties(tmp_path_factory.mktemp("world"))) as made:
        yield made


@pytest.fixture(scope="module")
def treaty(world) -> World:
    """The same world, its agreement in force; how it came there is tested on the way."""
    negotiate(world)
    ratify(world)
    return world


def step(world: World, officer: str, *words: str, code: int = 0):
    """Take a step as an officer; gives what the command answered."""
    machine = world.arden if officer.startswith("XAR") else world.bohemund
    ran = machine.run("agreement", *words, "--as", officer, "--json")
    assert ran.code == code, ran.out + ran.err
    return ran.records[-1] if code == 0 else ran.error


def show(world: World, identity: str, *words: str):
    return step(world, identity, "show", AGREEMENT, *words)


def diffed(world: World, identity: str):
    """What the newest text changes, as a reader's own machine tells it."""
    machine = world.arden if identity.startswith("XAR") else world.bohemund
    ran = machine.done("agreement", "show", AGREEMENT, "--diff", "--as", identity, "--json")
    return [one for one in ran.records if "part" in one]


def negotiate(world: World) -> None:
    """Propose, counter, object, counter, review: each round begins with nothing, an objection blocks signing."""
    world.arden.done(
        *("agreement", "new", AGREEMENT, "--party", "XAR", "--party", "XBO", "--broker-name", "XAR/hub"),
        *("--broker-region", "xar", "--into", str(world.text)),
    )
    first = world.text.read_text().replace('rule = "on-signature"', ON_RECEIPT)
    world.text.write_text(first)
    assert step(world, "XAR/liaison1", "propose", str(world.text))["phase"] == "PROPOSED"
    step(world, "XAR/lawyer1", "review", AGREEMENT, "--yes")

    second = world.folder / "second.toml"
    second.write_text(first.replace("notice = { months = 6 }", "notice = { months = 3 }"))
    countered = step(world, "XBO/liaison1", "counter", str(second))
    assert (countered["phase"], len(countered["rounds"]), countered["reviewed"]) == ("COUNTERED", 2, [])
    (changed,) = [one for one in diffed(world, "XAR/liaison1") if one["status"] != "unchanged"]
    assert (changed["part"], changed["changes"]) == ("termination", ["notice 3 months, was 6 months"])
    missing = step(
        world, "XAR/lawyer1", "object", AGREEMENT, "--clause", "99", "--reason", "too wide", "--yes", code=12
    )
    assert "no clause 99" in missing["message"]
    objected = step(world, "XAR/lawyer1", "object", AGREEMENT, "--clause", "3.1", "--reason", "too wide", "--yes")
    assert objected["objections"] == {"XAR": ["3.1"]}
    assert step(world, "XAR/minister1", "sign", AGREEMENT, "--yes", code=13)["code"] == "TRANSITION_NOT_ALLOWED"

    third = world.folder / "third.toml"
    third.write_text(second.read_text().replace("notice = { months = 3 }", "notice = { months = 4 }"))
    countered = step(world, "XAR/liaison1", "counter", str(third))
    assert (len(countered["rounds"]), countered["objections"]) == (3, {})
    before = countered["rounds"][1]["digest"]
    # Whoever means the text of the round before signs nothing off.
    assert step(world, "XBO/lawyer1", "review", AGREEMENT, "--digest", before, code=13)["code"] == "DIGEST_MISMATCH"
    assert step(world, "XBO/lawyer1", "review", AGREEMENT, "--yes", "--clause", "4")["signed_off"] == {"XBO": ["4"]}
    shown = world.bohemund.done("agreement", "show", AGREEMENT, "--digest", before[:16], "--text", "--as", "XBO/n1")
    assert shown.out == second.read_text()
    world.text.write_text(third.read_text())


def ratify(world: World) -> None:
    for code in ("XAR", "XBO"):
        step(world, f"{code}/liaison1", "initial", AGREEMENT, "--yes")
        step(world, f"{code}/lawyer1", "review", AGREEMENT, "--yes")
    for code in ("XAR", "XBO"):
        signed = step(world, f"{code}/minister1", "sign", AGREEMENT, "--yes")
        assert [one["type"] for one in signed["steps"]] == ["agreement-sign", "agreement-log-opened"]
    assert signed["phase"] == "SIGNED"
    for code in ("XAR", "XBO"):
        step(world, f"{code}/liaison1", "notify-completion", AGREEMENT, *COMPLETED)
    assert step(world, "XAR/liaison1", "notify-completion", AGREEMENT, "--receive", "XDE", code=12)
    assert step(world, "XAR/liaison1", "notify-completion", AGREEMENT, "--receive", "XBO")["phase"] != "IN_FORCE"
    received = step(world, "XBO/liaison1", "notify-completion", AGREEMENT, "--receive", "XAR")
    assert received["phase"] == "IN_FORCE"


def test_both_sides_read_the_same_treaty_with_who_did_what(treaty):
    for machine, identity in ((treaty.arden, "XAR/lawyer1"), (treaty.bohemund, "XBO/n1")):
        shown = machine.done("agreement", "show", AGREEMENT, "--as", identity).out
        for words in (
            "state       IN FORCE",
            "initialled, reviewed, signed, completed, received at",
            "Law 17/2026 of 2026-10-01, the Assembly",
            "round 3",
            "after the later receipt of completion",
            "Article 4 (ceiling): enforced at",
        ):
            assert words in shown, shown
        chain = machine.done("agreement", "show", AGREEMENT, "--history", "--as", identity).out
        assert re.search(r"XAR/lawyer1 \(legal-reviewer\) objected to clause 3.1: too wide", chain)
        assert "signature and role of XBO/minister1 verified" in chain
    assert show(treaty, "XAR/n1")["digest"] == show(treaty, "XBO/n1")["digest"]


def test_a_caveat_narrows_at_once_and_its_text_stays_at_home(treaty):
    digest = show(treaty, "XAR/n1")["digest"]
    text = treaty.folder / "caveat.toml"
    text.write_text(
        f'[caveat]\nparty = "XAR"\nid = "NO-BOATS"\nagreement = "{AGREEMENT}"\ndigest = "sha384:{digest}"\n'
        'partner_text = "Arland applies a national limitation."\n'
        '[[clause]]\nid = "1"\nkind = "exclude"\ntext = { en = "Nothing on terrorism." }\ncategories = ["terrorism"]\n'
    )
    treaty.send("Before the caveat.")
    added = step(treaty, "XAR/security1", "caveat", "add", str(text))
    assert added["caveats"][0]["clauses"][0]["clause_id"] == "1"
    treaty.send("Under the caveat.", code=10)
    (told,) = show(treaty, "XBO/lawyer1")["caveats"]
    assert told["partner_text"] == "Arland applies a national limitation."
    assert not {"text", "clauses"} & set(told)
    listed = treaty.bohemund.done("agreement", "caveat", "list", AGREEMENT, "--as", "XBO/n1").out
    assert "XAR/NO-BOATS, read by others as: Arland applies" in listed
    assert step(treaty, "XBO/security1", "caveat", "withdraw", AGREEMENT, "NO-BOATS", code=13)
    step(treaty, "XAR/security1", "caveat", "withdraw", AGREEMENT, "NO-BOATS")
    treaty.send("After the caveat.")


def test_an_amendment_takes_the_place_of_the_version_that_binds_until_then(treaty, tmp_path):
    treaty.receive(tmp_path / "before")
    (sent,) = treaty.send("Shared under version 1.").records
    digest = show(treaty, "XAR/n1")["digest"]
    amended = treaty.folder / "amended.toml"
    amended.write_text(
        treaty.text.read_text()
        .replace("version = 1\n", "version = 2\n", 1)
        .replace(ON_RECEIPT, 'rule = "on-signature"')
        .replace(
            "[interpretation]",
            f'[amends]\nversion = 1\ndigest = "sha384:{digest}"\napplies_to = "new"\n\n[interpretation]',
        )
    )
    proposed = step(treaty, "XBO/liaison1", "amend", str(amended))
    assert (proposed["version"], proposed["pending"]["version"], proposed["pending"]["phase"]) == (1, 2, "PROPOSED")
    shown = treaty.arden.done("agreement", "show", AGREEMENT, "--as", "XAR/lawyer1").out
    assert "On its way: version 2, an amendment" in shown
    for code in ("XAR", "XBO"):
        step(treaty, f"{code}/lawyer1", "review", AGREEMENT, "--yes")
    for code in ("XAR", "XBO"):
        signed = step(treaty, f"{code}/minister1", "sign", AGREEMENT, "--yes")
        assert [one["type"] for one in signed["steps"]] == ["agreement-sign"]
    assert (signed["version"], signed["phase"], signed.get("pending")) == (2, "IN_FORCE", None)
    # What was shared under the old version is opened under it, what is shared now under the new one.
    (later,) = treaty.send("Shared under version 2.").records
    received = {one["report_id"] for one in treaty.receive(tmp_path / "in")}
    assert {sent["report_id"], later["report_id"]} <= received
    old = treaty.arden.done("agreement", "show", AGREEMENT, "--version", "1", "--text", "--as", "XAR/n1").out
    assert old == treaty.text.read_text()


def test_the_audit_of_a_whole_life_verifies(treaty, tmp_path):
    treaty.arden.done("audit", "bundle", AGREEMENT, "--into", str(tmp_path / "audit"), "--as", "XAR/auditor1")
    ran = treaty.arden.run("audit", "verify", str(tmp_path / "audit"), "--party", "XAR")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "PASS"), ran.out


def test_a_dispute_is_opened_by_one_and_ends_when_both_have_closed_it(treaty):
    opened = step(
        *(treaty, "XAR/liaison1", "dispute", "open", AGREEMENT, "--entry", "3"),
        *("--until", str((datetime.now(UTC) + timedelta(days=30)).date()), "--reason", "the date is wrong"),
    )
    (dispute,) = opened["disputes"]
    named = dispute["dispute"][:12]
    assert step(treaty, "XBO/liaison1", "dispute", "close", AGREEMENT, "0123456789ab", code=12)
    (half,) = step(treaty, "XBO/liaison1", "dispute", "close", AGREEMENT, named)["disputes"]
    assert half["closed_by"] == ["XBO"]
    assert step(treaty, "XAR/liaison1", "dispute", "close", AGREEMENT, named)["disputes"] == []


def test_notice_is_given_once_and_the_agreement_binds_until_it_takes_effect(treaty):
    assert step(treaty, "XBO/minister1", "withdraw", AGREEMENT, "--reason", "x", code=13)
    assert step(treaty, "XBO/minister1", "renew", AGREEMENT, code=13)
    noticed = step(treaty, "XBO/minister1", "terminate", AGREEMENT, "--reason", "it has served its end")
    assert (noticed["phase"], noticed["departures"][0]["party"]) == ("NOTICE_GIVEN", "XBO")
    assert noticed["ends_at"] == noticed["departures"][0]["at"]
    treaty.send("Still bound.")
    assert step(treaty, "XBO/minister1", "terminate", AGREEMENT, "--reason", "again", code=13)
    assert "takes effect at" in treaty.arden.done("agreement", "show", AGREEMENT, "--as", "XAR/n1").out
    comes = [one for one in treaty.arden.done("desk", "--as", "XAR/liaison1", "--json").records if "reminder" in one]
    assert [(one["kind"], one["at"]) for one in comes] == [(kind, noticed["ends_at"]) for kind in ("ends", "leaves")]
    desk = treaty.arden.done("desk", "--as", "XAR/liaison1").out
    assert "XBO leaves: its notice or withdrawal takes effect" in desk
