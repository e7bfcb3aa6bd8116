"""The port for metrics: off unless asked for, on loopback, one page, and nothing that a stranger sends holds it up."""

from __future__ import annotations

import asyncio
import http.client
import socket

import pytest

from builders_broker import brokered
from builders_sdk import until
from comity.errors import StorageError, UnreachableError, UsageError
from comity_broker import scraping
from comity_broker.scraping import CONNECTIONS, REQUEST_BYTES, REQUESTS, Scraping, is_loopback, refusal
from comity_broker.settings import Settings, read_settings


def settings(listen: str) -> Settings:
    return Settings(listen="127.0.0.1:0", drain=2.0, metrics_listen=listen)


class Page:
    """What is served, and how often it was asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.fault: Exception | None = None
        self.wait: asyncio.Event | None = None

    async def text(self) -> str:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        if self.wait is not None:
            await self.wait.wait()
        return "comity_x 1\n"


@pytest.fixture
def page():
    return Page()


@pytest.fixture
async def address(page, caplog):
    caplog.set_level("INFO")
    async with Scraping(page.text).serving(("127.0.0.1", 0)):
        yield "127.0.0.1", port_of(caplog)


def port_of(caplog) -> int:
    (record,) = [one for one in caplog.records if one.message == "metrics"]
    return int(record.address.rpartition(":")[2])


async def answer(address, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()


def get(target: str = "/metrics", *, host: str = "127.0.0.1", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


# --- where ----------------------------------------------------------------------------------------------------------


async def test_without_the_setting_nothing_listens(monkeypatch, tmp_path):
    async def fail(*_, **__):
        raise AssertionError("a port was opened")

    assert Settings().metrics_address is None
    monkeypatch.setattr(asyncio, "start_server", fail)
    async with brokered(tmp_path):
        pass


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:9464", "[::]:9464", "192.0.2.7:9464", "hub.example:9464", "localhost:9464", "10.0.0.1:0"]
)
def test_any_place_but_a_loopback_address_refuses_to_start_with_a_clear_line(listen):
    with pytest.raises(UsageError, match="no loopback address") as caught:
        read_settings(None, {}, {"metrics_listen": listen})
    assert repr(listen) in caught.value.message
    assert "127.0.0.1:PORT" in caught.value.what_to_do


@pytest.mark.parametrize("listen", ["9464", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:-1", "unix:/run/x"])
def test_what_is_no_address_and_port_is_refused(listen):
    with pytest.raises(UsageError, match="metrics_listen"):
        read_settings(None, {"COMITY_BROKER_METRICS_LISTEN": listen}, {})


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("127.9.9.9:0", ("127.9.9.9", 0)), ("[::1]:9464", ("::1", 9464))],
)
def test_loopback_addresses_are_taken(listen, address):
    assert read_settings(None, {}, {"metrics_listen": listen}).metrics_address == address


async def test_a_port_that_is_taken_is_said_in_one_line(page):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnreachableError, match=f"metrics_listen: 127.0.0.1:{port} cannot be listened on"):
            async with Scraping(page.text).serving(("127.0.0.1", port)):
                raise AssertionError("it was listened on")


# --- what is answered -----------------------------------------------------------------------------------------------


async def test_a_broker_that_is_told_to_is_scraped_over_loopback(tmp_path, caplog):
    caplog.set_level("INFO")
    async with brokered(tmp_path, settings("127.0.0.1:0")):
        connection = http.client.HTTPConnection("127.0.0.1", port_of(caplog))

        def scrape() -> tuple[int, str | None, bytes]:
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            return response.status, response.getheader("Content-Type"), response.read()

        status, kind, body = await asyncio.to_thread(scrape)
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b"\ncomity_commits_total " in body


async def test_the_page_is_given_and_the_connection_ends(address):
    head, _, body = (await answer(address, get())).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 11\r\n" in head
    assert body == b"comity_x 1\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get(method="POST"), 405),
        (get(method="DELETE"), 405),
        (get("/"), 404),
        (get("/metrics/../status"), 404),
        (get("/metrics?name=x"), 200),
        (get(host="hub.example"), 421),
        (get(host="127.0.0.1.evil.example:9464"), 421),
        (get(host="localhost:9464"), 200),
        (get(host="[::1]:9464"), 200),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 421),
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /metrics\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        ("GET /metrics HTTP/1.1\r\nHost: ö\r\n\r\n".encode(), 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * REQUEST_BYTES + b"\r\n\r\n", 400),
    ],
)
async def test_only_one_page_is_read_and_by_a_loopback_name_alone(address, page, request_, status):
    assert (await answer(address, request_)).startswith(b"HTTP/1.1 %d " % status)
    assert page.asked == (status == 200)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.0.0.1:1", True), ("[::1]", True), ("LOCALHOST", True), ("", False), ("[::1", False),
     ("0", False), ("[::]:1", False), ("localhost.example", False)],
)  # fmt: skip
def test_what_a_host_header_may_name(host, loopback):
    assert is_loopback(host) == loopback
    assert (refusal(f"GET /metrics HTTP/1.1\r\nhOST:  {host} \r\n") is None) == loopback


async def test_what_cannot_be_read_now_is_said_by_its_code_alone(address, page):
    page.fault = StorageError("the disk /dev/x does not answer")
    told = await answer(address, get())
    assert told.startswith(b"HTTP/1.1 503 ")
    assert told.endswith(b"\r\n\r\nSTORAGE_FAILED\n")


async def test_a_bug_of_ours_ends_the_connection_and_stands_in_the_log(address, page, caplog):
    page.fault = KeyError("nobody thought of it")
    assert await answer(address, get()) == b""
    await until(lambda: [one.message for one in caplog.records if one.levelname == "ERROR"] == ["metrics_failed"])


# --- strangers ------------------------------------------------------------------------------------------------------


async def test_whoever_sends_nothing_is_let_go(address, page, monkeypatch):
    monkeypatch.setattr(scraping, "REQUEST_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /metrics HT")
    assert await reader.read() == b""
    writer.close()
    assert page.asked == 0
    assert (await answer(address, get())).endswith(b"comity_x 1\n")


async def test_many_at_once_are_sent_away_and_those_before_are_served(address, page):
    page.wait = asyncio.Event()
    asking = [asyncio.create_task(answer(address, get())) for _ in range(REQUESTS)]
    await until(lambda: page.asked == REQUESTS)
    assert (await answer(address, get())).startswith(b"HTTP/1.1 503 ")
    page.wait.set()
    assert all(one.endswith(b"comity_x 1\n") for one in await asyncio.gather(*asking))
    await until_served(address)


async def test_no_more_connections_are_held_than_there_is_room_for(address, page):
    opened = [await asyncio.open_connection(*address) for _ in range(CONNECTIONS)]
    reader, writer = await asyncio.open_connection(*address)
    assert await reader.read() == b""
    writer.close()
    for _, one in opened:
        one.close()
    await until_served(address)


async def until_served(address) -> None:
    """Ask until there is room again."""
    for _ in range(1000):
        try:
            if (await answer(address, get())).startswith(b"HTTP/1.1 200 "):
                return
        except ConnectionError:
            pass
        await asyncio.sleep(0.001)
    raise AssertionError("there is no room again")


async def test_whoever_goes_away_leaves_nothing_behind(address, page, caplog):
    for _ in range(3 * REQUESTS):
        _, writer = await asyncio.open_connection(*address)
        writer.write(b"GET ")
        writer.transport.abort()
    await until_served(address)
    assert [one for one in caplog.records if one.levelname == "ERROR"] == []
