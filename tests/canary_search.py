"""Looking for secrets where they must not be: in any file, in every form that a leak is likely to have.

A secret is looked for raw, in base64 (standard and URL-safe, wherever in a longer text it begins, broken into lines or not), in hex of
either case, and each of these written in UTF-16 of either byte order.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key

from comity.keys.files import load_keys
from comity.keys.tls import TlsSecret

_LEAST = 12
_SEED_BYTES = 32
_BREAKS = bytes.maketrans(b"", b"")


def forms(secret: bytes) -> dict[str, bytes]:
    """Give what to look for, by name; a shorter secret than a dozen bytes is refused, it would be found by chance."""
    if len(secret) < _LEAST:
        raise ValueError("too short to be looked for")
    texts = {"raw": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode()}
    for shift in range(3):
        # The characters that come from the secret alone, whatever stands before and after it in the same base64.
        encoded = base64.b64encode(bytes(shift) + secret + b"\0\0")
        inner = encoded[-(-shift * 8 // 6) : (shift + len(secret)) * 8 // 6]
        texts[f"base64+{shift}"] = inner
        texts[f"base64url+{shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    found = dict(texts)
    for name, data in texts.items():
        for order in ("le", "be"):
            wide = data.decode("latin-1") if name != "raw" else _text(secret)
            found[f"{name} in utf-16-{order}"] = wide.encode(f"utf-16-{order}")
    return found


def _text(secret: bytes) -> str:
    try:
        return secret.decode()
    except UnicodeDecodeError:
        return secret.decode("latin-1")


def found_in(data: bytes, secrets: Mapping[str, bytes]) -> list[str]:
    """Give which secrets stand in some bytes, and in which form."""
    joined = data.translate(_BREAKS, b"\r\n")
    return [
        f"{name} ({form})"
        for name, secret in secrets.items()
        for form, needle in forms(secret).items()
        if needle in data or needle in joined
    ]


def found_below(folders: Iterable[Path], secrets: Mapping[str, bytes]) -> list[str]:
    """Give where secrets stand in any file below some folders, hidden and temporary ones too; file names count as well."""
    return [
        f"{what} in {path}"
        for path in _files(folders)
        for what in (*found_in(path.read_bytes(), secrets), *found_in(str(path).encode(), secrets))
    ]


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def private_keys(directory: Path, passphrase: bytes) -> dict[str, bytes]:
    """Give the private bytes of every key in a directory of key files: seeds, each on its own, and the scalars of TLS keys."""
    found: dict[str, bytes] = {}
    for held in load_keys(directory, passphrase)._keys:
        private = held.secret.to_private_bytes()
        if isinstance(held.secret, TlsSecret):
            key = load_der_private_key(private, None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            private = key.private_numbers().private_value.to_bytes(_SEED_BYTES, "big")
        private = private[len(private) % _SEED_BYTES :]
        for start in range(0, len(private), _SEED_BYTES):
            name = f"{held.listed.role.value} of {directory.parent.name} at {start}"
            found[name] = private[start : start + _SEED_BYTES]
    return found
