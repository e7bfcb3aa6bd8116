"""The z3 model of an agreement: it decides single cases as the engine does, and finds a case of which conditions hold, or none.

`Z3Model.decide` gives a case's values to the symbols and reads which conditions hold: the comparison with the other
evaluations is what makes the proofs believable. `find` asks for any case at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import z3

from comity_policy.analysis.attributes import Value, Values
from comity_policy.analysis.conditions import Condition, Section, decision_of, sections
from comity_policy.analysis.symbols import Symbols
from comity_policy.analysis.terms import FALSE, Attribute, Beyond, Meets, Member, Relation, Same, Sort, Term
from comity_policy.analysis.values import values_of
from comity_policy.decision import Decision
from comity_policy.facts import Moment, NodeFacts, Profile, Times
from comity_policy.lowering import Source

_PATIENCE_MS = 60_000


class UnsolvedError(Exception):
    """z3 gave up on a question, so that nothing is known."""


@dataclass(frozen=True, slots=True)
class Example:
    """A case of which what was asked holds: values for the attributes that were asked about, and how they relate."""

    values: Values
    relations: Mapping[Relation, bool]


def find(wanted: Sequence[Term], wishes: Sequence[Term] = ()) -> Example | None:
    """Give a case of which everything wanted holds, and as many wishes as can be in their order; None: there is none.

    Raises UnsolvedError where z3 does not know.
    """
    # Mostly there is none, which is known sooner without the wishes.
    if FALSE in wanted or not Search(wanted).is_possible():
        return None
    return Search(wanted, wishes).example(wishes)


class Search:
    """A search for cases of which some terms hold; `more` are the terms that single questions may ask for besides."""

    def __init__(self, always: Sequence[Term], more: Sequence[Term] = ()) -> None:
        self._symbols = symbols = Symbols((*always, *more))
        self._formulas = {term: symbols.formula(term) for term in (*always, *more)}
        self._solver = z3.Solver(ctx=symbols.context)
        self._solver.set("timeout", _PATIENCE_MS)
        self._solver.add(*(self._formulas[term] for term in always), *symbols.axioms())

    def is_possible(self) -> bool:
        """Say whether there is a case at all."""
        return _is_satisfied(self._solver)

    def example(self, wishes: Sequence[Term], wanted: Sequence[Term] = ()) -> Example | None:
        """Give a case of which what is wanted holds too, and as many wishes as can be in their order."""
        before = self._solver.num_scopes()
        self._solver.push()
        self._solver.add(*(self._formulas[term] for term in wanted))
        found = _is_satisfied(self._solver)
        for wish in wishes if found else ():
            self._solver.push()
            self._solver.add(self._formulas[wish])
            if not _is_satisfied(self._solver):
                self._solver.pop()
        example = _example(self._symbols, self._solver.model()) if found and self.is_possible() else None
        self._solver.pop(self._solver.num_scopes() - before)
        return example


def _is_satisfied(solver: Any) -> bool:
    answer = solver.check()
    if answer == z3.unknown:
        raise UnsolvedError(f"z3 gave up: {solver.reason_unknown()}")
    return bool(answer == z3.sat)


def _example(symbols: Symbols, model: Any) -> Example:
    relations = {one: _is_true(model, symbol) for one, symbol in symbols.relations.items()}
    values = {one: _value(symbols, model, one) for one in symbols.attributes}
    for relation, holds in relations.items():
        _tell_apart(symbols, values, relation, holds=holds)
    return Example(values, relations)


def _is_true(model: Any, formula: Any) -> bool:
    return bool(z3.is_true(model.eval(formula, model_completion=True)))


def _value(symbols: Symbols, model: Any, attribute: Attribute) -> Value:
    symbol = symbols.symbol(attribute)
    match attribute.sort:
        case Sort.TRUTH:
            return _is_true(model, symbol)
        case Sort.NUMBER:
            return int(model.eval(symbol, model_completion=True).as_long())
        case Sort.WORD:
            domain = symbols.domain(attribute)
            found = range(len(domain.values))
            return domain.word(next(at for at in found if _is_true(model, symbols.is_value(attribute, at))))
        case Sort.WORDS:
            domain = symbols.domain(attribute)
            return frozenset(domain.word(at) for at, one in enumerate(symbol) if _is_true(model, one))
        case _:
            assert_never(attribute.sort)


def _tell_apart(symbols: Symbols, values: dict[Attribute, Value], relation: Relation, *, holds: bool) -> None:
    """Give one attribute another word of the same value where two of them are not to have the same one, or one more."""
    match relation:
        case Same(one, other) if not holds and values[one] == values[other]:
            values[one] = _second(symbols, one, str(values[one]))
        case Beyond(words, word) if holds and _words(values, words) == {str(values[word])}:
            values[words] = frozenset({str(values[word]), _second(symbols, word, str(values[word]))})
        case _:
            return


def _second(symbols: Symbols, attribute: Attribute, word: str) -> str:
    domain = symbols.domain(attribute)
    return domain.word(domain.of(word), 1)


class Z3Model:
    """An agreement that z3 decides. Immutable; a section is put in formulas when it is first asked for."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._sections: dict[tuple[str, str], tuple[Section, ...]] = {}
        self._made: dict[tuple[str, str, int], _Formulas] = {}
        self._context = z3.Context()

    def decide(self, profile: Profile, times: Times, portion_index: int, node: NodeFacts, moment: Moment) -> Decision:
        """Decide one portion for one recipient node, by what the formulas say.

        Raises IndexError for a portion the profile does not have.
        """
        return self.judge(profile, times, portion_index, node, moment)[0]

    def judge(
        self, profile: Profile, times: Times, portion_index: int, node: NodeFacts, moment: Moment
    ) -> tuple[Decision, bool]:
        """Decide as `decide`, and say whether the axioms allow the case: if not, a proof would not have looked at it."""
        made = self._of(profile, times, node, moment)
        model = made.model_of(values_of(profile, times, portion_index, node, moment))
        violated = [one for one, formula in made.formulas.items() if made.holds(model, formula)]
        return decision_of(self.source, made.section, violated), made.holds(model, made.allowed)

    def _of(self, profile: Profile, times: Times, node: NodeFacts, moment: Moment) -> _Formulas:
        pair = (profile.originator.party, node.party)
        if pair not in self._sections:
            self._sections[pair] = sections(self.source, *pair)
        at, section = next(
            (at, one)
            for at, one in enumerate(self._sections[pair])
            if one.point is moment.point and one.window.holds(times.created_at)
        )
        if (*pair, at) not in self._made:
            self._made[*pair, at] = _Formulas.of(section, self._context, f" {len(self._made)}")
        return self._made[*pair, at]


