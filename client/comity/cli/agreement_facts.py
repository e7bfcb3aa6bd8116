"""What is to be told of an agreement, for programs: the protocol's names, times in RFC 3339, the same on every command."""

from __future__ import annotations

from collections.abc import Mapping

from comity.node.agreement_view import AgreementView
from comity.node.times import rfc3339
from comity_policy.carried import unused
from comity_policy.clauses import Clause
from comity_policy.document import Document
from comity_policy.gloss import gloss, status_words
from comity_policy.lifecycle import Phase, State, Version
from comity_policy.steps import StepKind


def view_facts(view: AgreementView) -> dict[str, object]:
    """Give what is to be told of an agreement, with the protocol's names."""
    state = view.state
    pending = state.pending
    return {
        "agreement_id": view.agreement_id,
        "title": view.document.title,
        "kind": view.document.kind,
        "phase": state.phase.value,
        "parties": sorted(view.document.parties),
        **version_facts(state, state.current),
        "log_signed": sorted(state.log_signed.get(view.log_origin, ())),
        "bound": sorted(state.bound),
        "ends_at": _time(state.ends_at),
        "term_ends_at": _time(state.term_ends_at),
        "reminders": [rfc3339(at) for at in state.reminders],
        "suspended_by": sorted(state.whole_suspended_by),
        "suspended_clauses": {clause: sorted(by) for clause, by in state.suspended_by.items()},
        "departures": [
            {"party": party, "at": rfc3339(one.at_ms), "said_at": rfc3339(one.said_ms), "by_notice": one.by_notice}
            for party, one in sorted(state.departures.items())
        ],
        "disputes": dispute_facts(state),
        "caveats": caveat_facts(view),
        "umbrella": _umbrella(view),
        "pending": None
        if pending is None
        else {"phase": state.phase_of(pending).value, **version_facts(state, pending)},
        "log_origin": view.log_origin,
        "log_size": view.log_seen.size,
        "log_root": view.log_seen.root.hex(),
        "statements": len(view.statements),
    }


def version_facts(state: State, version: Version) -> dict[str, object]:
    """Give how far one version has come: who did what about which text, and its rounds."""
    return {
        "version": version.document.version,
        "digest": version.digest,
        "annex": version.annex or None,
        "initialled": sorted(version.initialled),
        "reviewed": sorted(version.reviewed),
        "signed_off": {party: sorted(ids) for party, ids in sorted(version.signed_off.items())},
        "objections": {party: sorted(ids) for party, ids in sorted(version.objections.items())},
        "signed": sorted(version.signed),
        "completed": {
            party: {"instrument": one.instrument, "authority": one.authority, "date": one.date}
            for party, one in sorted(version.completed.items())
        },
        "received": {party: rfc3339(at) for party, at in sorted(version.received_at.items())},
        "in_force_at": _time(version.in_force_at),
        "bound_from": {party: rfc3339(at) for party, at in sorted(version.bound_from.items())},
        "rounds": [
            {
                "type": step.kind.value,
                "officer": step.officer,
                "at": rfc3339(step.at_ms),
                "log_index": step.log_index,
                "digest": step.agreement_digest,
                "version": state.texts[step.agreement_digest].version,
            }
            for step in version.rounds
        ],
    }


def dispute_facts(state: State) -> list[dict[str, object]]:
    """Give the disputes that hold."""
    return [
        {
            "dispute": one.opened.digest,
            "subject": one.opened.subject,
            "subject_id": one.opened.subject_id,
            "reason": one.opened.reason,
            "opened_by": one.opened.officer,
            "opened_at": rfc3339(one.opened.at_ms),
            "until": rfc3339(one.until_ms),
            "between": sorted(one.between),
            "closed_by": sorted(one.closed_by),
        }
        for one in state.open_disputes
    ]


