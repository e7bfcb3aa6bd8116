"""The inbox of one consumer: what it has settled, so that nothing acknowledged is ever shown again (design 04, promise 2).

Rules in order:
1. A settlement (a number of a lane, its outcome, the report's id and leaf) is written with fsync before the acknowledgement
   that says so is sent; the resume token goes into the same transaction.
2. Settled numbers are dense runs a lane; outcomes other than "acknowledged" are exceptions beside them.
3. Only "acknowledged" is final: what was parked, unreadable or refused is shown when it is handed over again. An acknowledged
   report id that comes with another leaf is ID_REUSED; with the same leaf and another number it is acknowledged. Ids are
   forgotten 72 hours after their report expired.
4. What was accounted for of a lane, report or reason, is one number a lane and never falls: every number above it is owed
   one or the other.
5. One process at a time owns a consumer's inbox (a lock file).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from comity.envelope.evidence import AckOutcome
from comity.light import light
from comity.node.claims import Claim, decode_claim, encode_claim
from comity.node.database import insert_rows, open_database, rows_of, storing
from comity.node.locks import FileLock
from comity.node.outbox import FaultPoint, no_fault
from comity.runs import Runs

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), resume_token BLOB NOT NULL);
CREATE TABLE lane (lane INTEGER PRIMARY KEY, agreement TEXT NOT NULL, originator TEXT NOT NULL, origin_epoch BLOB NOT NULL,
  class INTEGER NOT NULL, accounted INTEGER NOT NULL, UNIQUE (agreement, originator, origin_epoch, class));
CREATE TABLE run (lane INTEGER, first INTEGER, last INTEGER NOT NULL, PRIMARY KEY (lane, first)) WITHOUT ROWID;
CREATE TABLE outcome (lane INTEGER, number INTEGER, outcome INTEGER NOT NULL, PRIMARY KEY (lane, number)) WITHOUT ROWID;
CREATE TABLE report (report_id BLOB PRIMARY KEY, leaf BLOB NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE claim (number INTEGER PRIMARY KEY, agreement TEXT NOT NULL, log_index INTEGER NOT NULL, claim BLOB NOT NULL);
CREATE INDEX claim_place ON claim (agreement, log_index);
"""
KEPT_AFTER_EXPIRY_MS: Final = 72 * 3_600_000


class InboxLane(NamedTuple):
    """One lane as a recipient sees it; `originator` is PARTY/NODE."""

    agreement_id: str
    originator: str
    origin_epoch: bytes
    transport_class: int


@light
class Settlement:
    """What became of one number. `report_id` and `leaf` are given where the report was acknowledged: that alone is final."""

    lane: InboxLane
    number: int
    outcome: AckOutcome
    report_id: bytes = b""
    leaf: bytes = b""
    expires_at: int = 0


class Known(Enum):
    """What an inbox knows of a report that is handed over."""

    NEW = "new"
    SETTLED = "settled"
    REUSED = "reused"


@dataclass(frozen=True, slots=True)
class Written:
    """Rows to be written in one transaction."""

    lanes: list[tuple[object, ...]]
    runs: list[tuple[object, ...]]
    outcomes: list[tuple[object, ...]]
    reports: dict[bytes, tuple[bytes, int]]
    claims: list[tuple[object, ...]]
    resume_token: bytes


@dataclass(slots=True)
class _LaneState:
    number: int
    settled: Runs
    accounted: int
    outcomes: dict[int, AckOutcome]


