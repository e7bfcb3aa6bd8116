"""Terminals in which a document's commands are typed: real shells and real processes, one directory for all of them.

    with Terminals(tmp_path) as terminals:
        terminals.follow(document)          # fails at the first command that does not do what the document shows

Rules in order:
1. A command is run by bash to its end; exports and the working directory stay with the terminal, as they would.
2. It must end with exit code 0. Where the document goes on with `echo $?`, with the code that this is shown to print.
3. Where the document shows what comes out, exactly that comes out (`documents.shows`).
4. `comity broker run` and what has `--follow` run on: the document goes on when what it shows has come out, until `^C`.
5. Port 7443 is another one here, so that several tests may have a broker. `replaced` says what else is read differently.
6. `comity` is the shipped program, loaded already, but for the cost of passphrases (`loaded_comity`).
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from documents import Step, anywhere, blocks, shows, steps
from loaded_comity import program as program_of_comity
from processes import COMITY, Process, environment, free_port, start

PORT = "7443"
INTERRUPTED = 130
_RUNS_ON = re.compile(r"\bcomity broker run\b|--follow\b")
_ASKS = "echo $?"


@dataclass
class _Terminal:
    """What one terminal remembers: where its state lies, the last exit code, and what runs in it."""

    state: Path
    code: int = 0
    running: Process | None = None
    wanted: tuple[str, ...] = ()


@dataclass
class Terminals(AbstractContextManager["Terminals"]):
    """The terminals over one directory. `left_out` finds commands that a test cannot run; `variables` are everybody's."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    left_out: re.Pattern[str] = re.compile(r"(?!)")
    typed: int = 0
    _port: str = field(default_factory=lambda: str(free_port()))
    _terminals: dict[str, _Terminal] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._terminals.values():
            if one.running is not None:
                one.running.kill()

    # --- a document -------------------------------------------------------------------------------------------------

    def follow(self, document: Path) -> None:
        """Do everything a document says, in its order."""
        for block in blocks(document):
            if block.file:
                self.write(block.file, block.text)
            elif block.language == "console":
                self.type_all(steps(block))

    def write(self, name: str, text: str) -> None:
        """Write a file that a document shows."""
        path = self.folder / self._here(name)
        assert path.is_relative_to(self.folder), f"{name} is outside of the test's directory"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._here(text), encoding="utf-8")

    def type_all(self, several: list[Step]) -> None:
        """Type steps one after the other; each but the last knows whether its exit code is asked for."""
        for step, following in zip(several, [*several[1:], None], strict=True):
            asked = following is not None and following.words == _ASKS and following.terminal == step.terminal
            self.type(step, expected=int(following.shown[0]) if asked else 0)

    def type(self, step: Step, *, expected: int = 0) -> None:
        """Type one step and hold it to what is shown."""
        if step.words == _ASKS:
            assert step.shown == (str(self._terminal(step.terminal).code),), step.place
        elif step.words == "^C":
            self.interrupt(step)
        elif not self.left_out.search(step.words):
            self.typed += 1
            if _RUNS_ON.search(step.words):
                self._run_on(step)
            else:
                self._run(step, expected)

    # --- commands ---------------------------------------------------------------------------------------------------

    def interrupt(self, step: Step) -> None:
        """End what runs in a terminal as Ctrl-C does; whatever the document showed of it has come out by then."""
        terminal = self._terminal(step.terminal)
        assert terminal.running is not None, f"{step.place}: nothing runs here"
        running, terminal.running = terminal.running, None
        running.wait_for(lambda: self._has_come(running, terminal.wanted), f"{step.place}: what is shown comes out")
        running.signal(signal.SIGINT)
        running.done(0, INTERRUPTED)

    def _run(self, step: Step, expected: int) -> None:
        terminal = self._terminal(step.terminal)
        if terminal.running is not None:
            # Whoever types here waits for the prompt.
            terminal.running.done(0, INTERRUPTED)
            terminal.running = None
        done = subprocess.run(
            ["bash", "-c", _script(terminal.state, self._here(step.words))],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=120,
        )
        terminal.code = done.returncode
        output = self._there(done.stdout.decode())
        said = f"{step.place}: {step.words}\nexit code {done.returncode}, and out came:\n{output}"
        assert done.returncode == expected, said
        if step.shown:
            found = shows(step.shown, output, self._known)
            assert found is not None, f"{said}\nwhich is not what is shown"
            self._known |= found

    def _run_on(self, step: Step) -> None:
        terminal = self._terminal(step.terminal)
        script = _script(terminal.state, f"exec {self._here(step.words)}")
        name = f"{step.terminal}-{self.typed}"
        environ = {**self._environment(), "PWD": str(self.folder)}
        process = start(["bash", "-c", f"cd {self.folder}\n{script}"], name, self.folder / ".terminals", environ)
        terminal.running, terminal.wanted = process, step.shown
        if "broker run" in step.words:
            process.wait_for(lambda: self._has_come(process, step.shown), f"{step.place}: the broker serves")

    def _has_come(self, process: Process, shown: tuple[str, ...]) -> bool:
        output = self._there(process.out.read_text() + process.log.read_text())
        found = shows(anywhere(shown), output, self._known)
        self._known |= found or {}
        return found is not None

    # --- what is read differently here ------------------------------------------------------------------------------

    def _terminal(self, name: str) -> _Terminal:
        if name not in self._terminals:
            state = self.folder / ".terminals" / (name or "terminal")
            state.parent.mkdir(parents=True, exist_ok=True)
            state.write_text("")
            self._terminals[name] = _Terminal(state)
        return self._terminals[name]

    def _programs(self) -> Path:
        program = self.folder / ".terminals" / "bin" / "comity"
        if not program.exists():
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(program_of_comity())
            program.chmod(0o755)
        return program.parent

    def _here(self, text: str) -> str:
        for word, other in {PORT: self._port, **self.replaced, **self._known}.items():
            text = text.replace(word, other)
        return text

    def _there(self, text: str) -> str:
        text = re.sub(rf"\b{self._port}\b", PORT, text)
        for word, other in self.replaced.items():
            text = text.replace(other, word) if other else text
        return text

    def _environment(self) -> dict[str, str]:
        environ = environment(self.folder / "nobody", self.folder / "no-passphrase")
        # A document exports what it needs, or lacks it: the reader has nothing else either.
        del environ["COMITY_HOME"], environ["COMITY_PASSPHRASE_FILE"]
        path = f"{self._programs()}:{Path(COMITY).parent}:{environ['PATH']}"
        return {
            **environ,
            "PATH": path,
            "COMITY_BROKER_LISTEN": f"127.0.0.1:{self._port}",
            **self.variables,
        }


def _script(state: Path, words: str) -> str:
    """Give what bash runs: the terminal's state before, the words, its state after."""
    return f". {state}\n{words}\ncode=$?\n{{ export -p; printf 'cd %q\\n' \"$PWD\"; }} >{state}\nexit $code"
