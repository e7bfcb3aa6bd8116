"""Reading again, as a node has it: the terms of an opening, and from where (`reading_again` does it)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from comity.errors import UsageError
from comity.identity.names import Identity, IdentityKind, is_exercise
from comity.node.consuming import Consuming
from comity.node.mirror import Mirror
from comity.node.reader import ProvedReader, ReadingOfficer
from comity.node.reading import Acknowledge, Terms, Waiting
from comity.node.reading_again import From, NotReplayed, Replayed
from comity.node.times import milliseconds
from comity.suites import RandomBytes
from comity_policy.facts import Use


class ReadsAgain:
    """By which terms a node opens, and what it does about reports that it was handed before; `comity.node.node` has the rest of it."""

    identity: Identity
    mirror: Mirror
    _consuming: Consuming
    _random_bytes: RandomBytes

    async def replay(
        self,
        *,
        agreement: str,
        since: datetime | None = None,
        from_entry: int = 0,
        consumer: str = "default",
        purpose: str | Sequence[str] = (),
        use: Use = Use.READ,
        reader: ReadingOfficer | None = None,
        acknowledge: Acknowledge | None = None,
        told: Callable[[NotReplayed], None] | None = None,
    ) -> AsyncIterator[Replayed]:
        """Give once more what a consumer was handed under an agreement, to be read only, in the order of admission.

        From what was admitted at `since` (an aware time) or later, or from an entry of the agreement's log on. Nothing is acknowledged
        and nothing of the consumer moves, whether another process receives for it or not; the log says that it is read again, and by
        which consumer, before anything comes. What `reader`, `purpose`, `use` and `acknowledge` are for is said at `receive`. What does
        not come any more is told to `told`. Raises UsageError, also for an exercise, RefusedError where the agreement is not in force, NotFoundError for a
        consumer that never received, and as `receive` for its reader.
        """
        if is_exercise(agreement):
            raise UsageError("reports of exercises are not read again in this release", what_to_do="Name an agreement.")
        start = _start(since, from_entry)
        terms = self._terms(reader, purpose, use, acknowledge)
        async for one in self._consuming.replayed(agreement, start, consumer, terms, told or _ignored):
            yield one

    def _terms(
        self,
        reader: ReadingOfficer | None,
        purpose: str | Sequence[str],
        use: Use,
        acknowledge: Acknowledge | None,
        waiting: Callable[[Waiting], None] | None = None,
    ) -> Terms:
        self._require_node()
        proved = None if reader is None else self._proved(reader)
        purposes = (purpose,) if isinstance(purpose, str) else tuple(purpose)
        return Terms(purposes, use, proved, acknowledge, waiting)

    def _proved(self, reader: ReadingOfficer) -> ProvedReader:
        return ProvedReader(reader, self.identity, lambda: self.mirror.directory, self._random_bytes)

    def _require_node(self) -> None:
        if self.identity.kind is not IdentityKind.NODE:
            raise UsageError(
                f"{self.identity} is an officer: reports are sent and received by nodes",
                what_to_do="Name a node with --as.",
            )


def _start(since: datetime | None, from_entry: int) -> From:
    if (since is None) == (from_entry == 0) or from_entry < 0:
        raise UsageError(
            "a replay begins at a time or at an entry", what_to_do="Give since or from_entry, one of the two."
        )
    if since is None:
        return From(log_index=from_entry)
    if since.tzinfo is None:
        raise UsageError("since has no time zone", what_to_do="Give an aware time, e.g. datetime.now(UTC).")
    return From(since_ms=max(1, milliseconds(since)))


def _ignored(_: NotReplayed) -> None:
    """Tell nobody: who wants to know gives `told`."""
