"""Who was in office by the key log, as a replay asks it: of a bundle's own key log, or of the one that a mirror folded.

A broker asks its directory as it stands; by its log it may have known a moment less (`ORDER_MS`), so both answers of that moment are
possible. Signatures are not looked at twice: `comity.verify` and the mirror hold the key log to its parties' roots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from comity.errors import ComityError
from comity.identity.bodies import PartyCard
from comity.identity.directory import KeyDirectory
from comity.identity.names import incarnation_of
from comity.identity.offices import in_office
from comity.node.directory import STATEMENTS, KeyLog
from comity.statement import from_json
from comity.verify.bundle import Log
from comity.verify.chain import Chain
from comity_policy.acts import Act


@dataclass(frozen=True, slots=True)
class Offices:
    """A folded key log; `least_at` says how many entries it had at least at a time (Unix ms) of another log of its broker."""

    directory: KeyDirectory
    least_at: Callable[[int], int]

    def held(self, act: Act, key: bytes, now_ms: int, log_size: int) -> frozenset[bool]:
        """Say whether who took an act, with the key of that fingerprint, was in office: as of `log_size` entries, or a moment before."""
        sizes = {log_size, min(log_size, self.least_at(now_ms))}
        office = (act.officer, key, act.role, act.agreement_id)
        return frozenset(in_office(self.directory, *office, now_ms=now_ms, log_size=size) for size in sizes)


def folded_offices(cards: Mapping[str, PartyCard], logs: Iterable[Log], of: Log) -> Offices | None:
    """Fold the key log of the broker of an agreement's log; None where it is not there, or not all of it was presented."""
    every = list(logs)
    name = f"{of.origin.partition('/')[0]}/keys/{incarnation_of(of.origin).hex()}"
    log = next((one for one in every if one.origin == name), None)
    entries = [] if log is None else Chain(log, every).entries
    if not entries or not all(entry.shared for entry in entries):
        return None
    folded = KeyLog.trusting(cards)
    for entry in entries:
        folded.times.append(entry.shared["time"])
        if entry.kind not in STATEMENTS:
            continue
        statement = from_json(entry.shared["statement"])
        if statement.type == "party-card":
            continue
        try:
            folded.directory.apply(statement, log_index=entry.index, at_ms=entry.shared["time"])
        except ComityError as error:
            # Of a party to other agreements, or one that the verifier finds: it puts nobody in office.
            folded.faults.append((entry.index, error.message))
    return Offices(folded.directory, folded.least_size)
