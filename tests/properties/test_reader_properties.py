"""Whoever opens, with whatever: no portion is shown whose clause is unmet, and what waits opens to somebody.

The reference interpreter, which was written from the table of semantics alone, is the judge of each portion that is shown.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from builders_engine import (
    AT_OPENING,
    CLAUSES,
    DAY,
    DIGEST,
    MOMENT,
    NODE,
    NOW,
    PROFILE,
    TEXT,
    TIMES,
    VOCABULARIES,
    document_of,
)
from comity.node.permitting import Occasion, Opened, permitted
from comity_policy import clauses as kinds
from comity_policy.engine import compile_agreement
from comity_policy.facts import Addressee, AgreementState, PortionMarking, Reader, Use
from comity_policy.gloss import gloss
from comity_policy.marking import Label
from comity_policy.readers import Lack, UseCaveat
from comity_policy.reference import decide

IN_FORCE = AgreementState(in_force=True)
SUSPENDED = AgreementState(in_force=False, reason="SUSPENDED")
ROW = kinds.LevelRow(party="XAR", level="CONFIDENTIAL")
ASKING = (
    kinds.NeedToKnow(
        id="20", text=TEXT, rows=(kinds.NeedRow(party="XBO", offices=("desk",), officers=("XBO/officer1",)),)
    ),
    kinds.Clearance(id="21", text=TEXT, officer_from=(ROW,)),
    kinds.Reproduction(
        id="22",
        text=TEXT,
        rows=(
            kinds.CopyRow(party="XAR", level="CONFIDENTIAL", copies=kinds.Copies.REGISTERED),
            kinds.CopyRow(party="XAR", level="SECRET", copies=kinds.Copies.CONSENT),
        ),
    ),
    kinds.UseRule(
        id="23", text=TEXT, caveat={"en": "Only so."}, evidence=kinds.Consent.CONSENT, action_on=kinds.Consent.FREE
    ),
    kinds.Relabel(id="24", text=TEXT, notice=kinds.Span(days=1), lapse_years=30),
    kinds.Survives(id="25", text=TEXT, clauses=("23",)),
)
PORTIONS = tuple(
    PortionMarking(Label("XAR", level, releasable_to=frozenset({"XAR", "XBO"})))
    for level in ("OPEN", "CONFIDENTIAL", "SECRET")
)
CAVEAT = UseCaveat("23", "Only so.", ASKING[3].text["en"], gloss(ASKING[3], document_of((*CLAUSES, ASKING[3]))))
OTHER_WORDS = replace(CAVEAT, caveat="Only otherwise.")
READERS = st.builds(
    Reader,
    officer=st.sampled_from(("XBO/officer1", "XBO/officer2")),
    offices=st.sampled_from((frozenset[str](), frozenset({"desk"}), frozenset({"registry"}))),
    communities=st.just(frozenset[str]()),
    clearance_level=st.sampled_from((None, "OTEVRENE", "DUVERNE", "TAJNE", "NO-SUCH")),
    clearance_until=st.sampled_from((None, NOW, NOW + DAY)),
)
OPENINGS = st.builds(
    Opened,
    purposes=st.sampled_from(((), ("counter-terrorism",), ("border",), ("border", "counter-terrorism"))),
    use=st.sampled_from(Use),
    reader=st.none() | READERS,
    acknowledged=st.sampled_from((frozenset[bytes](), frozenset({CAVEAT.digest}), frozenset({OTHER_WORDS.digest}))),
    registered=st.booleans(),
    held=st.booleans(),
)


@given(
    opened=OPENINGS,
    asking=st.sets(st.sampled_from(range(len(ASKING)))),
    state=st.sampled_from((IN_FORCE, IN_FORCE, SUSPENDED)),
    addressee=st.sampled_from(("", "XBO/officer1")),
)
def test_what_is_shown_the_reference_permits_and_what_waits_opens_to_somebody(opened, asking, state, addressee):
    document = document_of((*CLAUSES, *(ASKING[number] for number in sorted(asking))))
    profile = replace(PROFILE, portions=PORTIONS, addressees=(Addressee("XBO", officer=addressee),))
    node = replace(NODE, officers=frozenset({"XBO/officer1"}))
    base = replace(MOMENT, **AT_OPENING)
    states = (IN_FORCE, state)
    moments = [opened.onto(base, profile.purpose, [CAVEAT])] * 2
    moments[1] = replace(moments[1], held=opened.held)
    compiled = [compile_agreement(document, DIGEST, one, VOCABULARIES) for one in states]
    found = permitted(
        [Occasion(one, node, moment) for one, moment in zip(compiled, moments, strict=True)], profile, TIMES, range(3)
    )
    for index in range(3):
        answers = [
            decide(document, DIGEST, one, VOCABULARIES, profile, TIMES, index, node, moment).permit
            for one, moment in zip(states, moments, strict=True)
        ]
        assert (index in found.portions) is all(answers)
    assert not set(found.portions) & set(found.waiting)
    assert all(found.waiting.values())
    lacks = frozenset[Lack]().union(*found.waiting.values())
    # Whatever is lacking is something that this opening did not bring as it should.
    if Lack.PURPOSE in lacks:
        assert profile.purpose not in opened.purposes
    if Lack.CAVEATS in lacks:
        assert CAVEAT.digest not in opened.acknowledged
    if Lack.USE in lacks:
        assert opened.use is not Use.READ
    # An officer of the desk with the highest clearance who brings all of it opens everything that waits.
    best = Reader("XBO/officer1", frozenset({"desk"}), frozenset(), "PRISNE", NOW + DAY)
    brought = frozenset({CAVEAT.digest})
    right = replace(opened, purposes=(profile.purpose,), use=Use.READ, reader=best, acknowledged=brought)
    again = [right.onto(base, profile.purpose, [CAVEAT])] * 2
    again[1] = replace(again[1], held=opened.held)
    opens = permitted(
        [Occasion(one, node, moment) for one, moment in zip(compiled, again, strict=True)], profile, TIMES, range(3)
    )
    assert set(found.waiting) <= set(opens.portions)
    assert set(opens.portions) == {*found.portions, *found.waiting}
