"""The nodes of the fault campaign: one that sends without end, one that receives for several consumers, each by the SDK as it is.

    python tests/fault_node.py send XAR/n1 --address HOST:PORT --arm FILE --clock FILE --first 1 --rate 200
    python tests/fault_node.py receive XBO/n1 --address HOST:PORT --arm FILE --clock FILE --consumer default --consumer copy

Home and passphrase come from the environment. What happens goes to standard output as JSON, one event a line, as
`fault_checker.History.take` reads it; a line is written before the next thing is done, so that a kill takes no line away that should be
there. SIGUSR1 has the arm file read again (`fault_points`), SIGTERM ends a node in order.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import comity
from comity.keys.passphrase import find_passphrase
from comity.node.delivery import Delivery
from fault_clock import SteppedClock
from fault_points import Point, Triggers, WatchedDisk, end_with_parent, say
from world_files import AGREEMENT, MARKING, PURPOSE

PATIENCE_SECONDS = 3_600.0
# How many numbers are said to be given at once, and how many reports go between two waits.
_GIVEN = 50
_TOGETHER = 10
PRIORITY_EVERY = 7
_POISON_EXIT = 66


def tell(event: str, **fields: object) -> None:
    """Write an event as a line of its own."""
    os.write(sys.stdout.fileno(), json.dumps({"event": event, **fields}).encode() + b"\n")


# --- sending --------------------------------------------------------------------------------------------------------


class Sending:
    """Sends numbered reports, by turns of two classes, until it is told to stop."""

    def __init__(self, node: comity.Node, triggers: Triggers, clock: SteppedClock, asked: argparse.Namespace) -> None:
        self._node = node
        self._clock = clock
        self._triggers = triggers
        self._asked = asked
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        first = self._asked.first
        async for sent in self._node.send_many(self._reports(), agreement=AGREEMENT):
            number = first + sent.number
            if sent.receipt is None:
                tell("refused", number=number, code=sent.refusal.code.name, why=str(sent.refusal))
                continue
            told = sent.receipt
            tell(
                "receipt", number=number, report_id=str(told.report_id), leaf=told.leaf.hex(), log_index=told.log_index
            )
            self._triggers.reach(Point.RECEIPTED)

    def _expires_at(self) -> datetime | None:
        minutes = self._asked.expires_minutes
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        return now + timedelta(minutes=minutes) if minutes else None

    async def _reports(self) -> AsyncIterator[comity.Report]:
        number, last = self._asked.first, self._asked.first - 1
        while not self._stop.is_set() and number < self._asked.first + self._asked.count:
            if number > last:
                last = number + _GIVEN - 1
                tell("given", first=number, last=last)
            urgent = number % PRIORITY_EVERY == 0 and not self._asked.one_class
            yield numbered_report(number, "priority" if urgent else "routine", self._expires_at())
            number += 1
            if number % _TOGETHER == 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _TOGETHER / self._asked.rate)


def numbered_report(number: int, precedence: str, expires_at: datetime | None) -> comity.Report:
    """Give a report that says its number, of a size that a short one has."""
    return comity.Report.text(
        f"{number}\n{'Two boats left at dawn. ' * 40}",
        marking=MARKING,
        categories=["terrorism"],
        purpose=PURPOSE,
        precedence=precedence,
        expires_at=expires_at,
    )


# --- receiving ------------------------------------------------------------------------------------------------------


class Receiving:
    """Receives for one consumer: says what it is shown, acknowledges it, says when that is on disk."""

    def __init__(self, node: comity.Node, consumer: str, triggers: Triggers, asked: argparse.Namespace) -> None:
        self._node = node
        self._consumer = consumer
        self._triggers = triggers
        self._poison = asked.poison
        self._take_over = asked.take_over

    async def run(self) -> None:
        deliveries = self._node.receive(purpose=PURPOSE, consumer=self._consumer, take_over=self._take_over)
        async with contextlib.aclosing(deliveries), asyncio.TaskGroup() as tasks:
            async for delivery in deliveries:
                number = int(delivery.report.text.partition("\n")[0])
                lane = f"{delivery.lane.originator}/{delivery.lane.origin_epoch.hex()}/{delivery.transport_class}"
                self._tell(
                    "shown",
                    delivery,
                    number,
                    lane=lane,
                    origin_sequence=delivery.origin_sequence,
                    attempt=delivery.attempt,
                )
                self._triggers.reach(Point.SHOWN)
                if number == self._poison:
                    os._exit(_POISON_EXIT)
                tasks.create_task(self._settle(delivery, number))
                # The acknowledgement has begun before the next report is asked for.
                await asyncio.sleep(0)

    async def _settle(self, delivery: Delivery, number: int) -> None:
        self._tell("acknowledging", delivery, number)
        await delivery.settled()
        self._tell("acknowledged", delivery, number)
        self._triggers.reach(Point.SETTLED)

    def _tell(self, event: str, delivery: Delivery, number: int, **fields: object) -> None:
        tell(event, consumer=self._consumer, number=number, report_id=str(delivery.report.report_id), **fields)


# --- one process ----------------------------------------------------------------------------------------------------


class Telling(logging.Formatter):
    """What the SDK has to say, with all that it says beside the event's name."""

    def format(self, record: logging.LogRecord) -> str:
        more = {name: value for name, value in vars(record).items() if name in {"subject", "outcome", "reason", "code"}}
        return f"{super().format(record)} {more}"


