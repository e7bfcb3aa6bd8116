"""Conditions over the attributes of a case, as plain values: what Cedar policies and z3 formulas are written from.

Rules in order:

1. Every attribute always has a value, so nothing can fail: whether a fact is there is an attribute of its own (``..._known``),
   and one that is not there has a neutral value (`attributes`).
2. Words are compared with constants, or with the words of another attribute; numbers with numbers. There is nothing else.
3. A renderer (`cedar`, `solver`) handles every term or fails: `Term` is closed, and the type checker holds them to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import assert_never


class Owner(StrEnum):
    """Whose an attribute is, by the word Cedar has for it."""

    NODE = "principal"
    REPORT = "resource"
    MOMENT = "context"


class Sort(Enum):
    """What an attribute holds."""

    TRUTH = "Bool"
    NUMBER = "Long"
    WORD = "String"
    WORDS = "Set<String>"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute. `domain` says what its words are: only words of one domain are compared.

    `known` says whether it is there; where it is not, its value is neutral.
    """

    owner: Owner
    name: str
    sort: Sort
    domain: str = ""
    known: Attribute | None = None

    def __hash__(self) -> int:
        # Attributes are looked up very often, and hardly two have the same name.
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class Truth:
    """Always, or never."""

    value: bool


@dataclass(frozen=True, slots=True)
class Is:
    """The attribute is true."""

    attribute: Attribute


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Term


@dataclass(frozen=True, slots=True)
class Every:
    """All parts hold."""

    parts: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part holds."""

    parts: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Amount:
    """The sum of attributes' numbers and a constant."""

    attributes: tuple[Attribute, ...]
    plus: int = 0


@dataclass(frozen=True, slots=True)
class AtMost:
    """The left amount is not above the right one."""

    left: Amount
    right: Amount


@dataclass(frozen=True, slots=True)
class NumberAmong:
    """The number is one of these."""

    attribute: Attribute
    numbers: frozenset[int]


@dataclass(frozen=True, slots=True)
class Among:
    """The word is one of these."""

    attribute: Attribute
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class OnlyOf:
    """All the attribute's words are among these."""

    attribute: Attribute
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the attribute's words is among these."""

    attribute: Attribute
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class Nothing:
    """The attribute has no word."""

    attribute: Attribute


@dataclass(frozen=True, slots=True)
class Same:
    """Two attributes are the same word."""

    one: Attribute
    other: Attribute


@dataclass(frozen=True, slots=True)
class Member:
    """A word is one of the words of another attribute."""

    word: Attribute
    words: Attribute


@dataclass(frozen=True, slots=True)
class Beyond:
    """Among the words is another than the word."""

    words: Attribute
    word: Attribute


@dataclass(frozen=True, slots=True)
class Meets:
    """Two attributes have a word in common."""

    one: Attribute
    other: Attribute


Relation = Same | Member | Beyond | Meets
OverConstants = Among | OnlyOf | AnyOf
Term = Truth | Is | Not | Every | Some | AtMost | NumberAmong | OverConstants | Nothing | Relation

TRUE = Truth(value=True)
FALSE = Truth(value=False)


def every(*parts: Term) -> Term:
    """Give a term that holds where all parts do, as short as the constants among them let it be."""
    kept = tuple(part for part in parts if part != TRUE)
    if FALSE in kept:
        return FALSE
    return kept[0] if len(kept) == 1 else Every(kept) if kept else TRUE


def some(*parts: Term) -> Term:
    """Give a term that holds where one part does, as short as the constants among them let it be."""
    kept = tuple(part for part in parts if part != FALSE)
    if TRUE in kept:
        return TRUE
    return kept[0] if len(kept) == 1 else Some(kept) if kept else FALSE


def no(part: Term) -> Term:
    """Give a term that holds where the part does not."""
    match part:
        case Truth(value):
            return Truth(not value)
        case Not(inner):
            return inner
        case _:
            return Not(part)


def among(attribute: Attribute, words: Iterable[str]) -> Term:
    """Give whether the word is one of these."""
    listed = frozenset(words)
    return Among(attribute, listed) if listed else FALSE


def only_of(attribute: Attribute, words: Iterable[str]) -> Term:
    """Give whether all the words are among these."""
    listed = frozenset(words)
    return OnlyOf(attribute, listed) if listed else Nothing(attribute)


def any_of(attribute: Attribute, words: Iterable[str]) -> Term:
    """Give whether one of the words is among these."""
    listed = frozenset(words)
    return AnyOf(attribute, listed) if listed else FALSE


def holds(attribute: Attribute, word: str) -> Term:
    """Give whether this is one of the words."""
    return AnyOf(attribute, frozenset({word}))


def amount(*parts: Attribute | int) -> Amount:
    """Give the sum of attributes and numbers."""
    attributes = tuple(part for part in parts if isinstance(part, Attribute))
    return Amount(attributes, sum(part for part in parts if isinstance(part, int)))


def at_most(left: Amount | Attribute, right: Amount | Attribute | int) -> Term:
    """Give whether the left amount is not above the right one."""
    return AtMost(_amount(left), _amount(right))


def below(left: Amount | Attribute, right: Amount | Attribute | int) -> Term:
    """Give whether the left amount is under the right one."""
    return Not(AtMost(_amount(right), _amount(left)))


def _amount(one: Amount | Attribute | int) -> Amount:
    return one if isinstance(one, Amount) else amount(one)


def walk(term: Term) -> Iterator[Term]:
    """Give the term and every part of it."""
    yield term
    match term:
        case Not(part):
            yield from walk(part)
        case Every(parts) | Some(parts):
            for part in parts:
                yield from walk(part)
        case _:
            return


def attributes_of(term: Term) -> Iterator[Attribute]:
    """Give the attributes one term (without its parts) compares."""
    match term:
        case Is(one) | Nothing(one) | NumberAmong(one, _) | Among(one, _) | OnlyOf(one, _) | AnyOf(one, _):
            yield one
        case Same(one, other) | Member(one, other) | Beyond(one, other) | Meets(one, other):
            yield from (one, other)
        case AtMost(left, right):
            yield from (*left.attributes, *right.attributes)
        case Truth() | Not() | Every() | Some():
            return
        case _:
            assert_never(term)
