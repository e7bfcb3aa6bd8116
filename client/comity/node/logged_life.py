"""What the steps of a log amount to at a place and a time, as far as they and the texts they bring were presented.

Rules in order:
1. The state before an entry is the fold of the steps before it (`comity_policy.lifecycle`), at the time that is asked about.
2. A step whose body or whose text was not presented ends what is known: every state after it is a gap, and names it.
3. An arrangement takes its umbrella as of the entry of the umbrella's log that its own log named last (UMBRELLA_CHANGED). A
   step that the umbrella's log had `ORDER_MS` before counts all the same: a broker may be a moment late with it, not more.
4. Signatures are not looked at here: `comity.verify` and the mirror do that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from comity.errors import ComityError, VerificationError
from comity.node import agreement_umbrella
from comity.node.directory import ORDER_MS
from comity.node.logged_entries import LoggedEntry
from comity.node.logged_texts import Texts
from comity.statement import from_json
from comity_policy.governing import sharing
from comity_policy.lifecycle import State, Step, StepError, StepKind, TransitionError, draft, taken
from comity_policy.recorded import Difference, Folded, Gap, Missing, What

_BRINGING: Final = frozenset({StepKind.COUNTER, StepKind.AMEND, StepKind.NOTES})


class LoggedLife:
    """The steps of one agreement's log, whose entries come in their order."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._steps: list[Step] = []
        self._states: list[State] = []
        self._ends: tuple[int, Gap] | None = None
        self._next = 0

    def take(self, entry: LoggedEntry) -> None:
        """Take the next entry; raises VerificationError for another one, and for a step that does not read or does not follow."""
        if entry.log_index != self._next:
            raise VerificationError(f"entry {self._next} is not there")
        self._next += 1
        if entry.log_index == 0:
            self._open(entry)
        if not entry.kind.startswith(("AGREEMENT_", "DISPUTE_", "LOG_OPENED", "LOG_CONFIRMED")):
            return
        if not entry.shared:
            self._end(entry.log_index, entry.unseen)
        for said in entry.shared.get("statements") or [
            entry.shared[key] for key in ("statement",) if key in entry.shared
        ]:
            self._step(entry, said)

    @property
    def size(self) -> int:
        """Give how many entries were taken."""
        return self._next

    def state(self, before: int, now_ms: int) -> State | Gap:
        """Give what the steps before an entry amount to at a time."""
        if self._ends is not None and self._ends[0] < before:
            return self._ends[1]
        count = bisect_left(self._steps, before, key=lambda one: one.log_index)
        return self._states[count].at(now_ms)

    def newest_at(self, at_ms: int) -> int | None:
        """Give the index of the last step that the log had at that time of the broker."""
        count = bisect_right(self._steps, at_ms, key=lambda one: one.at_ms)
        return self._steps[count - 1].log_index if count else None

    def _open(self, entry: LoggedEntry) -> None:
        if not entry.shared:
            return
        opening = bytes.fromhex(entry.shared["agreement_digest"])
        document = self._texts.documents.get(opening)
        if document is None:
            self._end(-1, _untold(opening.hex(), "that the log was opened with"))
            return
        texts = {digest.hex(): one for digest, one in self._texts.documents.items()}
        self._states.append(draft(document, opening, texts))

    def _step(self, entry: LoggedEntry, said: Any) -> None:
        try:
            statement = from_json(said)
            step = Step.from_body(
                statement.fields, digest=statement.digest.hex(), log_index=entry.log_index, at_ms=entry.shared["time"]
            )
        except (StepError, ComityError) as error:
            raise VerificationError(f"its step does not read: {error}") from error
        if step.kind in _BRINGING and bytes.fromhex(step.agreement_digest) not in self._texts.documents:
            self._end(entry.log_index, _untold(step.agreement_digest, f"that entry {entry.log_index} brings"))
        if self._ends is None:
            try:
                self._states.append(taken(self._states[-1], step))
            except TransitionError as error:
                raise VerificationError(f"its step does not follow from those before it: {error}") from error
        self._steps.append(step)

    def _end(self, log_index: int, gap: Gap) -> None:
        self._ends = self._ends or (log_index, gap)


@dataclass(slots=True)
class LoggedUmbrella:
    """The umbrella of an arrangement, as its own log names it; `lives` are those of the logs that are here, by origin."""

    lives: Mapping[str, LoggedLife] = field(default_factory=dict)
    _places: list[tuple[int, str, int]] = field(default_factory=list)
    _unseen: Gap | None = None

    def take(self, entry: LoggedEntry) -> None:
        """Take an entry of the arrangement's log."""
        if entry.kind != agreement_umbrella.KIND:
            return
        said = entry.shared
        if not said:
            self._unseen = entry.unseen
            return
        self._unseen = None
        self._places.append((entry.log_index, said["umbrella_origin"], said["umbrella_log_index"]))

    def at(self, now_ms: int) -> tuple[State | Gap | None, tuple[Difference, ...]]:
        """Give its state at a time after the entries that were taken, None where none was named; and what speaks against it."""
        if self._unseen is not None:
            return self._unseen, ()
        if not self._places:
            return None, ()
        _, origin, place = self._places[-1]
        life = self.lives.get(origin)
        if life is None or life.size <= place:
            return Gap(Missing.UMBRELLA, f"the umbrella's log {origin} as far as entry {place}"), ()
        newest = life.newest_at(now_ms - ORDER_MS)
        late: tuple[Difference, ...] = ()
        if newest is not None and newest > place:
            words = f"entry {newest} of the umbrella's log had stood there, and the arrangement's log did not name it"
            late = (Difference(What.UMBRELLA, words),)
        return life.state(place + 1, now_ms), late


def folded_state(state: State, above: State | Gap | None) -> Folded:
    """Give what decides on what is shared in a state, under an umbrella where its state is known."""
    caveats = frozenset((*name, bytes.fromhex(digest)) for name, digest in state.caveats.items())
    if isinstance(above, Gap):
        return Folded(state.digest, state.policy(), caveats)
    umbrella = None if above is None else sharing(state, above, {}).umbrella
    said = None if umbrella is None else (umbrella.document.id, umbrella.digest, umbrella.state)
    return Folded(state.digest, state.policy(), caveats, said, umbrella_known=True)


def _untold(digest: str, which: str) -> Gap:
    return Gap(Missing.TEXT, f"the text sha384:{digest[:16]}... {which}")
