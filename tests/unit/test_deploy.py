"""The systemd unit: it is understood without a warning, and what it leaves open is little."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from required import require

REPOSITORY = Path(__file__).resolve().parents[2]
UNIT = REPOSITORY / "deploy/comity-broker.service"
ANALYZE = shutil.which("systemd-analyze")


@pytest.fixture
def analyze():
    require(
        "systemd", available=ANALYZE is not None, what_to_do="install systemd-analyze (Debian: apt install systemd)"
    )

    def run(*arguments):
        return subprocess.run([ANALYZE, *map(str, arguments)], capture_output=True, text=True, check=False)

    return run


def test_the_unit_is_understood_without_a_word(analyze, tmp_path):
    """The copy names an executable that is here, since a machine that runs tests has no /opt/comity."""
    copy = tmp_path / UNIT.name
    text, replaced = re.subn(
        r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert replaced == 1
    copy.write_text(text, encoding="utf-8")
    done = analyze("verify", "--man=no", copy)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_is_exposed_at_most_2_of_10(analyze):
    done = analyze("security", "--offline=true", "--threshold=20", "--no-pager", UNIT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "WatchdogSec=30",
        "DynamicUser=yes",
        "StateDirectory=comity",
        "StateDirectoryMode=0700",
        "LimitCORE=0",
        "LoadCredential=comity-passphrase:/etc/comity/passphrase",
        "ExecStart=/opt/comity/.venv/bin/comity broker run",
    ],
)
def test_the_unit_says(line):
    assert line in UNIT.read_text(encoding="utf-8").splitlines()


def test_a_stop_leaves_time_for_the_whole_drain():
    seconds = int(re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)[1])
    assert seconds > 20
