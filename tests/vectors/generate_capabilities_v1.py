"""Write capabilities-v1.json: a node's capability statement, pinned.

Only for a new form of the statement: ML-DSA draws randomness of its own, so each run writes another signature. What is there is
checked by `tests/unit/test_capabilities.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from builders_identity import nation
from comity.identity.bodies import read_body
from comity.statement import encode

if __name__ == "__main__":
    xar = nation("XAR")
    node = xar.node("n1")
    said = xar.capabilities(node, software="comity 1.0", obligations=["acknowledge", "destruction-certificate", "use"])
    vector = {
        "format": "comity node-capabilities v1",
        "suite": int(node.signer.suite),
        "public": node.signer.public.hex(),
        "key": node.signer.fingerprint.hex(),
        "body": said.body.decode(),
        "digest": said.digest.hex(),
        "words": sorted(read_body(said).abilities.words),
        "statement": encode(said).hex(),
    }
    target = Path(__file__).parent / "capabilities-v1.json"
    target.write_text(json.dumps(vector, indent=1) + "\n")
