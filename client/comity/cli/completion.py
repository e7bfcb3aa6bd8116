"""`comity completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from comity.cli.base import Invocation, command
from comity.errors import UsageError


@command(
    "completion",
    example="""comity completion bash > ~/.local/share/bash-completion/completions/comity
comity completion zsh > ~/.zfunc/_comity
comity completion fish > ~/.config/fish/completions/comity.fish""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(run: Invocation, shell: str) -> None:
    """Write the completion script of a shell to standard output."""
    from comity.cli.main import cli  # noqa: PLC0415 - the root group loads this module

    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"no completion for {shell}")
    script = found(cli, {}, "comity", "_COMITY_COMPLETE").source()
    run.output.show(script.rstrip("\n"))
    run.output.record(shell=shell, script=script)
