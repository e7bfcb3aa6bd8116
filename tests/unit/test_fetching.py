"""Fetching an attachment from a broker that says what a test has it say: whole in the end, or an error, and never an endless wait."""

import asyncio
import os
import threading

import pytest

from builders_engine import PROFILE
from comity.envelope import chunked
from comity.envelope.core import core_hash
from comity.envelope.open import UploadedPortion
from comity.envelope.reasons import RejectReason
from comity.envelope.uploads import UploadSealer
from comity.errors import ErrorCode, MalformedError, RejectedError, StorageError, UnreachableError
from comity.node import spool
from comity.node.fetching import Fetchable, Fetching
from comity.v1 import attachments_pb2

CORE = b"a core"
CONTENT = os.urandom(700_000)
NOW = 1_000_000


@pytest.fixture(scope="module")
def sealed():
    sealer = UploadSealer(
        CORE, 0, {"file_name": "a.bin", "media_type": "application/octet-stream"}, length=len(CONTENT)
    )
    ciphertext = b"".join(sealer.encrypt([CONTENT]))
    made = sealer.portion
    context = chunked.portion_context(core_hash(CORE), 0)
    portion = UploadedPortion(0, made.digest, made.length, made.content_key, context)
    return Fetchable("XAR-XBO-1", bytes(16), NOW + 1, portion, PROFILE.portions[0]), ciphertext


class Broker:
    """A connection whose downloads are scripted: what each gives, piece by piece, and an error that ends it."""

    def __init__(self, *streams):
        self.attachments = self
        self.streams = list(streams)
        self.offsets = []

    def Download(self, request):
        self.offsets.append(request.offset)
        return Stream(self.streams.pop(0))


class Stream:
    def __init__(self, gives):
        self.gives = list(gives)

    async def read(self):
        await asyncio.sleep(0)
        if not self.gives:
            return None
        one = self.gives.pop(0)
        if isinstance(one, Exception):
            raise one
        return attachments_pb2.DownloadResponse(piece=one)

    def cancel(self):
        self.gives = []


def fetching(tmp_path, broker):
    # No jitter: who comes again does so at once.
    return Fetching(tmp_path / "spools", broker, now_ms=lambda: NOW, random_bytes=bytes)


def left(tmp_path):
    return sorted(one.name for one in tmp_path.rglob("*") if one.is_file())


async def test_what_is_cut_goes_on_where_it_ended(tmp_path, sealed):
    what, ciphertext = sealed
    gone = UnreachableError("gone")
    broker = Broker([ciphertext[:100_000], gone], [gone], [ciphertext[100_000:400_000]], [ciphertext[400_000:]])
    saved = await fetching(tmp_path, broker).attachment(what).save(tmp_path / "a")
    assert broker.offsets == [0, 100_000, 100_000, 400_000]
    assert saved.path.read_bytes() == CONTENT
    assert left(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "gives", [[b""], [b"x" * 1000, b""], [bytes(800_000), b"x"], [b"x" * 10_000_000]], ids=["0", "then 0", "1", "much"]
)
async def test_more_than_there_is_and_nothing_again_and_again_end_it(tmp_path, sealed, gives):
    what, _ = sealed
    broker = Broker(gives)
    with pytest.raises((MalformedError, RejectedError)) as caught:
        await fetching(tmp_path, broker).attachment(what).save(tmp_path / "a")
    assert isinstance(caught.value, MalformedError)
    assert len(broker.offsets) == 1
    assert "a" not in left(tmp_path)
    assert ".a.partial" not in left(tmp_path)


async def test_another_ciphertext_is_refused_and_not_asked_for_again(tmp_path, sealed):
    what, ciphertext = sealed
    broker = Broker([ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])])
    with pytest.raises(RejectedError) as caught:
        await fetching(tmp_path, broker).attachment(what).save(tmp_path / "a")
    assert caught.value.reason is RejectReason.UPLOAD_DIGEST
    assert left(tmp_path) == []


@pytest.mark.parametrize(("kept", "offsets"), [(b"garbled" * 10_000, [70_000, 0]), (bytes(2_000_000), [0])])
async def test_what_an_earlier_process_left_and_does_not_fit_begins_anew(tmp_path, sealed, kept, offsets):
    what, ciphertext = sealed
    (tmp_path / "spools").mkdir(mode=0o700)
    (tmp_path / "spools" / f"{NOW + 1}-{what.portion.digest.hex()}").write_bytes(kept)
    broker = Broker(*([ciphertext[offset:]] for offset in offsets))
    saved = await fetching(tmp_path, broker).attachment(what).save(tmp_path / "a")
    assert broker.offsets == offsets
    assert saved.path.read_bytes() == CONTENT


async def test_a_frozen_log_and_the_own_disk_are_not_waited_for(tmp_path, sealed, monkeypatch):
    what, ciphertext = sealed
    frozen = StorageError("frozen", code=ErrorCode.LOG_FROZEN, retry_after_seconds=0.0)
    broker = Broker([frozen], [ciphertext])
    with pytest.raises(StorageError) as caught:
        await fetching(tmp_path, broker).attachment(what).save(tmp_path / "a")
    assert (caught.value.code, len(broker.offsets)) == (ErrorCode.LOG_FROZEN, 1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "write_pieces", full)
    broker = Broker([ciphertext], [ciphertext])
    with pytest.raises(StorageError) as caught:
        await fetching(tmp_path, broker).attachment(what).save(tmp_path / "a")
    assert (caught.value.code, len(broker.offsets)) == (ErrorCode.STORAGE_FULL, 1)


async def test_spools_of_reports_that_expired_go_and_others_stay(tmp_path, sealed):
    what, ciphertext = sealed
    folder = tmp_path / "spools"
    folder.mkdir(mode=0o700)
    for name in (f"{NOW}-{'0' * 96}", f"{NOW + 1}-{'1' * 96}", "notes.txt"):
        (folder / name).write_bytes(b"x")
    await fetching(tmp_path, Broker([ciphertext])).attachment(what).save(tmp_path / "a")
    assert left(tmp_path) == sorted([f"{NOW + 1}-{'1' * 96}", "a", "notes.txt"])


async def test_a_save_that_is_cancelled_lets_go_only_when_its_thread_has(tmp_path, sealed, monkeypatch):
    what, ciphertext = sealed
    writing, go_on, closed = threading.Event(), threading.Event(), []
    write, close = spool.write_pieces, os.close

    def slowly(descriptor, pieces):
        writing.set()
        assert go_on.wait(60)
        assert not closed
        write(descriptor, pieces)

    monkeypatch.setattr(spool, "write_pieces", slowly)
    monkeypatch.setattr(spool.Spool, "__exit__", lambda self, *_: (closed.append(1), close(self._descriptor))[0])
    broker = Broker([ciphertext[:600_000], *[ciphertext[600_000:610_000]] * 4])
    saving = asyncio.create_task(fetching(tmp_path, broker).attachment(what).save(tmp_path / "a"))
    await asyncio.to_thread(writing.wait)
    saving.cancel()
    await asyncio.sleep(0)
    assert not closed
    go_on.set()
    assert isinstance((await asyncio.gather(saving, return_exceptions=True))[0], asyncio.CancelledError)
    assert closed == [1]
    assert ".a.partial" not in left(tmp_path)
