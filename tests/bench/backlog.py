"""Replay of a backlog: so many reports are stored while nobody receives, then their consumer comes.

The value is reports a second from the moment the consumer is connected and asks until its application has acknowledged the last: each
is delivered, verified, decided on, opened and acknowledged, beside a broker that has nothing else to do.
"""

from __future__ import annotations

import signal
from pathlib import Path

from exchanging import HERE, PATIENCE_SECONDS, check_stored
from results import A_SECOND, Row

from processes import ending, start_anew
from world_files import AGREEMENT, made_world

TARGET = 20_000.0


def replay_backlog(folder: Path, reports: int) -> dict[str, Row]:
    """Measure a backlog of so many reports."""
    world = made_world(folder, begins=start_anew)
    broker = world.start_broker()
    sending = world.start_python("XAR", HERE / "sender_process.py", "XAR/n1", AGREEMENT, str(reports))
    with ending(broker, sending):
        sending.wait_for(lambda: sending.records, "it is connected")
        sending.signal(signal.SIGUSR1)
        sending.done(seconds=PATIENCE_SECONDS)
        broker_cpu = broker.cpu_seconds
        receiving = world.start_python("XBO", HERE / "receiver_process.py", "XBO/n1", str(reports))
        with ending(receiving):
            receiving.done(seconds=PATIENCE_SECONDS)
        broker_cpu = broker.cpu_seconds - broker_cpu
        assert broker.stop() == 0, broker.tail
    check_stored(world, reports)
    connected, received = receiving.records
    cpu = {"broker": broker_cpu, "receiver": received["cpu"] - connected["cpu"]}
    context: dict[str, object] = {
        "reports": reports,
        "cpu_us": {name: round(seconds / reports * 1e6, 1) for name, seconds in cpu.items()},
    }
    return {"replay_backlog": Row(reports / (received["at"] - connected["at"]), A_SECOND, TARGET, context)}
