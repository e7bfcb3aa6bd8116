"""The records the verifier reads, by its own reader (design of envelopes, "Three encodings").

`_FORMATS` is the table of records, fields in order. Types: ``16`` fixed bytes; ``u8 .. u64`` (u64 below 2^53), ``c4`` a u32 of 1 to 4, ``v1`` a u16
that is 1; ``e4`` an enum of 1 to 4; ``flag``; ``text``; ``texts`` a set of texts; ``b99`` variable bytes, at most 99; a record's name, inline;
``<name>`` a record in a variable field. Then ``?`` means "or empty" (``16?`` is a variable field of 0 or 16 bytes, ``e4?`` may be 0, ``texts?`` has a flag); ``*64`` a list of at
most so many, ``+64`` of at least one; ``^`` a set, ascending by its items' bytes, ``^a,b`` by these fields, ``^.`` by the values. Trailing
bytes refuse. Tests compare every record with the SDK's codec.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from comity.verify.crypto import leaf384, pae

_FORMATS: Final = """
seen       incarnation:16 size:u64 root:32
category   tag:text kind:e3 values:texts?
label      policy:text classification:text dissemination:texts releasable_to:texts? display_only:texts? origin:e3 parties:texts
           tlp:e5? pap:e4? categories:category*64^tag review_at:u64 successor:<label>?
addressee  party:text office:text? community:text? officer:text? action:e2
marking    label:<label> personal_data:e3 persons:u32 warn:flag
profile    suite:u16 party:text node:text officer:48? role:e9? key_set:48 agreement:text agreement_digest:48 statements_seen:u32
           precedence:e4 exercise:flag kind:e11 categories:texts purpose:text emergency:48? addressees:addressee+256^
           approvals_required:u32 portions:marking+64
reference  relation:e4 report_id:16 leaf:48
core       version:v1 report_id:16 origin_epoch:16 origin_sequence:first created_at:u64 not_before:u64 expires_at:u64
           agreement_log_seen:seen key_log_seen:seen refers_to:reference*64^ profile:b65536
row        party:text key:48 packet:48 indices:u32+64^ digest:48
portion    digest:48 length:length
manifest   core:b69952 portions:portion+64 rows:row+1024^party,key
approval   suite:u16 officer:48 role:e9 time:u64 signature:b4627
batch      suite:u16 agreement:text key_set:48 count:c4096 signature:b4627
exported   version:v1 origin_epoch:16 class:u8 first:u64 leaves:c256 slot:u32 path:48*12 manifest:b524288 stanzas:stanza+1024
           ciphertexts:ciphertext+64 approvals:approval*16^officer index:u32 batch_path:48*12 batch:<batch> packets:packet*4096^.
outcomes   segment_id:48 outcomes:b256
ack        suite:u16 agreement:text key_set:48 consumer:text time:u64 agreement_log_seen:seen segments:outcomes+64^segment_id
duplicate  slot:u32 log_index:u64
refusal    slot:u32 code:e13
receipt    version:v1 origin:text255 agreement:text segment_id:48 first_agreement_sequence:u64 count:u32 log_index:u64 leaf_hash:32
           received_at:u64 admitted_at:u64 duplicates:duplicate*256^slot refusals:refusal*256^slot
