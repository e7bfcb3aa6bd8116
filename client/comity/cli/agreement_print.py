"""A treaty on paper: what `comity agreement show` prints for people, from what the reader's own mirror verified.

Everything a peer wrote goes through `safe`; words that mix scripts, which may be read as others, are named below the text that
has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from comity.cli.agreement_facts import clause_facts, phase_words
from comity.cli.agreement_rounds import show_rounds
from comity.cli.output import Output, folded, mixed_scripts, safe
from comity.node.agreement_view import AgreementView
from comity.node.times import rfc3339
from comity_policy.clauses import Clause
from comity_policy.document import Document
from comity_policy.gloss import gloss, status_words
from comity_policy.lifecycle import State, Version
from comity_policy.sections import EntryRule, Renewal

_WIDTH: Final = 12


def show_treaty(output: Output, view: AgreementView) -> None:
    """Print an agreement as it stands: its head, what is on its way, every clause of the version that governs."""
    document, state = view.document, view.state
    output.show(f"{document.id}, version {document.version}: {safe(document.title)}")
    _row(output, "state", phase_words(state))
    _show_umbrella(output, view)
    _show_version(output, state, state.current, view)
    _show_term(output, state)
    _show_departures(output, state)
    _show_disputes(output, state)
    show_caveats(output, view)
    _row(output, "log", f"{view.log_origin}, {view.log_seen.size} entries verified")
    _show_sum(output, document)
    pending = state.pending
    if pending is not None:
        kind = f"a note on annex {pending.annex}" if pending.annex else "an amendment"
        phase = state.phase_of(pending).value.replace("_", " ")
        output.show(f"On its way: version {pending.document.version}, {kind}")
        _row(output, "state", phase)
        _show_version(output, state, pending, view)
        output.show("")
    show_clauses(output, document, state.suspended_by)


def show_text(output: Output, document: Document, digest: str) -> None:
    """Print another text of an agreement, of an earlier round or version: what it says, not what holds."""
    output.show(f"{document.id}, version {document.version}: {safe(document.title)}")
    _row(output, "digest", f"sha384:{digest}")
    _row(output, "entry", _entry_words(document))
    _show_sum(output, document)
    show_clauses(output, document, {})


def show_clauses(output: Output, document: Document, suspended_by: Mapping[str, frozenset[str]]) -> None:
    """Print every clause with its text, its meaning and who enforces it."""
    annexed = {clause.id: annex.id for annex in document.annexes for clause in annex.clauses}
    for clause in document.clauses:
        _show_clause(output, clause, document, suspended_by, annexed.get(clause.id, ""))


def show_caveats(output: Output, view: AgreementView) -> None:
    """Print the caveats in force: the own party's whole, and under which version it does not read; a partner's by its partner text."""
    versions = [view.state.current, *((view.state.pending,) if view.state.pending is not None else ())]
    closed = [(one.document.version, view.unread_caveats(one.document)) for one in versions]
    for (party, caveat_id), text in sorted(view.partner_texts.items()):
        own = view.own_caveats.get(caveat_id) if party == view.own else None
        _row(output, "caveat", f"{party}/{caveat_id}, read by others as: {text}")
        if own is None:
            continue
        reach = "what is sent and what is received" if own.caveat.incoming else "what is sent"
        for version, unread in closed:
            if why := unread.get(caveat_id):
                words = f"DOES NOT READ under version {version} ({why}): there nothing passes of {reach}, until it is withdrawn"
                output.show(*folded(safe(words), " " * (_WIDTH + 2)))
        output.show(*folded(f"on {reach}:", " " * (_WIDTH + 2)))
        for clause in own.caveat.clauses:
            words = f"{clause.id}: {safe(gloss(clause, view.document))}"
            output.show(*folded(words, " " * (_WIDTH + 4)))


def show_history(output: Output, facts: Iterable[Mapping[str, object]], *, chain: bool) -> None:
    """Print what happened; as a `chain` with each step's place, role and digests, as they were verified here."""
    for one in facts:
        output.show(*folded(f"{one['at']}  {safe(str(one['what']))}", "  "))
        if chain and "step" in one:
            place = f"entry {one['log_index']}, step {str(one['step'])[:16]}, text {str(one['digest'])[:16]}"
            output.show(f"      {place}; signature and role of {one['officer']} verified")


# --- the head ---------------------------------------------------------------------------------------------------------


def _show_version(output: Output, state: State, version: Version, view: AgreementView) -> None:
    document = version.document
    log_signed = state.log_signed.get(view.log_origin, frozenset())
    for code, party in document.parties.items():
        _row(output, code, f"{safe(party.name)}: {', '.join(_done(version, code, log_signed)) or 'nothing yet'}")
        done = version.completed.get(code)
        if done is not None:
            output.show(*folded(f"{safe(done.instrument)} of {done.date}, {safe(done.authority)}", " " * (_WIDTH + 2)))
    show_rounds(output, version)
    _row(output, "entry", _entry_words(document, version.in_force_at))
    _row(output, "digest", f"sha384:{version.digest}")


