"""The other side of a bare copy over mTLS: takes a file in pieces and keeps it with fsync, and gives it out again.

python copy_process.py FOLDER        with key.pem, certificate.pem and roots.pem in it
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc

SERVICE = "bench.Copy"
PIECE_BYTES = 128 << 10
BLOCK_BYTES = 1 << 20


async def store(requests: AsyncIterator[bytes], _context: object) -> bytes:
    with await asyncio.to_thread(Path("copy").open, "wb", 0) as file:
        block = bytearray()
        async for piece in requests:
            block += piece
            if len(block) >= BLOCK_BYTES:
                await asyncio.to_thread(file.write, bytes(block))
                block.clear()
        await asyncio.to_thread(file.write, bytes(block))
        await asyncio.to_thread(os.fsync, file.fileno())
    return b"stored"


async def fetch(_request: bytes, _context: object) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(Path("copy").open, "rb", 0) as file:
        while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
            for start in range(0, len(block), PIECE_BYTES):
                yield block[start : start + PIECE_BYTES]


async def main(folder: Path) -> None:
    read = {name: (folder / f"{name}.pem").read_bytes() for name in ("key", "certificate", "roots")}
    os.chdir(folder)
    credentials = grpc.ssl_server_credentials(
        [(read["key"], read["certificate"])], read["roots"], require_client_auth=True
    )
    server = grpc.aio.server()
    handlers = {
        "Store": grpc.stream_unary_rpc_method_handler(store),
        "Fetch": grpc.unary_stream_rpc_method_handler(fetch),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    (folder / "port.new").write_text(f"127.0.0.1:{port}")
    (folder / "port.new").rename(folder / "port")
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
