"""Before or after a revocation: what a signature by a revoked key still means (design 03, "Keys and trust").

The order of entries in the agreement's log decides, never a clock. A report's time is compared with the claimed time of
compromise only, and is the log's time of its entry, never a field that the sender wrote.

    >>> verdict(7, None, 1_000, 0)
    <Verdict.VALID: 'valid'>
    >>> verdict(7, 9, 1_000, 900)
    <Verdict.CONTESTED: 'contested'>
    >>> verdict(11, 9, 1_000, 0)
    <Verdict.INVALID: 'invalid'>
"""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """VALID; CONTESTED: not opened any more, stays evidence, both times shown; INVALID: entered after the revocation."""

    VALID = "valid"
    CONTESTED = "contested"
    INVALID = "invalid"


def verdict(
    entered_index: int, revoked_index: int | None, entered_at_ms: int | None, compromised_at_ms: int
) -> Verdict:
    """Give the verdict on what entered the agreement's log at `entered_index`.

    `revoked_index` is the entry KEY_REVOKED of the key in the same log, None where there is none. `entered_at_ms` is the
    log's time of the entry in Unix milliseconds, None where nothing vouches for a time yet. `compromised_at_ms` is the
    revocation's claim, 0 where it claims none.
    """
    if revoked_index is None:
        return Verdict.VALID
    if entered_index >= revoked_index:
        return Verdict.INVALID
    if compromised_at_ms == 0:
        return Verdict.VALID
    if entered_at_ms is None or entered_at_ms >= compromised_at_ms:
        return Verdict.CONTESTED
    return Verdict.VALID
