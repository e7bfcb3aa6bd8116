"""The verdicts of suspended clauses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from comity_policy import rules
from comity_policy.analysis import attributes as of
from comity_policy.analysis.terms import (
    TRUE,
    Is,
    Term,
    among,
    below,
    every,
    no,
    some,
)
from comity_policy.analysis.verdicts.parts import (
    Verdict,
    applies,
    controlled,
    is_copying,
    unclassified,
)
from comity_policy.facts import PersonalData
from comity_policy.lowering import Table
from comity_policy.rules import Guard


def suspended(test: rules.Suspended, table: Table) -> Verdict:
    return Verdict(suspended=_COVERED[test.covers](table))


_COVERED: Mapping[Guard, Callable[[Table], Term]] = {
    Guard.ALWAYS: lambda _table: TRUE,
    Guard.CLASSIFIED: lambda table: no(unclassified(table)),
    Guard.CONTROLLED: controlled,
    Guard.EMBARGOED: lambda _table: below(of.CREATED_AT, of.NOT_BEFORE),
    Guard.NOT_YET: lambda _table: some(below(of.CREATED_AT, of.NOT_BEFORE), below(of.NOW, of.NOT_BEFORE)),
    Guard.URGENT: lambda _table: _urgent(),
    Guard.UNHURRIED: lambda _table: no(_urgent()),
    Guard.PERSONAL_DATA: lambda _table: no(among(of.PERSONAL_DATA, {PersonalData.NONE.name})),
    Guard.COPYING: lambda _table: some(no(Is(of.USE_KNOWN)), is_copying()),
}


def _urgent() -> Term:
    return among(of.PRECEDENCE, ("FLASH", "IMMEDIATE"))


def suspended_grant(test: rules.SuspendedGrant, _table: Table) -> Verdict:
    return Verdict(suspended=every(applies(test.grant), *(no(applies(one)) for one in test.others)))


def suspended_onward(_test: rules.SuspendedOnward, _table: Table) -> Verdict:
    return Verdict(suspended=every(Is(of.DIRECT_KNOWN), no(Is(of.DIRECT))))
