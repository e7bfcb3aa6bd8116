"""AuditService: checkpoints, entries, proofs, tiles and evidence, each for whoever may see it."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc

from comity.envelope.core import LogSeen
from comity.errors import AccessError, ErrorCode, MalformedError, NotFoundError, StorageError, VerificationError
from comity.identity.names import agreement_of, incarnation_of
from comity.v1 import audit_pb2, audit_pb2_grpc
from comity.verify.notes import Checkpoint, NoteError, Policy, verify_checkpoint
from comity.verify.trees import TILE_WIDTH
from comity_broker.access import Caller, caller
from comity_broker.agreements import Agreements
from comity_broker.auditlog.bodies import Caller as LogCaller
from comity_broker.auditlog.bodies import Event
from comity_broker.auditlog.events import fork_seen
from comity_broker.clock import BrokerClock
from comity_broker.evidence import EvidenceView
from comity_broker.finishing import Finishing
from comity_broker.ledger import Ledger
from comity_broker.logs import Logs
from comity_broker.operations import OperationsLog, log_caller
from comity_broker.services.agreements import require_agreement
from comity_broker.storage.protocol import KEYS, OPERATIONS, BodyRow, Reader

Context = grpc.aio.ServicerContext[Any, Any]

ENTRIES_LIMIT: Final = 1024
ENTRIES_SLICE: Final = 8
EVIDENCE_LIMIT: Final = 64
ANSWER_BYTES: Final = 256 << 10
# Six groups number 10^18 tiles, more than a log below 2^63 entries has.
_TILE: Final = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?")
_DIGEST: Final = 48
# Beyond every log, and within what a store can count.
_FAR: Final = 1 << 62


class AuditService(audit_pb2_grpc.AuditServiceServicer):
    """Translates to `comity_broker.logs` and the reading side of the store."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        logs: Logs,
        reader: Reader,
        agreements: Agreements,
        operations: OperationsLog,
        operator_party: str,
        finishing: Finishing,
        clock: BrokerClock,
        keep_presented: Callable[[bytes], None],
    ) -> None:
        self._ledger = ledger
        self._logs = logs
        self._reader = reader
        self._agreements = agreements
        self._operations = operations
        self._operator_party = operator_party
        self._finishing = finishing
        self._clock = clock
        self._keep_presented = keep_presented

    async def GetCheckpoint(
        self, request: audit_pb2.GetCheckpointRequest, _: Context
    ) -> audit_pb2.GetCheckpointResponse:
        shard = self._shard(request.log)
        # On request the newest tree is signed: whoever acted reads what it did. Streams carry one at most once a second.
        with self._noting_failure(shard):
            newest = await self._logs.seen(shard)
            # Of a tree of an earlier incarnation there is no proof: the caller reads CONTINUES.
            known = request.known_size if request.incarnation in {b"", newest.incarnation} else 0
            note, size = await self._logs.checkpoint(shard, max(newest.size, known))
        if size < known:
            raise NotFoundError(
                f"this log has {size} entries, fewer than the {request.known_size} the caller has seen",
                what_to_do="Present the checkpoint you hold: the broker may have lost what it signed.",
                code=ErrorCode.RANGE_INVALID,
            )
        proof = await self._logs.consistency(shard, known, size)
        return audit_pb2.GetCheckpointResponse(
            checkpoint=note,
            consistency=proof,
            broker_time=self._clock.now_ms(),
            first_log_index=self._logs.first(shard),
            exercise=self._ledger.exercise(shard) is not None,
        )

    async def GetEntries(self, request: audit_pb2.GetEntriesRequest, _: Context) -> audit_pb2.GetEntriesResponse:
        who = caller()
        shard = self._shard(request.log)
        limit = min(max(1, request.limit), ENTRIES_LIMIT)
        answer = audit_pb2.GetEntriesResponse()
        with self._noting_failure(shard):
            await self._add_entries(answer, shard, min(request.first, _FAR), limit, ["shared", who.party])
        head = await self._reader.head(shard)
        answer.log_size = 0 if head is None else head.leaf_next
        return answer

    async def _add_entries(
        self, answer: audit_pb2.GetEntriesResponse, shard: str, first: int, limit: int, parts: list[str]
    ) -> None:
        """Add entries with their bodies, as many as an answer holds; they are read in slices, since bodies are large."""
        size = 0
        for start in range(0, limit, ENTRIES_SLICE):
            rows = await self._reader.entries(shard, first + start, min(ENTRIES_SLICE, limit - start))
            bodies: dict[int, list[BodyRow]] = {}
            for body in await self._reader.bodies(shard, [row.log_index for row in rows], parts):
                bodies.setdefault(body.log_index, []).append(body)
            for row in rows:
                entry = audit_pb2.LogEntry(
                    log_index=row.log_index,
                    entry=row.entry,
                    parts=[part_of(one) for one in bodies.get(row.log_index, [])],
                )
                size += entry.ByteSize()
                if size > ANSWER_BYTES and answer.entries:
                    return
                answer.entries.append(entry)
            if len(rows) < ENTRIES_SLICE:
                return

    async def GetInclusionProof(
        self, request: audit_pb2.GetInclusionProofRequest, _: Context
    ) -> audit_pb2.GetInclusionProofResponse:
        shard = self._shard(request.log)
        with self._noting_failure(shard):
            hashes = await self._logs.inclusion(shard, request.log_index, request.tree_size)
        return audit_pb2.GetInclusionProofResponse(hashes=hashes)

    async def GetTile(self, request: audit_pb2.GetTileRequest, _: Context) -> audit_pb2.GetTileResponse:
        shard = self._shard(request.log)
        match = _TILE.fullmatch(request.path)
        if match is None:
            raise MalformedError("not a path of C2SP tlog-tiles", what_to_do="For example: tile/0/x001/067")
        level, number = match[1], int(match[2].replace("x", "").replace("/", ""))
        width = TILE_WIDTH if match[3] is None else int(match[3])
        head = await self._reader.head(shard)
        log_size = 0 if head is None else head.tree_size
        if not 1 <= width <= TILE_WIDTH:
            raise MalformedError(f"a tile has 1 to {TILE_WIDTH} hashes")
        if level == "entries":
            last = number * TILE_WIDTH + width
            first = self._logs.first(shard) + last - width
            rows = await self._reader.entries(shard, first, width) if last <= log_size else []
            if len(rows) < width:
                raise NotFoundError(
                    f"the log has no such tile, it has {log_size} entries", code=ErrorCode.RANGE_INVALID
                )
            return audit_pb2.GetTileResponse(
                data=b"".join(len(row.entry).to_bytes(2, "big") + row.entry for row in rows)
            )
        size = (number * TILE_WIDTH + width) * TILE_WIDTH ** int(level)
        data = await self._logs.tile(shard, int(level), number, size)
        return audit_pb2.GetTileResponse(data=data[: 32 * width])

    async def PresentCheckpoint(
        self, request: audit_pb2.PresentCheckpointRequest, _: Context
    ) -> audit_pb2.PresentCheckpointResponse:
        shard = self._shard(request.log)
        presented, incarnation = await self._presented(shard, request.checkpoint)
        seen = LogSeen(incarnation, presented.size, presented.root)
        try:
            await self._logs.check_seen(shard, seen)
            if incarnation != (await self._logs.seen(shard)).incarnation:
                raise NotFoundError(
                    f"the log of {shard} has been continued since, by a broker that was restored",
                    what_to_do="Read its entry CONTINUES: it names what was restored.",
                    code=ErrorCode.RANGE_INVALID,
                )
        except VerificationError as error:
            # It carries this broker's own signatures: this log has lost or changed what it signed.
            self._keep_presented(request.checkpoint)
            reason = f"a checkpoint of {presented.size} entries was shown that it cannot extend"
            shown = None if shard == OPERATIONS else _fork_shown(log_caller(caller()), request.checkpoint, seen)
            await self._finishing.whole(caller().party, lambda: self._agreements.freeze(shard, reason, shown))
            raise VerificationError(error.message, what_to_do=error.what_to_do, code=ErrorCode.FORK) from error
        note, size = await self._logs.checkpoint(shard, presented.size)
        proof = await self._logs.consistency(shard, presented.size, size)
        return audit_pb2.PresentCheckpointResponse(consistency=proof, checkpoint=note)

    async def _presented(self, shard: str, note: bytes) -> tuple[Checkpoint, bytes]:
        """Read a checkpoint of a log or of one that a restore left behind, with its incarnation; raises MalformedError."""
        own = (await self._logs.seen(shard)).incarnation
        names = [(own, self._logs.verifier_keys(shard))]
        names += [(incarnation_of(origin), keys) for origin, keys in self._logs.left(shard)]
        problem = ""
        for incarnation, keys in names:
            try:
                return verify_checkpoint(note, Policy(keys)), incarnation
            except NoteError as error:
                problem = problem or str(error)
        raise MalformedError(f"this is no checkpoint of the log of {shard}: {problem}")

    async def GetEvidence(self, request: audit_pb2.GetEvidenceRequest, _: Context) -> audit_pb2.GetEvidenceResponse:
        who = caller()
        require_agreement(who, agreement_of(request.agreement_id))
        self._ledger.require_book(request.agreement_id, who.party)
        limit = min(max(1, request.limit), EVIDENCE_LIMIT)
        first = min(request.first_log_index, _FAR)
        rows = await self._reader.segments_from(request.agreement_id, first, limit)
        answer = audit_pb2.GetEvidenceResponse()
        records = await self._reader.batches(request.agreement_id, sorted({row.batch for row in rows}))
        view = await EvidenceView.of(self._reader, request.agreement_id, who.party)
        size = 0
        for row in rows:
            evidence = audit_pb2.SegmentEvidence(
                log_index=row.log_index,
                segment=await view.shown(row),
                batch_signature=records.get(row.batch, b""),
                batch_index=row.batch_index,
                batch_path=[row.batch_path[i : i + _DIGEST] for i in range(0, len(row.batch_path), _DIGEST)],
            )
            size += evidence.ByteSize()
            if size > ANSWER_BYTES and answer.segments:
                answer.next_log_index = row.log_index
                return answer
            answer.segments.append(evidence)
        answer.next_log_index = rows[-1].log_index + 1 if len(rows) == limit else 0
        return answer

    @contextlib.contextmanager
    def _noting_failure(self, shard: str) -> Iterator[None]:
        """Write down that a log could not be read or signed."""
        try:
            yield
        except StorageError as error:
            self._operations.audit_failed(shard, error)
            raise

    # --- who may see what -------------------------------------------------------------------------------------------

    def _shard(self, log: audit_pb2.LogSelector) -> str:
        who = caller()
        kind = log.WhichOneof("log")
        if kind == "agreement_id":
            require_agreement(who, agreement_of(log.agreement_id))
            return self._ledger.require_book(log.agreement_id, who.party).agreement_id
        if kind == "keys" and log.keys:
            return KEYS
        if kind == "operations" and log.operations:
            self._require_operations(who)
            return OPERATIONS
        raise MalformedError("no log is named", what_to_do="Name an agreement, the key log or the operations log.")

    def _require_operations(self, who: Caller) -> None:
        if who.party != self._operator_party or who.roles.isdisjoint({"auditor", "operator"}):
            raise AccessError(
                "the operations log is for auditors and operators of the party that operates this broker",
                # To its own party's people the log is known: that it is gone would look like a fork to their mirrors.
                code=ErrorCode.ROLE_NOT_ALLOWED if who.party == self._operator_party else ErrorCode.LOG_UNKNOWN,
            )
        if who.agreements:
            # It speaks of every agreement of this broker.
            raise AccessError(
                f"{who.identity} is accredited for named agreements only, the operations log is of all of them",
                what_to_do=f"comity officer accredit {who.identity}, without --agreement",
            )


def part_of(body: BodyRow) -> audit_pb2.LogPart:
    """Give a part of an entry as it travels."""
    return audit_pb2.LogPart(part=body.part, salt=body.salt, body=body.body, records=body.records)


def _fork_shown(by: LogCaller, note: bytes, seen: LogSeen) -> Callable[[int, LogSeen], Event]:
    """Give what makes FORK_SEEN of a checkpoint that was presented."""
    digest = hashlib.sha384(note).digest()
    return lambda at, own: fork_seen(time=at, caller=by, target=digest, seen=seen, own=own)
