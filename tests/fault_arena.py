"""One exchange that faults are done to: broker, a sender, a receiver with two consumers, a wire to each, a clock for each, one history.

    with Arena(made_world(tmp_path)) as arena:
        arena.start()
        arena.progress(50)                                # so many more acknowledgements at every consumer
        arena.kill_broker(Point.AFTER_COMMIT, times=3)    # waits until it has fallen, and starts another
        findings = arena.settle()                         # everything mended, everything told; then the checker's word

Everything that runs is a process of its own; the history is what they wrote, read when somebody asks.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import apsw

from fault_checker import Finding, History, judge
from fault_clock import HOUR_MS, SteppedClock
from fault_node import PRIORITY_EVERY
from fault_points import Point
from fault_proxy import Wire
from kill_oracle import Witnessed, read_store
from processes import Broker, EndedEarlyError, Process, free_port, until
from world_files import AGREEMENT, CODES, World

CONSUMERS = ("default", "copy")
# What a broker ends with when it was killed, and when it does not know what became of a commit.
KILLED, UNKNOWN = -signal.SIGKILL, 18
PATIENCE_SECONDS = 120.0
AGE_HOURS = 6
# Reports a second: enough that every point is soon reached, and few, since what comes during a fault all has to be worked off.
CAMPAIGN_RATE = 50.0

_HERE = Path(__file__).parent
# Many small commits and checkpoints, so that every point is soon reached; a stream whose other end is silent is soon given up.
SETTINGS = {
    "COMITY_BROKER_CHECKPOINT_EVERY": "0.1",
    "COMITY_BROKER_REDELIVERY": "1",
    "COMITY_BROKER_WINDOW_SEGMENTS": "8",
    "COMITY_BROKER_ATTEMPTS": "100",
}


class Arena:
    """The processes, and what they told."""

    def __init__(self, world: World, *, consumers: tuple[str, ...] = CONSUMERS, rate: float = 200.0) -> None:
        self.world = world
        self.consumers = consumers
        self.rate = rate
        self.history = History()
        self.kills: Counter[str] = Counter()
        self.broker: Broker | None = None
        self.sender: Process | None = None
        self.receiver: Process | None = None
        self.watcher: Process | None = None
        self.clocks = {
            name: SteppedClock.made(world.path / f"{name}.clock") for name in ("broker", "sender", "receiver")
        }
        # The world is seconds old: before its agreement came into force nobody may be set back.
        self.step_clocks(AGE_HOURS)
        self.settings = dict(SETTINGS)
        self._address = f"127.0.0.1:{free_port()}"
        self._stack = ExitStack()
        self._all: list[Process] = []
        self._armed = 0
        for name in consumers:
            self.history.consumer(name)

    def __enter__(self) -> Self:
        self.world.address = self._address
        self.world.tell_address()
        self.wires = {name: self._stack.enter_context(Wire(self._address)) for name in ("sender", "receiver")}
        self._stack.callback(self._kill_all)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _kill_all(self) -> None:
        for process in self._all:
            process.kill()

    # --- processes --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything, and wait until something was acknowledged."""
        self.start_broker()
        self.start_receiver()
        self.start_sender()
        self.progress(1)

    def start_broker(self, *options: str | Path) -> Broker:
        """Start a broker over the data of the one before."""
        words = ("--arm", self.arm_file("broker"), "--clock", self.world.path / "broker.clock", *options)
        program = (sys.executable, _HERE / "fault_broker.py", "--counts", self.world.path / "counts.json", *words)
        self.broker = self.world.start_broker(*program, **self.settings)
        self._all.append(self.broker)
        return self.broker

    def start_failing_broker(self, **wanted: object) -> str:
        """Start a broker that is armed from its first moment and ends before it serves; gives what it said."""
        self._write_arm("broker", {**wanted, "number": 0})
        try:
            self.start_broker()
        except EndedEarlyError as error:
            return str(error)
        finally:
            self.disarm("broker")
        raise AssertionError("the broker serves")

    def start_sender(self, *words: str | Path) -> Process:
        """Start a sender whose numbers follow on from those that were given before."""
        first = max(self.history.given, default=0) + 1
        numbers = ("--first", str(first), "--rate", str(self.rate))
        self.sender = self._node("send", "XAR", "sender", *numbers, *words)
        return self.sender

    def start_receiver(self, *words: str | Path) -> Process:
        """Start a receiver for all consumers; it takes over from whatever the broker still takes for one."""
        consumers = [word for name in self.consumers for word in ("--consumer", name)]
        self.receiver = self._node("receive", "XBO", "receiver", "--take-over", *consumers, *words)
        return self.receiver

    def start_watcher(self) -> Process:
        """Start somebody who asks for checkpoints all the time, and whom each must convince that it continues the one before."""
        self.watcher = self.world.start_python("XAR", _HERE / "checkpoint_watcher.py", "XAR/officer1", AGREEMENT)
        self._all.append(self.watcher)
        return self.watcher

    def ready(self, name: str) -> None:
        """Wait until a process is connected (a broker: until it listens)."""
        process = self.process(name)
        if name != "broker":
            process.wait_for(lambda: "ready" in process.log.read_text(), "it is connected", seconds=PATIENCE_SECONDS)

    def _node(self, what: str, code: str, name: str, *words: str | Path) -> Process:
        place = ("--arm", self.arm_file(name), "--clock", self.world.path / f"{name}.clock")
        script = _HERE / "fault_node.py"
        process = self.world.start_python(
            code, script, what, f"{code}/n1", "--address", self.wires[name].address, *place, *words, name=name
        )
        self._all.append(process)
        return process

    def process(self, name: str) -> Process:
        """Give one that runs: broker, sender or receiver."""
        found = getattr(self, name)
        assert found is not None, f"no {name} was started"
        return found

    # --- what was told ----------------------------------------------------------------------------------------------

    def listen(self) -> History:
        """Take in what was told since the last time."""
        for process in self._all:
            if process.name.startswith(("sender", "receiver")):
                for record in process.new_records():
                    self.history.take(record)
        return self.history

    def progress(self, count: int, *, whose: tuple[str, ...] = (), watch: str = "") -> None:
        """Wait until so many more reports were acknowledged by each consumer; `watch` is a process that may not end meanwhile."""
        names = whose or self.consumers
        before = {name: len(self._acknowledged(name)) for name in names}

        def come() -> bool:
            self.listen()
            for one in (self.broker, self.sender, self.receiver):
                assert one is None or one.exit_code in {None, 0}, f"{one.name} ended with {one.exit_code}\n{one.tail}"
            return all(len(self._acknowledged(name)) >= before[name] + count for name in names)

        self._wait(come, f"{count} more acknowledgements", watch)

    def _acknowledged(self, consumer: str) -> set:
        return self.history.settled(consumer)

    def _wait(self, condition: Callable[[], object], what: str, watch: str = "") -> None:
        if watch:
            self.process(watch).wait_for(condition, what, seconds=PATIENCE_SECONDS)
        else:
            until(condition, f"{what}\n{self._said()}", seconds=PATIENCE_SECONDS)

    def _said(self) -> str:
        running = [one for one in (self.broker, self.sender, self.receiver) if one is not None]
        return "\n".join(f"{one.name}: exit {one.exit_code}\n{one.log.read_text()[-600:]}" for one in running)

    # --- faults -----------------------------------------------------------------------------------------------------

    def arm(self, name: str, **wanted: object) -> None:
        """Arm a point, a hold or a failing disk of a process that runs, and wait until it has it; without words: disarm."""
        process = self.process(name)
        # Before that the signal would end it.
        process.wait_for(lambda: "may be armed" in process.log.read_text(), "it may be armed")
        self._armed += 1
        line = f"armed {self._armed}"
        self._write_arm(name, {**wanted, "number": self._armed})
        process.signal(signal.SIGUSR1)
        process.wait_for(lambda: line in process.log.read_text() or process.exit_code is not None, line)

    def kill_at(self, name: str, point: Point, times: int = 1) -> None:
        """Have a process kill itself when it reaches a point for the n-th time from now, and wait until it has."""
        process = self.process(name)
        self.arm(name, point=point, times=times)
        self._wait(lambda: self.listen() and process.exit_code is not None, f"{process.name} to die at {point}")
        assert process.exit_code == KILLED, process.tail
        assert f"killed at {point}" in process.log.read_text(), process.tail
        self.kills[point] += 1
        self.disarm(name)

    def kill(self, name: str) -> None:
        """Kill a process from outside, wherever it is."""
        self.process(name).kill()
        self.kills["anywhere"] += 1
        self.listen()
        self.disarm(name)

    def restart(self, name: str) -> None:
        """Start what was killed anew, and wait until it is connected: who finds no broker at its start says so and ends."""
        self.listen()
        {"broker": self.start_broker, "sender": self.start_sender, "receiver": self.start_receiver}[name]()
        self.ready(name)

    def disarm(self, name: str) -> None:
        """Have the next process of this name begin without what was armed."""
        self.arm_file(name).unlink(missing_ok=True)

    def arm_file(self, name: str) -> Path:
        """Give the file that says what a process is armed with."""
        return self.world.path / f"{name}.arm"

    def _write_arm(self, name: str, wanted: dict[str, object]) -> None:
        path = self.arm_file(name)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(wanted))
        new.replace(path)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Stop a process as SIGSTOP does, and let it go on at the end."""
        process = self.process(name)
        process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.signal(signal.SIGCONT)

    def go_on(self, name: str) -> None:
        """Let a process go on that stopped itself."""
        self.process(name).signal(signal.SIGCONT)

    def step_clocks(self, hours: int) -> None:
        """Step the clock of every process."""
        for clock in self.clocks.values():
            clock.step(hours * HOUR_MS)

    # --- the end ----------------------------------------------------------------------------------------------------

    def settle(self) -> list[Finding]:
        """Mend everything, let every report come to its end, stop everything in order, and judge."""
        self.mend()
        self.stop_sending()
        # The last of every lane: who is done with them is done with what came before, also where no receipt was told.
        self.start_sender("--count", str(PRIORITY_EVERY))
        self._sender_ended()
        self._all_settled()
        self.stop()
        return self.judge()

    def mend(self) -> None:
        """Mend the wires, and start whatever does not run."""
        for wire in self.wires.values():
            wire.mend()
        for name in ("broker", "sender", "receiver"):
            self.process(name).signal(signal.SIGCONT)
            if self.process(name).exit_code is not None:
                self.restart(name)

    def stop_sending(self) -> None:
        """Have the sender end in order: everything it sent is answered."""
        sender = self.process("sender")
        until(
            lambda: "ready" in sender.log.read_text() or sender.exit_code is not None,
            "the sender is connected",
            seconds=PATIENCE_SECONDS,
        )
        sender.signal(signal.SIGTERM)
        self._sender_ended()

    def _sender_ended(self) -> None:
        """Wait until the sender ends in order, told to or because it has sent what it was to send."""
        sender = self.process("sender")
        self._wait(lambda: self.listen() and sender.exit_code is not None, "the sender's end")
        # Where it had just come to its end, nobody takes the signal any more.
        assert sender.exit_code == 0 or "done" in sender.log.read_text(), sender.tail
        self.listen()

    def _all_settled(self) -> None:
        """Wait until every consumer is done with every report that the store has."""

        def done() -> bool:
            self.listen()
            owed = {told.report_id for told in self.history.receipts.values()}
            return all(
                owed <= self.history.settled(name) | self.history.excused.get(name, set()) for name in self.consumers
            )

        # However much there is to work off: it is lost when nothing more comes.
        while not done():
            self._more_acknowledged(self.history.acknowledged)

    def _more_acknowledged(self, than: int) -> None:
        self._wait(
            lambda: self.listen().acknowledged > than, f"more than {than} acknowledgements, of all reports", "receiver"
        )

    def stop(self) -> None:
        """Stop the receiver, then the broker, each in order."""
        receiver, broker = self.process("receiver"), self.process("broker")
        assert receiver.stop() == 0, receiver.tail
        self.listen()
        assert broker.stop() == 0, broker.tail

    def judge(self) -> list[Finding]:
        """Hold everything that was told against what is in the store of a broker that does not run."""
        self.listen()
        witnessed = Witnessed()
        if self.watcher is not None:
            assert self.watcher.exit_code is None, self.watcher.tail
            witnessed.saw_checkpoints(self.watcher.records)
        witnessed.saw_last_signed(self.world.data, AGREEMENT)
        for code in CODES:
            self.history.alarms |= {f"{code}: {alarm}" for alarm in self.alarms(code)}
            if not self.history.alarms:
                witnessed.saw_mirror(self._mirror(code), AGREEMENT)
        self.history.checkpoints |= witnessed.checkpoints
        return judge(self.history, read_store(self.world.data, AGREEMENT))

    def alarms(self, code: str) -> list[str]:
        """Give the alarms that a nation's node has raised."""
        if not self._mirror(code).exists():
            return []
        database = apsw.Connection(str(self._mirror(code)), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            database.set_busy_timeout(30_000)
            return [" ".join(map(str, row)) for row in database.execute("SELECT kind, subject, detail FROM alarm")]
        finally:
            database.close()

    def _mirror(self, code: str) -> Path:
        return self.world.node_directory(code) / "mirror.sqlite"
