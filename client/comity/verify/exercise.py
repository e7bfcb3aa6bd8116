"""The log of an agreement's exercise beside the agreement's: as of which entry of that one it is decided (EXERCISE_FOLLOWS).

In order: the agreement's log is in the bundle, of the same incarnation and signed by the same keys, which its parties signed for; each
EXERCISE_FOLLOWS names an entry of it that may change what is decided, a later one each time and none of a later time; no segment stands
before the first, and none comes long after a step that was not followed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final

from comity.verify.bundle import Entry, Log
from comity.verify.chain import EXERCISE, Chain
from comity.verify.records import require
from comity.verify.table import STEPS

KIND: Final = "EXERCISE_FOLLOWS"
_CLASSES, _LATE_MS = 5, 60_000


def is_exercise(log: Log) -> bool:
    """Say whether a log is that of an exercise."""
    return log.origin.endswith(f"/{EXERCISE}")


def check_class(log: Log, body: dict[str, Any]) -> None:
    """Check that a segment stands in the log of its kind; raises FormError."""
    same = (body["class"] >= _CLASSES) is is_exercise(log)
    require(same, "a segment of an exercise in the agreement's log, or the reverse")


class Exercise:
    """The agreement's log of one exercise, and how far it counts; raises FormError where it is not the one it must be."""

    def __init__(self, log: Log, logs: Iterable[Log]) -> None:
        named = [one for one in logs if one.origin == log.origin.removesuffix(f"/{EXERCISE}")]
        require(len(named) == 1, "the log of the exercise's agreement is not in the bundle")
        keys = [{key.bare for key in one.policy.logs} for one in (named[0], log)]
        require(keys[0] == keys[1], "it is signed by other keys than its agreement's log, which the parties signed for")
        self._real = Chain(named[0], logs)
        self._at, self._taken = -1, 0

    def revocations(self, entries: Iterable[Entry]) -> list[tuple[Entry, int]]:
        """Give the agreement's entries KEY_REVOKED, each with the place of the exercise's entry that followed it."""
        followed = [
            (one.shared["agreement_log_index"], one.index) for one in entries if one.kind == KIND and one.shared
        ]
        found = [
            (one, bisect_left(followed, (one.index, 0))) for one in self._real.entries if one.kind == "KEY_REVOKED"
        ]
        return [(one, followed[at][1]) for one, at in found if at < len(followed)]

    def take(self, body: dict[str, Any], agreement: str) -> list[Entry]:
        """Take an EXERCISE_FOLLOWS; give the entries of the agreement's log that count from here on. Raises FormError."""
        place, entries = body["agreement_log_index"], self._real.entries
        require(body["agreement"] == agreement, "it follows another agreement")
        origins = [one.origin for one, _ in self._real.spans]
        require(body["agreement_origin"] in origins, "it follows another log of its agreement than is in the bundle")
        require(place > self._at, "it follows an older state of its agreement than before")
        named = [one for one in entries if one.index == place]
        good = bool(named) and _changes(named[0]) and named[0].shared.get("time", 0) <= body["time"]
        require(good, "what it follows is no step of the agreement, or a later one")
        count = bisect_left([one.index for one in entries], place + 1)
        found = [one for one in entries[self._taken : count] if _changes(one) or one.kind == "CONTINUES"]
        self._at, self._taken = place, count
        return found

    def check(self, body: dict[str, Any]) -> None:
        """Check that a segment of that time was decided by a state that its log had named in time; raises FormError."""
        require(self._at >= 0, "decided before its log said by which state of the agreement")
        later = (one.shared["time"] for one in self._real.entries[self._taken :] if _changes(one) and one.shared)
        late = next(later, body["time"]) < body["time"] - _LATE_MS
        require(not late, "a step of the agreement had stood in its log for long and was not followed")


def _changes(entry: Entry) -> bool:
    """Say whether an entry of an agreement's log may change what is decided under it."""
    return entry.kind in STEPS or entry.kind in {"KEY_REVOKED", "UMBRELLA_CHANGED"}
