"""Write ed25519-refused.json: every encoding of a point that is refused before an Ed25519 library is called."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import builders_ed25519 as ed

RULE = "y with the sign bit cleared is >= p, or 0, 1, p - 1, or the y of a point of order 8"

if __name__ == "__main__":
    low = {y for _, y in ed.torsion()}
    refused = [ed.encode_y(y, sign).hex() for y in sorted(low | set(range(ed.P, 2**255))) for sign in (0, 1)]
    target = Path(__file__).parent / "ed25519-refused.json"
    target.write_text(json.dumps({"rule": RULE, "refused": refused}, indent=1) + "\n")
