"""What this release does not carry of an agreement is named, and nobody proposes or signs it."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest

from builders_broker import brokered
from builders_every_kind import MORE, clause_text, every_kind
from builders_life import living
from builders_treaty import treaty
from comity.cli.agreement_print import show_clauses
from comity.cli.output import Output
from comity.errors import ErrorCode, MalformedError
from comity_policy.carried import caveat_not_carried, not_carried, told, unused
from comity_policy.companions import Caveat
from comity_policy.document import load
from comity_policy.sections import (
    AmendedBy,
    Amends,
    Annex,
    AppliesTo,
    Broker,
    Document,
    Duration,
    DurationKind,
    EntryIntoForce,
    EntryRule,
    Provisional,
    Renewal,
)
from comity_policy.steps import StepKind

EXAMPLE = (files("comity_policy") / "examples" / "xar-xbo-ct.toml").read_bytes()
SECTIONS: dict[str, dict[str, Any]] = {
    "an umbrella": {"kind": "umbrella"},
    "an arrangement": {"kind": "arrangement"},
    "completion": {"entry_into_force": EntryIntoForce(EntryRule.AFTER_LATER_RECEIPT)},
    "a minimum": {"entry_into_force": EntryIntoForce(EntryRule.ON_SIGNATURE, minimum=1)},
    "renewal": {"duration": Duration(DurationKind.TERM, years=1, renewal=Renewal.TACIT)},
    "provisional application": {"provisional": Provisional(("3.1",), datetime(2030, 1, 1, tzinfo=UTC))},
    "an amendment": {"amends": Amends(1, "sha384:" + "0" * 96, AppliesTo.NEW)},
    "annexes": {"annexes": (Annex(id="A", amended_by=AmendedBy.RATIFICATION, clauses=()),)},
}


def document() -> Document:
    return load(EXAMPLE)


def test_every_kind_is_carried_in_one_log() -> None:
    every = load(every_kind().encode())
    assert not_carried(every) == ()
    assert [one.what.partition(":")[0] for one in unused(every)] == ["onward"]


@pytest.mark.parametrize(
    "changed",
    [{"kind": "umbrella"}, {"brokers": {"hub": Broker("XAR", "xar"), "far": Broker("XBO", "xbo")}}],
    ids=["an umbrella", "two brokers"],
)
def test_what_counts_in_one_log_is_named_where_there_are_several(changed: dict[str, Any]) -> None:
    parts = not_carried(replace(load(every_kind().encode()), **changed))
    assert [one.what.partition(":")[0] for one in parts] == ["quota", "acknowledge"]
    assert told(parts).startswith("clause 25, quota: it is counted in one log")


def test_the_simplest_example_is_carried_whole() -> None:
    assert not_carried(document()) == ()


@pytest.mark.parametrize("changed", SECTIONS.values(), ids=SECTIONS.keys())
def test_the_whole_life_of_an_agreement_is_carried(changed: dict[str, Any]) -> None:
    assert not_carried(replace(document(), **changed)) == ()


def test_a_caveat_counts_in_one_log_as_its_agreement_does() -> None:
    every = load(every_kind().encode())
    heading = {"party": "XAR", "id": "C1", "agreement": "A-1", "digest": "", "partner_text": "A limitation."}
    caveat = Caveat(clauses=every.clauses, **heading)  # type: ignore[arg-type]  # more kinds than a caveat's
    assert caveat_not_carried(caveat, every) == ()
    several = replace(every, brokers={"hub": Broker("XAR", "xar"), "far": Broker("XBO", "xbo")})
    assert caveat_not_carried(caveat, several) == not_carried(several)


async def test_a_broker_takes_no_text_that_it_does_not_carry_whole(tmp_path) -> None:
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        agreed.text += clause_text("25", *MORE["25"]).encode()
        agreed.text = agreed.text.replace(
            b"[brokers.hub]", b'[brokers.far]\noperator = "XBO"\nregion = "xbo"\n\n[brokers.hub]'
        )
        statement = agreed.statement(StepKind.PROPOSE, world.xar)
        with pytest.raises(MalformedError, match="clause 25, quota") as refused:
            await agreed.submit(statement, agreed.officer(world.xar, "liaison1"), agreed.text)
    assert refused.value.code is ErrorCode.AGREEMENT_INVALID


async def test_an_agreement_that_lets_pass_on_is_agreed_over_a_broker_and_shown_as_not_used_yet(
    tmp_path, capsys
) -> None:
    async with living(tmp_path, "XBO", "XAR", "XDE") as world:
        text = (files("comity_policy") / "examples" / "xar-xbo-xde-sea.toml").read_text()
        text = re.sub(
            r"\[brokers.harbour]\noperator = .*\nregion = .*", '[brokers.hub]\noperator = "XBO"\nregion = "xar"', text
        )
        for code, one in world.nations.items():
            mine = f'root = "sha384:{one.card.root_fingerprint.hex()}"\ntrust_domain = "{one.trust_domain}"'
            text = re.sub(rf"(\[parties.{code}]\nname = .*\n)root = .*\ntrust_domain = .*", rf"\g<1>{mine}", text)
        agreed = world.treaty(text.encode(), "XAR-XBO-XDE-SEA-1")
        await agreed.propose()
        await agreed.agree("XAR", "XBO")
        assert agreed.state().signed == {"XAR", "XBO"}
        assert agreed.state().in_force_at is not None
        show_clauses(Output(), agreed.standing.first, {})
        assert "not used yet: onward: no command of this release passes anything on" in capsys.readouterr().out
