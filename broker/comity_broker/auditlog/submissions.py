"""The event of an admitted segment: one for all its slots, decisions listed once for every distinct (profile, facts).

Rules in order:
1. The shared body is the segment's header: numbers, the root of the slot records, which slots were duplicates or refused, and
   what every decision in it was made under: engine, agreement, vocabularies, its state, its umbrella's, the caveats in force.
2. Decisions stand in the own bodies: the originator's party reads them for every recipient, a recipient's party for its own nodes
   only. They hold every fact the engine was given, by its field's name, and what it answered: enough to decide again. What is
   attested of a recipient stands once a body, however many decisions were made on it.
3. The profile and times of an admitted report are in its manifest. Nothing else keeps those of a report that did not enter: they
   stand in the originator's own body, which alone may know what was not sent, up to `PROFILES_BYTES` an entry.
4. A recipient reads of a quota's window what is of its own direction; a window that a caveat names its party reads alone.
5. What a national caveat refused stands whole in the body of the caveat's party only. Every other party reads that a caveat of
   that name refused (``PARTY/CAVEAT``, reason CAVEAT), not which of its clauses or why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from comity.envelope.evidence import SlotCode
from comity.envelope.vocabularies import vocabularies_digest
from comity_broker.auditlog.bodies import Caller, Event, body, call, ranges
from comity_broker.auditlog.kinds import EventKind
from comity_policy.clauses import Quota
from comity_policy.decision import ENGINE, ReportDecision, Violation, caveat_of
from comity_policy.facts import AgreementState, Moment, NodeFacts, Times
from comity_policy.sources import Source, every_layer

# How many bytes of profiles one entry keeps for reports that did not enter: its body stays far below its limit.
PROFILES_BYTES: Final = 256 << 10
_CAVEAT: Final = "caveat/"
_REFUSED_BY_CAVEAT: Final = "CAVEAT"
_NO_STATE: Final = AgreementState(in_force=False)


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One decision and the slots it covers, each with its times where one of them did not enter.

    `profile` is encoded, `nodes` are all that were asked for.
    """

    slots: Sequence[int]
    profile: bytes
    moment: Moment
    nodes: Sequence[NodeFacts]
    result: ReportDecision
    times: Sequence[Times]


