"""Somebody who looks at a log all the time: prints every checkpoint that the broker shows, as JSON, one a line.

    python tests/checkpoint_watcher.py XAR/officer1 XAR-XBO-1

Each has to continue the one before (a consistency proof is asked for and checked): a broker that shows two histories ends this
process with exit code 15. Home and passphrase come from the environment, as for every command. A broker that is away is asked again
until it is back.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from comity.errors import ComityError, UnreachableError
from comity.keys.passphrase import find_passphrase
from comity.node.connection import Connection
from comity.node.home import Home
from comity.v1 import audit_pb2
from comity.verify.notes import Checkpoint, parse_checkpoint, parse_note
from comity.verify.trees import EMPTY_ROOT, verify_consistency

_BEAT_SECONDS = 0.02


async def watch(identity: str, agreement_id: str) -> None:
    passphrase = find_passphrase(file=None, environ=os.environ, ask=None)
    home = Home.at(None, os.environ)
    newest = Checkpoint("", 0, EMPTY_ROOT)
    while True:
        async with Connection.of_identity(home, identity, passphrase) as connection:
            try:
                while True:
                    newest = await look(connection, agreement_id, newest)
                    await asyncio.sleep(_BEAT_SECONDS)
            except UnreachableError:
                # A channel that saw its broker die waits longer and longer: a new one asks at once.
                await asyncio.sleep(_BEAT_SECONDS)


async def look(connection: Connection, agreement_id: str, before: Checkpoint) -> Checkpoint:
    request = audit_pb2.GetCheckpointRequest(
        log=audit_pb2.LogSelector(agreement_id=agreement_id), known_size=before.size
    )
    answer = await connection.call(connection.audit.GetCheckpoint, request)
    checkpoint = parse_checkpoint(parse_note(answer.checkpoint)[0])
    verify_consistency(before.size, before.root, checkpoint.size, checkpoint.root, tuple(answer.consistency))
    if checkpoint != before:
        fields = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
        print(json.dumps({**fields, "at": time.monotonic()}), flush=True)
    return checkpoint


def main() -> int:
    identity, agreement_id = sys.argv[1:]
    try:
        asyncio.run(watch(identity, agreement_id))
    except ComityError as error:
        print(f"{error.code.name}: {error.message}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
