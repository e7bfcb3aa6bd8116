"""`comity report register` and `comity report export`: copies, translations and other uses of what was opened before.

Both decide again, for that use, from the envelope that the node kept; nothing of a refused one comes out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import click

import comity
from comity.cli.base import Group, Invocation
from comity.cli.connected import with_node
from comity.cli.reading import acknowledging, reader_of, reading_options
from comity.errors import ConflictError, ErrorCode, UsageError
from comity.identity.names import IdentityKind
from comity.node.files import write_file
from comity.node.filing import content_of
from comity.node.reader import ReadingOfficer
from comity.node.reading import Acknowledge
from comity.portion import Portion
from comity_policy.facts import Use
from comity_policy.readers import COPYING

T = TypeVar("T")
_COPIES = Group("copies")


def add_to(group: Group) -> None:
    """Add the commands to `comity report`."""
    group.add_command(register)
    group.add_command(export)


@_COPIES.does(
    "register",
    example="comity report register 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --use copy --as XBO/n1 --reader XBO/analyst1",
)
@click.argument("report_id", type=click.UUID)
@click.option("--use", required=True, type=click.Choice(sorted(one.value for one in COPYING)), help="What is made.")
@reading_options
def register(
    run: Invocation,
    *,
    report_id: UUID,
    use: str,
    reader: str | None,
    reader_passphrase_file: str | None,
    purposes: tuple[str, ...],
    accept_caveats: bool,
) -> None:
    """Enter one copy or translation in the node's register, and print its number.

    Where an agreement wants copies registered, `comity report export` makes the one that this reader entered, once. One that may
    not be made at all gets no number.
    """
    opening = _Opening(run, reader, reader_passphrase_file, accept=accept_caveats)
    number = opening.run(
        lambda node, officer, ask: node.register_copy(
            report_id, use=Use(use), purpose=purposes, reader=officer, acknowledge=ask
        )
    )
    run.output.record(report_id=str(report_id), use=use, number=number, reader=reader)
    run.output.say(f"Entered in the register: {use} {number} of report {report_id}.")


@_COPIES.does(
    "export",
    example="""comity report export 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --use copy --into copy.txt --as XBO/n1 --reader XBO/analyst1
comity report export 019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01 --use evidence --portion 2 --into exhibit.pdf --as XBO/n1""",
)
@click.argument("report_id", type=click.UUID)
@click.option(
    "--use", required=True, type=click.Choice([one.value for one in Use]), help="What it is taken out for; not read."
)
@click.option("--portion", type=click.IntRange(min=1), help="Which portion; needed where several may be had.")
@click.option("--into", required=True, metavar="FILE", help="Where its content is written; never over another file.")
@reading_options
def export(
    run: Invocation,
    *,
    report_id: UUID,
    use: str,
    portion: int | None,
    into: str,
    reader: str | None,
    reader_passphrase_file: str | None,
    purposes: tuple[str, ...],
    accept_caveats: bool,
) -> None:
    """Take a portion of a report out for a use: it is decided again, and refused with the clause and what would remedy it.

    The report must have been opened by this node before; its envelope is kept until it expires where a clause asks who reads or
    for what use. A file more is a copy whatever it is for: where copies are registered it takes a number of `report register --use copy`,
    and nothing is taken out to be read.
    """
    if use == Use.READ:
        raise UsageError(
            "reading makes no further file",
            what_to_do="What was read lies where comity receive wrote it. For another file: --use copy.",
        )
    path = Path(into)
    if path.exists():
        raise ConflictError(f"{path} is there already", what_to_do="Name another file.", code=ErrorCode.FILE_EXISTS)
    opening = _Opening(run, reader, reader_passphrase_file, accept=accept_caveats)
    found = opening.run(
        lambda node, officer, ask: node.reopen(
            report_id,
            use=Use(use),
            purpose=purposes,
            reader=officer,
            acknowledge=ask,
            portion=_index(portion),
            copied=True,
        )
    )
    ((index, one),) = found.opened
    _write_new(path, one)
    run.output.banner(found.banner)
    run.output.record(report_id=str(report_id), use=use, portion=index + 1, file=str(path), banner=found.banner)
    run.output.say(f"Wrote portion {index + 1} of report {report_id} for {use}: {path}")


def _write_new(path: Path, portion: Portion) -> None:
    """Write a portion's content into a new file; raises ConflictError where one came there meanwhile."""
    try:
        write_file(path, content_of(portion), replace=False)
    except FileExistsError as error:
        raise ConflictError(
            f"{path} is there already", what_to_do="Name another file.", code=ErrorCode.FILE_EXISTS
        ) from error


def _index(portion: int | None) -> int | None:
    return None if portion is None else portion - 1


class _Opening:
    """Who opens and what for, for one call to the node."""

    def __init__(self, run: Invocation, reader: str | None, passphrase_file: str | None, *, accept: bool) -> None:
        self._run = run
        self._place = run.acting(IdentityKind.NODE)
        self._officer = reader_of(run, reader, passphrase_file)
        self._ask = acknowledging(accept=accept)

    def run(self, act: Callable[[comity.Node, ReadingOfficer | None, Acknowledge | None], Awaitable[T]]) -> T:
        """Connect, do it, and leave."""
        return with_node(self._run, self._place, lambda node: act(node, self._officer, self._ask))
