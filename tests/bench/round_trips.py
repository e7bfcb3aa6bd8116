"""Bare gRPC: grpc.aio with mTLS on loopback, the other side a process of its own, nothing of ours but bytes.

`mtls_round_trip` is one unary call at a time: what FLASH is compared with, and what one message a call would cost at least.
`mtls_per_report` is the processor time of both ends for carrying a report in a segment of 256 from sender to broker and from broker to
receiver, each segment a message of a stream with a small answer. No target: they are properties of the machine.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import grpc
from percentiles import Latencies
from results import MICROSECONDS, US_A_REPORT, Row

from builders_identity import Held, nation
from processes import Process, ending, environment, start_anew

PAYLOAD = bytes(1024)
SLOTS, REPORT_BYTES, HOPS = 256, 1_930, 2
_WARM = 200
_HERE = Path(__file__).parent

T = TypeVar("T")
Measured = Callable[[grpc.aio.Channel], Awaitable[T]]


def mtls_round_trip(folder: Path, seconds: float) -> dict[str, Row]:
    """Measure for about so many seconds."""
    with _echoing(folder) as (_, with_channel):
        took = with_channel(lambda channel: _round_trips(channel, seconds))
    latencies = took.summary_us
    context: dict[str, object] = {
        "calls": latencies["count"],
        "payload_bytes": len(PAYLOAD),
        "p99_us": latencies["p99"],
        "grpcio": grpc.__version__,
    }
    return {"mtls_round_trip": Row(latencies["p50"], MICROSECONDS, None, context)}


def mtls_per_report(folder: Path, seconds: float) -> dict[str, Row]:
    """Measure for about so many seconds."""
    with _echoing(folder) as (echo, with_channel):
        cpu = time.process_time() + echo.cpu_seconds
        segments = with_channel(lambda channel: _segments(channel, seconds))
        cpu = time.process_time() + echo.cpu_seconds - cpu
    context: dict[str, object] = {
        "reports_a_message": SLOTS,
        "bytes_a_report": REPORT_BYTES,
        "hops": HOPS,
        "messages": segments,
    }
    return {"mtls_per_report": Row(HOPS * cpu / (segments * SLOTS) * 1e6, US_A_REPORT, None, context)}


@contextmanager
def _echoing(folder: Path) -> Iterator[tuple[Process, Callable[[Measured[T]], T]]]:
    """Start the other side; give it, and what runs a measurement with a channel to it."""
    server, client = certified(folder)
    words = [sys.executable, _HERE / "echo_process.py", folder]
    echo = start_anew(words, "echo", folder, environment(folder, folder / "none"))
    with ending(echo):
        address = listening(echo, folder)
        yield echo, lambda measure: asyncio.run(connected(address, server, client, measure))


def certified(folder: Path) -> tuple[str, Held]:
    """Make the other side's keys in a folder; give its TLS name and who connects to it."""
    xar = nation("XAR", now=time.time_ns() // 1_000_000)
    hub, node = xar.broker(), xar.node("n1")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (("key", hub.tls.pem()), ("certificate", hub.certificate_pem), ("roots", xar.authority_pem)):
        (folder / f"{name}.pem").write_bytes(data)
    return xar.broker_tls_name(), node


def listening(echo: Process, folder: Path) -> str:
    """Wait until the other side listens; give where."""
    port = folder / "port"
    echo.wait_for(lambda: port.exists() and port.read_text(), "it listens")
    return port.read_text()


async def connected(address: str, server: str, client: Held, measure: Measured[T]) -> T:
    """Run a measurement with a channel to the other side."""
    credentials = grpc.ssl_channel_credentials(client.nation.authority_pem, client.tls.pem(), client.certificate_pem)
    options = [("grpc.ssl_target_name_override", server)]
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        return await measure(channel)


async def _round_trips(channel: grpc.aio.Channel, seconds: float) -> Latencies:
    call = channel.unary_unary("/bench.Echo/Echo")
    for _ in range(_WARM):
        await call(PAYLOAD)
    took = Latencies()
    count, end = 0, time.perf_counter() + seconds
    while (began := time.perf_counter()) < end or count < _WARM:
        await call(PAYLOAD)
        took.add(time.perf_counter() - began)
        count += 1
    return took


async def _segments(channel: grpc.aio.Channel, seconds: float) -> int:
    """Write segments while others are answered, as a sender does; give how many."""
    segment = bytes(SLOTS * REPORT_BYTES)
    stream = channel.stream_stream("/bench.Echo/Take")()

    async def write() -> int:
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end or count < 2:
            await stream.write(segment)
            count += 1
        await stream.done_writing()
        return count

    writing = asyncio.create_task(write())
    answers = 0
    async for _ in stream:
        answers += 1
    written = await writing
    assert answers == written, f"{answers} of {written} messages were answered"
    return written
