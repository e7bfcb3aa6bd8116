"""The exercise of an agreement as its own log tells it: as of which entry of the agreement's log it was decided (docs/adr/0028).

Rules in order:
1. An exercise's log is of the agreement's broker and incarnation, signed by the very keys of the agreement's log under its own name.
2. An EXERCISE_FOLLOWS entry names the agreement, its log, and an entry that log has; each a later entry than the one before.
3. An exercise that a restored broker has lost whole begins anew; what is here of it stays, as evidence.
4. What stands in the exercise's log is decided under the agreement as of the last such entry before it, inclusive.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from comity.errors import ErrorCode, VerificationError
from comity.identity.names import agreement_of, exercise_of
from comity.node.agreements import AgreementFold
from comity.node.entries import MirroredEntry
from comity.node.logs import LeftLog, LogPin
from comity.verify.notes import VerifierKey

KIND: Final = "EXERCISE_FOLLOWS"


@dataclass(slots=True)
class ExercisePlaces:
    """From which entry of an exercise's log on its agreement counts as of which entry of its own, (of the former, of the latter)."""

    name: str
    places: list[tuple[int, int]] = field(default_factory=list)

    def take(self, entries: Iterable[MirroredEntry], fold: AgreementFold) -> None:
        """Take further entries of `KIND` by rule 2; raises VerificationError."""
        for entry in entries:
            body = entry.shared()
            named, origin, place = body["agreement"], body["agreement_origin"], body["agreement_log_index"]
            if named != agreement_of(self.name) or origin not in fold.pin.origins:
                raise self._wrong(entry.log_index, "names another agreement's log")
            if place >= fold.taken:
                raise self._wrong(entry.log_index, f"names entry {place} of a log that has {fold.taken}")
            if self.places and place <= self.places[-1][1]:
                raise self._wrong(entry.log_index, f"goes back from entry {self.places[-1][1]} to {place}")
            self.places.append((entry.log_index, place))

    def before(self, log_index: int) -> int:
        """Give the place in the agreement's log before which stands all that counts for an entry; raises VerificationError."""
        number = bisect_left(self.places, (log_index, 0))
        if not number:
            raise self._wrong(log_index, "nothing before it says by which state of the agreement it was decided")
        return self.places[number - 1][1] + 1

    def _wrong(self, log_index: int, problem: str) -> VerificationError:
        return VerificationError(
            f"entry {log_index} of the log of {self.name}: {problem}", code=ErrorCode.STATEMENT_REJECTED
        )


def begun_anew(pin: LogPin, real: LogPin) -> tuple[LeftLog, LogPin] | None:
    """Give the log of an exercise that a restored broker lost whole, and the one that would begin in its place; None where none is lost.

    So it is when the backup was taken before the exercise began: the agreement's log was continued, and beside it there is none.
    """
    if not real.before or pin.first or pin.incarnation == real.incarnation:
        return None
    left = LeftLog(pin.origin, pin.vkeys, first=0, kept=0, verified=pin.tree_size, note=pin.note)
    origin = exercise_of(real.origin)
    vkeys = tuple(str(VerifierKey(origin, one.key_type, one.public)) for one in real.policy.logs)
    return left, LogPin(origin, vkeys, before=(*pin.before, left))


def check_pin(pin: LogPin, real: LogPin) -> None:
    """Check an exercise's log against its agreement's by rule 1; raises VerificationError."""
    bare = [sorted(key.bare for key in one.policy.logs) for one in (pin, real)]
    if pin.incarnation != real.incarnation or bare[0] != bare[1]:
        raise VerificationError(
            f"{pin.origin}: it is of another incarnation than its agreement's log, or signed by other keys",
            what_to_do="Nothing of the exercise is sent or opened. Ask the broker's operator.",
        )
