"""The umbrella of an arrangement: as of which entry of the umbrella's log an arrangement is decided (design 02).

Rules in order:
1. An UMBRELLA_CHANGED entry of the arrangement's log names the agreement that its text is under, that agreement's log, and an
   entry that log has; each names a later entry of it than the one before.
2. What stands in the arrangement's log is decided under the umbrella as of the last UMBRELLA_CHANGED before it. Without one
   there is no umbrella, and without its umbrella an arrangement is never in force.
3. A broker may be a moment late with it, not more: a step that the umbrella's log had `ORDER_MS` before counts all the same,
   so that nobody hides a suspension of the umbrella by leaving the entry out.
Which version of the umbrella then counts is `comity_policy.governing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from comity.errors import ErrorCode, VerificationError
from comity.node.agreement_view import UmbrellaView
from comity.node.directory import ORDER_MS
from comity_policy.document import Document
from comity_policy.sections import AgreementKind, Under

if TYPE_CHECKING:
    from comity.node.agreements import AgreementFold

KIND: Final = "UMBRELLA_CHANGED"
# Gives the fold of an agreement by its id; raises what stops it, or NotFoundError.
FindFold = Callable[[str], "AgreementFold"]


@dataclass(frozen=True, slots=True)
class Place:
    """From which entry of the arrangement's log on the umbrella counts as of which entry of its own."""

    log_index: int
    umbrella_log_index: int


@dataclass(slots=True)
class UmbrellaPlaces:
    """The places that an arrangement's log names, in its order; `under` is None for what is no arrangement."""

    agreement_id: str
    under: Under | None
    find: FindFold
    places: list[Place] = field(default_factory=list)

    @classmethod
    def of(cls, document: Document, find: FindFold) -> UmbrellaPlaces:
        """Begin with the text of an agreement that may be an arrangement."""
        return cls(document.id, document.under, find)

    def take(self, log_index: int, named: str, origin: str, umbrella_log_index: int) -> None:
        """Take an UMBRELLA_CHANGED entry by rule 1; raises VerificationError, and whatever stops the umbrella."""
        if self.under is None or named != self.under.agreement:
            raise self._wrong(log_index, f"names an umbrella {named[:64]!r} that the text does not name")
        above = self.find(named)
        if above.first.document.kind != AgreementKind.UMBRELLA:
            raise self._wrong(log_index, f"names {named}, which is no umbrella")
        if origin not in above.pin.origins:
            raise self._wrong(log_index, f"names another log of {named} than the one that is mirrored here")
        if umbrella_log_index >= above.taken:
            what = f"names entry {umbrella_log_index} of the log of {named}, which has {above.taken}"
            raise self._wrong(log_index, what)
        if self.places and umbrella_log_index <= self.places[-1].umbrella_log_index:
            before = self.places[-1].umbrella_log_index
            raise self._wrong(log_index, f"goes back from entry {before} of the log of {named} to {umbrella_log_index}")
        self.places.append(Place(log_index, umbrella_log_index))

    def at(self, before: int | None, now_ms: int) -> UmbrellaView | None:
        """Give the umbrella for what stands before an entry (None: for now) at that time, by rules 2 and 3."""
        place = _last_before(self.places, before)
        if self.under is None or place is None:
            return None
        above = self.find(self.under.agreement)
        index = max(place.umbrella_log_index, above.newest_step_at(now_ms - ORDER_MS))
        return UmbrellaView(self.under.agreement, above.state_before(index + 1, now_ms), above.pin.origin, index)

    def _wrong(self, log_index: int, problem: str) -> VerificationError:
        return VerificationError(
            f"entry {log_index} of the log of {self.agreement_id}: {problem}", code=ErrorCode.STATEMENT_REJECTED
        )


def _last_before(places: Sequence[Place], before: int | None) -> Place | None:
    return next((one for one in reversed(places) if before is None or one.log_index < before), None)
