"""Concrete cases: what an example of the model is as a report, a node and a moment, and what makes one easy to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comity_policy.analysis import attributes as of
from comity_policy.analysis.attributes import Value
from comity_policy.analysis.conditions import Window
from comity_policy.analysis.solver import Example
from comity_policy.analysis.terms import (
    TRUE,
    Amount,
    Attribute,
    Is,
    Nothing,
    Owner,
    Term,
    among,
    amount,
    at_most,
    below,
    every,
    holds,
    no,
    only_of,
)
from comity_policy.analysis.values import NEUTRAL, named_officer
from comity_policy.analysis.witness import Witness, naming
from comity_policy.facts import (
    Addressee,
    Kind,
    Moment,
    NodeFacts,
    Originator,
    PersonalData,
    Point,
    PortionMarking,
    Precedence,
    Profile,
    Reader,
    Role,
    Times,
    Usage,
    Use,
)
from comity_policy.lowering import Source, layers
from comity_policy.marking import CategoryKind, CategorySet, Label, Origin, OriginKind, Tlp

_DAY = 86_400_000
_KINDS = {one.word: one for one in Kind}
_ROLES = {one.word: one for one in Role}
# What a question did not ask is such as passes.
_PASSING = {
    *(one.known for one in of.ATTRIBUTES if one.known is not None and one.owner is not Owner.REPORT),
    *(of.PERSONS_KNOWN, of.READER_KNOWN, of.VALID, of.DIRECT, of.LOG_AVAILABLE),
}


def within(window: Window) -> Term:
    """Give whether a report was made in a window."""
    return every(
        TRUE if window.begins_at is None else at_most(amount(window.begins_at), of.CREATED_AT),
        TRUE if window.ends_at is None else below(of.CREATED_AT, window.ends_at),
    )


def wishes(parties: tuple[str, str], window: Window) -> tuple[Term, ...]:
    """Give what makes an example easy to read, the most telling first."""
    made = (window.begins_at or 0) + _DAY
    return (
        only_of(of.RELEASABLE_TO, parties),
        *(no(Is(one)) for one in (of.DISPLAYABLE, of.RESTRICTED, of.RESTRICTION_ABSENT, of.PERMISSIVE)),
        every(among(of.ORIGIN, {OriginKind.OWN.name}), Nothing(of.ORIGIN_PARTIES)),
        among(of.TLP, {""}),
        among(of.PRECEDENCE, {Precedence.ROUTINE.name}),
        among(of.PERSONAL_DATA, {PersonalData.NONE.name}),
        *(no(Is(one)) for one in (of.EMERGENCY, of.EMERGENCY_DECLARED, of.WARN)),
        holds(of.PARTIES_WITHOUT_OFFICER, parties[1]),
        Nothing(of.NAMED_OFFICERS),
        among(of.KIND, {Kind.REPORT.word}),
        *map(Is, sorted(_PASSING, key=lambda one: one.name)),
        _equal(of.CREATED_AT, amount(made)),
        *(_equal(one, amount(of.CREATED_AT)) for one in (of.NOT_BEFORE, of.NOW, of.ADMITTED_AT)),
        _equal(of.EXPIRES_AT, amount(of.CREATED_AT, _DAY)),
        _equal(of.ACCREDITATION_UNTIL, amount(of.NOW, 365 * _DAY)),
        *(_equal(one, amount(of.NOW, -_DAY)) for one in (of.SENDER_KEY_SINCE, of.OLDEST_KEY_SINCE)),
        _equal(of.KEY_LOG_AGE, amount(60_000)),
    )


def _equal(attribute: Attribute, amount: Amount) -> Term:
    return every(at_most(attribute, amount), at_most(amount, attribute))


def witness(example: Example, parties: tuple[str, str], point: Point, source: Source) -> Witness:
    """Give the case of an example, of a report that names the agreement."""
    clause_ids = tuple(
        layer.written(clause) for layer in layers(source, parties[0], parties[1:]) for clause in layer.clauses
    )
    found = _Found(example, *parties, clause_ids)
    return Witness(
        naming(_profile(found), source),
        Times(*(found.number(one) for one in (of.CREATED_AT, of.NOT_BEFORE, of.EXPIRES_AT))),
        _node(found),
        _moment(found, point),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """The values of an example, with a passing one for what it does not speak of."""

    example: Example
    from_party: str
    to_party: str
    clause_ids: tuple[str, ...]

    def _value(self, attribute: Attribute) -> Any:
        default = True if attribute in _PASSING else NEUTRAL[attribute.sort]
        return self.example.values.get(attribute, default)

    def truth(self, attribute: Attribute) -> bool:
        return bool(self._value(attribute))

    def number(self, attribute: Attribute) -> int:
        return int(self._value(attribute))

    def word(self, attribute: Attribute) -> str:
        return str(self._value(attribute))

    def words(self, attribute: Attribute) -> frozenset[str]:
        return frozenset(self._value(attribute))

    def fact(self, attribute: Attribute) -> Any:
        """Give a fact that may be missing."""
        is_known = attribute.known is None or self.truth(attribute.known)
        return self._value(attribute) if is_known else None

    @property
    def officers(self) -> tuple[str, ...]:
        """Give the officers of the recipient whom the report names; somebody where it must name one."""
        listed = self.example.values.get(of.NAMED_OFFICERS, frozenset())
        mark = named_officer(self.to_party, "")
        found = tuple(sorted(one.removeprefix(mark) for one in _words(listed) if one.startswith(mark)))
        whole = self.example.values.get(of.PARTIES_WITHOUT_OFFICER, frozenset({self.to_party}))
        return found or (() if self.to_party in _words(whole) else (f"{self.to_party}/officer1",))


def _words(value: Value) -> frozenset[str]:
    return value if isinstance(value, frozenset) else frozenset()


def _profile(found: _Found) -> Profile:
    named = tuple(Addressee(found.to_party, officer=one) for one in found.officers)
    return Profile(
        suite=found.number(of.SUITE),
        originator=Originator(found.from_party, "sender"),
        key_set=bytes(48),
        agreement_id="",
        agreement_digest=b"",
        statements_seen=0,
        precedence=Precedence[found.word(of.PRECEDENCE) or Precedence.ROUTINE.name],
        exercise=False,
        kind=_KINDS[found.word(of.KIND) or Kind.REPORT.word],
        categories=tuple(sorted(found.words(of.CATEGORIES))),
        purpose=found.word(of.PURPOSE),
        emergency=bytes(48) if found.truth(of.EMERGENCY) else b"",
        addressees=named or (Addressee(found.to_party),),
        approvals_required=found.number(of.APPROVALS_REQUIRED),
        portions=(_portion(found),),
    )


def _portion(found: _Found) -> PortionMarking:
    return PortionMarking(
        _label(found),
        PersonalData[found.word(of.PERSONAL_DATA) or PersonalData.NONE.name],
        persons=found.fact(of.PERSONS),
        warn=found.truth(of.WARN),
    )


def _label(found: _Found) -> Label:
    tlp, origin = found.word(of.TLP), found.word(of.ORIGIN)
    sets = (
        CategorySet("a", CategoryKind.PERMISSIVE, found.words(of.PERMISSIVE_TO))
        if found.truth(of.PERMISSIVE)
        else None,
        CategorySet("b", CategoryKind.RESTRICTIVE, None) if found.truth(of.RESTRICTION_ABSENT) else None,
        CategorySet("c", CategoryKind.RESTRICTIVE, frozenset({"x"})) if found.truth(of.RESTRICTED) else None,
    )
    return Label(
        policy=found.word(of.POLICY),
        classification=found.word(of.CLASSIFICATION),
        dissemination=found.words(of.DISSEMINATION),
        releasable_to=found.fact(of.RELEASABLE_TO),
        display_only=found.fact(of.DISPLAY_ONLY),
        origin=Origin(OriginKind[origin or OriginKind.OWN.name], found.words(of.ORIGIN_PARTIES)),
        tlp=Tlp[tlp] if tlp else None,
        categories=tuple(one for one in sets if one is not None),
    )


def _node(found: _Found) -> NodeFacts:
    return NodeFacts(
        party=found.to_party,
        node="receiver",
        region=found.fact(of.NODE_REGION),
        offices=found.fact(of.OFFICES),
        communities=found.fact(of.COMMUNITIES),
        accreditation_level=found.fact(of.ACCREDITATION_LEVEL),
        accreditation_until=found.fact(of.ACCREDITATION_UNTIL),
        oldest_key_since=found.fact(of.OLDEST_KEY_SINCE),
        valid=found.fact(of.VALID),
        officers=frozenset(found.officers),
        overdue=found.fact(of.OVERDUE),
        capabilities=found.fact(of.CAPABILITIES),
    )


def _moment(found: _Found, point: Point) -> Moment:
    roles = found.fact(of.SENDER_ROLES)
    approvals = found.fact(of.APPROVALS)
    always = {
        "now": found.number(of.NOW),
        "broker": found.fact(of.BROKER),
        "broker_region": found.fact(of.BROKER_REGION),
        "key_log_age": found.fact(of.KEY_LOG_AGE),
        "sender_roles": None if roles is None else frozenset(_ROLES[word] for word in roles if word in _ROLES),
        "direct": found.fact(of.DIRECT),
        "onward_grant": found.fact(of.ONWARD_GRANT),
        "sender_key_since": found.fact(of.SENDER_KEY_SINCE),
        "sender_capabilities": found.fact(of.SENDER_CAPABILITIES),
        "emergency_declared": found.truth(of.EMERGENCY_DECLARED),
        "hops": found.fact(of.HOPS),
        "disputed": found.fact(of.DISPUTED),
    }
    if point is Point.OPENING:
        return Moment(point=point, **always, **_opening(found))
    return Moment(
        point=point,
        **always,
        size=found.fact(of.SIZE),
        usage=_usage(found),
        approvals=None if approvals is None else frozenset(f"{found.from_party}/officer{n}" for n in range(approvals)),
        log_available=found.fact(of.LOG_AVAILABLE),
    )


def _usage(found: _Found) -> dict[str, Usage]:
    """Give the windows of the quotas that the example speaks of: every clause whose attributes are in it."""
    windows = {}
    for clause_id in found.clause_ids:
        known, reports, size = of.usage(clause_id)
        if found.truth(known):
            windows[clause_id] = Usage(found.number(reports), found.number(size))
    return windows


def _opening(found: _Found) -> dict[str, Any]:
    use = found.fact(of.USE)
    consents = found.fact(of.CONSENTS)
    return {
        "admitted_at": found.fact(of.ADMITTED_AT),
        "opening_purpose": found.fact(of.OPENING_PURPOSE),
        "use": Use(use) if use else None,
        "consents": None if consents is None else frozenset(Use(one) for one in consents if one),
        "registered": found.fact(of.REGISTERED),
        "caveats_acknowledged": found.fact(of.CAVEATS_ACKNOWLEDGED),
        "relabelled_by": found.fact(of.RELABELLED_BY),
        "held": found.truth(of.HELD),
        "reader": _reader(found),
    }


def _reader(found: _Found) -> Reader | None:
    if not found.truth(of.READER_KNOWN):
        return None
    return Reader(
        officer=found.officers[0] if found.officers else found.fact(of.READER_OFFICER),
        offices=found.fact(of.READER_OFFICES),
        communities=found.fact(of.READER_COMMUNITIES),
        clearance_level=found.fact(of.CLEARANCE_LEVEL),
        clearance_until=found.fact(of.CLEARANCE_UNTIL),
    )
