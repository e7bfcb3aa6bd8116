"""Real processes for tests: started, watched and ended, never mocked.

    broker = start_broker(data, folder=tmp_path, passphrase_file=file)        # waits until it listens
    sending = start([COMITY, "send", ...], "send", tmp_path, environment(...))
    sending.wait_for(lambda: sending.records, "the first receipt")
    broker.kill()                                                              # SIGKILL, and reaped
    broker.peak_kib, broker.cpu_seconds, limits_of(broker.pid)["Max core file size"]

Standard output and error go to files in `folder`, so that nothing a test does not read ever blocks a process. What is waited for is a
condition; a process that ends meanwhile fails the test at once, with the end of what it wrote.

A command and a script of the tests begin loaded (`loaded_comity`), in a hundredth of the time; `start_anew` starts what is shipped.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from loaded_comity import begin

COMITY = str(Path(sys.executable).with_name("comity"))
PATIENCE_SECONDS = 60.0
# Below the range that Linux takes for outgoing connections: nobody sits on the port while its broker is away.
PORTS = range(21_000, 32_000)

# Looked at often in the beginning, so that nothing short is waited for long; later a waiting test leaves the processor to others.
_LOOK_SECONDS = 0.002
_LOOK_MOST_SECONDS = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")
_TAIL_BYTES = 4_000

T = TypeVar("T")


class EndedEarlyError(AssertionError):
    """A process ended while something was expected of it."""


def until(condition: Callable[[], T], what: str, *, seconds: float = PATIENCE_SECONDS) -> T:
    """Give the first value of `condition` that is true; fails where none comes. `seconds` only keeps a test from hanging."""
    end, look = time.monotonic() + seconds, _LOOK_SECONDS
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(look)
        look = min(look * 1.1, _LOOK_MOST_SECONDS)
    return found


class Child(Protocol):
    """What is asked of a process that runs, as `subprocess.Popen` says it."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self) -> int: ...
    def send_signal(self, number: int, /) -> None: ...


@dataclass
class Process:
    """A process that a test started. Its output is in `out` (standard output) and `log` (standard error)."""

    name: str
    popen: Child
    out: Path
    log: Path
    _read: int = field(default=0, init=False)
    _lines: list[str] = field(default_factory=list, init=False)
    _told: int = field(default=0, init=False)

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self.popen.poll()

    # --- waiting ----------------------------------------------------------------------------------------------------

    def wait_for(self, condition: Callable[[], T], what: str, *, seconds: float = PATIENCE_SECONDS) -> T:
        """Wait until a condition is true while this process runs; it may be true of a process that has just ended."""

        def alive() -> T:
            ended = self.exit_code is not None
            if (found := condition()) or not ended:
                return found
            raise EndedEarlyError(f"{self.name} ended with {self.exit_code} before {what}\n{self.tail}")

        return until(alive, f"{self.name}: {what}", seconds=seconds)

    def done(self, *codes: int, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for the end, which must be with one of these codes (0 where none is named)."""
        until(lambda: self.exit_code is not None, f"the end of {self.name}", seconds=seconds)
        if self.popen.returncode not in (codes or (0,)):
            raise EndedEarlyError(f"{self.name} ended with {self.popen.returncode}\n{self.tail}")
        return self.popen.returncode

    # --- ending -----------------------------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens to a process that has ended."""
        with suppress(ProcessLookupError):
            self.popen.send_signal(number)

    def kill(self) -> None:
        """Kill it as a power cut would, and reap it."""
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self, *, seconds: float = PATIENCE_SECONDS) -> int:
        """Ask it to end (SIGTERM) and give its exit code."""
        self.signal(signal.SIGTERM)
        until(lambda: self.exit_code is not None, f"the end of {self.name}", seconds=seconds)
        return self.popen.returncode

    # --- what it wrote ----------------------------------------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        """The whole lines of its standard output so far."""
        with self.out.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new.rfind(b"\n") + 1
        self._read += whole
        self._lines.extend(new[:whole].decode().splitlines())
        return self._lines

    @property
    def records(self) -> list[dict]:
        """Its standard output as JSON, one object a line."""
        return [json.loads(line) for line in self.lines]

    def new_records(self) -> list[dict]:
        """What came as JSON since this was asked last."""
        before, self._told = self._told, len(self.lines)
        return [json.loads(line) for line in self._lines[before : self._told]]

    @property
    def tail(self) -> str:
        """The end of what it wrote, for a failing test."""
        parts = []
        for path in (self.out, self.log):
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
                parts.append(f"--- {path.name}\n{file.read().decode(errors='replace')}")
        return "\n".join(parts)

    # --- what the kernel says of it ---------------------------------------------------------------------------------

    @property
    def status(self) -> dict[str, str]:
        """/proc/PID/status; empty where it has ended."""
        return status_of(self.pid)

    @property
    def peak_kib(self) -> int:
        """The most memory it has had resident (VmHWM), in KiB; 0 where it has ended."""
        return int(self.status.get("VmHWM", "0 kB").split()[0])

    @property
    def cpu_seconds(self) -> float:
        """The processor time it has used, all threads, user and system; 0 where it has ended."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS


def limits_of(pid: int) -> dict[str, tuple[str, str]]:
    """Give /proc/PID/limits, soft and hard by name; everybody may read it."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): (line[26:47].strip(), line[47:68].strip()) for line in lines}


