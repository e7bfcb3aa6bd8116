"""A national caveat on a version that it does not read under: closed for what its party shares, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_lifecycle import amending, in_force
from builders_replay import IN_FORCE, digest, document, logged, one_decision, replayed, text
from builders_replay_life import Life
from comity.envelope.evidence import SlotCode
from comity.node.logged_texts import Texts
from comity.node.replaying import IDENTICAL
from comity.texts import caveat_digest
from comity_broker.auditlog.submissions import DecidedUnder
from comity_policy import reference
from comity_policy.caveat import binding, load_caveat, read_caveat, unread
from comity_policy.clauses import Closed, Exclude
from comity_policy.document import DocumentError, load
from comity_policy.engine import compile_agreement, decide_report
from comity_policy.facts import Point
from comity_policy.governing import sharing
from comity_policy.steps import StepKind
from comity_policy.table_facts import build
from comity_policy.vocabulary import bundled

SALT = b"s" * 32
EARLIER = text().replace(b'"SECRET"', b'"GEHEIM"')
HEADING = f"""
[caveat]
party = "XAR"
id = "LESS"
agreement = "XAR-XBO-CT-1"
digest = "sha384:{"0" * 96}"
partner_text = "A national limitation applies."
incoming = %s

[[clause]]
id = "1"
text = {{ en = "x" }}
"""
CEILING = """kind = "ceiling"
limits = [{ from = "XAR", to = "XBO", level = "GEHEIM" }, { from = "XBO", to = "XAR", level = "GEHEIM" }]
"""
APPROVALS = """kind = "dual-control"
from = [{ party = "XAR", level = "GEHEIM" }]
officers = 2
"""


def caveat(clause: str = CEILING, *, incoming: bool = False) -> bytes:
    return ((HEADING % str(incoming).lower()) + clause).encode()


def decided(closed, sender: str = "XAR", point: Point = Point.ADMISSION):
    """Give what engine and reference, which agree, say of a report that the agreement permits."""
    receiver = "XBO" if sender == "XAR" else "XAR"
    row = {"from": sender, "to": receiver, "level": "RESTRICTED", "categories": ["terrorism"]}
    row |= {"purpose": "counter-terrorism", "releasable_to": ["XAR", "XBO"]}
    facts = build(document(), digest(), row, point)
    compiled = compile_agreement(document(), digest(), IN_FORCE, bundled(), caveats=[closed])
    given = facts.profile, facts.times, [facts.node], facts.moment
    found = decide_report(compiled, *given)
    second = reference.decide_report(document(), digest(), IN_FORCE, bundled(), *given, caveats=(closed,))
    assert found == second
    return facts, compiled, found


def refused(closed, sender: str = "XAR", point: Point = Point.ADMISSION) -> set[str]:
    found = decided(closed, sender, point)[2]
    return {one.clause_id for told in found.violations.values() for one in told}


def closed(data: bytes):
    return binding(read_caveat(data), document(), digest())


def test_a_caveat_reads_as_it_says_where_it_does_and_is_closed_where_not():
    data = caveat()
    before = load(EARLIER)
    said = load_caveat(data, before)
    assert unread(said, before) == ""
    assert binding(said, before, bytes(48)).clauses == said.clauses
    with pytest.raises(DocumentError):
        load_caveat(data, document())
    assert "limits[0].level" in unread(said, document())
    assert closed(data).digest == f"sha384:{digest().hex()}"
    assert [type(one) for one in closed(data).clauses] == [Closed]
    assert [type(one) for one in closed(caveat(APPROVALS)).clauses] == [Exclude]


def test_a_closed_caveat_stops_what_its_party_sends_and_nothing_of_the_others():
    name = "caveat/XAR/LESS/does-not-read"
    for point in (Point.EGRESS, Point.ADMISSION):
        assert refused(closed(caveat()), "XAR", point) == {name}
        assert refused(closed(caveat()), "XBO", point) == set()
        assert refused(closed(caveat(incoming=True)), "XBO", point) == {name}


def test_a_caveat_that_decides_at_opening_is_closed_there_too():
    name = "caveat/XAR/LESS/does-not-read"
    assert refused(closed(caveat(incoming=True)), "XBO", Point.OPENING) == {name}
    assert refused(closed(caveat()), "XBO", Point.OPENING) == set()
    assert refused(closed(caveat(APPROVALS, incoming=True)), "XBO", Point.OPENING) == set()


def test_a_caveat_that_does_not_read_leaves_the_state_what_the_steps_say():
    life = in_force()
    life.amended(amending(life.document))
    data = caveat().replace(b"XAR-XBO-CT-1", life.document.id.encode())
    basis = sharing(life.state(), None, {("XAR", "LESS"): data})
    source = basis.compiled(bundled()).source
    assert source.state == life.state().policy()
    assert [one.id for one in source.caveats[0].clauses] == ["does-not-read"]


def test_what_a_closed_caveat_refused_is_replayed_as_it_was_decided():
    """The caveat reads on the text that was proposed first, and not on the one that was countered with and is in force."""
    facts, compiled, found = decided(closed(caveat()))
    life = Life(EARLIER)
    life.take(StepKind.PROPOSE, "XAR")
    life.caveat("XAR", "LESS", caveat(), SALT)
    life.text = text()
    life.take(StepKind.COUNTER, "XBO")
    life.signed()
    name = caveat_digest(SALT, caveat())
    under = DecidedUnder.of(compiled.source, bundled().digests, {("XAR", "LESS"): name.hex()})
    decision = replace(one_decision(facts.profile, facts.times, facts.node, facts.moment), result=found)
    entry = logged([decision], len(life.entries), 1, [(0, SlotCode.POLICY)], made_under=under)
    done = replayed(entry, Texts([text(), EARLIER]), before=life.entries)
    assert +done.counts() == {IDENTICAL: 1}, list(done.lines())
