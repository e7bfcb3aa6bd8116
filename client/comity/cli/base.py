"""What every command has: the options of design 01, an example in its help, and what it needs to do its work.

Rules in order:
1. A group is one file, loaded when it is used: `comity --help` loads none, and this module nothing a command may not need.
2. A command gets an `Invocation` first: who acts, which home, which broker, how to speak. It prints and parses, and what
   it does is done by `comity.node` and `comity_policy`.
3. A passphrase comes from a file or the terminal, never from an argument or an environment value.
4. Who acts is --as, else COMITY_IDENTITY, else the only identity of the right kind in the home; never a guess among two.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from comity.cli.output import Output
from comity.errors import ComityError, ErrorCode, UsageError

if TYPE_CHECKING:
    from comity.identity.names import IdentityKind
    from comity.keys.ring import KeyRing
    from comity.node.home import Home, PartyPlace, Place

_OPTIONS: Final = (
    click.Option(["--as", "acting_as"], metavar="PARTY/NAME", help="Who acts (COMITY_IDENTITY)."),
    click.Option(
        ["--broker", "broker_address"], metavar="HOST:PORT", help="The broker (default: the identity's profile)."
    ),
    click.Option(["--home", "home_directory"], metavar="DIR", help="Where identities and keys lie (COMITY_HOME)."),
    click.Option(["--json", "as_json"], is_flag=True, help="One JSON object, or one a line."),
    click.Option(["--quiet"], is_flag=True, help="Only what was asked for, and errors."),
    click.Option(
        ["--passphrase-file"], metavar="FILE", help="The passphrase of the keys (COMITY_PASSPHRASE_FILE, else asked)."
    ),
)


def now_ms() -> int:
    """Give this machine's time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def loading_begins() -> None:
    """Have the collector wait: what a program loads lives to its end, and to search it while it grows takes a tenth of a start."""
    gc.disable()


def loading_is_over() -> None:
    """Have the collector work from now on, on what comes; nothing where `loading_begins` was not called."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run what follows something until it ends or SIGTERM asks it to: that is its regular end, Ctrl-C is an interruption."""
    asked = False

    async def go() -> None:
        task = asyncio.ensure_future(work)

        def stop() -> None:
            nonlocal asked
            asked = True
            task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        await task

    try:
        asyncio.run(go())
    except asyncio.CancelledError:
        if not asked:
            raise


def first_of(several: BaseExceptionGroup[ComityError]) -> ComityError:
    """Give the first error of a group: what stopped the others is what is to be told."""
    found: BaseException = several
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    if not isinstance(found, ComityError):
        raise found
    return found


@dataclass(slots=True)
class Invocation:
    """One call of one command."""

    identity: str = ""
    broker: str = ""
    home_path: str = ""
    passphrase_file: str = ""
    output: Output = field(default_factory=Output)
    _passphrases: dict[str, bytes] = field(default_factory=dict)

    @property
    def home(self) -> Home:
        """Give the home."""
        from comity.node.home import Home  # noqa: PLC0415 - rule 1

        return Home.at(self.home_path or None, os.environ)

    def acting(self, *kinds: IdentityKind) -> Place:
        """Give the place of who acts, by rule 4; raises UsageError or NotFoundError that says which there are."""
        home = self.home
        named = self.identity or os.environ.get("COMITY_IDENTITY", "")
        if named:
            place = home.locate(named)
            if kinds and place.identity.kind not in kinds:
                wanted = " or ".join(kind.value for kind in kinds)
                raise UsageError(f"{place.identity} is a {place.identity.kind.value}; this is for a {wanted}")
            return place
        found = [place for place in home.places() if not kinds or place.identity.kind in kinds]
        if len(found) == 1:
            return found[0]
        here = ", ".join(str(place.identity) for place in found) or "none"
        raise UsageError("who acts is not said", what_to_do=f"Say --as PARTY/NAME. Here are: {here}.")

    def passphrase(self, whose: str, file: str = "") -> bytes:
        """Give the passphrase of some keys, by rule 3, asked at most once; `file` takes the place of --passphrase-file."""
        from comity.keys.passphrase import find_passphrase  # noqa: PLC0415 - rule 1

        named = file or self.passphrase_file
        key = named or whose
        if key not in self._passphrases:
            self._passphrases[key] = find_passphrase(
                file=Path(named) if named else None, environ=os.environ, ask=lambda: _asked(f"Passphrase of {whose}")
            )
        return self._passphrases[key]

    def fresh_passphrase(self, whose: str, file: str = "") -> bytes:
        """Give the passphrase for keys that are about to be made: asked for twice where it is typed."""
        from comity.keys.passphrase import new_passphrase  # noqa: PLC0415 - rule 1

        named = file or self.passphrase_file
        key = named or whose
        if key not in self._passphrases:
            self._passphrases[key] = new_passphrase(
                file=Path(named) if named else None,
                environ=os.environ,
                ask=lambda: _asked(f"New passphrase for {whose}"),
            )
        return self._passphrases[key]

    def ring(self, place: Place | PartyPlace, file: str = "") -> KeyRing:
        """Open an identity's or party's keys; raises KeyFault for a wrong passphrase."""
        from comity.keys.files import load_keys  # noqa: PLC0415 - rule 1
        from comity.node.home import Place  # noqa: PLC0415 - rule 1

        whose = str(place.identity) if isinstance(place, Place) else place.party
        return load_keys(place.keys, self.passphrase(whose, file))


