"""What a decision's record states of the capabilities of its nodes, held against the key log that states them.

A broker asks its directory as it stands; by its log it may have known a moment less, so both answers of that moment are possible
(`logged_offices`). An agreement that sets no floor asks nobody, and its records say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from comity.node.logged_entries import LoggedEntry
from comity.node.logged_offices import Offices
from comity_policy.floors import sets_floor
from comity_policy.recorded import Difference, Gap, Missing, Recorded, What
from comity_policy.sources import Source


def compare_abilities(
    offices: Offices | None, entry: LoggedEntry, recorded: Recorded, source: Source | None
) -> Difference | Gap | None:
    """Give the first node of which the record states other capabilities than the key log has, or what is not here to compare."""
    if source is None or not sets_floor(source):
        return None
    if offices is None:
        return Gap(Missing.KEYS, "the key log, by which nodes stated what they can")
    size = entry.shared["key_log_size"]
    sizes = {size, min(size, offices.least_at(recorded.moment.now))}
    for (party, node), said in _stated(recorded):
        possible = {offices.directory.can(party, node, one) for one in sizes}
        if said not in possible:
            known = next(iter(possible))
            return Difference(What.FACT, f"capabilities of {party}/{node} are {_told(said)}, by the log {_told(known)}")
    return None


def with_abilities(offices: Offices | None, entry: LoggedEntry, recorded: Recorded) -> Recorded:
    """Give a decision with what its nodes had stated by the key log, where its record says nothing of it; as it is without the log."""
    if offices is None:
        return recorded
    size, directory, sender = entry.shared["key_log_size"], offices.directory, recorded.profile.originator
    moment, nodes = recorded.moment, recorded.nodes
    if moment.sender_capabilities is None:
        moment = replace(moment, sender_capabilities=directory.can(sender.party, sender.node, size))
    return replace(
        recorded,
        moment=moment,
        nodes=tuple(
            one if one.capabilities is not None else replace(one, capabilities=directory.can(one.party, one.node, size))
            for one in nodes
        ),
    )


def _stated(recorded: Recorded) -> Iterator[tuple[tuple[str, str], frozenset[str] | None]]:
    sender = recorded.profile.originator
    yield (sender.party, sender.node), recorded.moment.sender_capabilities
    for one in recorded.nodes:
        yield (one.party, one.node), one.capabilities


def _told(words: frozenset[str] | None) -> str:
    return "not stated" if words is None else ", ".join(sorted(words)) or "none"
