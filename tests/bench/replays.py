"""How fast a log is replayed: 10,000 mixed decisions, permitted and refused for many reasons, read already and decided again.

A record is a decision of one report. As a broker writes them, those of one profile, moment and answer stand together, here five; the
context has also what it costs where each stands by itself, as under a quota, and with other choices of the second opinion.
The target is the design's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from results import RECORDS, Row

from builders_replay import MixedLog, text
from builders_replay_life import life
from comity.node.logged_entries import LoggedEntry
from comity.node.replaying import IDENTICAL, LogReplay
from comity_policy.replay import Second

TARGET = 100_000
SEGMENTS, FEW, SECONDS_FOR_ALL = 100, 4, 1.0
_ROUNDS = 3


def replay_decisions(seconds: float) -> dict[str, Row]:
    """Measure a log of 10,000 reports some times over, a short one where there are few seconds."""
    segments = SEGMENTS if seconds >= SECONDS_FOR_ALL else FEW
    together, alone = (MixedLog.of(segments=segments, seed=1, together=one) for one in (True, False))
    entries = (*life(text(), together.state), *together.entries)
    context: dict[str, object] = {
        "reports": sum(entry.shared["slots"] for entry in together.entries),
        "recorded_decisions": sum(len(entry.own["XAR"]["decisions"]) for entry in together.entries),
        "by_second_opinion": {
            one.value: round(_a_second(together, entries, one)) for one in (Second.NONE, Second.FIRST)
        },
        "each_by_itself": round(_a_second(alone, (*life(text(), alone.state), *alone.entries), Second.ANSWER)),
    }
    return {"replay_decisions": Row(_a_second(together, entries, Second.ANSWER), RECORDS, TARGET, context)}


def _a_second(log: MixedLog, entries: Sequence[LoggedEntry], second: Second) -> float:
    """Give the best of some rounds, in processor time: it never waits, and what neighbours take is no cost of it."""
    best = 0.0
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
