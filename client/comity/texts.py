"""Texts that steps of an agreement's life bring: how they are named, and how long they may be.

An agreement's text is named by the digest of its bytes: everybody holds the same. A national caveat is its party's own, and
guessable from the agreement it narrows, so its digest is salted: who has only the digest learns nothing by trying texts.
"""

from __future__ import annotations

import hashlib
from typing import Final

from comity.pae import pae

TEXT_LIMIT: Final = 1 << 20
CAVEAT_LIMIT: Final = 64 << 10
SALT_SIZE: Final = 32


def agreement_digest(text: bytes) -> bytes:
    """Give SHA-384(PAE(agreement, text)): the 48 bytes that name an agreement's text."""
    return hashlib.sha384(pae("agreement", text)).digest()


def caveat_digest(salt: bytes, text: bytes) -> bytes:
    """Give SHA-384(PAE(caveat, salt, text)): the 48 bytes by which a step names a caveat; the salt has 32 random bytes."""
    return hashlib.sha384(pae("caveat", salt, text)).digest()
