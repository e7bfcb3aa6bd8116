"""Generated reports, recipients and moments: mostly such as pass every clause of a generated agreement, often on its edge.

A `Draft` is what a case is made from, field by field; `builders_generated_changes` breaks one field, and so one clause.
Facts that are not decided at the point of a case are noise. What a sound fact is, is read from the clauses here, and the
verdict never: that is the business of engine and reference interpreter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from builders_generated import (
    CATEGORIES,
    DIGEST,
    LADDERS,
    PURPOSES,
    REGIONS,
    ROLES,
    TODAY,
    VOCABULARIES,
    Generated,
    chance,
    millis,
    some,
)
from builders_generated_handling import DECLARATION, highest_by_broker, officers, pass_handling
from comity_policy import clauses as kinds
from comity_policy.facts import (
    Addressee,
    Kind,
    Moment,
    NodeFacts,
    Originator,
    Point,
    PortionMarking,
    Precedence,
    Profile,
    Role,
    Times,
)
from comity_policy.marking import CategoryKind, CategorySet, Label, Origin, OriginKind, Pap, Tlp

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
OFFICES = ("ct-desk", "registry", "analysis")
COMMUNITIES = ("counter-terrorism", "cyber-defence")
CODES = (*LADDERS, "FRA", "DEU")
_KINDS = {kind.word: kind for kind in Kind}
_ROLES = {role.word: role for role in Role}

Facts = tuple[Profile, Times, int, NodeFacts, Moment]


@dataclass(slots=True)
class Draft:
    """The fields of one case."""

    label: dict[str, Any]
    profile: dict[str, Any]
    times: dict[str, Any]
    node: dict[str, Any]
    moment: dict[str, Any]
    portion_marks: dict[str, Any] = field(default_factory=dict)

    @property
    def sender(self) -> str:
        """The party that made the report."""
        return self.profile["originator"].party

    @property
    def recipient(self) -> str:
        """The party of the recipient node."""
        return self.node["party"]

    @property
    def at_opening(self) -> bool:
        """Whether the case is decided at opening."""
        return self.moment["point"] is Point.OPENING

    @property
    def used_at(self) -> int:
        """The time at which keys are used: of admission, where that is known and the case is an opening."""
        admitted = self.moment["admitted_at"]
        return admitted if self.at_opening and type(admitted) is int else self.moment["now"]

    def portion(self) -> PortionMarking:
        """Give the portion."""
        return PortionMarking(Label(**self.label), **self.portion_marks)

    def copy(self) -> Draft:
        """Give the same case again, to be changed."""
        parts = (self.label, self.profile, self.times, self.node, self.moment, self.portion_marks)
        return Draft(*(dict(part) for part in parts))

    def facts(self) -> Facts:
        """Give the case as the engine takes it."""
        return (
            Profile(**self.profile, portions=(self.portion(),)),
            Times(**self.times),
            0,
            NodeFacts(**self.node),
            Moment(**self.moment),
        )


def report(rng: Random, made: Generated) -> Draft:
    """Make a case that passes, as far as the agreement lets anything pass."""
    scope = rng.choice(made.scopes())
    point = rng.choices(tuple(Point), (2, 4, 3))[0]
    times, moment = _times(rng, made, point, scope)
    used_at = moment["admitted_at"] if point is Point.OPENING else moment["now"]
    node = _node(rng, scope.to_party, used_at, made)
    profile = _profile(rng, made, scope)
    _addressed(rng, profile, node)
    roles = _roles(rng, made, profile["precedence"])
    moment |= {
        "point": point,
        "broker": rng.choice(sorted(made.document.brokers)),
        "broker_region": _region(rng, made, scope.from_party),
        "key_log_age": _edge(rng, 0, _least(made, "oldest_key_log_view", 30 * MINUTE)),
        "sender_roles": roles,
        "reader": None,
        "use": None,
        "opening_purpose": profile["purpose"],
        "sender_key_since": used_at - _edge(rng, 0, _least(made, "oldest_key", 30 * DAY)),
    }
    node["region"] = _region(rng, made, scope.from_party)
    draft = Draft(_label(rng, made, scope, times["created_at"]), profile, times, node, moment)
    _accredit(rng, made, draft)
    pass_handling(rng, made, draft)
    _noise(rng, draft)
    return draft


def _edge(rng: Random, lowest: int, highest: int) -> int:
    """Give a number between two, often one of them."""
    return rng.choice((lowest, highest, rng.randint(lowest, highest), rng.randint(lowest, highest)))


def _least(made: Generated, field: str, otherwise: int) -> int:
    return min((getattr(one, field).milliseconds for one in made.clauses(kinds.Suites)), default=otherwise)


def longest(made: Generated) -> int:
    """Give how long everything may be kept, in milliseconds."""
    return min((one.longest.milliseconds for one in made.clauses(kinds.Retention)), default=30 * DAY)


def _times(rng: Random, made: Generated, point: Point, scope: kinds.Scope) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give signed times and clock readings that are in order; creation is now and then the first moment of a table."""
    keep = longest(made)
    begins = [
        millis(one.valid_from)
        for one in made.document.equivalences
        if (one.from_party, one.to_party) == (scope.from_party, scope.to_party) and millis(one.valid_from) > 0
    ]
    usual = millis(TODAY) + rng.randint(0, 10 * DAY)
    created = rng.choice((*begins, *(one - 1 for one in begins))) if begins and chance(rng, 0.1) else usual
    expires = created + _edge(rng, 10 * MINUTE, keep)
    # A report made in another century than its table has no level at all; it stays rare.
    if point is Point.OPENING:
        admitted = created + _edge(rng, 0, min(72 * HOUR, expires - created - 2))
        now = min(admitted + _edge(rng, 0, keep), expires + 2 * DAY)
        if now >= expires:
            expires = now + rng.choice((1, DAY))
        not_before = rng.choice((created, now, rng.randint(created, now)))
        return _signed(created, not_before, expires), {"now": now, "admitted_at": admitted}
    now = created + _edge(rng, -2 * MINUTE, min(72 * HOUR, expires - created - 1))
    not_before = rng.choice((created, created, expires - 1, rng.randint(created, expires - 1)))
    return _signed(created, not_before, expires), {"now": now, "admitted_at": None}


