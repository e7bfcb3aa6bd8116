"""The sender's side of an upload before a broker that says what a test has it say."""

import asyncio

import pytest

from builders_attachments import ciphertext
from comity.errors import ErrorCode, MalformedError, NotFoundError, UnreachableError
from comity.node.uploading import PIECE_BYTES, upload
from comity.v1 import attachments_pb2


class Broker:
    """A connection whose one upload answers with these frames: the first after open, each other one after a piece."""

    def __init__(self, *answers):
        self.attachments = self
        self.answers = list(answers)
        self.frames = []
        self._heard = asyncio.Semaphore(0)

    def Upload(self):
        return self

    async def write(self, frame):
        self.frames.append(frame)
        self._heard.release()

    async def done_writing(self):
        self._heard.release()

    async def read(self):
        await self._heard.acquire()
        return self.answers.pop(0) if self.answers else None

    def cancel(self):
        self.answers = []


def opened(offset):
    return attachments_pb2.UploadResponse(opened=attachments_pb2.UploadOpened(offset=offset))


def progress(offset):
    return attachments_pb2.UploadResponse(progress=attachments_pb2.UploadProgress(offset=offset))


READY = attachments_pb2.UploadResponse(ready=attachments_pb2.UploadReady())


async def test_what_is_there_is_not_sent_and_what_is_durable_is_told(tmp_path):
    what, told = ciphertext(tmp_path, 3 * PIECE_BYTES + 5), []
    broker = Broker(opened(PIECE_BYTES + 1), progress(2 * PIECE_BYTES), progress(1 << 63), READY)
    await upload(broker, what, told.append)
    assert told == [PIECE_BYTES + 1, 2 * PIECE_BYTES, what.length, what.length]
    sent = b"".join(frame.piece for frame in broker.frames[1:])
    assert sent == what.path.read_bytes()[PIECE_BYTES + 1 :][: len(sent)]
    assert all(len(frame.piece) <= PIECE_BYTES for frame in broker.frames)


async def test_a_broker_that_has_more_than_there_is_is_not_believed(tmp_path):
    with pytest.raises(MalformedError):
        await upload(Broker(opened(5001)), ciphertext(tmp_path, 5000), lambda _: None)


async def test_an_end_without_ready_is_no_upload(tmp_path):
    with pytest.raises(UnreachableError):
        await upload(Broker(opened(0), progress(5000)), ciphertext(tmp_path, 5000), lambda _: None)


async def test_a_link_in_the_place_of_a_ciphertext_is_not_followed(tmp_path):
    what = ciphertext(tmp_path, 5000)
    what.path.rename(tmp_path / "other")
    what.path.symlink_to(tmp_path / "other")
    with pytest.raises(NotFoundError) as caught:
        await upload(Broker(opened(0), READY), what, lambda _: None)
    assert caught.value.code is ErrorCode.FILE_UNKNOWN
