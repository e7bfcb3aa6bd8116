"""An attachment as it arrives: whole under its name or nowhere, and nothing of it known to anybody before it is checked."""

import hashlib
import os

import pytest

from builders_blobs import flushes
from builders_engine import PROFILE
from comity.attachment import Into
from comity.envelope import chunked
from comity.envelope.core import core_hash
from comity.envelope.open import UploadedPortion
from comity.envelope.reasons import RejectReason
from comity.envelope.uploads import UploadSealer
from comity.errors import ConflictError, ErrorCode, RejectedError, StorageError, UsageError
from comity.node import flushing
from comity.node.arriving import Arriving
from comity.node.spool import Spool

CORE = b"a core"
CONTENT = os.urandom(700_000)
MARKING = PROFILE.portions[0]


@pytest.fixture(scope="module")
def sealed():
    """The portion as its reader has it, and its ciphertext."""
    header = {"file_name": "boats.mp4", "media_type": "video/mp4", "title": ""}
    sealer = UploadSealer(CORE, 0, header, length=len(CONTENT))
    ciphertext = b"".join(sealer.encrypt([CONTENT]))
    return portion_of(sealer.portion.content_key, ciphertext), ciphertext


def portion_of(content_key, ciphertext):
    context = chunked.portion_context(core_hash(CORE), 0)
    return UploadedPortion(0, hashlib.sha384(ciphertext).digest(), len(ciphertext), content_key, context)


@pytest.fixture
def arriving(tmp_path, sealed):
    """Begins the arrival of a portion, as another process would; everything is closed at the end."""
    opened = []

    def begin(where, portion=sealed[0]):
        spool = Spool(tmp_path / "spool", portion.digest, 1)
        opened.append((spool, one := Arriving(portion, MARKING, spool, where)))
        one.begin()
        return one

    yield begin
    for spool, one in opened:
        one.close()
        spool.__exit__()


def asked_never(_):
    raise AssertionError("what it is called was asked before it was checked")


def files(folder):
    return sorted(one.name for one in folder.rglob("*") if one.is_file())


def test_it_gets_its_name_when_all_of_it_is_checked_and_none_before(tmp_path, sealed, arriving):
    one, (_, ciphertext) = arriving(tmp_path / "in" / "a"), sealed
    one.take([ciphertext[:100_000], ciphertext[100_000:600_000]])
    assert (one.length, one.is_right()) == (600_000, False)
    assert not (tmp_path / "in" / "a").exists()
    one.take([ciphertext[600_000:]])
    assert one.is_right()
    assert not (tmp_path / "in" / "a").exists()
    saved = one.finish()
    assert (saved.path, saved.new, saved.portion.file_name) == (tmp_path / "in" / "a", True, "boats.mp4")
    assert saved.portion.length == len(CONTENT)
    assert saved.path.read_bytes() == CONTENT
    one.close()
    assert files(tmp_path) == ["a"]


def test_two_who_save_the_same_at_once_do_not_spoil_it_for_each_other(tmp_path, sealed):
    """As whoever reads again beside whoever receives: each opens what itself hashed, whatever the other adds to the spool."""
    portion, ciphertext = sealed
    with Spool(tmp_path / "spool", portion.digest, 1) as mine:
        first = Arriving(portion, MARKING, mine, tmp_path / "one" / "a")
        first.begin()
        first.take([ciphertext[:300_000]])
        with Spool(tmp_path / "spool", portion.digest, 1) as other:
            second = Arriving(portion, MARKING, other, tmp_path / "two" / "a")
            first.take([ciphertext[300_000:600_000]])
            second.begin()
            second.take([ciphertext[second.length :]])
            first.take([ciphertext[600_000:]])
            for one in (second, first):
                assert one.finish().path.read_bytes() == CONTENT
                one.close()
    assert files(tmp_path) == ["a", "a"]


@pytest.mark.parametrize("at", [0, 30, 60, 400_000, -1])
def test_of_what_is_not_what_was_signed_nothing_is_known(tmp_path, sealed, arriving, at):
    one, ciphertext = arriving(Into(tmp_path / "in", asked_never)), bytearray(sealed[1])
    ciphertext[at] ^= 1
    one.take([bytes(ciphertext)])
    with pytest.raises(RejectedError) as caught:
        one.finish()
    assert caught.value.reason is RejectReason.UPLOAD_DIGEST
    one.close()
    assert files(tmp_path) == []


def test_what_opens_whole_and_has_another_digest_is_of_somebody_else(tmp_path, sealed, arriving):
    key = sealed[0]._content_key
    signed = UploadedPortion(0, bytes(48), len(sealed[1]), key, sealed[0]._context)
    one = arriving(Into(tmp_path / "in", asked_never), signed)
    one.take([sealed[1]])
    with pytest.raises(RejectedError) as caught:
        one.finish()
    assert caught.value.reason is RejectReason.UPLOAD_DIGEST
    one.close()
    assert files(tmp_path) == []


@pytest.mark.parametrize("change", [lambda text: text[:-100], lambda text: text[:300_000] + b"x" + text[300_001:]])
def test_what_was_signed_and_does_not_open_is_the_senders_fault(tmp_path, sealed, arriving, change):
    ciphertext = change(sealed[1])
    one = arriving(Into(tmp_path / "in", asked_never), portion_of(sealed[0]._content_key, ciphertext))
    one.take([ciphertext])
    with pytest.raises(RejectedError) as caught:
        one.finish()
    assert caught.value.reason is RejectReason.UPLOAD_UNREADABLE
    one.close()
    assert files(tmp_path) == []


