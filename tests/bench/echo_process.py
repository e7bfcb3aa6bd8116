"""The other side of bare calls over mTLS: gives back what it gets, or takes a stream of messages and answers each in a few bytes.

python echo_process.py FOLDER        with key.pem, certificate.pem and roots.pem in it
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc

SERVICE = "bench.Echo"
ANSWER = bytes(16)


async def echo(request: bytes, _context: object) -> bytes:
    return request


async def take(requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
    async for _ in requests:
        yield ANSWER


async def main(folder: Path) -> None:
    read = {name: (folder / f"{name}.pem").read_bytes() for name in ("key", "certificate", "roots")}
    credentials = grpc.ssl_server_credentials(
        [(read["key"], read["certificate"])], read["roots"], require_client_auth=True
    )
    server = grpc.aio.server()
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Take": grpc.stream_stream_rpc_method_handler(take),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    (folder / "port.new").write_text(f"127.0.0.1:{port}")
    (folder / "port.new").rename(folder / "port")
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
