"""`comity agreement export`: an agreement's rules in the language of other tools; needs no broker and no keys."""

from __future__ import annotations

from pathlib import Path

import click

from comity.cli.agreement_source import UMBRELLA, source_in_force
from comity.cli.base import Group, Invocation, optional_part
from comity.errors import ComityError, ErrorCode, UsageError
from comity.node.files import write_file

_HERE = "."


def add_to(group: Group) -> None:
    """Add the command to `comity agreement`."""
    group.add_command(export)


_EXPORTS = Group("exports")


@_EXPORTS.does(
    "export",
    example="""comity agreement export XAR-XBO-1.toml --cedar
comity agreement export XAR-XBO-1.toml --cedar cedar/""",
)
@click.argument("file", type=click.Path())
@click.option(
    "--cedar", "directory", is_flag=False, flag_value=_HERE, metavar="[DIR]", help="As Cedar, into a directory (here)."
)
@UMBRELLA
def export(run: Invocation, *, file: str, directory: str | None, umbrella: str | None) -> None:
    """Write the agreement, in force, as Cedar policies and their schema, which other tools validate and run.

    A second opinion: `@clause` says which clause a policy is, `@reason` why it forbids. What decides is Comity's own engine.
    Needs comity[analysis].
    """
    if directory is None:
        raise UsageError("in which language is not said", what_to_do="--cedar [DIR]")
    with optional_part("analysis"):
        from comity_policy.analysis import cedar  # noqa: PLC0415 - an optional part, and slow to load
    source = source_in_force(file, umbrella)
    document, digest = source.document, source.digest
    head = f"// {document.id}, version {document.version}, sha384:{digest.hex()}: in force, no clause suspended.\n\n"
    policies, schema = cedar.policies(source), cedar.schema(source)
    if errors := cedar.validation_errors(policies, source):
        raise ComityError(f"the Cedar twin of {document.id} does not validate: {errors[0]}", code=ErrorCode.INTERNAL)
    files = {
        "policies": (Path(directory) / f"{document.id}.cedar", head + policies),
        "schema": (Path(directory) / f"{document.id}.cedarschema", schema),
    }
    for path, _ in files.values():
        if path.exists():
            raise UsageError(f"{path} exists already", code=ErrorCode.FILE_EXISTS)
    Path(directory).mkdir(parents=True, exist_ok=True)
    for path, words in files.values():
        write_file(path, words.encode(), replace=False)
    run.output.record(agreement_id=document.id, digest=digest, **{name: str(path) for name, (path, _) in files.items()})
    run.output.say(*(f"Wrote {path}." for path, _ in files.values()))
