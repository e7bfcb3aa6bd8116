"""What an entry says of the vocabularies that its decisions were made with: one digest over all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from comity.pae import pae


def vocabularies_digest(digests: Mapping[str, str]) -> bytes:
    """Give SHA-384(PAE(vocabularies, name, its digest, ...)), by name, of the digests that name each vocabulary."""
    pieces = (piece for name in sorted(digests) for piece in (name, digests[name]))
    return hashlib.sha384(pae("vocabularies", *pieces)).digest()
