"""`comity`: the table of commands, errors and exit codes (design 01, "Commands" and "Exit codes").

Every error of Comity is one line and an exit code of the design; anything else is a bug of ours, exit code 1. The commands
of the broker join by the entry points `comity.commands`; where the broker is not installed they say so, exit code 69.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from comity.cli.base import LazyGroup, loading_begins
from comity.cli.output import report_error
from comity.errors import ComityError, ErrorCode, UsageError
from comity.keys.process import seal_process, share_memory

INTERRUPTED: Final = 130
_COMMANDS: Final = {
    "demo": ("comity_broker.cli.demo:demo", "Two nations exchange reports on this machine: the whole way, for real."),
    "doctor": (
        "comity.cli.doctor:doctor",
        "Is this installation well, and the way to a partner? What to do where not.",
    ),
    "party": ("comity.cli.party:party", "Parties: a nation's own keys, and the cards of others."),
    "node": ("comity.cli.node:node", "Nodes: the systems that send and receive."),
    "officer": ("comity.cli.officer:officer", "Officers: the people who act for a party."),
    "agreement": (
        "comity.cli.agreement:agreement",
        "Agreements: write, check, negotiate, sign, amend, suspend, renew, end.",
    ),
    "preview": ("comity.cli.preview:preview", "Who would receive a report, which portions, and why not the others."),
    "explain": ("comity.cli.explain:explain", "Why a report was refused or permitted, clause by clause."),
    "send": ("comity.cli.send:send", "Send a report from a file, a directory or standard input."),
    "receive": ("comity.cli.receive:receive", "Receive reports as files."),
    "report": ("comity.cli.report:report", "Reports: list, show, and what to do with those parked or held."),
    "desk": ("comity.cli.desk:desk", "What waits for the own party, by its clock, with the command to paste."),
    "emergency": ("comity.cli.emergency:emergency", "A threat to life: declare it, send under it, review it."),
    "breach": ("comity.cli.breach:breach", "Cases of breach: notify, report, answer, close."),
    "duty": ("comity.cli.duty:duty", "What officers attest at its time: measures, reviews, contacts."),
    "audit": ("comity.cli.audit:audit", "The log: follow it, take it away, verify it without trusting anybody."),
    "broker": ("comity_broker.cli.broker:broker", "The broker: create, run, look at it."),
    "completion": ("comity.cli.completion:completion", "Completion for bash, zsh or fish."),
}


class _Comity(LazyGroup):
    """The root group, with what other installed packages add by the entry points `comity.commands`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            return found
        from importlib.metadata import entry_points  # noqa: PLC0415 - reads every installed package: only when asked

        for point in entry_points(group="comity.commands", name=cmd_name):
            made = point.load()
            return made if isinstance(made, click.Command) else None
        return None


@click.group(
    cls=_Comity,
    lazily=_COMMANDS,
    name="comity",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command has --help with an example. The beginning: comity demo.",
)
@click.version_option(package_name="comity", message="comity %(version)s")
def cli() -> None:
    """Intelligence reports between nations, under agreements that a machine enforces and an auditor can prove."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name; None: this process's) and give the exit code."""
    if arguments is None:
        # Any command may come to hold keys: the process is sealed before it can.
        seal_process()
        # What a library logs is for whoever configures logging; a command says what happened in its one line.
        logging.getLogger().addHandler(logging.NullHandler())
        # gRPC's core writes to standard error by itself; it reads this when it is loaded, which no command has done yet.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        share_memory()
        loading_begins()
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    try:
        answer = cli.main(words, prog_name="comity", standalone_mode=False)
        return answer if isinstance(answer, int) else 0
    except ComityError as error:
        report_error(error, as_json=as_json)
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        report_error(_usage(error), as_json=as_json)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever reads has gone: nothing more can be said, and the interpreter must not try at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the end of the program: a bug is shown as one, with its exit code
        _report_bug(error, as_json=as_json)
        return 1


def _usage(error: click.ClickException) -> UsageError:
    where = getattr(error, "ctx", None)
    path = where.command_path if where is not None else "comity"
    return UsageError(error.format_message(), what_to_do=f"{path} --help")


def _report_bug(error: Exception, *, as_json: bool) -> None:
    import traceback  # noqa: PLC0415 - loaded when there is a bug

    traceback.print_exception(error)
    bug = ComityError(
        f"a defect of Comity: {type(error).__name__}",
        what_to_do="Please report it with the lines above; they may hold names and paths, never a key.",
        code=ErrorCode.INTERNAL,
    )
    report_error(bug, as_json=as_json)
