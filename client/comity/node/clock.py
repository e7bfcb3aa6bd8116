"""The clock of a node's machine, which everything here takes as an argument.

What is decided for many reports in a row is decided at one reading of the clock, `steady`: the same facts at the same moment have
the same answer, which is then worked out once. No two clocks of an exchange agree to a few milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

NowMs = Callable[[], int]

STEADY_MS: Final = 20


def wall_ms() -> int:
    """Give the wall clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000


def steady(now_ms: NowMs) -> NowMs:
    """Give a clock that keeps a reading for less than 20 ms; a step of the clock, either way, shows at once."""
    kept = 0

    def read() -> int:
        nonlocal kept
        now = now_ms()
        if not 0 <= now - kept < STEADY_MS:
            kept = now
        return kept

    return read
