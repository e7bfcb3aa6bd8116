"""Who was late, as a replay works it out entry by entry, against the fold of duties over hand-overs and answers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from builders_replay_facts import ACKNOWLEDGE, DAY, MINUTE, FactsLog
from comity.node.logged_life import LoggedLife
from comity.node.logged_texts import Texts
from comity.node.replaying import IDENTICAL
from comity_policy.facts import Precedence
from comity_policy.lifecycle import State
from comity_policy.obligations import Answer, Handover, duties, stopped_by
from comity_policy.recorded import What

WAITS = st.sampled_from((1, MINUTE // 2, 2 * MINUTE, DAY, 4 * DAY, 4 * DAY + 1))
ACTIONS = st.lists(
    st.tuples(WAITS, st.sampled_from(("send", "hand over", "answer", "end")), st.integers(0, 3)), max_size=12
)


class Told:
    """A log to which things happen, and the same as dated facts."""

    def __init__(self) -> None:
        self.log = FactsLog(ACKNOWLEDGE)
        self.handovers: list[Handover] = []
        self.answers: list[Answer] = []
        self.changed_ms = 0
        self.sent_ms: list[int] = []
        life = LoggedLife(Texts([self.log.text]))
        for entry in self.log.entries:
            life.take(entry)
        state = life.state(len(self.log.entries), self.log.at_ms)
        assert isinstance(state, State)
        self.state = state

    def overdue(self) -> frozenset[str]:
        now = self.log.at_ms
        return stopped_by(self.state.at(now), duties(self.state, (), self.handovers, self.answers, now), "XBO")

    def send(self, overdue: frozenset[str]) -> None:
        self.sent_ms.append(self.log.at_ms)
        self.log.submit(overdue=overdue)

    def act(self, action: str, number: int) -> None:
        handed = {one.report for one in self.handovers}
        if number >= len(self.sent_ms) or (action != "hand over" and str(number) not in handed):
            return
        self.changed_ms = self.log.at_ms
        if action == "hand over":
            self.log.deliver(number)
            self.handovers.append(
                Handover(
                    report=str(number),
                    leaf=str(number),
                    entry=0,
                    admitted_at=self.sent_ms[number],
                    originator="XAR",
                    recipient="XBO",
                    precedence=Precedence.ROUTINE,
                    at_ms=self.log.at_ms,
                )
            )
            return
        self.log.acknowledge(number) if action == "answer" else self.log.expire(number)
        self.answers.append(Answer(str(number), "XBO", self.log.at_ms))


def happened(actions: list[tuple[int, str, int]]) -> Told:
    told = Told()
    told.send(frozenset())
    for waited, action, number in actions:
        told.log.at_ms += waited
        if action == "send":
            told.send(told.overdue())
        else:
            told.act(action, number)
    return told


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_who_was_late_comes_out_the_same(actions: list[tuple[int, str, int]]) -> None:
    told = happened(actions)
    told.log.at_ms += 2 * MINUTE
    told.send(told.overdue())
    for done in told.log.replayed():
        assert (list(done.lines()), set(+done.counts())) == ([], {IDENTICAL})


@settings(max_examples=40, deadline=None)
@given(ACTIONS)
def test_the_contrary_is_never_the_same_once_all_has_been_followed(actions: list[tuple[int, str, int]]) -> None:
    told = happened(actions)
    told.log.at_ms += 2 * MINUTE
    told.send(frozenset({ACKNOWLEDGE}) - told.overdue())
    done = told.log.replayed()[-1]
    assert What.FACT in {difference.what for one in done.told for difference in one.differences}
