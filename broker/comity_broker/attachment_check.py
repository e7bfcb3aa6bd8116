"""Uploads against their files, for `comity broker check`: what is wrong is said in words, and nothing is touched.

In order: a READY upload's file is there, whole, and has its length and digest; no file is there that no row names.
"""

from __future__ import annotations

import asyncio

from comity.errors import ComityError
from comity_broker.storage.blobs import BlobStore, blob_name
from comity_broker.storage.protocol import Reader, UploadRow, UploadState


async def check_attachments(reader: Reader, blobs: BlobStore) -> list[str]:
    """Give what is wrong; reads every file, so it takes long."""
    wrong: list[str] = []
    named: set[str] = set()
    there = await asyncio.to_thread(blobs.names)
    for head in await reader.shards():
        for row in await reader.uploads(head.shard):
            name = blob_name(head.shard, row.node, row.digest)
            named.add(name)
            if row.state == UploadState.READY:
                wrong += await asyncio.to_thread(_faults, blobs, name, row, is_there=name in there)
    wrong += [f"attachments: no upload names {name}; it stays" for name in sorted(there - named)]
    return wrong


def _faults(blobs: BlobStore, name: str, row: UploadRow, *, is_there: bool) -> list[str]:
    if not is_there:
        return [f"attachments: {name} of {row.node} is not there"]
    try:
        blob = blobs.begin(name)
    except ComityError as error:
        return [f"attachments: {name} of {row.node}: {error.message}"]
    try:
        if (blob.length, blob.digest) != (row.length, row.digest):
            return [f"attachments: {name} of {row.node} has not the length or the digest it was taken with"]
        return []
    finally:
        blob.close()
