"""Where a broker's data lies, for its commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

DATA_HELP: Final = "The broker's data directory (default: $STATE_DIRECTORY, else /var/lib/comity)."


def data_directory(given: str | None) -> Path:
    """Give the data directory: as said, else what systemd made, else the usual place."""
    return Path(given or os.environ.get("STATE_DIRECTORY", "").split(":")[0] or "/var/lib/comity")