def _signed(created: int, not_before: int, expires: int) -> dict[str, Any]:
    return {"created_at": created, "not_before": not_before, "expires_at": expires}


def _node(rng: Random, party: str, used_at: int, made: Generated) -> dict[str, Any]:
    return {
        "party": party,
        "node": rng.choice(("n1", "n2")),
        "region": None,
        "offices": frozenset(some(rng, OFFICES, 1)),
        "communities": frozenset(some(rng, COMMUNITIES)),
        "accreditation_level": None,
        "accreditation_until": None,
        "oldest_key_since": used_at - _edge(rng, 0, _least(made, "oldest_key", 30 * DAY)),
        "valid": True,
    }


def common_purposes(made: Generated) -> list[str]:
    """Give the purposes that every purpose clause allows."""
    return sorted(set(PURPOSES).intersection(*(one.purposes for one in made.clauses(kinds.Purpose)))) or [*PURPOSES]


def _profile(rng: Random, made: Generated, scope: kinds.Scope) -> dict[str, Any]:
    below = sorted(frozenset[str]().union(*(VOCABULARIES.descendants(one) for one in scope.categories)))
    suites = [set(one.allowed) for one in made.clauses(kinds.Suites)]
    return {
        "suite": rng.choice(sorted({1, 2}.intersection(*suites))),
        "originator": Originator(scope.from_party, rng.choice(("n1", "n2"))),
        "key_set": bytes(48),
        "agreement_id": made.document.id,
        "agreement_digest": DIGEST,
        "statements_seen": 4,
        "precedence": rng.choice(tuple(Precedence)),
        "exercise": False,
        "kind": _KINDS[rng.choice(scope.kinds)],
        "categories": rng.choice((scope.categories, some(rng, below, 1, 3), some(rng, below, 1, 1))),
        "purpose": rng.choice(common_purposes(made)),
        "emergency": b"",
        "addressees": (),
        "approvals_required": 0,
    }


def _addressed(rng: Random, profile: dict[str, Any], node: dict[str, Any]) -> None:
    """Address the node by its party, office or community, among others that do not reach it."""
    office = rng.choice(sorted(node["offices"]))
    community = rng.choice((*sorted(node["communities"]), ""))
    party = node["party"]
    reaching = rng.choice(
        (
            Addressee(party),
            Addressee(party),
            Addressee(party, office=office),
            Addressee(party, community=community),
            Addressee(party, officer=officers(party)[0]),
        )
    )
    others = (
        Addressee(party, officer=f"{party}/officer9"),
        Addressee(party, office="duty-office"),
        Addressee("XQQ"),
        Addressee(rng.choice(sorted(LADDERS)), office=rng.choice(OFFICES)),
    )
    profile["addressees"] = some(rng, (reaching, *some(rng, others, 0, 2)), 4)


def _roles(rng: Random, made: Generated, precedence: Precedence) -> frozenset[Role] | None:
    field = {Precedence.FLASH: "flash", Precedence.IMMEDIATE: "immediate"}.get(precedence)
    words = [rng.choice(ROLES)]
    for clause in made.clauses(kinds.PrecedenceRule):
        words += some(rng, getattr(clause, field), 1, 1) if field else ()
    return frozenset(_ROLES[word] for word in words)


def _region(rng: Random, made: Generated, party: str) -> str:
    allowed = [set(one.regions.get(party, REGIONS)) for one in made.clauses(kinds.Residency)]
    return rng.choice(sorted(set(REGIONS).intersection(*allowed)) or REGIONS)


