"""The life of an agreement: a pure fold over the signed steps its log holds, and a time.

Sharing widens by all signatures and narrows by one. Rules in order:

1. Steps come in the log's order, which is the order of effect: indices ascend strictly, times never fall. Signatures and the
   officer's authority were verified before; this module judges what the steps mean.
2. Multilateral steps share one chain, each naming the digest it follows; of two that follow the same one the first wins and
   the other is a conflict. Unilateral ones are a chain per party and never conflict with the other side's.
3. DRAFT -> PROPOSED <-> COUNTERED -> INITIALLED -> REVIEWED -> SIGNED -> COMPLETED: `negotiation.py`. A step names the text
   it is about by digest, and no step is about bytes that are not folded here.
4. LOG_SIGN, at any time and in no chain: each party signs the terms of the agreement's log at a broker, all the same terms.
   LOG_CONFIRM is the same for the next incarnation of a log that was open, which takes its place once it is open itself.
   Nothing is in force before one log has all that are needed.
5. IN_FORCE by rule, at a moment that the last act needed fixes; before it, what [provisional] says. Amendments, notes,
   suspensions, renewals, notices, accessions, disputes, caveats: `changes.py`. Terms and ends: `binding.py`.
6. Once it is over only disputes and caveats move.
7. A step that is not admissible makes the fold fail: a state that ignores a suspension would be open by mistake.

Times are Unix milliseconds. The log's time is proof that it is that late: `now_ms` before the last step counts as its time.

    state = fold(document, digest, steps, now_ms)
    compile_agreement(state.document, state.digest, state.policy(), vocabularies)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from comity_policy import changes, negotiation
from comity_policy.binding import Departure, End
from comity_policy.calendar import LATEST_MS
from comity_policy.history import Event
from comity_policy.negotiation import Completion, Version, settled
from comity_policy.sections import Document
from comity_policy.state import Dispute, Phase, State
from comity_policy.steps import ABOUT_LOGS, LogTerms, Step, StepError, StepKind
from comity_policy.transitions import TransitionError, TransitionFault, require

__all__ = [
    "Completion",
    "Departure",
    "Dispute",
    "End",
    "Event",
    "LogTerms",
    "Phase",
    "State",
    "Step",
    "StepError",
    "StepKind",
    "TransitionError",
    "TransitionFault",
    "Version",
    "admissible",
    "draft",
    "fold",
    "taken",
]

_V = TypeVar("_V")

_NEW_TEXT = frozenset({StepKind.COUNTER, StepKind.AMEND, StepKind.NOTES})
# About a text that is on its way, or about the one that binds.
_ABOUT_ANY = negotiation.KINDS | {StepKind.PROPOSE} | ABOUT_LOGS
_AFTER_THE_END = frozenset(
    {
        StepKind.LOG_CONFIRM,
        StepKind.DISPUTE_OPEN,
        StepKind.DISPUTE_CLOSE,
        StepKind.CAVEAT_ADD,
        StepKind.CAVEAT_WITHDRAW,
    }
)


def draft(document: Document, digest: bytes, texts: Mapping[str, Document] | None = None) -> State:
    """Give the state of a text that nobody has proposed yet; `texts` are others by the digest in hex, see `fold`."""
    held = MappingProxyType({**(texts or {}), digest.hex(): document})
    return State(texts=held, versions=(Version(document=document, digest=digest.hex()),))


def fold(
    document: Document,
    digest: bytes,
    steps: Iterable[Step],
    now_ms: int,
    texts: Mapping[str, Document] | None = None,
) -> State:
    """Give the state after the steps of the log, in its order; raises TransitionError for one that is not admissible.

    `document` and `digest` are the text that was proposed first; `texts` those that later steps bring, by digest in hex.
    """
    state = draft(document, digest, texts)
    for step in steps:
        state = taken(state, step)
    return state.at(now_ms)


def taken(state: State, step: Step) -> State:
    """Give the state after the log's next step, at that step's time; raises TransitionError where it is not admissible."""
    if state.steps:
        last = state.steps[-1]
        require(step.log_index > last.log_index, f"entry {step.log_index} is not after the one before it")
        require(step.at_ms >= last.at_ms, f"entry {step.log_index} is older than the one before it")
    require(0 <= step.at_ms < LATEST_MS, f"entry {step.log_index} is of a time that no calendar has")
    state = replace(state, now_ms=step.at_ms)
    admissible(state, step)
    return _applied(state, step)


def admissible(state: State, step: Step) -> None:
    """Raise TransitionError, with the reason, where the step may not be taken in this state; else do nothing."""
    document = state.document
    if step.agreement_id != document.id:
        raise TransitionError(TransitionFault.DIGEST, f"the step is about {step.agreement_id}, not {document.id}")
    if step.kind not in _NEW_TEXT and step.agreement_digest not in _digests(state, step.kind):
        raise TransitionError(TransitionFault.DIGEST, "the step names other bytes than this agreement's")
    if step.party not in document.parties:
        raise TransitionError(TransitionFault.NOT_A_PARTY, f"{step.party} is no party of {document.id}")
    if step.officer.partition("/")[0] != step.party:
        raise TransitionError(TransitionFault.NOT_A_PARTY, f"{step.officer} is no officer of {step.party}")
    if step.role not in step.kind.roles:
        allowed = " or ".join(sorted(role.word for role in step.kind.roles))
        raise TransitionError(TransitionFault.ROLE, f"{step.kind.value} is for {allowed}, not {step.role.word}")
    ended = state.ended
    require(
        not ended or step.kind in _AFTER_THE_END,
        f"{document.id} has {'expired' if ended == Phase.EXPIRED else 'been terminated'}",
    )
    _follows(state, step)
    _kind_admissible(state, step)


def _kind_admissible(state: State, step: Step) -> None:
    match step.kind:
        case StepKind.PROPOSE:
            require(not state.versions[-1].rounds, f"{state.document.id} has been proposed already")
        case StepKind.COUNTER:
            _counter_admissible(state, step)
        case StepKind.LOG_SIGN | StepKind.LOG_CONFIRM:
            _log_admissible(state, step)
        case StepKind.ACCEDE:
            changes.accession_admissible(state, step)
            negotiation.may_sign(state.current, step)
        case StepKind.AMEND:
            changes.amendment_admissible(state, step)
        case StepKind.NOTES:
            changes.note_admissible(state, step)
        case StepKind.RENEW | StepKind.OBJECT_RENEWAL:
            changes.renewal_admissible(state, step)
        case StepKind.NOTICE | StepKind.WITHDRAW:
            changes.notice_admissible(state, step)
        case StepKind.SUSPEND:
            changes.suspension_admissible(state, step)
        case StepKind.RESUME:
            changes.resumption_admissible(state, step)
        case StepKind.DISPUTE_OPEN | StepKind.DISPUTE_CLOSE:
            changes.dispute_admissible(state, step)
        case StepKind.CAVEAT_ADD | StepKind.CAVEAT_WITHDRAW:
            changes.caveat_admissible(state, step)
        case _:
            version, left = _version_of(state, step), state.departures.get(step.party)
            still_here = left is None or state.now_ms < left.at_ms
            require(still_here, f"{step.party} has left {state.document.id}")
            _has_a_say(state, version, step)
            negotiation.admissible(version, step)


def _digests(state: State, kind: StepKind) -> frozenset[str]:
    """Give the digests of the texts that a step of this kind may be about."""
    pending = state.pending
    if kind in _ABOUT_ANY and pending is not None:
        return frozenset({state.current.digest, pending.digest})
    return frozenset({state.current.digest})


def _version_of(state: State, step: Step) -> Version:
    pending = state.pending
    return pending if pending is not None and pending.digest == step.agreement_digest else state.current


def _follows(state: State, step: Step) -> None:
    if step.kind in ABOUT_LOGS:
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


def _counter_admissible(state: State, step: Step) -> None:
    version = state.versions[-1]
    _has_a_say(state, version, step)
    negotiation.counter_admissible(version, step)
    text = changes.brought(state, step)
    same = (text.version, text.amends) == (version.document.version, version.document.amends)
    require(same, "the text is of another version than the one on the table", TransitionFault.DIGEST)


def _has_a_say(state: State, version: Version, step: Step) -> None:
    """Raise TransitionError where a party that is not bound takes a step about a change of what binds others."""
    mine = version is state.current or step.party in state.bound
    require(mine, f"{step.party} is not bound by {state.document.id}: there is nothing it could amend")


def _log_admissible(state: State, step: Step) -> None:
    terms = step.log
    if terms is None:
        raise TransitionError(TransitionFault.STATE, "the step does not say which log")
    known = state.logs.get(terms.origin, terms)
    if known != terms:
        raise TransitionError(TransitionFault.CONFLICT, f"{terms.origin} was signed with other keys or another anchor")
    already = step.party in state.log_signed.get(terms.origin, frozenset())
    require(not already, f"{step.party} has signed the log {terms.origin} already")
    earlier = any(_same_log(one, terms.origin) for one in state.log_signed)
    require(step.kind is not StepKind.LOG_CONFIRM or earlier, f"{terms.origin} continues no log that was signed")


def _applied(state: State, step: Step) -> State:
    state = replace(state, steps=(*state.steps, step))
    if step.kind.multilateral:
        state = replace(state, chain_head=step.digest)
    elif step.kind.unilateral:
        state = replace(state, party_heads=_with(state.party_heads, step.party, step.digest))
    return _settled(_kind_applied(state, step), step)


def _kind_applied(state: State, step: Step) -> State:
    match step.kind:
        case StepKind.PROPOSE:
            return _replaced(state, replace(state.versions[-1], rounds=(step,)))
        case StepKind.COUNTER:
            return _replaced(state, state.versions[-1].countered(state.texts[step.agreement_digest], step))
        case StepKind.LOG_SIGN | StepKind.LOG_CONFIRM:
            return _log_signed(state, step)
        case StepKind.AMEND | StepKind.NOTES:
            return changes.changed(state, step)
        case StepKind.RENEW:
            return changes.renewed(state, step)
        case StepKind.OBJECT_RENEWAL | StepKind.NOTICE | StepKind.WITHDRAW:
            return changes.departed(state, step)
        case StepKind.SUSPEND | StepKind.RESUME:
            return changes.suspended(state, step)
        case StepKind.DISPUTE_OPEN | StepKind.DISPUTE_CLOSE:
            return changes.disputed(state, step)
        case StepKind.CAVEAT_ADD | StepKind.CAVEAT_WITHDRAW:
            return changes.with_caveat(state, step)
        case _:
            version = _version_of(state, step)
            after = negotiation.applied(version, step)
            return replace(state, versions=tuple(after if one is version else one for one in state.versions))


def _replaced(state: State, last: Version) -> State:
    return replace(state, versions=(*state.versions[:-1], last))


def _log_signed(state: State, step: Step) -> State:
    if step.log is None:
        return state
    origin = step.log.origin
    signed = state.log_signed.get(origin, frozenset()) | {step.party}
    after = replace(state, logs=_with(state.logs, origin, step.log), log_signed=_with(state.log_signed, origin, signed))
    if step.kind is not StepKind.LOG_CONFIRM or origin not in after.open_logs:
        return after
    left = {one: by for one, by in after.log_signed.items() if one == origin or not _same_log(one, origin)}
    return replace(after, log_signed=MappingProxyType(left))


def _same_log(origin: str, other: str) -> bool:
    """Say whether two origins are incarnations of one log."""
    return origin != other and origin.rpartition("/")[0] == other.rpartition("/")[0]


def _settled(state: State, step: Step) -> State:
    """Fix what this step was the last to be needed for, in the version that binds and in the one on its way."""
    bound, current, pending = state.bound, state.current, state.pending

    def all_bound(parties: frozenset[str]) -> bool:
        return len(bound) > 1 and parties >= bound

    return replace(
        state,
        versions=tuple(
            settled(one, state.log_signed, state.enough if number == 0 else all_bound, step.at_ms)
            if one is current or one is pending
            else one
            for number, one in enumerate(state.versions)
        ),
    )


def _with(mapping: Mapping[str, _V], key: str, value: _V) -> Mapping[str, _V]:
    return MappingProxyType({**mapping, key: value})
