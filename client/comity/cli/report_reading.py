"""`comity report show --reader`: an officer reads a kept report on the terminal, and the log says so."""

from __future__ import annotations

from uuid import UUID

from comity.cli.base import Invocation
from comity.cli.connected import with_node
from comity.cli.reading import acknowledging, reader_of, tell_closed
from comity.identity.names import IdentityKind
from comity.portion import Portion
from comity_policy.facts import Use


def show_to(
    run: Invocation,
    report_id: UUID,
    reader: str,
    *,
    reader_passphrase_file: str | None,
    purposes: tuple[str, ...],
    accept_caveats: bool,
) -> None:
    """Show all of a report that this officer may read, by its kept envelope; raises NotFoundError where none is kept."""
    place = run.acting(IdentityKind.NODE)
    officer, ask = reader_of(run, reader, reader_passphrase_file), acknowledging(accept=accept_caveats)
    found = with_node(
        run,
        place,
        lambda node: node.reopen(
            report_id, use=Use.READ, purpose=purposes, reader=officer, acknowledge=ask, whole=True
        ),
    )
    run.output.record(
        report_id=str(report_id),
        reader=reader,
        banner=found.banner,
        portions=[
            {
                "portion": index + 1,
                "marking": one.marking.banner,
                "media_type": one.media_type,
                "text": one.text if one.is_text else None,
            }
            for index, one in found.opened
        ],
    )
    run.output.banner(found.banner)
    for index, one in found.opened:
        run.output.show(f"portion {index + 1} [{one.marking.banner}]:", _shown(one, report_id, index))
    tell_closed(run, found, waits=True)
    run.output.banner(found.banner)


def _shown(portion: Portion, report_id: UUID, index: int) -> str:
    if portion.is_text:
        return portion.text
    return f"{portion.media_type}, not shown here: comity report export {report_id} --portion {index + 1} --use copy"
