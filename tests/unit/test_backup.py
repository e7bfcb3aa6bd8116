"""Backups of a data directory: what belongs to one, what is named and left out, and what is told from a whole one."""

from pathlib import Path

import pytest

from comity.errors import ConflictError, MalformedError, NotFoundError, StorageError
from comity_broker.backup import MANIFEST, STORE, LogState, copy_files, files_of, read_backup, take_backup
from comity_broker.presented import Presented, keep_presented, shard_of

FILES = ("broker.toml", "bundle.json", "certificate.pem", "cards/XAR.json", "keys/log-1.key", "last-signed/keys.signed")


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def taken(data, into, fail=False):
    def copy_store(part):
        (part / STORE).write_bytes(b"rows")
        if fail:
            raise StorageError("the disk is gone")
        return "11" * 16, [LogState("keys", 4, "ab" * 32)]

    given = {"broker": "XAR/hub", "version": "1", "now_ms": 7, "copy_store": copy_store}
    return take_backup(data, into, **given)


def test_a_backup_has_every_kind_and_names_what_it_leaves_out(data, tmp_path):
    (data / "notes.txt").write_text("mine")
    (data / "broker.lock").write_text("process 1")
    (data / "keys/.half.1234").write_text("on its way")
    manifest = taken(data, tmp_path / "backup")
    assert {one.path for one in manifest.files} == {STORE, *FILES}
    assert manifest.left_out == ["notes.txt"]
    assert read_backup(tmp_path / "backup") == manifest


def test_keys_go_along_as_they_are_encrypted_and_private(data, tmp_path):
    (data / "keys/log-1.key").chmod(0o644)
    taken(data, tmp_path / "backup")
    copied = tmp_path / "backup/keys/log-1.key"
    assert copied.read_bytes() == (data / "keys/log-1.key").read_bytes()
    assert (copied.stat().st_mode & 0o777, copied.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_attachments_that_are_whole_go_along(data, tmp_path):
    (data / "attachments").mkdir()
    (data / "attachments/ab").write_bytes(bytes(3 << 20))
    (data / "attachments/cd.part").write_bytes(bytes(1))
    manifest = taken(data, tmp_path / "backup")
    sizes = {one.path: one.size for one in manifest.files}
    assert sizes["attachments/ab"] == 3 << 20
    assert "attachments/cd.part" not in sizes
    assert manifest.left_out == []


def test_an_attachment_that_was_removed_since_it_was_listed_is_left_out_and_nothing_else_is(data, tmp_path):
    copy_files(data, tmp_path, [Path("attachments/ab"), Path("broker.toml")])
    assert not (tmp_path / "attachments/ab").exists()
    assert (tmp_path / "broker.toml").exists()
    with pytest.raises(FileNotFoundError):
        copy_files(data, tmp_path, [Path("keys/gone.key")])


def test_what_ended_half_way_is_no_backup(data, tmp_path):
    with pytest.raises(StorageError, match="disk is gone"):
        taken(data, tmp_path / "backup", fail=True)
    assert not (tmp_path / "backup").exists()
    with pytest.raises(NotFoundError, match="half of one"):
        read_backup(tmp_path / "backup.part")
    with pytest.raises(ConflictError, match="there already"):
        taken(data, tmp_path / "backup")


def test_a_data_directory_without_its_keys_is_none(data, tmp_path):
    (data / "bundle.json").unlink()
    with pytest.raises(NotFoundError, match="bundle"):
        taken(data, tmp_path / "backup")
    with pytest.raises(NotFoundError):
        files_of(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / STORE).write_bytes(b"rowz"), "store.sqlite"),
        (lambda folder: (folder / "keys/log-1.key").unlink(), "other files"),
        (lambda folder: (folder / "keys/more.key").write_bytes(b""), "other files"),
        (lambda folder: (folder / "cards/XAR.json").write_bytes(b"cards/XAR.jsom"), "not what its manifest says"),
    ],
)
def test_a_backup_that_is_not_what_it_says_is_refused(data, tmp_path, damage, words):
    taken(data, tmp_path / "backup")
    damage(tmp_path / "backup")
    with pytest.raises(StorageError, match=words):
        read_backup(tmp_path / "backup")


def test_a_manifest_that_does_not_read_is_refused(data, tmp_path):
    taken(data, tmp_path / "backup")
    (tmp_path / "backup" / MANIFEST).write_text("{}")
    with pytest.raises(MalformedError, match="does not read"):
        read_backup(tmp_path / "backup")


def note(origin, size):
    root = "A" * 43 + "="
    line = "\N{EM DASH} " + origin + " " + "A" * 92 + "\n"
    return f"{origin}\n{size}\n{root}\n\n{line}".encode()


def test_of_what_was_presented_the_longest_tree_is_kept(tmp_path):
    origin = "hub.xar.example/agreement/XAR-XBO-1/" + "00" * 16
    for size in (5, 9, 7):
        keep_presented(tmp_path, note(origin, size))
    assert Presented.of([tmp_path]).notes() == {"XAR-XBO-1": [note(origin, 9)]}
    later = origin.replace("00", "11")
    keep_presented(tmp_path, note(later, 2))
    assert Presented.of([tmp_path]).notes() == {"XAR-XBO-1": [note(later, 2)]}


@pytest.mark.parametrize(
    "name", ["", "weather", "agreement", "agreement/..", "agreement/a", "keys/more", "agreement/A/B"]
)
def test_a_name_that_is_no_log_of_a_broker_is_refused(name):
    with pytest.raises(MalformedError):
        shard_of(f"hub.xar.example/{name}/{'00' * 16}")


def test_a_name_without_an_incarnation_is_refused():
    with pytest.raises(MalformedError):
        shard_of("hub.xar.example/keys/00")
    assert shard_of(f"hub.xar.example/keys/{'00' * 16}") == "keys"
