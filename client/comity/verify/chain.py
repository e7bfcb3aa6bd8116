"""A log over its incarnations: what a restored broker goes on with, held against the log it says it continues (CONTINUES).

In order: the first entry of a later incarnation is the broker's signed statement; it names this log with the keys of its checkpoint, its
place, and a log of the same name that is in the bundle; the restored tree is the beginning of that log, under its root and signed by
its own keys; terms that parties signed are those of the log they stand in. What the old log has beyond counts no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

from comity.verify.bundle import Entry, Log
from comity.verify.keys import Key, Statement
from comity.verify.notes import verify_checkpoint
from comity.verify.records import require
from comity.verify.table import CONTINUED, TERMS
from comity.verify.trees import root_of

EXERCISE: Final = "exercise"


class Chain:
    """A log after those it continues, oldest first. `entries` are those that count, by index; raises ValueError where one is missing."""

    def __init__(self, log: Log, logs: Iterable[Log]) -> None:
        self.log, self.spans = log, [(log, len(log.entries))]
        known = {one.origin: one for one in logs}
        while (said := _continued(self.spans[0][0])) is not None:
            before = said.fields["before"]
            old = known.pop(before["origin"], None)
            require(
                old is not None and before["size"] > 0,
                f"the log that {self.spans[0][0].origin} continues is not in the bundle",
            )
            if old is not None:
                self.spans.insert(0, (old, before["size"]))
        self.entries: list[Entry] = [entry for one, count in self.spans for entry in one.entries[:count]]

    def check(self, keys: Iterable[Key]) -> None:
        """Hold every incarnation against the one before; `keys` are the broker's. Raises ValueError."""
        signing = {key.fingerprint: key for key in keys if key.role == "broker-signing"}
        for (old, _), (log, _) in pairwise(self.spans):
            said = _continued(log)
            if said is None:
                continue
            fields, before = said.fields, said.fields["before"]
            require(fields.keys() == CONTINUED, "CONTINUES has other keys than are declared")
            require(
                all(name in signing and said.by(signing[name]) for name in said.signatures), "not signed by the broker"
            )
            place = (log.origin, before["first"] + before["size"], old.first)
            require((fields["origin"], log.first, before["first"]) == place, "CONTINUES is of another log or place")
            same = _lasting(log.origin) == _lasting(old.origin) and log.parties == old.parties
            require(same, "CONTINUES goes on with the log of something else")
            root = root_of(old.leaves[: before["size"]])
            good = before["size"] <= len(old.leaves) and root.hex() == before["root"]
            require(good, "what was restored is not the beginning of the log that is continued")
            signed = verify_checkpoint(bytes.fromhex(fields["checkpoint"]), old.policy)
            require(
                (signed.size, signed.root) == (before["size"], root),
                "what was restored is not what the log's keys signed",
            )

    def check_terms(self, agreement: str) -> None:
        """Hold what every incarnation's first entry states against its checkpoint, and what parties signed against it. Raises ValueError."""
        for log, count in self.spans:
            said = _continued(log)
            opened = {"agreement": agreement} | (log.entries[0].shared if said is None else said.fields)
            same = opened["origin"] == log.origin and sorted(opened["log_vkeys"]) == sorted(map(str, log.policy.logs))
            require(same, f"entry 0 of {log.origin} names another origin or other keys than its checkpoint")
            for entry in log.entries[:count] if log.kind == "agreement" else ():
                same = all(one[term] == opened[term] for one in _terms(entry) for term in TERMS)
                require(same, "other terms of the log than entry 0 states")


def _lasting(origin: str) -> list[str]:
    """Give what all incarnations of a log have of their origins."""
    words = origin.split("/")
    return [word for place, word in enumerate(words) if place != len(words) - 1 - (words[-1] == EXERCISE)]


def _terms(entry: Entry) -> list[dict[str, Any]]:
    """Give every statement of a log's terms that an entry holds, and the entry's own."""
    if not entry.shared or entry.kind not in ("LOG_OPENED", "LOG_CONFIRMED"):
        return []
    statements = entry.shared.get("statements") or [entry.shared.get("statement")]
    return [*([entry.shared] * ("origin" in entry.shared)), *(Statement(one).fields for one in statements if one)]


def _continued(log: Log) -> Statement | None:
    if not log.entries or log.entries[0].kind != "CONTINUES":
        return None
    require(log.entries[0].shared, "the entry that continues a log was not presented")
    return Statement(log.entries[0].shared["statement"])