def caveat_facts(view: AgreementView) -> list[dict[str, object]]:
    """Give the caveats in force: the own party's whole, a partner's by its partner text."""
    added = {step.caveat_digest: step for step in view.state.steps if step.kind is StepKind.CAVEAT_ADD}
    found: list[dict[str, object]] = []
    for (party, caveat_id), digest in sorted(view.state.caveats.items()):
        step = added[digest]
        facts: dict[str, object] = {
            "party": party,
            "caveat": caveat_id,
            "digest": digest,
            "partner_text": step.partner_text,
            "added_by": step.officer,
            "added_at": rfc3339(step.at_ms),
            "log_index": step.log_index,
        }
        own = view.own_caveats.get(caveat_id) if party == view.own else None
        if own is not None:
            facts["incoming"] = own.caveat.incoming
            facts["unread"] = view.unread_caveats(view.document).get(caveat_id)
            facts["clauses"] = [
                {"clause_id": one.id, "gloss": gloss(one, view.document), "text": dict(one.text)}
                for one in own.caveat.clauses
            ]
            facts["text"] = own.data.decode()
        found.append(facts)
    return found


def history_facts(view: AgreementView) -> list[dict[str, object]]:
    """Give who did what when, as the own mirror verified it; what time alone brought about has no officer."""
    found: list[dict[str, object]] = []
    for event in view.state.history:
        facts: dict[str, object] = {"at": rfc3339(event.at_ms), "what": event.what}
        step = event.step
        if step is not None:
            facts |= {
                "log_index": step.log_index,
                "officer": step.officer,
                "role": step.role.word,
                "type": step.kind.value,
                "step": step.digest,
                "digest": step.agreement_digest,
            }
        found.append(facts)
    return found


def clause_facts(clause: Clause, document: Document, suspended_by: Mapping[str, frozenset[str]]) -> dict[str, object]:
    """Give one clause of a text: what it says, what it means, who enforces it."""
    return {
        "clause_id": clause.id,
        "kind": str(clause.__struct_config__.tag),
        "status": status_words(clause),
        "suspended": clause.id in suspended_by,
        "gloss": gloss(clause, document),
        "unused": next((one.what for one in unused(document) if one.clause_id == clause.id), None),
        "text": dict(clause.text),
    }


def standing(view: AgreementView) -> list[str]:
    """Give where an agreement stands, for people: a line for what governs, one for what is on its way."""
    state, name = view.state, view.agreement_id
    lines = [f"{name} is {phase_words(state)}."]
    pending = state.pending
    if pending is not None:
        on_its_way = f"Version {pending.document.version} is {_words(state.phase_of(pending))}"
        begins = f", in force from {rfc3339(pending.in_force_at)}" if pending.in_force_at is not None else ""
        lines.append(f"{on_its_way}{begins}; until then version {state.document.version} binds.")
    lines += [
        f"{party} leaves it at {rfc3339(one.at_ms)}."
        for party, one in sorted(state.departures.items())
        if state.now_ms < one.at_ms
    ]
    return lines


def phase_words(state: State) -> str:
    """Give the phase of what governs, with what people ask next."""
    words = _words(state.phase)
    if state.in_force_at is not None and state.now_ms < state.in_force_at:
        return f"{words}, in force from {rfc3339(state.in_force_at)}"
    if state.whole_suspended_by:
        return f"{words} by {', '.join(sorted(state.whole_suspended_by))}"
    if state.suspended_by:
        return f"{words}, with clauses suspended: {', '.join(sorted(state.suspended_by))}"
    return words


def _words(phase: Phase) -> str:
    return phase.value.replace("_", " ")


def _umbrella(view: AgreementView) -> dict[str, object] | None:
    under = view.document.under
    if under is None:
        return None
    facts: dict[str, object] = {"agreement_id": under.agreement, "digest": under.digest.removeprefix("sha384:")}
    if view.umbrella is not None:
        facts |= {
            "phase": view.umbrella.state.phase.value,
            "log_origin": view.umbrella.log_origin,
            "log_index": view.umbrella.log_index,
        }
    return facts


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
