"""The stage of `comity demo`: a directory, two nations, and child processes whose every result is checked and written down.

Rules in order:
1. Everything that happens is a `comity` command (or the raw client) in a process of its own, with its nation's home; the stage
   knows nothing that the commands do not print.
2. Each command is one record {step, command, exit, facts}, kept in steps.jsonl. A step that does not do what it says ends the
   demo.
3. The directory is removed and made anew at each start, but only one that an earlier demo made.
4. No process outlives the demo.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, NoReturn, Self

from comity.cli.output import Output, to_json
from comity.errors import ConflictError, ErrorCode, VerificationError

MARKER: Final = ".comity-demo"
STEPS: Final = "steps.jsonl"
PATIENCE_SECONDS: Final = 40.0
_PROGRAM: Final = (sys.executable, "-m", "comity.cli")


@dataclass(frozen=True, slots=True)
class Nation:
    """One nation's machine: its code and names, its home, the file of its passphrase."""

    code: str
    name: str
    trust_domain: str
    home: Path
    passphrase_file: Path

    @property
    def environ(self) -> dict[str, str]:
        """Give what a command of this nation finds in its environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COMITY_")}
        return kept | {"COMITY_HOME": str(self.home), "COMITY_PASSPHRASE_FILE": str(self.passphrase_file)}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did: its exit code, its JSON lines, and its JSON error."""

    exit_code: int
    records: tuple[dict[str, Any], ...]
    error: dict[str, Any]

    @property
    def record(self) -> dict[str, Any]:
        """Give the last JSON line; empty where there is none."""
        return self.records[-1] if self.records else {}


@dataclass(slots=True)
class Child:
    """A process that runs on: its standard output and error go to files."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def lines(self) -> list[dict[str, Any]]:
        """Give the JSON lines it has written so far."""
        text = self.out.read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


@dataclass(slots=True)
class Stage:
    """The directory and everything that runs in it; a context manager that ends what still runs."""

    directory: Path
    output: Output
    records: list[dict[str, Any]] = field(default_factory=list)
    writing: threading.Lock = field(default_factory=threading.Lock)
    _children: list[Child] = field(default_factory=list)

    @classmethod
    def set_up(cls, directory: Path, output: Output) -> Stage:
        """Make the directory anew; raises ConflictError for one that no demo made."""
        if directory.exists():
            if not (directory / MARKER).is_file():
                raise ConflictError(
                    f"{directory} exists and was not made by the demo",
                    what_to_do="Name another directory with --keep.",
                    code=ErrorCode.FILE_EXISTS,
                )
            shutil.rmtree(directory)
        directory.mkdir(mode=0o700, parents=True)
        (directory / MARKER).touch()
        return cls(directory, output)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            if child.process.poll() is None:
                child.process.kill()
            child.process.wait()

    def nation(self, code: str, name: str) -> Nation:
        """Give a nation its own directory and passphrase."""
        directory = self.directory / code
        directory.mkdir(mode=0o700)
        passphrase_file = directory / "passphrase"
        descriptor = os.open(passphrase_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(16))
        return Nation(code, name, f"{code.lower()}.example", directory / "home", passphrase_file)

    # --- processes --------------------------------------------------------------------------------------------------

    def do(
        self,
        step: str,
        nation: Nation,
        *words: str,
        expect: int = 0,
        facts: Callable[[Ran], Mapping[str, object]] | None = None,
        program: Iterable[str] = _PROGRAM,
    ) -> Ran:
        """Run a command to its end and write it down; raises VerificationError where its exit code is not the expected one."""
        try:
            done = subprocess.run(  # noqa: S603 - our own program, with words of the demo
                [*program, *words, "--json"],
                cwd=self.directory,
                env=nation.environ,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                check=False,
                timeout=PATIENCE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            self.fail(step, f"comity {shlex.join(words)} did not end within {PATIENCE_SECONDS:.0f} s")
        ran = Ran(done.returncode, _objects(done.stdout), _error(done.stderr))
        said = facts(ran) if facts is not None else ran.record
        self.note(step, words, ran.exit_code, {**said, **({"error": ran.error} if ran.error else {})})
        if ran.exit_code != expect:
            shown = ran.error.get("message") or done.stderr.decode(errors="replace")[-2000:]
            self.fail(step, f"comity {shlex.join(words)} ended with {ran.exit_code}, not {expect}: {shown}")
        return ran

    def start(self, nation: Nation, *words: str, name: str) -> Child:
        """Start a process that runs on; its output is in NAME.out and NAME.err."""
        out, err = self.directory / f"{name}.out", self.directory / f"{name}.err"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            child = Child(self._spawn(nation, words, out_file, err_file), out, err)
        self._children.append(child)
        return child

    def stop(self, step: str, child: Child, what: str, expect: Iterable[int] = (0,)) -> None:
        """Have a process end by SIGTERM and write it down; raises VerificationError for another exit code."""
        child.process.send_signal(signal.SIGTERM)
        exit_code = child.process.wait(timeout=PATIENCE_SECONDS)
        self.note(step, ("kill", "-TERM", what), exit_code, {"process": what})
        if exit_code not in expect:
            self.fail(step, f"{what} ended with {exit_code}: {child.err.read_text(errors='replace')[-2000:]}")

    def wait(self, step: str, child: Child, what: str, holds: Callable[[], bool]) -> None:
        """Wait until something holds while a process runs; raises VerificationError when it never does."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if child.process.poll() is not None or time.monotonic() > deadline:
                tail = child.err.read_text(errors="replace")[-2000:]
                self.fail(step, f"{what} did not happen within {PATIENCE_SECONDS:.0f} s: {tail}")
            time.sleep(0.02)

    def _spawn(self, nation: Nation, words: tuple[str, ...], out: IO[bytes], err: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own program, with words of the demo
            [*_PROGRAM, *words],
            cwd=self.directory,
            env=nation.environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )

    # --- what is told -----------------------------------------------------------------------------------------------

    def note(self, step: str, words: Iterable[str], exit_code: int, facts: Mapping[str, object]) -> None:
        """Write a record down, and print it with --json."""
        record = {"step": step, "command": shlex.join(("comity", *words)), "exit": exit_code, "facts": dict(facts)}
        self.records.append(record)
        # The two nations work at the same time; a record is one line.
        with self.writing, (self.directory / STEPS).open("a", encoding="utf-8") as file:
            file.write(to_json(record) + "\n")
            self.output.record(**record)

    def require(self, step: str, holds: object, otherwise: str) -> None:
        """Check what a step says it did; raises VerificationError."""
        if not holds:
            self.fail(step, otherwise)

    def fail(self, step: str, problem: str) -> NoReturn:
        """End the demo at a step."""
        raise VerificationError(
            f"step {step}: {problem}",
            what_to_do=f"Look into {self.directory}: homes, the broker's data and log, and what each process wrote.",
        )


def _objects(data: bytes) -> tuple[dict[str, Any], ...]:
    found = []
    for line in data.decode(errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return tuple(found)


def _error(data: bytes) -> dict[str, Any]:
    for one in reversed(_objects(data)):
        error = one.get("error")
        if isinstance(error, dict):
            return error
    return {}
