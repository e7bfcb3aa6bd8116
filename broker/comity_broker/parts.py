"""What a broker is started with besides installation, store and settings: what tests replace by arguments, no switch for any of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from comity.suites import RandomBytes
from comity_broker.clock import BrokerClock
from comity_broker.journal import Journal
from comity_broker.storage.blob_directory import BlobDirectory
from comity_broker.storage.blobs import BlobStore
from comity_broker.storage.protocol import Storage
from comity_broker.tracing import Tracer, tracer_of


@dataclass(slots=True)
class Parts:
    """What a broker consists of, for whoever starts one; tests replace clock, randomness, fault points and tracer."""

    clock: BrokerClock
    random_bytes: RandomBytes = os.urandom
    journal: Callable[[Storage, Callable[[BaseException], None]], Journal] = field(
        default=lambda storage, fatal: Journal(storage.writer, on_fatal=fatal)
    )
    blobs: Callable[[Path], BlobStore] = field(default=BlobDirectory)
    tracer: Callable[[Callable[[str], bool]], Tracer | None] = field(
        default=lambda carries: tracer_of(os.environ, carries)
    )
