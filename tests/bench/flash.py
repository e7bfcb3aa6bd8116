"""FLASH, one report at a time: from the call of `send()` until the report is in the receiving application's hand.

Idle, and while the same node sends ROUTINE reports as fast as receipts allow and the receiver takes all of them. FLASH reports fall due in
an open loop. Idle is compared with a bare mTLS round trip of the same run (p50), saturation with idle (p99). A node may send FLASH here
because the agreement of these rows has no clause that keeps it for officers.
"""

from __future__ import annotations

import signal
from pathlib import Path

from exchanging import HERE, PATIENCE_SECONDS
from flash_agreement import FLASH_AGREEMENT, bring_into_force
from flash_sender_process import WARM_FLASHES
from results import MICROSECONDS, TIMES, Row, ratio

from processes import Broker, Process, ending, start_anew
from world_files import made_world

TIMES_A_ROUND_TRIP = 8.0
TIMES_IDLE = 5.0
RATE = 10.0


def flash(folder: Path, count: int, round_trip_us: float) -> dict[str, Row]:
    """Measure so many FLASH reports idle, and so many beside saturation."""
    world = made_world(folder, begins=start_anew)
    bring_into_force(world)
    broker = world.start_broker()
    words = ("XAR/n1", FLASH_AGREEMENT, str(count), str(RATE))
    sending = world.start_python("XAR", HERE / "flash_sender_process.py", *words)
    counts = [str(WARM_FLASHES), str(count), str(count)]
    receiving = world.start_python("XBO", HERE / "receiver_process.py", "XBO/n1", "--timed", *counts)
    with ending(broker, sending, receiving):
        for one in (sending, receiving):
            one.wait_for(lambda one=one: one.records, "it is connected")
        # The first record says that it is connected, the receiver's second is of the warming up.
        idle = _round(broker, sending, receiving, 2, 3)
        saturated = _round(broker, sending, receiving, 3, 4)
        for one in (sending, receiving):
            one.done(seconds=PATIENCE_SECONDS)
    return _rows(idle, saturated, round_trip_us)


def _round(broker: Broker, sending: Process, receiving: Process, sent: int, received: int) -> dict[str, object]:
    """Have the sender send its next FLASH reports; `sent` and `received` count the records both have written afterwards."""
    broker_cpu = broker.cpu_seconds
    sending.signal(signal.SIGUSR1)
    receiving.wait_for(lambda: len(receiving.records) >= received, "every FLASH", seconds=PATIENCE_SECONDS)
    sending.wait_for(lambda: len(sending.records) >= sent, "every receipt", seconds=PATIENCE_SECONDS)
    told, got, before = sending.records[sent - 1], receiving.records[received - 1], receiving.records[received - 2]
    cpu = {
        "sender": told.pop("cpu"),
        "broker": broker.cpu_seconds - broker_cpu,
        "receiver": got["cpu"] - before["cpu"],
    }
    # Beside saturation it is the processor time of the ROUTINE reports too.
    cpu_us = {name: round(seconds / told["flashes"] * 1e6) for name, seconds in cpu.items()}
    return {
        **told,
        "from_call_us": got["from_call_us"],
        "from_due_us": got["from_due_us"],
        "cpu_us_a_flash_in_all": cpu_us,
    }


def _rows(idle: dict, saturated: dict, round_trip_us: float) -> dict[str, Row]:
    p50, p99 = idle["from_call_us"]["p50"], idle["from_call_us"]["p99"]
    loaded = saturated["from_call_us"]["p99"]
    return {
        "flash_idle_p50": Row(
            p50, MICROSECONDS, TIMES_A_ROUND_TRIP * round_trip_us, idle | ratio(p50, "mtls_round_trip", round_trip_us)
        ),
        "flash_idle_ratio": Row(
            p50 / round_trip_us, TIMES, TIMES_A_ROUND_TRIP, {"p50_us": p50, "mtls_round_trip_us": round_trip_us}
        ),
        "flash_saturated_p99": Row(
            loaded, MICROSECONDS, TIMES_IDLE * p99, saturated | {"idle_p99_us": p99} | ratio(loaded, "idle p99", p99)
        ),
    }
