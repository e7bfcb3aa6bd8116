"""The next incarnation of a restored broker's logs: CONTINUES, with which each of them begins (designs 04 and 05, docs/adr/0023).

For a store whose shards were just moved to a new incarnation and hold nothing of it yet. In order, the key log first: the file of the
tree signed last is made anew under the new origin; then one unit writes CONTINUES, the statement under the broker's signing key, as
the first leaf. The restored tree of the old log is signed once more with that log's own keys; it is a part of what was signed under
it before, so nothing is contradicted. Nothing else is written, and nothing is repaired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from comity.continuing import PRESENTED_LIMIT, Continued, LeftLog
from comity.errors import StorageError
from comity.identity.names import agreement_of
from comity.statement import Statement, decode, from_json, sign_statement
from comity.suites import RandomBytes
from comity.verify.notes import Checkpoint, NoteError, Policy, verify_checkpoint
from comity_broker.auditlog.bodies import BROKER, Event
from comity_broker.auditlog.checkpoint import Checkpointer
from comity_broker.auditlog.events import agreement_log_continued, log_continued
from comity_broker.auditlog.kinds import SHARED, EventKind, LogKind, log_kind_of, read_body
from comity_broker.auditlog.log import Log
from comity_broker.entries import Salts, add_events
from comity_broker.installation import Installation
from comity_broker.ledger import load_text
from comity_broker.logs import origin_of, signed_file
from comity_broker.outcomes import settled
from comity_broker.storage.protocol import (
    KEYS,
    OPERATIONS,
    SESSIONS,
    ContinuedRow,
    Head,
    Known,
    Reader,
    Rows,
    Storage,
    Unit,
)
from comity_policy.lifecycle import LogTerms

_ANCHOR_KEY: Final = 32
_OWN: Final = (KEYS, OPERATIONS)

Presented = Mapping[str, Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class ContinuedLog:
    """One log after a restore: its shard, and what CONTINUES says."""

    shard: str
    said: Continued


async def continue_logs(
    installation: Installation, storage: Storage, presented: Presented, *, now_ms: int, random_bytes: RandomBytes
) -> list[ContinuedLog]:
    """Begin the present incarnation of every log of a store; gives what was said of each.

    `presented` are checkpoints of the old logs as they were signed, by shard; those that are not are left out. Raises StorageError.
    """
    heads = {head.shard: head for head in await storage.reader.shards() if head.shard != SESSIONS}
    names = [*(one for one in _OWN if one in heads), *sorted(heads.keys() - set(_OWN))]
    work = _Continuing(installation, storage, presented, now_ms, random_bytes)
    return [await work.log(heads[name]) for name in names]


def continued_terms(body: bytes) -> LogTerms:
    """Give the terms of an agreement's log from the shared body of its CONTINUES."""
    said = continued_of(read_body(LogKind.AGREEMENT, EventKind.CONTINUES.value, SHARED, body))
    return LogTerms(said.origin, said.log_vkeys, said.anchor_slot, said.anchor_key)


def continued_of(body: Mapping[str, object]) -> Continued:
    """Give what the body of a CONTINUES entry says; raises MalformedError."""
    return Continued.from_body(from_json(cast("dict[str, object]", body["statement"])).fields)  # type: ignore[arg-type]  # JSON that was read


