"""`python -m comity.cli`: the same as the command `comity`, for where that is not on the path."""

from __future__ import annotations

import sys

from comity.cli.main import main

sys.exit(main())