def test_what_ends_early_gets_no_name_however_much_of_it_opened(tmp_path, sealed, arriving):
    one = arriving(Into(tmp_path / "in", asked_never))
    one.take([sealed[1][:-1]])
    with pytest.raises(RejectedError):
        one.finish()
    one.close()
    assert files(tmp_path) == []


def test_the_next_process_goes_on_and_takes_up_what_a_killed_one_was_writing(tmp_path, sealed, arriving):
    first, ciphertext = arriving(tmp_path / "in" / "a"), sealed[1]
    first.take([ciphertext[:500_000]])
    first.close()
    (tmp_path / "in" / ".a.partial").write_bytes(os.urandom(900_000))
    second = arriving(tmp_path / "in" / "a")
    assert second.length == 500_000
    second.take([ciphertext[500_000:]])
    assert second.finish().path.read_bytes() == CONTENT
    second.close()
    assert files(tmp_path) == ["a"]


def test_what_was_kept_garbled_begins_anew(tmp_path, sealed, arriving):
    first = arriving(tmp_path / "in" / "a")
    first.take([bytes(500_000)])
    first.close()
    second = arriving(tmp_path / "in" / "a")
    second.take([sealed[1][500_000:]])
    assert not second.is_right()
    second.restart()
    second.take([sealed[1]])
    assert second.finish().path.read_bytes() == CONTENT


def test_two_processes_never_write_one_file(tmp_path, arriving):
    arriving(tmp_path / "in" / "a")
    with pytest.raises(ConflictError) as caught:
        arriving(tmp_path / "in" / "a")
    assert caught.value.code is ErrorCode.LOCKED
    arriving(tmp_path / "in" / "b")


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "/etc/a", "a\x00b"])
def test_a_name_out_of_the_attachment_leads_nowhere_else(tmp_path, sealed, arriving, name):
    one = arriving(Into(tmp_path / "in", lambda _: name))
    one.take([sealed[1]])
    with pytest.raises(UsageError):
        one.finish()
    one.close()
    # What came can be saved under another name without coming again.
    again = arriving(Into(tmp_path / "in", lambda portion: portion.file_name))
    assert again.length == len(sealed[1])
    assert again.finish().path == tmp_path / "in" / "boats.mp4"


def test_nothing_counts_as_saved_that_the_disk_did_not_take(tmp_path, sealed, arriving, monkeypatch):
    one = arriving(tmp_path / "in" / "a")
    one.take([sealed[1]])

    def no(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(flushing.os, "fsync", no)
    with pytest.raises(StorageError):
        one.finish()
    monkeypatch.undo()
    one.close()
    assert not list((tmp_path / "in").iterdir())
    assert arriving(tmp_path / "in" / "a").length == len(sealed[1])


def test_content_is_on_disk_before_its_name_and_its_name_before_it_counts_as_saved(
    tmp_path, sealed, arriving, monkeypatch
):
    one, events = arriving(tmp_path / "in" / "a"), []
    one.take([sealed[1]])
    flushes(monkeypatch, events)
    assert one.finish().new
    assert events == [".a.partial", "in"]
    monkeypatch.undo()
    assert (tmp_path / "in" / "a").stat().st_mode & 0o777 == 0o600


def test_what_does_not_open_leaves_no_plaintext_while_the_rest_comes(tmp_path, sealed, arriving):
    one, ciphertext = arriving(tmp_path / "in" / "a"), sealed[1]
    one.take([ciphertext[:300_000]])
    assert (tmp_path / "in" / ".a.partial").stat().st_size > 0
    one.take([bytes(100_000)])
    assert (tmp_path / "in" / ".a.partial").stat().st_size == 0


@pytest.mark.parametrize("there", ["same size", "link", "folder"])
def test_what_is_there_is_another_file_unless_it_has_the_same_content(tmp_path, sealed, arriving, there):
    path, other = tmp_path / "in" / "a", tmp_path / "other"
    other.write_bytes(CONTENT)
    path.parent.mkdir()
    if there == "link":
        path.symlink_to(other)
    elif there == "folder":
        path.mkdir()
    else:
        path.write_bytes(bytes(len(CONTENT)))
    one = arriving(path)
    one.take([sealed[1]])
    with pytest.raises(ConflictError) as caught:
        one.finish()
    assert caught.value.code is ErrorCode.FILE_EXISTS
    assert other.read_bytes() == CONTENT


def test_a_link_in_the_place_of_the_hidden_file_is_not_followed(tmp_path, arriving):
    (tmp_path / "other").write_bytes(b"of somebody else")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ".a.partial").symlink_to(tmp_path / "other")
    with pytest.raises(StorageError):
        arriving(tmp_path / "in" / "a")
    assert (tmp_path / "other").read_bytes() == b"of somebody else"


def test_a_link_in_the_place_of_a_spool_is_not_followed(tmp_path, sealed):
    (tmp_path / "other").write_bytes(b"of somebody else")
    Spool(tmp_path, sealed[0].digest, 1).__exit__()
    (spool,) = tmp_path.glob("1-*")
    spool.unlink()
    spool.symlink_to(tmp_path / "other")
    with pytest.raises(StorageError):
        Spool(tmp_path, sealed[0].digest, 1)
