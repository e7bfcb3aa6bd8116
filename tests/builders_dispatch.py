"""A world for delivery: two nations, an agreement in force between them, segments that were admitted, and consumers of XBO's nodes.

    async with opened("memory", tmp_path) as world:    # or over a real store and journal
    await world.admit(3)                                     # a segment of three ROUTINE reports of XAR/n1 for XBO's nodes
    consumer = await world.connect()
    frame = await consumer.delivery()
    await consumer.acknowledge(frame)

The stores differ, the rest is the product's: ledger, directory, decisions, units, sessions. Time stands still until `world.pass_seconds`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builders_dispatch_consumer import Consumer
from builders_dispatch_segments import AGREEMENT, Cast, Draft, Made, Maker, caller_of, cast
from builders_dispatch_store import INCARNATION, MemoryStore
from builders_identity import HOUR, NOW, Held, Seeded, directory_of
from comity.envelope.core import LogSeen
from comity.envelope.packets import packet_id
from comity.errors import ComityError
from comity.texts import agreement_digest
from comity_broker.auditlog.events import audit_failure
from comity_broker.auditlog.kinds import EventKind
from comity_broker.auditlog.log import Log
from comity_broker.clock import BrokerClock
from comity_broker.deciding import Decider, Place
from comity_broker.dispatch.checking import Rechecker
from comity_broker.dispatch.dispatcher import Dispatcher, Opening
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.shelf import Shelf
from comity_broker.entries import Salts, add_events
from comity_broker.journal import Journal
from comity_broker.ledger import Ledger, load_text
from comity_broker.settings import Settings
from comity_broker.standing import Standing
from comity_broker.storage.protocol import Committed, HoldRow, LaneKey, Reads, Rows, Unit
from comity_broker.storage.sqlite import open_storage
from comity_policy.facts import Role
from comity_policy.lifecycle import LogTerms, Step, StepKind
from comity_policy.templates import BrokerInfo, PartyInfo, render_template


def agreement_text(people: Cast) -> bytes:
    parties = {
        one.party: PartyInfo(one.card.name, "sha384:" + one.card.root_fingerprint.hex(), one.trust_domain, one.party)
        for one in (people.xar, people.xbo)
    }
    return render_template(AGREEMENT, parties, BrokerInfo("hub", "XAR", "xar")).encode()


@dataclass
class Logs:
    """The agreement's log as dispatch knows it."""

    world: DispatchWorld

    def log(self, shard: str) -> Log:
        assert shard == AGREEMENT
        return self.world.log

    async def check_seen(self, shard: str, seen: LogSeen) -> None:
        if self.world.fork is not None:
            raise self.world.fork


