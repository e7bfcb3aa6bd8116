"""How many refusals a node may cause: beyond that it waits, so that a flood of them costs neither log nor disk.

A bucket of `per_second` refusals a node, filled evenly. A refused slot is a refusal: one segment may have more of them than the
bucket holds, and is owed for then, ten seconds of filling at most. Who has none left is told when to come back; until then what it
sends is looked at only to find what is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from comity.errors import ErrorCode, UnreachableError

_NODES: Final = 4096
_DEBT_SECONDS: Final = 10


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


@dataclass(slots=True)
class RefusalBudget:
    """The buckets; `monotonic` in seconds."""

    per_second: int
    monotonic: Callable[[], float]
    _buckets: dict[str, _Bucket] = field(default_factory=dict)

    def check(self, node: str) -> None:
        """Raise UnreachableError RATE_LIMITED for a node that has no refusal left."""
        left = self._filled(node).left
        if left < 1:
            raise UnreachableError(
                f"{node} was refused more than {self.per_second} times a second",
                what_to_do="Look at the refusals: the same bytes are refused again.",
                code=ErrorCode.RATE_LIMITED,
                retry_after_seconds=max(0.1, (1 - left) / self.per_second),
            )

    def spend(self, node: str, count: int = 1) -> None:
        """Count refusals of a node."""
        bucket = self._filled(node)
        bucket.left = max(-float(_DEBT_SECONDS * self.per_second), bucket.left - count)

    def _filled(self, node: str) -> _Bucket:
        now = self.monotonic()
        bucket = self._buckets.get(node)
        if bucket is None:
            if len(self._buckets) >= _NODES:
                self._buckets.clear()
            bucket = self._buckets[node] = _Bucket(float(self.per_second), now)
        bucket.left = min(float(self.per_second), bucket.left + (now - bucket.at) * self.per_second)
        bucket.at = now
        return bucket
