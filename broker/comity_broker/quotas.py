"""Quotas: what the windows of an agreement's quota clauses hold, decided and reserved where a segment is committed.

Rules in order:
1. A clause counts the reports of one direction, and their bytes as they are carried, in fixed UTC windows. Clauses of
   caveats count what is sent under this agreement. Umbrellas have none (`comity_policy.carried`): a transaction touches one
   agreement, and nobody counts over several.
2. What a window holds is read with the unit that admits, so two publishers never use the same room. Reports that are admitted
   together are decided knowing one another; where not all of them have room, each knows those admitted before it, in order.
   One reserves when it is admitted: a duplicate or a refused slot reserves nothing.
3. The window is the one that the log entry's time lies in. Where that is another than the one that was read, the segment is
   decided again.
Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from comity.errors import ConflictError, ErrorCode
from comity_broker.storage.protocol import QuotaKey, QuotaRow
from comity_policy.clauses import Quota
from comity_policy.clauses.handling import Window
from comity_policy.facts import Usage
from comity_policy.sources import Source, layers

UNUSED: Final = Usage(0, 0)


@dataclass(frozen=True, slots=True)
class QuotaRule:
    """A quota clause of a direction that a segment takes; `clause_id` as decisions write it."""

    clause_id: str
    from_party: str
    to_party: str
    window: Window

    def key(self, at_ms: int) -> QuotaKey:
        """Give the key of the window that a time lies in."""
        starts_at, _ = self.window.around(at_ms)
        return self.clause_id, self.from_party, self.to_party, str(self.window), starts_at


def quota_rules(source: Source, from_party: str, to_parties: Sequence[str]) -> tuple[QuotaRule, ...]:
    """Give the quota clauses that count what a party sends to any of these, in the order in which decisions list them."""
    return tuple(
        QuotaRule(layer.written(clause), clause.from_party, clause.to_party, clause.window)
        for layer in layers(source, from_party, to_parties)
        for clause in layer.clauses
        if isinstance(clause, Quota) and clause.from_party == from_party and clause.to_party in to_parties
    )


class Count(NamedTuple):
    """What one report counts: its bytes, towards these parties."""

    to_parties: frozenset[str]
    size: int


class Tally:
    """What the windows hold while the slots of a segment are settled one after the other.

    Raises ConflictError STATE_CHANGED where the windows at `now_ms` are not those that were `read`.
    """

    def __init__(
        self,
        rules: Sequence[QuotaRule],
        read: Collection[QuotaKey],
        known: Mapping[QuotaKey, QuotaRow],
        now_ms: int,
    ) -> None:
        self._rules = {rule: rule.key(now_ms) for rule in rules}
        if not set(self._rules.values()) <= set(read):
            raise ConflictError(
                "the window of a quota ended while this was decided",
                what_to_do="Decide again.",
                code=ErrorCode.STATE_CHANGED,
            )
        self._rows = {key: known.get(key) or QuotaRow(*key, 0, 0) for key in self._rules.values()}
        self._usage = {rule.clause_id: self._used(rule) for rule in rules}
        self._reserved: set[QuotaKey] = set()

    @property
    def usage(self) -> Mapping[str, Usage]:
        """Give what each clause's window holds now; another mapping after each reservation that changed it."""
        return self._usage

    def with_all(self, counts: Mapping[Count, int]) -> Mapping[str, Usage]:
        """Give what each window would hold with all these reports; a count says how many go the same way."""
        found: dict[str, Usage] = {}
        for rule in self._rules:
            counted = [(one.size, times) for one, times in counts.items() if rule.to_party in one.to_parties]
            before = self._usage[rule.clause_id]
            found[rule.clause_id] = Usage(
                before.reports + sum(times for _, times in counted),
                before.size + sum(size * times for size, times in counted),
            )
        return found

    def without(self, usage: Mapping[str, Usage], own: Count) -> Mapping[str, Usage]:
        """Give what the windows hold of that without one of the reports."""
        return {
            rule.clause_id: Usage(usage[rule.clause_id].reports - 1, usage[rule.clause_id].size - own.size)
            if rule.to_party in own.to_parties
            else usage[rule.clause_id]
            for rule in self._rules
        }

    def reserve(self, to_parties: Collection[str], size: int) -> None:
        """Count one admitted report of so many bytes for every direction in which it goes."""
        counted = [rule for rule in self._rules if rule.to_party in to_parties]
        for rule in counted:
            key = self._rules[rule]
            row = self._rows[key]
            self._rows[key] = row._replace(reports=row.reports + 1, size=row.size + size)
            self._reserved.add(key)
        if counted:
            self._usage = {rule.clause_id: self._used(rule) for rule in self._rules}

    @property
    def reserved(self) -> list[QuotaRow]:
        """Give the windows that changed: one row a clause and direction, however many reports came."""
        return [row for key, row in self._rows.items() if key in self._reserved]

    def _used(self, rule: QuotaRule) -> Usage:
        row = self._rows[self._rules[rule]]
        return Usage(row.reports, row.size)
