"""The verdicts of clauses that say what may flow to whom, and of the baseline rows that stand in for them.

Each function gives what violates the test of its name in `comity_policy.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping

from comity_policy import rules
from comity_policy.analysis import attributes as of
from comity_policy.analysis.terms import (
    FALSE,
    TRUE,
    Attribute,
    Is,
    Nothing,
    Same,
    among,
    any_of,
    at_most,
    below,
    every,
    holds,
    no,
    some,
)
from comity_policy.analysis.values import named_officer
from comity_policy.analysis.verdicts.parts import (
    Verdict,
    above,
    at_ranks,
    controlled,
    is_lifted_onward,
    ranked,
    unclassified,
)
from comity_policy.clauses import Carrier
from comity_policy.facts import PersonalData
from comity_policy.lowering import Table
from comity_policy.marking import Control


def released(test: rules.Released, table: Table) -> Verdict:
    listed = every(Is(of.RELEASABLE), holds(of.RELEASABLE_TO, test.party))
    return Verdict(every(controlled(table), no(listed)))


def not_passed_on(test: rules.NotPassedOn, _table: Table) -> Verdict:
    lifted = is_lifted_onward() if test.lifted else FALSE
    passed_on = every(holds(of.DISSEMINATION, Control.ORCON), no(Is(of.DIRECT)), no(Is(of.ONWARD_GRANT)), no(lifted))
    unsaid = some(no(Is(of.DIRECT_KNOWN)), no(Is(of.ONWARD_GRANT_KNOWN)))
    return Verdict(passed_on, missing=every(passed_on, unsaid))


def rank_at_most(test: rules.RankAtMost, table: Table) -> Verdict:
    if test.limit is None:
        return Verdict(missing=TRUE)
    return Verdict(above(table, test.limit), missing=no(ranked(table)))


def accredited(test: rules.Accredited, table: Table) -> Verdict:
    asked = no(unclassified(table))
    covered = _covered(table, test.covers, of.ACCREDITATION_LEVEL, of.ACCREDITATION_UNTIL)
    return Verdict(every(asked, covered.denied), missing=every(asked, covered.missing))


def _covered(table: Table, covers: Mapping[str, int], level: Attribute, until: Attribute) -> Verdict:
    """Give what violates that a level, which is attested until a time, covers the portion's rank."""
    too_low = some(*(every(among(level, {one}), above(table, rank)) for one, rank in covers.items()))
    known = every(ranked(table), *(Is(one.known) for one in (level, until) if one.known is not None))
    return Verdict(some(at_most(until, of.NOW), too_low), missing=no(every(known, among(level, covers))))


def reader_cleared(test: rules.ReaderCleared, table: Table) -> Verdict:
    if test.lowest is None:
        return Verdict(missing=TRUE)
    asked = above(table, test.lowest - 1)
    covered = _covered(table, test.covers, of.CLEARANCE_LEVEL, of.CLEARANCE_UNTIL)
    return Verdict(every(asked, covered.denied), missing=some(no(ranked(table)), every(asked, covered.missing)))


def needs_to_know(test: rules.NeedsToKnow, _table: Table) -> Verdict:
    if test.asks_reader:
        asked = _asked(test, of.READER_OFFICES, of.READER_COMMUNITIES)
        return Verdict(no(some(asked.denied, among(of.READER_OFFICER, test.officers))), missing=no(Is(of.READER_KNOWN)))
    asked = _asked(test, of.OFFICES, of.COMMUNITIES)
    named = any_of(of.NAMED_OFFICERS, (named_officer(test.party, one) for one in test.officers))
    knows = some(named, asked.denied)
    return Verdict(no(knows), missing=every(no(knows), asked.missing))


def _asked(test: rules.NeedsToKnow, offices: Attribute, communities: Attribute) -> Verdict:
    """Give whether an office or community is named (`denied`), and whether one that could be is not known."""
    rows = ((offices, test.offices), (communities, test.communities))
    return Verdict(
        some(*(any_of(held, words) for held, words in rows)),
        missing=some(*(no(Is(held.known)) for held, words in rows if words and held.known is not None)),
    )


def personal_data_for(test: rules.PersonalDataFor, _table: Table) -> Verdict:
    asked = no(among(of.PERSONAL_DATA, {PersonalData.NONE.name}))
    special = among(of.PERSONAL_DATA, {PersonalData.SPECIAL.name})
    again = test.asked_again
    return Verdict(
        every(
            asked,
            some(
                no(among(of.PURPOSE, test.purposes)),
                no(among(of.OPENING_PURPOSE, test.purposes)) if again else FALSE,
                FALSE if test.special else special,
                no(at_most(of.PERSONS, test.persons_max)),
            ),
        ),
        missing=every(
            asked,
            some(
                among(of.PURPOSE, {""}),
                no(Is(of.PERSONS_KNOWN)),
                below(of.PERSONS, 1),
                no(Is(of.OPENING_PURPOSE_KNOWN)) if again else FALSE,
            ),
        ),
    )


def carried_as(test: rules.CarriedAs, table: Table) -> Verdict:
    if not test.by_rank:
        return Verdict(missing=TRUE if test.by_rank is None else FALSE)
    elsewhere = {rank for rank, carrier in test.by_rank.items() if carrier is not Carrier.BROKER}
    return Verdict(at_ranks(table, elsewhere), missing=no(ranked(table)))


def purpose_among(test: rules.PurposeAmong, _table: Table) -> Verdict:
    other = no(among(of.PURPOSE, test.purposes))
    unsaid = among(of.PURPOSE, {""})
    if not test.asked_again:
        return Verdict(other, missing=unsaid)
    return Verdict(
        some(other, no(Same(of.OPENING_PURPOSE, of.PURPOSE))), missing=some(unsaid, no(Is(of.OPENING_PURPOSE_KNOWN)))
    )


def rests_in(test: rules.RestsIn, _table: Table) -> Verdict:
    return Verdict(
        no(every(among(of.BROKER_REGION, test.regions), among(of.NODE_REGION, test.regions))),
        missing=no(every(Is(of.BROKER_REGION_KNOWN), Is(of.NODE_REGION_KNOWN))),
    )


def not_excluded(test: rules.NotExcluded, _table: Table) -> Verdict:
    asked = TRUE if test.kinds is None else among(of.KIND, (kind.word for kind in test.kinds))
    kept_back = TRUE if test.categories is None else any_of(of.CATEGORIES, test.categories)
    return Verdict(every(asked, kept_back), missing=every(asked, Nothing(of.CATEGORIES)))
