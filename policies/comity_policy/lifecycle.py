"""The life of an agreement: a pure fold over the signed steps its log holds, and a time.

Sharing widens by all signatures and narrows by one. Rules in order:

1. Steps come in the log's order, which is the order of effect: indices ascend strictly, times never fall. Signatures and the
   officer's authority were verified before; this module judges what the steps mean.
2. PROPOSE, REVIEW and SIGN share one chain, each naming the digest it follows; of two that follow the same one the first
   wins and the other is a conflict. SUSPEND and RESUME are a chain per party and never conflict with the other side's.
3. DRAFT -> PROPOSED -> REVIEWED (each party's legal reviewer signed off the whole text) -> SIGNED (each party's
   plenipotentiary, after its own review). No step names other bytes than those folded here.
4. LOG_SIGN, at any time and in no chain: each party signs the terms of the agreement's log at a broker, all the same terms.
   Nothing is in force before one log has all.
5. IN_FORCE by rule: ``on-signature`` at the log time of the last signature of (3) and (4), ``fixed-date`` at the later of
   that and the date. EXPIRED from `until` on, whatever else holds.
6. Suspension only subtracts. A party suspends the whole or single clauses, not those of protective kinds, and resumes only
   what it suspended itself; what two parties suspended needs both to resume.
7. A step that is not admissible makes the fold fail: a state that ignores a suspension would be open by mistake.

Times are Unix milliseconds. The log's time is proof that it is that late: `now_ms` before the last step counts as its time.

    state = fold(document, digest, steps, now_ms)
    compile_agreement(document, digest, state.policy(), vocabularies)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from comity_policy.facts import AgreementState
from comity_policy.sections import Document
from comity_policy.steps import LogTerms, Step, StepError, StepKind

__all__ = [
    "Event",
    "LogTerms",
    "Phase",
    "State",
    "Step",
    "StepError",
    "StepKind",
    "TransitionError",
    "TransitionFault",
    "admissible",
    "fold",
]

_V = TypeVar("_V")


class Phase(StrEnum):
    """Where an agreement stands."""

    DRAFT = "DRAFT"
    PROPOSED = "PROPOSED"
    REVIEWED = "REVIEWED"
    SIGNED = "SIGNED"
    IN_FORCE = "IN_FORCE"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"


class TransitionFault(StrEnum):
    """What kind of reason stands against a step, for callers who answer each in their own way."""

    CONFLICT = "conflict"
    DIGEST = "digest"
    NOT_A_PARTY = "not-a-party"
    ROLE = "role"
    STATE = "state"


class TransitionError(ValueError):
    """A step that the state does not allow; the message says why not."""

    def __init__(self, fault: TransitionFault, message: str) -> None:
        self.fault = fault
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an agreement's history; `step` is None for what time alone brought about."""

    at_ms: int
    what: str
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What the steps amount to at a time.

    `in_force_at` is when the agreement entered (or will enter) into force, None while signatures are missing; `chain_head`
    and `party_heads` are the digests the next steps must follow; `logs` are the logs' terms, `log_signed` who signed which.
    """

    document: Document
    digest: bytes
    now_ms: int
    proposed: bool = False
    reviewed: frozenset[str] = frozenset()
    signed: frozenset[str] = frozenset()
    logs: Mapping[str, LogTerms] = field(default_factory=lambda: MappingProxyType({}))
    log_signed: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    in_force_at: int | None = None
    whole_suspended_by: frozenset[str] = frozenset()
    suspended_by: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    chain_head: str = ""
    party_heads: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    steps: tuple[Step, ...] = ()

    @property
    def ends_at(self) -> int | None:
        """Give the first moment at which the term is over, None for an agreement without one."""
        until = self.document.duration.until
        return None if until is None else _milliseconds(until)

    @property
    def phase(self) -> Phase:
        """Give where the agreement stands."""
        parties = self.document.parties.keys()
        if self.ends_at is not None and self.now_ms >= self.ends_at:
            return Phase.EXPIRED
        if self.in_force_at is not None and self.now_ms >= self.in_force_at:
            return Phase.SUSPENDED if self.whole_suspended_by else Phase.IN_FORCE
        if self.signed == parties:
            return Phase.SIGNED
        if self.reviewed == parties:
            return Phase.REVIEWED
        return Phase.PROPOSED if self.proposed else Phase.DRAFT

    @property
    def suspended_clauses(self) -> frozenset[str]:
        """Give the ids of clauses that somebody suspended singly."""
        return frozenset(self.suspended_by)

    @property
    def open_logs(self) -> tuple[str, ...]:
        """Give the origins of the logs whose terms every party signed: only there may reports be admitted."""
        return tuple(origin for origin, parties in self.log_signed.items() if parties == self.document.parties.keys())

    @property
    def history(self) -> tuple[Event, ...]:
        """Give what happened until now, in order, with who and when; entry into force and expiry included."""
        events = [Event(step.at_ms, _told(step), step) for step in self.steps]
        for at_ms, what in ((self.in_force_at, "entered into force"), (self.ends_at, "expired")):
            if at_ms is not None and at_ms <= self.now_ms:
                events.append(Event(at_ms, what))
        return tuple(sorted(events, key=lambda event: event.at_ms))

    def policy(self) -> AgreementState:
        """Give what decisions need to know."""
        phase = self.phase
        reason = {Phase.IN_FORCE: "", Phase.SUSPENDED: "SUSPENDED", Phase.EXPIRED: "EXPIRED"}.get(phase, "NOT_YET")
        return AgreementState(phase is Phase.IN_FORCE, reason, self.suspended_clauses)

    def at(self, now_ms: int) -> State:
        """Give the same steps at another time, not before the last of them."""
        return replace(self, now_ms=max(now_ms, self.steps[-1].at_ms) if self.steps else now_ms)


def fold(document: Document, digest: bytes, steps: Iterable[Step], now_ms: int) -> State:
    """Give the state after the steps of the log, in its order; raises TransitionError for one that is not admissible."""
    state = State(document, digest, 0)
    for step in steps:
        if state.steps and step.log_index <= state.steps[-1].log_index:
            raise TransitionError(TransitionFault.STATE, f"entry {step.log_index} is not after the one before it")
        if state.steps and step.at_ms < state.steps[-1].at_ms:
            raise TransitionError(TransitionFault.STATE, f"entry {step.log_index} is older than the one before it")
        state = replace(state, now_ms=step.at_ms)
        admissible(state, step)
        state = _applied(state, step)
    return state.at(now_ms)


def admissible(state: State, step: Step) -> None:
    """Raise TransitionError, with the reason, where the step may not be taken in this state; else do nothing."""
    document = state.document
    if step.agreement_id != document.id:
        raise TransitionError(TransitionFault.DIGEST, f"the step is about {step.agreement_id}, not {document.id}")
    if step.agreement_digest != state.digest.hex():
        raise TransitionError(TransitionFault.DIGEST, "the step names other bytes than this agreement's")
    if step.party not in document.parties:
        raise TransitionError(TransitionFault.NOT_A_PARTY, f"{step.party} is no party of {document.id}")
    if step.officer.partition("/")[0] != step.party:
        raise TransitionError(TransitionFault.NOT_A_PARTY, f"{step.officer} is no officer of {step.party}")
    if step.role not in step.kind.roles:
        allowed = " or ".join(sorted(role.word for role in step.kind.roles))
        raise TransitionError(TransitionFault.ROLE, f"{step.kind.value} is for {allowed}, not {step.role.word}")
    if state.phase is Phase.EXPIRED:
        raise TransitionError(TransitionFault.STATE, f"{document.id} has expired")
    _follows(state, step)
    match step.kind:
        case StepKind.PROPOSE:
            _require(not state.proposed, f"{document.id} has been proposed already")
        case StepKind.REVIEW:
            _require(state.proposed, f"{document.id} has not been proposed")
            _require(step.party not in state.reviewed, f"{step.party} has reviewed {document.id} already")
        case StepKind.SIGN:
            _require(step.party in state.reviewed, f"{step.party} has not reviewed {document.id}: no signature before")
            _require(step.party not in state.signed, f"{step.party} has signed {document.id} already")
        case StepKind.LOG_SIGN:
            _log_admissible(state, step)
        case StepKind.SUSPEND:
            _suspension_admissible(state, step)
        case StepKind.RESUME:
            _resumption_admissible(state, step)


def _follows(state: State, step: Step) -> None:
    if step.kind is StepKind.LOG_SIGN:
        return
    head = state.chain_head if step.kind.multilateral else state.party_heads.get(step.party, "")
    if step.follows != head:
        chain = "the parties' common chain" if step.kind.multilateral else f"the chain of {step.party}"
        what = f"follows {step.follows[:16] or 'nothing'}, but {chain} has come to {head[:16] or 'nothing yet'}"
        raise TransitionError(
            TransitionFault.CONFLICT, f"{step.kind.value} {what}: look at the newest state and try again"
        )
    if not step.digest or any(step.digest == one.digest for one in state.steps):
        raise TransitionError(TransitionFault.CONFLICT, f"{step.kind.value} is there already, or has no digest")


def _log_admissible(state: State, step: Step) -> None:
    terms = step.log
    if terms is None:
        raise TransitionError(TransitionFault.STATE, "the step does not say which log")
    known = state.logs.get(terms.origin, terms)
    if known != terms:
        raise TransitionError(TransitionFault.CONFLICT, f"{terms.origin} was signed with other keys or another anchor")
    already = step.party in state.log_signed.get(terms.origin, frozenset())
    _require(not already, f"{step.party} has signed the log {terms.origin} already")


def _suspension_admissible(state: State, step: Step) -> None:
    document = state.document
    _require(
        state.signed == document.parties.keys(), f"{document.id} is not signed by all: there is nothing to suspend"
    )
    _require(bool(step.reason.strip()), "a suspension states its reason")
    if not step.clauses:
        _require(step.party not in state.whole_suspended_by, f"{step.party} has suspended {document.id} already")
    known = {clause.id: clause for clause in document.clauses}
    for clause_id in step.clauses:
        _require(clause_id in known, f"{document.id} has no clause {clause_id}")
        _require(known[clause_id].suspendable, f"clause {clause_id} protects what was shared and cannot be suspended")
        suspended = step.party in state.suspended_by.get(clause_id, frozenset())
        _require(not suspended, f"{step.party} has suspended clause {clause_id} already")


def _resumption_admissible(state: State, step: Step) -> None:
    if not step.clauses:
        _require(
            step.party in state.whole_suspended_by, f"{step.party} has not suspended {state.document.id} as a whole"
        )
    for clause_id in step.clauses:
        suspended = step.party in state.suspended_by.get(clause_id, frozenset())
        _require(suspended, f"{step.party} has not suspended clause {clause_id}: each party resumes what it suspended")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise TransitionError(TransitionFault.STATE, otherwise)


def _applied(state: State, step: Step) -> State:
    state = replace(state, steps=(*state.steps, step))
    if step.kind.multilateral:
        state = replace(state, chain_head=step.digest)
    elif step.kind.unilateral:
        state = replace(state, party_heads=_with(state.party_heads, step.party, step.digest))
    match step.kind:
        case StepKind.PROPOSE:
            return replace(state, proposed=True)
        case StepKind.REVIEW:
            return replace(state, reviewed=state.reviewed | {step.party})
        case StepKind.SIGN:
            return _entering(replace(state, signed=state.signed | {step.party}), step)
        case StepKind.LOG_SIGN:
            return _entering(_log_signed(state, step), step)
        case StepKind.SUSPEND | StepKind.RESUME:
            return _suspended(state, step)


def _log_signed(state: State, step: Step) -> State:
    if step.log is None:
        return state
    origin = step.log.origin
    signed = state.log_signed.get(origin, frozenset()) | {step.party}
    return replace(state, logs=_with(state.logs, origin, step.log), log_signed=_with(state.log_signed, origin, signed))


def _entering(state: State, step: Step) -> State:
    """Fix the entry into force where this signature was the last that was missing."""
    if state.in_force_at is not None or state.signed != state.document.parties.keys() or not state.open_logs:
        return state
    at = state.document.entry_into_force.at
    return replace(state, in_force_at=step.at_ms if at is None else max(step.at_ms, _milliseconds(at)))


def _suspended(state: State, step: Step) -> State:
    mine = frozenset({step.party})
    suspends = step.kind is StepKind.SUSPEND
    if not step.clauses:
        whole = state.whole_suspended_by | mine if suspends else state.whole_suspended_by - mine
        return replace(state, whole_suspended_by=whole)
    by = dict(state.suspended_by)
    for clause_id in step.clauses:
        before = by.pop(clause_id, frozenset())
        after = before | mine if suspends else before - mine
        if after:
            by[clause_id] = after
    return replace(state, suspended_by=MappingProxyType(by))


def _with(mapping: Mapping[str, _V], key: str, value: _V) -> Mapping[str, _V]:
    return MappingProxyType({**mapping, key: value})


def _told(step: Step) -> str:
    verb = {
        StepKind.PROPOSE: "proposed the agreement",
        StepKind.REVIEW: "signed off the legal review",
        StepKind.SIGN: "signed the agreement",
        StepKind.LOG_SIGN: "signed the terms of the log",
        StepKind.SUSPEND: "suspended",
        StepKind.RESUME: "resumed",
    }[step.kind]
    if step.kind.unilateral:
        what = f"clause {', '.join(step.clauses)}" if step.clauses else "the whole agreement"
        verb = f"{verb} {what}" + (f": {step.reason}" if step.reason else "")
    return f"{step.officer} ({step.role.word}) {verb}"


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1000
