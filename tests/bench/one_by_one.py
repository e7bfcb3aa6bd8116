"""What one would build on a message queue: reports of 1 KiB sealed and signed one by one in Python, verified and opened one by one.

A report is its fields and its text as JSON; sealed to the recipient's X25519 key (libsodium's sealed box), the sealed bytes signed with
Ed25519. No agreement, no policy, no log and no evidence is in it: only what keeps the queue from reading and forging.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.signing import SigningKey, VerifyKey

REPORT_BYTES = 1_024


def make_keys(folder: Path) -> None:
    """Write the keys of a sender and a recipient into a folder, the private ones beside the public ones."""
    signing, recipient = SigningKey.generate(), PrivateKey.generate()
    keys = {"sign": signing, "verify": signing.verify_key, "open": recipient, "seal": recipient.public_key}
    for name, key in keys.items():
        (folder / f"{name}.key").write_bytes(bytes(key))


class Sealer:
    """Makes what is sent."""

    def __init__(self, folder: Path) -> None:
        self._box = SealedBox(PublicKey((folder / "seal.key").read_bytes()))
        self._key = SigningKey((folder / "sign.key").read_bytes())
        self._words = os.urandom(REPORT_BYTES // 2).hex()

    def seal(self, number: int) -> bytes:
        """Give report `number`, sealed and signed."""
        report = {
            "id": str(uuid.uuid4()),
            "marking": "SECRET//REL TO XAR, XBO",
            "categories": ["terrorism"],
            "purpose": "counter-terrorism",
            "text": f"{number:016}{self._words[16:]}",
        }
        return bytes(self._key.sign(self._box.encrypt(json.dumps(report).encode())))


class Opener:
    """Opens what is received."""

    def __init__(self, folder: Path) -> None:
        self._key = VerifyKey((folder / "verify.key").read_bytes())
        self._box = SealedBox(PrivateKey((folder / "open.key").read_bytes()))

    def open(self, data: bytes) -> int:
        """Verify and open; give the number of the report. Raises what libsodium raises for bytes that were touched."""
        report = json.loads(self._box.decrypt(self._key.verify(data)))
        text = report["text"]
        assert len(text) == REPORT_BYTES, f"a text of {len(text)} characters"
        return int(text[:16])