def _label(rng: Random, made: Generated, scope: kinds.Scope, created: int) -> dict[str, Any]:
    policy, recipient = scope.from_party, scope.to_party
    third = rng.choice([code for code in CODES if code not in {policy, recipient}])
    level = _level(rng, made, scope, created)
    listed = level != LADDERS[policy][0] or chance(rng, 0.4)
    released = frozenset({policy, recipient, *some(rng, (third,))}) if listed else None
    shown = frozenset({third}) if released is not None and third not in released and chance(rng, 0.2) else None
    words = [*(("ORCON",) if listed and chance(rng, 0.3) else ())]
    words += ["RELIDO"] if listed and shown is None and chance(rng, 0.1) else []
    return {
        "policy": policy,
        "classification": level,
        "dissemination": frozenset(words),
        "releasable_to": released,
        "display_only": shown,
        "origin": rng.choice(
            (
                *[Origin()] * 8,
                Origin(OriginKind.FGI, frozenset({recipient})),
                Origin(OriginKind.JOINT, frozenset({policy, third})),
            )
        ),
        "tlp": rng.choice((None, None, None, Tlp.CLEAR, Tlp.AMBER, Tlp.AMBER_STRICT)),
        "pap": rng.choice((None, Pap.AMBER)),
        "categories": _category_sets(rng, recipient) if chance(rng, 0.2) else (),
        "review_at": 0,
        "successor": Label(policy, LADDERS[policy][0]) if chance(rng, 0.1) else None,
    }


def _category_sets(rng: Random, recipient: str) -> tuple[CategorySet, ...]:
    sets = (
        CategorySet("a", CategoryKind.PERMISSIVE, frozenset({recipient, rng.choice(CODES)})),
        CategorySet("b", CategoryKind.RESTRICTIVE, frozenset()),
        CategorySet("c", CategoryKind.INFORMATIVE, rng.choice((None, frozenset(), frozenset({"x"})))),
    )
    return tuple(sorted(some(rng, sets, 1), key=lambda one: one.tag))


def limit(made: Generated, sender: str, recipient: str, levels: tuple[str, ...]) -> int:
    """Give the highest row of a table's levels that every ceiling lets through."""
    limits = [
        levels.index(one.level)
        for clause in made.clauses(kinds.Ceiling)
        for one in clause.limits
        if (one.from_party, one.to_party) == (sender, recipient) and one.level in levels
    ]
    return min(*limits, len(levels) - 1, highest_by_broker(made, sender, levels))


def _level(rng: Random, made: Generated, scope: kinds.Scope, created: int) -> str:
    table = made.table(scope.from_party, scope.to_party, created)
    if table is None:
        return rng.choice(LADDERS[scope.from_party])
    highest = limit(made, scope.from_party, scope.to_party, table.levels)
    return table.levels[rng.choice((0, highest, highest, rng.randint(0, highest)))]


def _accredit(rng: Random, made: Generated, draft: Draft) -> None:
    """Give the node an accreditation that covers the portion, as low as may be or higher; the open needs none."""
    table = made.table(draft.sender, draft.recipient, draft.times["created_at"])
    level = draft.label["classification"]
    if table is None or level not in table.levels:
        return
    rank = table.levels.index(level)
    if rank > 0 or chance(rng, 0.5):
        row = rng.choice((rank, len(table.rows) - 1, rng.randint(rank, len(table.rows) - 1)))
        draft.node["accreditation_level"] = table.protected_as[row]
        draft.node["accreditation_until"] = draft.moment["now"] + rng.choice((1, 1, DAY, 300 * DAY))


def _noise(rng: Random, draft: Draft) -> None:
    """Change facts that are not asked at the point of the case: none of them may matter."""
    nonsense = (None, "", "elsewhere", 5, ["xar"])
    if draft.at_opening:
        only_elsewhere = (
            "broker",
            "broker_region",
            "sender_roles",
            "size",
            "usage",
            "approvals",
            "overdue",
            "log_available",
        )
        for name in some(rng, only_elsewhere, 0):
            (draft.node if name == "overdue" else draft.moment)[name] = rng.choice(nonsense)
        if chance(rng, 0.3):
            draft.node["region"] = rng.choice(nonsense)
    else:
        draft.moment["opening_purpose"] = rng.choice((*nonsense, *CATEGORIES))
        draft.moment["admitted_at"] = rng.choice((None, 0, "1"))
        for name in some(rng, ("reader", "use", "consents", "registered", "caveats_acknowledged", "relabelled_by"), 0):
            draft.moment[name] = rng.choice(nonsense)
        draft.moment["held"] = rng.choice((True, False))
    if draft.moment["point"] is Point.EGRESS and chance(rng, 0.5):
        draft.moment |= {"direct": rng.choice((False, None)), "onward_grant": None, "hops": "1", "disputed": 5}
        draft.moment |= {"usage": rng.choice(nonsense), "approvals": None, "log_available": None}
        draft.node["overdue"] = None
        draft.profile["emergency"] = rng.choice((b"", DECLARATION))
    if draft.moment["point"] is Point.EGRESS and chance(rng, 0.2):
        draft.times["not_before"] = draft.times["expires_at"] + rng.choice((0, DAY))
    if draft.profile["precedence"] in {Precedence.PRIORITY, Precedence.ROUTINE} and chance(rng, 0.5):
        draft.moment["sender_roles"] = rng.choice((None, 5, frozenset()))
