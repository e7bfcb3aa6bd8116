"""Three canaries (a portion's text, private keys, the passphrase) and the places where they must not sing."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from canary_search import forms, found_below, found_in, private_keys
from comity.node.files import write_file
from kill_brokers import numbered_directories
from processes import COMITY, ending, limits_of, start, start_anew
from required import require
from world_files import World, made_world

NOBODY = 65_534
IS_ROOT = os.geteuid() == 0
_CLEARLY_ANOTHER = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")
_AS_ANOTHER = (
    (*_CLEARLY_ANOTHER, "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search") if IS_ROOT else ()
)


@dataclass
class Sung:
    """A world in which a report went from end to end, its processes still running, and what must not be found."""

    world: World
    text: dict[str, bytes]
    secrets: dict[str, bytes]
    processes: dict[str, int]


@pytest.fixture(scope="module")
def sung(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("sung")
    world = made_world(tmp_path / "world", begins=start_anew)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    passphrase = world.passphrase_file.read_bytes().strip()
    secret = {"the passphrase": passphrase}
    for directory in world.path.rglob("ring.json"):
        secret |= private_keys(directory.parent, passphrase)
    word = f"canary {secrets.token_urlsafe(24)}"
    # Many reports, so that the sender is still there to be looked at when the first receipt has come.
    reports = next(numbered_directories(tmp_path / "reports", 3_000))
    (reports / "0.txt").write_text(f"Two boats, and a {word}, left at dawn.\n")
    broker = world.start_broker(TMPDIR=str(temporary))
    receiving = world.receive("--follow", TMPDIR=str(temporary))
    sending = world.send(reports, TMPDIR=str(temporary))
    with ending(broker, receiving, sending):
        sending.wait_for(lambda: sending.lines, "the first receipt")
        sending.signal(signal.SIGSTOP)
        assert sending.exit_code is None
        receiving.wait_for(
            lambda: any(found_in(path.read_bytes(), {"": word.encode()}) for path in world.inbox.glob("*.txt")), "it"
        )
        running = {"broker": broker.pid, "sender": sending.pid, "receiver": receiving.pid}
        yield Sung(world, {"the text": word.encode()}, secret, running)


def test_nothing_secret_lies_in_the_brokers_directory_the_logs_or_temporary_files(sung):
    looked_in = [sung.world.data, sung.world.logs, sung.world.path.parent / "temporary"]
    assert {path.name for path in sung.world.data.iterdir()} >= {
        "store.sqlite",
        "store.sqlite-wal",
        "keys",
        "last-signed",
    }
    assert found_below(looked_in, {**sung.secrets, **sung.text}) == []


def test_the_same_search_finds_the_text_where_it_belongs(sung):
    assert found_below([sung.world.inbox], sung.text) != []
    assert found_below([sung.world.inbox], sung.secrets) == []
    assert found_below([sung.world.path], {"the passphrase": sung.secrets["the passphrase"]}) == [
        f"the passphrase (raw) in {sung.world.passphrase_file}"
    ]


def test_nothing_secret_stands_in_the_arguments_of_a_process(sung):
    for pid in sung.processes.values():
        assert found_in(Path(f"/proc/{pid}/cmdline").read_bytes(), {**sung.secrets, **sung.text}) == []


def test_nothing_secret_stands_in_the_environment_of_a_process(sung):
    require("root", available=IS_ROOT, what_to_do="only root reads the environment of a sealed process")
    for pid in sung.processes.values():
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"COMITY_PASSPHRASE_FILE=" in environ
        assert found_in(environ, {**sung.secrets, **sung.text}) == []


@pytest.mark.parametrize("name", ["broker", "sender", "receiver"])
def test_no_process_that_holds_keys_can_leave_a_core(sung, name):
    assert limits_of(sung.processes[name])["Max core file size"] == ("0", "0")


def test_another_process_of_the_same_user_cannot_look_into_a_broker(tmp_path):
    """Undumpable is seen from outside only by somebody who is not root: /proc/PID belongs to root then.

    Under root all of it runs as another user, who keeps one right, to read any file: the interpreter may lie where only root goes.
    """
    if IS_ROOT:
        require("setpriv", available=shutil.which("setpriv") is not None, what_to_do="install util-linux")
    with _open_place() as place:
        world = made_world(place / "world", begins=start_anew)
        if IS_ROOT:
            _give(place, NOBODY)
        broker = world.start_broker(*_AS_ANOTHER, COMITY, "broker", "run")
        plain = start([*_AS_ANOTHER, "sleep", "600"], "plain", tmp_path, {"PATH": os.environ["PATH"]})
        with ending(broker, plain):
            uid = str(NOBODY if IS_ROOT else os.geteuid())
            plain.wait_for(lambda: plain.status["Name"] == "sleep", "it is what it is to be")
            assert {broker.status["Uid"].split()[0], plain.status["Uid"].split()[0]} == {uid}
            assert _reads_environment(plain.pid), "the test itself must be able to read another process of this user"
            assert not _reads_environment(broker.pid)


def test_the_search_finds_a_secret_in_every_form_and_at_every_place(tmp_path):
    secret = secrets.token_bytes(32)
    for before in range(4):
        around = bytes(before) + secret + b"and more"
        for leaked in (
            around,
            base64.b64encode(around),
            base64.urlsafe_b64encode(around),
            base64.encodebytes(around * 3),
            around.hex().encode(),
            around.hex().upper().encode(),
            around.hex().encode("utf-16-le"),
            base64.b64encode(around).decode().encode("utf-16-be"),
        ):
            assert found_in(b"......" + leaked + b"......", {"it": secret}), leaked
    assert found_in("two boats at dawn".encode("utf-16"), {"it": b"two boats at dawn"})
    assert found_in(secrets.token_bytes(1 << 16), {"it": secret}) == []
    assert all(len(needle) >= 12 for needle in forms(secret).values())
    write_file(tmp_path / ".hidden" / "x", b"--" + secret)
    assert len(found_below([tmp_path], {"it": secret})) == 1


# --- another user ---------------------------------------------------------------------------------------------------


@contextmanager
def _open_place():
    """A directory that any user may enter: pytest's own are closed to others."""
    place = Path(tempfile.mkdtemp(prefix="comity-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _give(place: Path, user: int) -> None:
    for path in (place, *place.rglob("*")):
        os.chown(path, user, user)


def _reads_environment(pid: int) -> bool:
    words = [*_AS_ANOTHER, "cat", f"/proc/{pid}/environ"]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 0 or b"ermission denied" in done.stderr, done.stderr
    return done.returncode == 0
