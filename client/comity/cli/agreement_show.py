"""`comity agreement show | list`: the treaty as the reader's own mirror verified it, clause by clause."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import click

from comity.cli.base import Group, Invocation
from comity.cli.identity import access_of
from comity.cli.output import folded, safe
from comity.errors import UnreachableError
from comity.identity.names import IdentityKind
from comity.node.agreements import AgreementView
from comity.node.catching_up import catch_up
from comity.node.connection import Connection
from comity.node.mirror import Mirror
from comity.node.times import rfc3339
from comity_policy.clauses import Clause
from comity_policy.document import Document
from comity_policy.gloss import gloss, status_words
from comity_policy.lifecycle import State

_OFFLINE = click.option("--offline", is_flag=True, help="From the mirror alone, without asking the broker.")


def add_to(group: Group) -> None:
    """Add the commands to `comity agreement`."""
    for one in (show, list_):
        group.add_command(one)


_SHOWN = Group("shown")


@_SHOWN.does(
    "show",
    example="""comity agreement show XAR-XBO-1 --as XAR/officer1
comity agreement show XAR-XBO-1 --as XAR/officer1 --text > XAR-XBO-1.toml""",
)
@click.argument("agreement_id")
@_OFFLINE
@click.option("--text", is_flag=True, help="Only the exact bytes that are signed.")
def show(run: Invocation, *, agreement_id: str, offline: bool, text: bool) -> None:
    """Show an agreement: its state and history, and every clause with its text, its meaning and who enforces it.

    Everything comes from the log of the agreement, verified here: signatures up to the roots that are trusted here, checkpoints,
    and that the log continues what this mirror saw before. Nothing is taken from the broker's word.
    """
    with mirror_of(run, offline=offline, agreements=(agreement_id,)) as mirror:
        view = mirror.agreement(agreement_id)
    if text:
        run.output.exact(view.document_bytes.decode())
        run.output.record(agreement_id=agreement_id, digest=view.digest, document=view.document_bytes.decode())
        return
    run.output.record(
        **view_facts(view),
        clauses=[_clause_facts(clause, view.document, view.state) for clause in view.document.clauses],
        history=[{"at": rfc3339(event.at_ms), "what": event.what} for event in view.state.history],
    )
    _show_head(run, view)
    for clause in view.document.clauses:
        _show_clause(run, clause, view)
    run.output.show("History, as the log has it:")
    for event in view.state.history:
        run.output.show(*folded(f"{rfc3339(event.at_ms)}  {safe(event.what)}", "  "))


@_SHOWN.does("list", example="comity agreement list --as XAR/n1")
@_OFFLINE
def list_(run: Invocation, *, offline: bool) -> None:
    """List the agreements of the acting identity's party, with the state its own mirror computes."""
    with mirror_of(run, offline=offline) as mirror:
        views = mirror.agreements()
    rows = []
    for view in views:
        facts = view_facts(view)
        run.output.record(**facts)
        rows.append((view.agreement_id, str(facts["phase"]), " and ".join(view.document.parties), view.document.title))
    run.output.table(("AGREEMENT", "STATE", "PARTIES", "TITLE"), rows, "No agreement yet.")


def mirror_of(
    run: Invocation, *kinds: IdentityKind, offline: bool = False, agreements: Iterable[str] | None = None
) -> Mirror:
    """Open the acting identity's mirror, fetched freshly unless `offline`; use it in a `with`.

    Without a broker in reach an existing mirror is still shown, and that it is old is said.
    """
    place = run.acting(*kinds)
    mirror = Mirror.of_identity(run.home, place.identity)
    if offline:
        return mirror
    try:
        access = access_of(run, place)
        asyncio.run(refresh(mirror, Connection(access.target), agreements))
    except UnreachableError as error:
        if not mirror.agreements():
            mirror.close()
            raise
        age = mirror.key_log_age_ms
        old = f", {age // 60_000} minutes old" if age is not None else ""
        run.output.note(f"The broker cannot be reached ({safe(error.message)}): this is from the mirror{old}.")
    except BaseException:
        mirror.close()
        raise
    return mirror


async def refresh(mirror: Mirror, connection: Connection, agreements: Iterable[str] | None = None) -> None:
    """Fetch what is new into a mirror."""
    async with connection as opened:
        await catch_up(opened, mirror, None if agreements is None else tuple(agreements))


def view_facts(view: AgreementView) -> dict[str, object]:
    """Give what is to be told of an agreement, with the protocol's names."""
    state = view.state
    return {
        "agreement_id": view.agreement_id,
        "title": view.document.title,
        "version": view.document.version,
        "digest": view.digest.hex(),
        "phase": state.phase.value,
        "parties": sorted(view.document.parties),
        "reviewed": sorted(state.reviewed),
        "signed": sorted(state.signed),
        "log_signed": sorted(state.log_signed.get(view.log_origin, ())),
        "in_force_at": rfc3339(state.in_force_at) if state.in_force_at is not None else None,
        "ends_at": rfc3339(state.ends_at) if state.ends_at is not None else None,
        "suspended_by": sorted(state.whole_suspended_by),
        "suspended_clauses": {clause: sorted(by) for clause, by in state.suspended_by.items()},
        "log_origin": view.log_origin,
        "log_size": view.log_seen.size,
        "log_root": view.log_seen.root.hex(),
        "statements": len(view.statements),
    }


def _show_head(run: Invocation, view: AgreementView) -> None:
    document, state = view.document, view.state
    run.output.show(f"{document.id}, version {document.version}: {safe(document.title)}")
    run.output.show(f"  state       {_phase(state)}")
    for code, party in document.parties.items():
        done = [word for word, who in (("reviewed", state.reviewed), ("signed", state.signed)) if code in who]
        if code in state.log_signed.get(view.log_origin, ()):
            done.append("signed the log's terms")
        run.output.show(f"  {code}         {safe(party.name)}: {', '.join(done) or 'nothing yet'}")
    run.output.show(f"  digest      sha384:{view.digest.hex()}")
    run.output.show(f"  log         {view.log_origin}, {view.log_seen.size} entries verified")
    enforced = sum("enforced" in status_words(clause) for clause in document.clauses)
    run.output.show(f"  clauses     {len(document.clauses)}, of which {enforced} are enforced by machines", "")


def _show_clause(run: Invocation, clause: Clause, view: AgreementView) -> None:
    facts = _clause_facts(clause, view.document, view.state)
    suspended = f"; SUSPENDED by {', '.join(view.state.suspended_by[clause.id])}" if facts["suspended"] else ""
    run.output.show(f"Article {clause.id} ({facts['kind']}): {facts['status']}{suspended}")
    for language, words in clause.text.items():
        run.output.show(*folded(f"{language}: {safe(words)}", "  "))
    run.output.show(*folded(f"it means: {facts['gloss']}", "  "), "")


def _clause_facts(clause: Clause, document: Document, state: State) -> Mapping[str, object]:
    return {
        "clause_id": clause.id,
        "kind": str(clause.__struct_config__.tag),
        "status": status_words(clause),
        "suspended": clause.id in state.suspended_clauses,
        "gloss": gloss(clause, document),
        "text": dict(clause.text),
    }


def _phase(state: State) -> str:
    words = state.phase.value.replace("_", " ")
    if state.in_force_at is not None and state.now_ms < state.in_force_at:
        return f"{words}, in force from {rfc3339(state.in_force_at)}"
    if state.whole_suspended_by:
        return f"{words} by {', '.join(sorted(state.whole_suspended_by))}"
    if state.suspended_by:
        return f"{words}, with clauses suspended: {', '.join(sorted(state.suspended_by))}"
    return words
