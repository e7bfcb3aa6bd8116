"""What the windows of quotas hold by a log's own admissions, held against what its decision records say they held.

Rules in order:
1. An admitted report counts, with the size that its decision records, in every window of a quota that leads from its sender to a
   party that was permitted something of it; the window is the one that the entry's time lies in (`comity_broker.quotas`).
2. Reports of one segment know one another: each the others that were admitted, where all were that had room before; else, in
   order, those admitted before it. Which of the two it was the record does not say, so it must be one of them throughout.
3. A party reads of its own caveats' windows, never of another's; a recipient's party reads of those that lead to it.
4. A segment whose decisions for a direction are not here leaves the windows of that direction unknown until they end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import Any, Final, NamedTuple

from comity.node.logged_entries import LoggedEntry, slots_in
from comity_policy.clauses import Quota
from comity_policy.clauses.handling import Window
from comity_policy.facts import Usage
from comity_policy.recorded import Difference, Gap, Missing, Recorded, What
from comity_policy.sources import Source, layers

_CAVEAT: Final = "caveat/"
_WAYS: Final = (0, 1)
Key = tuple[str, str, str, Window, int]
Found = Difference | Gap | None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A quota clause of a direction; `clause_id` as decisions write it."""

    clause_id: str
    from_party: str
    to_party: str
    window: Window

    def key(self, at_ms: int) -> Key:
        starts_at, _ = self.window.around(at_ms)
        return self.clause_id, self.from_party, self.to_party, self.window, starts_at

    def read_by(self, reader: str) -> bool:
        """Say whether that party reads of the window."""
        if self.clause_id.startswith(_CAVEAT):
            return self.clause_id.startswith(f"{_CAVEAT}{reader}/")
        return reader in (self.from_party, self.to_party)


def _rules(source: Source, from_party: str, to_parties: Sequence[str]) -> list[_Rule]:
    return [
        _Rule(layer.written(clause), clause.from_party, clause.to_party, clause.window)
        for layer in layers(source, from_party, to_parties)
        for clause in layer.clauses
        if isinstance(clause, Quota) and clause.from_party == from_party and clause.to_party in to_parties
    ]


class _Counted(NamedTuple):
    """An admitted report of the segment at hand: the parties that may have something of it, and its size in bytes."""

    to_parties: frozenset[str]
    size: int


class _Reserved:
    """What the admitted reports of a segment, by their slots, take of one window."""

    def __init__(self, counted: Mapping[int, _Counted], to_party: str) -> None:
        self._sizes = {slot: one.size for slot, one in sorted(counted.items()) if to_party in one.to_parties}
        self._slots = list(self._sizes)
        self._until = [0, *accumulate(self._sizes.values())]

    @property
    def whole(self) -> Usage:
        """Give what all of them take."""
        return Usage(len(self._slots), self._until[-1])

    def others(self, slot: int) -> Usage:
        """Give what all but one take."""
        return Usage(len(self._slots) - (slot in self._sizes), self._until[-1] - self._sizes.get(slot, 0))

    def before(self, slot: int) -> Usage:
        """Give what those before one take."""
        count = bisect_left(self._slots, slot)
        return Usage(count, self._until[count])


