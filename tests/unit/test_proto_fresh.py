"""The generated code is that of the protocol files, and the protocol breaks nobody who relied on the baseline."""

import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).parent / "buf"


def generator(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REPOSITORY / "proto/generate.py", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_generated_code_is_that_of_the_protocol_files():
    done = generator("--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_changed_protocol_file_and_a_leftover_are_named_as_stale_and_mended(tmp_path):
    proto, client = tmp_path / "proto", tmp_path / "client"
    shutil.copytree(REPOSITORY / "proto/comity", proto / "comity")
    shutil.copytree(REPOSITORY / "client/comity/v1", client / "comity/v1")
    changed = proto / "comity/v1/errors.proto"
    changed.write_text(changed.read_text(encoding="utf-8") + "\nmessage Added {}\n", encoding="utf-8")
    (client / "comity/v1/gone_pb2.py").touch()
    where = ("--proto", str(proto), "--client", str(client))
    found = generator("--check", *where)
    assert found.returncode == 1
    assert "errors_pb2.py" in found.stderr
    assert "gone_pb2.py" in found.stderr
    assert generator(*where).returncode == 0
    assert generator("--check", *where).returncode == 0


def buf(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_a_removed_field_breaks_against_the_baseline(tmp_path):
    shutil.copytree(REPOSITORY / "proto/comity", tmp_path / "proto/comity")
    shutil.copy(REPOSITORY / "buf.yaml", tmp_path)
    baseline = REPOSITORY / "proto/comity-v1.binpb"
    assert buf("breaking", "--against", str(baseline), folder=tmp_path).stdout == ""
    errors = tmp_path / "proto/comity/v1/errors.proto"
    text = errors.read_text(encoding="utf-8")
    assert "ERROR_CODE_REPLAYED = 403;" in text
    errors.write_text(text.replace("ERROR_CODE_REPLAYED = 403;", "ERROR_CODE_REPLAYED_AGAIN = 403;"), encoding="utf-8")
    assert "ERROR_CODE_REPLAYED" in buf("breaking", "--against", str(baseline), folder=tmp_path).stdout
