"""How fast a party may add to an agreement's life: what is logged is read by everybody, at every start, for ever.

A party takes at most `LIMIT` steps and as many acts of officers under one agreement within `DAY_MS`; beyond it each is refused
until some are older. Suspending is a step too: whoever has taken so many in a day resumes and suspends nothing more in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from comity.errors import ErrorCode, RefusedError

LIMIT: Final = 256
DAY_MS: Final = 86_400_000


class Placed(Protocol):
    """What the agreement's log took: of which party, and when."""

    @property
    def party(self) -> str:
        """Give the party's code."""

    @property
    def at_ms(self) -> int:
        """Give the log's time, Unix milliseconds."""


def check_pace(agreement_id: str, party: str, before: Sequence[Placed], now_ms: int) -> None:
    """Refuse what comes too fast, given what was taken before in the log's order; raises RefusedError LIMIT_EXCEEDED."""
    count = 0
    for one in reversed(before):
        if one.at_ms <= now_ms - DAY_MS:
            return
        count += one.party == party
        if count >= LIMIT:
            raise RefusedError(
                f"{party} has taken {LIMIT} of these under {agreement_id} within a day: no more before some are older",
                what_to_do="Look at what was taken: comity agreement show --history.",
                code=ErrorCode.LIMIT_EXCEEDED,
                retry_after_seconds=3600.0,
            )