class DispatchWorld:
    """Everything around dispatch. `journal` and `reader` may be of a real store."""

    def __init__(self, reader=None, journal=None, *, incarnation=INCARNATION, settings: Settings | None = None) -> None:
        store = MemoryStore() if reader is None else None
        self.reader = reader or store
        self.journal = journal or store
        self.incarnation = incarnation
        self.settings = settings or Settings(redelivery=60.0)
        self.people = cast()
        self.seconds = 0.0
        self.clock = BrokerClock(wall=lambda: NOW + int(self.seconds * 1000), monotonic=lambda: 1000.0 + self.seconds)
        self.keys = directory_of(self.people.xar, self.people.xbo)
        self.log = Log(f"hub.xar.example/agreement/{AGREEMENT}/{INCARNATION.hex()}", ("XAR", "XBO", "XDE"))
        self.random = Seeded("dispatch")
        self.numbers: dict[tuple[str, bytes, int], int] = {}
        self.admitted_segments: list[Made] = []
        self.fork: ComityError | None = None
        self.rejected_errors: list[ComityError] = []
        self.frozen: list[str] = []
        self.standing = self._standing()
        key_set = self.key_set(self.people.sender)
        self.maker = Maker(self.log, self.standing.first_digest, key_set, self.random, self.people)
        self.dispatcher = self.started()

    # --- the engine room --------------------------------------------------------------------------------------------

    def started(self) -> Dispatcher:
        """Give dispatch as after a start of the broker: nothing is in memory but the ledger."""
        ledger = Ledger(self.keys)
        ledger.add(self.standing)
        self.ledger = ledger
        self.dispatcher = Dispatcher(
            Shared(
                reader=self.reader,
                journal=self.journal,
                logs=Logs(self),
                ledger=ledger,
                keys=self.keys,
                rechecker=Rechecker(Decider(Place("hub", "xar"), self.keys), self.keys),
                shelf=Shelf(self.reader),
                clock=self.clock,
                settings=self.settings,
                rejections=self,
                freeze=self.freeze,
                random_bytes=self.random,
                incarnation=self.incarnation,
            )
        )
        return self.dispatcher

    def rejected(self, caller, agreement_id, target, error, slots=()):
        self.rejected_errors.append(error)

    async def freeze(self, agreement_id: str, reason: str) -> None:
        self.frozen.append(agreement_id)
        self.standing.frozen_reason = reason
        await self.commit(lambda head, _: Rows(replace(head.raised(), frozen_reason=reason), None))
        self.standing.epoch += 1

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass, for the clocks alone; `Session.pass_time` does what is due then."""
        self.seconds += seconds

    async def commit(self, build: Callable, **how):
        outcome = await self.journal.submit(Unit(AGREEMENT, build, create=True, **how))
        assert isinstance(outcome, Committed), outcome
        return outcome.result

    # --- the agreement ----------------------------------------------------------------------------------------------

    def _standing(self) -> Standing:
        text = agreement_text(self.people)
        standing = Standing(text, load_text(text), agreement_digest(text), self.log.origin)
        terms = LogTerms(self.log.origin, ("vkey1", "vkey2"), 1, "00" * 32)
        for kind, party in (
            (StepKind.PROPOSE, "XAR"),
            (StepKind.REVIEW, "XAR"),
            (StepKind.REVIEW, "XBO"),
            (StepKind.SIGN, "XAR"),
            (StepKind.SIGN, "XBO"),
            (StepKind.LOG_SIGN, "XAR"),
            (StepKind.LOG_SIGN, "XBO"),
        ):
            standing.with_step(self._step(standing, kind, party, log=terms if kind is StepKind.LOG_SIGN else None), 0)
        return standing

    def _step(self, standing: Standing, kind: StepKind, party: str, **changes) -> Step:
        role = next(one for one in (Role.LIAISON, Role.LEGAL_REVIEWER, Role.PLENIPOTENTIARY) if one in kind.roles)
        index = len(standing.steps) + 1
        state = standing.state(NOW)
        follows = state.chain_head if kind.multilateral else state.party_heads.get(party, "")
        given = {
            "kind": kind,
            "agreement_id": AGREEMENT,
            "agreement_digest": state.current.digest,
            "party": party,
            "officer": f"{party}/officer1",
            "role": role,
            "follows": "" if kind is StepKind.LOG_SIGN else follows,
            "digest": hashlib.sha384(f"{kind}{party}{index}".encode()).hexdigest(),
            "log_index": index,
            "at_ms": NOW - HOUR + index,
        }
        return Step(**{**given, **changes})

    async def suspend(self, *clauses: str, party: str = "XAR") -> None:
        """Suspend the agreement, or clauses of it."""
        await self.take(StepKind.SUSPEND, party, clauses=clauses, reason="trouble")

    async def resume(self, *clauses: str, party: str = "XAR") -> None:
        """Resume what `suspend` suspended."""
        await self.take(StepKind.RESUME, party, clauses=clauses)

    async def amend(self, text: bytes) -> None:
        """Bring another text into force; what is admitted from then on names it."""
        digest = agreement_digest(text)
        self.standing.texts[digest.hex()] = load_text(text)
        await self.take(StepKind.AMEND, "XAR", agreement_digest=digest.hex())
        for kind in (StepKind.REVIEW, StepKind.SIGN):
            for party in ("XAR", "XBO"):
                await self.take(kind, party, agreement_digest=digest.hex())
        self.maker.digest = digest

    async def add_caveat(self, text: bytes, party: str = "XAR") -> None:
        """Add a caveat."""
        name = hashlib.sha384(text).hexdigest()
        self.standing.caveats[name] = text
        said = {"caveat": "C1", "caveat_digest": name, "partner_text": "A limitation.", "role": Role.SECURITY_AUTHORITY}
        await self.take(StepKind.CAVEAT_ADD, party, **said)

    async def take(self, kind: StepKind, party: str, *, clauses: Sequence[str] = (), **changes) -> None:
        """Take a step."""
        salts = Salts.draw(self.log, 1, self.random)

        def build(head, _):
            rows = Rows(replace(head.raised(), broker_time=self.clock.now_ms()), head.leaf_next)
            add_events(rows, self.log, [audit_failure(time=NOW, reason=kind.value)], salts)
            if kind is StepKind.SUSPEND:
                rows.holds.append(HoldRow(head.leaf_next, head.item_next, ",".join(clauses)))
            return rows

        log_index = await self.commit(build)
        step = self._step(
            self.standing,
            kind,
            party,
            clauses=tuple(clauses),
            **changes,
            log_index=log_index + 100,
            at_ms=self.clock.now_ms(),
        )
        self.standing.with_step(step, self.standing.epoch + 1)
        self.ledger.changed(AGREEMENT)

    async def epoch_raised(self) -> None:
        """Raise the agreement's epoch, as a change of keys does."""
        await self.commit(lambda head, _: Rows(head.raised(), None))
        self.standing.epoch += 1
        self.ledger.changed(AGREEMENT)

    # --- segments ---------------------------------------------------------------------------------------------------

    async def admit(self, count: int = 1, **changes) -> Made:
        """Admit a segment of XAR/n1 and tell dispatch."""
        draft = Draft(count, **changes)
        key = LaneKey(draft.node, draft.epoch, draft.transport_class)
        reads = Reads(lanes=[key], packets=[packet_id(draft.packet)])
        lane = (draft.node, draft.epoch, draft.transport_class)
        first = self.numbers.get(lane, 0) + 1
        self.numbers[lane] = first + draft.count - 1
        made = await self.commit(self.maker.admission(draft, key, first, self.clock.now_ms()), reads=reads)
        self.admitted_segments.append(made)
        self.tell(made)
        return made

    def tell(self, made: Made) -> None:
        """Tell dispatch what was admitted, as the broker does after each commit."""
        self.dispatcher.brought(AGREEMENT, made.batch, made.placed)

    def key_set(self, held: Held) -> bytes:
        return self.keys.node(held.identity.party, held.identity.name).key_set

    # --- consumers --------------------------------------------------------------------------------------------------

    async def entries(self, kind: EventKind, party: str = "XBO") -> list[dict]:
        """Give what a party reads of every entry of a kind: shared and own keys together."""
        found = []
        for row in await self.reader.entries(AGREEMENT, 0, 1000):
            if row.kind == kind.value:
                bodies = await self.reader.bodies(AGREEMENT, [row.log_index], ["shared", party])
                said = [json.loads(one.body or b"{}") for one in bodies]
                found.append({"log_index": row.log_index} | {key: value for one in said for key, value in one.items()})
        return found

    async def connect(
        self, *, reports: int = 1000, size: int = 1 << 26, held: Held | None = None, **opening
    ) -> Consumer:
        """Open a session of XBO/n1, or of another node."""
        who = held or self.people.reader
        session = await self.dispatcher.open(caller_of(who), Opening(reports=reports, size=size, **opening))
        return Consumer(self, session, who)


STORES = ("memory", "sqlite")


@contextlib.asynccontextmanager
async def opened(store: str, data: Path, **how) -> AsyncIterator[DispatchWorld]:
    """Give a world over a store in memory, or over a real one with its journal."""
    if store == "memory":
        world = DispatchWorld(**how)
        yield world
        await world.dispatcher.drain(0)
        return
    with open_storage(data, create=True) as storage:
        journal = Journal(storage.writer, on_fatal=lambda error: pytest.fail(repr(error)))
        journal.start()
        try:
            world = DispatchWorld(storage.reader, journal, incarnation=storage.incarnation, **how)
            yield world
            await world.dispatcher.drain(0)
        finally:
            journal.stop()
