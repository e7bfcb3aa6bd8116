"""Latencies as an HDR histogram keeps them: from 1 microsecond to an hour, to three digits, whatever their number.

With an open loop a latency counts from the moment something was due, not from when a sender that was late got to it: a system that
stalls is charged for everything that waited meanwhile.
"""

from __future__ import annotations

from hdrh.histogram import HdrHistogram

_HOUR_US = 3_600_000_000
_DIGITS = 3


class Latencies:
    """Collects latencies, given in seconds."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, _HOUR_US, _DIGITS)

    def add(self, seconds: float) -> None:
        self._histogram.record_value(min(max(round(seconds * 1e6), 1), _HOUR_US))

    @property
    def summary_us(self) -> dict[str, float]:
        """Count and percentiles, in microseconds; count 0 alone where nothing was added."""
        if not (count := self._histogram.get_total_count()):
            return {"count": 0}
        at = self._histogram.get_value_at_percentile
        cuts = {f"p{cut:g}": at(cut) for cut in (50, 90, 99, 99.9)}
        return {"count": count, **cuts, "max": self._histogram.get_max_value()}
