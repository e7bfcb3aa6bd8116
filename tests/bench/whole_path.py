"""The whole path, as fast as it goes (`exchanging` says what is in it): one stream of reports.

After some to warm up, the same number is sent a few times; the value is the median. Then an open loop: reports fall due at half the
target's rate, and their latencies count from when they were due until the receiving application has them in hand. Beside the targets
stand those of the first version, a floor that nothing may fall below.
"""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median

from exchanging import WARM, common, exchanging, split_us
from results import A_SECOND, US_A_REPORT, Row
from sender_process import REPORT_BYTES

END_TO_END, END_TO_END_FLOOR = 10_000.0, 4_000.0
CPU_US, CPU_US_FLOOR = 200.0, 500.0
OFFERED = END_TO_END / 2


def whole_path(folder: Path, reports: int, rounds: int) -> dict[str, Row]:
    """Measure rounds of so many reports each."""
    load = os.getloadavg()[0]
    words = [*[str(reports)] * rounds, f"{reports}@{OFFERED:.0f}"]
    with exchanging(folder, words, warm=min(WARM, reports)) as exchange:
        found = [exchange.round() for _ in range(rounds)]
        open_loop = exchange.round()
    rates = [one.rate for one in found]
    cpu = [sum(one.cpu_us.values()) for one in found]
    return {
        "end_to_end": Row(
            median(rates),
            A_SECOND,
            END_TO_END,
            {
                "floor_target": END_TO_END_FLOOR,
                **common(found),
                "report_bytes": REPORT_BYTES,
                "load_before": round(load, 2),
                "by_round": [round(rate, 1) for rate in rates],
                "to_receipt": round(median(one.reports / one.seconds_to_receipt for one in found), 1),
                "cpu_us": split_us(found),
                "open_loop": {
                    "offered_reports_a_second": OFFERED,
                    "reports_a_second": round(open_loop.rate, 1),
                    "cpu_us": split_us([open_loop]),
                    "due_to_in_hand_us": open_loop.in_hand_us,
                },
            },
        ),
        "cpu_per_report": Row(
            median(cpu),
            US_A_REPORT,
            CPU_US,
            {
                "floor_target": CPU_US_FLOOR,
                "split": split_us(found),
                "by_round": [round(one, 1) for one in cpu],
                "reports": reports,
            },
        ),
    }
