"""What is wrong in a document: where, and what. Shared by the modules that say what must hold in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from comity_policy.calendar import LATEST
from comity_policy.toml_lines import Path

AGREEMENT_ID = re.compile(r"[A-Z0-9][A-Z0-9-]{1,63}")
DIGEST = re.compile(r"sha384:[0-9a-f]{96}")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that must not be in a document: where, and what."""

    path: Path
    problem: str


def digest_faults(digest: str, path: Path) -> Iterator[Fault]:
    """Give the fault of what is written as a digest and is none."""
    if not DIGEST.fullmatch(digest):
        yield Fault(path, "must be sha384: and 96 hexadecimal digits in lower case")


def time_faults(at: datetime, path: Path) -> Iterator[Fault]:
    """Give the fault of a moment that is not in UTC, no whole second, or out of range."""
    if at.utcoffset() != timedelta(0):
        yield Fault(path, "must be in UTC, written with Z")
    elif at.microsecond or not datetime(1970, 1, 1, tzinfo=UTC) <= at < LATEST:
        yield Fault(path, "must be a whole second from 1970 on, before the year 8000")
