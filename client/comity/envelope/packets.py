"""Key packets and stanzas: how content keys reach a recipient (design 03, "KeyPacket" and "Stanza").

A key packet carries one key-encryption key (KEK) from a sealer to a recipient KEM key, HPKE-sealed with an `info` that
names agreement, sealer and recipient. Its id is a hash of its bytes, computed by whoever receives it, never chosen. A
stanza carries the content keys of one report's portions under that KEK; its additional data names the core, the packet,
the recipient and exactly the portions.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from comity import suites
from comity.envelope import limits
from comity.envelope.records import PAE_LENGTH, pae_head
from comity.errors import RejectedError
from comity.pae import pae

_LENGTH_48: Final = PAE_LENGTH(limits.DIGEST)
_HEAD: Final = pae_head("stanza", 5) + _LENGTH_48
_TAILS_KEPT: Final = 512
_ROW: Final = struct.Struct(f">I{limits.CEK}s")


@dataclass(frozen=True, slots=True)
class KeyPacket:
    """A key packet as its sealer knows it; only `data` travels."""

    packet_id: bytes
    data: bytes
    recipient_party: str
    recipient_fingerprint: bytes


def packet_info(
    *,
    suite: int,
    agreement_id: str,
    sealer_party: str,
    sealer_key_set: bytes,
    recipient_party: str,
    recipient_fingerprint: bytes,
) -> bytes:
    """Give the HPKE info of a key packet."""
    return pae("key-packet", suite, agreement_id, sealer_party, sealer_key_set, recipient_party, recipient_fingerprint)


def packet_id(data: bytes) -> bytes:
    """Give SHA-384(PAE(packet, key packet bytes))."""
    return hashlib.sha384(pae("packet", data)).digest()


def seal_packet(suite: int, recipient_public: bytes, info: bytes, kek: bytes) -> bytes:
    """Seal a KEK to a recipient."""
    return suites.encapsulate(suite, recipient_public, kek, info)


def stanza_size(portions: int) -> int:
    """Give the one length that a stanza for so many portions has."""
    return limits.NONCE + portions * _ROW.size + limits.TAG


def stanza_context(
    core_hash: bytes, packet: bytes, recipient_party: str, recipient_fingerprint: bytes, indices: tuple[int, ...]
) -> bytes:
    """Give the additional data of a stanza."""
    return context_start(core_hash) + context_tail(packet, recipient_party, recipient_fingerprint, indices)


def context_start(core_hash: bytes) -> bytes:
    """Give what stands first in the additional data of a stanza, alike for every stanza of a report."""
    return _HEAD + core_hash


@lru_cache(maxsize=_TAILS_KEPT)
def context_tail(packet: bytes, recipient_party: str, recipient_fingerprint: bytes, indices: tuple[int, ...]) -> bytes:
    """Give what stands behind that, alike for the reports of a run."""
    party = recipient_party.encode()
    return b"".join(
        (
            _LENGTH_48,
            packet,
            PAE_LENGTH(len(party)),
            party,
            _LENGTH_48,
            recipient_fingerprint,
            PAE_LENGTH(4 * len(indices)),
            struct.pack(f">{len(indices)}I", *indices),
        )
    )


def seal_stanza(kek: AESGCM, nonce: bytes, context: bytes, keys: Sequence[tuple[int, bytes]]) -> bytes:
    """Seal content keys, given with their portion indices ascending."""
    return nonce + kek.encrypt(nonce, b"".join([_ROW.pack(index, key) for index, key in keys]), context)


def open_stanza(kek: AESGCM, stanza: bytes, context: bytes, indices: tuple[int, ...]) -> dict[int, bytes]:
    """Open a stanza that must hold exactly the keys of `indices`, and give them by those; raises RejectedError."""
    if len(stanza) != stanza_size(len(indices)):
        raise RejectedError("stanza: wrong length")
    try:
        opened = kek.decrypt(stanza[: limits.NONCE], stanza[limits.NONCE :], context)
    except InvalidTag as error:
        raise RejectedError("stanza: does not open") from error
    # As long as its row says, so an index that stands twice leaves one out.
    keys: dict[int, bytes] = dict(_ROW.iter_unpack(opened))
    if tuple(keys) != indices:
        raise RejectedError("stanza: holds other portions than its row says")
    return keys