def log_to_stderr() -> None:
    """Write warnings on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(Telling())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


async def main(asked: argparse.Namespace) -> None:
    log_to_stderr()
    loop = asyncio.get_running_loop()
    points = {("outbox.sqlite-wal", "sync"): Point.STORING}
    points |= {(f"inbox-{name}.sqlite-wal", "sync"): Point.SETTLING for name in asked.consumer}
    triggers = Triggers(asked.arm, WatchedDisk(points, default=True))
    if asked.arm.exists():
        triggers.arm()
    loop.add_signal_handler(signal.SIGUSR1, triggers.arm)
    say("may be armed")
    clock = SteppedClock.at(asked.clock)
    passphrase = find_passphrase(file=None, environ=os.environ, ask=None)
    async with comity.connect(
        asked.address,
        identity=asked.identity,
        passphrase=passphrase,
        now_ms=clock.now_ms,
        refresh_seconds=1.0,
        patience_seconds=PATIENCE_SECONDS,
    ) as node:
        # Who reads that it is ready may end it in order.
        if asked.what == "send":
            sending = Sending(node, triggers, clock, asked)
            loop.add_signal_handler(signal.SIGTERM, sending.stop)
            say("ready")
            await sending.run()
            say("done")
            return
        receiving = asyncio.gather(*(Receiving(node, name, triggers, asked).run() for name in asked.consumer))
        loop.add_signal_handler(signal.SIGTERM, receiving.cancel)
        say("ready")
        with contextlib.suppress(asyncio.CancelledError):
            await receiving


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("what", choices=("send", "receive"))
    made.add_argument("identity")
    made.add_argument("--address", required=True)
    made.add_argument("--arm", type=Path, required=True)
    made.add_argument("--clock", type=Path, required=True)
    made.add_argument("--first", type=int, default=1)
    made.add_argument("--count", type=int, default=1_000_000)
    made.add_argument("--rate", type=float, default=200.0)
    made.add_argument("--consumer", action="append", default=[])
    made.add_argument("--poison", type=int, default=0)
    made.add_argument("--one-class", action="store_true")
    made.add_argument("--expires-minutes", type=int, default=0)
    made.add_argument("--take-over", action="store_true")
    return made


if __name__ == "__main__":
    end_with_parent()
    asyncio.run(main(parser().parse_args()))
