"""The facts of a test table's row: compact words in, the values decisions are made from out.

A row says only what matters to it; everything else has a value under which nothing refuses: an addressee and node of the
recipient's party in its own region, in the offices and communities that need to know, accredited for the highest level, fresh
keys, the first broker of the agreement, an unused quota, as many approvals as are needed; at opening a cleared officer who reads
and acknowledged every caveat. A party that is `unbound` (or, by the umbrella, `umbrella_unbound`) is named by the text and
not bound by it: grants from and to it are suspended. `emergency` says that the report names a declaration, `declared` that it was verified. Spans
are counted from the making of the report and written like ``2d3h``, ``-2m`` or ``30d1s`` (w d h m s ms). A fact named in
`missing` was not attested.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TypeVar, cast

import msgspec

from comity_policy.clauses import Capabilities, DualControl, NeedToKnow, Quota, Scope, UseRule
from comity_policy.document import Document
from comity_policy.facts import (
    Addressee,
    AgreementState,
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
from comity_policy.marking import Label, Tlp
from comity_policy.sources import Layer
from comity_policy.table_rows import MISSING, TableRow

_V = TypeVar("_V")

_DAY = 86_400_000
_SPAN = re.compile(r"(-?)((?:\d{1,9}(?:ms|[wdhms]))+|0)")
_PART = re.compile(r"(\d+)(ms|[wdhms])")
_UNITS = {"w": 7 * _DAY, "d": _DAY, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_KINDS = {kind.word: kind for kind in Kind}
_ROLES = {role.word: role for role in Role}
_PRECEDENCES = {one.name: one for one in Precedence}
_PERSONAL_DATA = {one.name: one for one in PersonalData}
_USES = {use.value: use for use in Use}
_TLP = {one.name: one for one in Tlp}
_REASONS = frozenset({"NOT_YET", "EXPIRED", "SUSPENDED", "TERMINATED"})


class TableError(ValueError):
    """A test table that cannot be read; the message says which row and why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything one decision is made from, for a report of one portion. `above` is the state of the umbrella; None: it has none."""

    state: AgreementState
    above: AgreementState | None
    profile: Profile
    times: Times
    node: NodeFacts
    moment: Moment


def build(
    document: Document, digest: bytes, raw: Mapping[str, object], point: Point, layers: Sequence[Layer] = ()
) -> Facts:
    """Give the facts a row (with the defaults put in) says; raises TableError for words and spans it does not know.

    `layers` are the texts whose clauses are decided beside the agreement's own: what contents them is a default too.
    """
    try:
        row = msgspec.convert(raw, TableRow, strict=True, builtin_types=(date, datetime))
    except msgspec.ValidationError as error:
        raise TableError(str(error)) from error
    for word in row.missing:
        if word not in MISSING:
            raise TableError(f"{word!r} cannot be missing; what can is {', '.join(sorted(MISSING))}")
    texts = (Layer(document.clauses, document), *layers)
    umbrella = next((one.document for one in layers if one.caveat is None), None)
    created = _created(document, row)
    now = created + span(row.now)
    # How old a key is counts when it was used: at opening that was the admission.
    used_at = created + span(row.admitted) if point is Point.OPENING else now
    return Facts(
        state=_state(document, row.state, row.suspended, row.unbound),
        above=_above(umbrella, row),
        profile=_profile(document, digest, row, texts),
        times=Times(created, created + span(row.not_before), created + span(row.expires)),
        node=_node(document, row, texts, created, used_at),
        moment=_moment(document, row, texts, (created, now, used_at), point),
    )


def span(text: str) -> int:
    """Give a span such as ``2d3h`` or ``-1s`` in milliseconds."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise TableError(f"{text!r} is no span: numbers with w, d, h, m, s or ms, such as 2d3h")
    length = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(found[2]))
    return -length if found[1] else length


def _created(document: Document, row: TableRow) -> int:
    """Give when the report was made; unless said, a day after everything in the document has begun."""
    if row.created is not None:
        if row.created.tzinfo is None:
            raise TableError("'created' is a date and time in UTC, written with Z")
        return int(row.created.timestamp() * 1000)
    begun = [table.begins_at for table in document.equivalences]
    if document.entry_into_force.at is not None:
        begun.append(int(document.entry_into_force.at.astimezone(UTC).timestamp()) * 1000)
    return max(begun, default=0) + _DAY


