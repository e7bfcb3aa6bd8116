"""`comity` for tests that start hundreds of commands: each is a process of its own, forked from one that has loaded the program.

    process = begin(["comity", "send", ...], stdout=file, stderr=file, environ=environ, folder=folder)     # as Popen gives one
    process = begin([sys.executable, "tests/fault_node.py", ...], ...)                                     # a script that uses it
    (bin / "comity").write_text(program())      # an executable file; `comity` typed with it on the PATH is what it always is

A start loads some six hundred modules, which takes ten times as long as what most commands then do. Rules in order:
1. A command has the arguments, environment, directory, umask and standard streams of whoever started it, and runs
   `comity.cli.main` as shipped, but for the cost of passphrases (`cheap_keys`), to its exit code. A script is run as Python runs it.
   At the end threads are waited for and streams flushed; what was loaded is not taken apart.
2. What `begin` gives is the command itself, with its own number. What is typed stands for one: a signal to it is one to the command.
   No command outlives whoever started it.
3. The process that has loaded runs no command itself and ends with the tests. The solvers are not loaded: commands load them.
4. What /proc says of its command line and its first environment, and how much memory it begins with, are those of the process that
   has loaded: who asks for these starts the shipped program.

Whether each command also starts from nothing is seen where tests start the shipped program (`processes.start_anew`, the demo).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

_LENGTH = 4
_STREAMS = 3
_COMMAND = "comity"
# What the interpreter does with Ctrl-C and a request to end, before anything of the command says otherwise.
_SIGNALS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
_PROGRAM = """#!{python} -IS
import json, os, signal, socket, sys

there = socket.socket(socket.AF_UNIX)
there.connect({address!r})
umask = os.umask(0o077)
asked = json.dumps([[{command!r}, *sys.argv[1:]], dict(os.environ), os.getcwd(), umask]).encode()
socket.send_fds(there, [len(asked).to_bytes({length}, "big")], [0, 1, 2])
there.sendall(asked)
answers = there.makefile()
command = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(command, number))
code = int(answers.readline())
sys.exit(code if code >= 0 else 128 - code)
"""


def program() -> str:
    """Give the text of an executable that runs a command; the process that has loaded is started where there is none yet."""
    return _PROGRAM.format(python=sys.executable, address=_address(), command=_COMMAND, length=_LENGTH)


def begin(
    words: Sequence[str], *, stdout: IO[bytes], stderr: IO[bytes], environ: Mapping[str, str], folder: Path
) -> Begun:
    """Start a command (its first word is `comity`) or a script of the tests (`sys.executable`, its path), with nothing to read."""
    with contextlib.ExitStack() as stack:
        there = stack.enter_context(socket.socket(socket.AF_UNIX))
        there.connect(_address())
        nothing = stack.enter_context(Path(os.devnull).open("rb"))
        umask = os.umask(0o077)
        os.umask(umask)
        asked = json.dumps([words, dict(environ), str(folder), umask]).encode()
        streams = [file.fileno() for file in (nothing, stdout, stderr)]
        socket.send_fds(there, [len(asked).to_bytes(_LENGTH, "big")], streams)
        there.sendall(asked)
        begun = Begun(there)
        stack.pop_all()
        nothing.close()
    return begun


class Begun:
    """A process that was forked for this one: what `subprocess.Popen` says of a child, of the number `pid`."""

    def __init__(self, there: socket.socket) -> None:
        self._there = there
        self._said = b""
        self.returncode: int | None = None
        self.pid = int(self._line() or b"")

    def poll(self) -> int | None:
        """Give the exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self._there.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                self._ended()
        return self.returncode

    def wait(self) -> int:
        """Wait for the end, and give the exit code."""
        if self.returncode is None:
            self._there.setblocking(True)
            self._ended()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens to a process that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _ended(self) -> None:
        self.returncode = int(self._line())
        self._there.close()

    def _line(self) -> bytes:
        while b"\n" not in self._said:
            more = self._there.recv(64)
            assert more, "the process that has loaded comity is gone"
            self._said += more
        line, _, self._said = self._said.partition(b"\n")
        return line


