"""One end of an attachment's way: sends a report with a file, or saves what comes, and says when.

    python attachment_process.py send XAR/n1 XAR-XBO-1 FILE [FILE ...]
    python attachment_process.py save XBO/n1 FOLDER COUNT

Home and passphrase come from the environment. The sender sends the next file at each SIGUSR1.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from receiver_process import PURPOSE

import comity
from comity.attachment import Progress, Stage
from comity.keys.passphrase import find_passphrase

MARKING = "SECRET//REL TO XAR, XBO"


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def send(identity: str, agreement: str, files: list[str]) -> None:
    asked = asyncio.Semaphore(0)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, asked.release)
    async with connected(identity) as node:
        say(ready=True)
        for file in files:
            await asked.acquire()
            # The time begins when a program says send, and the file is not encrypted yet.
            began, cpu = time.monotonic(), time.process_time()
            portion = comity.attached(file, MARKING)
            report = comity.Report.of([portion], marking=MARKING, categories=["terrorism"], purpose=PURPOSE)
            at = dict.fromkeys(Stage, began)

            def heard(progress: Progress, at: dict[Stage, float] = at) -> None:
                at[progress.stage] = time.monotonic()

            await node.send(report, agreement=agreement, progress=heard)
            ended = time.monotonic()
            say(
                began=began,
                ended=ended,
                cpu=time.process_time() - cpu,
                sealing=at[Stage.SEALING] - began,
                uploading=at[Stage.UPLOADING] - at[Stage.SEALING],
                publishing=ended - at[Stage.UPLOADING],
            )


async def save(identity: str, folder: Path, count: int) -> None:
    async with connected(identity) as node:
        say(ready=True)
        async for delivery in node.receive(purpose=PURPOSE):
            async with delivery as report:
                came, cpu = time.monotonic(), time.process_time()
                (attachment,) = report.attachments
                saved = await attachment.save(folder / str(report.report_id))
                say(came=came, at=time.monotonic(), cpu=time.process_time() - cpu, path=str(saved.path))
            count -= 1
            if not count:
                return


def connected(identity: str):
    passphrase = find_passphrase(file=None, environ=os.environ, ask=None)
    return comity.connect(identity=identity, passphrase=passphrase)


def main() -> None:
    what, identity, where, *rest = sys.argv[1:]
    asyncio.run(send(identity, where, rest) if what == "send" else save(identity, Path(where), int(rest[0])))


if __name__ == "__main__":
    main()
