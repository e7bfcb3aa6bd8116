"""The Cedar twin: an agreement as Cedar policies and schema, which anybody's Cedar can validate and run, and its evaluation here.

Rules in order:

1. One `forbid` for each reason for which a clause can be violated, one `permit` for each grant. Every policy is annotated with
   its clause (``@clause``) and, a `forbid`, with the reason (``@reason``); its ``@id`` names it once in the whole text, so
   the determining policies of an answer name the clauses.
2. Every attribute is always there (`attributes`), whether its fact is or not: Cedar leaves out a `forbid` that cannot be
   evaluated, which would permit. The text passes the strict validator, so only arithmetic can fail.
3. Anything in the diagnostics' errors denies: a failed policy, a fact that does not fit the schema, a number too large.

A `Node` and a `Portion` are in the `Party` they belong to and come from; the actions are the points of decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import cedarpy

from comity_policy.analysis.attributes import CREATED_AT, Value, Values
from comity_policy.analysis.conditions import (
    RECALLING,
    Condition,
    Section,
    Window,
    decision_of,
    directions,
    every_attribute,
    sections,
)
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
    Owner,
    Same,
    Some,
    Term,
    Truth,
)
from comity_policy.analysis.values import values_of
from comity_policy.analysis.verdicts.parts import applies
from comity_policy.decision import Baseline, Decision, Reason, Violation
from comity_policy.facts import Moment, NodeFacts, Point, Profile, Times
from comity_policy.lowering import Source, grants

ACTIONS: Mapping[Point, str] = {point: point.name.lower() for point in Point}
# What is decided where Cedar cannot decide: nothing is permitted, and no clause is to blame.
UNDECIDED = Violation("cedar/errors", Reason.DENIED)


_STRANGERS = {"id": f"strangers/{Baseline.PARTIES}", "clause": str(Baseline.PARTIES), "reason": str(Reason.DENIED)}
_WIDTH, _INDENT = 120, 4


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy: what it says, and the condition it is (None: a grant, which permits)."""

    policy_id: str
    text: str
    condition: Condition | None


def schema(source: Source) -> str:
    """Give the schema of an agreement's twin."""
    attributes = every_attribute(section for pair in directions(source) for section in sections(source, *pair))
    return _schema(attributes)


def _schema(attributes: Iterable[Attribute]) -> str:
    node, report, moment = (
        ", ".join(f"{one.name}: {one.sort.value}" for one in attributes if one.owner is owner) for owner in Owner
    )
    return (
        "entity Party;\n"
        f"entity Node in [Party] {{ {node} }};\n"
        f"entity Portion in [Party] {{ {report} }};\n"
        f"action {', '.join(ACTIONS.values())} appliesTo {{\n"
        f"  principal: Node, resource: Portion, context: {{ {moment} }}\n}};\n"
    )


def policies(source: Source) -> str:
    """Give the policies of all directions of an agreement, and one that forbids what is in none of them."""
    pairs = tuple(directions(source))
    known = " || ".join(_between(*pair) for pair in pairs)
    strangers = f"{_heads(_STRANGERS)}forbid(principal, action, resource)\nunless {{ {known} }};\n"
    texts = (one.text for pair in pairs for one in direction_policies(source, *pair))
    return cedarpy.format_policies("\n".join((*texts, strangers)), _WIDTH, _INDENT)


def _between(from_party: str, to_party: str) -> str:
    return f"(resource in Party::{quoted(from_party)} && principal in Party::{quoted(to_party)})"


def direction_policies(source: Source, from_party: str, to_party: str) -> tuple[Policy, ...]:
    """Give the policies of one direction; those that say the same at several points or times are one."""
    made = sections(source, from_party, to_party)
    places: dict[Condition, list[Section]] = {}
    for section in made:
        for condition in section.conditions:
            places.setdefault(condition, []).append(section)
    return (
        *_permits(source, made[0]),
        *(
            policy
            for condition, where in places.items()
            for policy in _forbids(condition, where, {one.window for one in made})
        ),
    )


