"""Write envelope-v1.json: every step of the envelope format, pinned, for both suites.

Only for a new version of the format: HPKE, Cobblestone and ML-DSA draw randomness of their own, so each run writes other
packets, ciphertexts and signatures. `tests/unit/test_envelope_vectors.py` checks every step of the file that is there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from builders_vectors import build
from comity.suites import Suite

if __name__ == "__main__":
    target = Path(__file__).parent / "envelope-v1.json"
    vectors = {"format": "comity envelope v1", "suites": [build(suite) for suite in (Suite.HYBRID, Suite.CNSA)]}
    target.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")
