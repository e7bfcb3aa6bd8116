"""Receipts: signed after the commit, many at once, one signature in flight (design of exchange, "Wire shape").

All receipts that were committed while a signature was made go under the next one, up to 64. The signature is made in a worker
thread, since it costs a millisecond; what it says is `comity.envelope.receipts`.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from dataclasses import dataclass, field

from comity.envelope.limits import RECEIPT_SLOTS
from comity.envelope.receipts import SignedReceipt, encode_signed_receipt, sign_receipts
from comity.keys.signer import Signer
from comity.suites import RandomBytes


@dataclass(slots=True)
class ReceiptSigner:
    """Signs receipt records for everybody. `run` must be running, in a task group of the server's."""

    signer: Signer
    random_bytes: RandomBytes = os.urandom
    _waiting: deque[tuple[bytes, asyncio.Future[bytes]]] = field(default_factory=deque)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def sign(self, record: bytes) -> bytes:
        """Give the encoded signed receipt of a record that is durable."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, future))
        self._wake.set()
        return await future

    async def run(self) -> None:
        """Sign what waits, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                count = min(len(self._waiting), RECEIPT_SLOTS)
                batch = [self._waiting.popleft() for _ in range(count)]
                signed = await asyncio.to_thread(self._sign, [record for record, _ in batch])
                for (_, future), one in zip(batch, signed, strict=True):
                    if not future.done():
                        future.set_result(encode_signed_receipt(one))

    def _sign(self, records: list[bytes]) -> tuple[SignedReceipt, ...]:
        return sign_receipts(self.signer, self.signer.fingerprint, records, self.random_bytes)
