"""Times as people and JSON write them: RFC 3339 with Z (design 01, "Exit codes"). Unix milliseconds inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from comity.errors import UsageError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def rfc3339(at_ms: int) -> str:
    """Give a Unix millisecond as RFC 3339 with Z, always to the millisecond; one beyond the calendar as a number.

    A column of them lines up and sorts as text. What a peer signed as a time may lie anywhere: showing it never fails.
    """
    try:
        moment = _EPOCH + at_ms * _MILLISECOND
    except OverflowError:
        return f"{at_ms} ms"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(moment: datetime) -> int:
    """Give an aware time as Unix ms."""
    return (moment - _EPOCH) // _MILLISECOND


def moment_of(text: str) -> int:
    """Read a time people write, RFC 3339 or a date (its first moment in UTC), as Unix ms; raises UsageError."""
    try:
        parsed = datetime.fromisoformat(text)
        return milliseconds(parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is no time", what_to_do="Write 2027-01-31 or 2027-01-31T12:00:00Z.") from error