@dataclass(frozen=True, slots=True)
class DecidedUnder:
    """What all decisions of one segment were made under.

    `umbrella` is its agreement id, digest and state; `caveats` are (party, id, digest) of those in force. `quotas` says of each
    quota that is decided to whom its direction leads.
    """

    vocabularies: bytes
    state: AgreementState
    umbrella: tuple[str, bytes, AgreementState] | None = None
    caveats: tuple[tuple[str, str, bytes], ...] = ()
    quotas: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, source: Source, vocabularies: Mapping[str, str], caveats: Mapping[tuple[str, str], str]
    ) -> DecidedUnder:
        """Give what a compiled agreement decides under; `vocabularies` and `caveats` have the digests of their texts."""
        above = source.umbrella
        return cls(
            vocabularies_digest(vocabularies),
            source.state,
            None if above is None else (above.document.id, above.digest, above.state),
            tuple((*name, bytes.fromhex(text.removeprefix("sha384:"))) for name, text in sorted(caveats.items())),
            {
                layer.written(clause): clause.to_party
                for layer in every_layer(source)
                for clause in layer.clauses
                if isinstance(clause, Quota)
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentAdmission:
    """What admission did with one segment. `records` is the root of its slot records (`log.record_tree`).

    `key_log_size` is how many entries of the key log the decision knew. A slot whose refusal says "try again" ends nothing and is
    in no admission: only a segment whose slots all have an outcome is logged.
    """

    time: int
    received_at: int
    key_log_size: int
    state_epoch: int
    transport_class: int
    origin_epoch: bytes
    first_origin_sequence: int
    segment_id: bytes
    slots: int
    first_agreement_sequence: int
    records: bytes
    agreement_digest: bytes
    under: DecidedUnder
    duplicates: tuple[tuple[int, int], ...] = ()
    refusals: tuple[tuple[int, SlotCode], ...] = ()

    @property
    def count(self) -> int:
        """Give how many slots were admitted."""
        return self.slots - len(self.duplicates) - len(self.refusals)


def submitted(admission: SegmentAdmission, caller: Caller, decisions: Sequence[LoggedDecision]) -> Event:
    """Build SUBMIT_ACCEPTED, or SUBMIT_REJECTED where no slot was admitted. `caller` is the originator's node."""
    shared = {
        **call(caller),
        "time": admission.time,
        "received_at": admission.received_at,
        "key_log_size": admission.key_log_size,
        "state_epoch": admission.state_epoch,
        "class": admission.transport_class,
        "origin_epoch": admission.origin_epoch.hex(),
        "first_origin_sequence": admission.first_origin_sequence,
        "segment_id": admission.segment_id.hex(),
        "slots": admission.slots,
        "first_agreement_sequence": admission.first_agreement_sequence,
        "count": admission.count,
        "records": admission.records.hex(),
        "agreement_digest": admission.agreement_digest.hex(),
        "engine": ENGINE,
        "under": _under(admission.under),
        "duplicates": admission.duplicates,
        "refusals": [[slot, int(code)] for slot, code in admission.refusals],
    }
    recipients = {node.party for decision in decisions for node in decision.nodes}
    ended = frozenset(slot for slot, _ in (*admission.duplicates, *admission.refusals))
    whole = _kept(decisions, ended)
    own = {caller.party: _own(decisions, _Reader(caller.party, whole))}
    caveated = any(clause_id.startswith(_CAVEAT) for clause_id in admission.under.quotas)
    for party in recipients - {caller.party}:
        # Between two parties both read the same where all entered and no caveat spoke, which is then encoded once.
        alike = recipients == {party} and not ended and not caveated and not any(map(_by_caveat, decisions))
        own[party] = own[caller.party] if alike else _own(decisions, _Reader(party, {}, ended, admission.under.quotas))
    kind = EventKind.SUBMIT_ACCEPTED if admission.count else EventKind.SUBMIT_REJECTED
    return Event(kind, body(**shared), own)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Whose own body is written: the originator's, which keeps `whole` profiles by decision, or a recipient's by rules 3 and 4."""

    party: str
    whole: Mapping[int, bytes]
    ended: frozenset[int] = frozenset()
    quotas: Mapping[str, str] | None = None

    def may_know(self, clause_id: str) -> bool:
        """Say whether a quota's window is this party's to read."""
        if clause_id.startswith(_CAVEAT):
            return clause_id.startswith(f"{_CAVEAT}{self.party}/")
        return self.quotas is None or self.quotas.get(clause_id) == self.party

    def may_recognise(self, decision: LoggedDecision) -> bool:
        """Say whether this party may read which profile was decided: one that never came would be guessed by its digest."""
        return self.quotas is None or not self.ended.issuperset(decision.slots)


def _kept(decisions: Sequence[LoggedDecision], ended: frozenset[int]) -> dict[int, bytes]:
    """Give the profiles to keep by the decision's number, as far as there is room."""
    kept, room = dict[int, bytes](), PROFILES_BYTES
    for number, decision in enumerate(decisions):
        if not ended.isdisjoint(decision.slots) and len(decision.profile) <= room:
            kept[number] = decision.profile
            room -= len(decision.profile)
    return kept


@dataclass(slots=True)
class _Attested:
    """What is attested of recipients in one body, numbered in the order in which it is first decided on; what is equal counts once."""

    facts: list[dict[str, object]] = field(default_factory=list)
    _numbers: dict[NodeFacts, int] = field(default_factory=dict)
    # Decisions of one segment are made on the same objects, which are told apart faster than they are compared.
    _known: dict[int, int] = field(default_factory=dict)

    def number(self, node: NodeFacts) -> int:
        """Give the number of a recipient's facts."""
        known = self._known.get(id(node))
        if known is None:
            known = self._numbers.setdefault(replace(node, party="", node=""), len(self.facts))
            self._known[id(node)] = known
            if known == len(self.facts):
                self.facts.append(_facts(node))
        return known


def _own(decisions: Sequence[LoggedDecision], reader: _Reader) -> bytes:
    """Give the body of one party."""
    attested = _Attested()
    return body(decisions=_decisions(decisions, reader, attested), attested=attested.facts)


def _decisions(decisions: Sequence[LoggedDecision], reader: _Reader, attested: _Attested) -> list[dict[str, object]]:
    return [
        {
            "slots": ranges(decision.slots),
            "profile": hashlib.sha384(decision.profile).hexdigest() if reader.may_recognise(decision) else "",
            "content": reader.whole[number].hex() if number in reader.whole else "",
            "times": (
                [[one.created_at, one.not_before, one.expires_at] for one in decision.times]
                if number in reader.whole
                else []
            ),
            "moment": _moment(decision.moment, reader),
            "recipients": [
                _recipient(node, attested.number(node), decision.result, reader.party)
                for node in decision.nodes
                if reader.quotas is None or node.party == reader.party
            ],
        }
        for number, decision in enumerate(decisions)
    ]


def _under(under: DecidedUnder) -> dict[str, object]:
    above = under.umbrella
    return {
        "vocabularies": under.vocabularies.hex(),
        "state": _state(under.state),
        "umbrella": "" if above is None else above[0],
        "umbrella_digest": "" if above is None else above[1].hex(),
        "umbrella_state": _state(_NO_STATE if above is None else above[2]),
        "caveats": [{"party": party, "id": name, "digest": digest.hex()} for party, name, digest in under.caveats],
    }


def _state(state: AgreementState) -> dict[str, object]:
    return {
        "in_force": state.in_force,
        "reason": state.reason,
        "suspended_clauses": sorted(state.suspended_clauses),
        "unbound": sorted(state.unbound),
    }


def _moment(moment: Moment, reader: _Reader) -> dict[str, object]:
    roles, usage = moment.sender_roles, moment.usage
    return {
        "now": moment.now,
        "broker": moment.broker,
        "broker_region": moment.broker_region,
        "key_log_age": moment.key_log_age,
        "sender_roles": None if roles is None else sorted(role.word for role in roles),
        "sender_key_since": moment.sender_key_since,
        "sender_capabilities": _sorted(moment.sender_capabilities),
        "direct": moment.direct,
        "onward_grant": moment.onward_grant,
        "size": moment.size,
        "usage": None
        if usage is None
        else [
            {"clause": clause_id, "reports": one.reports, "size": one.size}
            for clause_id, one in sorted(usage.items())
            if reader.may_know(clause_id)
        ],
        "approvals": _sorted(moment.approvals),
        "log_available": moment.log_available,
        "emergency_declared": moment.emergency_declared,
        "hops": moment.hops,
        "disputed": moment.disputed,
    }


def _sorted(words: frozenset[str] | None) -> list[str] | None:
    return None if words is None else sorted(words)


def _by_caveat(decision: LoggedDecision) -> bool:
    return any(caveat_of(one.clause_id) for violations in decision.result.violations.values() for one in violations)


def _as_read_by(reader: str, violation: Violation) -> tuple[str, str]:
    named = caveat_of(violation.clause_id)
    if named is None or named[0] == reader:
        return violation.clause_id, violation.reason.value
    return "/".join(named), _REFUSED_BY_CAVEAT


def _facts(node: NodeFacts) -> dict[str, object]:
    return {
        "region": node.region,
        "offices": sorted(node.offices),
        "communities": sorted(node.communities),
        "accreditation_level": node.accreditation_level,
        "accreditation_until": node.accreditation_until,
        "oldest_key_since": node.oldest_key_since,
        "valid": node.valid,
        "officers": _sorted(node.officers),
        "overdue": _sorted(node.overdue),
        "capabilities": _sorted(node.capabilities),
    }


def _recipient(node: NodeFacts, facts: int, result: ReportDecision, reader: str) -> dict[str, object]:
    violated: dict[tuple[str, str], set[int]] = {}
    for (party, name, portion), violations in result.violations.items():
        if (party, name) == (node.party, node.node):
            for one in violations:
                violated.setdefault(_as_read_by(reader, one), set()).add(portion)
    return {
        "party": node.party,
        "node": node.node,
        "facts": facts,
        "portions": list(result.permitted.get((node.party, node.node), ())),
        "violations": [
            {"clause": clause, "reason": reason, "portions": sorted(portions)}
            for (clause, reason), portions in violated.items()
        ],
    }
