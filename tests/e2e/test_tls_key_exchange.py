"""What the two ends of a connection agree on, read from the wire: the server's half of the handshake is in the clear."""

import socket
import threading

from processes import ending
from world_files import made_world

X25519MLKEM768 = 0x11EC
_HANDSHAKE, _SERVER_HELLO, _KEY_SHARE, _SUPPORTED_VERSIONS, _TLS13 = 22, 2, 51, 43, b"\x03\x04"


class Tap:
    """A relay to an address that keeps the first bytes the other side sends on the first connection."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._there = (host, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.heard = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.create_connection(self._there)
            threading.Thread(target=self._relay, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._relay, args=(far, near, True), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, listening: bool) -> None:
        try:
            while data := source.recv(65_536):
                if listening and len(self.heard) < 65_536:
                    self.heard += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


def server_hello(heard: bytes) -> dict[int, bytes]:
    """Give the extensions of a ServerHello (RFC 8446, section 4.1.3) by their numbers."""
    assert heard[0] == _HANDSHAKE
    body = heard[5 : 5 + int.from_bytes(heard[3:5], "big")]
    assert body[0] == _SERVER_HELLO
    at = 4 + 2 + 32
    at += 1 + body[at] + 2 + 1
    end = at + 2 + int.from_bytes(body[at : at + 2], "big")
    at += 2
    found = {}
    while at < end:
        number, length = (int.from_bytes(body[at + i : at + i + 2], "big") for i in (0, 2))
        found[number] = body[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def test_our_own_ends_agree_on_a_hybrid_key_exchange(tmp_path):
    world = made_world(tmp_path)
    with ending(world.start_broker()) as (broker,):
        tap = Tap(broker.address)
        world.machine("XAR").done("agreement", "list", "--as", "XAR/n1", "--broker", tap.address)
        tap.close()
    extensions = server_hello(tap.heard)
    assert extensions[_SUPPORTED_VERSIONS] == _TLS13
    assert int.from_bytes(extensions[_KEY_SHARE][:2], "big") == X25519MLKEM768
