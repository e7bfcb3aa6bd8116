"""Reports given to `send_many` in groups of 16, each waited for until its last receipt.

The value is the rate, end to end, of one caller who gives the next group when the one before has its receipts. The context has the same of
16 callers of one node at once, and an open loop: groups fall due at the target's rate, whatever became of those before, and their
latencies count from when they were due until their last receipt.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

from exchanging import WARM, common, exchanging, split_us
from results import A_SECOND, Row

TARGET = 5_000.0
GROUP, CALLERS = 16, 16


def end_to_end_16(folder: Path, reports: int, rounds: int) -> dict[str, Row]:
    """Measure rounds of so many reports each."""
    one_caller = [f"{reports}/{GROUP}x1"] * rounds
    others = [f"{reports}/{GROUP}x{CALLERS}", f"{reports}/{GROUP}@{TARGET:.0f}"]
    with exchanging(folder, [*one_caller, *others], warm=min(WARM, reports)) as exchange:
        found = [exchange.round() for _ in one_caller]
        together, open_loop = exchange.round(), exchange.round()
    context: dict[str, object] = {
        "group": GROUP,
        **common(found),
        "by_round": [round(one.rate, 1) for one in found],
        "cpu_us": split_us(found),
        "group_us": found[-1].groups_us,
        "callers_16": {
            "reports_a_second": round(together.rate, 1),
            "cpu_us": split_us([together]),
            "group_us": together.groups_us,
        },
        "open_loop": {
            "offered_reports_a_second": TARGET,
            "reports_a_second": round(open_loop.rate, 1),
            "cpu_us": split_us([open_loop]),
            "group_us": open_loop.groups_us,
        },
    }
    return {"end_to_end_16": Row(median(one.rate for one in found), A_SECOND, TARGET, context)}
