"""Blobs as files: what is on disk before what, and that nothing else than files of its own is read or written."""

import hashlib

import pytest

from builders_blobs import flushes
from comity.errors import StorageError
from comity_broker.storage.blob_directory import FOLDER, BlobDirectory
from comity_broker.storage.blobs import blob_name

NAME = blob_name("XAR-XBO-1", "XAR/n1", bytes(48))


def test_bytes_are_on_disk_before_their_name_and_names_before_they_count(tmp_path, monkeypatch):
    events = []
    flushes(monkeypatch, events)
    store = BlobDirectory(tmp_path, reach=lambda point: events.append(f"<{point}>"))
    blob = store.begin(NAME)
    blob.append([b"sealed"])
    blob.sync()
    blob.finish()
    blob.finish()
    blob.close()
    part = f"{NAME}.part"
    finished = ["<before-sync>", part, "<before-rename>", "<after-rename>", FOLDER, "<after-finish>"]
    # A second time: the process that renamed it may have died before the directory was flushed.
    assert events == ["<appended>", "<before-sync>", part, *finished, FOLDER, "<after-finish>"]
    events.clear()
    store.remove(NAME)
    assert events == ["<before-remove>", FOLDER, "<after-remove>"]


def test_what_is_dropped_is_dropped_on_disk_and_hashed_no_more(tmp_path, monkeypatch):
    events = []
    flushes(monkeypatch, events)
    blob = BlobDirectory(tmp_path).begin(NAME)
    blob.append([b"garbled"])
    blob.restart()
    assert events == [f"{NAME}.part"]
    blob.append([b"right"])
    blob.finish()
    assert (blob.length, blob.digest) == (5, hashlib.sha384(b"right").digest())
    blob.close()
    assert (tmp_path / FOLDER / NAME).read_bytes() == b"right"


def test_blobs_are_the_brokers_alone(tmp_path):
    store = BlobDirectory(tmp_path)
    store.begin(NAME).close()
    assert (tmp_path / FOLDER).stat().st_mode & 0o777 == 0o700
    assert (tmp_path / FOLDER / f"{NAME}.part").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("suffix", [".part", ""])
def test_a_link_in_the_place_of_a_blob_is_not_followed(tmp_path, suffix):
    store, other = BlobDirectory(tmp_path), tmp_path / "other"
    other.write_bytes(b"of somebody else")
    (tmp_path / FOLDER / f"{NAME}{suffix}").symlink_to(other)
    with pytest.raises(StorageError):
        store.begin(NAME)
    with pytest.raises(StorageError):
        store.open(NAME, 0)
    assert other.read_bytes() == b"of somebody else"
