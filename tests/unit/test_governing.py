"""What of a living agreement decides: the version, the umbrella that counts, and caveats that outlive versions."""

from __future__ import annotations

from dataclasses import replace

from builders_lifecycle import Life, acceding, amending, digest_of, in_force, term, treaty
from comity_policy.governing import known_caveats, shared_before, sharing
from comity_policy.lifecycle import StepKind
from comity_policy.sections import AppliesTo, Under

K = StepKind


def named(document) -> str:
    return digest_of(document).hex()


def arrangement_under(umbrella: Life):
    under = Under(umbrella.document.id, f"sha384:{named(umbrella.document)}")
    return treaty(id="XAR-XBO-CT", kind="arrangement", under=under)


def umbrella() -> Life:
    return in_force(id="XAR-XBO-GSA", kind="umbrella")


# --- versions ---------------------------------------------------------------------------------------------------------


def test_what_was_shared_before_stays_under_its_version_in_todays_state():
    life = in_force()
    first, second = life.document, amending(life.document, title="Again")
    life.amended(second)
    state = life.state()
    assert sharing(state, None, {}).version.document == second
    (before,) = shared_before(named(first), state, None, {})
    assert (before.version.document, before.state.in_force) == (first, True)
    life.about = second
    life.take(K.SUSPEND, "XAR", clauses=("3",))
    (before,) = shared_before(named(first), life.state(), None, {})
    assert before.state.suspended_clauses == {"3"}
    life.take(K.SUSPEND, "XBO", clauses=())
    (before,) = shared_before(named(first), life.state(), None, {})
    assert (before.state.in_force, before.state.reason) == (False, "SUSPENDED")


def test_a_text_that_is_on_its_way_or_never_governed_permits_nothing():
    life = in_force()
    second = amending(life.document)
    life.texts = (second,)
    life.take(K.AMEND, "XAR", second)
    assert shared_before(named(second), life.state(), None, {}) == ()
    assert shared_before("00" * 48, life.state(), None, {}) == ()


def test_every_later_version_that_applies_to_what_is_held_must_be_passed_too():
    life = in_force()
    first = life.document
    second = amending(first)
    second = replace(second, amends=replace_amends(second, AppliesTo.HELD_IF_STRICTER))
    life.amended(second)
    life.about = second
    third = amending(second)
    life.amended(third)
    state = life.state()
    assert [one.version.document.version for one in shared_before(named(first), state, None, {})] == [1, 2]
    assert [one.version.document.version for one in shared_before(named(second), state, None, {})] == [2]


def replace_amends(document, applies_to):
    return type(document.amends)(document.amends.version, document.amends.digest, applies_to)


def test_an_earlier_version_binds_nobody_whom_it_did_not_bind_itself():
    life = acceding()
    first = life.document
    second = amending(first)
    life.amended(second, "XAR", "XBO")
    life.about = second
    for kind in (K.REVIEW, K.LOG_SIGN, K.ACCEDE):
        life.take(kind, "XDE")
    state = life.state()
    assert state.policy().unbound == frozenset()
    (before,) = shared_before(named(first), state, None, {})
    assert before.state.unbound == {"XDE"}


def test_an_end_ends_what_was_shared_before_as_well():
    life = in_force(duration=term(years=1))
    first = life.document
    life.amended(amending(first))
    (before,) = shared_before(named(first), life.state("2029-01-01"), None, {})
    assert (before.state.in_force, before.state.reason) == (False, "EXPIRED")


# --- umbrellas --------------------------------------------------------------------------------------------------------


def test_an_arrangement_is_decided_with_the_umbrella_it_names_and_with_no_other():
    above = umbrella()
    below = Life(arrangement_under(above)).signed()
    basis = sharing(below.state(), above.state(), {})
    assert basis.umbrella is not None
    assert basis.umbrella.digest == digest_of(above.document)
    assert sharing(below.state(), None, {}).umbrella is None
    other = in_force(id="XAR-XBO-OTHER", kind="umbrella")
    assert sharing(below.state(), other.state(), {}).umbrella is None
    assert sharing(in_force().state(), above.state(), {}).umbrella is None


def test_an_amended_umbrella_is_none_for_what_is_shared_and_stays_for_what_was():
    above = umbrella()
    below = Life(arrangement_under(above)).signed()
    above.amended(amending(above.document))
    assert sharing(below.state(), above.state(), {}).umbrella is None
    (before,) = shared_before(named(below.document), below.state(), above.state(), {})
    assert before.umbrella is not None
    assert before.umbrella.state.in_force


# --- caveats ----------------------------------------------------------------------------------------------------------


def test_only_caveats_whose_text_is_known_are_given():
    life = in_force()
    life.take(K.CAVEAT_ADD, "XAR", caveat_digest="ab" * 48)
    life.take(K.CAVEAT_ADD, "XBO", caveat_digest="cd" * 48)
    assert known_caveats(life.state(), {"ab" * 48: b"text"}) == {("XAR", "c1"): b"text"}


def test_two_bases_have_one_key_exactly_where_they_compile_to_the_same():
    life = in_force()
    plain = sharing(life.state(), None, {})
    assert plain.key == sharing(life.state("2027-06-01"), None, {}).key
    assert plain.key != sharing(life.state(), None, {("XAR", "c1"): b"text"}).key
    life.take(K.SUSPEND, "XAR", clauses=("3",))
    assert plain.key != sharing(life.state(), None, {}).key
