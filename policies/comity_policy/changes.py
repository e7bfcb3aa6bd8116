"""Steps in the life of an agreement that is signed: changes, suspensions, its end, disputes and caveats.

Rules in order:

1. AMEND brings the text of the next version, which names this one by digest and has the same parties and roots. It goes the
   way of a negotiation; until it is in force the old version binds. A new change takes the place of one that is on its way,
   as long as no entry into force is fixed: of that, nothing was agreed.
2. NOTES bring a text that differs from the one in force in one annex alone, whose changes are made so. Every bound party's
   note, of the role that the annex names, brings it into force.
3. SUSPEND only subtracts: the whole or single clauses, not those of protective kinds. RESUME takes back what the same party
   suspended; what two suspended needs both.
4. RENEW, under an express renewal, adds one term when every bound party has signed it in the term before. OBJECT_RENEWAL,
   under a tacit one, is a departure at the end of the term that runs.
5. NOTICE, where two are bound, and WITHDRAW, where more are, is a departure after the period of notice, from the log's time of
   the step. Without [termination] there is neither.
6. ACCEDE is the signature of a party that the text names and that is not bound yet; one that has left does not come back.
7. A dispute names a report, decision or entry; it holds until all who were parties when it was opened have closed it, or to
   its deadline, at most three years ahead.
8. A caveat is added and withdrawn by one party alone; it binds every version until then (`governing.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import TypeVar

from comity_policy.binding import Departure, in_last_term
from comity_policy.calendar import CalendarError, moment, notice_ends, zone
from comity_policy.negotiation import Version
from comity_policy.sections import AgreementKind, AmendedBy, Document, Renewal
from comity_policy.state import WHOLE, Dispute, State
from comity_policy.steps import Step, StepKind
from comity_policy.transitions import TransitionError, TransitionFault, require

DISPUTE_DAYS = 1096

_DAY_MS = 86_400_000
_V = TypeVar("_V")


# --- a new text -------------------------------------------------------------------------------------------------------


def brought(state: State, step: Step) -> Document:
    """Give the text that a step brings; raises TransitionError for one that is not held or is of another agreement."""
    text = state.texts.get(step.agreement_digest)
    if text is None:
        raise TransitionError(TransitionFault.DIGEST, "the text this step names is not held here: fetch it first")
    before = state.versions[-1].document
    require(text.id == before.id, f"the text is of {text.id}, not of {before.id}", TransitionFault.DIGEST)
    roots = {code: party.root for code, party in text.parties.items()}
    same = roots == {code: party.root for code, party in before.parties.items()}
    require(same, "the text names other parties or roots: that is another agreement", TransitionFault.DIGEST)
    under = [None if one.under is None else one.under.agreement for one in (before, text)]
    same = before.kind == text.kind and under[0] == under[1]
    require(same, "the text is of another kind, or under another umbrella", TransitionFault.DIGEST)
    return text


def amendment_admissible(state: State, step: Step) -> None:
    """Raise TransitionError where an amendment may not be proposed; else do nothing."""
    _change_admissible(state, step)


def note_admissible(state: State, step: Step) -> None:
    """Raise TransitionError where a note may not be sent; else do nothing."""
    pending = state.pending
    if pending is not None and pending.annex == step.annex and pending.digest == step.agreement_digest:
        require(step.party in state.bound, f"{step.party} is not bound by {state.document.id}")
        require(step.party not in pending.signed, f"{step.party} has sent this note already")
    else:
        _change_admissible(state, step)
        _same_but_annex(state.document, state.texts[step.agreement_digest], step.annex)
    annex = next((one for one in state.document.annexes if one.id == step.annex), None)
    if annex is None or annex.amended_by is not AmendedBy.EXCHANGE_OF_NOTES:
        raise TransitionError(TransitionFault.STATE, f"{state.document.id} has no annex {step.annex} changed by notes")
    require(step.role.word == annex.by, f"notes on annex {annex.id} are for {annex.by}", TransitionFault.ROLE)


def changed(state: State, step: Step) -> State:
    """Give the state with the version that an admissible AMEND or NOTES brings on its way."""
    pending = state.pending
    if pending is not None and pending.digest == step.agreement_digest and pending.annex == step.annex != "":
        version = replace(pending, signed=pending.signed | {step.party})
    else:
        signed = frozenset({step.party}) if step.kind is StepKind.NOTES else frozenset()
        text = state.texts[step.agreement_digest]
        version = Version(document=text, digest=step.agreement_digest, rounds=(step,), annex=step.annex, signed=signed)
    kept = state.versions if pending is None else state.versions[:-1]
    return replace(state, versions=(*kept, version))


def _change_admissible(state: State, step: Step) -> None:
    current, pending, name = state.current, state.pending, state.document.id
    require(step.party in state.bound, f"{step.party} is not bound by {name}: there is nothing it could amend")
    require(_is_in_force(state), f"{name} is not in force: counter its text")
    fixed = pending is not None and pending.in_force_at is not None
    require(not fixed, f"a change of {name} is agreed and enters into force soon: propose on top of it then")
    amends = brought(state, step).amends
    follows = amends is not None and amends.digest == f"sha384:{current.digest}"
    require(follows, f"the text does not amend the version of {name} that is in force", TransitionFault.DIGEST)


def _same_but_annex(before: Document, after: Document, annex_id: str) -> None:
    def rest(document: Document) -> Document:
        others = tuple(annex for annex in document.annexes if annex.id != annex_id)
        clauses = (*document.own_clauses, *(clause for annex in others for clause in annex.clauses))
        return replace(document, version=0, amends=None, annexes=others, clauses=clauses)

    require(rest(before) == rest(after), f"the text changes more than annex {annex_id}", TransitionFault.DIGEST)
    old = next((one for one in before.annexes if one.id == annex_id), None)
    new = next((one for one in after.annexes if one.id == annex_id), None)
    if old is not None and new is not None:
        by = (old.amended_by, old.by) == (new.amended_by, new.by)
        require(by, f"notes do not change who changes annex {annex_id}", TransitionFault.DIGEST)
    order = [annex.id for annex in before.annexes] == [annex.id for annex in after.annexes]
    require(order, f"notes change annex {annex_id}, they neither add nor drop one", TransitionFault.DIGEST)


# --- suspension -------------------------------------------------------------------------------------------------------


def suspension_admissible(state: State, step: Step) -> None:
    """Raise TransitionError where a suspension may not be declared; else do nothing."""
    document, current = state.document, state.current
    # What enough have signed may be suspended before it is in force: nothing flows for a moment in between.
    signed = _is_in_force(state) or state.enough(current.signed)
    require(signed, f"{document.id} is not signed by all it needs: there is nothing to suspend")
    _is_inside(state, step)
    require(bool(step.reason.strip()), "a suspension states its reason")
    if not step.clauses:
        mine = step.party in state.suspensions.get(WHOLE, frozenset())
        require(not mine, f"{step.party} has suspended {document.id} already")
    known = {clause.id: clause for clause in document.clauses}
    for clause_id in step.clauses:
        require(clause_id in known, f"{document.id} has no clause {clause_id}")
        require(known[clause_id].suspendable, f"clause {clause_id} protects what was shared and cannot be suspended")
        mine = step.party in state.suspensions.get(clause_id, frozenset())
        require(not mine, f"{step.party} has suspended clause {clause_id} already")


def resumption_admissible(state: State, step: Step) -> None:
    """Raise TransitionError where there is nothing of its own that a party could resume; else do nothing."""
    if not step.clauses:
        mine = step.party in state.suspensions.get(WHOLE, frozenset())
        require(mine, f"{step.party} has not suspended {state.document.id} as a whole")
    for clause_id in step.clauses:
        mine = step.party in state.suspensions.get(clause_id, frozenset())
        require(mine, f"{step.party} has not suspended clause {clause_id}: each party resumes what it suspended")


def suspended(state: State, step: Step) -> State:
    """Give the state after an admissible SUSPEND or RESUME."""
    mine = frozenset({step.party})
    by = dict(state.suspensions)
    for what in step.clauses or (WHOLE,):
        before = by.pop(what, frozenset())
        after = before | mine if step.kind is StepKind.SUSPEND else before - mine
        if after:
            by[what] = after
    return replace(state, suspensions=MappingProxyType(by))


# --- renewal and end --------------------------------------------------------------------------------------------------


def renewal_admissible(state: State, step: Step) -> None:
    """Raise TransitionError where a term may not be renewed, or a renewal not be objected to; else do nothing."""
    name, express = state.document.id, step.kind is StepKind.RENEW
    wanted = Renewal.EXPRESS if express else Renewal.TACIT
    require(state.document.duration.renewal is wanted, f"{name} is not renewed in this way")
    require(_is_in_force(state), f"{name} is not in force: its first term has not begun")
    _is_bound(state, step)
    if express:
        require(in_last_term(state.current, state.now_ms), f"the next term of {name} is agreed on already")
        require(step.party not in state.current.renewing, f"{step.party} has signed the renewal already")
    else:
        said = state.departures.get(step.party)
        require(said is None or said.by_notice, f"{step.party} has objected to the renewal already")


def renewed(state: State, step: Step) -> State:
    """Give the state after an admissible RENEW."""
    current = state.current
    renewing = current.renewing | {step.party}
    if renewing >= state.bound:
        after = replace(current, renewals=current.renewals + 1, renewing=frozenset())
    else:
        after = replace(current, renewing=renewing)
    return replace(state, versions=tuple(after if one is current else one for one in state.versions))


def notice_admissible(state: State, step: Step) -> None:
    """Raise TransitionError where a notice or a withdrawal may not be given; else do nothing."""
    name = state.document.id
    require(
        state.document.termination is not None, f"{name} says nothing of termination: the parties amend it, or suspend"
    )
    _is_bound(state, step)
    more = len(state.bound) > 2
    if step.kind is StepKind.NOTICE:
        require(not more, f"more than two parties are bound by {name}: one of them withdraws")
    else:
        require(more, f"two parties are bound by {name}: one of them gives notice of termination")
    said = state.departures.get(step.party)
    require(said is None or not said.by_notice, f"{step.party} has given notice already")


def departed(state: State, step: Step) -> State:
    """Give the state after an admissible OBJECT_RENEWAL, NOTICE or WITHDRAW; the earlier moment of a party counts."""
    by_notice = step.kind is not StepKind.OBJECT_RENEWAL
    at = _notice_ends(state, step) if by_notice else _term_ends(state)
    said = state.departures.get(step.party)
    departure = Departure(at, step.at_ms, by_notice)
    if said is not None and said.at_ms <= at:
        departure = said
    return replace(state, departures=_with(state.departures, step.party, departure))


def accession_admissible(state: State, step: Step) -> None:
    """Raise TransitionError where a party may not accede; else do nothing but what a signature needs, see negotiation."""
    current, name = state.current, state.document.id
    require(_is_in_force(state), f"{name} is not in force: a party signs it")
    require(step.party not in current.bound_from, f"{step.party} is bound by {name} already")
    require(step.party not in state.departures, f"{step.party} has left {name}: it comes back by another agreement")


def _term_ends(state: State) -> int:
    at = state.term_ends_at
    if at is None:
        raise TransitionError(TransitionFault.STATE, f"{state.document.id} has no term that could end")
    return at


def _notice_ends(state: State, step: Step) -> int:
    termination = state.document.termination
    if termination is None:
        raise TransitionError(TransitionFault.STATE, f"{state.document.id} says nothing of termination")
    where = zone(state.document.entry_into_force.zone)
    return notice_ends(step.at_ms, termination.notice.of_calendar, where)


# --- disputes and caveats ---------------------------------------------------------------------------------------------


def dispute_admissible(state: State, step: Step) -> None:
    """Raise TransitionError where a dispute may not be opened or closed; else do nothing."""
    name = state.document.id
    if step.kind is StepKind.DISPUTE_OPEN:
        require(step.party in state.current.signed, f"{step.party} has not signed {name}: it cannot dispute under it")
        require(bool(step.reason.strip()), "a dispute states its reason")
        until = _deadline(state, step)
        allowed = state.now_ms < until <= state.now_ms + DISPUTE_DAYS * _DAY_MS
        require(allowed, f"the deadline of a dispute is a later day, at most {DISPUTE_DAYS} days ahead")
        return
    found = next((one for one in state.open_disputes if one.opened.digest == step.names), None)
    if found is None:
        raise TransitionError(TransitionFault.STATE, "no open dispute has this digest")
    require(step.party in found.between, f"{step.party} is not one of those between whom this dispute is")
    require(step.party not in found.closed_by, f"{step.party} has closed this dispute already")


def disputed(state: State, step: Step) -> State:
    """Give the state after an admissible step about a dispute."""
    if step.kind is StepKind.DISPUTE_OPEN:
        opened = Dispute(step, state.bound | state.current.signed, _deadline(state, step))
        return replace(state, disputes=(*state.disputes, opened))
    return replace(
        state,
        disputes=tuple(
            replace(one, closed_by=one.closed_by | {step.party}) if one.opened.digest == step.names else one
            for one in state.disputes
        ),
    )


def caveat_admissible(state: State, step: Step) -> None:
    """Raise TransitionError where a caveat is there already, or is not there; else do nothing."""
    there = (step.party, step.caveat) in state.caveats
    if step.kind is StepKind.CAVEAT_ADD:
        shares = state.document.kind != AgreementKind.UMBRELLA
        require(
            shares, f"{state.document.id} is an umbrella and shares nothing: the caveat belongs on its arrangements"
        )
        require(not there, f"{step.party} has a caveat {step.caveat} already: withdraw it first")
    else:
        require(there, f"{step.party} has no caveat {step.caveat}")


def with_caveat(state: State, step: Step) -> State:
    """Give the state after an admissible step about a caveat."""
    caveats = dict(state.caveats)
    if step.kind is StepKind.CAVEAT_ADD:
        caveats[step.party, step.caveat] = step.caveat_digest
    else:
        del caveats[step.party, step.caveat]
    return replace(state, caveats=MappingProxyType(caveats))


def _deadline(state: State, step: Step) -> int:
    try:
        return moment(date.fromisoformat(step.deadline), zone(state.document.entry_into_force.zone))
    except CalendarError as error:
        raise TransitionError(TransitionFault.STATE, f"the deadline is out of range: {error}") from error


def _is_in_force(state: State) -> bool:
    since = state.current.in_force_at
    return since is not None and state.now_ms >= since


def _is_bound(state: State, step: Step) -> None:
    require(step.party in state.bound, f"{step.party} is not bound by {state.document.id}")


def _is_inside(state: State, step: Step) -> None:
    left = state.departures.get(step.party)
    inside = step.party in state.current.signed and (left is None or state.now_ms < left.at_ms)
    require(inside, f"{step.party} has not signed {state.document.id}, or has left it")


def _with(mapping: Mapping[str, _V], key: str, value: _V) -> Mapping[str, _V]:
    return MappingProxyType({**mapping, key: value})