@cache
def _address() -> str:
    folder = tempfile.TemporaryDirectory(prefix="comity-loaded-")
    address = str(Path(folder.name) / "socket")
    # Nothing of the environment the tests run in but the path to programs, as `processes.environment` has it.
    environ = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    loaded = subprocess.Popen(
        [sys.executable, __file__, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
    )
    assert loaded.stdout is not None
    assert loaded.stdin is not None
    assert loaded.stdout.readline() == b"loaded\n"
    loaded.stdout.close()

    def end() -> None:
        assert loaded.stdin is not None
        loaded.stdin.close()
        loaded.wait()
        folder.cleanup()

    atexit.register(end)
    return address


# --- the process that has loaded ----------------------------------------------------------------------------------------


def _modules(group: Any) -> Iterator[Any]:
    """Load every command below a group."""
    import click

    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield command
        if isinstance(command, click.Group):
            yield from _modules(command)


def _load() -> None:
    # As `comity.cli.main` says it before gRPC is loaded.
    os.environ["GRPC_VERBOSITY"] = "NONE"
    from cheap_keys import make_keys_cheap
    from comity.cli.main import cli

    for _ in _modules(cli):
        pass
    make_keys_cheap()
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class _Running:
    """A command that runs: its number, what says that it has ended, and whoever started it."""

    pid: int
    ended: int
    there: socket.socket


class _Loaded:
    """Commands asked for on a socket, each a fork of this process, until standard input ends."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(address)
        self._socket.listen()
        self._selector = selectors.DefaultSelector()
        self._running: dict[int, _Running] = {}

    def serve(self) -> None:
        # Ctrl-C is for whoever runs the tests; standard input ends with them.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        self._selector.register(self._socket, selectors.EVENT_READ, self._begin)
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._end_all()
                    return
                key.data()

    def _begin(self) -> None:
        there, _ = self._socket.accept()
        head, streams, _, _ = socket.recv_fds(there, _LENGTH, _STREAMS)
        asked = json.loads(there.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
        # A signal that comes before the command is ready for it waits until then.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            there.close()
            self._run(streams, *asked)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        for stream in streams:
            os.close(stream)
        running = self._running[pid] = _Running(pid, os.pidfd_open(pid), there)
        self._selector.register(running.ended, selectors.EVENT_READ, lambda: self._end(running))
        self._selector.register(there, selectors.EVENT_READ, lambda: self._forsake(running))
        self._say(running, pid)

    def _end(self, running: _Running) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(running.pid, 0)[1])
        del self._running[running.pid]
        self._selector.unregister(running.ended)
        os.close(running.ended)
        self._say(running, code)
        self._leave(running)

    def _forsake(self, running: _Running) -> None:
        self._leave(running)
        if running.pid in self._running:
            os.kill(running.pid, signal.SIGKILL)

    def _leave(self, running: _Running) -> None:
        if running.there.fileno() >= 0:
            self._selector.unregister(running.there)
            running.there.close()

    def _say(self, running: _Running, number: int) -> None:
        # Nobody is there any more where whoever started it was killed: the command follows.
        with contextlib.suppress(OSError):
            running.there.sendall(b"%d\n" % number)

    def _end_all(self) -> None:
        for running in self._running.values():
            os.kill(running.pid, signal.SIGKILL)

    def _run(self, streams: list[int], words: list[str], environ: dict[str, str], folder: str, umask: int) -> NoReturn:
        self._selector.close()
        self._socket.close()
        for running in self._running.values():
            running.there.close()
            os.close(running.ended)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(folder)
        os.umask(umask)
        for number, handler in _SIGNALS.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if words[0] == _COMMAND:
            sys.argv = words
            from comity.cli.main import main

            _end(main())
        sys.argv = words[1:]
        sys.path[0] = str(Path(sys.argv[0]).parent)
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as ended:
            if not isinstance(ended.code, int):
                raise
            _end(ended.code)
        _end(0)


def _end(code: int) -> NoReturn:
    """End as the interpreter does, but for taking apart everything that was loaded, which would first copy it from the other process."""
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter calls: waits for the threads that are no daemons
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _load()
    waiting = _Loaded(sys.argv[1])
    print("loaded", flush=True)
    waiting.serve()
