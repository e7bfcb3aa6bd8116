"""What officers said of reading and acting, as far as a broker keeps it in memory: as many may come as there are reports.

Rules in order:
1. What such an act says is in the log and followed from there (`duties`). Kept is what answers the same statement with its entry,
   as long as it could be brought again, and how many a party brought within a day.
2. A party brings at most `LIMIT` of them under one agreement within a day, each about up to 256 reports; beyond it each is refused
   until some are older.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from comity.errors import ErrorCode, RefusedError
from comity_broker.pace import DAY_MS
from comity_policy.act_rules import MADE_BEFORE_MS
from comity_policy.acts import Act

LIMIT: Final = 16_384
# Whoever brings it a last time may have signed it some minutes ahead of the log's clock.
_KEPT_MS: Final = MADE_BEFORE_MS + DAY_MS


@dataclass(slots=True)
class Handlings:
    """The statements of one broker's agreements, by agreement; times are the log's, Unix milliseconds."""

    _entries: dict[str, OrderedDict[str, tuple[int, int]]] = field(default_factory=dict)
    _brought: dict[tuple[str, str], deque[int]] = field(default_factory=dict)

    def entry(self, act: Act) -> int | None:
        """Give the entry of the same statement, None where it is not known."""
        entries = self._entries.get(act.agreement_id)
        known = None if entries is None else entries.get(act.digest)
        return None if known is None else known[0]

    def check_pace(self, act: Act, now_ms: int) -> None:
        """Refuse what comes too fast; raises RefusedError LIMIT_EXCEEDED."""
        brought = self._brought.get((act.agreement_id, act.party), deque())
        while brought and brought[0] <= now_ms - DAY_MS:
            brought.popleft()
        if len(brought) >= LIMIT:
            raise RefusedError(
                f"{act.party} has said {LIMIT} times within a day under {act.agreement_id} what it read: no more before some are older",
                what_to_do="Say it of several reports at once: one statement names up to 256.",
                code=ErrorCode.LIMIT_EXCEEDED,
                retry_after_seconds=3600.0,
            )

    def take(self, act: Act, now_ms: int) -> None:
        """Take note of an act with its place in the log; forget those that nobody can bring again."""
        entries = self._entries.setdefault(act.agreement_id, OrderedDict())
        if act.at_ms > now_ms - _KEPT_MS:
            entries[act.digest] = act.log_index, act.at_ms
        while entries and next(iter(entries.values()))[1] <= now_ms - _KEPT_MS:
            entries.popitem(last=False)
        if act.at_ms > now_ms - DAY_MS:
            self._brought.setdefault((act.agreement_id, act.party), deque()).append(act.at_ms)
