"""What every store of uploaded ciphertexts keeps: nothing under a whole blob's name but all of it, whatever was killed where."""

import hashlib
import os

import pytest

from builders_blobs import BLOB_STORES, Killed, dies_at
from comity.errors import ErrorCode, StorageError
from comity_broker.storage.blobs import BlobPoint, blob_name

NAME = blob_name("XAR-XBO-1", "XAR/n1", bytes(48))
CONTENT = os.urandom(300_000)
DIGEST = hashlib.sha384(CONTENT).digest()


@pytest.fixture(params=BLOB_STORES)
def opened(request, tmp_path):
    """Opens a store of the data directory, as another process would."""
    return lambda **how: BLOB_STORES[request.param](tmp_path, **how)


def write(store, pieces=3):
    """Write what is missing of the blob, and finish it."""
    blob = store.begin(NAME)
    try:
        for start in range(blob.length, len(CONTENT), len(CONTENT) // pieces):
            blob.append([CONTENT[start : start + 999], CONTENT[start + 999 : start + len(CONTENT) // pieces]])
            blob.sync()
        assert (blob.length, blob.digest) == (len(CONTENT), DIGEST)
        blob.finish()
    finally:
        blob.close()


def read(store, offset=0):
    blob = store.open(NAME, offset)
    try:
        return b"".join(piece for block in iter(lambda: blob.read(70_000, 2), []) for piece in block)
    finally:
        blob.close()


def test_a_blob_is_read_as_it_was_written_from_any_offset(opened):
    write(opened())
    store = opened()
    assert read(store) == CONTENT
    assert read(store, 123_456) == CONTENT[123_456:]
    assert store.names() == {NAME}


def test_a_partial_blob_cannot_be_read_and_goes_on_in_another_process(opened):
    blob = opened().begin(NAME)
    blob.append([CONTENT[:1000]])
    blob.close()
    with pytest.raises(StorageError):
        read(opened())
    again = opened().begin(NAME)
    assert (again.length, again.digest) == (1000, hashlib.sha384(CONTENT[:1000]).digest())
    again.restart()
    assert again.length == 0
    again.close()
    write(opened())
    assert read(opened()) == CONTENT


@pytest.mark.parametrize(
    "point",
    [
        BlobPoint.APPENDED, BlobPoint.BEFORE_SYNC, BlobPoint.BEFORE_RENAME, BlobPoint.AFTER_RENAME, BlobPoint.AFTER_FINISH,
    ],
)  # fmt: skip
def test_whatever_is_killed_while_it_is_written_the_next_process_makes_it_whole(opened, point):
    with pytest.raises(Killed):
        write(opened(reach=dies_at(point)))
    store = opened()
    assert store.names() == {NAME}
    write(store)
    assert read(opened()) == CONTENT


@pytest.mark.parametrize("point", [BlobPoint.BEFORE_REMOVE, BlobPoint.AFTER_REMOVE])
def test_a_removal_that_was_killed_is_done_again(opened, point):
    write(opened())
    with pytest.raises(Killed):
        opened(reach=dies_at(point)).remove(NAME)
    opened().remove(NAME)
    opened().remove(NAME)
    assert opened().names() == frozenset()


def test_a_partial_blob_is_removed_too(opened):
    blob = opened().begin(NAME)
    blob.append([b"some"])
    blob.close()
    opened().remove(NAME)
    assert opened().names() == frozenset()


def test_a_whole_blob_is_never_begun_anew(opened):
    write(opened())
    blob = opened().begin(NAME)
    with pytest.raises(StorageError) as caught:
        blob.restart()
    assert caught.value.code is ErrorCode.STORAGE_FAILED
    blob.close()
    assert read(opened()) == CONTENT


def test_what_else_lies_there_is_given_as_it_is_called(opened, tmp_path):
    opened()
    (tmp_path / "attachments" / "notes.txt").write_bytes(b"")
    assert opened().names() == {"notes.txt"}


def test_uploads_of_two_nodes_or_agreements_never_share_a_name():
    names = {
        blob_name("A", "XAR/n1", bytes(48)),
        blob_name("A", "XAR/n2", bytes(48)),
        blob_name("B", "XAR/n1", bytes(48)),
        blob_name("A", "XAR/n1", bytes(47) + b"\x01"),
    }
    assert len(names) == 4
    assert all(len(one) == 96 and one.isalnum() for one in names)