def _state(document: Document, state: str, suspended: Sequence[str], unbound: Sequence[str]) -> AgreementState:
    known = {clause.id for clause in document.clauses}
    for clause_id in suspended:
        if clause_id not in known:
            raise TableError(f"there is no clause {clause_id!r} to suspend")
    for party in unbound:
        if party not in document.parties:
            raise TableError(f"there is no party {party!r} that could be unbound")
    if state != "IN_FORCE" and state not in _REASONS:
        raise TableError(f"unknown state {state!r}: IN_FORCE or one of {', '.join(sorted(_REASONS))}")
    outside = frozenset(unbound)
    in_force = state == "IN_FORCE"
    return AgreementState(
        in_force=in_force,
        reason="" if in_force else state,
        suspended_clauses=frozenset(suspended) | _grants_of(document, outside),
        unbound=outside,
    )


def _grants_of(document: Document, parties: frozenset[str]) -> frozenset[str]:
    """Give the grants from or to some parties: they count as suspended while a party is not bound."""
    scopes = (clause for clause in document.clauses if isinstance(clause, Scope))
    return frozenset(one.id for one in scopes if parties & {one.from_party, one.to_party})


def _above(umbrella: Document | None, row: TableRow) -> AgreementState | None:
    if umbrella is not None:
        return _state(umbrella, row.umbrella_state, row.umbrella_suspended, row.umbrella_unbound)
    if row.umbrella_state != "IN_FORCE" or row.umbrella_suspended or row.umbrella_unbound:
        raise TableError("the table names no umbrella that could be in a state of its own")
    return None


def _profile(document: Document, digest: bytes, row: TableRow, texts: tuple[Layer, ...]) -> Profile:
    label = Label(
        policy=row.from_party,
        classification=row.level,
        dissemination=frozenset(row.dissemination),
        releasable_to=None if row.releasable_to is None else frozenset(row.releasable_to),
        display_only=None if row.display_only is None else frozenset(row.display_only),
        tlp=None if row.tlp is None else _word(_TLP, row.tlp, "TLP colour"),
    )
    data = _word(_PERSONAL_DATA, row.personal_data, "sort of personal data")
    persons = int(data is not PersonalData.NONE) if row.persons is None else row.persons
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
        emergency=b"\x01" * 48 if row.emergency else b"",
        addressees=(
            Addressee(
                row.addressed_to or row.to_party, office=row.office, community=row.community, officer=row.officer
            ),
        ),
        approvals_required=_officers_needed(texts) if row.approvals_required is None else row.approvals_required,
        portions=(PortionMarking(label, data, persons, row.warn),),
    )


def _officers_needed(texts: tuple[Layer, ...]) -> int:
    found = (clause.officers for layer in texts for clause in layer.clauses if isinstance(clause, DualControl))
    return max(found, default=0)


def _who_needs(row: TableRow, texts: tuple[Layer, ...], field: str) -> frozenset[str]:
    """Give the offices, communities or officers of the recipient that need-to-know clauses name."""
    return frozenset(
        word
        for layer in texts
        for clause in layer.clauses
        if isinstance(clause, NeedToKnow)
        for one in clause.rows
        if one.party == row.to_party
        for word in getattr(one, field)
    )


def _floor(texts: tuple[Layer, ...]) -> frozenset[str]:
    """Give what every capabilities clause asks of both nodes."""
    asked = (clause.words for layer in texts for clause in layer.clauses if isinstance(clause, Capabilities))
    return frozenset[str]().union(*asked)


def _said(words: tuple[str, ...] | None, otherwise: frozenset[str]) -> frozenset[str]:
    return otherwise if words is None else frozenset(words)


def _reads(row: TableRow, texts: tuple[Layer, ...]) -> str:
    named = sorted(_who_needs(row, texts, "officers"))
    return row.reader or row.officer or (named[0] if named else f"{row.to_party}/officer1")


def _node(document: Document, row: TableRow, texts: tuple[Layer, ...], created: int, used_at: int) -> NodeFacts:
    officers = _who_needs(row, texts, "officers") | ({row.officer} - {""})
    return NodeFacts(
        party=row.to_party,
        node="receiver",
        region=_unless(row, "region", row.region or row.to_party.lower()),
        offices=_held(row, "offices", _said(row.offices, _who_needs(row, texts, "offices"))),
        communities=_held(row, "communities", _said(row.communities, _who_needs(row, texts, "communities"))),
        accreditation_level=_unless(row, "accreditation", row.accreditation or _highest(document, row, created)),
        accreditation_until=_unless(row, "accredited_for", created + span(row.accredited_for)),
        oldest_key_since=_unless(row, "key_age", used_at - span(row.key_age)),
        valid=row.valid,
        officers=_unless(row, "officers", _said(row.officers, officers)),
        overdue=_unless(row, "overdue", frozenset(row.overdue)),
        capabilities=_unless(row, "capabilities", _said(row.capabilities, _floor(texts))),
    )


