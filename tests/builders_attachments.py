"""Ciphertexts to upload, without an envelope around them, uploads of them, and one that is cut where a test says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable
from pathlib import Path

import pytest

from builders_sdk import AGREEMENT, Shared, until
from comity.errors import ComityError, ErrorCode
from comity.node.uploading import PIECE_BYTES, Ciphertext, upload
from comity.v1 import attachments_pb2


def ciphertext(
    folder: Path, length: int = 3_000_000, *, agreement_id: str = AGREEMENT, name: str = "sealed"
) -> Ciphertext:
    """Write random bytes, and give them as an upload."""
    content = os.urandom(length)
    path = folder / name
    path.write_bytes(content)
    return Ciphertext(agreement_id, hashlib.sha384(content).digest(), length, path)


def opening(what: Ciphertext) -> attachments_pb2.UploadRequest:
    return attachments_pb2.UploadRequest(
        open=attachments_pb2.UploadOpen(agreement_id=what.agreement_id, digest=what.digest, length=what.length)
    )


async def cut_upload(connection, what: Ciphertext, pieces: int) -> None:
    """Bring the first pieces of an upload, then cut the stream once the broker has begun to take them."""
    call = connection.attachments.Upload()
    await call.write(opening(what))
    response = await call.read()
    start = response.opened.offset
    content = what.path.read_bytes()
    for number in range(pieces):
        at = start + number * PIECE_BYTES
        await call.write(attachments_pb2.UploadRequest(piece=content[at : at + PIECE_BYTES]))
    call.cancel()


async def rows(world: Shared, agreement_id: str = AGREEMENT):
    return await world.world.broker.attaching.uploads.reader.uploads(agreement_id)


async def no_streams(world: Shared) -> None:
    """Wait until no stream of an upload is served any more."""
    uploads = world.world.broker.attaching.uploads
    await until(lambda: not uploads._streams)


async def brought(world: Shared, what: Ciphertext, held: str = "XAR") -> list[int]:
    """Upload, and give what the sender heard of it."""
    told: list[int] = []
    async with world.world.connection(world.nodes[held]) as connection:
        await upload(connection, what, told.append)
    return told


async def code_of(coroutine: Awaitable[object]) -> ErrorCode:
    """Give the code of the error that something ends with."""
    with pytest.raises(ComityError) as caught:
        await coroutine
    return caught.value.code


def blobs_of(world: Shared):
    return world.world.broker.attaching.uploads.blobs


def reader_of(world: Shared):
    return world.world.broker.attaching.uploads.reader
