"""Decision records give back the very facts they were written from, and whatever is changed in one never crashes a replay."""

from __future__ import annotations

from dataclasses import fields, replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from builders_replay import (
    copied,
    document,
    first_index,
    logged,
    mixed_facts,
    one_decision,
    read_again,
    replayed,
    with_broker_facts,
)
from comity.envelope.evidence import SlotCode
from comity.errors import VerificationError
from comity.node.decision_records import RecordReader
from comity.node.logged_entries import LoggedEntry
from comity.verify.records import FormError
from comity_policy.facts import Moment, NodeFacts, Role, Usage

WORDS = st.frozensets(st.text("abcXYZ/1", min_size=1, max_size=8), max_size=3)
NUMBERS = st.integers(0, 2**53 - 1)
MOMENTS = {
    "now": NUMBERS,
    "broker": st.none() | st.text(max_size=8),
    "broker_region": st.none() | st.text(max_size=8),
    "key_log_age": st.none() | st.integers(-(2**40), 2**40),
    "sender_roles": st.none() | st.frozensets(st.sampled_from(Role)),
    "direct": st.none() | st.booleans(),
    "onward_grant": st.booleans(),
    "sender_key_since": st.none() | NUMBERS,
    "sender_capabilities": st.none() | WORDS,
    "size": st.none() | NUMBERS,
    "usage": st.none() | st.dictionaries(st.text("0123.", min_size=1, max_size=4), st.builds(Usage, NUMBERS, NUMBERS)),
    "approvals": st.none() | WORDS,
    "log_available": st.none() | st.booleans(),
    "emergency_declared": st.booleans(),
    "hops": st.none() | NUMBERS,
    "disputed": st.none() | st.booleans(),
}
NODES = {
    "region": st.none() | st.text(max_size=8),
    "offices": WORDS,
    "communities": WORDS,
    "accreditation_level": st.none() | st.text(max_size=8),
    "accreditation_until": st.none() | NUMBERS,
    "oldest_key_since": st.none() | NUMBERS,
    "valid": st.none() | st.booleans(),
    "officers": st.none() | WORDS,
    "overdue": st.none() | WORDS,
    "capabilities": st.none() | WORDS,
}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 50), st.fixed_dictionaries(MOMENTS), st.fixed_dictionaries(NODES))
def test_a_record_gives_back_the_facts_it_was_written_from(
    seed: int, moment: dict[str, Any], node: dict[str, Any]
) -> None:
    facts = mixed_facts(Random(seed))
    given_moment, given_node = replace(facts.moment, **moment), replace(facts.node, **node)
    decision = one_decision(facts.profile, facts.times, given_node, given_moment)
    entry = logged([decision], 1, 1, [(0, SlotCode.POLICY)])
    reader = RecordReader()
    (said,) = reader.decisions(entry.own["XAR"])
    recorded, unknown = reader.decision(
        reader.under(entry.shared), said, lambda _slot: None, entry.own["XAR"]["attested"]
    )
    assert recorded is not None
    assert unknown == ()
    assert (recorded.profile, recorded.reports) == (facts.profile, ((0, facts.times),))
    assert recorded.nodes == (given_node,)
    assert recorded.moment == given_moment
    assert dict(recorded.permitted) == {(given_node.party, given_node.node): ()} | dict(decision.result.permitted)
    assert {
        where: {(one.clause_id, one.reason.value) for one in told} for where, told in decision.result.violations.items()
    } == {where: set(answer) for where, answer in recorded.refused.items()}


def test_the_strategies_have_every_fact_of_an_admission() -> None:
    opening = {
        "point", "admitted_at", "opening_purpose", "reader", "use", "consents", "registered", "caveats_acknowledged",
        "relabelled_by", "held",
    }  # fmt: skip
    assert set(MOMENTS) == {one.name for one in fields(Moment)} - opening
    assert set(NODES) == {one.name for one in fields(NodeFacts)} - {"party", "node"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**12) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        return found + [place for key, one in value.items() for place in _places(one, (*path, key))]
    if isinstance(value, list):
        return found + [place for at, one in enumerate(value) for place in _places(one, (*path, at))]
    return found


def _entry() -> LoggedEntry:
    facts = mixed_facts(Random(4))
    moment = with_broker_facts(facts.moment, Random(4))
    made: LoggedEntry = logged(
        [one_decision(facts.profile, facts.times, facts.node, moment)], first_index(), 1, [(0, SlotCode.STANZAS)]
    )
    return made


ENTRY = _entry()
PLACES = [("own", *place) for place in _places(ENTRY.own["XAR"])] + [
    ("shared", "under", *place) for place in _places(ENTRY.shared["under"])
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_whatever_stands_in_a_record_is_replayed_or_refused_typed(place: tuple[Any, ...], value: object) -> None:
    part, *path, last = place
    own, shared = copied(ENTRY.own), copied(ENTRY.shared)
    inside = own["XAR"] if part == "own" else shared
    for step in path:
        inside = inside[step]
    inside[last] = value
    try:
        done = replayed(read_again(replace(ENTRY, own=own, shared=shared)))
    except (FormError, VerificationError):
        return
    assert len(done.told) + len(done.unknown) + len(done.kept) <= 1
    assert document().id


def test_the_entry_that_is_changed_is_replayed_whole_by_itself() -> None:
    done = replayed(ENTRY)
    assert [one.verdict.value for one in done.told] == ["identical"]
