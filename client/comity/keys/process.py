"""What a process that holds keys does first: no memory image of it is ever written, and no neighbour may look into it.

It also keeps its threads from hoarding memory (`share_memory`): a node or broker does not grow with what went through it.

RLIMIT_CORE 0 (no core file) and PR_SET_DUMPABLE 0 (no ptrace, and /proc/PID is root's): Linux, see prctl(2) and core(5).
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

from comity.errors import ComityError

_PR_SET_DUMPABLE: Final = 4
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2


def seal_process() -> None:
    """Forbid core dumps and inspection of this process; raises ComityError where the system does not do it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise ComityError(f"the process cannot be made undumpable (errno {ctypes.get_errno()})")


def share_memory() -> None:
    """Have all threads of this process give back to the same places what they free; to be called before there is a second one.

    glibc gives each thread an arena of its own, and each keeps what it freed: a process grows with every thread that once had
    a page of the log in hand. Where the C library has no such setting nothing is done (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
