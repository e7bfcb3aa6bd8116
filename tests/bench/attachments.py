"""An attachment from `send` to a file at the other end, beside a bare copy of the same file that is encrypted too (design 04).

What is measured: encrypted as Cobblestone into the outbox, hashed, synced, uploaded over mTLS, hashed and synced by the broker, its report
signed, admitted and delivered, downloaded over mTLS, hashed against what was signed, decrypted, synced, and given its name.

The copy is what one would write oneself: read, AES-256-GCM in pieces of 128 KiB, over mTLS in Python (grpc.aio) to a process that keeps
it with fsync, over mTLS again to one that decrypts and writes it with fsync; nothing is resumed, hashed or written a second time. The
value is our rate as a share of the copy's, both of this run and in turn. The context has the most memory each process had resident.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median

import grpc
from copy_process import BLOCK_BYTES, PIECE_BYTES, SERVICE
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from exchanging import HERE, PATIENCE_SECONDS
from results import PERCENT, Row
from round_trips import certified, connected, listening

from processes import Process, ending, environment, start_anew
from world_files import AGREEMENT, made_world

TARGET_PERCENT = 60.0
TARGET_MIB = 100
WHOLE_MIB = 1024
_MIB = 1 << 20
_WARM_MIB = 8
_NONCE = 12
_TAG = 16


def attachment(folder: Path, mib: int, rounds: int) -> dict[str, Row]:
    """Measure a file of so many MiB, the copy and ours in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [_file(folder / "warm", _WARM_MIB), *(_file(folder / f"file{number}", mib) for number in range(rounds))]
    world = made_world(folder / "world", begins=start_anew)
    broker = world.start_broker()
    sender = world.start_python("XAR", HERE / "attachment_process.py", "send", "XAR/n1", AGREEMENT, *files)
    saved = folder / "saved"
    receiver = world.start_python("XBO", HERE / "attachment_process.py", "save", "XBO/n1", saved, str(len(files)))
    running = {"sender": sender, "broker": broker, "receiver": receiver}
    peaks = dict.fromkeys(running, 0)
    ours: list[float] = []
    stages: list[dict[str, float]] = []
    copies: list[tuple[float, float]] = []
    cpu: list[dict[str, float]] = []
    with ending(*running.values()):
        for one in (sender, receiver):
            one.wait_for(lambda one=one: one.records, "it is connected")
        for number, file in enumerate(files, 1):
            before = broker.cpu_seconds
            sent, got = _ours(sender, receiver, number, peaks, running)
            _check(file, Path(got["path"]))
            if number > 1:
                ours.append(got["at"] - sent["began"])
                sending = {name: sent[name] for name in ("sealing", "uploading", "publishing")}
                stages.append({**sending, "delivering": got["came"] - sent["ended"], "saving": got["at"] - got["came"]})
                cpu.append({"sender": sent["cpu"], "broker": broker.cpu_seconds - before, "receiver": got["cpu"]})
                copies.append(_copied(folder / f"copy{number}", file))
        for one in (sender, receiver):
            one.done(seconds=PATIENCE_SECONDS)
        assert broker.stop() == 0, broker.tail
    copy_seconds, copy_cpu = median(one for one, _ in copies), median(one for _, one in copies)
    share = copy_seconds / median(ours) * 100
    peak_mib = {name: kib // 1024 for name, kib in peaks.items()}
    context: dict[str, object] = {
        "mib": mib,
        "rounds": rounds,
        "mib_a_second": round(mib / median(ours), 1),
        "copy_mib_a_second": round(mib / copy_seconds, 1),
        "seconds_by_stage": {name: round(median(one[name] for one in stages), 3) for name in stages[0]},
        "cpu_ms_a_mib": {name: round(median(one[name] for one in cpu) / mib * 1e3, 2) for name in cpu[0]},
        "copy_cpu_ms_a_mib": round(copy_cpu / mib * 1e3, 2),
        "peak_mib": peak_mib,
        "peak_target_mib": TARGET_MIB,
        "peak_met": max(peak_mib.values()) <= TARGET_MIB,
        "cores": os.cpu_count(),
    }
    if mib < WHOLE_MIB:
        context["not_the_whole"] = f"the target speaks of 1 GiB: --attachment-mib {WHOLE_MIB}"
    return {"attachment_1gib": Row(share, PERCENT, TARGET_PERCENT, context)}


def _ours(
    sender: Process, receiver: Process, number: int, peaks: dict[str, int], running: dict[str, Process]
) -> tuple[dict, dict]:
    """Send the next file; give what both ends said of it. The first line of each says that it is ready."""
    sender.signal(signal.SIGUSR1)

    def through() -> bool:
        for name, one in running.items():
            peaks[name] = max(peaks[name], one.peak_kib)
        return len(receiver.records) > number and len(sender.records) > number

    running["broker"].wait_for(through, "the file at the other end", seconds=PATIENCE_SECONDS)
    return sender.records[number], receiver.records[number]


def _file(path: Path, mib: int) -> Path:
    block = os.urandom(_MIB)
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(block)
    return path


def _check(one: Path, other: Path) -> None:
    """See that two files are the same, and remove the second."""
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(_MIB):
            assert block == second.read(_MIB), "the file came out as another"
        assert not second.read(1), "the file came out longer"
    other.unlink()


# --- the copy -------------------------------------------------------------------------------------------------------


def _copied(folder: Path, file: Path) -> tuple[float, float]:
    """Encrypt and copy a file over both hops; give the seconds it took, and the processor time of both ends."""
    server, client = certified(folder)
    process = start_anew(
        [sys.executable, HERE / "copy_process.py", folder], "copy", folder, environment(folder, folder / "none")
    )
    with ending(process):
        address = listening(process, folder)
        found = asyncio.run(connected(address, server, client, lambda channel: _copy(channel, file, folder, process)))
    _check(file, folder / "out")
    (folder / "copy").unlink()
    return found


async def _copy(channel: grpc.aio.Channel, file: Path, folder: Path, other: Process) -> tuple[float, float]:
    aead = AESGCM(os.urandom(32))
    await channel.stream_unary(f"/{SERVICE}/Store")(_encrypted(file.with_name("warm"), aead))
    began, cpu = time.perf_counter(), time.process_time() + other.cpu_seconds
    await channel.stream_unary(f"/{SERVICE}/Store")(_encrypted(file, aead))
    with (folder / "out").open("wb", 0) as out:
        number = 0
        buffered = bytearray()
        async for piece in channel.unary_stream(f"/{SERVICE}/Fetch")(b"all"):
            buffered += piece
            while len(buffered) >= PIECE_BYTES:
                whole, buffered = bytes(buffered[:PIECE_BYTES]), buffered[PIECE_BYTES:]
                out.write(aead.decrypt(number.to_bytes(_NONCE, "big"), whole, None))
                number += 1
        if buffered:
            out.write(aead.decrypt(number.to_bytes(_NONCE, "big"), bytes(buffered), None))
        await asyncio.to_thread(os.fsync, out.fileno())
    return time.perf_counter() - began, time.process_time() + other.cpu_seconds - cpu


async def _encrypted(file: Path, aead: AESGCM) -> AsyncIterator[bytes]:
    """Give a file in pieces that are 128 KiB when encrypted, the last one shorter."""
    size, number = PIECE_BYTES - _TAG, 0
    with file.open("rb") as source:
        while block := await asyncio.to_thread(source.read, BLOCK_BYTES // PIECE_BYTES * size):
            for start_ in range(0, len(block), size):
                yield aead.encrypt(number.to_bytes(_NONCE, "big"), block[start_ : start_ + size], None)
                number += 1
