"""Ways to wake somebody: a command without a shell, an address that is posted to; neither is told more than which report waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import stat
from pathlib import Path

import pytest

from comity.errors import UsageError
from comity.node import contacting
from comity.node.contacting import Command, Webhook, contact_of

FACTS = {
    "report_id": "019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01",
    "agreement_id": "XAR-XBO-1",
    "originator": "XAR",
    "precedence": "FLASH",
    "reading_due": None,
    "contact": 1,
    "contacts": 2,
}


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return shlex.quote(str(path))


async def test_a_command_gets_its_words_and_the_facts_and_nothing_else_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("COMITY_PASSPHRASE_FILE", "/secret")
    out = tmp_path / "out"
    program = script(tmp_path / "page it", f'env > "{out}"; for one in "$@"; do echo "argument=$one" >> "{out}"; done')
    assert await contact_of(f"{program} 'duty desk; touch {tmp_path}/no' $HOME").wake(FACTS)
    lines = out.read_text().splitlines()
    assert {one for one in lines if one.startswith("COMITY_")} == {
        "COMITY_ALERT_REPORT_ID=019a8f2e-6f3c-7d4e-9a10-2b7c5d8e9f01",
        "COMITY_ALERT_AGREEMENT_ID=XAR-XBO-1",
        "COMITY_ALERT_ORIGINATOR=XAR",
        "COMITY_ALERT_PRECEDENCE=FLASH",
        "COMITY_ALERT_CONTACT=1",
        "COMITY_ALERT_CONTACTS=2",
    }
    assert lines[-2:] == [f"argument=duty desk; touch {tmp_path}/no", "argument=$HOME"]
    assert not (tmp_path / "no").exists()


async def test_a_command_that_fails_hangs_or_is_gone_did_not_wake(tmp_path, monkeypatch):
    monkeypatch.setattr(contacting, "COMMAND_SECONDS", 0.2)
    assert not await contact_of(script(tmp_path / "fails", "exit 3")).wake(FACTS)
    pid = tmp_path / "pid"
    hangs = contact_of(script(tmp_path / "hangs", f'sleep 1000 & echo $! > "{pid}"; wait'))
    assert not await hangs.wake(FACTS)
    await _gone(int(pid.read_text()))
    gone = contact_of(script(tmp_path / "gone", "exit 0"))
    (tmp_path / "gone").unlink()
    assert not await gone.wake(FACTS)


async def _gone(pid):
    """Wait until what a command began has ended with it."""
    for _ in range(10_000):
        with contextlib.suppress(FileNotFoundError):
            if b"State:\tZ" not in await asyncio.to_thread(_status, pid):
                await asyncio.sleep(0)
                continue
        return
    raise AssertionError(f"{pid} lives on")


def _status(pid):
    return Path(f"/proc/{pid}/status").read_bytes()


@pytest.mark.parametrize("words", ["", "   ", "no-such-program --x", "'unclosed"])
def test_a_command_that_cannot_run_is_refused_when_it_is_given(words):
    with pytest.raises(UsageError):
        contact_of(words)


@pytest.mark.parametrize(
    "address",
    [
        "http://desk.xbo.example/",
        "http://10.0.0.1/",
        "http://127.0.0.1.xbo.example/",
        "https://user:word@desk.xbo.example/",
        "https:///path",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "https://desk.xbo.example:99999/",
        "https://desk.xbo.example/\r\nX-More: 1",
        "https://[::1/",
    ],
)
def test_an_address_that_is_not_safe_is_refused_when_it_is_given(address):
    with pytest.raises(UsageError):
        contact_of(address)


@pytest.mark.parametrize(
    "address", ["https://desk.xbo.example/a?b=c", "http://127.0.0.1:8080/", "http://[::1]:8080/x", "http://localhost/"]
)
def test_an_address_is_https_or_on_loopback(address):
    assert isinstance(contact_of(address), Webhook)
    assert isinstance(contact_of("true"), Command)


@contextlib.asynccontextmanager
async def answering(*answers):
    """Answer requests on loopback one after the other; give the address and what came."""
    came = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(next(one for one in head.split(b"\r\n") if one.startswith(b"Content-Length")).split()[1])
        came.append((head.split(b"\r\n", 1)[0], await reader.readexactly(length)))
        answer = answers[min(len(came), len(answers)) - 1]
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/alert?x=1", came


OK = b"HTTP/1.1 204 No Content\r\n\r\n"


async def test_an_address_gets_the_facts_as_json():
    async with answering(OK) as (address, came):
        assert await contact_of(address).wake(FACTS)
    ((line, body),) = came
    assert line == b"POST /alert?x=1 HTTP/1.1"
    assert json.loads(body) == FACTS


async def test_a_redirect_is_a_failure_and_is_not_followed():
    async with answering(OK) as (elsewhere, followed):
        moved = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere}\r\n\r\n".encode()
        async with answering(moved) as (address, came):
            assert not await contact_of(address).wake(FACTS)
    assert (len(came), followed) == (1, [])


async def test_what_fails_for_now_is_tried_three_times_and_what_is_refused_once(monkeypatch):
    monkeypatch.setattr(contacting, "AGAIN_SECONDS", 0.001)
    down = b"HTTP/1.1 503 Busy\r\n\r\n"
    for answers, woken, tries in (
        ((down, b"no http\r\n", OK), True, 3),
        ((down,), False, 3),
        ((b"",), False, 3),
        ((b"x" * 4096,), False, 3),
        ((b"HTTP/1.1 404 Not Found\r\n\r\n",), False, 1),
    ):
        async with answering(*answers) as (address, came):
            assert await contact_of(address).wake(FACTS) is woken, answers
        assert len(came) == tries, answers


async def test_an_address_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(contacting, "AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(contacting, "POST_SECONDS", 0.05)
    async with answering(None) as (address, came):
        assert not await contact_of(address).wake(FACTS)
    assert len(came) == contacting.TRIES


async def test_nobody_listening_is_a_failure(monkeypatch):
    monkeypatch.setattr(contacting, "AGAIN_SECONDS", 0.001)
    async with answering(OK) as (address, _):
        pass
    assert not await contact_of(address).wake(FACTS)
    assert os.environ.get("COMITY_ALERT_REPORT_ID") is None
