"""Where a passphrase comes from: files that nobody else can read, else the terminal; never a value others can see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builders_identity import fails
from comity.errors import ErrorCode, NotFoundError, UsageError
from comity.keys.passphrase import find_passphrase, new_passphrase


def secret_file(path: Path, data: bytes = b"from a file\n", mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def never() -> str:
    raise AssertionError("the terminal was asked")


def test_the_sources_are_asked_in_order(tmp_path):
    (tmp_path / "credentials").mkdir()
    named = secret_file(tmp_path / "named", b"argument")
    credential = secret_file(tmp_path / "credentials" / "comity-passphrase", b"credential")
    variable = secret_file(tmp_path / "variable", b"variable")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"), "COMITY_PASSPHRASE_FILE": str(variable)}

    def found(file: Path | None = None, ask=never) -> bytes:
        return find_passphrase(file=file, environ=environ, ask=ask)

    assert found(named) == b"argument"
    assert found() == b"credential"
    credential.unlink()
    assert found() == b"variable"
    del environ["COMITY_PASSPHRASE_FILE"]
    assert found(ask=lambda: "typed") == b"typed"


def test_no_value_of_the_environment_is_a_passphrase():
    environ = {"COMITY_PASSPHRASE": "x", "PASSPHRASE": "x"}
    with pytest.raises(UsageError):
        find_passphrase(file=None, environ=environ, ask=None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_passphrase_that_others_can_read_is_refused(tmp_path, mode):
    path = secret_file(tmp_path / "passphrase", mode=mode)
    environ = {"COMITY_PASSPHRASE_FILE": str(path)}
    fails(lambda: find_passphrase(file=path, environ={}, ask=never), ErrorCode.KEY_FILE_UNSAFE)
    fails(lambda: find_passphrase(file=None, environ=environ, ask=never), ErrorCode.KEY_FILE_UNSAFE)


def test_a_passphrase_of_another_user_is_refused(tmp_path, monkeypatch):
    path = secret_file(tmp_path / "passphrase")
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    fails(lambda: find_passphrase(file=path, environ={}, ask=never), ErrorCode.KEY_FILE_UNSAFE)


def test_systemd_gives_a_credential_by_an_access_list_of_root(tmp_path):
    path = secret_file(tmp_path / "comity-passphrase", b"credential", mode=0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    if path.stat().st_uid == 0:
        assert find_passphrase(file=None, environ=environ, ask=never) == b"credential"
        path.chmod(0o444)
    fails(lambda: find_passphrase(file=None, environ=environ, ask=never), ErrorCode.KEY_FILE_UNSAFE)


@pytest.mark.parametrize(
    ("data", "passphrase"), [(b"a b", b"a b"), (b"a\n", b"a"), (b"a\r\n", b"a"), (b"a\n\n", b"a\n"), (b" a ", b" a ")]
)
def test_one_line_end_is_not_part_of_a_passphrase(tmp_path, data, passphrase):
    path = secret_file(tmp_path / "passphrase", data)
    assert find_passphrase(file=path, environ={}, ask=never) == passphrase


@pytest.mark.parametrize("data", [b"", b"\n", b"x" * 1025, b"x" * (1 << 20)])
def test_an_empty_or_endless_file_is_no_passphrase(tmp_path, data):
    path = secret_file(tmp_path / "passphrase", data)
    with pytest.raises(UsageError):
        find_passphrase(file=path, environ={}, ask=never)


def test_a_passphrase_file_that_is_missing_or_a_directory_says_so(tmp_path):
    with pytest.raises(NotFoundError):
        find_passphrase(file=tmp_path / "none", environ={}, ask=never)
    fails(lambda: find_passphrase(file=tmp_path, environ={}, ask=never), ErrorCode.KEY_FILE_UNSAFE)


def test_a_mounted_secret_is_a_link_and_a_pipe_works(tmp_path):
    (tmp_path / "link").symlink_to(secret_file(tmp_path / "passphrase", b"mounted"))
    assert find_passphrase(file=tmp_path / "link", environ={}, ask=never) == b"mounted"
    reading, writing = os.pipe()
    os.write(writing, b"piped\n")
    os.close(writing)
    assert find_passphrase(file=Path(f"/dev/fd/{reading}"), environ={}, ask=never) == b"piped"
    os.close(reading)


def test_a_new_passphrase_is_typed_twice(tmp_path):
    answers = iter(["one", "one", "one", "two"])
    assert new_passphrase(file=None, environ={}, ask=lambda: next(answers)) == b"one"
    with pytest.raises(UsageError):
        new_passphrase(file=None, environ={}, ask=lambda: next(answers))
    path = secret_file(tmp_path / "passphrase", b"filed")
    assert new_passphrase(file=path, environ={}, ask=never) == b"filed"
