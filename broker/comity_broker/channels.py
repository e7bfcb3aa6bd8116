"""How the broker's port and its event loop are set up: the options of its channels, and the loop that serves them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from comity_broker.settings import Settings

WINDOW_BYTES: Final = 2 << 20
_MESSAGE_BYTES: Final = 8 << 20


def server_options(settings: Settings) -> list[tuple[str, int]]:
    """Give the options of the server's channels."""
    age = int(settings.connection_age * 1000)
    return [
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
        ("grpc.max_connection_age_ms", age),
        ("grpc.max_connection_age_grace_ms", 60_000),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_concurrent_streams", 64),
        # A window that is measured grows with every wait of this process, up to 16 MiB a stream.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
        ("grpc.so_reuseport", 0),
    ]


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Give what makes the event loop of a running broker."""
    import uvloop  # noqa: PLC0415 - an extra of the broker's; only a running one loads it

    return uvloop.new_event_loop
