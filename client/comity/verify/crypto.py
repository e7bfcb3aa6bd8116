"""PAE, hashes and signatures, stated once more and independently of the SDK (design of envelopes, "Rules" and "Suites").

Ed25519 is libsodium's; before it is called, a key or an R is refused whose y (sign bit cleared) is not below p, or is 0, 1, p - 1 or
one of the two of order 8. A suite's signature is valid only when all its halves are, under the whole PAE label as ML-DSA's context.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey, MLDSA65PublicKey, MLDSA87PublicKey
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

_P: Final = 2**255 - 19
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_REFUSED_Y: Final = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})
_Mldsa = type[MLDSA44PublicKey] | type[MLDSA65PublicKey] | type[MLDSA87PublicKey]
_MLDSA: Final[dict[int, _Mldsa]] = {1312: MLDSA44PublicKey, 1952: MLDSA65PublicKey, 2592: MLDSA87PublicKey}
_HALVES: Final = {1: (32, 64, 1952), 2: (0, 0, 2592)}  # suite: Ed25519 key and signature, ML-DSA key

Item = bytes | str | int


def pae(purpose: str, *items: Item) -> bytes:
    """Encode items under the label ``comity/v1/<purpose>``: u64be count, then each as u64be length + bytes."""
    parts = [(len(items) + 1).to_bytes(8, "big")]
    for item in (f"comity/v1/{purpose}", *items):
        raw = item.to_bytes(8, "big") if isinstance(item, int) else item.encode() if isinstance(item, str) else item
        parts += (len(raw).to_bytes(8, "big"), raw)
    return b"".join(parts)


def split_pae(data: bytes) -> list[bytes]:
    """Give the items of a PAE, its label first; raises ValueError."""
    items, position = [], 8
    while position < len(data):
        start = position + 8
        position = start + int.from_bytes(data[position:start], "big")
        items.append(data[start:position])
    if position != len(data) or data[:8] != len(items).to_bytes(8, "big"):
        raise ValueError("not a PAE")
    return items


def digest(purpose: str, *items: Item) -> bytes:
    """Give SHA-384 of PAE(purpose, items)."""
    return hashlib.sha384(pae(purpose, *items)).digest()


def leaf384(purpose: str, *items: Item) -> bytes:
    """Give SHA-384(0x00 | PAE(purpose, items)): a leaf in the tree of an envelope, of receipts or of slot records."""
    return hashlib.sha384(b"\x00" + pae(purpose, *items)).digest()


def root384(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """Give the root of a SHA-384 tree from a path; raises ValueError where index, count and its length do not fit."""
    rest, last = list(path), count - 1
    while 0 <= index <= last and last:
        if index & 1 or index != last:
            if not rest:
                break
            sibling = rest.pop(0)
            leaf = hashlib.sha384(b"\x01" + (sibling + leaf if index & 1 else leaf + sibling)).digest()
        index, last = index >> 1, last >> 1
    if index or last or rest:
        raise ValueError("a path does not fit its index and count")
    return leaf


def tree384(leaves: list[bytes]) -> bytes:
    """Give the root of a SHA-384 tree over at least one leaf."""
    while len(leaves) > 1:
        pairs = [hashlib.sha384(b"\x01" + a + b).digest() for a, b in zip(leaves[::2], leaves[1::2], strict=False)]
        leaves = pairs + leaves[len(leaves) & ~1 :]
    return leaves[0]


def ed25519_verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether one Ed25519 signature is valid by the rule above."""
    if len(public) != 32 or len(signature) != 64 or _refused(public) or _refused(signature[:32]):
        return False
    try:
        return bool(crypto_sign_open(signature + message, public) == message)
    except BadSignatureError:
        return False


def mldsa_verifies(public: bytes, message: bytes, signature: bytes, context: bytes = b"") -> bool:
    """Say whether one ML-DSA signature is valid; the parameter set is that of the key's size."""
    try:
        _MLDSA[len(public)].from_public_bytes(public).verify(signature, message, context)
    except (KeyError, InvalidSignature, ValueError):
        return False
    return True


def verifies(suite: int, public: bytes, signature: bytes, purpose: str, *items: Item) -> bool:
    """Say whether a suite's signature over PAE(purpose, items) is valid; False for anything malformed."""
    key, half, mldsa_key = _HALVES.get(suite, (0, 0, -1))
    message = pae(purpose, *items)
    if len(public) != key + mldsa_key or (key and not ed25519_verifies(public[:key], message, signature[:half])):
        return False
    return mldsa_verifies(public[key:], message, signature[half:], f"comity/v1/{purpose}".encode())


def _refused(point: bytes) -> bool:
    y = int.from_bytes(point, "little") & (1 << 255) - 1
    return y >= _P or y in _REFUSED_Y
