"""The event of an admitted segment: one for all its slots, decisions listed once for every distinct (profile, facts).

The shared body is the segment's header: numbers, the root of the slot records, which slots were duplicates or refused. Decisions
stand in the own bodies: the originator's party reads them for every recipient, a recipient's party for its own nodes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from comity.envelope.evidence import SlotCode
from comity_broker.auditlog.bodies import Caller, Event, body, call, ranges
from comity_broker.auditlog.kinds import EventKind
from comity_policy.decision import ReportDecision
from comity_policy.facts import Moment, NodeFacts

# Which semantics of decisions the log was written under (docs/policy-semantics.md).
ENGINE: Final = "comity-policy/1"


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One decision and the slots it covers; `profile` is SHA-384 of the encoded profile, `nodes` are all that were asked for."""

    slots: Sequence[int]
    profile: bytes
    moment: Moment
    nodes: Sequence[NodeFacts]
    result: ReportDecision


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
        "duplicates": admission.duplicates,
        "refusals": [[slot, int(code)] for slot, code in admission.refusals],
    }
    recipients = {node.party for decision in decisions for node in decision.nodes}
    own = {caller.party: body(decisions=_decisions(decisions, caller.party, caller.party))}
    for party in recipients - {caller.party}:
        # Between two parties both read the same, which is then encoded once.
        alone = recipients == {party}
        own[party] = own[caller.party] if alone else body(decisions=_decisions(decisions, caller.party, party))
    kind = EventKind.SUBMIT_ACCEPTED if admission.count else EventKind.SUBMIT_REJECTED
    return Event(kind, body(**shared), own)


def _decisions(decisions: Sequence[LoggedDecision], originator: str, reader: str) -> list[dict[str, object]]:
    return [
        {
            "slots": ranges(decision.slots),
            "profile": decision.profile.hex(),
            "moment": _moment(decision.moment),
            "recipients": [
                _recipient(node, decision.result) for node in decision.nodes if reader in (originator, node.party)
            ],
        }
        for decision in decisions
    ]


def _moment(moment: Moment) -> dict[str, object]:
    roles = moment.sender_roles
    return {
        "now": moment.now,
        "broker": moment.broker,
        "broker_region": moment.broker_region,
        "key_log_age": moment.key_log_age,
        "sender_roles": None if roles is None else sorted(role.word for role in roles),
        "sender_key_since": moment.sender_key_since,
        "direct": moment.direct,
        "onward_grant": moment.onward_grant,
    }


def _recipient(node: NodeFacts, result: ReportDecision) -> dict[str, object]:
    violated: dict[tuple[str, str], list[int]] = {}
    for (party, name, portion), violations in result.violations.items():
        if (party, name) == (node.party, node.node):
            for one in violations:
                violated.setdefault((one.clause_id, one.reason.value), []).append(portion)
    return {
        "party": node.party,
        "node": node.node,
        "facts": {
            "region": node.region,
            "offices": sorted(node.offices),
            "communities": sorted(node.communities),
            "accreditation_level": node.accreditation_level,
            "accreditation_until": node.accreditation_until,
            "oldest_key_since": node.oldest_key_since,
            "valid": node.valid,
        },
        "portions": list(result.permitted.get((node.party, node.node), ())),
        "violations": [
            {"clause": clause, "reason": reason, "portions": sorted(portions)}
            for (clause, reason), portions in violated.items()
        ],
    }
