"""How much may be handed over now: reports and bytes, of which ROUTINE leaves an eighth to what is more urgent (design 04).

The window is the most that was ever free at once in this session; what the consumer grants beyond a bound of ours is not
counted. Class 0 needs no credit, nor 5 in an exercise. A segment goes as long as any byte of credit is left, so that a small window is never stuck.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from comity.envelope.answering import is_control, precedence_of

ROUTINE_CLASS: Final = 4
REPORTS_LIMIT: Final = 1 << 16
BYTES_LIMIT: Final = 256 << 20
_RESERVE: Final = 8


@dataclass(slots=True)
class Credits:
    """What is free. Both may fall below 0 for a moment: bytes by one segment, and where class 0 is counted by the other side."""

    reports: int = 0
    size: int = 0
    _window_reports: int = 0
    _window_size: int = 0

    def grant(self, reports: int, size: int) -> None:
        """Take a grant of the consumer's."""
        self.reports = min(self.reports + reports, REPORTS_LIMIT)
        self.size = min(self.size + size, BYTES_LIMIT)
        self._window_reports = max(self._window_reports, self.reports)
        self._window_size = max(self._window_size, self.size)

    def free(self, transport_class: int) -> int:
        """Give how many reports of a class may be handed over now; 0 where no byte of credit is left for it."""
        if is_control(transport_class):
            return REPORTS_LIMIT
        kept = 1 if precedence_of(transport_class) >= ROUTINE_CLASS else 0
        size = self.size - kept * (self._window_size // _RESERVE)
        return max(0, self.reports - kept * (self._window_reports // _RESERVE)) if size > 0 else 0

    def window(self, transport_class: int) -> int:
        """Give the most reports of a class that the consumer has at once."""
        kept = 1 if precedence_of(transport_class) >= ROUTINE_CLASS else 0
        return self._window_reports - kept * (self._window_reports // _RESERVE)

    def use(self, transport_class: int, reports: int, size: int) -> None:
        """Count what is handed over; negative numbers give back."""
        if not is_control(transport_class):
            self.reports -= reports
            self.size -= size
