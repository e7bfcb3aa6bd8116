"""What a ServerHello says of the connection, and bytes that are none."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders_sdk import sharing
from comity.errors import UnreachableError
from comity.node.handshake_seen import TLS13, X25519MLKEM768, handshake_with, read_server_hello


def hello(*extensions, session=b"\x07" * 32):
    listed = b"".join(number.to_bytes(2) + len(data).to_bytes(2) + data for number, data in extensions)
    body = (
        b"\x03\x03" + bytes(32) + bytes([len(session)]) + session + b"\x13\x02\x00" + len(listed).to_bytes(2) + listed
    )
    message = b"\x02" + len(body).to_bytes(3) + body
    return b"\x16\x03\x03" + len(message).to_bytes(2) + message


GOOD = hello((51, X25519MLKEM768.to_bytes(2) + b"\x00\x01\x07"), (43, TLS13.to_bytes(2)))


def test_version_and_key_exchange_are_read():
    seen = read_server_hello(GOOD + b"more")
    assert (seen.version_name, seen.group_name) == ("TLS 1.3", "X25519MLKEM768")
    older = read_server_hello(hello(session=b""))
    assert (older.version_name, older.group_name) == ("no TLS 1.3", "no key share")
    other = read_server_hello(hello((51, b"\x99\x99"), (43, b"\x03\x05")))
    assert (other.version_name, other.group_name) == ("TLS 0x0305", "group 0x9999")


@pytest.mark.parametrize(
    "heard", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03"]
)
def test_what_is_no_handshake_is_said_to_be_none(heard):
    with pytest.raises(UnreachableError):
        read_server_hello(heard)


@given(st.integers(0, len(GOOD)), st.binary(max_size=8))
def test_whatever_comes_is_read_or_refused(kept, more):
    try:
        read_server_hello(GOOD[:kept] + more)
    except UnreachableError:
        return


async def test_our_own_ends_are_seen_and_something_else_is_not_taken_for_them(tmp_path):
    async with sharing(tmp_path) as shared:
        target = shared.access("XAR").target
        seen = await handshake_with(target)
        assert (seen.version, seen.group) == (TLS13, X25519MLKEM768)

        async def answer(reader, writer):
            writer.write(b"220 mail.example ESMTP\r\n")
            await writer.drain()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(UnreachableError):
                await handshake_with(replace(target, address=address))
        with pytest.raises(UnreachableError):
            await handshake_with(replace(target, address=address))