class Inbox:
    """One consumer's inbox, opened by `Inbox.open`. `write` blocks on fsync and may run in a worker thread, one at a time."""

    def __init__(self, path: Path, lock: FileLock, fault: FaultPoint) -> None:
        self._path = path
        self._lock = lock
        self._fault = fault
        self._db = open_database(path, schema=_SCHEMA, version=_VERSION)
        self._asking = open_database(path, schema=_SCHEMA, version=_VERSION)
        self._lanes: dict[InboxLane, _LaneState] = {}
        self._unwritten: dict[bytes, bytes] = {}
        self._touched: set[InboxLane] = set()
        self._newest_id = b""
        self._load()

    @classmethod
    async def open(cls, path: Path, *, wait: bool = False, fault: FaultPoint = no_fault) -> Inbox:
        """Open an inbox, or begin one; raises ConflictError LOCKED while another process has it (or waits), StorageError."""
        lock = FileLock(path, f"the inbox {path.name}")
        await lock.acquire(wait=wait)
        try:
            return cls(path, lock, fault)
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        """Close the file and let others in."""
        try:
            with storing(self._path):
                self._asking.close()
                self._db.close()
        finally:
            self._lock.release()

    def _load(self) -> None:
        with storing(self._path):
            for lane, agreement, originator, epoch, transport, accounted in rows_of(
                self._db, "SELECT lane, agreement, originator, origin_epoch, class, accounted FROM lane"
            ):
                runs = rows_of(self._db, "SELECT first, last FROM run WHERE lane = ? ORDER BY first", (lane,))
                outcomes = rows_of(self._db, "SELECT number, outcome FROM outcome WHERE lane = ?", (lane,))
                self._lanes[InboxLane(agreement, originator, epoch, transport)] = _LaneState(
                    lane,
                    Runs((first, last) for first, last in runs),
                    accounted,
                    {number: AckOutcome(outcome) for number, outcome in outcomes},
                )
            rows = rows_of(self._db, "SELECT resume_token FROM meta")
            self.resume_token: bytes = rows[0][0] if rows else b""
            self._newest_id = rows_of(self._db, "SELECT ifnull(max(report_id), x'') FROM report")[0][0]

    # --- asking -----------------------------------------------------------------------------------------------------

    def outcome(self, lane: InboxLane, number: int) -> AckOutcome | None:
        """Give what was settled of a number; None where nothing was."""
        state = self._lanes.get(lane)
        if state is None or number not in state.settled:
            return None
        return state.outcomes.get(number, AckOutcome.ACKNOWLEDGED)

    def accounted(self, lane: InboxLane) -> int | None:
        """Give the number up to which every one of a lane was a report or a reason; None for a lane never seen."""
        state = self._lanes.get(lane)
        return None if state is None else state.accounted

    def knows(self, report_id: bytes, leaf: bytes) -> Known:
        """Say whether a report was acknowledged, whatever its number, or whether its id was, for another leaf."""
        before = self._unwritten.get(report_id)
        # Ids are made in the order of time, so that nearly every one is above all that were written.
        if before is None and report_id <= self._newest_id:
            with storing(self._path):
                rows = rows_of(self._asking, "SELECT leaf FROM report WHERE report_id = ?", (report_id,))
            before = rows[0][0] if rows else None
        if before is None:
            return Known.NEW
        return Known.SETTLED if before == leaf else Known.REUSED

    def claims(self, agreement_id: str, below: int) -> tuple[tuple[int, Claim], ...]:
        """Give what a broker said of entries below a log size and was not compared with the log yet, with their numbers."""
        with storing(self._path):
            rows = rows_of(
                self._asking,
                "SELECT number, claim FROM claim WHERE agreement = ? AND log_index < ? ORDER BY log_index",
                (agreement_id, below),
            )
        return tuple((number, decode_claim(agreement_id, claim)) for number, claim in rows)

    # --- writing ----------------------------------------------------------------------------------------------------

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Take settlements in memory, so that nothing of them is shown again; `write` makes them durable."""
        for one in settlements:
            state = self._state(one.lane)
            if self.outcome(one.lane, one.number) is AckOutcome.ACKNOWLEDGED:
                continue
            state.settled.add(one.number)
            if one.outcome is not AckOutcome.ACKNOWLEDGED or one.number in state.outcomes:
                state.outcomes[one.number] = one.outcome
            if one.report_id:
                self._unwritten[one.report_id] = one.leaf

    def account(self, lane: InboxLane, number: int) -> None:
        """Take note that every number of a lane up to this one was a report or a reason."""
        state = self._state(lane)
        state.accounted = max(state.accounted, number)
        self._touched.add(lane)

    def prepare(self, settlements: Sequence[Settlement], claims: Sequence[Claim], resume_token: bytes) -> Written:
        """Give what is to be written for settlements that were taken in memory, as of now."""
        touched, self._touched = self._touched, set()
        lanes = sorted(touched | {one.lane for one in settlements}, key=lambda lane: self._lanes[lane].number)
        states = [(lane, self._lanes[lane]) for lane in lanes]
        return Written(
            lanes=[
                (
                    state.number,
                    lane.agreement_id,
                    lane.originator,
                    lane.origin_epoch,
                    lane.transport_class,
                    state.accounted,
                )
                for lane, state in states
            ],
            runs=[(state.number, first, last) for _, state in states for first, last in state.settled.spans],
            outcomes=[
                (self._lanes[one.lane].number, one.number, int(self._lanes[one.lane].outcomes[one.number]))
                for one in settlements
                if one.number in self._lanes[one.lane].outcomes
            ],
            reports={one.report_id: (one.leaf, one.expires_at) for one in settlements if one.report_id},
            claims=[(one.agreement_id, one.log_index, encode_claim(one)) for one in claims],
            resume_token=resume_token,
        )

    def write(self, prepared: Written) -> None:
        """Write what `prepare` gave; returns when that is on disk. Raises StorageError."""
        self._fault("write:begin")
        db = self._db
        with storing(self._path), db:
            for row in prepared.lanes:
                rows_of(
                    db,
                    "INSERT INTO lane VALUES (?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (lane) DO UPDATE SET accounted = excluded.accounted",
                    row,
                )
                rows_of(db, "DELETE FROM run WHERE lane = ?", row[:1])
            insert_rows(db, "run", prepared.runs)
            insert_rows(db, "outcome", prepared.outcomes, replace=True)
            insert_rows(
                db, "report", [(report_id, *rest) for report_id, rest in prepared.reports.items()], replace=True
            )
            insert_rows(db, "claim (agreement, log_index, claim)", prepared.claims)
            if prepared.resume_token:
                rows_of(
                    db,
                    "INSERT INTO meta VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET resume_token = excluded.resume_token",
                    (prepared.resume_token,),
                )
            self._fault("write:before-commit")
        self._fault("write:after-commit")

    def written(self, prepared: Written) -> None:
        """Take note that it is on disk."""
        self.resume_token = prepared.resume_token or self.resume_token
        for report_id in prepared.reports:
            self._newest_id = max(self._newest_id, report_id)
            self._unwritten.pop(report_id, None)

    def drop_claims(self, numbers: Sequence[int]) -> None:
        """Forget claims that were compared with the log."""
        with storing(self._path), self._db:
            for number in numbers:
                rows_of(self._db, "DELETE FROM claim WHERE number = ?", (number,))

    def drop_expired(self, now_ms: int) -> None:
        """Forget ids of reports that expired more than 72 hours ago; their numbers stay settled."""
        with storing(self._path), self._db:
            rows_of(self._db, "DELETE FROM report WHERE expires_at <= ?", (now_ms - KEPT_AFTER_EXPIRY_MS,))

    def _state(self, lane: InboxLane) -> _LaneState:
        state = self._lanes.get(lane)
        if state is None:
            number = 1 + max((one.number for one in self._lanes.values()), default=0)
            state = self._lanes[lane] = _LaneState(number, Runs(), 0, {})
        return state
