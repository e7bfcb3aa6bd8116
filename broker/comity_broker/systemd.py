"""Telling systemd how the service is (sd_notify(3)): ready, stopping, alive. Without NOTIFY_SOCKET nothing happens."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def notify(*states: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send states such as ``READY=1`` to the service manager, if there is one."""
    path = environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto("\n".join(states).encode(), address)


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Give how often systemd wants to hear from the service, half of its limit; None when it does not ask."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2_000_000 if microseconds.isdigit() else None
