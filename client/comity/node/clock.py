"""The clock of a node's machine, which everything here takes as an argument."""

from __future__ import annotations

import time
from collections.abc import Callable

NowMs = Callable[[], int]


def wall_ms() -> int:
    """Give the wall clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000
