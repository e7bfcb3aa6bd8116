"""Times as other formats write them (RFC 3339, xs:dateTime with a zone) to Unix milliseconds and back.

Rules: a zone is required; what is finer than a millisecond is cut off; the years are 1970 to 9999.

    >>> written(parsed("2026-11-24T13:00:00+01:00"))
    '2026-11-24T12:00:00Z'
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from comity_policy.marking import MarkingError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = 253_402_300_799_999
_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def parsed(text: str) -> int:
    """Give Unix milliseconds of a time with a zone, e.g. ``2026-11-24T12:00:00Z``; raises MarkingError."""
    moment = None
    if _FORM.fullmatch(text):
        try:
            moment = (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
        except ValueError:
            moment = None
    if moment is None or not 0 <= moment <= LATEST:
        raise MarkingError(f"{text[:40]!r} is no time with a zone, such as 2026-11-24T12:00:00Z")
    return moment


def written(unix_ms: int) -> str:
    """Give a time in UTC, with milliseconds where there are any; raises MarkingError beyond the year 9999."""
    if not 0 <= unix_ms <= LATEST:
        raise MarkingError(f"{unix_ms} is no time in Unix milliseconds of the years 1970 to 9999")
    moment = _EPOCH + timedelta(milliseconds=unix_ms)
    return moment.isoformat(timespec="milliseconds" if unix_ms % 1000 else "seconds").replace("+00:00", "Z")
