"""Reports that are sealed once more: their lane broke, or a fresh envelope under the newest view of the logs may mend it.

Each is sealed again at most once, under a new epoch, after a refresh. What cannot be refreshed is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from comity.errors import ComityError, ConflictError, ErrorCode
from comity.node.collecting import Pending

LANE_BROKE: Final = ConflictError(
    "a report before this one was refused with its whole segment",
    what_to_do="Send it again.",
    code=ErrorCode.SEQUENCE_GAP,
)
# What a fresh envelope under the newest view of the logs may mend.
_MENDED: Final = frozenset(
    {
        ErrorCode.KEY_UNKNOWN,
        ErrorCode.KEY_REVOKED,
        ErrorCode.KEY_EXPIRED,
        ErrorCode.SEQUENCE_GAP,
        ErrorCode.REPLAYED,
        ErrorCode.DIGEST_MISMATCH,
    }
)


class Resealing:
    """Reports that came back. `renew` begins every lane anew and refreshes, `submit` seals a report, `spawn` starts the task."""

    def __init__(
        self,
        *,
        renew: Callable[[], Awaitable[None]],
        submit: Callable[[Pending], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        self._renew = renew
        self._submit = submit
        self._spawn = spawn
        self._back: list[Pending] = []
        self._recovering = False

    def take(self, pending: Pending, error: ComityError) -> None:
        """Seal a report once more where that may help; else refuse it."""
        if pending.sent is not None:
            return
        if pending.resealed or error.code not in _MENDED:
            pending.refuse(error)
            return
        pending.resealed = True
        self._back.append(pending)
        self.recover()

    def recover(self) -> None:
        """Begin every lane anew, and seal what came back."""
        if not self._recovering:
            self._recovering = True
            self._spawn(self._seal_what_came_back(), "seal again")

    async def _seal_what_came_back(self) -> None:
        fault: ComityError | None = None
        try:
            await self._renew()
        except ComityError as error:
            fault = error
        finally:
            self._recovering = False
        again, self._back = self._back, []
        for pending in again:
            if fault is not None:
                pending.refuse(fault)
            else:
                self._submit(pending)
