"""Serving until drained: the process around a running broker (event loop, signals, systemd, the file that names the port)."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

from comity.node.files import write_file
from comity_broker import systemd
from comity_broker.channels import loop_factory
from comity_broker.clock import BrokerClock
from comity_broker.installation import Installation
from comity_broker.parts import Parts
from comity_broker.server import RunningBroker
from comity_broker.settings import Settings
from comity_broker.storage.protocol import Storage

_SWITCH_SECONDS: Final = 0.0005


def serve(installation: Installation, storage: Storage, settings: Settings, *, port_file: Path | None = None) -> None:
    """Serve until drained; SIGTERM and SIGINT drain."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    parts = Parts(BrokerClock(step_ms=int(settings.clock_step * 1000)))
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(installation, storage, settings, parts, port_file))


async def _serve(
    installation: Installation, storage: Storage, settings: Settings, parts: Parts, port_file: Path | None
) -> None:
    async with RunningBroker(installation, storage, settings, parts).running() as broker:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, broker.drain)
        if port_file is not None:
            write_file(port_file, f"{broker.address}\n".encode())
        systemd.notify("READY=1", f"STATUS=serving on {broker.address}")
        await broker.drained()
