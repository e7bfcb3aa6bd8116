"""The symbols of a z3 model: which values the words of a domain have, and what holds between symbols whatever the agreement.

Rules in order:

1. A number is an `Int`, never a bit-vector, which wraps silently. A word is an enumeration; a set of words is one truth for
   each value of it.
2. Words that no condition tells apart are one value; the last value of a domain is all that no condition names. A value that
   stands for several words is vague: whether two attributes then have the same word is a symbol of its own, held by
   axioms to what the values say.
3. What is not there has its neutral value, and a closed domain has no other words.

Every model has a z3 context of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, assert_never

import z3

from comity_policy.analysis.attributes import CLOSED
from comity_policy.analysis.terms import (
    Among,
    Amount,
    AnyOf,
    AtMost,
    Attribute,
    Beyond,
    Every,
    Is,
    Meets,
    Member,
    Not,
    Nothing,
    NumberAmong,
    OnlyOf,
    Relation,
    Same,
    Some,
    Sort,
    Term,
    Truth,
    attributes_of,
    walk,
)


@dataclass(frozen=True, slots=True)
class Domain:
    """The values of a domain: the words each stands for; the last is for every word that is not listed."""

    name: str
    values: tuple[tuple[str, ...], ...]

    @property
    def other(self) -> int:
        """Give the value of what is not listed."""
        return len(self.values) - 1

    def of(self, word: str) -> int:
        """Give the value that stands for a word."""
        return next((at for at, words in enumerate(self.values) if word in words), self.other)

    def within(self, words: frozenset[str]) -> tuple[int, ...]:
        """Give the values for these words, the constant of a condition: none of them stands for another word too."""
        return tuple(at for at, listed in enumerate(self.values) if listed and listed[0] in words)

    def is_vague(self, value: int) -> bool:
        """Say whether a value stands for several words."""
        return len(self.values[value]) != 1

    def word(self, value: int, number: int = 0) -> str:
        """Give one of the words a value stands for, by number; the last of them where there are fewer."""
        listed = self.values[value]
        return listed[min(number, len(listed) - 1)] if listed else f"{self.name} of nobody {number}"


def domains(terms: Iterable[Term]) -> Mapping[str, Domain]:
    """Give the domains of all attributes in the terms, with no more values than the terms tell apart."""
    constants: dict[str, list[frozenset[str]]] = {}
    for term in terms:
        for part in walk(term):
            for attribute in attributes_of(part):
                constants.setdefault(attribute.domain, [])
            if isinstance(part, Among | OnlyOf | AnyOf):
                constants[part.attribute.domain].append(part.words)
    return {name: _domain(name, tuple(dict.fromkeys(sets))) for name, sets in constants.items() if name}


def _domain(name: str, constants: tuple[frozenset[str], ...]) -> Domain:
    alike: dict[tuple[bool, ...], list[str]] = {}
    # The empty word is what a fact has that is not known: no other word stands with it.
    told = (*constants, frozenset({""}))
    for word in sorted(frozenset(CLOSED.get(name, ())).union(*constants)):
        alike.setdefault(tuple(word in one for one in told), []).append(word)
    return Domain(name, (*map(tuple, alike.values()), ()))


class Symbols:
    """The symbols of some terms, and the axioms between them.

    A context may be shared, which takes z3 long to make: then `place` tells the enumerations of each apart.
    """

    def __init__(self, terms: Iterable[Term], context: Any = None, place: str = "") -> None:
        listed = tuple(terms)
        self.context = z3.Context() if context is None else context
        self._place = place
        self.domains = domains(listed)
        self.relations: dict[Relation, Any] = {}
        self._symbols: dict[Attribute, Any] = {}
        self._is_value: dict[tuple[Attribute, int], Any] = {}
        self._truths = {one: z3.BoolVal(one, self.context) for one in (False, True)}
        for attribute in dict.fromkeys(one for term in listed for part in walk(term) for one in attributes_of(part)):
            self._symbols[attribute] = self._symbol(attribute)

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Give the attributes the terms ask for."""
        return tuple(self._symbols)

    def domain(self, attribute: Attribute) -> Domain:
        """Give the domain of an attribute's words."""
        return self.domains[attribute.domain]

    def symbol(self, attribute: Attribute) -> Any:
        """Give the symbol of a truth, number or word; a list of truths, by value, for a set of words."""
        return self._symbols[attribute]

    def constant(self, attribute: Attribute, value: int) -> Any:
        """Give a value of an attribute's enumeration."""
        return self._enumerations[attribute.domain][1][value]

    @cached_property
    def _enumerations(self) -> Mapping[str, tuple[Any, Any]]:
        return {
            name: z3.EnumSort(
                f"{name}{self._place}",
                [f"{name}{self._place}:{at}" for at in range(len(one.values))],
                self.context,
            )
            for name, one in self.domains.items()
        }

    def _symbol(self, attribute: Attribute) -> Any:
        name = f"{attribute.owner}.{attribute.name}"
        match attribute.sort:
            case Sort.TRUTH:
                return z3.Bool(name, self.context)
            case Sort.NUMBER:
                return z3.Int(name, self.context)
            case Sort.WORD:
                return z3.Const(name, self._enumerations[attribute.domain][0])
            case Sort.WORDS:
                values = range(len(self.domain(attribute).values))
                return [z3.Bool(f"{name}:{value}", self.context) for value in values]
            case _:
                assert_never(attribute.sort)

    def formula(self, term: Term) -> Any:
        """Give the formula of a term."""
        match term:
            case Truth(value):
                return self._truths[value]
            case Is(attribute):
                return self.symbol(attribute)
            case Not(part):
                return self._not(self.formula(part))
            case Every(parts):
                return self.all_of(map(self.formula, parts))
            case Some(parts):
                return self.one_of(map(self.formula, parts))
            case AtMost(left, right):
                return self._amount(left) <= self._amount(right)
            case NumberAmong(attribute, numbers):
                return self.one_of(self.symbol(attribute) == number for number in sorted(numbers))
            case Among(attribute, words):
                return self.one_of(self.is_value(attribute, one) for one in self.domain(attribute).within(words))
            case OnlyOf(attribute, words):
                return self._not(self.one_of(self._outside(attribute, self.domain(attribute).within(words))))
            case AnyOf(attribute, words):
                return self.one_of(self.symbol(attribute)[one] for one in self.domain(attribute).within(words))
            case Nothing(attribute):
                return self._not(self.one_of(self.symbol(attribute)))
            case Same() | Member() | Beyond() | Meets():
                return self._relation(term)
            case _:
                assert_never(term)

    def _relation(self, term: Relation) -> Any:
        if term not in self.relations:
            self.relations[term] = z3.Bool(f"relation {len(self.relations)}", self.context)
        return self.relations[term]

    def all_of(self, formulas: Iterable[Any]) -> Any:
        """Give the conjunction, true for none."""
        return self._joined(z3.Z3_mk_and, [*formulas, self._truths[True]])

    def one_of(self, formulas: Iterable[Any]) -> Any:
        """Give the disjunction, false for none."""
        return self._joined(z3.Z3_mk_or, [*formulas, self._truths[False]])

    def _both(self, one: Any, other: Any) -> Any:
        return self._joined(z3.Z3_mk_and, [one, other])

    def _not(self, formula: Any) -> Any:
        return z3.BoolRef(z3.Z3_mk_not(self.context.ref(), formula.as_ast()), self.context)

    def _implies(self, one: Any, other: Any) -> Any:
        return z3.BoolRef(z3.Z3_mk_implies(self.context.ref(), one.as_ast(), other.as_ast()), self.context)

    def _joined(self, make: Callable[[Any, int, Any], Any], formulas: Sequence[Any]) -> Any:
        """Join formulas as `z3.And` and its like do, which ask of each in turn what sort it has: that takes most of a proof's time."""
        listed = (z3.Ast * len(formulas))(*(one.as_ast() for one in formulas))
        return z3.BoolRef(make(self.context.ref(), len(formulas), listed), self.context)

    def is_value(self, attribute: Attribute, value: int) -> Any:
        """Give whether a word has that value."""
        if (attribute, value) not in self._is_value:
            self._is_value[attribute, value] = self.symbol(attribute) == self.constant(attribute, value)
        return self._is_value[attribute, value]

    def _outside(self, attribute: Attribute, values: tuple[int, ...]) -> Iterator[Any]:
        return (one for at, one in enumerate(self.symbol(attribute)) if at not in values)

    def _amount(self, amount: Amount) -> Any:
        return sum(map(self.symbol, amount.attributes), z3.IntVal(amount.plus, self.context))

    def axioms(self) -> Iterator[Any]:
        """Give what holds of every case; to be asked for when all formulas are made."""
        for relation, symbol in tuple(self.relations.items()):
            yield from self._of_relation(relation, symbol)
        for attribute in self.attributes:
            if attribute.known in self._symbols:
                yield self._joined(z3.Z3_mk_or, [self.symbol(attribute.known), self._is_neutral(attribute)])
                if attribute.sort is Sort.WORD and "" in CLOSED.get(attribute.domain, ()):
                    # The empty word of a closed domain stands for what is not known, and is no value of its own.
                    yield self._implies(self.symbol(attribute.known), self._not(self._is_neutral(attribute)))
            if attribute.domain in CLOSED:
                yield self._not(self._has_other(attribute))

    def _is_neutral(self, attribute: Attribute) -> Any:
        symbol = self.symbol(attribute)
        match attribute.sort:
            case Sort.TRUTH:
                return self._not(symbol)
            case Sort.NUMBER:
                return symbol == 0
            case Sort.WORD:
                return self.is_value(attribute, self.domain(attribute).of(""))
            case Sort.WORDS:
                return self._not(self.one_of(symbol))
            case _:
                assert_never(attribute.sort)

    def _has_other(self, attribute: Attribute) -> Any:
        other = self.domain(attribute).other
        return self.is_value(attribute, other) if attribute.sort is Sort.WORD else self.symbol(attribute)[other]

    def _of_relation(self, relation: Relation, symbol: Any) -> Iterator[Any]:
        """Hold a relation to the values: exactly where they are not vague, as far as they say anything where they are."""
        match relation:
            case Same(one, other):
                equal = [(at, self._both(self.is_value(one, at), self.is_value(other, at))) for at in self._values(one)]
                yield from self._between(symbol, one, equal)
            case Meets(one, other):
                sets = zip(self.symbol(one), self.symbol(other), strict=True)
                yield from self._between(symbol, one, [(at, self._both(*both)) for at, both in enumerate(sets)])
            case Member(word, words):
                there = [(at, self._both(self.is_value(word, at), self.symbol(words)[at])) for at in self._values(word)]
                yield from self._between(symbol, word, there)
            case Beyond(words, word):
                for at in self._values(word):
                    others = self.one_of(self._outside(words, (at,)))
                    surely, perhaps = others, self.one_of(self.symbol(words))
                    is_it = self.is_value(word, at)
                    yield self._implies(self._both(is_it, surely), symbol)
                    yield self._implies(
                        self._both(is_it, symbol), perhaps if self.domain(word).is_vague(at) else surely
                    )
            case _:
                assert_never(relation)

    def _values(self, attribute: Attribute) -> range:
        return range(len(self.domain(attribute).values))

    def _between(self, symbol: Any, attribute: Attribute, agreeing: list[tuple[int, Any]]) -> Iterator[Any]:
        """Agreeing in a vague value may be the relation, agreeing in another is it, and without it there is none."""
        is_vague = self.domain(attribute).is_vague
        yield self._implies(symbol, self.one_of(agree for _, agree in agreeing))
        yield from (self._implies(agree, symbol) for at, agree in agreeing if not is_vague(at))
