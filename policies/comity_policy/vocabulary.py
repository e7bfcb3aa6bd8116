"""The closed vocabularies of agreements: versioned files of this package, each named by the SHA-384 of its bytes.

Rules in order:

1. A file is TOML: ``version`` and one table ``words``, word -> {meaning, parent?}. A parent is a word of the same file;
   only categories have any, and they form trees: a category grants its descendants.
2. An agreement names every vocabulary by digest. One that is not held here, missing or unknown refuses: a word is never
   guessed at.
3. Kinds of message and source types are words the code knows by itself (`facts.Kind`); their files say what they mean.

    words = bundled()
    words.descendants("terrorism"), words.digests["categories"]
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TypeVar

import msgspec

from comity_policy.strict_toml import tables_of

_T = TypeVar("_T")

NAMES = ("categories", "communities", "kinds", "offices", "parties", "purposes", "regions", "sources")


class VocabularyError(ValueError):
    """A vocabulary that is unknown, missing, damaged or not held here; `name` says which."""

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        super().__init__(message)


class _Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    meaning: str
    parent: str | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    words: dict[str, _Word]


@dataclass(frozen=True, slots=True)
class Vocabularies:
    """Words with their meanings, categories with their parents, and the digests that name the files. Immutable."""

    categories: Mapping[str, str | None]
    purposes: Mapping[str, str]
    regions: Mapping[str, str]
    kinds: Mapping[str, str]
    offices: Mapping[str, str]
    communities: Mapping[str, str]
    sources: Mapping[str, str]
    parties: Mapping[str, str]
    category_meanings: Mapping[str, str]
    digests: Mapping[str, str]

    def descendants(self, category: str) -> frozenset[str]:
        """Give the category and everything below it; empty when it is not a category."""
        return frozenset(one for one in self.categories if category in self.lineage(one))

    def lineage(self, category: str) -> tuple[str, ...]:
        """Give the category and what stands above it, up to the root; empty when it is not a category."""
        found: list[str] = []
        one: str | None = category if category in self.categories else None
        while one is not None:
            found.append(one)
            one = self.categories[one]
        return tuple(found)


@cache
def bundled() -> Vocabularies:
    """Give the vocabularies of this package."""
    return read({name: (files("comity_policy") / "vocabulary" / f"{name}.toml").read_bytes() for name in NAMES})


def read(contents: Mapping[str, bytes]) -> Vocabularies:
    """Give the vocabularies that the bytes of all files say; raises VocabularyError."""
    parsed = {name: _file(name, contents[name]) for name in NAMES}
    meanings = {name: _frozen({word: one.meaning for word, one in words.items()}) for name, words in parsed.items()}
    return Vocabularies(
        categories=_frozen({word: one.parent for word, one in parsed["categories"].items()}),
        purposes=meanings["purposes"],
        regions=meanings["regions"],
        kinds=meanings["kinds"],
        offices=meanings["offices"],
        communities=meanings["communities"],
        sources=meanings["sources"],
        parties=meanings["parties"],
        category_meanings=meanings["categories"],
        digests=_frozen({name: digest_of(contents[name]) for name in NAMES}),
    )


def digest_of(data: bytes) -> str:
    """Give the name an agreement has for a vocabulary file: ``sha384:`` and the SHA-384 of its bytes."""
    return "sha384:" + hashlib.sha384(data).hexdigest()


def resolve(vocabularies: Mapping[str, str]) -> Vocabularies:
    """Give the vocabularies an agreement names by digest; raises VocabularyError for one that is not held here."""
    held = bundled()
    for name in vocabularies:
        if name not in NAMES:
            raise VocabularyError(name, f"unknown vocabulary {name!r}; known are {', '.join(NAMES)}")
    for name in NAMES:
        if name not in vocabularies:
            raise VocabularyError(name, f"vocabulary {name!r} is not named")
        if vocabularies[name] != held.digests[name]:
            raise VocabularyError(name, f"this version of {name!r} is not held here; held is {held.digests[name]}")
    return held


def _file(name: str, data: bytes) -> Mapping[str, _Word]:
    try:
        words = msgspec.convert(tables_of(data), _File, strict=True).words
    except (ValueError, msgspec.ValidationError) as error:
        raise VocabularyError(name, f"vocabulary {name!r} is damaged: {error}") from error
    for word, one in words.items():
        if one.parent is not None and name != "categories":
            raise VocabularyError(name, f"{word!r} has a parent, which only categories have")
        above, steps = one.parent, 0
        while above is not None:
            if above not in words or steps > len(words):
                raise VocabularyError(name, f"{word!r} does not lead to a root of the tree")
            above, steps = words[above].parent, steps + 1
    return words


def _frozen(words: dict[str, _T]) -> Mapping[str, _T]:
    return MappingProxyType(words)