@dataclass(frozen=True, slots=True)
class _Formulas:
    section: Section
    symbols: Symbols
    formulas: Mapping[Condition, Any]
    # What the axioms say together.
    allowed: Any
    # What z3 calls each symbol; asking for it again for every case would take most of the time.
    declared: Mapping[Attribute | Relation, Any]
    # Values that came before: they come again.
    numbers: dict[int, Any]
    truths: tuple[Any, Any]

    @classmethod
    def of(cls, section: Section, context: Any, place: str) -> _Formulas:
        symbols = Symbols((one.term for one in section.conditions), context, place)
        formulas = {one: symbols.formula(one.term) for one in section.conditions}
        allowed = symbols.all_of(symbols.axioms())
        declared: dict[Attribute | Relation, Any] = {one: _declared(symbols.symbol(one)) for one in symbols.attributes}
        declared |= {one: _declared(symbol) for one, symbol in symbols.relations.items()}
        no, yes = (z3.BoolVal(one, symbols.context) for one in (False, True))
        return cls(section, symbols, formulas, allowed, declared, {}, (no, yes))

    def model_of(self, values: Values) -> Any:
        """Give the model in which every symbol has the case's value.

        It is filled as `z3.ModelRef.update_value` does, and asked as `eval` and `z3.is_true` do, which look at each argument's kind
        and wrap each answer: for very many cases that takes most of the time.
        """
        model = z3.Model(self.symbols.context)
        context = self.symbols.context.ref()
        for declared, value in self._assignments(values):
            z3.Z3_add_const_interp(context, model.model, declared.ast, value.as_ast())
        return model

    def holds(self, model: Any, formula: Any) -> bool:
        """Say whether a formula is true in a model that has a value for each of its symbols."""
        context, found = self.symbols.context.ref(), (z3.Ast * 1)()
        if not z3.Z3_model_eval(context, model.model, formula.as_ast(), True, found):
            raise UnsolvedError("z3 does not say what a formula is in a model")
        return bool(z3.Z3_get_bool_value(context, found[0]) == z3.Z3_L_TRUE)

    def _assignments(self, values: Values) -> Iterator[tuple[Any, Any]]:
        symbols, declared = self.symbols, self.declared
        no, yes = self.truths
        for attribute in symbols.attributes:
            value = values[attribute]
            if isinstance(value, bool):
                yield declared[attribute], yes if value else no
            elif isinstance(value, int):
                if value not in self.numbers:
                    self.numbers[value] = z3.IntVal(value, symbols.context)
                yield declared[attribute], self.numbers[value]
            elif isinstance(value, str):
                yield declared[attribute], symbols.constant(attribute, symbols.domain(attribute).of(value))
            else:
                there = {symbols.domain(attribute).of(word) for word in value}
                yield from ((one, yes if at in there else no) for at, one in enumerate(declared[attribute]))
        for relation in symbols.relations:
            yield declared[relation], yes if _holds(relation, values) else no


def _declared(symbol: Any) -> Any:
    return [one.decl() for one in symbol] if isinstance(symbol, list) else symbol.decl()


def _holds(relation: Relation, values: Values) -> bool:
    match relation:
        case Same(one, other):
            return values[one] == values[other]
        case Member(word, words):
            return values[word] in _words(values, words)
        case Beyond(words, word):
            return not _words(values, words) <= {str(values[word])}
        case Meets(one, other):
            return not _words(values, one).isdisjoint(_words(values, other))
        case _:
            assert_never(relation)


def _words(values: Values, attribute: Attribute) -> frozenset[str]:
    found = values[attribute]
    return found if isinstance(found, frozenset) else frozenset()