def _permits(source: Source, section: Section) -> Iterator[Policy]:
    for grant in grants(source, section.direction, suspended=False):
        heads = {"id": f"{_name(section)}/{grant.clause_id}/permit", "clause": grant.clause_id}
        scope = _scope(section, Point)
        yield Policy(heads["id"], f"{_heads(heads)}permit({scope}){_when(_cedar(applies(grant)))};\n", None)
    heads = {"id": f"{_name(section)}/{Baseline.GRANT}/recall", "clause": str(Baseline.GRANT)}
    scope = _scope(section, Point)
    yield Policy(heads["id"], f"{_heads(heads)}permit({scope}){_when(_cedar(RECALLING))};\n", None)


def _forbids(condition: Condition, where: Sequence[Section], windows: set[Window]) -> Iterator[Policy]:
    """Give one policy for each set of points at which the condition holds in the same windows."""
    by_points: dict[tuple[Point, ...], list[Window]] = {}
    for window in dict.fromkeys(one.window for one in where):
        points = tuple(one.point for one in where if one.window == window)
        by_points.setdefault(points, []).append(window)
    for points, made in by_points.items():
        limited = made if len(made) < len(windows) else []
        place = "".join((*points, *(f"@{one.begins_at or 0}" for one in limited)))
        clause, reason = condition.clause_id, str(condition.reason)
        heads = {"id": f"{_name(where[0])}/{place}/{clause}/{reason}", "clause": clause, "reason": reason}
        when = _when(" || ".join(map(_made_in, limited)), _cedar(condition.term))
        yield Policy(heads["id"], f"{_heads(heads)}forbid({_scope(where[0], points)}){when};\n", condition)


def _name(section: Section) -> str:
    return "-".join(section.parties)


def _heads(annotations: Mapping[str, str]) -> str:
    return "".join(f"@{name}({quoted(value)})\n" for name, value in annotations.items())


def _scope(section: Section, points: Iterable[Point]) -> str:
    from_party, to_party = map(quoted, section.parties)
    actions = ", ".join(f'Action::"{ACTIONS[point]}"' for point in points)
    return f"principal in Party::{to_party}, action in [{actions}], resource in Party::{from_party}"


def _when(*conditions: str) -> str:
    return "".join(f"\nwhen {{ {one} }}" for one in conditions if one)


def _made_in(window: Window) -> str:
    created = _path(CREATED_AT)
    bounds = (
        f"{created} >= {window.begins_at}" if window.begins_at is not None else "",
        f"{created} < {window.ends_at}" if window.ends_at is not None else "",
    )
    return "(" + " && ".join(filter(None, bounds)) + ")"


def _cedar(term: Term) -> str:
    match term:
        case Truth(value):
            return "true" if value else "false"
        case Is(attribute):
            return _path(attribute)
        case Not(part):
            return f"!{_operand(part)}"
        case Every(parts):
            return " && ".join(map(_operand, parts))
        case Some(parts):
            return " || ".join(map(_operand, parts))
        case AtMost(left, right):
            return f"{_amount(left)} <= {_amount(right)}"
        case NumberAmong(attribute, numbers):
            return f"[{', '.join(map(str, sorted(numbers)))}].contains({_path(attribute)})"
        case Among(attribute, words) if len(words) == 1:
            return f"{_path(attribute)} == {quoted(*words)}"
        case Among(attribute, words):
            return f"{_set(words)}.contains({_path(attribute)})"
        case OnlyOf(attribute, words):
            return f"{_set(words)}.containsAll({_path(attribute)})"
        case AnyOf(attribute, words) if len(words) == 1:
            return f"{_path(attribute)}.contains({quoted(*words)})"
        case AnyOf(attribute, words):
            return f"{_path(attribute)}.containsAny({_set(words)})"
        case Nothing(attribute):
            return f"{_path(attribute)}.isEmpty()"
        case Same(one, other):
            return f"{_path(one)} == {_path(other)}"
        case Member(word, words_of):
            return f"{_path(words_of)}.contains({_path(word)})"
        case Beyond(words_of, word):
            return f"![{_path(word)}].containsAll({_path(words_of)})"
        case Meets(one, other):
            return f"{_path(one)}.containsAny({_path(other)})"
        case _:
            assert_never(term)


def _operand(term: Term) -> str:
    text = _cedar(term)
    is_compared = isinstance(term, AtMost | Same) or (isinstance(term, Among) and len(term.words) == 1)
    return f"({text})" if is_compared or isinstance(term, Every | Some) else text


def _path(attribute: Attribute) -> str:
    return f"{attribute.owner.value}.{attribute.name}"


