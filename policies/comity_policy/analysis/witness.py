"""Witnesses: a concrete report, node and moment, and the engine's word on them.

Rules in order:

1. A witness is written in the fields of a table of cases (`comity agreement test`); a fact that has its neutral value is left
   out.
2. Nothing is believed because a solver says so: the engine decides every witness, and one that it decides otherwise raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from comity_policy.decision import Decision
from comity_policy.engine import CompiledAgreement
from comity_policy.facts import (
    Moment,
    NodeFacts,
    PersonalData,
    Point,
    Profile,
    Times,
)
from comity_policy.lowering import Source

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


class UnconfirmedError(Exception):
    """The engine decides a witness otherwise than the model: one of the two is wrong, and nothing it says counts."""


@dataclass(frozen=True, slots=True)
class Witness:
    """One case: a report of one portion for one node, at one moment."""

    profile: Profile
    times: Times
    node: NodeFacts
    moment: Moment

    def decided_by(self, source: Source) -> Decision:
        """Give the engine's decision under an agreement, whose id and digest the report is made to name."""
        return CompiledAgreement(source).decide(naming(self.profile, source), self.times, 0, self.node, self.moment)

    def permitted_by(self, source: Source) -> Witness:
        """Give the witness itself. Raises UnconfirmedError where the engine does not permit it."""
        decision = self.decided_by(source)
        if not decision.permit:
            told = ", ".join(f"{one.clause_id} {one.reason}" for one in decision.violations)
            raise UnconfirmedError(f"the model permits what the engine refuses ({told}): {self.words}")
        return self

    @property
    def fields(self) -> dict[str, object]:
        """Give the case in the fields of a table of cases, with the point; spans count from the making of the report."""
        return {name: value for name, value in _fields(self) if value not in {None, "", ()}}

    @property
    def words(self) -> str:
        """Give the case in one line."""
        return ", ".join(f"{name} {_said(value)}" for name, value in self.fields.items())


def naming(profile: Profile, source: Source) -> Profile:
    """Give the profile as one that names the agreement and its digest."""
    return replace(profile, agreement_id=source.document.id, agreement_digest=source.digest)


def _fields(one: Witness) -> Iterator[tuple[str, object]]:
    profile, times, node, moment, label = one.profile, one.times, one.node, one.moment, one.profile.portions[0].label
    made, opening = times.created_at, moment.point is Point.OPENING
    used_at = moment.admitted_at if opening and moment.admitted_at is not None else moment.now
    yield "point", moment.point.name.lower()
    yield "from", profile.originator.party
    yield "to", node.party
    yield "level", label.classification
    yield "categories", profile.categories
    yield "purpose", profile.purpose
    yield "kind", profile.kind.word
    yield "precedence", profile.precedence.name
    yield "suite", profile.suite
    yield "releasable_to", _listed(label.releasable_to)
    yield "display_only", _listed(label.display_only)
    yield "dissemination", _listed(label.dissemination)
    yield "tlp", label.tlp.name if label.tlp is not None else None
    yield "created", _time(made)
    yield "not_before", span(times.not_before - made)
    yield "expires", span(times.expires_at - made)
    yield "now", span(moment.now - made)
    yield "admitted", span(moment.admitted_at - made) if moment.admitted_at is not None else None
    yield "region", node.region
    yield "accreditation", node.accreditation_level
    yield "accredited_for", _since(node.accreditation_until, made)
    yield "key_age", _since(used_at, node.oldest_key_since)
    yield "valid", node.valid
    yield "broker", moment.broker
    yield "broker_region", moment.broker_region
    yield "key_log_age", span(moment.key_log_age) if moment.key_log_age is not None else None
    yield "sender_roles", tuple(sorted(role.word for role in moment.sender_roles or ()))
    yield "sender_key_age", _since(used_at, moment.sender_key_since)
    yield "direct", moment.direct
    yield "onward_grant", moment.onward_grant
    yield "opening_purpose", moment.opening_purpose
    yield from _more_fields(one)


def _more_fields(one: Witness) -> Iterator[tuple[str, object]]:
    """Give what few agreements ask for, where it is not as usual."""
    profile, node, moment, portion = one.profile, one.node, one.moment, one.profile.portions[0]
    yield "officer", tuple(each.officer for each in profile.addressees if each.officer)
    yield "offices", _listed(node.offices)
    yield "communities", _listed(node.communities)
    yield "capabilities", _listed(node.capabilities)
    yield "sender_capabilities", _listed(moment.sender_capabilities)
    yield "personal_data", portion.personal_data.name if portion.personal_data is not PersonalData.NONE else None
    yield "persons", portion.persons or None
    yield "warn", portion.warn or None
    yield "emergency", moment.emergency_declared or None if profile.emergency else None
    yield "approvals", len(moment.approvals or ()) or None
    yield "hops", moment.hops or None
    yield "use", moment.use.value if moment.use is not None else None
    yield "consents", _listed(None if moment.consents is None else frozenset(map(str, moment.consents)))
    yield "held", moment.held or None
    if moment.reader is not None:
        yield "reader_clearance", moment.reader.clearance_level


def _since(end: int | None, begin: int | None) -> str | None:
    return span(end - begin) if end is not None and begin is not None else None


def span(milliseconds: int) -> str:
    """Give a span as tables of cases write it, e.g. ``2d3h``."""
    rest, found = abs(milliseconds), ""
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        found += f"{count}{unit}" if count else ""
    return ("-" if milliseconds < 0 else "") + found if found else "0"


def _time(milliseconds: int) -> str:
    """Give a time in RFC 3339; what the calendar does not hold as its number of milliseconds."""
    try:
        return (
            datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        )
    except (ValueError, OverflowError, OSError):
        return f"{milliseconds} ms"


def _listed(words: frozenset[str] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(sorted(map(str, words)))


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)
