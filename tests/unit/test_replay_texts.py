"""Replay of an agreement that changed, or stands under another: what was not presented is a gap by name, and the rest goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache

import pytest

from builders_life import amended
from builders_replay import PASSING, differences, logged, one_decision, text
from builders_replay_life import IN_FORCE, Life, read
from comity.errors import VerificationError
from comity.node.decision_records import Evidence
from comity.node.logged_entries import LoggedEntry
from comity.node.logged_life import LoggedLife
from comity.node.logged_texts import Texts
from comity.node.replaying import AS_PRESENTED, IDENTICAL, NOT_REPLAYED, LogReplay, Replayed
from comity.texts import agreement_digest
from comity_broker.auditlog import events
from comity_broker.auditlog.bodies import BROKER
from comity_broker.auditlog.submissions import DecidedUnder
from comity_policy.clauses import Quota
from comity_policy.companions import Umbrella
from comity_policy.document import load
from comity_policy.engine import compile_agreement
from comity_policy.facts import AgreementState, Point, Usage
from comity_policy.recorded import What
from comity_policy.steps import StepKind
from comity_policy.table_facts import build
from comity_policy.vocabulary import bundled

MINUTE = 60_000
ARRANGEMENT, UMBRELLA = "xar-xbo-ct-arrangement", "xar-xbo-gsa"
ORIGIN = "hub.arland.example/agreement/XAR-XBO-GSA-1/00"
SUSPENDED = AgreementState(in_force=False, reason="SUSPENDED")


def decided(index: int, words: bytes, umbrella: Umbrella | None = None, after_ms: int = 0) -> LoggedEntry:
    """Give one report, decided by a text in force and under an umbrella as it is said to stand."""
    digest = agreement_digest(words)
    facts = build(load(words), digest, {"from": "XAR", "to": "XBO", **PASSING}, Point.ADMISSION)
    compiled = compile_agreement(load(words), digest, IN_FORCE, bundled(), umbrella=umbrella)
    made = DecidedUnder.of(compiled.source, bundled().digests, {})
    quotas = (one for one in load(words).clauses if isinstance(one, Quota) and one.from_party == "XAR")
    windows = {one.id: Usage(0, 0) for one in quotas}
    moment = replace(facts.moment, now=facts.moment.now + after_ms, size=100, usage=windows, log_available=True)
    decision = one_decision(facts.profile, facts.times, facts.node, moment, compiled)
    refusals = [] if decision.result.permit else [(0, 2)]
    manifests = {0: Evidence(bytes(48), facts.profile, facts.times)}
    return logged([decision], index, 1, refusals, made_under=made, manifests=manifests, of=words)


def replayed(entries: list[LoggedEntry], *texts: bytes, **options: object) -> list[Replayed]:
    replaying = LogReplay(Texts(texts), **options)
    return [done for entry in entries if (done := replaying.take(entry)) is not None]


# a second version


@cache
def two_versions() -> tuple[bytes, bytes, list[LoggedEntry]]:
    """Give a first and a second text, and a log with a report decided under each."""
    first = text()
    second = amended(first)
    life = Life(first).signed()
    life.entries.append(decided(len(life.entries), first))
    life.text = second
    life.take(StepKind.AMEND, "XAR")
    for kind in (StepKind.REVIEW, StepKind.SIGN):
        for party in life.parties:
            life.take(kind, party)
    life.entries.append(decided(len(life.entries), second))
    return first, second, life.entries


def test_what_each_version_decided_is_replayed_under_it():
    first, second, entries = two_versions()
    assert [+done.counts() for done in replayed(entries, first, second)] == [Counter({IDENTICAL: 1})] * 2


def test_a_version_that_was_not_presented_is_a_gap_and_what_came_before_it_is_replayed():
    first, second, entries = two_versions()
    before, after = replayed(entries, first)
    assert (+before.counts(), +after.counts()) == (Counter({IDENTICAL: 1}), Counter({NOT_REPLAYED: 1}))
    assert f"the text sha384:{agreement_digest(second).hex()[:16]}... that entry" in " ".join(after.gaps())


def test_the_first_text_that_was_not_presented_is_a_gap_and_later_decisions_are_taken_again():
    _, second, entries = two_versions()
    before, after = replayed(entries, second)
    assert (+before.counts(), +after.counts()) == (Counter({NOT_REPLAYED: 1}), Counter({AS_PRESENTED: 1}))
    assert "that the log was opened with" in " ".join(after.gaps())


def test_a_step_that_was_not_presented_leaves_the_state_open():
    first, second, entries = two_versions()
    kept = list(entries)
    place = next(entry.log_index for entry in kept if entry.kind == "AGREEMENT_AMENDED")
    kept[place] = LoggedEntry(place, "AGREEMENT_AMENDED", {}, {})
    before, after = replayed(kept, first, second)
    assert (+before.counts(), +after.counts()) == (Counter({IDENTICAL: 1}), Counter({AS_PRESENTED: 1}))
    assert f"entry: a body of entry {place}, AGREEMENT_AMENDED" in " ".join(after.gaps())


def test_a_log_with_an_entry_left_out_is_not_replayed():
    first, second, entries = two_versions()
    with pytest.raises(VerificationError, match="entry 3 is not there"):
        replayed([*entries[:3], *entries[4:]], first, second)


# an umbrella


class Arranged:
    """An arrangement's log and its umbrella's, as they were written; steps of the umbrella are taken at `at_ms`."""

    def __init__(self) -> None:
        self.above = Life(text(UMBRELLA)).signed()
        self.above.completed()
        self.life = Life(text(ARRANGEMENT)).signed()
        self.now_ms = decided(0, text(ARRANGEMENT)).shared["time"]

    def name(self) -> None:
        """Have the arrangement's log name the umbrella's newest entry."""
        event = events.umbrella_changed(
            time=self.life.at_ms,
            caller=BROKER,
            state_epoch=1,
            umbrella="XAR-XBO-GSA-1",
            umbrella_origin=ORIGIN,
            umbrella_log_index=len(self.above.entries) - 1,
        )
        self.life.entries.append(read(event, len(self.life.entries)))

    def suspend(self, before_ms: int = 0) -> None:
        self.above.at_ms = self.now_ms - before_ms
        self.above.take(StepKind.SUSPEND, "XBO", reason="Consultations.")

    def decide(self, state: AgreementState | None = IN_FORCE) -> None:
        """Add a report that is recorded as decided under the umbrella in that state; None: under none."""
        words = text(UMBRELLA)
        above = None if state is None else Umbrella(load(words), agreement_digest(words), state)
        self.life.entries.append(decided(len(self.life.entries), text(ARRANGEMENT), above))

    def replayed(self, *, presented: bool = True, texts: tuple[str, ...] = (ARRANGEMENT, UMBRELLA)) -> Replayed:
        held = [text(one) for one in texts]
        above = LoggedLife(Texts(held))
        for entry in self.above.entries:
            above.take(entry)
        umbrellas = {ORIGIN: above} if presented else {}
        return replayed(self.life.entries, *held, umbrellas=umbrellas)[-1]


def arranged(*, suspended: bool = False) -> Arranged:
    made = Arranged()
    if suspended:
        made.suspend()
    made.name()
    return made


@pytest.mark.parametrize("suspended", [False, True])
def test_an_arrangement_is_replayed_under_the_umbrella_that_its_own_log_amounts_to(suspended):
    made = arranged(suspended=suspended)
    made.decide(SUSPENDED if suspended else IN_FORCE)
    done = made.replayed()
    assert (+done.counts(), list(done.lines())) == (Counter({IDENTICAL: 1}), [])


@pytest.mark.parametrize(
    ("suspended", "state", "words"),
    [
        (True, IN_FORCE, "in_force yes, by the log's steps no"),
        (False, SUSPENDED, "in_force no, by the log's steps yes"),
        (False, None, "decided under none, by the umbrella's log under XAR-XBO-GSA-1"),
    ],
)
def test_an_umbrella_that_stood_otherwise_by_its_own_log_is_named(suspended, state, words):
    made = arranged(suspended=suspended)
    made.decide(state)
    done = made.replayed()
    assert differences(done) == {What.UMBRELLA}
    assert words in " ".join(done.lines())


def test_an_umbrella_that_the_log_had_not_named_yet_is_none():
    made = Arranged()
    made.decide()
    assert differences(made.replayed()) == {What.UMBRELLA}


def test_a_suspension_of_the_umbrella_that_was_left_out_for_long_is_named():
    made = arranged()
    made.suspend(2 * MINUTE)
    made.decide()
    assert "of the umbrella's log had stood there" in " ".join(made.replayed().lines())
    made = arranged()
    made.suspend(MINUTE // 2)
    made.decide()
    assert differences(made.replayed()) == set()


def test_an_umbrellas_log_that_was_not_presented_is_a_gap():
    made = arranged()
    made.decide()
    done = made.replayed(presented=False)
    assert +done.counts() == Counter({AS_PRESENTED: 1})
    assert f"umbrella: the umbrella's log {ORIGIN} as far as entry" in " ".join(done.gaps())


def test_an_umbrellas_log_that_is_shorter_than_what_was_named_is_a_gap():
    made = arranged()
    made.decide()
    del made.above.entries[-1]
    assert +made.replayed().counts() == Counter({AS_PRESENTED: 1})


def test_an_umbrellas_text_that_was_not_presented_is_a_gap():
    made = arranged()
    made.decide()
    done = made.replayed(texts=(ARRANGEMENT,))
    assert +done.counts() == Counter({NOT_REPLAYED: 1})
    assert "of XAR-XBO-GSA-1, which was above it" in " ".join(done.gaps())
