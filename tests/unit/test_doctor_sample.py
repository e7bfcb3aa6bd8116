"""The sample by which the way to a partner is examined: the least that an agreement grants, for that partner alone."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

import comity_policy
from comity.node.doctor_peer import sample_of
from comity_policy.clauses import Scope
from comity_policy.document import load

EXAMPLES = [
    path
    for path in sorted(Path(comity_policy.__file__).with_name("examples").glob("*.toml"))
    if not path.name.endswith((".test.toml", ".caveat.toml"))
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_for_one_partner_and_of_the_lowest_level(path):
    document = load(path.read_bytes())
    for own, peer in permutations(sorted(document.parties), 2):
        grants = [one for one in document.clauses if isinstance(one, Scope)]
        granted = [one for one in grants if (one.from_party, one.to_party) == (own, peer)]
        tables = [one for one in document.equivalences if (one.from_party, one.to_party) == (own, peer)]
        sample = sample_of((document,), own, peer)
        assert (sample is None) == (not granted or not tables)
        if sample is not None:
            assert [one.party for one in sample.addressees] == [peer]
            assert sample.categories[0] in granted[0].categories
            assert sample.marking.text == f"{tables[0].levels[0]}//REL TO {', '.join(sorted((own, peer)))}"


def test_what_an_arrangement_leaves_to_its_umbrella_is_taken_from_there():
    named = {path.stem: load(path.read_bytes()) for path in EXAMPLES}
    whole = named["xar-xbo-ct"]
    above = replace(whole, clauses=())
    below = replace(whole, equivalences=())
    assert sample_of((below,), "XAR", "XBO") is None
    assert sample_of((below, above), "XAR", "XBO") == sample_of((whole,), "XAR", "XBO")
