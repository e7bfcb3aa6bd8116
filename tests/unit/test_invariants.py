"""What the parties hold an agreement to: it loads strictly, is told in words, and is proved, or refuted by a permitted case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_agreements import IN_FORCE, Example, example, read
from comity_policy.analysis.proofs import AGREED, Outcome, broken_promises, prove_agreed
from comity_policy.check import check
from comity_policy.check_finding import Severity
from comity_policy.document import DocumentError, load
from comity_policy.engine import compile_agreement
from comity_policy.invariants import invariant_gloss
from comity_policy.lowering import Source
from comity_policy.mutants import dropped
from comity_policy.vocabulary import bundled

CT, ARRANGEMENT, SEA, CERT = "xar-xbo-ct", "xar-xbo-ct-arrangement", "xar-xbo-xde-sea", "xar-xde-cert"


def held_to(body: str, name: str = CT) -> Source:
    """Give an example that is held to one more thing, and to nothing else of its own."""
    made: Example = example(name)
    text = read(f"{name}.toml").decode().rstrip() + f'\n\n[[invariant]]\nid = "more"\n{body}\n'
    document = load(text.encode())
    document = replace(document, invariants=tuple(one for one in document.invariants if one.id == "more"))
    return compile_agreement(document, made.digest, IN_FORCE, bundled(), umbrella=made.umbrella).source


def outcome(source: Source) -> Outcome:
    (proof,) = (one for one in prove_agreed(source) if one.clause_id == "more")
    assert proof.invariant == AGREED
    if proof.counterexample is not None:
        assert proof.counterexample.decided_by(source).permit
    return proof.outcome


HELD = {
    "a subject nobody granted": (CT, 'kind = "never-to"\nparty = "XBO"\ncategories = ["cyber", "military"]'),
    "a subject granted the other way": (CT, 'kind = "never-to"\nparty = "XAR"\ncategories = ["arms-trafficking"]'),
    "the ceiling": (CT, 'kind = "never-above"\nfrom = "XAR"\nlevel = "SECRET"'),
    "above the ceiling": (CT, 'kind = "never-above"\nfrom = "XBO"\nlevel = "SECRET"'),
    "nothing lets it go on": (CT, 'kind = "never-onward"\nfrom = "XAR"'),
    "the purposes": (CT, 'kind = "only-for"\npurposes = ["counter-terrorism", "threat-to-life", "investigation"]'),
    "the longest keeping": (CT, 'kind = "never-longer"\nlongest = { days = 30 }'),
    "special categories": (ARRANGEMENT, 'kind = "never-personal-data"\nsort = "SPECIAL"'),
    "two officers": (ARRANGEMENT, 'kind = "always-approved"\nfrom = "XAR"\nlevel = "SECRET"\nofficers = 2'),
    "one of two officers": (ARRANGEMENT, 'kind = "always-approved"\nfrom = "XAR"\nlevel = "TOP-SECRET"\nofficers = 1'),
}
BROKEN = {
    "a granted subject": (CT, 'kind = "never-to"\nparty = "XBO"\ncategories = ["arms-trafficking"]'),
    "a subject below a granted one": (CT, 'kind = "never-to"\nparty = "XAR"\ncategories = ["foreign-fighters"]'),
    "below the ceiling": (CT, 'kind = "never-above"\nfrom = "XAR"\nlevel = "CONFIDENTIAL"'),
    "passed on by consent": (SEA, 'kind = "never-onward"\nfrom = "XDE"\nbut_warnings = true'),
    "one purpose of two": (CT, 'kind = "only-for"\npurposes = ["counter-terrorism"]'),
    "a minute less": (CT, 'kind = "never-longer"\nlongest = { days = 29, hours = 23, minutes = 59 }'),
    "personal data at all": (ARRANGEMENT, 'kind = "never-personal-data"\nsort = "ANY"'),
    "special categories where no clause speaks of them": (CT, 'kind = "never-personal-data"\nsort = "SPECIAL"'),
    "three officers": (ARRANGEMENT, 'kind = "always-approved"\nfrom = "XAR"\nlevel = "SECRET"\nofficers = 3'),
    "a level below": (ARRANGEMENT, 'kind = "always-approved"\nfrom = "XAR"\nlevel = "CONFIDENTIAL"\nofficers = 1'),
    "the other party's": (ARRANGEMENT, 'kind = "always-approved"\nfrom = "XBO"\nlevel = "DUVERNE"\nofficers = 2'),
}


@pytest.mark.parametrize(("name", "body"), HELD.values(), ids=HELD.keys())
def test_what_the_clauses_keep_is_proved(name: str, body: str) -> None:
    assert outcome(held_to(body, name)) is Outcome.PROVED


@pytest.mark.parametrize(("name", "body"), BROKEN.values(), ids=BROKEN.keys())
def test_what_the_clauses_do_not_keep_is_refuted_by_a_case_that_is_permitted(name: str, body: str) -> None:
    assert outcome(held_to(body, name)) is Outcome.REFUTED


def test_an_arrangement_is_held_to_what_its_umbrella_promises() -> None:
    made = example(ARRANGEMENT)
    names = [one.clause_id for one in prove_agreed(made.source())]
    assert names[-2:] == ["XAR-XBO-GSA-1/no-top-secret-of-arland", "XAR-XBO-GSA-1/no-top-secret-of-borovia"]
    without_ceiling = replace(made.source(), document=dropped(made.document, "2"))
    refuted = {one.clause_id for one in prove_agreed(without_ceiling) if one.outcome is Outcome.REFUTED}
    assert refuted == {"XAR-XBO-GSA-1/no-top-secret-of-arland", "XAR-XBO-GSA-1/no-top-secret-of-borovia"}


def test_what_is_not_kept_is_an_error_with_its_case() -> None:
    (found,) = broken_promises(held_to('kind = "never-longer"\nlongest = { days = 29 }'))
    assert found.severity is Severity.ERROR
    assert found.message.startswith("invariant more does not hold, this is permitted all the same: ")
    assert list(broken_promises(held_to('kind = "never-longer"\nlongest = { days = 30 }'))) == []


def test_an_invariant_decides_nothing() -> None:
    source = held_to('kind = "never-to"\nparty = "XBO"\ncategories = ["terrorism"]')
    (proof,) = prove_agreed(source)
    assert proof.counterexample is not None
    assert proof.counterexample.decided_by(source).permit


def test_the_check_tells_each_invariant() -> None:
    told = [one.message for one in check(example(CERT).document, bundled()) if "invariant" in one.message]
    assert len(told) == len(example(CERT).document.invariants)
    assert (
        "invariant two-weeks, which decides nothing and is proved: Nothing ever goes that is valid for longer"
        in told[1]
    )


FAULTS = {
    "an unknown kind": ('kind = "never-ever"', "kind", "unknown invariant kind 'never-ever'"),
    "a field of another kind": ('kind = "only-for"\npurposes = ["investigation"]\nlevel = "SECRET"', "level", "unknown"),
    "a stranger": ('kind = "never-to"\nparty = "XDE"\ncategories = ["cyber"]', "party", "no party"),
    "no category": ('kind = "never-to"\nparty = "XBO"\ncategories = []', "categories", "is empty"),
    "an unknown category": ('kind = "never-to"\nparty = "XBO"\ncategories = ["gossip"]', "categories[0]", "unknown"),
    "an unknown purpose": ('kind = "only-for"\npurposes = ["gossip"]', "purposes[0]", "unknown"),
    "a level of nobody": ('kind = "never-above"\nfrom = "XAR"\nlevel = "COSMIC"', "level", "is no level of XAR"),
    "no officer": ('kind = "always-approved"\nfrom = "XAR"\nlevel = "SECRET"\nofficers = 0', "officers", "1 to 16"),
    "no time": ('kind = "never-longer"\nlongest = { days = 0 }', "longest", "positive"),
    "another sort": ('kind = "never-personal-data"\nsort = "SOME"', "sort", "Invalid enum value"),
    "a name twice": ('kind = "never-onward"\nfrom = "XAR"\n[[invariant]]\nid = "more"\nkind = "never-onward"\nfrom = "XAR"', "id", "there already"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "place", "problem"), FAULTS.values(), ids=FAULTS.keys())
def test_what_an_invariant_cannot_say_does_not_load(body: str, place: str, problem: str) -> None:
    with pytest.raises(DocumentError, match=problem) as caught:
        held_to(body)
    assert caught.value.path.startswith("invariant[")
    assert caught.value.path.endswith(place)


def test_a_name_is_short_and_plain_and_there_are_not_too_many() -> None:
    text = read(f"{CT}.toml").decode()
    one = '\n[[invariant]]\nid = "{}"\nkind = "never-onward"\nfrom = "XAR"\n'
    with pytest.raises(DocumentError, match="must be 1 to 63"):
        load((text + one.format("Not This")).encode())
    many = "".join(one.format(f"n{number}") for number in range(33))
    with pytest.raises(DocumentError, match="at most 32"):
        load((text + many).encode())


KINDS = st.sampled_from(
    ["never-to", "never-above", "never-onward", "only-for", "never-personal-data", "never-longer", "x"]
)
FIELDS = st.dictionaries(
    st.sampled_from(["party", "categories", "from", "level", "purposes", "sort", "but_warnings", "longest"]),
    st.sampled_from(['"XAR"', '"SECRET"', '["terrorism"]', '["investigation"]', '"ANY"', "true", "{ days = 3 }", "[]"]),
)


@given(KINDS, FIELDS)
def test_whatever_is_written_loads_with_a_gloss_or_is_refused_at_its_place(kind: str, fields: dict[str, str]) -> None:
    body = "".join(f"{name} = {value}\n" for name, value in fields.items())
    text = read(f"{CT}.toml").decode() + f'\n[[invariant]]\nid = "more"\nkind = "{kind}"\n{body}'
    place, glosses = "", []
    try:
        glosses = [invariant_gloss(one) for one in load(text.encode()).invariants]
    except DocumentError as error:
        place = error.path
    assert place.startswith("invariant[0]") or [one[-1] for one in glosses] == ["."]
