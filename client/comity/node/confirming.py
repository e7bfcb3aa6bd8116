"""Confirming that a restored broker goes on with an agreement's log (design 04, "Incarnation"; docs/adr/0023).

Rules in order:
1. What is confirmed is what the own mirror verified: the restored tree is a part of the own history, CONTINUES is the broker's.
2. The agreement's exercise is confirmed with it: its log has to verify as well, and what was lost of it is told too.
3. Whoever confirms sees first what was lost, as far as the own mirror has it.
4. What the own party had revoked, and the restored key log has lost, is brought again before anything goes on: a lost revocation
   would let a lost key in. Every other lost statement is brought again by whoever it is about, by its own command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from comity.errors import ConflictError, ErrorCode
from comity.identity.names import exercise_of
from comity.node.catching_up import catch_up
from comity.node.continuing import read_continued
from comity.node.enrolment import publish_statement
from comity.node.mirror import Mirror
from comity.node.officer_work import OfficerWork, Taken
from comity.statement import Statement, from_json
from comity_policy.steps import StepKind

_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restored broker kept of an agreement's log, and how many entries of each kind are lost that the own mirror has."""

    origin: str
    before: str
    entries: int
    taken_at: int
    lost: dict[str, int]


@dataclass(frozen=True, slots=True)
class Confirming(OfficerWork):
    """An officer who confirms."""

    async def restored(self, agreement_id: str) -> Restored:
        """Say what was restored; raises ConflictError where the log was never continued."""
        await catch_up(self.connection, self.mirror, (agreement_id,))
        self.mirror.agreement(agreement_id)
        pin = self.mirror.pin(agreement_id)
        if pin is None or not pin.before:
            raise ConflictError(
                f"the log of {agreement_id} goes on as it always did: there is nothing to confirm",
                code=ErrorCode.TRANSITION_NOT_ALLOWED,
            )
        (entry,) = self.mirror.entries(agreement_id, pin.first, 1)
        said = read_continued(entry).said
        # Raises what stops the exercise, which is confirmed with it.
        self.mirror.exercise_seen(agreement_id)
        lost = self.mirror.lost.kinds(agreement_id)
        played = self.mirror.lost.kinds(exercise_of(agreement_id))
        lost |= {f"{kind} of its exercise": count for kind, count in played.items()}
        return Restored(pin.origin, said.before.origin, said.first, said.time, lost)

    async def confirm(self, agreement_id: str) -> tuple[Taken, int]:
        """Confirm the log for the own party; gives the step, and how many lost revocations were brought again before."""
        again = 0
        for statement in _lost_revocations(self.mirror):
            if statement.fields.get("party") == self.officer.party:
                await publish_statement(self.connection, statement)
                again += 1
        return await self._confirmed(agreement_id), again

    async def _confirmed(self, agreement_id: str) -> Taken:
        # A revocation that was just brought changes the agreement's state a moment later.
        for _ in range(_TRIES):
            view = await self.view(agreement_id)
            step = self.step(StepKind.LOG_CONFIRM, view.state, log=self.log_terms(view))
            try:
                return await self.bring(step)
            except ConflictError as error:
                if error.code is not ErrorCode.STATE_CHANGED:
                    raise
                changed = error
        raise changed


def _lost_revocations(mirror: Mirror) -> tuple[Statement, ...]:
    """Give the revocations that the restored key log has lost and does not have again."""
    lost = (entry for entry in mirror.lost.entries(None) if entry.kind == "KEY_REVOKED")
    statements = [from_json(entry.shared()["statement"]) for entry in lost]
    return tuple(one for one in statements if mirror.directory.logged_at(one.digest) is None)