def _highest(document: Document, row: TableRow, created: int) -> str | None:
    table = document.equivalence(row.from_party, row.to_party, created)
    return table.protected_as[-1] if table is not None else None


def _moment(
    document: Document, row: TableRow, texts: tuple[Layer, ...], times: tuple[int, int, int], point: Point
) -> Moment:
    created, now, used_at = times
    broker = row.broker or next(iter(document.brokers))
    known = document.brokers.get(broker)
    region = row.broker_region or (known.region if known is not None else None)
    moment = Moment(
        point=point,
        now=now,
        broker=_unless(row, "broker", broker),
        broker_region=_unless(row, "broker_region", region),
        key_log_age=_unless(row, "key_log_age", span(row.key_log_age)),
        sender_roles=_unless(row, "sender_roles", frozenset(_word(_ROLES, one, "role") for one in row.sender_roles)),
        direct=_held(row, "direct", row.direct),
        onward_grant=_held(row, "onward_grant", row.onward_grant),
        sender_key_since=_unless(row, "sender_key_age", used_at - span(row.sender_key_age)),
        sender_capabilities=_unless(row, "sender_capabilities", _said(row.sender_capabilities, _floor(texts))),
        emergency_declared=row.emergency and row.declared,
        hops=_unless(row, "hops", row.hops),
        disputed=_unless(row, "disputed", row.disputed),
    )
    match point:
        case Point.EGRESS:
            return moment
        case Point.ADMISSION:
            return _at_admission(moment, row, texts)
        case Point.OPENING:
            return _at_opening(moment, document, row, texts, created)


def _at_admission(moment: Moment, row: TableRow, texts: tuple[Layer, ...]) -> Moment:
    used = Usage(row.used_reports, row.used_bytes)
    count = _officers_needed(texts) if row.approvals is None else row.approvals
    return replace(
        moment,
        size=_unless(row, "size", row.size),
        usage=_unless(row, "usage", dict.fromkeys(_written(texts, Quota), used)),
        approvals=_unless(row, "approvals", frozenset(f"{row.from_party}/officer{n + 1}" for n in range(count))),
        log_available=_unless(row, "log_available", row.log_available),
    )


def _at_opening(moment: Moment, document: Document, row: TableRow, texts: tuple[Layer, ...], created: int) -> Moment:
    reader = Reader(
        _reads(row, texts),
        offices=_said(row.reader_offices, _who_needs(row, texts, "offices")),
        communities=_said(row.reader_communities, _who_needs(row, texts, "communities")),
        clearance_level=_unless(row, "clearance", row.clearance or _highest(document, row, created)),
        clearance_until=_unless(row, "cleared_for", created + span(row.cleared_for)),
    )
    uses = tuple(_USES) if row.consents is None else row.consents
    return replace(
        moment,
        admitted_at=_unless(row, "admitted", created + span(row.admitted)),
        opening_purpose=_unless(row, "opening_purpose", row.opening_purpose or row.purpose),
        reader=_unless(row, "reader", reader),
        use=_unless(row, "use", _word(_USES, row.use, "use")),
        consents=_unless(row, "consents", frozenset(_word(_USES, one, "use") for one in uses)),
        registered=_unless(row, "registered", row.registered),
        caveats_acknowledged=_unless(row, "acknowledged", _said(row.acknowledged, _written(texts, UseRule))),
        relabelled_by=_unless(row, "relabelled_by", row.relabelled_by),
        held=row.held,
    )


def _written(texts: tuple[Layer, ...], kind: type) -> frozenset[str]:
    """Give the ids of all clauses of a kind as facts and decisions write them."""
    return frozenset(layer.written(clause) for layer in texts for clause in layer.clauses if isinstance(clause, kind))


def _held(row: TableRow, name: str, value: _V) -> _V:
    """Give a fact whose type does not say that it can be missing; a row may say so all the same."""
    return cast("_V", None) if name in row.missing else value


def _unless(row: TableRow, name: str, value: _V) -> _V | None:
    return None if name in row.missing else value


def _word(known: Mapping[str, _V], word: str, what: str) -> _V:
    if word not in known:
        raise TableError(f"unknown {what} {word!r}; known are {', '.join(known)}")
    return known[word]
