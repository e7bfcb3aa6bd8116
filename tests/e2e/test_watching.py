"""A running broker watched: its status for people and programs, its metrics over loopback, and a consumer that stands still."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import pty
import signal
import subprocess
import threading
from contextlib import asynccontextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from comity.envelope.segment import parse_segment
from comity.node.connection import Connection
from comity.v1 import exchange_pb2
from processes import COMITY, ending, environment, free_port, until
from world_files import AGREEMENT, made_world

DAY_SECONDS = 86_400
INTERRUPTED = 130


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return made_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def broker(world, port):
    more = {"COMITY_BROKER_METRICS_LISTEN": f"127.0.0.1:{port}", "COMITY_BROKER_STALLED_AFTER": "0.5"}
    with ending(world.start_broker(**more)) as (started,):
        yield started


def sent(world, text: str) -> None:
    path = world.path / "report.txt"
    path.write_text(text)
    world.send(path).done()


def status(world) -> dict:
    ran = world.start("XAR", "broker", "status", "--as", "XAR/officer1", "--json")
    ran.done()
    return ran.records[0]


def said(world, *words: str) -> str:
    ran = world.start("XAR", "broker", "status", "--as", "XAR/officer1", *words)
    ran.done()
    return ran.out.read_text()


def scraped(port: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    assert response.status == 200
    return parsed(response.read().decode())


def parsed(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


@asynccontextmanager
async def standing_still(world):
    """A node of XBO that gives the first report back until tomorrow, so that its lane waits behind it."""
    passphrase = world.passphrase_file.read_bytes().strip()
    async with Connection.of_identity(world.machine("XBO").home, "XBO/n1", passphrase) as connection:
        call = connection.exchange.Subscribe()
        credit = exchange_pb2.Credit(reports=100, bytes=1 << 20)
        await call.write(exchange_pb2.SubscribeRequest(open=exchange_pb2.SubscribeOpen(credit=credit)))
        while (frame := await call.read()).WhichOneof("frame") != "delivery":
            pass
        segment = parse_segment(frame.delivery.segment)
        nack = exchange_pb2.Nack(
            slots=[
                exchange_pb2.SlotRef(agreement_id=AGREEMENT, segment_id=segment.segment_id, slot=one.slot)
                for one in frame.delivery.slots
            ]
        )
        nack.retry_after.FromSeconds(DAY_SECONDS)
        await call.write(exchange_pb2.SubscribeRequest(nack=nack))
        try:
            yield
        finally:
            call.cancel()


def while_standing_still(world, look) -> None:
    """Do something while that node's stream is open, in a thread of its own."""
    opened, done = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    async def stand() -> None:
        async with standing_still(world):
            opened.set()
            await asyncio.to_thread(done.wait)

    def run() -> None:
        try:
            asyncio.run(stand())
        except BaseException as error:  # noqa: BLE001 - what fails in that thread is told in this one
            failed.append(error)
            opened.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        opened.wait()
        assert failed == []
        look()
    finally:
        done.set()
        thread.join()


def test_an_operator_watches_a_broker_and_is_told_of_a_consumer_that_stands_still(world, broker, port):
    sent(world, "one boat")
    before = status(world)
    assert (before["state"], before["alarms"], before["operations_dropped"]) == ("SERVING", [], 0)
    assert before["agreements"][0]["reports"] >= 1
    assert {"commits_per_second", "admitted_per_second", "refusals_per_minute"} <= before["rates"].keys()
    assert [one["precedence"] for one in before["disk_reserves"]][1:] == ["flash", "immediate", "priority", "routine"]
    assert scraped(port)["comity_admitted_reports_total", _lane("XAR")] == 1

    def look() -> None:
        sent(world, "two boats")
        until(lambda: [one["kind"] for one in status(world)["alarms"]] == ["STALLED"], "the consumer is an alarm")
        told = status(world)
        (consumer,) = told["consumers"]
        assert (consumer["node"], consumer["consumer"], consumer["stalled"]) == ("XBO/n1", "default", True)
        assert (consumer["backlog"], consumer["backlog_by_class"], consumer["retried"]) == (2, {"routine": 2}, 1)
        assert consumer["attempts"] >= 1
        assert consumer["credits"] > 0
        assert consumer["oldest_waiting_at"].endswith("Z")
        (alarm,) = told["alarms"]
        assert (alarm["node"], alarm["consumer"], bool(alarm["what_to_do"])) == ("XBO/n1", "default", True)
        text = said(world)
        assert "ALARM STALLED XBO/n1 default, since " in text
        assert "XBO/n1" in text
        values = until(lambda: _stalled(scraped(port)), "the metrics say so too")
        assert values["comity_alarms", (("kind", "STALLED"),)] == 1
        assert values["comity_backlog_reports", _lane("XBO")] == 2
        asked = parsed(said(world, "--prometheus"))
        assert {name for name, _ in asked} == {name for name, _ in values}

    while_standing_still(world, look)
    assert any(one["event"] == "consumer_stalled" for one in logged(broker))


def test_watching_without_a_terminal_is_one_picture_and_for_programs_a_line_each_time(world, broker):
    assert said(world, "--watch").count("SERVING") == 1
    watching = world.start("XAR", "broker", "status", "--as", "XAR/officer1", "--json", "--watch", "--every", "0.5")
    watching.wait_for(lambda: len(watching.records) >= 3, "three pictures")
    assert watching.stop() == 0
    assert {one["state"] for one in watching.records} == {"SERVING"}


def test_on_a_terminal_it_is_drawn_anew_until_ctrl_c_gives_the_first_screen_back(world, broker):
    ours, theirs = pty.openpty()
    try:
        machine = world.machine("XAR")
        watching = subprocess.Popen(
            [COMITY, "broker", "status", "--as", "XAR/officer1", "--watch", "--every", "0.5"],
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment(machine.path, machine.passphrase_file),
        )  # fmt: skip
        os.close(theirs)
        seen = b""
        while seen.count(b"SERVING") < 3:
            seen += os.read(ours, 1 << 16)
        watching.send_signal(signal.SIGINT)
        while b"\x1b[?1049l" not in seen:
            seen += os.read(ours, 1 << 16)
        assert watching.wait(60) == INTERRUPTED
        assert seen.startswith(b"\x1b[?1049h")
        assert seen.count(b"\x1b[H") >= 3
    finally:
        watching.kill()
        os.close(ours)


def test_another_partys_operator_gets_no_metrics(world, broker):
    for option in ("--prometheus", "--json"):
        asking = world.start("XBO", "broker", "status", "--as", "XBO/officer1", option)
        asking.done(11)
        assert asking.lines == []


def test_a_broker_that_would_show_its_metrics_to_the_network_does_not_start(world):
    refused = world.start("XAR", "broker", "run", "--data", world.data, COMITY_BROKER_METRICS_LISTEN="0.0.0.0:9464")
    refused.done(2)
    assert "metrics_listen is '0.0.0.0:9464', which is no loopback address" in refused.log.read_text()


def _lane(party: str) -> tuple[tuple[str, str], ...]:
    return (("agreement", AGREEMENT), ("class", "routine"), ("party", party))


def _stalled(values: dict) -> dict:
    return values if values.get(("comity_stalled_consumers", (("party", "XBO"),))) == 1 else {}


def logged(broker) -> list[dict]:
    return [json.loads(line) for line in broker.log.read_text().splitlines() if line.startswith("{")]
