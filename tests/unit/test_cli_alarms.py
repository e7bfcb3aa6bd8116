"""Alarms on standard error: each once, those that come later too, and never more than a person reads."""

import asyncio
import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from comity.cli.alarms import MOST, telling_alarms
from comity.cli.output import Output
from comity.errors import StorageError
from comity.node.alarms import Alarm, AlarmKind

AT = 1_790_000_000_500


@dataclass
class Watched:
    """As much of a node as has alarms."""

    found: list[Alarm] = field(default_factory=list)
    broken: bool = False

    connection = SimpleNamespace(held_until=0)

    def alarms(self) -> tuple[Alarm, ...]:
        if self.broken:
            raise StorageError("the mirror cannot be read")
        return tuple(self.found)

    def notice(self, number: int) -> None:
        self.found.append(Alarm(AlarmKind.SEQUENCE_GAP, "XAR-XBO-1", f"lane {number}", "no reason given", AT))


def told(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


async def test_each_alarm_is_told_once_whether_it_stood_or_came(capsys):
    node = Watched()
    node.notice(1)
    async with telling_alarms(Output(quiet=True), node):
        assert told(capsys) == [
            "comity: ALARM SEQUENCE_GAP at 2026-09-21T14:13:20.500Z, XAR-XBO-1, lane 1: no reason given"
        ]
        node.notice(2)
    (line,) = told(capsys)
    assert "lane 2" in line


async def test_what_comes_while_a_command_follows_is_told_before_it_ends(capsys):
    node, lines = Watched(), []
    async with asyncio.timeout(30), telling_alarms(Output(), node, look_seconds=0):
        node.notice(1)
        while not lines:
            await asyncio.sleep(0)
            lines = told(capsys)
    assert "lane 1" in lines[0]
    assert told(capsys) == []


async def test_of_many_the_newest_are_told_and_how_many_were_before(capsys):
    node = Watched()
    for number in range(MOST + 7):
        node.notice(number)
    async with telling_alarms(Output(json=True), node):
        first, *others = [json.loads(line)["alarm"] for line in told(capsys)]
    assert first == {"earlier": 7}
    assert [one["subject"] for one in others] == [f"lane {number}" for number in range(7, MOST + 7)]


async def test_a_mirror_that_cannot_be_read_ends_the_command():
    node = Watched()
    with pytest.raises(StorageError):
        async with telling_alarms(Output(), node):
            node.broken = True
