"""The facts of a test table's row: compact words in, the values decisions are made from out.

A row says only what matters to it; everything else has a value under which nothing refuses: an addressee and node of the
recipient's party in its own region, accredited for the highest level, fresh keys, the first broker of the agreement. Spans
are counted from the making of the report and written like ``2d3h``, ``-2m`` or ``30d1s`` (w d h m s ms). A fact named in
`missing` was not attested.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeVar

import msgspec

from comity_policy.document import Document
from comity_policy.facts import (
    Addressee,
    AgreementState,
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
from comity_policy.marking import Label, Tlp

_V = TypeVar("_V")

_DAY = 86_400_000
_SPAN = re.compile(r"(-?)((?:\d{1,9}(?:ms|[wdhms]))+|0)")
_PART = re.compile(r"(\d+)(ms|[wdhms])")
_UNITS = {"w": 7 * _DAY, "d": _DAY, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_KINDS = {kind.word: kind for kind in Kind}
_ROLES = {role.word: role for role in Role}
_PRECEDENCES = {one.name: one for one in Precedence}
_TLP = {one.name: one for one in Tlp}
_REASONS = frozenset({"NOT_YET", "EXPIRED", "SUSPENDED", "TERMINATED"})
_MISSING = frozenset(
    {
        "region",
        "accreditation",
        "accredited_for",
        "key_age",
        "broker",
        "broker_region",
        "key_log_age",
        "sender_roles",
        "sender_key_age",
        "admitted",
        "opening_purpose",
    }
)


class TableError(ValueError):
    """A test table that cannot be read; the message says which row and why."""


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_party": "from", "to_party": "to"}):
    from_party: str
    to_party: str
    level: str
    categories: tuple[str, ...]
    purpose: str
    kind: str = "report"
    precedence: str = "ROUTINE"
    suite: int = 1
    releasable_to: tuple[str, ...] | None = None
    display_only: tuple[str, ...] | None = None
    dissemination: tuple[str, ...] = ()
    tlp: str | None = None
    created: datetime | None = None
    not_before: str = "0"
    expires: str = "1d"
    now: str = "0"
    admitted: str = "0"
    addressed_to: str = ""
    office: str = ""
    community: str = ""
    officer: str = ""
    region: str = ""
    offices: tuple[str, ...] = ()
    communities: tuple[str, ...] = ()
    accreditation: str = ""
    accredited_for: str = "365d"
    key_age: str = "1d"
    valid: bool = True
    broker: str = ""
    broker_region: str = ""
    key_log_age: str = "1m"
    sender_roles: tuple[str, ...] = ("node",)
    sender_key_age: str = "1d"
    direct: bool = True
    onward_grant: bool = False
    opening_purpose: str = ""
    state: str = "IN_FORCE"
    suspended: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything one decision is made from, for a report of one portion."""

    state: AgreementState
    profile: Profile
    times: Times
    node: NodeFacts
    moment: Moment


def build(document: Document, digest: bytes, raw: Mapping[str, object], point: Point) -> Facts:
    """Give the facts a row (with the defaults put in) says; raises TableError for words and spans it does not know."""
    try:
        row = msgspec.convert(raw, _Row, strict=True, builtin_types=(date, datetime))
    except msgspec.ValidationError as error:
        raise TableError(str(error)) from error
    for word in row.missing:
        if word not in _MISSING:
            raise TableError(f"{word!r} cannot be missing; what can is {', '.join(sorted(_MISSING))}")
    created = _created(document, row)
    now = created + span(row.now)
    # How old a key is counts when it was used: at opening that was the admission.
    used_at = created + span(row.admitted) if point is Point.OPENING else now
    return Facts(
        state=_state(document, row),
        profile=_profile(document, digest, row),
        times=Times(created, created + span(row.not_before), created + span(row.expires)),
        node=_node(document, row, created, used_at),
        moment=_moment(document, row, (created, now, used_at), point),
    )