@dataclass(slots=True)
class _Continuing:
    installation: Installation
    storage: Storage
    presented: Presented
    now_ms: int
    random_bytes: RandomBytes
    key_log_size: int = 0

    async def log(self, head: Head) -> ContinuedLog:
        """Begin one log."""
        reader, shard = self.storage.reader, head.shard
        left = (await reader.continued(shard))[-1]
        if head.tree_size:
            raise StorageError(f"the log of {shard} has entries of its new incarnation already")
        said = await self._said(head, left)
        statement = sign_statement(said.to_body(), self.installation.signer)
        parties, digest = ((), b"") if shard in _OWN else await _first_text(reader, agreement_of(shard))
        log = Log(said.origin, parties)
        Checkpointer(
            self.installation.last_signed / signed_file(shard), said.origin, self.installation.log_keys
        ).create()
        salts = Salts.draw(log, 1, self.random_bytes)

        def event(at: int, epoch: int) -> Event:
            if not digest:
                return log_continued(time=at, statement=statement)
            return agreement_log_continued(
                time=at,
                caller=BROKER,
                key_log_size=self.key_log_size,
                state_epoch=epoch,
                agreement_id=agreement_of(shard),
                agreement_digest=digest,
                statement=statement,
            )

        def build(before: Head, _: Known) -> Rows[object]:
            at = max(before.broker_time, self.now_ms)
            rows: Rows[object] = Rows(replace(before.raised(), broker_time=at), None)
            add_events(rows, log, [event(at, before.state_epoch + 1)], salts)
            return rows

        (outcome,) = self.storage.writer.commit([Unit(shard, build)])
        after = settled(outcome).head
        if shard == KEYS:
            self.key_log_size = after.leaf_next
        return ContinuedLog(shard, said)

    async def _said(self, head: Head, left: ContinuedRow) -> Continued:
        tls_name, keys = self.installation.tls_name, self.installation.log_keys
        old, new = (origin_of(tls_name, head.shard, one) for one in (left.incarnation, head.incarnation))
        size = head.log_first - left.log_first
        note = keys.sign(Checkpoint(old, size, left.root))
        slot = await _anchor_slot(self.storage.reader, head.shard, left.log_first) if head.shard not in _OWN else 0
        return Continued(
            time=max(head.broker_time, self.now_ms),
            origin=new,
            log_vkeys=keys.vkeys(new),
            anchor_slot=slot,
            anchor_key=self.random_bytes(_ANCHOR_KEY).hex(),
            before=LeftLog(old, left.log_first, size, left.root),
            checkpoint=note,
            presented=_newest(self.presented.get(head.shard, ()), Policy(keys.verifier_keys(old))),
            agreement_sequence=head.agreement_sequence_next if head.shard not in _OWN else 0,
        )


def _newest(notes: Sequence[bytes], policy: Policy) -> tuple[bytes, ...]:
    """Give the newest of these notes that the old log's keys signed, the longest tree first."""
    found: dict[tuple[int, bytes], bytes] = {}
    for note in notes:
        try:
            checkpoint = verify_checkpoint(note, policy)
        except NoteError:
            continue
        found.setdefault((checkpoint.size, checkpoint.root), note)
    return tuple(found[key] for key in sorted(found, reverse=True)[:PRESENTED_LIMIT])


async def _first_text(reader: Reader, shard: str) -> tuple[tuple[str, ...], bytes]:
    """Give the parties of an agreement, and the digest of its first text."""
    steps = (decode(row.signatures) for row in await reader.statements(shard))
    digest = next((_named(one) for one in steps if one.type.startswith("agreement-")), b"")
    texts = {row.digest: row.document for row in await reader.documents(shard)}
    if digest not in texts:
        raise StorageError(f"the text of {shard} is missing")
    return tuple(sorted(load_text(texts[digest]).parties)), digest


def _named(statement: Statement) -> bytes:
    return bytes.fromhex(str(statement.fields["agreement_digest"]))


async def _anchor_slot(reader: Reader, shard: str, first: int) -> int:
    """Give the place in the anchor log that the opening entry of the old log names."""
    (entry,) = await reader.entries(shard, first, 1)
    (part,) = await reader.bodies(shard, [first], [SHARED])
    body = read_body(log_kind_of(f"x/agreement/{shard}/x"), entry.kind, SHARED, part.body)
    if entry.kind == EventKind.CONTINUES:
        return continued_of(body).anchor_slot
    return int(str(body["anchor_slot"]))