def _done(version: Version, code: str, log_signed: frozenset[str]) -> list[str]:
    done = [word for word, who in (("initialled", version.initialled), ("reviewed", version.reviewed)) if code in who]
    signed_off = version.signed_off.get(code, frozenset())
    if signed_off and code not in version.reviewed:
        done.append(f"reviewed {', '.join(sorted(signed_off))}")
    if code in version.objections:
        done.append(f"OBJECTS to {', '.join(sorted(version.objections[code]))}")
    if code in version.signed:
        done.append("signed")
    if code in version.completed:
        received = version.received_at.get(code)
        done.append("completed" if received is None else f"completed, received at {rfc3339(received)}")
    if code in log_signed:
        done.append("signed the log's terms")
    if code in version.bound_from:
        done.append(f"bound from {rfc3339(version.bound_from[code])}")
    return done


def _entry_words(document: Document, in_force_at: int | None = None) -> str:
    entry = document.entry_into_force
    words = {
        EntryRule.ON_SIGNATURE: "on signature",
        EntryRule.FIXED_DATE: f"on {entry.at.isoformat().replace('+00:00', 'Z') if entry.at else ''}",
        EntryRule.AFTER_LATER_RECEIPT: "after the later receipt of completion",
    }[entry.rule]
    offset = entry.offset
    if offset is not None and offset.days is not None:
        words += f", and {offset.days} days"
    elif offset is not None:
        words += f", on the first day of month {offset.first_day_of_month} after it"
    if entry.minimum is not None:
        words += f", of at least {entry.minimum} parties"
    fixed = "" if in_force_at is None else f": {rfc3339(in_force_at)}"
    return f"{words} (days of {entry.zone}){fixed}"


def _show_term(output: Output, state: State) -> None:
    duration = state.document.duration
    ends = state.term_ends_at
    if ends is not None:
        renewal = {
            Renewal.TACIT: "renewed tacitly unless a party objects",
            Renewal.EXPRESS: "renewed where every party signs for it",
            Renewal.NONE: "not renewed",
        }[duration.renewal]
        _row(output, "term", f"until {rfc3339(ends)}, {renewal}")
    if state.current.renewing:
        _row(output, "renewal", f"signed by {', '.join(sorted(state.current.renewing))}")
    for at in state.reminders:
        _row(output, "reminder", rfc3339(at))
    if state.ends_at is not None and state.ends_at != ends:
        _row(output, "ends", rfc3339(state.ends_at))


def _show_departures(output: Output, state: State) -> None:
    for party, one in sorted(state.departures.items()):
        what = "notice or withdrawal" if one.by_notice else "objection to renewal"
        _row(output, "notice", f"{party}: {what} of {rfc3339(one.said_ms)}, takes effect at {rfc3339(one.at_ms)}")


def _show_disputes(output: Output, state: State) -> None:
    for one in state.open_disputes:
        opened = one.opened
        closed = f"; closed by {', '.join(sorted(one.closed_by))}" if one.closed_by else ""
        _row(
            output,
            "dispute",
            f"{opened.digest[:16]}: {opened.subject} {opened.subject_id}, opened by {opened.officer}, until "
            f"{rfc3339(one.until_ms)}{closed}: {opened.reason}",
        )


def _show_umbrella(output: Output, view: AgreementView) -> None:
    under = view.document.under
    if under is None:
        if view.document.kind != "agreement":
            _row(output, "kind", view.document.kind)
        return
    above = view.umbrella
    if above is None:
        _row(output, "under", f"{under.agreement}, which its log does not bring it under: never in force")
        return
    same = f"sha384:{above.state.current.digest}" == under.digest
    other = "" if same else "; ANOTHER VERSION governs than the one this text names"
    _row(
        output,
        "under",
        f"{under.agreement}: {phase_words(above.state)}, as of entry {above.log_index} of its log{other}",
    )


def _show_sum(output: Output, document: Document) -> None:
    counts = dict.fromkeys(("enforced", "tracked", "recorded"), 0)
    for clause in document.clauses:
        words = status_words(clause)
        for word in counts:
            counts[word] += word in words
    told = ", ".join(f"{count} {word}" for word, count in counts.items())
    _row(output, "clauses", f"{len(document.clauses)}: {told}")
    output.show("")


def _row(output: Output, name: str, words: str) -> None:
    first, *rest = folded(safe(words), " " * (_WIDTH + 2)) or [""]
    output.show(f"  {name.ljust(_WIDTH)}{first.strip()}", *rest)


# --- a clause ---------------------------------------------------------------------------------------------------------


def _show_clause(
    output: Output, clause: Clause, document: Document, suspended_by: Mapping[str, frozenset[str]], annex: str
) -> None:
    facts = clause_facts(clause, document, suspended_by)
    by = suspended_by.get(clause.id)
    suspended = f"; SUSPENDED by {', '.join(sorted(by))}" if by else ""
    place = f"Annex {annex}, article" if annex else "Article"
    output.show(f"{place} {clause.id} ({facts['kind']}): {facts['status']}{suspended}")
    for language, words in clause.text.items():
        output.show(*folded(f"{language}: {safe(words)}", "  "))
        for word in mixed_scripts(words):
            output.show(f"    this word mixes scripts and may be read as another: {word}")
    output.show(*folded(f"it means: {safe(str(facts['gloss']))}", "  "))
    if facts["unused"]:
        output.show(*folded(f"not used yet: {facts['unused']}", "  "))
    output.show("")
