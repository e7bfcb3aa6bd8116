"""How fast a log is replayed: 10,000 mixed decisions, permitted and refused for many reasons, read already and decided again.

A record is a decision of one report. A broker writes those of one profile, moment and answer together, so that what a decision costs
depends on how many these are. The row has full segments, of 240 reports with 20 different facts; the context has what it is where
fewer stand together, down to each by itself as under a quota, and with other choices of the second opinion. The target is the design's.
"""

from __future__ import annotations

import time

from results import RECORDS, Row

from builders_replay import MixedLog, text
from builders_replay_life import life
from comity.node.replaying import IDENTICAL, LogReplay
from comity_policy.replay import Second

TARGET = 100_000
SEGMENTS, FEW, SECONDS_FOR_ALL = 42, 2, 1.0
# Reports of the same facts in a segment: a segment is full with these.
EACH, FEWER = 12, 5
_ROUNDS = 7


def replay_decisions(seconds: float) -> dict[str, Row]:
    """Measure a log of 10,000 reports some times over, a short one where there are few seconds."""
    segments = SEGMENTS if seconds >= SECONDS_FOR_ALL else FEW
    log = MixedLog.of(segments=segments, seed=1, each=EACH)
    fewer = MixedLog.of(segments=segments, seed=1, each=FEWER)
    alone = MixedLog.of(segments=max(segments // 4, 1), seed=1, each=FEWER, together=False)
    context: dict[str, object] = {
        "reports": sum(entry.shared["slots"] for entry in log.entries),
        "recorded_decisions": sum(len(entry.own["XAR"]["decisions"]) for entry in log.entries),
        "by_second_opinion": {one.value: round(_a_second(log, one)) for one in (Second.NONE, Second.FIRST)},
        "of_5_together": round(_a_second(fewer, Second.ANSWER)),
        "each_by_itself": round(_a_second(alone, Second.ANSWER)),
    }
    return {"replay_decisions": Row(_a_second(log, Second.ANSWER), RECORDS, TARGET, context)}


def _a_second(log: MixedLog, second: Second) -> float:
    """Give the best of some rounds, in processor time: it never waits, and what neighbours take is no cost of it."""
    best, entries = 0.0, (*life(text(), log.state), *log.entries)
    for _ in range(_ROUNDS):
        replaying = LogReplay(log.texts(), second=second)
        began = time.process_time()
        done = [found for entry in entries if (found := replaying.take(entry)) is not None]
        took = time.process_time() - began
        records = sum(len(one.told) for one in done)
        assert sum(one.counts()[IDENTICAL] for one in done) == records, (
            "a decision came out otherwise than it was taken"
        )
        best = max(best, records / took)
    return best
