"""What a process that holds keys does first: no memory image of it is ever written, and no neighbour may look into it.

RLIMIT_CORE 0 (no core file) and PR_SET_DUMPABLE 0 (no ptrace, and /proc/PID is root's): Linux, see prctl(2) and core(5).
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

from comity.errors import ComityError

_PR_SET_DUMPABLE: Final = 4


def seal_process() -> None:
    """Forbid core dumps and inspection of this process; raises ComityError where the system does not do it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise ComityError(f"the process cannot be made undumpable (errno {ctypes.get_errno()})")