signed     record:b16384 slot:u32 path:48*6 signature:b4627
slot       slot:u32 outcome:e4 leaf:48 report_id:16? code:e13? decision:u32
"""
_LIMITS: Final = {
    "core": 69952,
    "manifest": 1 << 19,
    "exported": 4 << 20,
    "batch": 1 << 13,
    "stanza": 12 + 64 * 36 + 16,
}
_SUCCESSORS: Final = 16
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_Kind = tuple[str, int, bool, str, int, str]


class FormError(ValueError):
    """Bytes that do not follow their format."""


def require(holds: object, otherwise: str) -> None:
    """Raise FormError with that sentence unless it holds."""
    if not holds:
        raise FormError(otherwise)


class _Reader:
    """A cursor over one record; `depth` counts labels inside labels."""

    def __init__(self, data: bytes, depth: int) -> None:
        self.data, self.at, self.depth = data, 0, depth

    def take(self, size: int) -> bytes:
        start, self.at = self.at, self.at + size
        require(self.at <= len(self.data), "ends too early")
        return self.data[start : self.at]

    def number(self, width: int, least: int = 0, last: int = (1 << 53) - 1) -> int:
        value = int.from_bytes(self.take(width), "big")
        require(least <= value <= last, f"an integer is {value}")
        return value

    def variable(self, limit: int) -> bytes:
        return self.take(self.number(4, last=limit))

    def value(self, kind: _Kind) -> Any:
        word, size, optional, many, limit, order = kind
        if not many:
            return self.one(word, size, optional=optional)
        items: list[Any] = []
        before: Any = None
        for _ in range(self.number(4, many == "+", limit)):
            start = self.at
            item = self.one(word, size, optional=optional)
            key: Any = [self.data[start : self.at]] if order in ("", "^") else [item]
            if order[1:2].isalpha():
                key = [item[name] for name in order[1:].split(",")]
            key = [one.encode() if isinstance(one, str) else one for one in key]
            require(not order or not items or key > before, "a set is not strictly ascending")
            before = key
            items.append(item)
        return items

    def one(self, word: str, size: int, *, optional: bool) -> Any:
        match word:
            case "":
                value = self.variable(size) if optional else self.take(size)
                require(len(value) in (0, size), f"a field has neither 0 nor {size} bytes")
                return value
            case "u" | "v":
                return self.number(size // 8) if word == "u" else self.number(2, size, size)
            case "c" | "e" | "flag":
                return self.number(4 if word == "c" else 1, word != "flag" and not optional, size or 1)
            case "first" | "length":
                return self.number(8, 1) if word == "first" else self.number(8, last=64 << 30)
            case "b":
                return self.variable(size)
            case "text":
                text = self.variable(size or 1024).decode()
                require(not _CONTROL.search(text), "a text holds a control character")
                require(text or optional, "a text is empty")
                return text
            case "texts":
                present = self.number(1, last=1) if optional else 1
                texts = self.value(("text", 0, False, "*", 64, "^."))
                require(present or not texts, "a set is absent and not empty")
                return texts if present else None
            case "stanza" | "ciphertext":
                tag = self.number(1, last=1 if word == "stanza" else 2)
                return self.variable(_LIMITS.get(word, 4 << 20)) if tag == 1 else None
            case "packet":
                return hashlib.sha384(pae("packet", self.variable(1616))).digest()
        if not word.startswith("<"):
            return {key: self.value(inner) for key, inner in _layout(word)}
        data = self.variable(_LIMITS.get(word[1:], 1 << 16))
        return read(word[1:], data, self.depth + optional) if data or not optional else None


@cache
def _layout(name: str) -> list[tuple[str, _Kind]]:
    row = re.search(rf"^{name} +(.+(?:\n .+)*)$", _FORMATS, re.MULTILINE)
    found = re.findall(r"(\w+):(<?[a-z]*)(\d*)>?(\??)([*+]?)(\d*)(\S*)", row[1] if row else "")
    return [
        (key, (w, int(n or 0), bool(e), many, int(limit or 0), order)) for key, w, n, e, many, limit, order in found
    ]


def read(name: str, data: bytes, depth: int = 0) -> dict[str, Any]:
    """Read a whole record by its name; raises FormError (or UnicodeDecodeError for a text that is not UTF-8)."""
    require(len(data) <= _LIMITS.get(name, 1 << 16) and depth <= _SUCCESSORS, f"{name}: over its limit")
    reader = _Reader(data, depth)
    value: dict[str, Any] = reader.one(name, 0, optional=False)
    require(reader.at == len(data), f"{name}: trailing bytes")
    require(_CHECKS.get(name, bool)(value), f"{name}: parts that contradict one another")
    return value


def read_exported(data: bytes) -> dict[str, Any]:
    """Read an exported envelope with its manifest, core and profile; adds ``leaf``."""
    exported = read("exported", data)
    exported["leaf"] = leaf384("manifest", exported["manifest"])
    manifest = exported["manifest"] = read("manifest", exported["manifest"])
    core = manifest["core"] = read("core", manifest["core"])
    core["profile"] = read("profile", core["profile"])
    return exported


def _receipt_holds(receipt: dict[str, Any]) -> bool:
    others = [one["slot"] for one in (*receipt["duplicates"], *receipt["refusals"])]
    slots = receipt["count"] + len(others)
    return 1 <= slots <= 256 and len(set(others)) == len(others) and max(others, default=0) < slots


_CHECKS: Final[dict[str, Callable[[Any], bool]]] = {
    "core": lambda core: (
        (core["report_id"][6] >> 4, core["report_id"][8] >> 6) == (7, 2)
        and core["created_at"] <= core["not_before"] < core["expires_at"]
    ),
    "profile": lambda profile: (profile["role"] == 0) == (not profile["officer"]),
    "ack": lambda ack: all(one["outcomes"] and max(one["outcomes"]) <= 6 for one in ack["segments"]),
    "receipt": _receipt_holds,
}