def span(text: str) -> int:
    """Give a span such as ``2d3h`` or ``-1s`` in milliseconds."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise TableError(f"{text!r} is no span: numbers with w, d, h, m, s or ms, such as 2d3h")
    length = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(found[2]))
    return -length if found[1] else length


def _created(document: Document, row: _Row) -> int:
    """Give when the report was made; unless said, a day after everything in the document has begun."""
    if row.created is not None:
        if row.created.tzinfo is None:
            raise TableError("'created' is a date and time in UTC, written with Z")
        return int(row.created.timestamp() * 1000)
    begun = [table.begins_at for table in document.equivalences]
    if document.entry_into_force.at is not None:
        begun.append(int(document.entry_into_force.at.astimezone(UTC).timestamp()) * 1000)
    return max(begun, default=0) + _DAY


def _state(document: Document, row: _Row) -> AgreementState:
    known = {clause.id for clause in document.clauses}
    for clause_id in row.suspended:
        if clause_id not in known:
            raise TableError(f"there is no clause {clause_id!r} to suspend")
    if row.state == "IN_FORCE":
        return AgreementState(in_force=True, suspended_clauses=frozenset(row.suspended))
    if row.state not in _REASONS:
        raise TableError(f"unknown state {row.state!r}: IN_FORCE or one of {', '.join(sorted(_REASONS))}")
    return AgreementState(in_force=False, reason=row.state, suspended_clauses=frozenset(row.suspended))


def _profile(document: Document, digest: bytes, row: _Row) -> Profile:
    label = Label(
        policy=row.from_party,
        classification=row.level,
        dissemination=frozenset(row.dissemination),
        releasable_to=None if row.releasable_to is None else frozenset(row.releasable_to),
        display_only=None if row.display_only is None else frozenset(row.display_only),
        tlp=None if row.tlp is None else _word(_TLP, row.tlp, "TLP colour"),
    )
    return Profile(
        suite=row.suite,
        originator=Originator(row.from_party, "sender"),
        key_set=bytes(48),
        agreement_id=document.id,
        agreement_digest=digest,
        statements_seen=0,
        precedence=_word(_PRECEDENCES, row.precedence, "precedence"),
        exercise=False,
        kind=_word(_KINDS, row.kind, "kind of message"),
        categories=row.categories,
        purpose=row.purpose,
        emergency=b"",
        addressees=(
            Addressee(
                row.addressed_to or row.to_party, office=row.office, community=row.community, officer=row.officer
            ),
        ),
        approvals_required=0,
        portions=(PortionMarking(label),),
    )


def _node(document: Document, row: _Row, created: int, used_at: int) -> NodeFacts:
    table = document.equivalence(row.from_party, row.to_party, created)
    highest = table.protected_as[-1] if table is not None else None
    return NodeFacts(
        party=row.to_party,
        node="receiver",
        region=_unless(row, "region", row.region or row.to_party.lower()),
        offices=frozenset(row.offices),
        communities=frozenset(row.communities),
        accreditation_level=_unless(row, "accreditation", row.accreditation or highest),
        accreditation_until=_unless(row, "accredited_for", created + span(row.accredited_for)),
        oldest_key_since=_unless(row, "key_age", used_at - span(row.key_age)),
        valid=row.valid,
    )


def _moment(document: Document, row: _Row, times: tuple[int, int, int], point: Point) -> Moment:
    created, now, used_at = times
    broker = row.broker or next(iter(document.brokers))
    known = document.brokers.get(broker)
    region = row.broker_region or (known.region if known is not None else None)
    opening = point is Point.OPENING
    return Moment(
        point=point,
        now=now,
        broker=_unless(row, "broker", broker),
        broker_region=_unless(row, "broker_region", region),
        key_log_age=_unless(row, "key_log_age", span(row.key_log_age)),
        sender_roles=_unless(row, "sender_roles", frozenset(_word(_ROLES, one, "role") for one in row.sender_roles)),
        direct=row.direct,
        onward_grant=row.onward_grant,
        admitted_at=_unless(row, "admitted", created + span(row.admitted)) if opening else None,
        opening_purpose=_unless(row, "opening_purpose", row.opening_purpose or row.purpose) if opening else None,
        sender_key_since=_unless(row, "sender_key_age", used_at - span(row.sender_key_age)),
    )


def _unless(row: _Row, name: str, value: _V) -> _V | None:
    return None if name in row.missing else value


def _word(known: Mapping[str, _V], word: str, what: str) -> _V:
    if word not in known:
        raise TableError(f"unknown {what} {word!r}; known are {', '.join(known)}")
    return known[word]