def status_of(pid: int) -> dict[str, str]:
    """Give /proc/PID/status by name; empty for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def environment(home: Path, passphrase_file: Path, **more: str) -> dict[str, str]:
    """Give a clean environment: nothing of the one the tests run in but the path to programs."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "COMITY_HOME": str(home),
        "COMITY_PASSPHRASE_FILE": str(passphrase_file),
        # What a process says is there when it has said it.
        "PYTHONUNBUFFERED": "1",
        **more,
    }


def start(words: Sequence[str | Path], name: str, folder: Path, environ: Mapping[str, str]) -> Process:
    """Start a process: a command or a Python script begins loaded, whatever else as it is."""
    program, *arguments = map(str, words)
    if program == COMITY:
        return _start(name, folder, partial(begin, ["comity", *arguments], environ=environ, folder=folder))
    if program == sys.executable and arguments[0].endswith(".py"):
        return _start(name, folder, partial(begin, [program, *arguments], environ=environ, folder=folder))
    return start_anew(words, name, folder, environ)


def start_anew(words: Sequence[str | Path], name: str, folder: Path, environ: Mapping[str, str]) -> Process:
    """Start a process that loads everything itself, as that of a user does."""
    popen = partial(subprocess.Popen, stdin=subprocess.DEVNULL, env=dict(environ), cwd=folder)
    return _start(name, folder, partial(popen, [str(word) for word in words]))


def _start(name: str, folder: Path, begins: Callable[..., Child]) -> Process:
    folder.mkdir(parents=True, exist_ok=True)
    out, log = folder / f"{name}.out", folder / f"{name}.log"
    with out.open("wb") as stdout, log.open("wb") as stderr:
        return Process(name, begins(stdout=stdout, stderr=stderr), out, log)


@contextmanager
def ending(*processes: Process):
    """Kill whatever of these still runs at the end, however the test ended."""
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()


def free_port() -> int:
    """Give a port of this machine that nobody listens on, and that no outgoing connection will take."""
    start_at = (os.getpid() * 97 + time.monotonic_ns() // 1_000) % len(PORTS)
    for step in range(len(PORTS)):
        port = PORTS[(start_at + step * 13) % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@dataclass
class Broker(Process):
    """A broker that listens at `address`."""

    address: str = ""


def start_broker(
    data: Path,
    *,
    folder: Path,
    passphrase_file: Path,
    listen: str | None = None,
    name: str = "broker",
    program: Sequence[str | Path] = (COMITY, "broker", "run"),
    options: Sequence[str | Path] = (),
    begins: Callable[..., Process] = start,
    **more: str,
) -> Broker:
    """Start a broker over a data directory and wait until it listens; `listen` is HOST:PORT, any free port without it."""
    port_file = folder / f"{name}.port"
    port_file.unlink(missing_ok=True)
    words = [*program, "--data", data, "--listen", listen or f"127.0.0.1:{free_port()}", "--port-file", port_file]
    environ = environment(folder, passphrase_file, CONFIGURATION_DIRECTORY=str(folder), **more)
    process = begins([*words, *options], name, folder, environ)
    broker = Broker(process.name, process.popen, process.out, process.log)
    try:
        broker.wait_for(port_file.exists, "it listens")
    except BaseException:
        broker.kill()
        raise
    broker.address = port_file.read_text().strip()
    return broker
