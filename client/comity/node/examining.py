"""Examining an installation: findings that each say what was looked at, how it stands, and what to do (`comity doctor`).

Rules in order:
1. Each look is one finding or several: ok, warn (it works, and will not for long, or is worth a look), or fail (it does not work).
2. What cannot be looked at because something before it failed is left out: the failure that is there is what to mend.
3. Looking changes nothing but the own mirror, which is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from comity.errors import ComityError, ErrorCode


class Standing(StrEnum):
    """How something stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it stands, in words, what to do about it, and the code of what fails."""

    check: str
    standing: Standing
    found: str
    what_to_do: str = ""
    code: ErrorCode | None = None


@dataclass(slots=True)
class Findings:
    """The findings so far, in their order."""

    all: list[Finding] = field(default_factory=list)

    def ok(self, check: str, found: str) -> None:
        """Take that something is as it should be."""
        self.all.append(Finding(check, Standing.OK, found))

    def warn(self, check: str, found: str, what_to_do: str) -> None:
        """Take that something is worth a look."""
        self.all.append(Finding(check, Standing.WARN, found, what_to_do))

    def fail(self, check: str, found: str, what_to_do: str, code: ErrorCode) -> None:
        """Take that something does not work."""
        self.all.append(Finding(check, Standing.FAIL, found, what_to_do, code))

    def failed(self, check: str, error: ComityError) -> None:
        """Take what a look raised."""
        self.fail(check, error.message, error.what_to_do, error.code)

    @contextmanager
    def looking(self, check: str) -> Iterator[None]:
        """Look within: what is raised is a finding."""
        try:
            yield
        except ComityError as error:
            self.failed(check, error)

    def has_failed(self, checks: Iterable[str]) -> bool:
        """Say whether one of these failed."""
        named = set(checks)
        return any(one.check in named and one.standing is Standing.FAIL for one in self.all)

    @property
    def first_failure(self) -> Finding | None:
        """Give what is to be mended first; None where nothing fails."""
        return next((one for one in self.all if one.standing is Standing.FAIL), None)


def until(ends_ms: int, now_ms: int) -> str:
    """Give how long something lasts, in days or hours."""
    hours = (ends_ms - now_ms) // 3_600_000
    return f"{hours // 24} days" if hours >= 48 else f"{max(hours, 0)} hours"
