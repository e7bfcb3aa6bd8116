"""An agreement's exercise at this broker: a log and counters of its own, under the very state of its agreement (docs/adr/0028).

Rules in order:
1. The exercise's shard and log are made with its first segment. Its keys are those of the agreement's log, under its own origin: who
   signed the terms of that log has signed for both, and nobody signs again.
2. Steps, texts, caveats and umbrella are the agreement's alone. What is admitted or handed over in an exercise is decided by the
   agreement's newest state, and its commit is refused when the agreement's `state_epoch` has changed since (`Standing.beside`).
3. The exercise's own log says by EXERCISE_FOLLOWS as of which entry of the agreement's log it is decided. The entry is written
   before a step is answered, and raises the exercise's epoch; until it is there, nothing is admitted (`lags`).
4. An agreement whose log is frozen or not confirmed has no exercise either; an exercise's log that is frozen stops the exercise alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from comity.identity.names import exercise_of
from comity_broker.auditlog.bodies import BROKER, Event
from comity_broker.auditlog.events import agreement_log_opened
from comity_broker.auditlog.exercise import exercise_follows
from comity_broker.auditlog.log import Log
from comity_broker.auditlog.submissions import DecidedUnder
from comity_broker.entries import Salts, add_events
from comity_broker.standing import Standing, Under
from comity_broker.storage.protocol import Build, Head, HoldRow, Known, Rows, UmbrellaRow
from comity_policy.engine import CompiledAgreement
from comity_policy.governing import Basis
from comity_policy.lifecycle import LogTerms, State


@dataclass(slots=True, eq=False, kw_only=True)
class ExerciseStanding(Standing):
    """The exercise of the agreement `real`, whose state is its own; `followed` is the entry that its log named last."""

    real: Standing
    followed: int = 0

    @classmethod
    def of(cls, real: Standing, origin: str) -> ExerciseStanding:
        """Make the exercise of an agreement, whose log has this origin."""
        return cls(real.text, real.first, real.first_digest, origin, real=real)

    @property
    def agreement_id(self) -> str:
        """Give the name of the exercise's log."""
        return exercise_of(self.real.agreement_id)

    @property
    def beside(self) -> tuple[str, int] | None:
        """Give the agreement's shard, and the epoch of it that a decision of now is taken under."""
        return self.real.agreement_id, self.real.epoch

    @property
    def may_set_floor(self) -> bool:
        """Say whether the agreement may ask what nodes can."""
        return self.real.may_set_floor

    @property
    def lags(self) -> bool:
        """Say whether the agreement changed and the exercise's log does not say so yet."""
        return self.followed < self.real.changed_at

    @property
    def statements(self) -> int:
        """Give how many steps the agreement has taken."""
        return self.real.statements

    @property
    def stopped(self) -> str:
        """Give why nothing is accepted or handed over: its own log or the agreement's is frozen or not confirmed."""
        return self.frozen_reason or self.real.stopped

    @property
    def unconfirmed(self) -> str:
        """Give why the agreement's log does not go on though it is open; it is confirmed for both."""
        return self.real.unconfirmed

    def state(self, now_ms: int) -> State:
        """Give the agreement's state at a time."""
        return self.real.state(now_ms)

    def umbrella_state(self, now_ms: int) -> State | None:
        """Give the state of the agreement's umbrella that counts."""
        return self.real.umbrella_state(now_ms)

    def in_force(self, now_ms: int) -> bool:
        """Say whether the agreement is in force."""
        return self.real.in_force(now_ms)

    def admits(self, now_ms: int) -> bool:
        """Say whether every party signed the agreement's log."""
        return self.real.admits(now_ms)

    def turned(self, since_ms: int, now_ms: int) -> bool:
        """Say whether time alone may have changed what decides."""
        return self.real.turned(since_ms, now_ms)

    def basis(self, now_ms: int) -> Basis:
        """Give what decides on what is shared at a time."""
        return self.real.basis(now_ms)

    def compiled(self, now_ms: int) -> CompiledAgreement:
        """Give the agreement ready to decide on what is shared at a time."""
        return self.real.compiled(now_ms)

    def decided_under(self, now_ms: int) -> DecidedUnder:
        """Give what decisions of that time are made under."""
        return self.real.decided_under(now_ms)

    def compiled_before(self, now_ms: int) -> Under:
        """Give, by the digest a report names, what decides now on reports shared under that version."""
        return self.real.compiled_before(now_ms)

    def while_suspended(self, clauses: str, now_ms: int) -> Under:
        """Give the same as it decides while nothing but these clauses were suspended."""
        return self.real.while_suspended(clauses, now_ms)


def beginning(
    exercise: ExerciseStanding, log: Log, salts: Salts, terms: LogTerms, *, now: int, key_log_size: int
) -> Build[int]:
    """Write LOG_OPENED and EXERCISE_FOLLOWS of an exercise's log, unless it is there; gives the epoch."""
    changed_at = exercise.real.changed_at

    def build(head: Head, _: Known) -> Rows[int]:
        at, epoch = max(head.broker_time, now), head.state_epoch + 1
        rows = Rows(replace(head.raised(), broker_time=at), epoch)
        opened = agreement_log_opened(
            time=at,
            caller=BROKER,
            key_log_size=key_log_size,
            state_epoch=epoch,
            agreement_id=exercise.real.agreement_id,
            agreement_digest=exercise.first_digest,
            terms=terms,
            statements=(),
        )
        add_events(rows, log, [opened, _followed(exercise, at, epoch, changed_at)], salts)
        rows.umbrellas.append(UmbrellaRow(1, changed_at))
        return rows

    return build


def following_agreement(
    exercise: ExerciseStanding, log: Log, salts: Salts, now: int, suspended: Sequence[str]
) -> Build[tuple[int, int]]:
    """Raise an exercise's epoch for a change of its agreement, with EXERCISE_FOLLOWS; gives the time and the epoch.

    `suspended` are the suspensions since (`HoldRow.clauses`): what was not handed over of the exercise is held as well.
    """
    changed_at = exercise.real.changed_at

    def build(head: Head, _: Known) -> Rows[tuple[int, int]]:
        at, epoch = max(head.broker_time, now), head.state_epoch + 1
        rows = Rows(replace(head.raised(), broker_time=at), (at, epoch))
        if head.frozen_reason:
            return rows
        add_events(rows, log, [_followed(exercise, at, epoch, changed_at)], salts)
        rows.umbrellas.append(UmbrellaRow(head.leaf_next, changed_at))
        if suspended:
            clauses = "" if "" in suspended else ",".join(dict.fromkeys(",".join(suspended).split(",")))
            rows.holds.append(HoldRow(head.leaf_next, head.item_next, clauses))
        return rows

    return build


def _followed(exercise: ExerciseStanding, at: int, epoch: int, changed_at: int) -> Event:
    return exercise_follows(
        time=at,
        caller=BROKER,
        state_epoch=epoch,
        agreement_id=exercise.real.agreement_id,
        agreement_origin=exercise.real.origin,
        agreement_log_index=changed_at,
    )
