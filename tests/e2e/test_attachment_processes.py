"""Attachments by the real commands: sent, killed at every turn, resumed, received once, and no process grows with their size."""

import json
import os
import sys
from pathlib import Path

import pytest

from processes import ending, start_anew
from world_files import WISHES, World, made_world

LAUNCHER = Path(__file__).parents[1] / "broker_launcher.py"
MIB = 1 << 20
GROWTH_KIB = 12 * 1024


@pytest.fixture
def world(tmp_path) -> World:
    made = made_world(tmp_path / "world")
    (tmp_path / "boats.txt").write_text("Two boats.")
    return made


def video(folder: Path, size: int = 24 * MIB, name: str = "video.mp4") -> Path:
    path = folder / name
    path.write_bytes(os.urandom(MIB) * (size // MIB))
    return path


def parts_of(world: World) -> list[Path]:
    return list((world.data / "attachments").glob("*.part"))


def bytes_there(paths) -> int:
    found = 0
    for path in paths:
        try:
            found += path.stat().st_size
        except FileNotFoundError:
            continue
    return found


def received_once(world: World, content: bytes) -> dict:
    """Check that the inbox holds one report with that attachment, and nothing half; give its description."""
    names = sorted(path.name for path in world.inbox.iterdir())
    assert len(names) == 3, names
    (described,) = [path for path in world.inbox.iterdir() if path.suffix == ".json"]
    description = json.loads(described.read_bytes())
    text, attached = description["portions"]
    assert (world.inbox / text["file"]).read_text() == "Two boats."
    assert (world.inbox / attached["file"]).read_bytes() == content
    assert (attached["file_name"], attached["bytes"]) == ("video.mp4", len(content))
    return description


def test_a_video_goes_with_a_report_and_comes_out_as_it_was(world, tmp_path):
    path = video(tmp_path)
    with ending(world.start_broker()):
        sending = world.send(tmp_path / "boats.txt", "--attach", path)
        sending.done()
        assert sending.records[-1]["recipients"] == [{"node": "XBO/n1", "portions": [1, 2]}]
        world.receive().done()
        description = received_once(world, path.read_bytes())
        assert description["withheld"] == []
        assert description["banner"].endswith("SECRET//REL TO XAR, XBO")
        again = world.receive()
        again.done()
        assert again.records == []


@pytest.mark.parametrize("point", ["appended:5", "before-rename:1", "after-rename:1", "after-finish:1"])
def test_a_broker_killed_while_it_takes_an_upload_goes_on_with_it(world, tmp_path, point):
    path = video(tmp_path)
    broker = world.start_broker(sys.executable, LAUNCHER, "--kill", point)
    sending = world.send(tmp_path / "boats.txt", "--attach", path)
    with ending(broker, sending):
        broker.done(-9)
        with ending(world.start_broker()):
            sending.done()
            world.receive().done()
            received_once(world, path.read_bytes())


def test_a_sender_killed_in_an_upload_goes_on_with_the_next_command(world, tmp_path):
    path = video(tmp_path)
    with ending(world.start_broker()):
        sending = world.send(tmp_path / "boats.txt", "--attach", path)
        sending.wait_for(lambda: bytes_there(parts_of(world)) > MIB, "the upload under way")
        sending.kill()
        assert sending.records == []
        resuming = world.start("XAR", "send", "--resume", "--as", "XAR/n1", "--json")
        resuming.done()
        assert resuming.records == [{"identity": "XAR/n1", "waiting": 0}]
        world.receive().done()
        received_once(world, path.read_bytes())
        assert parts_of(world) == []


def test_a_receiver_killed_in_a_download_goes_on_and_writes_one_file(world, tmp_path):
    path = video(tmp_path)
    with ending(world.start_broker()):
        world.send(tmp_path / "boats.txt", "--attach", path).done()
        spools = world.node_directory("XBO") / "attachments" / "default"
        receiving = world.receive()
        receiving.wait_for(lambda: bytes_there(spools.glob("*")) > MIB, "the download under way")
        receiving.kill()
        assert not list(world.inbox.glob("*.json"))
        assert not list(world.inbox.glob("[!.]*"))
        world.receive().done()
        received_once(world, path.read_bytes())
        assert list(spools.iterdir()) == []


def test_no_process_grows_with_the_size_of_an_attachment(world, tmp_path, capsys):
    world.begins = start_anew
    broker = world.start_broker()
    receiving = world.receive("--follow")
    peaks: list[dict[str, int]] = []
    with ending(broker, receiving):
        for size in (24, 120):
            sending, peak = world.send(tmp_path / "boats.txt", "--attach", video(tmp_path, size * MIB)), 0

            def sent(sending=sending):
                nonlocal peak
                peak = max(peak, sending.peak_kib)
                return sending.exit_code is not None

            broker.wait_for(sent, "the report sent", seconds=120)
            sending.done()
            count = len(peaks) + 1
            receiving.wait_for(lambda count=count: len(receiving.lines) == count, "the report received", seconds=120)
            peaks.append({"broker": broker.peak_kib, "sender": peak, "receiver": receiving.peak_kib})
    small, large = peaks
    with capsys.disabled():
        print(f"\npeak memory (KiB) with 24 and 120 MiB attached: {small}, {large}")
    assert {name: large[name] - small[name] for name in small if large[name] - small[name] > GROWTH_KIB} == {}


def test_what_makes_no_sense_with_attachments_is_said_before_anything_is_sent(world, tmp_path):
    machine = world.machine("XAR")
    path = video(tmp_path, MIB)
    about = ("--agreement", "XAR-XBO-1", "--as", "XAR/n1", *WISHES, "--json")
    for words, code in (
        (("send", str(tmp_path), "--attach", str(path), *about), "USAGE"),
        (("send", "--resume", str(path)), "USAGE"),
        (("send", "--as", "XAR/n1", *WISHES), "USAGE"),
        (("send", str(tmp_path / "boats.txt"), "--attach", str(tmp_path / "none.mp4"), *about), "FILE_UNKNOWN"),
    ):
        ran = machine.run(*words) if "--json" in words else machine.run(*words, "--json")
        assert ran.error["code"] == code, ran.err
