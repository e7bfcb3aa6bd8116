"""Say in one line whether PyPI's vulnerability service can be asked; exit 75 if not (nothing was checked).

The page asked for is of the kind pip-audit reads: the record of one locked release, which exists. A mirror that
serves packages and not these records would otherwise show as packages that are unknown.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

LOCK: Final = Path(__file__).with_name("dev.txt")
SERVICE: Final = "https://pypi.org/pypi"


def main() -> int:
    """Ask once; returns the exit code."""
    release = re.search(r"^([\w.-]+)==([\w.]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if release is None:
        print(f"audit-deps: {LOCK} locks nothing", file=sys.stderr)
        return 1
    record = f"{SERVICE}/{release[1]}/{release[2]}/json"
    try:
        with urllib.request.urlopen(record, timeout=20):  # noqa: S310 - a constant https address
            return 0
    except (urllib.error.URLError, TimeoutError) as reason:
        print(
            f"audit-deps: NOT CHECKED, the vulnerability service is out of reach ({record}: {reason})", file=sys.stderr
        )
        return 75


if __name__ == "__main__":
    sys.exit(main())
