"""What a commit's outcome means to whoever waited for it: a committed result, or the error that refused it."""

from __future__ import annotations

from typing import TypeVar

from comity.errors import ErrorCode, StorageError
from comity_broker.storage.protocol import Committed, Outcome, Refused

T = TypeVar("T")


def settled(outcome: Outcome[T]) -> Committed[T]:
    """Give what was committed; raises what refused it, and StorageError STORAGE_FAILED where nobody knows."""
    if isinstance(outcome, Committed):
        return outcome
    if isinstance(outcome, Refused):
        raise outcome.error
    raise StorageError(
        "whether this was written is not known",
        what_to_do="The broker restarts and reads what is there; ask again then.",
        code=ErrorCode.STORAGE_FAILED,
        retry_after_seconds=5.0,
    )
