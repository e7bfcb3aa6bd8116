"""What idle subscribers cost the broker: resident memory, and processor time while nothing happens.

Each has a TLS connection and a Subscribe stream of its own. A broker lets one node have at most 64 streams, so there are as many nodes of
one party as it takes, each with up to 64 consumers. The value is the broker's resident memory when all are subscribed and have been told
that nothing waits for them; the context has it without them, its peak, and the processor time a second of holding them.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchanging import HERE, PATIENCE_SECONDS
from results import MIB, Row, not_measured

from processes import Broker, ending, start_anew
from world_files import HUB, World, made_world

TARGET = 200.0
STREAMS_A_NODE = 64
_SETTINGS = {
    "COMITY_BROKER_STREAMS_PER_NODE": str(STREAMS_A_NODE),
    "COMITY_BROKER_CONSUMERS_PER_NODE": str(STREAMS_A_NODE),
}
_IDLE_SECONDS = 3.0
# Of a process that holds a descriptor a subscriber, and some besides.
_DESCRIPTORS_BESIDE = 256


def idle_subscribers(folder: Path, subscribers: int) -> dict[str, Row]:
    """Measure so many, rounded up to the same number for each node."""
    nodes = -(-subscribers // STREAMS_A_NODE)
    consumers = -(-subscribers // nodes)
    wanted = nodes * consumers + _DESCRIPTORS_BESIDE
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        why = f"a process may have {hard} open files here, {wanted} are needed (ulimit -Hn)"
        return {"idle_subscribers": not_measured(MIB, why, TARGET)}
    world = made_world(folder, begins=start_anew)
    with _descriptors(wanted), ending(world.start_broker(**_SETTINGS)) as (broker,):
        identities = _enrolled(world, nodes)
        without = _resident_mib(broker)
        idle = world.start_python("XBO", HERE / "idle_process.py", str(consumers), *identities)
        with ending(idle):
            idle.wait_for(lambda: idle.records, "all are subscribed", seconds=PATIENCE_SECONDS)
            (told,) = idle.records
            assert told["subscribed"] == nodes * consumers
            cpu, began = broker.cpu_seconds, time.monotonic()
            time.sleep(_IDLE_SECONDS)
            cpu_a_second = (broker.cpu_seconds - cpu) / (time.monotonic() - began)
            resident = _resident_mib(broker)
            assert idle.stop() == 0, idle.tail
        peak = broker.peak_kib / 1024
        assert broker.stop() == 0, broker.tail
    context: dict[str, object] = {
        "subscribers": told["subscribed"],
        "nodes": nodes,
        "resident_without": round(without, 1),
        "kib_a_subscriber": round((resident - without) * 1024 / told["subscribed"], 1),
        "peak_mib": round(peak, 1),
        "cpu_ms_a_second": round(cpu_a_second * 1e3, 1),
    }
    return {"idle_subscribers": Row(resident, MIB, TARGET, context)}


def _enrolled(world: World, nodes: int) -> list[str]:
    """Give so many nodes of XBO; the world has the first."""
    machine = world.machine("XBO")
    identities = [f"XBO/n{number}" for number in range(1, nodes + 1)]
    for identity in identities[1:]:
        machine.done(
            "node", "create", identity, "--region", "xbo", "--broker-name", HUB,
            "--accreditation", "TOP-SECRET", "--accredited-by", "XBO/security1",
        )  # fmt: skip
        machine.done("node", "enrol", identity, "--broker", world.address)
    world.tell_address()
    return identities


def _resident_mib(broker: Broker) -> float:
    return int(broker.status["VmRSS"].split()[0]) / 1024


@contextmanager
def _descriptors(wanted: int) -> Iterator[None]:
    """Let processes started meanwhile have so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
