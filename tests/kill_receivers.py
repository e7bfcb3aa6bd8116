"""Killing `comity receive` again and again: what it writes is neither repeated nor lost.

    summary = kill_receivers(made_world(tmp_path), kills=50)

The reports wait at the broker, at least `LEAST` of them at every kill. A kill is set off by what the receiver did last: a portion's file
appeared (its report is not whole yet), a report became whole (it is not acknowledged yet), or a report was told (it is). What it
then really cut off is read from what is on disk and what was told: several reports are under way at once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from kill_brokers import numbered_directories
from processes import Process, ending
from world_files import World

LEAST = 64
REPORTS_A_KILL = 6


class Moment(StrEnum):
    """What a kill may cut off."""

    IN_A_REPORT = "a report had its first file and not its last"
    BEFORE_ACKNOWLEDGED = "a report was whole and not told"
    AFTER_ACKNOWLEDGED = "a report had just been told"


@dataclass
class Summary:
    """What happened: how many kills, and in how many of them each of these was so (several may be: reports overlap)."""

    kills: int = 0
    cut: Counter[Moment] = field(default_factory=Counter)
    reports: int = 0

    def __str__(self) -> str:
        places = ", ".join(f"in {self.cut[moment]} {moment.value}" for moment in Moment)
        return (
            f"{self.kills} kills of the receiver: {places}; at least {LEAST} reports waited at each. "
            f"{self.reports} reports, each there once and whole, none written twice."
        )


def kill_receivers(world: World, kills: int) -> Summary:
    """Kill a world's receiver so many times while reports wait for it, and check everything; gives what happened."""
    summary = Summary()
    sent = next(numbered_directories(world.path / "reports", LEAST + REPORTS_A_KILL * (kills + 1)))
    texts = sorted(path.read_text() for path in sent.iterdir())
    told: list[dict] = []
    with ending(world.start_broker()):
        world.send(sent).done()
        for number in range(kills):
            receiving = world.receive("--follow")
            with ending(receiving):
                _wait_for_moment(receiving, world.inbox, list(Moment)[number % len(Moment)], number)
                receiving.kill()
            told += receiving.records
            summary.kills += 1
            summary.cut.update(_cut_off(world.inbox, told, receiving))
            assert len(texts) - len(_whole(world.inbox)) >= LEAST
        receiving = world.receive()
        receiving.done(seconds=300)
        told += receiving.records
    _check(world.inbox, texts, told)
    summary.reports = len(texts)
    return summary


def _wait_for_moment(receiving: Process, inbox: Path, moment: Moment, number: int) -> None:
    """Wait until something of this kind happened once or a few times in this process."""
    count: Callable[[], int] = {
        Moment.IN_A_REPORT: lambda: len(_portions(inbox)),
        Moment.BEFORE_ACKNOWLEDGED: lambda: len(_whole(inbox)),
        Moment.AFTER_ACKNOWLEDGED: lambda: len(receiving.lines),
    }[moment]
    before, more = count(), 1 + number // len(Moment) % 3
    receiving.wait_for(lambda: count() >= before + more, f"{moment.value}, {more} times")


def _cut_off(inbox: Path, told: list[dict], receiving: Process) -> list[Moment]:
    whole = {path.stem for path in _whole(inbox)}
    found = []
    if len(_portions(inbox)) > len(whole):
        found.append(Moment.IN_A_REPORT)
    if whole - {record["report_id"] for record in told}:
        found.append(Moment.BEFORE_ACKNOWLEDGED)
    if receiving.lines:
        found.append(Moment.AFTER_ACKNOWLEDGED)
    return found


def _portions(inbox: Path) -> list[Path]:
    return list(inbox.glob("[!.]*-1.txt"))


def _whole(inbox: Path) -> list[Path]:
    return list(inbox.glob("[!.]*.json"))


def _check(inbox: Path, texts: list[str], told: list[dict]) -> None:
    """Every report is there once, whole and with its own text; no report is told twice as new.

    (A killed write may leave a hidden file beside them, as a killed `cp` does; it has no report's name.)
    """
    whole = _whole(inbox)
    received = []
    for path in whole:
        (portion,) = json.loads(path.read_text())["portions"]
        received.append((inbox / portion["file"]).read_text())
    assert sorted(received) == texts
    assert len(_portions(inbox)) == len(whole)
    # What is told twice was told by a process that died before its acknowledgement was on disk: it wrote nothing the second time.
    said = Counter(UUID(record["report_id"]) for record in told)
    assert said.keys() <= {UUID(path.stem) for path in whole}
    again = [record for record in told if said[UUID(record["report_id"])] > 1]
    assert all(sum(one["new"] for one in again if one["report_id"] == record["report_id"]) <= 1 for record in again)
    assert all(record["attempt"] > 1 for record in again if not record["new"])
