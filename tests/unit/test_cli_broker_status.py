"""What `comity broker status` shows: alarms first, every number that an operator needs, drawn anew on a terminal."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from comity.cli.main import cli
from comity.cli.output import Output
from comity.errors import AccessError, UnreachableError
from comity.node.operations import (
    AgreementStatus,
    BrokerAlarm,
    BrokerRates,
    BrokerStatus,
    ConsumerStatus,
    DiskReserve,
    class_name,
)
from comity_broker.cli import status
from comity_broker.cli.status import lines_of, record_of, screen, show_status

NOW = 1_790_000_000_000

CONSUMER = ConsumerStatus(
    node="XBO/n1",
    consumer="default",
    connected=True,
    backlog=7,
    in_flight=2,
    credits=30,
    oldest_waiting_at=NOW - 7_300_000,
    parked=1,
    held=3,
    backlog_by_class={"flash": 2, "routine": 5},
    retried=1,
    attempts=4,
    stalled_since=NOW - 300_000,
)
AWAY = replace(CONSUMER, node="XBO/n2", connected=False, backlog_by_class={}, backlog=0, oldest_waiting_at=0)
STATUS = BrokerStatus(
    broker="XAR/hub",
    tls_name="hub.xar.example",
    incarnation="00" * 16,
    started_at=NOW - 1000,
    now=NOW,
    state="SERVING",
    version="0.1.0",
    key_log_size=9,
    disk_free_bytes=14,
    disk_total_bytes=100,
    commit_p50_ms=1.25,
    commit_p99_ms=8.5,
    operations_dropped=2,
    operations_log_size=4,
    write_ahead_bytes=3 << 20,
    maintenance_until=0,
    rates=BrokerRates(12.0, 340.0, 339.0, 338.0, 6.0),
    disk_reserves=(
        DiskReserve("control", 0.95, refusing=False),
        DiskReserve("priority", 0.9, refusing=False),
        DiskReserve("routine", 0.85, refusing=True),
    ),
    alarms=(
        BrokerAlarm("STALLED", "", NOW - 300_000, 0, "7 reports wait", "Tell the node\x1b[2J", "XBO/n1", "default"),
        BrokerAlarm("FROZEN", "XAR-XBO-1", 0, 0, "two histories", "Copy the data."),
        BrokerAlarm("NEW-KIND", "", 0, 3, "who knows", "Read the notes."),
    ),
    agreements=(AgreementStatus("XAR-XBO-1", "IN_FORCE", 40, 12, "two histories"),),
    consumers=(CONSUMER, replace(AWAY, stalled_since=0, retried=0, attempts=0)),
)


def test_alarms_come_first_each_with_what_to_do_and_nothing_that_drives_a_terminal():
    lines = lines_of(STATUS)
    assert lines[0].startswith("XAR/hub (hub.xar.example), SERVING since ")
    assert lines[1].startswith("ALARM STALLED XBO/n1 default, since 2026-")
    assert lines[1].endswith(": 7 reports wait")
    assert lines[3:5] == ["ALARM FROZEN XAR-XBO-1: two histories", "  Copy the data."]
    assert lines[5] == "ALARM NEW-KIND XAR/hub, 3 times: who knows"
    assert "\x1b" not in "\n".join(lines)


def test_rates_disk_and_logs_stand_in_a_line_each():
    text = "\n".join(lines_of(STATUS))
    assert "now 340.0 reports/s in, 339.0/s out, 338.0/s acknowledged; 6 refusals/min" in text
    assert "commits 12.0/s; in the last minute 1.2 ms, 99 of 100 within 8.5 ms" in text
    assert "disk 86% used; PRIORITY until 90%, ROUTINE REFUSED" in text
    assert "key log 9 entries; operations log 4, 2 records dropped; write-ahead log 3.0 MiB" in text


def test_a_consumer_has_its_state_backlog_by_class_age_and_attempts():
    here, away = (line.split() for line in lines_of(STATUS)[-2:])
    assert here == ["XBO/n1", "default", "STALLED", "flash", "2", "routine", "5", "2h", "2", "30", "1",
                    "(attempt", "4)", "1", "3"]  # fmt: skip
    assert away == ["XBO/n2", "default", "away", "0", "-", "2", "-", "0", "1", "3"]


def test_a_broker_without_agreements_and_consumers_says_so():
    assert lines_of(replace(STATUS, agreements=(), consumers=()))[-2:] == ["No agreement yet.", "No consumer yet."]


def test_programs_get_times_as_such_and_nothing_for_what_is_not_known(capsys):
    show_status(Output(json=True), STATUS)
    said = json.loads(capsys.readouterr().out)
    assert said["rates"]["admitted_per_second"] == 340.0
    assert said["disk_reserves"][2] == {"precedence": "routine", "full_at": 0.85, "refusing": True}
    first, second = said["consumers"]
    assert (first["stalled"], first["stalled_since"][:5], first["backlog_by_class"]) == (
        True,
        "2026-",
        {"flash": 2, "routine": 5},
    )
    assert (second["stalled"], "stalled_since" in second, "oldest_waiting_at" in second) == (False, False, False)
    assert (said["alarms"][0]["node"], "since" in said["alarms"][1]) == ("XBO/n1", False)
    assert record_of(STATUS)["started_at"] == "2026-09-21T14:13:19.000Z"


def test_each_class_has_its_word_and_a_later_one_its_number():
    assert [class_name(one) for one in (0, 1, 4, 7, 10)] == ["control", "flash", "routine", "exercise-immediate", "10"]


# --- watching -------------------------------------------------------------------------------------------------------


def test_a_screen_is_cut_to_the_terminal_and_says_how_much_found_no_room():
    drawn = screen([f"line {number} is long" for number in range(10)], 6, 4)
    shown = drawn.removeprefix("\x1b[H").removesuffix("\x1b[J").split("\x1b[K")
    assert shown == ["line 0", "\nline 1", "\nline 2", "\n... 7 ", ""]
    assert screen(["a"], 80, 4) == "\x1b[Ha\x1b[K\x1b[J"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Asked:
    """A broker that gives these answers, one each time; the last one ends the watching."""

    def __init__(self, *answers: BrokerStatus | Exception) -> None:
        self.answers = list(answers)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def __call__(self, connection: Asked) -> BrokerStatus:
        assert connection is self
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


async def watched(monkeypatch, output: Output, *answers) -> str:
    broker, terminal = Asked(*answers), Terminal()
    monkeypatch.setattr(status, "broker_status", broker)
    monkeypatch.setattr(sys, "stdout", terminal)
    await asyncio.gather(status.watch(output, broker, 0.0), return_exceptions=True)
    assert broker.answers == []
    return terminal.getvalue()


async def test_watching_draws_anew_and_gives_the_first_screen_back(monkeypatch):
    drawn = await watched(monkeypatch, Output(), STATUS, replace(STATUS, state="DRAINING"), AccessError("no more"))
    assert drawn.startswith("\x1b[?1049h")
    assert drawn.endswith("\x1b[?1049l")
    assert drawn.count("\x1b[H") == 2
    assert drawn.index("SERVING") < drawn.index("DRAINING")


async def test_a_broker_that_is_away_is_said_to_be_and_asked_again(monkeypatch):
    away = UnreachableError("the broker does not answer")
    drawn = await watched(monkeypatch, Output(), STATUS, away, STATUS, AccessError("no more"))
    assert drawn.count("\x1b[H") == 3
    assert drawn.count("NOT REACHED: the broker does not answer; below is what was at ") == 1


async def test_programs_get_a_line_each_time_and_the_error_that_ends_it(monkeypatch):
    written = await watched(monkeypatch, Output(json=True), STATUS, STATUS, UnreachableError("away"))
    assert [json.loads(line)["broker"] for line in written.splitlines()] == ["XAR/hub"] * 2


@pytest.mark.parametrize("words", [("--prometheus", "--watch"), ("--prometheus", "--json")])
def test_metrics_are_neither_watched_nor_json(tmp_path, words):
    ran = CliRunner().invoke(cli, ["broker", "status", "--home", str(tmp_path), *words])
    assert "--prometheus goes with neither --watch nor --json" in str(ran.exception)
