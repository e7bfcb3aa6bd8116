"""Edwards25519 by hand, for building keys and signatures that no honest signer makes. Slow and only for tests."""

from __future__ import annotations

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]


def _x(y: int, sign: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    if root * root % P != square:
        root = root * pow(2, (P - 1) // 4, P) % P
    if root * root % P != square:
        return None
    return root if root % 2 == sign else (P - root) % P


def add(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def times(scalar: int, point: Point) -> Point:
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def encode(point: Point) -> bytes:
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def encode_y(y: int, sign: int) -> bytes:
    """Encode any y below 2^255, canonical or not, on the curve or not."""
    return (y | sign << 255).to_bytes(32, "little")


_BASE_Y = 4 * pow(5, -1, P) % P
_BASE_X = _x(_BASE_Y, 0)
assert _BASE_X is not None
BASE: Point = (_BASE_X, _BASE_Y)


def torsion() -> list[Point]:
    """Give the eight points of small order, the identity first."""
    y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
    x = _x(y, 0)
    assert x is not None
    return [times(multiple, (x, y)) for multiple in range(8)]


def signature(secret: int, key: Point, nonce: int, message: bytes, shift: Point) -> bytes:
    """Sign with R = nonce * B + shift under an arbitrary key point."""
    r = encode(add(times(nonce, BASE), shift))
    challenge = int.from_bytes(hashlib.sha512(r + encode(key) + message).digest(), "little") % L
    return r + ((nonce + challenge * secret) % L).to_bytes(32, "little")
