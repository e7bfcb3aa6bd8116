"""The register of a node: lines stay across processes, a number is taken once, envelopes go when their report expires."""

from dataclasses import replace

import pytest

from comity.errors import NotFoundError
from comity.node.register import AcknowledgedLine, KeptEnvelope, OpenedLine, Register, WaitingLine
from comity_policy.facts import Use
from comity_policy.readers import Lack

REPORT, LEAF = b"r" * 16, b"l" * 48
OPENED = OpenedLine(REPORT, LEAF, "XAR-XBO-1", "XBO/analyst1", "analysis", Use.READ, frozenset({0, 11}), 10)
KEPT = KeptEnvelope(REPORT, "XAR-XBO-1", 7, 5, 100, b"sealed")
LACKS = frozenset({frozenset({Lack.READER, Lack.CAVEATS}), frozenset({Lack.USE})})
WAITS = WaitingLine("default", REPORT, LEAF, "XAR-XBO-1", b"s" * 48, 3, LACKS, 10, 100)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "register.sqlite"


@pytest.fixture
def register(place):
    made = Register(place)
    yield made
    made.close()


def test_what_was_opened_is_known_to_the_next_process(register, place):
    assert not register.was_opened(REPORT, LEAF)
    register.open_report(OPENED, KEPT)
    again = Register(place)
    assert again.was_opened(REPORT, LEAF)
    assert not again.was_opened(REPORT, b"m" * 48)
    assert (again.openings(REPORT), again.envelope(REPORT)) == ((OPENED,), KEPT)
    again.close()


def test_an_envelope_stays_the_first_one_and_goes_when_its_report_expires(register):
    register.open_report(OPENED, KEPT)
    register.open_report(OPENED, KeptEnvelope(REPORT, "XAR-XBO-1", 8, 6, 100, b"another"))
    assert register.envelope(REPORT) == KEPT
    register.drop_expired(99)
    assert register.envelope(REPORT) == KEPT
    register.drop_expired(100)
    with pytest.raises(NotFoundError):
        register.envelope(REPORT)
    assert len(register.openings(REPORT)) == 2


def test_what_one_reader_acknowledged_for_one_report_counts_for_no_other(register):
    line = AcknowledgedLine(REPORT, {b"w" * 48: "9", b"v" * 48: "8"}, "XBO/analyst1", "XAR-XBO-1", b"d" * 48, 10)
    register.acknowledge(line)
    register.acknowledge(line)
    assert register.acknowledged(REPORT, "XBO/analyst1") == {b"w" * 48, b"v" * 48}
    for other in ((b"q" * 16, "XBO/analyst1"), (REPORT, "XBO/n1")):
        assert register.acknowledged(*other) == frozenset()


def test_a_number_is_taken_once_by_whichever_process_is_first(register, place):
    again = Register(place)
    numbers = [one.enter_copy(REPORT, "XAR-XBO-1", Use.COPY, "XBO/analyst1", 10) for one in (register, again)]
    assert numbers == [1, 2]
    assert register.unmade_copy(REPORT, Use.COPY, "XBO/analyst1").number == 1
    assert register.unmade_copy(REPORT, Use.TRANSLATION, "XBO/analyst1") is None
    assert register.unmade_copy(REPORT, Use.COPY, "XBO/analyst2") is None
    assert [one.make_copy(1, 11) for one in (again, register)] == [True, False]
    assert again.unmade_copy(REPORT, Use.COPY, "XBO/analyst1").number == 2
    assert [one.made_at for one in register.copies(REPORT)] == [11, None]
    again.close()


def test_what_waits_has_one_line_until_it_waits_no_more(register):
    register.wait(WAITS, "|analysis|read|", ())
    assert register.waiting("default") == (WAITS,)
    newer = replace(WAITS, segment_id=b"t" * 48, slot=0, lacks=frozenset({frozenset({Lack.READER})}), at=12)
    register.wait(newer, "XBO/analyst1 1|analysis|read|", (0, 11))
    assert (register.waiting("default"), register.waiting("archive")) == ((newer,), ())
    register.wait_no_more([newer])
    assert register.waiting("default") == ()


def test_another_report_under_the_same_id_takes_no_ones_place_among_what_waits(register):
    register.wait(WAITS, "|analysis|read|", ())
    other = replace(WAITS, leaf=b"m" * 48, agreement_id="XAR-XDE-1", segment_id=b"t" * 48)
    register.wait(other, "|analysis|read|", ())
    assert register.waiting("default") == (WAITS, other)
    register.wait_no_more([other])
    assert register.waiting("default") == (WAITS,)


def test_who_tried_and_what_was_taken_stays_until_the_report_expires(register):
    register.wait(WAITS, "|analysis|read|", ())
    register.wait(WAITS, "XBO/analyst1 1|analysis|read|", (0, 11))
    register.wait_no_more([WAITS])
    tried = {"|analysis|read|": frozenset(), "XBO/analyst1 1|analysis|read|": {0, 11}}
    assert register.tried("default", LEAF) == tried
    assert register.tried("archive", LEAF) == register.tried("default", b"m" * 48) == {}
    register.drop_expired(99)
    assert register.tried("default", LEAF) == tried
    register.drop_expired(100)
    assert register.tried("default", LEAF) == {}
