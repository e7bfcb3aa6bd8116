"""A running broker: its parts wired together, its port, its life from start to drained (design of exchange, "Inside").

Start, in order: keys and cards; journal; logs (made at the first start, compared with what was signed last at every other);
directory; agreements; dispatch; then the port. Drain: no new work is taken, streams are told, the open commit and its
receipts finish, a while for acknowledgements, a last checkpoint of every log, exit 0. A commit whose outcome nobody knows ends
the process at once with exit code 18: the next start recovers by reading.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Final

import grpc

from comity.errors import ComityError, UnreachableError
from comity.identity.bodies import Body
from comity.identity.directory import KeyDirectory
from comity.statement import Statement
from comity_broker import systemd
from comity_broker.access import AccessInterceptor, LiveStreams
from comity_broker.admission import Admission
from comity_broker.agreements import Agreements
from comity_broker.beats import Around, Checkpoints
from comity_broker.channels import server_options
from comity_broker.counts import Counts
from comity_broker.deciding import Decider, Place
from comity_broker.directory import Directory
from comity_broker.disk import DiskGuard
from comity_broker.dispatch.checking import Rechecker
from comity_broker.dispatch.dispatcher import Dispatcher
from comity_broker.dispatch.replaying import Replaying
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.shelf import Shelf
from comity_broker.finishing import Finishing
from comity_broker.handshake import Credentials, Renewals
from comity_broker.installation import Installation
from comity_broker.ledger import Ledger
from comity_broker.logs import Logs
from comity_broker.maintenance import Maintenance
from comity_broker.metrics import exposition
from comity_broker.monitor import Monitor
from comity_broker.operations import OperationsLog
from comity_broker.parts import Parts
from comity_broker.presented import keep_presented
from comity_broker.rates import Looks
from comity_broker.receipts import ReceiptSigner
from comity_broker.scraping import Scraping
from comity_broker.services.agreements import AgreementService
from comity_broker.services.attachments import AttachmentService
from comity_broker.services.audit import AuditService
from comity_broker.services.declarations import declarations
from comity_broker.services.directory import DirectoryService
from comity_broker.services.exchange import ExchangeService
from comity_broker.services.operations import OperationsService, Self
from comity_broker.services.publishing_traced import publishing
from comity_broker.services.refusals import Refusals
from comity_broker.services.registered import register
from comity_broker.services.replaying import Replays
from comity_broker.services.reports import Reports
from comity_broker.services.subscribing import Subscribing
from comity_broker.settings import Settings
from comity_broker.starting import Starting
from comity_broker.storage.protocol import SESSIONS, Storage
from comity_broker.survey import PICTURE_SECONDS, Survey

_LOG: Final = logging.getLogger(__name__)
_UNKNOWN_EXIT: Final = 18


class RunningBroker:
    """One broker from start to drained. Use it as ``async with RunningBroker(...).running() as broker``."""

    def __init__(self, installation: Installation, storage: Storage, settings: Settings, parts: Parts) -> None:
        self._installation = installation
        self._storage = storage
        self._settings = settings
        self._parts = parts
        self._clock = parts.clock
        self._random = parts.random_bytes
        self._drain_asked = asyncio.Event()
        self.address = ""
        self.journal = parts.journal(storage, self._fatal)
        self.keys = KeyDirectory(installation.roots)
        self.ledger = Ledger(self.keys)
        self.logs = Logs(
            tls_name=installation.tls_name,
            incarnation=storage.incarnation,
            keys=installation.log_keys,
            folder=installation.last_signed,
            reader=storage.reader,
            monotonic=parts.clock.monotonic,
            every_seconds=settings.checkpoint_every,
            frozen=self._freeze,
        )
        self.directory = Directory(
            keys=self.keys,
            journal=self.journal,
            logs=self.logs,
            clock=self._clock,
            random_bytes=self._random,
            tls_name=installation.tls_name,
        )
        self.agreements = Agreements(
            ledger=self.ledger,
            directory=self.directory,
            journal=self.journal,
            logs=self.logs,
            reader=storage.reader,
            clock=self._clock,
            random_bytes=self._random,
            broker=installation.identity.name,
            operator=installation.identity.party,
            region=installation.region,
        )
        self.counts = Counts()
        self.tracer = parts.tracer(lambda agreement_id: self.ledger.standing(agreement_id) is not None)
        self.operations = OperationsLog(self.journal, self.logs, self._clock, self._random, self.counts)
        self.receipts = ReceiptSigner(installation.signer, self._random)
        self.monitor = Monitor.of(
            ledger=self.ledger,
            directory=self.directory,
            journal=self.journal,
            logs=self.logs,
            reader=storage.reader,
            clock=self._clock,
            random_bytes=self._random,
            beat_seconds=settings.revocation_poll,
        )
        self.decider = Decider(Place(installation.identity.name, installation.region), self.keys, self.monitor.duties)
        self.streams = LiveStreams(settings.streams_per_node)
        self.maintenance = Maintenance.of(installation.data, self._clock, self.operations, str(installation.identity))
        self.dispatcher = Dispatcher(
            Shared(
                reader=storage.reader,
                journal=self.journal,
                logs=self.logs,
                ledger=self.ledger,
                keys=self.keys,
                rechecker=Rechecker(self.decider, self.keys),
                shelf=Shelf(storage.reader),
                clock=self._clock,
                settings=settings,
                rejections=self.operations,
                freeze=self._freeze,
                random_bytes=self._random,
                incarnation=storage.incarnation,
                counts=self.counts,
                tracer=self.tracer,
                held_until=self.maintenance.until,
            )
        )
        blobs = parts.blobs(installation.data)
        self.attaching = AttachmentService.of(blobs, self.dispatcher.shared, lambda: self.monitor.time_counts)
        self.maintenance.changed = self.dispatcher.look_again
        self.survey = Survey(
            reader=storage.reader,
            journal=self.journal,
            dispatcher=self.dispatcher,
            operations=self.operations,
            monitor=self.monitor,
            clock=self._clock,
            looks=Looks(self.counts, self.journal.durations, self._clock.monotonic),
            full_at=settings.full_at,
            draining=self._drain_asked.is_set,
            started_at=self._clock.now_ms(),
        )
        self._background: set[asyncio.Task[Any]] = set()
        self._finishing = Finishing()

    # --- life -------------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[RunningBroker]:
        """Start, give the broker, and drain it at the end."""
        self._listen_for_steps()
        self.journal.start()
        try:
            await Starting(
                installation=self._installation,
                storage=self._storage,
                keys=self.keys,
                journal=self.journal,
                logs=self.logs,
                directory=self.directory,
                agreements=self.agreements,
                clock=self._clock,
                random_bytes=self._random,
            ).read_back()
            await self.monitor.read_back()
            await self.attaching.uploads.read_back()
            self.dispatcher.shared.rechecker.started(self._clock.now_ms())
            self.directory.on_statement(self._key_changed)
            async with asyncio.TaskGroup() as tasks:
                workers = [
                    tasks.create_task(one.run())
                    for one in (
                        self.receipts,
                        self.operations,
                        self.dispatcher,
                        self.monitor,
                        self.survey.looks,
                        self.maintenance,
                    )
                ]
                server = await self._listening()
                workers.append(tasks.create_task(Renewals(self._installation, self.directory).run()))
                workers += [tasks.create_task(one.run()) for one in (*self._beats(), self.attaching.sweeping)]
                try:
                    async with Scraping(self._metrics).serving(self._settings.metrics_address):
                        yield self
                finally:
                    await self._stop(server)
                    for worker in workers:
                        worker.cancel()
        finally:
            self.journal.stop()
            if self.tracer is not None:
                self.tracer.close()

    def drain(self) -> None:
        """Ask for a drain; `drained` returns."""
        self._drain_asked.set()

    async def drained(self) -> None:
        """Wait until somebody asked for a drain."""
        await self._drain_asked.wait()

    async def _stop(self, server: grpc.aio.Server) -> None:
        systemd.notify("STOPPING=1")
        await self.health.enter_graceful_shutdown()
        self.publishing.drain()
        self.attaching.drain()
        await self.dispatcher.drain(self._settings.drain)
        await server.stop(self._settings.drain)
        await self._finishing.finished(self._settings.drain)
        if self._background:
            await asyncio.wait(self._background, timeout=self._settings.drain)
        await self.operations.flush()
        for head in await self._storage.reader.shards():
            if head.shard != SESSIONS and not head.frozen_reason:
                with contextlib.suppress(ComityError):  # a frozen log has said so already
                    await self.logs.checkpoint(head.shard, head.tree_size)

    def _fatal(self, error: BaseException) -> None:
        """End the process: nobody may be told anything after a commit whose outcome is unknown."""
        _LOG.critical("journal_failed", exc_info=error)
        logging.shutdown()
        os._exit(_UNKNOWN_EXIT)

    # --- the port ---------------------------------------------------------------------------------------------------

    async def _listening(self) -> grpc.aio.Server:
        access = AccessInterceptor(
            declarations=declarations(),
            authenticator=self.directory,
            denials=self.operations,
            streams=self.streams,
            operator_party=self._installation.identity.party,
            failing=Refusals(),
        )
        server = grpc.aio.server(interceptors=(access,), options=server_options(self._settings))
        self._add_services(server)
        host, _ = self._settings.address
        credentials = Credentials(self._installation, self.keys, self._clock)
        bound = server.add_secure_port(self._settings.listen, credentials.server())
        if bound == 0:
            raise UnreachableError(
                f"{self._settings.listen} cannot be listened on",
                what_to_do="Is another process there? Choose --listen.",
            )
        await server.start()
        self.address = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
        _LOG.info("serving", extra={"address": self.address, "broker": str(self._installation.identity)})
        return server

    def _add_services(self, server: grpc.aio.Server) -> None:
        reader = self._storage.reader
        self.publishing = publishing(
            self.tracer,
            admission=Admission(
                keys=self.keys,
                ledger=self.ledger,
                logs=self.logs,
                decider=self.decider,
                reader=reader,
                disk=DiskGuard(reader, self._settings.full_at),
                exercises=self.agreements.exercise,
            ),
            journal=self.journal,
            logs=self.logs,
            receipts=self.receipts,
            operations=self.operations,
            reader=reader,
            clock=self._clock,
            settings=self._settings,
            random_bytes=self._random,
            incarnation=self._storage.incarnation,
            admitted=self.dispatcher.brought,
            counts=self.counts,
            held_until=self.maintenance.until,
        )
        installation = self._installation
        broker = Self(str(installation.identity), installation.tls_name, self._storage.incarnation)
        self.health = register(
            server,
            directory=DirectoryService(self.directory, installation.tls_name, self._request_id, self._finishing),
            agreements=AgreementService(
                agreements=self.agreements,
                acts=self.monitor.duties.acts,
                ledger=self.ledger,
                reader=reader,
                clock=self._clock,
                request_id=self._request_id,
                finishing=self._finishing,
            ),
            audit=AuditService(
                ledger=self.ledger,
                logs=self.logs,
                reader=reader,
                agreements=self.agreements,
                operations=self.operations,
                operator_party=self._installation.identity.party,
                finishing=self._finishing,
                clock=self._clock,
                keep_presented=lambda note: keep_presented(self._installation.data, note),
            ),
            exchange=ExchangeService(
                self.publishing,
                Subscribing(self.dispatcher),
                Replays(Replaying(self.dispatcher, self._request_id)),
                Reports(self.dispatcher, self._request_id, self._finishing),
            ),
            attachments=self.attaching,
            operations=OperationsService(
                broker=broker,
                survey=self.survey,
                operations=self.operations,
                maintenance=self.maintenance,
                drain=self.drain,
            ),
        )

    # --- while it runs ----------------------------------------------------------------------------------------------

    def _listen_for_steps(self) -> None:
        """Have nothing fall due or be destroyed from the moment a step of the clock is seen; whoever asked for the time sees it."""
        loop = asyncio.get_running_loop()

        def stepped(before: int, after: int) -> None:
            self.monitor.clock_stepped()
            # A handshake asks in a thread of its own.
            loop.call_soon_threadsafe(self._clock_stepped, before, after)

        self._clock.on_step(stepped)

    def _clock_stepped(self, before: int, after: int) -> None:
        _LOG.warning("clock_stepped", extra={"milliseconds": after - before})
        self.operations.stepped(before, after)
        # What was put off until now is due, though its timer is not; what has expired is handed over no more.
        self.dispatcher.look_again()

    def _key_changed(self, body: Body, log_index: int, statement: Statement) -> None:
        self.streams.expel(self.directory.still)
        self._spawn(self.agreements.keys_changed(body, log_index, statement))

    async def _freeze(self, shard: str, reason: str) -> None:
        _LOG.critical("log_frozen", extra={"log": shard, "reason": reason})
        await self.agreements.freeze(shard, reason)

    def _spawn(self, work: Awaitable[None]) -> None:
        async def kept() -> None:
            try:
                await work
            except ComityError as error:
                _LOG.error("background_failed", extra={"code": error.code.name, "reason": error.message})

        task = asyncio.create_task(kept())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _beats(self) -> tuple[Checkpoints, Around]:
        every = self._settings.checkpoint_every
        return (
            Checkpoints(self.ledger, self.logs, self.dispatcher, self.operations, every),
            Around(self.ledger, self.streams, self.directory, self.monitor, self.journal, self._settings),
        )

    async def _metrics(self) -> str:
        return exposition(await self.survey.picture(PICTURE_SECONDS))

    def _request_id(self) -> bytes:
        return self._random(16)