def _asked(what: str) -> str:
    if not sys.stdin.isatty():
        raise UsageError(
            "a passphrase is needed and there is no terminal to ask on",
            what_to_do="Say --passphrase-file FILE, or set COMITY_PASSPHRASE_FILE.",
        )
    answer: str = click.prompt(what, hide_input=True, err=True)
    return answer


class Command(click.Command):
    """A command with the options of every command and an example in its help."""

    def __init__(self, *args: Any, example: str, notes: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example
        self.notes = notes
        self.params = [*self.params, *_OPTIONS]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write notes and examples as they stand: a help formatter would fold them."""
        super().format_epilog(ctx, formatter)
        title, _, notes = self.notes.partition("\n")
        for heading, text in ((title, notes), ("Example", self.example)):
            if text:
                with formatter.section(heading):
                    formatter.write("".join(f"  {line}".rstrip() + "\n" for line in text.strip("\n").splitlines()))


Act = Callable[..., object]


def command(name: str, *, example: str, notes: str = "", group: Group | None = None) -> Callable[[Act], Command]:
    """Make a command of a function: its docstring is the help, its first argument the `Invocation`.

    The first line of `notes` is the heading of the rest.
    """

    def make(function: Act) -> Command:
        def callback(  # noqa: PLR0917 - the options of every command
            acting_as: str | None,
            broker_address: str | None,
            home_directory: str | None,
            as_json: bool,
            quiet: bool,
            passphrase_file: str | None,
            **own: object,
        ) -> object:
            loading_is_over()
            run = Invocation(
                identity=acting_as or "",
                broker=broker_address or "",
                home_path=home_directory or "",
                passphrase_file=passphrase_file or "",
                output=Output(json=as_json, quiet=quiet),
            )
            return function(run, **own)

        made = Command(
            name,
            callback=callback,
            params=list(reversed(getattr(function, "__click_params__", []))),
            help=function.__doc__,
            example=example,
            notes=notes,
        )
        if group is not None:
            group.add_command(made)
        return made

    return make


class Group(click.Group):
    """A group of commands: `@group.does("create", example=...)` adds one."""

    def does(self, name: str, *, example: str) -> Callable[[Act], Command]:
        """Add a command, as `command` makes it."""
        return command(name, example=example, group=self)


class LazyGroup(Group):
    """A group whose commands are loaded when they are used; `lazily` says where each is and what it does in a line."""

    def __init__(self, *args: Any, lazily: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazily = lazily

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give every command's name, in the order of the table."""
        return [*self._lazily, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load and give a command; None where there is none."""
        if cmd_name not in self._lazily:
            return super().get_command(ctx, cmd_name)
        module, _, name = self._lazily[cmd_name][0].partition(":")
        return loaded(module, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's name
        """Write the table, without loading anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._lazily[name][1]) for name in self._lazily])


@contextmanager
def optional_part(extra: str) -> Iterator[None]:
    """Load an optional part of the installation within; raises UsageError NOT_INSTALLED where it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing in {"comity", "comity_policy"}:
            raise
        raise UsageError(
            f"this part is not installed here ({missing} is missing)",
            what_to_do=f"pip install 'comity[{extra}]'",
            code=ErrorCode.NOT_INSTALLED,
        ) from error


def loaded(module: str, name: str) -> click.Command:
    """Load a command; raises UsageError NOT_INSTALLED where an optional part of the installation is missing."""
    with optional_part("broker"):
        found = getattr(import_module(module), name)
    if not isinstance(found, click.Command):
        raise TypeError(f"{module}:{name} is no command")
    return found


def examples(group: click.Group) -> Sequence[tuple[str, str]]:
    """Give every command of a group with its example, as (path, example)."""
    found: list[tuple[str, str]] = []
    for name, one in group.commands.items():
        if isinstance(one, click.Group):
            found += [(f"{name} {path}", example) for path, example in examples(one)]
        elif isinstance(one, Command):
            found.append((name, one.example))
    return found
