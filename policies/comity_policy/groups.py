"""Group codes (tetragraphs) in lists of parties: a versioned vocabulary of dated memberships, and their expansion.

Rules, in order:

1. Before any set operation a group code gives way to its members on the day the report was created (UTC). The file's
   digest is kept with the report (`Groups.record`), so that anybody can expand the same code again.
2. A code that is not in the file, or had no member on that day, refuses: taken for everybody it would fail open.
3. A group never names the originator twice: where the originator cannot stand (FGI, DISPLAY ONLY), its own membership and
   those already released to are left out; a party written out by hand is never left out silently.
4. The file is TOML: ``version`` and ``groups.CODE`` with ``meaning`` and ``members``: a party, the first day of its
   membership, and the first day after it where it ended. Memberships of one party in one group do not overlap.

    >>> from datetime import date
    >>> sorted(bundled().on(date(2025, 12, 31))["XSEA"]), sorted(bundled().on(date(2026, 1, 1))["XSEA"])
    (['XAR', 'XBO', 'XDE'], ['XAR', 'XBO'])
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import msgspec

from comity_policy.marking import MarkingError, is_party_code
from comity_policy.strict_toml import tables_of
from comity_policy.vocabulary import VocabularyError, digest_of

NAME: Final = "groups"
NO_GROUPS: Final[Mapping[str, frozenset[str]]] = MappingProxyType({})
_CODE = re.compile(r"[A-Z][A-Z0-9]{3,15}")
_EPOCH: Final = date(1970, 1, 1)
# Markings are few and short; a node meets the same ones all day.
_TEXTS_KEPT: Final = 256
_LISTS = ("REL TO ", "DISPLAY ONLY ", "FGI ", "JOINT ")


class _Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    party: str
    since: date
    until: date | None = None


class _Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    meaning: str
    members: list[_Member]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    groups: dict[str, _Group]


@dataclass(frozen=True, slots=True)
class Membership:
    """One party's membership from `since` to the day before `until`; None: it goes on."""

    party: str
    since: date
    until: date | None = None

    def covers(self, day: date) -> bool:
        """Say whether the party belonged to the group on that day."""
        return self.since <= day and (self.until is None or day < self.until)


@dataclass(frozen=True, slots=True)
class Groups:
    """The group codes of one version of the vocabulary: memberships and meanings by code. Immutable."""

    version: int
    digest: str
    memberships: Mapping[str, tuple[Membership, ...]]
    meanings: Mapping[str, str]

    def on(self, day: date) -> Mapping[str, frozenset[str]]:
        """Give the members of every group that had any on that day."""
        found = {
            code: frozenset(one.party for one in members if one.covers(day))
            for code, members in self.memberships.items()
        }
        return MappingProxyType({code: members for code, members in found.items() if members})

    def record(self, codes: Iterable[str], day: date) -> dict[str, str | list[str]]:
        """Give what is kept with a report whose markings named these groups: file, day and codes."""
        return {"codes": sorted(codes), "day": day.isoformat(), "digest": self.digest}


@cache
def bundled() -> Groups:
    """Give the groups of this package."""
    return read((files("comity_policy") / "vocabulary" / f"{NAME}.toml").read_bytes())


def read(data: bytes) -> Groups:
    """Give the groups the bytes of a file say; raises VocabularyError."""
    try:
        parsed = msgspec.convert(tables_of(data), _File, strict=True)
    except (ValueError, msgspec.ValidationError) as error:
        raise VocabularyError(NAME, f"vocabulary {NAME!r} is damaged: {error}") from error
    return Groups(
        version=parsed.version,
        digest=digest_of(data),
        memberships=MappingProxyType({code: _memberships(code, group) for code, group in parsed.groups.items()}),
        meanings=MappingProxyType({code: group.meaning for code, group in parsed.groups.items()}),
    )


def is_group_code(code: str) -> bool:
    """Say whether `code` is written like a group: four to sixteen capital letters and digits, a letter first."""
    return _CODE.fullmatch(code) is not None


def day_of(unix_ms: int) -> date:
    """Give the UTC day of a time in Unix milliseconds."""
    return _EPOCH + timedelta(milliseconds=unix_ms)


def expanded(
    codes: Iterable[str], members: Mapping[str, frozenset[str]], *, without: frozenset[str] = frozenset()
) -> frozenset[str]:
    """Give the parties that codes stand for; `without` is left out of what groups bring (rule 3).

    `members` are those of the day (`Groups.on`). Raises MarkingError for a group that is not in it.
    """
    found: set[str] = set()
    for code in codes:
        if not is_group_code(code):
            found.add(code)
        elif code in members:
            found |= members[code] - without
        else:
            raise MarkingError(f"unknown group {code!r}: its members on the day of the report are not known")
    return frozenset(found)


def group_codes(text: str, known: Iterable[str]) -> frozenset[str]:
    """Give the `known` group codes that stand in a party list of a banner line or portion mark."""
    return _listed(text).intersection(known)


@lru_cache(maxsize=_TEXTS_KEPT)
def _listed(text: str) -> frozenset[str]:
    parts = (part for part in text.strip("()").split("/") if part.startswith(_LISTS))
    return frozenset(code for part in parts for code in re.split(r"[\s,]+", part))


def _memberships(code: str, group: _Group) -> tuple[Membership, ...]:
    if not is_group_code(code) or is_party_code(code):
        raise VocabularyError(NAME, f"{code!r} is no group code: four to sixteen capital letters and digits")
    found = sorted(
        (Membership(one.party, one.since, one.until) for one in group.members), key=lambda one: (one.party, one.since)
    )
    for one in found:
        if not is_party_code(one.party):
            raise VocabularyError(NAME, f"{code} names {one.party!r}, which is no party code")
        if one.until is not None and one.until <= one.since:
            raise VocabularyError(NAME, f"the membership of {one.party} in {code} ends before it begins")
    for former, later in pairwise(found):
        if former.party == later.party and (former.until is None or later.since < former.until):
            raise VocabularyError(NAME, f"two memberships of {later.party} in {code} overlap")
    return tuple(found)
