"""A bare round trip: grpc.aio with mTLS on loopback, one unary call at a time, the other side a process of its own.

What FLASH will be compared with, and what one message a call would cost at least. No target: it is a property of the machine.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from statistics import quantiles

import grpc
from results import MICROSECONDS, Row

from builders_identity import Held, nation
from processes import Process, ending, environment, start

METHOD = "/bench.Echo/Echo"
PAYLOAD = bytes(1024)
_WARM = 200
_HERE = Path(__file__).parent


def mtls_round_trip(folder: Path, seconds: float) -> dict[str, Row]:
    """Measure for about so many seconds."""
    server, client = _certified(folder)
    words = [sys.executable, _HERE / "echo_process.py", folder]
    echo = start(words, "echo", folder, environment(folder, folder / "none"))
    with ending(echo):
        address = _listening(echo, folder)
        took = asyncio.run(_measure(address, server, client, seconds))
    cuts = quantiles(took, n=100)
    context: dict[str, object] = {
        "calls": len(took),
        "payload_bytes": len(PAYLOAD),
        "p99_us": round(cuts[98] * 1e6, 1),
        "grpcio": grpc.__version__,
    }
    return {"mtls_round_trip": Row(cuts[49] * 1e6, MICROSECONDS, None, context)}


def _certified(folder: Path) -> tuple[str, Held]:
    xar = nation("XAR", now=time.time_ns() // 1_000_000)
    hub, node = xar.broker(), xar.node("n1")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (("key", hub.tls.pem()), ("certificate", hub.certificate_pem), ("roots", xar.authority_pem)):
        (folder / f"{name}.pem").write_bytes(data)
    return xar.broker_tls_name(), node


def _listening(echo: Process, folder: Path) -> str:
    port = folder / "port"
    echo.wait_for(lambda: port.exists() and port.read_text(), "it listens")
    return port.read_text()


async def _measure(address: str, server: str, client: Held, seconds: float) -> list[float]:
    credentials = grpc.ssl_channel_credentials(client.nation.authority_pem, client.tls.pem(), client.certificate_pem)
    options = [("grpc.ssl_target_name_override", server)]
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        call = channel.unary_unary(METHOD)
        for _ in range(_WARM):
            await call(PAYLOAD)
        took: list[float] = []
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end or len(took) < _WARM:
            await call(PAYLOAD)
            took.append(time.perf_counter() - began)
        return took
