"""Agreements as a start finds them: texts, steps, caveats, and how far an arrangement's umbrella counted.

A text is known by its digest, the first one by the proposal. A caveat's text and salt stand in its party's own part of the
entry that added it, and are held against the digest the party signed. What is missing or does not fit stops the start: an
agreement that is carried in part would be open by mistake.
"""

from __future__ import annotations

from typing import Final

from comity.errors import StorageError
from comity.statement import decode
from comity.texts import agreement_digest, caveat_digest
from comity_broker.auditlog.kinds import EventKind, LogKind, read_body
from comity_broker.exercises import ExerciseStanding
from comity_broker.ledger import load_text, steps_of
from comity_broker.logs import Logs
from comity_broker.standing import Standing
from comity_broker.storage.protocol import Head, Reader
from comity_policy.lifecycle import Step, StepKind

_STEP: Final = "agreement-"


async def read_standing(head: Head, reader: Reader, logs: Logs) -> Standing:
    """Read an agreement without its umbrella; opens its log. Raises StorageError for what is missing or does not fit."""
    shard = head.shard
    texts = {row.digest.hex(): row.document for row in await reader.documents(shard)}
    statements = [(decode(row.signatures), row.log_index, row.at_ms) for row in await reader.statements(shard)]
    steps = steps_of(one for one in statements if one[0].type.startswith(_STEP))
    if not steps or any(agreement_digest(text).hex() != digest for digest, text in texts.items()):
        raise StorageError(f"the proposal of {shard} is missing, or a text is not the one its steps name")
    first = texts.get(steps[0].agreement_digest)
    if first is None:
        raise StorageError(f"the text of {shard} is missing")
    document = load_text(first)
    logs.open(shard, sorted(document.parties), first=head.log_first, continued=await reader.continued(shard))
    standing = Standing(first, document, bytes.fromhex(steps[0].agreement_digest), logs.origin(shard))
    standing.steps = steps
    standing.texts = {digest: load_text(text) for digest, text in texts.items()}
    standing.caveats = {one.caveat_digest: await _caveat(shard, one, reader) for one in _added(steps)}
    # Acts of officers change nothing that an arrangement under it is decided by.
    umbrellas = await reader.umbrellas(shard)
    named = (at for one, at, _ in statements if one.type.startswith((_STEP, "revocation")))
    standing.changed_at = max((*named, *(row.log_index for row in umbrellas)))
    standing.epoch = head.state_epoch
    standing.frozen_reason = head.frozen_reason
    standing.continued = head.log_first > 0
    standing.umbrella_at = max((row.umbrella_log_index for row in umbrellas), default=0)
    return standing


async def read_exercise(head: Head, real: Standing, reader: Reader, logs: Logs) -> ExerciseStanding:
    """Read the exercise of an agreement; opens its log."""
    name = head.shard
    logs.open(name, real.parties, first=head.log_first, continued=await reader.continued(name))
    exercise = ExerciseStanding.of(real, logs.origin(name))
    exercise.epoch, exercise.frozen_reason = head.state_epoch, head.frozen_reason
    exercise.followed = max((row.umbrella_log_index for row in await reader.umbrellas(name)), default=0)
    return exercise


def _added(steps: tuple[Step, ...]) -> list[Step]:
    """Give the steps that added the caveats which are in force at the end."""
    added: dict[tuple[str, str], Step] = {}
    for step in steps:
        if step.kind is StepKind.CAVEAT_ADD:
            added[step.party, step.caveat] = step
        elif step.kind is StepKind.CAVEAT_WITHDRAW:
            added.pop((step.party, step.caveat), None)
    return list(added.values())


async def _caveat(shard: str, step: Step, reader: Reader) -> bytes:
    found = await reader.bodies(shard, [step.log_index], [step.party])
    kind = EventKind.AGREEMENT_CAVEAT_ADDED.value
    body = read_body(LogKind.AGREEMENT, kind, step.party, found[0].body) if found else {}
    text, salt = bytes.fromhex(str(body.get("caveat", ""))), bytes.fromhex(str(body.get("salt", "")))
    if caveat_digest(salt, text).hex() != step.caveat_digest:
        raise StorageError(f"the text of caveat {step.caveat} of {step.party} on {shard} is missing or another")
    return text
