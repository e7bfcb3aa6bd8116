"""`comity` for tests that type hundreds of commands: each is a process of its own, forked from one that has loaded the program.

    (bin / "comity").write_text(program())      # an executable file; `comity` typed with it on the PATH is what it always is

A start loads some six hundred modules, which takes ten times as long as what most commands then do. Rules in order:
1. A command has the arguments, environment, directory, umask and standard streams of whoever typed it, and runs
   `comity.cli.main` as shipped, but for the cost of passphrases (`cheap_keys`), to its exit code.
2. A signal to what was typed is one to the command, and a command does not outlive what was typed.
3. The process that has loaded runs no command itself and ends with the tests. The solvers are not loaded: commands load them.

Whether each command also starts from nothing is seen where tests start the shipped program (`processes.COMITY`, the demo).
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

_LENGTH = 4
_STREAMS = 3
_KILLED = 128
_PROGRAM = """#!{python} -IS
import json, os, signal, socket, sys

there = socket.socket(socket.AF_UNIX)
there.connect({address!r})
umask = os.umask(0o077)
asked = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), umask]).encode()
socket.send_fds(there, [len(asked).to_bytes({length}, "big")], [0, 1, 2])
there.sendall(asked)
answers = there.makefile()
command = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(command, number))
sys.exit(int(answers.readline()))
"""


def program() -> str:
    """Give the text of an executable that runs a command; the process that has loaded is started where there is none yet."""
    return _PROGRAM.format(python=sys.executable, address=_address(), length=_LENGTH)


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


class _Loaded:
    """Commands asked for on a socket, each a fork of this process, until standard input ends."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(address)
        self._socket.listen()
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        self._selector.register(self._socket, selectors.EVENT_READ, self._begin)
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data()

    def _begin(self) -> None:
        there, _ = self._socket.accept()
        head, streams, _, _ = socket.recv_fds(there, _LENGTH, _STREAMS)
        asked = json.loads(there.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
        command = os.fork()
        if command == 0:
            self._run(streams, *asked)
        for stream in streams:
            os.close(stream)
        there.sendall(b"%d\n" % command)
        ended = os.pidfd_open(command)
        self._selector.register(ended, selectors.EVENT_READ, lambda: self._end(command, ended, there))
        self._selector.register(there, selectors.EVENT_READ, lambda: self._forsake(command, there))

    def _end(self, command: int, ended: int, there: socket.socket) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        self._selector.unregister(ended)
        os.close(ended)
        if there.fileno() >= 0:
            self._selector.unregister(there)
            there.sendall(b"%d\n" % (code if code >= 0 else _KILLED - code))
            there.close()

    def _forsake(self, command: int, there: socket.socket) -> None:
        self._selector.unregister(there)
        there.close()
        os.kill(command, signal.SIGKILL)

    def _run(self, streams: list[int], words: list[str], environ: dict[str, str], folder: str, umask: int) -> NoReturn:
        self._selector.close()
        self._socket.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(folder)
        os.umask(umask)
        sys.argv = ["comity", *words]
        from comity.cli.main import main

        sys.exit(main())


if __name__ == "__main__":
    _load()
    waiting = _Loaded(sys.argv[1])
    print("loaded", flush=True)
    waiting.serve()
