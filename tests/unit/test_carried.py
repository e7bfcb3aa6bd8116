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
from comity_policy.carried import caveat_not_carried, not_carried, told
from comity_policy.companions import Caveat
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
# Of every kind but passing on, every fact is attested, and the ledger follows what it asks for.
CARRIED = {kind_id for kind_id, (kind, _) in MORE.items() if kind != "onward"}
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


def test_every_kind_is_carried_or_named_with_what_it_lacks() -> None:
    named = {one.clause_id: one.what for one in not_carried(load(every_kind().encode()))}
    assert {
        clause_id for clause_id, (kind, _) in MORE.items() if kind != "article" and clause_id not in named
    } == CARRIED
    assert all(": " in what for what in named.values())


def test_the_simplest_example_is_carried_whole() -> None:
    assert not_carried(document()) == ()


@pytest.mark.parametrize("changed", SECTIONS.values(), ids=SECTIONS.keys())
def test_the_whole_life_of_an_agreement_is_carried(changed: dict[str, Any]) -> None:
    assert not_carried(replace(document(), **changed)) == ()


def test_what_a_caveat_asks_for_is_named_as_in_an_agreement() -> None:
    every = load(every_kind().encode())
    heading = {"party": "XAR", "id": "C1", "agreement": "A-1", "digest": "", "partner_text": "A limitation."}
    assert caveat_not_carried(Caveat(clauses=every.clauses, **heading)) == not_carried(every)  # type: ignore[arg-type]  # more kinds than a caveat's


def test_a_refusal_names_each_part() -> None:
    parts = not_carried(load(every_kind().encode()))
    assert told(parts) == "clause 21, onward: nothing is passed on by anybody but its originator"


async def test_a_broker_takes_no_text_that_it_does_not_carry_whole(tmp_path) -> None:
    async with brokered(tmp_path) as world:
        agreed = await treaty(world)
        agreed.text += clause_text("21", *MORE["21"]).encode()
        statement = agreed.statement(StepKind.PROPOSE, world.xar)
        with pytest.raises(MalformedError, match="clause 21, onward") as refused:
            await agreed.submit(statement, agreed.officer(world.xar, "liaison1"), agreed.text)
    assert refused.value.code is ErrorCode.AGREEMENT_INVALID
