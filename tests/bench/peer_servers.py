"""The peers' servers, each started on a port and in a directory of its own and ended with the measurement.

Their durability decides what they may be compared with: whether a message is on disk (fsync) before its sender is told so.

- NATS JetStream: `sync_interval: always` is; its default, an fsync every two minutes, is not. A server older than 2.10 has no such
  setting; there the same is had by a store directory whose files are written synchronously (the S attribute of the file system).
- RabbitMQ with a quorum queue: the confirmation follows the fsync of the queue's write-ahead log.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import Process, ending, free_port, start_anew

_BOOT_SECONDS = 240.0
_GET_FLAGS, _SET_FLAGS, _SYNCHRONOUS = 0x80086601, 0x40086602, 0x8  # ioctl_iflags(2)
_RABBITMQ_VERSION = re.compile(r"RabbitMQ \d[\d.]*")
_SBIN = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/rabbitmq/sbin")


class NotHereError(LookupError):
    """A server is not installed, or cannot do what was asked; says so in one line."""


@dataclass(frozen=True)
class Server:
    """A server that listens at `address`."""

    process: Process
    address: str
    version: str
    fsync_before_acknowledgement: bool
    by: str


def find_nats(named: str | None = None) -> str:
    """Give the program; raises NotHereError."""
    return _find(named, "nats-server", "NATS", "apt-get install nats-server, or --nats-server PATH")


def find_rabbitmq(named: str | None = None) -> str:
    """Give the program; raises NotHereError. A distribution's wrapper changes user and directory: the server's own script is taken."""
    found = _find(named, "rabbitmq-server", "RabbitMQ", "apt-get install rabbitmq-server, or --rabbitmq-server PATH")
    own = (Path(folder) / "rabbitmq-server" for folder in _SBIN)
    return found if named else next((str(path) for path in own if path.exists()), found)


def _find(named: str | None, program: str, name: str, how: str) -> str:
    found = shutil.which(named or program)
    if found is None:
        raise NotHereError(f"{name} is not installed here ({how})")
    return found


# --- NATS -----------------------------------------------------------------------------------------------------------


@contextmanager
def nats(folder: Path, program: str, *, fsync: bool) -> Iterator[Server]:
    """Start NATS with JetStream; raises NotHereError where fsync was asked for and cannot be had."""
    folder.mkdir(parents=True)
    store, port = folder / "store", free_port()
    store.mkdir()
    by = _nats_durability(folder, program, store) if fsync else "its default: fsync every two minutes"
    setting = ", sync_interval: always" if by.startswith("sync_interval") else ""
    config = folder / "nats.conf"
    config.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{store}"{setting} }}\n')
    process = start_anew([program, "-c", config], "nats-server", folder, _environment(folder))
    with ending(process):
        _listening(process, port)
        version = _output(program, "--version").removeprefix("nats-server: v")
        yield Server(process, f"127.0.0.1:{port}", f"nats-server {version}", fsync, by)


def _nats_durability(folder: Path, program: str, store: Path) -> str:
    trial = folder / "trial.conf"
    trial.write_text(f'jetstream {{ store_dir: "{store}", sync_interval: always }}\n')
    if subprocess.run([program, "-t", "-c", trial], capture_output=True, check=False).returncode == 0:
        return "sync_interval: always"
    try:
        write_synchronously(store)
    except OSError as error:
        version = _output(program, "--version")
        raise NotHereError(
            f"{version} has no sync_interval (2.10 has), nor has this file system synchronous files: {error.strerror}"
        ) from error
    return "synchronous files (chattr +S), since this server has no sync_interval"


def write_synchronously(folder: Path) -> None:
    """Have the kernel write every file made in a folder through to the disk; raises OSError where the file system cannot."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(handle, _GET_FLAGS, bytes(8)))
        fcntl.ioctl(handle, _SET_FLAGS, struct.pack("l", flags | _SYNCHRONOUS))
    finally:
        os.close(handle)


# --- RabbitMQ -------------------------------------------------------------------------------------------------------


@contextmanager
def rabbitmq(folder: Path, program: str) -> Iterator[Server]:
    """Start RabbitMQ, with a port mapper of its own."""
    folder.mkdir(parents=True)
    mapper = shutil.which("epmd")
    if mapper is None:
        raise NotHereError("RabbitMQ is here, but Erlang's epmd is not on PATH")
    port = free_port()
    environ = _rabbitmq_environment(folder, port)
    with ExitStack() as stack:
        epmd = start_anew([mapper], "epmd", folder, environ)
        stack.enter_context(ending(epmd))
        _listening(epmd, int(environ["ERL_EPMD_PORT"]))
        process = start_anew([program], "rabbitmq-server", folder, environ)
        stack.enter_context(ending(process))
        _listening(process, port)
        found = _RABBITMQ_VERSION.search(process.out.read_text(errors="replace"))
        version = "RabbitMQ" if found is None else found[0]
        by = "a quorum queue's write-ahead log, fsync before the confirmation"
        yield Server(process, f"127.0.0.1:{port}", version, fsync_before_acknowledgement=True, by=by)


def _rabbitmq_environment(folder: Path, port: int) -> Mapping[str, str]:
    for name in ("data", "logs"):
        (folder / name).mkdir()
    (folder / "plugins").write_text("[].\n")
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.file = false\n")
    # Below the ports the kernel gives away, apart from the listener's.
    distribution, mapper = free_port_beside(port), free_port_beside(port, 2)
    return _environment(folder) | {
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        # Without a shell between: what is killed at the end is the server.
        "RUNNING_UNDER_SYSTEMD": "true",
    }


def free_port_beside(port: int, place: int = 1) -> int:
    """Give the `place`-th free port above one that is taken for something else."""
    found = port
    for _ in range(place):
        found += 1
        while not _free(found):
            found += 1
    return found


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# --- both -----------------------------------------------------------------------------------------------------------


def _environment(folder: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(folder), "LANG": "C.UTF-8"}


def _listening(process: Process, port: int) -> None:
    def answers() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    process.wait_for(answers, "it listens", seconds=_BOOT_SECONDS)


def _output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
