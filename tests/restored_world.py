"""A broker restored from an old backup while its nations go on, by the real commands; what came of every report is held against it.

story = RestoredWorld(made_world(tmp_path))
story.before(); story.lost(); story.restore(); story.confirm(); story.after()
story.check()                       # not one receipted report is missing at the receiver, none was shown twice
"""

from __future__ import annotations

import json
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from kill_brokers import numbered_directories
from processes import Process, ending
from world_files import AGREEMENT, CODES, World

FEW = 12
MANY = 1_500


@dataclass
class RestoredWorld:
    """The story, step by step; `told` is what every receiver said, `receipts` what every sender was promised."""

    world: World
    texts: list[str] = field(default_factory=list)
    told: list[dict] = field(default_factory=list)
    receipts: list[dict] = field(default_factory=list)
    backup: dict = field(default_factory=dict)
    restored: dict = field(default_factory=dict)
    _number: int = 0

    @property
    def saved(self) -> Path:
        return self.world.path / "backup"

    def reports(self, count: int) -> Path:
        """Make so many reports that nobody sent before."""
        self._number += 1
        made = next(numbered_directories(self.world.path / f"reports-{self._number}", count))
        self.texts += [path.read_text() for path in made.iterdir()]
        return made

    def send(self, count: int) -> Process:
        return self.world.send(self.reports(count))

    def sent(self, *sending: Process) -> None:
        """Wait until senders are through, and keep what they were promised."""
        for one in sending:
            one.done()
            self.receipts += [record for record in one.records if "report_id" in record]

    def received(self, count: int) -> None:
        """Receive until so many reports have come in all."""
        receiving = self.world.receive("--follow")
        with ending(receiving):
            self.came(receiving, count)
            self.left(receiving)

    def came(self, receiving: Process, count: int) -> None:
        """Wait until so many reports have come in all, as far as this receiver and those before it told."""
        receiving.wait_for(lambda: len(self.told) + len(receiving.lines) >= count, f"{count} reports", seconds=120)

    def left(self, receiving: Process) -> None:
        """Let a receiver end, and keep what it told."""
        receiving.stop()
        self.told += receiving.records

    # --- the story --------------------------------------------------------------------------------------------------

    def before(self) -> None:
        """What the backup knows: some reports received, some only sent; it is taken while more are being sent."""
        with ending(self.world.start_broker()):
            self.sent(self.send(FEW))
            self.received(FEW)
            self.sent(self.send(FEW))
            streaming = self.send(MANY)
            streaming.wait_for(lambda: streaming.lines, "the first receipt of the stream")
            (self.backup,) = self.command("backup", self.saved).records
            self.sent(streaming)

    def lost(self) -> Process:
        """What the backup does not know: reports acknowledged since, and others that only the sender has a receipt of.

        Gives a receiver that stays.
        """
        broker = self.world.start_broker()
        with ending(broker):
            self.sent(self.send(FEW))
            staying = self.world.receive("--follow")
            self.came(staying, 3 * FEW + MANY)
            staying.signal(signal.SIGSTOP)
            self.sent(self.send(FEW))
            for code in CODES:
                self.world.machine(code).done("agreement", "list", "--as", f"{code}/officer1")
            broker.kill()
        staying.signal(signal.SIGCONT)
        return staying

    def restore(self) -> None:
        (self.restored,) = self.command("restore", self.saved, "--replace").records

    def confirm(self) -> list[dict]:
        """Have the liaison of each party confirm."""
        return [
            self.world.machine(code)
            .done("agreement", "confirm-log", AGREEMENT, "--yes", "--json", "--as", f"{code}/officer1")
            .records[0]
            for code in CODES
        ]

    def command(self, name: str, *words: str | Path) -> Process:
        """Run a command of the hub to its end."""
        process = self.world.start("XAR", "broker", name, *words, "--data", self.world.data, "--json", name=name)
        process.done()
        return process

    # --- what is true afterwards ------------------------------------------------------------------------------------

    def check(self) -> None:
        """Every report that has a receipt is at the receiver once, with its own text, and was told once as new."""
        inbox = self.world.inbox
        here = {path.stem: json.loads(path.read_text()) for path in inbox.glob("[!.]*.json")}
        assert {one["report_id"] for one in self.receipts} <= here.keys()
        found = sorted((inbox / one["portions"][0]["file"]).read_text() for one in here.values())
        assert found == sorted(self.texts)
        assert Counter(one["report_id"] for one in self.told if one["new"]) == Counter(here.keys())
