"""An old view of the broker's logs is refreshed before anything is refused for its age: a clock that was set forward makes none old."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from comity.errors import ComityError
from comity.node.mirror import Mirror

_LOG: Final = logging.getLogger(__name__)


async def refresh_if_stale(mirror: Mirror, refresh: Callable[[], Awaitable[None]]) -> None:
    """Refresh an old view, once; what may go under one that stays old is decided all the same, and says so of each report."""
    if not mirror.is_stale:
        return
    try:
        await refresh()
    except ComityError as error:
        _LOG.warning("refresh_failed", extra={"code": error.code.name, "reason": error.message})
