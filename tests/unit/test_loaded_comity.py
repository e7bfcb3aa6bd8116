"""A process that is forked from one that has loaded is what one that was started is: its own words, streams, signals and end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loaded_comity import program
from processes import COMITY, Process, ending, start, start_anew, status_of, until

TELLS = """\
import json, os, random, signal, sys
print(json.dumps({
    "argv": sys.argv, "environ": dict(os.environ), "folder": os.getcwd(), "name": __name__, "beside": sys.path[0],
    "open": len(os.listdir("/proc/self/fd")) - 1, "stdin": sys.stdin.read(), "random": random.random(), "pid": os.getpid(),
    "blocked": [*signal.pthread_sigmask(signal.SIG_BLOCK, [])], "int": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
}))
print("to standard error", file=sys.stderr)
sys.exit(7)
"""
WAITS = "import time\nprint('waiting')\ntime.sleep(600)\n"


@pytest.fixture
def begun(tmp_path):
    def begin(text: str, name: str, *words: str, **environ: str) -> Process:
        script = tmp_path / f"{name}.py"
        script.write_text(text)
        return start([sys.executable, script, *words], name, tmp_path, {"PYTHONUNBUFFERED": "1", **environ})

    return begin


def test_a_script_has_the_words_streams_and_environment_it_was_started_with_and_nothing_else(begun, tmp_path):
    with ending(begun(WAITS, "another")):
        one, other = begun(TELLS, "one", "a", "b c", LANG="C.UTF-8"), begun(TELLS, "other")
        assert (one.done(7), other.done(7)) == (7, 7)
    (told,), (told_other,) = one.records, other.records
    assert told["argv"] == [str(tmp_path / "one.py"), "a", "b c"]
    assert told["environ"] == {"PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8"}
    assert (told["folder"], told["beside"], told["name"]) == (str(tmp_path), str(tmp_path), "__main__")
    assert (told["open"], told["stdin"]) == (3, "")
    assert (told["blocked"], told["int"]) == ([], True)
    assert told["pid"] == one.pid
    assert told["random"] != told_other["random"]
    assert one.log.read_text() == "to standard error\n"


def test_a_command_says_what_the_shipped_program_says(tmp_path):
    environ = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "COMITY_HOME": str(tmp_path / "home")}
    words = [COMITY, "agreement", "check", tmp_path / "none.toml", "--json"]
    loaded, anew = start(words, "loaded", tmp_path, environ), start_anew(words, "anew", tmp_path, environ)
    codes = loaded.done(12, 14, 2), anew.done(12, 14, 2)
    assert codes[0] == codes[1]
    assert (loaded.out.read_text(), loaded.log.read_text()) == (anew.out.read_text(), anew.log.read_text())
    assert "none.toml" in loaded.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_its_end_is_told_as_that_of_a_child(begun, number):
    waiting = begun(WAITS, "waiting")
    waiting.wait_for(lambda: waiting.lines, "it waits")
    waiting.signal(number)
    assert waiting.done(-number) == -number
    assert status_of(waiting.pid) == {}


def test_a_signal_that_comes_at_once_is_not_lost(begun):
    for _ in range(5):
        waiting = begun(WAITS, "waiting")
        waiting.signal(signal.SIGINT)
        assert waiting.done(-signal.SIGINT) == -signal.SIGINT


def test_a_script_that_fails_ends_as_python_does(begun):
    failing = begun("raise ValueError('no such thing')\n", "failing")
    assert failing.done(1) == 1
    assert failing.log.read_text().rstrip().endswith("ValueError: no such thing")


def test_what_is_typed_has_the_codes_of_a_shell_and_ends_its_command_when_it_is_killed(tmp_path):
    comity = tmp_path / "comity"
    comity.write_text(program())
    comity.chmod(0o755)
    assert subprocess.run([comity, "no-such-command"], capture_output=True, check=False).returncode == 2
    assert b"comity" in subprocess.run([comity, "--version"], capture_output=True, check=True).stdout
    # It waits for the text of an agreement that never comes.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    words = [comity, "agreement", "check", fifo]
    typed = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with fifo.open("wb"):
        # Somebody reads: the command is there.
        typed.kill()
        typed.wait()
        until(lambda: not _readers(fifo), "the command to follow")


def _readers(fifo: Path) -> bool:
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