@dataclass(slots=True)
class LoggedWindows:
    """The windows of one log, and the segment at hand: `begin` it, `compare` its decisions, `end` it."""

    _held: dict[Key, Usage] = field(default_factory=dict)
    _lost: dict[tuple[str, str], tuple[int, Gap]] = field(default_factory=dict)
    _unseen: Gap | None = None
    _lost_whole: tuple[int, Gap] | None = None
    _counted: Mapping[int, _Counted] = field(default_factory=dict)
    _reserved: dict[str, _Reserved] = field(default_factory=dict)
    _ways: set[int] = field(default_factory=set)
    _rules: dict[tuple[str, ...], list[_Rule]] = field(default_factory=dict)

    def pass_by(self, entry: LoggedEntry) -> None:
        """Take note of an entry's time: what was not seen before lies no later."""
        if self._unseen is not None and entry.shared:
            self._lost_whole, self._unseen = (entry.shared["time"], self._unseen), None

    def miss(self, entry: LoggedEntry) -> None:
        """Take note of a segment that cannot be counted: its shared body is not here, or what it was decided under."""
        self._unseen = entry.unseen

    def begin(self, entry: LoggedEntry, source: Source, decisions: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Take a segment's decisions, by the party whose body has them, where a quota may count them."""
        shared, sender, parties = entry.shared, entry.shared["actor"]["party"], tuple(source.document.parties)
        self._counted, self._reserved, self._ways, self._rules = {}, {}, set(_WAYS), {}
        if not _rules(source, sender, parties):
            return
        ended = {slot for slot, _ in chain(shared["duplicates"], shared["refusals"])}
        found: dict[int, _Counted] = {}
        for said in chain.from_iterable(decisions.values()):
            to = frozenset(one["party"] for one in said["recipients"] if one["portions"])
            for slot in slots_in(said["slots"]):
                if slot not in ended:
                    known = found[slot].to_parties if slot in found else frozenset[str]()
                    found[slot] = _Counted(known | to, said["moment"]["size"] or 0)
        self._counted = found
        if sender not in decisions:
            for party in set(parties) - decisions.keys():
                self._lost[sender, party] = shared["time"], entry.unseen

    def compare(
        self, entry: LoggedEntry, reader: str, ranges: Iterable[Iterable[int]], recorded: Recorded, source: Source
    ) -> Found:
        """Hold what a decision of the segment says that windows held, as its reader was told, against what they did."""
        sender, at_ms, said = entry.shared["actor"]["party"], entry.shared["time"], recorded.moment.usage
        to_parties = tuple(dict.fromkeys(one.party for one in recorded.profile.addressees))
        if to_parties not in self._rules:
            self._rules[to_parties] = _rules(source, sender, to_parties)
        rules = [rule for rule in self._rules[to_parties] if rule.read_by(reader)]
        if not rules and said is not None and not said:
            return None
        named = {rule.clause_id for rule in rules}
        unread = _unread(recorded, reader, (said or {}).keys() - named)
        if said is None or (said.keys() ^ named) - unread:
            told = ", ".join(sorted(said or {})) or "no quota"
            return Difference(
                What.FACT, f"usage tells of {told}, by the agreement of {', '.join(sorted(named)) or 'none'}"
            )
        for rule in rules:
            lost = self._lost_since(rule, rule.window.around(at_ms)[0])
            if lost is not None:
                return lost
        if rules:
            for slot in slots_in(ranges):
                each = [(rule, said[rule.clause_id], self._known(rule, at_ms, slot)) for rule in rules]
                self._ways &= {way for way in _WAYS if all(one[1] == one[2][way] for one in each)}
                if not self._ways:
                    rule, recorded_as, held = next((one for one in each if one[1] not in one[2]), each[0])
                    return Difference(What.FACT, _words(rule, recorded_as, held[0]))
        return Gap(Missing.TEXT, f"the text of {', '.join(sorted(unread))}") if unread else None

    def end(self, entry: LoggedEntry, source: Source) -> None:
        """Count what the segment reserves."""
        sender, at_ms = entry.shared["actor"]["party"], entry.shared["time"]
        to_parties = sorted(frozenset[str]().union(*(one.to_parties for one in self._counted.values())))
        for rule in _rules(source, sender, to_parties):
            self._held[rule.key(at_ms)] = _sum(self._used(rule, at_ms), self._of(rule).whole)

    def _of(self, rule: _Rule) -> _Reserved:
        if rule.to_party not in self._reserved:
            self._reserved[rule.to_party] = _Reserved(self._counted, rule.to_party)
        return self._reserved[rule.to_party]

    def _used(self, rule: _Rule, at_ms: int) -> Usage:
        return self._held.get(rule.key(at_ms), Usage(0, 0))

    def _known(self, rule: _Rule, at_ms: int, slot: int) -> tuple[Usage, Usage]:
        """Give what a slot's decision may know of a window: with all others of the segment, or with those before it."""
        used, reserved = self._used(rule, at_ms), self._of(rule)
        return _sum(used, reserved.others(slot)), _sum(used, reserved.before(slot))

    def _lost_since(self, rule: _Rule, starts_at: int) -> Gap | None:
        if self._unseen is not None:
            return self._unseen
        for lost in (self._lost_whole, self._lost.get((rule.from_party, rule.to_party))):
            if lost is not None and lost[0] >= starts_at:
                return lost[1]
        return None


def _unread(recorded: Recorded, reader: str, extra: Iterable[str]) -> frozenset[str]:
    """Give those windows that a caveat of the reader's own may name, whose text is not here."""
    own = tuple(f"{_CAVEAT}{party}/{name}/" for party, name, _ in recorded.under.caveats if party == reader)
    return frozenset(one for one in extra if one.startswith(own))


def _sum(used: Usage, more: Usage) -> Usage:
    return Usage(used.reports + more.reports, used.size + more.size)


def _words(rule: _Rule, said: Usage, held: Usage) -> str:
    return (
        f"usage of {rule.clause_id} is {said.reports} reports and {said.size} bytes, "
        f"by the log {held.reports} reports and {held.size} bytes"
    )
