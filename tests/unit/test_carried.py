"""What this release does not carry of an agreement is named, and nobody proposes or signs it."""

from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest

from builders_broker import brokered
from builders_every_kind import MORE, clause_text, every_kind
from builders_treaty import treaty
from comity.errors import ErrorCode, MalformedError
from comity_policy.carried import not_carried, told
from comity_policy.clauses import Clearance, LevelRow, Retention
from comity_policy.document import load
from comity_policy.sections import (
    AmendedBy,
    Amends,
    Annex,
    AppliesTo,
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
CARRIED = {"22", "23"}  # personal data and channels: every fact they need is attested
SECTIONS: dict[str, dict[str, Any]] = {
    "umbrellas": {"kind": "umbrella"},
    "arrangements": {"kind": "arrangement"},
    "notifies a completion": {"entry_into_force": EntryIntoForce(EntryRule.AFTER_LATER_RECEIPT)},
    "who signs later": {"entry_into_force": EntryIntoForce(EntryRule.ON_SIGNATURE, minimum=1)},
    "renews or objects": {"duration": Duration(DurationKind.TERM, years=1, renewal=Renewal.TACIT)},
    "provisional": {"provisional": Provisional(("3.1",), datetime(2030, 1, 1, tzinfo=UTC))},
    "amends": {"amends": Amends(1, "sha384:" + "0" * 96, AppliesTo.NEW)},
    "exchanges notes": {"annexes": (Annex(id="A", amended_by=AmendedBy.RATIFICATION, clauses=()),)},
}


def document() -> Document:
    return load(EXAMPLE)


def test_every_kind_is_carried_or_named_with_what_it_lacks() -> None:
    named = {one.clause_id: one.what for one in not_carried(load(every_kind().encode()))}
    assert {
        clause_id for clause_id, (kind, _) in MORE.items() if kind != "article" and clause_id not in named
    } == CARRIED
    assert all(": " in what for what in named.values())


@pytest.mark.parametrize("name", ["xar-xbo-ct", "xar-xde-cert"])
def test_the_examples_are_carried_whole(name: str) -> None:
    assert not_carried(load((files("comity_policy") / "examples" / f"{name}.toml").read_bytes())) == ()


@pytest.mark.parametrize(("words", "changed"), SECTIONS.items(), ids=SECTIONS.keys())
def test_a_section_that_no_command_serves_is_named(words: str, changed: dict[str, Any]) -> None:
    (found,) = not_carried(replace(document(), **changed))
    assert found.clause_id == ""
    assert words in found.what


def test_fields_of_a_carried_kind_may_ask_for_more_than_is_carried() -> None:
    rows = (LevelRow(party="XAR", level="SECRET"),)
    text = {"en": "As agreed."}
    more = (
        Clearance(id="51", text=text, officer_from=rows),
        replace_struct(next(one for one in document().clauses if isinstance(one, Retention)), witnesses=2),
    )
    found = not_carried(replace(document(), clauses=more))
    assert [one.what.partition(":")[0] for one in found] == [
        "clearance officer_from",
        "retention end, witnesses, emergency_destruction",
    ]


def replace_struct(clause: Retention, **changes: Any) -> Retention:
    fields = {name: getattr(clause, name) for name in clause.__struct_fields__}
    return Retention(**{**fields, **changes})


def test_a_refusal_names_each_part() -> None:
    parts = not_carried(replace(load(every_kind().encode()), kind="umbrella"))
    assert told(parts).startswith("[agreement] kind = 'umbrella': ")
    assert "; clause 25, quota: nobody counts what a window holds; " in told(parts)


async def test_a_broker_takes_no_text_that_it_does_not_carry_whole(tmp_path) -> None:
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        agreed.text += clause_text("25", *MORE["25"]).encode()
        statement = agreed.statement(StepKind.PROPOSE, world.xar)
        with pytest.raises(MalformedError, match="clause 25, quota") as refused:
            await agreed.submit(statement, agreed.officer(world.xar, "liaison1"), agreed.text)
    assert refused.value.code is ErrorCode.AGREEMENT_INVALID
