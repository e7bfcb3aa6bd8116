"""`comity agreement show | list`: the treaty as the reader's own mirror verified it, clause by clause."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import click

from comity.cli.agreement_diff import show_diff
from comity.cli.agreement_facts import clause_facts, history_facts, view_facts
from comity.cli.agreement_print import show_history, show_text, show_treaty
from comity.cli.agreement_rounds import newest_change
from comity.cli.base import Group, Invocation
from comity.cli.identity import access_of
from comity.cli.output import folded, safe
from comity.errors import ErrorCode, NotFoundError, UnreachableError, UsageError
from comity.identity.names import IdentityKind
from comity.node.agreement_view import AgreementView
from comity.node.catching_up import catch_up
from comity.node.connection import Connection
from comity.node.mirror import Mirror
from comity_policy.invariants import invariant_gloss

OFFLINE = click.option("--offline", is_flag=True, help="From the mirror alone, without asking the broker.")


def add_to(group: Group) -> None:
    """Add the commands to `comity agreement`."""
    for one in (show, list_):
        group.add_command(one)


_SHOWN = Group("shown")


@_SHOWN.does(
    "show",
    example="""comity agreement show XAR-XBO-1 --as XAR/officer1
comity agreement show XAR-XBO-1 --history --as XAR/officer1
comity agreement show XAR-XBO-1 --diff --as XAR/officer1
comity agreement show XAR-XBO-1 --version 2 --text --as XAR/officer1 > XAR-XBO-1-v2.toml""",
)
@click.argument("agreement_id")
@OFFLINE
@click.option("--text", is_flag=True, help="Only the exact bytes that are signed.")
@click.option("--history", is_flag=True, help="Only who did what when, entry by entry, as this machine verified it.")
@click.option("--diff", is_flag=True, help="Only what the newest text changes, clause by clause, and which way.")
@click.option("--version", type=int, help="Another version's text: one on its way, or one that was replaced.")
@click.option(
    "--digest", default="", help="Another text, of an earlier round too, by its digest or the beginning of it."
)
def show(
    run: Invocation,
    *,
    agreement_id: str,
    offline: bool,
    text: bool,
    history: bool,
    diff: bool,
    version: int | None,
    digest: str,
) -> None:
    """Show an agreement: where it stands, who has done what, and every clause with its text, its meaning and who enforces it.

    Everything comes from the log of the agreement, verified here: signatures up to the roots that are trusted here, checkpoints,
    and that the log continues what this mirror saw before. Nothing is taken from the broker's word.
    """
    if (history or diff) and (history is diff or text or digest or version is not None):
        raise UsageError("--history and --diff each stand alone", what_to_do="comity agreement show --help")
    with mirror_of(run, offline=offline, agreements=(agreement_id,)) as mirror:
        view = mirror.agreement(agreement_id)
    if history:
        run.output.record(agreement_id=agreement_id, history=history_facts(view))
        show_history(run.output, history_facts(view), chain=True)
        return
    if diff:
        show_diff(run, newest_change(view))
        return
    wanted = _wanted(view, version, digest)
    if text:
        run.output.exact(view.texts[wanted].decode())
        run.output.record(agreement_id=agreement_id, digest=wanted, document=view.texts[wanted].decode())
    elif digest or version is not None:
        _show_other(run, view, wanted)
    else:
        run.output.record(
            **view_facts(view),
            clauses=[clause_facts(clause, view.document, view.state.suspended_by) for clause in view.document.clauses],
            invariants=[{"id": one.id, "gloss": invariant_gloss(one)} for one in view.document.invariants],
            history=history_facts(view),
        )
        show_treaty(run.output, view)
        for one in view.document.invariants:
            run.output.show(*folded(f"Invariant {one.id}: {invariant_gloss(one)}"), "")
        run.output.show("History, as the log has it:")
        show_history(run.output, history_facts(view), chain=False)


@_SHOWN.does("list", example="comity agreement list --as XAR/n1")
@OFFLINE
def list_(run: Invocation, *, offline: bool) -> None:
    """List the agreements of the acting identity's party, with the state its own mirror computes."""
    with mirror_of(run, offline=offline) as mirror:
        views, faults = mirror.agreements(), mirror.faults
    rows = []
    for view in views:
        facts = view_facts(view)
        run.output.record(**facts)
        pending = view.state.pending
        state = str(facts["phase"]) if pending is None else f"{facts['phase']}, {pending.document.version} on its way"
        rows.append((view.agreement_id, state, " and ".join(view.document.parties), view.document.title))
    run.output.table(("AGREEMENT", "STATE", "PARTIES", "TITLE"), rows, "No agreement yet.")
    for name, fault in sorted(faults.items()):
        run.output.note(f"{name or 'The key log'} is stopped: {safe(fault.message)}")


def _wanted(view: AgreementView, version: int | None, digest: str) -> str:
    """Give the digest of the text that is asked for; raises NotFoundError that says which there are."""
    state = view.state
    named = digest.removeprefix("sha384:")
    if named:
        found = [one for one in view.texts if one.startswith(named)]
    elif version is not None:
        found = [one.digest for one in state.versions if one.document.version == version]
    else:
        found = [state.current.digest]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{state.texts[one].version} (sha384:{one[:16]})" for one in view.texts)
    raise NotFoundError(
        f"{'more than one' if found else 'no'} text of {view.agreement_id} is meant by that",
        what_to_do=f"There are these versions: {known}.",
        code=ErrorCode.ITEM_UNKNOWN,
    )


def _show_other(run: Invocation, view: AgreementView, digest: str) -> None:
    document = view.state.texts[digest]
    run.output.record(
        agreement_id=view.agreement_id,
        title=document.title,
        version=document.version,
        digest=digest,
        clauses=[clause_facts(clause, document, {}) for clause in document.clauses],
    )
    show_text(run.output, document, digest)


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
