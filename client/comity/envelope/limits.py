"""Every limit of the envelope format, once: the same at Publish, at Open and in the verifier (design 03, "Segment").

A setting may narrow some of them at Publish; nothing widens them. `SUCCESSORS` is ours: the design bounds the bytes of a
label but not the depth of its successors (docs/adr/0004).
"""

from __future__ import annotations

from typing import Final

VERSION: Final = 1

SEGMENT_BYTES: Final = 1 << 20
EXPORTED_BYTES: Final = 4 << 20
PROFILE_BYTES: Final = 64 << 10
MANIFEST_BYTES: Final = 512 << 10
HEADER_BYTES: Final = 64 << 10
CIPHERTEXT_BYTES: Final = 64 << 30
TEXT_BYTES: Final = 1024
ORIGIN_BYTES: Final = 255

SLOTS: Final = 256
PORTIONS: Final = 64
STANZAS: Final = 1024
ADDRESSEES: Final = 256
REFERENCES: Final = 64
APPROVALS: Final = 16
LABEL_ITEMS: Final = 64
SUCCESSORS: Final = 16
BATCH_SEGMENTS: Final = 4096
KEY_PACKETS: Final = 4096
PATH_HASHES: Final = 12
ACK_SEGMENTS: Final = 64
RECEIPT_SLOTS: Final = 64
RECEIPT_PATH: Final = 6

DIGEST: Final = 48
ROOT: Final = 32
UUID: Final = 16
CEK: Final = 32
KEK: Final = 32
NONCE: Final = 12
TAG: Final = 16
SALT: Final = 32

INTEGER: Final = 1 << 53

KEK_LIFE_MS: Final = 600_000
KEK_REPORTS: Final = 4096
