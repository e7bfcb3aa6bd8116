"""Steps of an agreement's life: which version governs by them (docs/verification.md, `governing`).

Rules in order: the first version is the text that was proposed or countered last. Each later one names the version before it, and enters
into force by the last act that its rule needs, of all whom the one before binds. Whom that still binds is not followed here: a version
governs no earlier than when all did who were bound and gave no notice, and surely from when all did who signed the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from comity.verify.records import require

_BRINGING: Final = ("propose", "counter", "amend", "notes")
_LEAVING: Final = ("notice", "withdraw", "object-renewal")


class _Version:
    """One version: who signed it, notified its completion and was received, whom it bound first, and its entry into force (ms)."""

    def __init__(self, document: dict[str, Any], *, annex: bool) -> None:
        self.before = str(document.get("amends", {}).get("digest", "")).removeprefix("sha384:")
        self.entry, self.parties, self.annex = document["entry_into_force"], document["parties"].keys(), annex
        self.needs_receipt = self.entry["rule"] == "after-later-receipt" and not annex
        self.signed, self.bound = set[str](), frozenset[str]()
        self.notified, self.received = dict[str, str](), dict[str, int]()
        self.not_before: int | None = None
        self.surely_from: int | None = None

    @property
    def minimum(self) -> int:
        """Give how many parties a first version needs."""
        return int(self.entry.get("minimum", len(self.parties)))

    def enters(self, counted: frozenset[str], at: int) -> int:
        """Give when it enters into force by an act of that time, the last of these parties' that it needed."""
        if self.annex or not self.entry.keys() & {"at", "offset"}:
            return at
        if "at" in self.entry:
            return max(at, int(self.entry["at"].timestamp()) * 1000)
        event = max(self.received[party] for party in counted) if self.needs_receipt else at
        return max(at, _effect(event, self.entry["offset"], self.entry.get("zone", "UTC")))


class Versions:
    """The versions of one agreement by the digests of their texts, as its steps bring them forward in the log's order."""

    def __init__(self) -> None:
        self._versions: dict[str, _Version] = {}
        self._on_its_way, self._replaced, self._logged, self.left = "", set[str](), set[str](), set[str]()

    def continued(self) -> None:
        """Take that the log goes on after a restore: nobody has confirmed that yet."""
        self._logged = set()

    def take(self, word: str, fields: dict[str, Any], digest: str, at: int, document: dict[str, Any] | None) -> None:
        """Take a step of that digest and time; `document` is the text it names, where it is here."""
        text, party = str(fields["agreement_digest"]), str(fields["party"])
        if word in _BRINGING and not (word == "notes" and text == self._on_its_way):
            self._bring(text, document, annex=word == "notes")
        self._logged |= {party} if word in ("log-opened", "log-confirmed") else set()
        self.left |= {party} if word in _LEAVING else set()
        version = self._versions.get(text)
        if version is None:
            return
        version.signed |= {party} if word in ("sign", "accede", "notes") else set()
        if word == "notify-completion":
            version.notified[digest] = party
        elif word == "receive" and fields["names"] in version.notified:
            version.received.setdefault(version.notified[fields["names"]], at)
        for one in self._versions.values():
            self._settle(one, at)

    def _bring(self, text: str, document: dict[str, Any] | None, *, annex: bool) -> None:
        """Put a text on the table, which begins with nothing; what was on its way and bound nobody is there no more."""
        before = self._versions.get(self._on_its_way)
        if before is not None and before.surely_from is None:
            self._replaced.add(self._on_its_way)
            del self._versions[self._on_its_way]
        self._on_its_way = text
        self._replaced.discard(text)
        if document is not None and text not in self._versions:
            self._versions[text] = _Version(document, annex=annex)

    def _settle(self, one: _Version, at: int) -> None:
        counted = frozenset(one.signed & one.received.keys() if one.needs_receipt else one.signed) & self._logged
        before = self._versions.get(one.before)
        if one.before and before is None:
            return  # what it follows is not here
        least = len(counted) >= (2 if before else one.minimum)
        if one.not_before is None and least and (before is None or counted >= before.bound - self.left):
            one.bound, one.not_before = counted, one.enters(counted, at)
        if one.surely_from is None and least and (before is None or counted >= before.signed):
            one.surely_from = one.enters(counted, at)

    def check(self, text: str, since: int, until: int, *, in_force: bool) -> None:
        """Check that a text may govern what is decided between these times; raises FormError. `in_force`: it is said to bind then."""
        require(text not in self._replaced, "the text is one that another took the place of")
        version = self._versions.get(text)
        if version is None:
            return
        entered = version.not_before if version.before else 0
        require(entered is not None and entered <= until, "the text was not in force yet")
        later = (one for one in self._versions.values() if text in self._below(one))
        stale = any(one.surely_from is not None and one.surely_from <= since for one in later)
        require(not (stale and in_force), "a later version was in force")

    def opened(self, text: str) -> bool:
        """Say whether as many parties have signed the terms of the log as the first version under that text needs."""
        version = self._versions.get(text)
        first = [self._versions.get(below) for below in self._below(version)][-1:] if version else []
        needed = first[0] if first else version
        return needed is None or len(self._logged & needed.parties) >= needed.minimum

    def _below(self, version: _Version) -> Iterator[str]:
        """Give the texts that a version follows, the newest first."""
        seen: _Version | None = version
        for _ in self._versions:
            if seen is None or not seen.before:
                return
            yield seen.before
            seen = self._versions.get(seen.before)


def _effect(event: int, offset: dict[str, int], zone: str) -> int:
    """Give when what happened at a time has its effect: the day so many days, or the first day so many months, later begins."""
    where = UTC if zone == "UTC" else ZoneInfo(zone)
    day = datetime.fromtimestamp(event // 1000, where).date()
    if "first_day_of_month" in offset:
        months = day.year * 12 + day.month - 1 + offset["first_day_of_month"]
        day = date(months // 12, months % 12 + 1, 1)
    else:
        day += timedelta(days=offset["days"])
    return int(datetime.combine(day, time(), where).timestamp()) * 1000
