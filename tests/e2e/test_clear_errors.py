"""What goes wrong in daily use: each gets one clear line, the exit code that design 01 gives it, and loses nothing."""

import asyncio
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import comity
from comity.errors import ComityError, ErrorCode, KeyFault
from comity.identity.names import Identity, IdentityKind
from processes import ending, free_port, until
from world_files import AGREEMENT, MARKING, PURPOSE, WISHES, made_world

DAY = 86_400_000
PAGE = 16_384
HUB_DATABASE = "store.sqlite"
LAUNCHER = (sys.executable, Path(__file__).parents[1] / "broker_launcher.py")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = made_world(tmp_path_factory.mktemp("world"))
    with ending(made.start_broker()):
        yield made


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "report.txt"
    path.write_text("two boats")
    return str(path)


def send(world, report, *more):
    return world.machine("XAR").run(
        "send", report, "--as", "XAR/n1", "--agreement", AGREEMENT, "--json", *WISHES, *more
    )


def one_line(ran) -> dict:
    """Give the error; it stands alone on standard error and says what to do."""
    assert len(ran.err.splitlines()) == 1
    error = ran.error
    assert error["message"]
    assert error["what_to_do"]
    assert "Traceback" not in ran.err
    return error


def test_a_wrong_passphrase(world, report, tmp_path):
    wrong = tmp_path / "passphrase"
    wrong.touch(0o600)
    wrong.write_text("five words\n")
    machine = replace(world.machine("XAR"), passphrase_file=wrong)
    ran = machine.run("send", report, "--as", "XAR/n1", "--agreement", AGREEMENT, "--json", *WISHES)
    assert (ran.code, one_line(ran)["code"]) == (16, "PASSPHRASE_WRONG")
    assert "five words" not in ran.err


def test_a_broker_of_another_authority(world, report):
    """The profile says that XBO operates the hub: only a certificate of XBO's authority would do, and there is none."""
    place = world.machine("XAR").home.locate("XAR/n1")
    before = place.profile
    place.write_profile(replace(before, broker=Identity("XBO", IdentityKind.BROKER, "hub")))
    try:
        ran = send(world, report)
    finally:
        place.write_profile(before)
    assert ran.code == 16, ran.err
    assert "certificate" in one_line(ran)["message"]


def test_an_expired_certificate_and_a_clock_that_is_off_by_more_than_its_validity(world):
    async def connect_at(offset_ms):
        machine = world.machine("XAR")
        async with comity.connect(
            identity="XAR/n1",
            home=machine.path,
            passphrase_file=machine.passphrase_file,
            now_ms=lambda: time.time_ns() // 1_000_000 + offset_ms,
        ):
            pass

    for offset, code in ((200 * DAY, ErrorCode.CERTIFICATE_EXPIRED), (-1 * DAY, ErrorCode.CLOCK_WINDOW)):
        with pytest.raises(KeyFault) as caught:
            asyncio.run(connect_at(offset))
        assert caught.value.code is code
        assert caught.value.exit_code == 16
        assert caught.value.what_to_do


def test_a_clock_that_is_a_day_ahead_has_its_reports_refused_by_the_clause(world):
    async def send_at(offset_ms):
        machine = world.machine("XAR")
        async with comity.connect(
            identity="XAR/n1",
            home=machine.path,
            passphrase_file=machine.passphrase_file,
            now_ms=lambda: time.time_ns() // 1_000_000 + offset_ms,
        ) as node:
            report = comity.Report.text("late", marking=MARKING, categories=["terrorism"], purpose=PURPOSE)
            await node.send(report, agreement=AGREEMENT)

    with pytest.raises(ComityError) as caught:
        asyncio.run(send_at(DAY))
    assert caught.value.exit_code in {10, 16}
    assert caught.value.message


def test_a_broker_that_cannot_be_reached(world, report):
    ran = send(world, report, "--broker", f"127.0.0.1:{free_port()}")
    assert (ran.code, one_line(ran)["code"]) == (17, "UNREACHABLE")


def test_what_could_not_be_sent_is_sent_by_the_next_command(tmp_path):
    """The broker dies with a sealed report in its hands and whoever sends gives up: the next `send` takes it along, once.

    (Whoever waits is told by exit code 17 after half a minute: `test_sdk_recovery.py` has that patience made short.)
    """
    world = made_world(tmp_path / "world")
    kept, now = tmp_path / "kept.txt", tmp_path / "now.txt"
    kept.write_text("kept for later")
    now.write_text("sent at once")
    with ending(world.start_broker(*LAUNCHER, "--kill", "before-commit:1", "--in-flight", "1")) as (broker,):
        sending = world.send(kept)
        until(lambda: broker.exit_code is not None, "the broker to die before it commits the report")
        sending.signal(signal.SIGINT)
        sending.done(130)
    assert sending.lines == [], "nobody was told that it is sent"

    with ending(world.start_broker()):
        receipt = send(world, str(now)).records[-1]
        assert receipt["origin_sequence"] == 2, "what was in the outbox has the number before"
        assert world.receive().done() == 0
        assert sorted(path.read_text() for path in world.inbox.glob("*.txt")) == ["kept for later", "sent at once"]
        again = world.receive()
        assert again.done() == 0
        assert again.lines == []


def test_an_unknown_agreement(world, report):
    ran = world.machine("XAR").run("send", report, "--as", "XAR/n1", "--agreement", "XAR-XBO-9", "--json", *WISHES)
    assert (ran.code, one_line(ran)["code"]) == (12, "AGREEMENT_UNKNOWN")


@pytest.mark.parametrize(
    ("name", "content"),
    [("broken.report.toml", "not toml ["), ("empty.report.toml", ""), ("odd.report.toml", 'surprise = "x"\n')],
)
def test_a_malformed_report(world, tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    ran = world.machine("XAR").run("send", str(path), "--as", "XAR/n1", "--agreement", AGREEMENT, "--json")
    assert ran.code == 14, ran.err
    one_line(ran)


def test_a_full_disk_on_the_senders_machine(world, tmp_path):
    """No file of the process may grow past 64 KiB, which is what a full disk does to an outbox."""
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(400_000))
    machine = world.machine("XAR")
    words = ["send", str(path), "--as", "XAR/n1", "--agreement", AGREEMENT, "--json", *WISHES]
    options = ["--home", str(machine.path), "--passphrase-file", str(machine.passphrase_file)]
    limited = ["bash", "-c", 'ulimit -f 64; exec "$@"', "limited", sys.executable, "-m", "comity.cli"]
    done = subprocess.run([*limited, *words, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 18, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert send(world, str(path)).code == 0


def refused_start(world):
    """Start a broker that must not come up; give its exit code and its error."""
    broker = world.start("XAR", "broker", "run", "--data", world.data, "--listen", "127.0.0.1:0", "--json")
    with ending(broker):
        code = until(lambda: broker.exit_code, "the broker refuses to start")
    return code, broker.tail


def test_a_damaged_database_is_refused_and_never_repaired(tmp_path):
    world = made_world(tmp_path / "world")
    database = world.data / HUB_DATABASE
    data = bytearray(database.read_bytes())
    # In the middle of a page of every table's tree.
    for page in range(1, len(data) // PAGE):
        data[PAGE * page : PAGE * page + 64] = bytes(64)
    database.write_bytes(data)
    code, said = refused_start(world)
    assert code == 18, said
    assert "Traceback" not in said
    assert database.read_bytes() == bytes(data)


def test_a_second_broker_on_one_data_directory(world):
    code, said = refused_start(world)
    assert code == 13, said
    assert "LOCKED" in said