def _amount(amount: Amount) -> str:
    parts = [*map(_path, amount.attributes), *([str(amount.plus)] if amount.plus or not amount.attributes else [])]
    return " + ".join(parts)


def _set(words: Iterable[str]) -> str:
    return "[" + ", ".join(quoted(word) for word in sorted(words)) + "]"


def quoted(text: str) -> str:
    """Give a text as a Cedar string; what is not plain ASCII is escaped."""
    return '"' + "".join(_escaped(one) for one in text) + '"'


def _escaped(one: str) -> str:
    if one in {'"', "\\"}:
        return f"\\{one}"
    return one if " " <= one <= "~" else f"\\u{{{ord(one):x}}}"


class CedarTwin:
    """An agreement that cedarpy decides. Immutable; compiled for a direction when it is first asked for."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._compiled: dict[tuple[str, str], _Compiled] = {}

    def decide(self, profile: Profile, times: Times, portion_index: int, node: NodeFacts, moment: Moment) -> Decision:
        """Decide one portion for one recipient node, by Cedar's answer alone.

        Raises IndexError for a portion the profile does not have.
        """
        compiled = self._of(profile.originator.party, node.party)
        known = values_of(profile, times, portion_index, node, moment)
        values = {one: known[one] for one in compiled.attributes}
        section = next(
            one for one in compiled.sections if one.point is moment.point and one.window.holds(times.created_at)
        )
        answer = cedarpy.is_authorized(
            _request(moment.point, values), compiled.handle, _entities(profile, node, values), compiled.schema
        )
        if answer.diagnostics.errors:
            return Decision(
                permit=False, violations=(UNDECIDED,), deferred=decision_of(self.source, section, ()).deferred
            )
        named = answer.diagnostics.id_annotations_by_reason.values()
        violated = [one for name in named if (one := compiled.conditions[name]) is not None]
        decision = decision_of(self.source, section, violated)
        return Decision(answer.allowed, decision.violations, decision.deferred)

    def _of(self, from_party: str, to_party: str) -> _Compiled:
        pair = (from_party, to_party)
        if pair not in self._compiled:
            made, parts = direction_policies(self.source, *pair), sections(self.source, *pair)
            attributes = every_attribute(parts)
            self._compiled[pair] = _Compiled(
                parts,
                attributes,
                cedarpy.Schema.from_str(_schema(attributes)),
                cedarpy.PolicySet.from_str("\n".join(one.text for one in made)),
                {one.policy_id: one.condition for one in made},
            )
        return self._compiled[pair]


@dataclass(frozen=True, slots=True)
class _Compiled:
    sections: tuple[Section, ...]
    attributes: tuple[Attribute, ...]
    schema: cedarpy.Schema
    handle: cedarpy.PolicySet
    conditions: Mapping[str, Condition | None]


def _request(point: Point, values: Values) -> dict[str, object]:
    return {
        "principal": {"type": "Node", "id": "recipient"},
        "action": {"type": "Action", "id": ACTIONS[point]},
        "resource": {"type": "Portion", "id": "portion"},
        "context": _attributes(Owner.MOMENT, values),
    }


def _entities(profile: Profile, node: NodeFacts, values: Values) -> list[dict[str, object]]:
    """Give node and portion of a case as Cedar entities, each in its party."""
    sender, recipient = profile.originator.party, node.party
    return [
        *(_entity("Party", code) for code in sorted({sender, recipient})),
        _entity("Node", "recipient", _attributes(Owner.NODE, values), recipient),
        _entity("Portion", "portion", _attributes(Owner.REPORT, values), sender),
    ]


def _entity(kind: str, name: str, attributes: Mapping[str, object] | None = None, party: str = "") -> dict[str, object]:
    parents = [{"type": "Party", "id": party}] if party else []
    return {"uid": {"type": kind, "id": name}, "attrs": dict(attributes or {}), "parents": parents}


def _attributes(owner: Owner, values: Values) -> dict[str, object]:
    return {one.name: _plain(value) for one, value in values.items() if one.owner is owner}


def _plain(value: Value) -> object:
    return sorted(value) if isinstance(value, frozenset) else value


def validation_errors(text: str, source: Source) -> tuple[str, ...]:
    """Give what Cedar's strict validator finds wrong with policies under an agreement's schema; nothing where they are sound."""
    return tuple(map(str, cedarpy.validate_policies(text, schema(source)).errors))
