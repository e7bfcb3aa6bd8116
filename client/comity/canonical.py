"""Canonical JSON (RFC 8785 without floats) for statements and audit bodies.

Rules: objects, arrays, strings, booleans, null and integers with absolute value below 2^53; member names sorted by
their UTF-16 code units; no white space; only the escapes RFC 8785 prescribes. `loads` accepts exactly the bytes that
`dumps` would write, which it checks by encoding again: one value has one encoding, so digests mean something.
"""

from __future__ import annotations

import json
import re
from typing import Final

from comity.errors import MalformedError

_TYPE_ERROR = "canonical JSON holds objects, arrays, strings, booleans, null and integers only"
INTEGER_LIMIT: Final = 2**53
_ENCODER: Final = json.JSONEncoder(check_circular=False, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_SORTING: Final = json.JSONEncoder(
    check_circular=False, ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True
)
_LONG_NUMBER: Final = re.compile(rb"[0-9]{16}")

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]


def dumps(value: object) -> bytes:
    """Encode `value`; raises MalformedError for floats, large integers, lone surrogates and foreign types."""
    try:
        return _ENCODER.encode(_sorted(value)).encode()
    except UnicodeEncodeError as error:
        raise MalformedError("canonical JSON: text holds a lone surrogate") from error


def loads(data: bytes, *, limit: int = 1 << 20) -> Json:
    """Decode exactly canonical bytes; raises MalformedError for anything else, at most `limit` bytes long."""
    if len(data) > limit:
        raise MalformedError(f"canonical JSON: {len(data)} bytes, at most {limit} allowed")
    try:
        value: Json = _DECODER.decode(data.decode())
        # Names of ASCII sort alike by code point and by code unit, and no number of fewer digits is too large: nothing needs looking
        # at one by one then.
        plain = data.isascii() and _LONG_NUMBER.search(data) is None
        encoded = _SORTING.encode(value).encode() if plain else dumps(value)
    except (ValueError, RecursionError) as error:
        raise MalformedError("canonical JSON: not JSON, nested too deep, or with floats") from error
    if encoded != data:
        raise MalformedError("canonical JSON: not in canonical form")
    return value


def load_object(data: bytes, *, limit: int = 1 << 20) -> dict[str, Json]:
    """Decode canonical bytes that must be one object."""
    value = loads(data, limit=limit)
    if not isinstance(value, dict):
        raise MalformedError("canonical JSON: not an object")
    return value


def is_hex(text: str) -> bool:
    """Say whether a text is bytes in lower-case hexadecimal, the one way in which canonical JSON holds bytes."""
    try:
        return bytes.fromhex(text).hex() == text
    except ValueError:
        return False


def _refuse_number(text: str) -> Json:
    raise ValueError(text)


_DECODER: Final = json.JSONDecoder(parse_float=_refuse_number, parse_constant=_refuse_number)


def _sorted(value: object) -> object:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if abs(value) >= INTEGER_LIMIT:
            raise MalformedError("canonical JSON: integer outside +-(2^53 - 1)")
        return value
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise MalformedError(_TYPE_ERROR)
        return {name: _sorted(value[name]) for name in sorted(value, key=_utf16)}
    raise MalformedError(_TYPE_ERROR)


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")
