"""What a delivered segment says of logs, held against the own mirror: the views its cores sign, the place it is judged by.

A view is compared once for each version of the mirror, however many reports sign it.
"""

from __future__ import annotations

from comity.envelope.core import LogSeen
from comity.envelope.segment import Segment
from comity.errors import MalformedError
from comity.node.logs import Seen
from comity.node.mirror import Mirror
from comity.node.opened import Placed


def judged_at(mirror: Mirror, segment: Segment, place: Placed) -> Placed:
    """Give the place in the agreement's log that a segment is judged by: its own, but for an exercise's, whose log names it.

    Raises MalformedError for an entry that the exercise's log does not have, and what stops the exercise.
    """
    before = mirror.decided_before(segment.log_name, place.log_index)
    if before is None:
        raise MalformedError(f"a delivery names entry {place.log_index}, which the log of {segment.log_name} has not")
    return Placed(before, place.admitted_at)


class Views:
    """The views of one mirror."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._seen: dict[tuple[str | None, LogSeen], Seen] = {}
        self._version = -1

    def of(self, segment: Segment) -> dict[int, Seen]:
        """Compare the views of both logs that each core signs with ours; the worse of both, by slot."""
        views: dict[int, Seen] = {}
        before: tuple[LogSeen, LogSeen] | None = None
        worst = Seen.CONSISTENT
        for slot, item in segment.whole:
            seen = (item.core.agreement_log_seen, item.core.key_log_seen)
            # Reports of one run were sealed under the same views.
            if seen != before:
                before = seen
                both = (self.compare(segment.log_name, seen[0]), self.compare(None, seen[1]))
                worst = next((one for one in (Seen.FORK, Seen.AHEAD) if one in both), Seen.CONSISTENT)
            views[slot] = worst
        return views

    def compare(self, agreement_id: str | None, seen: LogSeen) -> Seen:
        if self._version != self._mirror.version:
            self._seen.clear()
            self._version = self._mirror.version
        found = self._seen.get((agreement_id, seen))
        if found is None:
            found = self._seen[agreement_id, seen] = self._mirror.compare(agreement_id, seen)
        return found
