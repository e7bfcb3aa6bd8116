"""The agreements this broker carries: their texts, the steps of their lives, and what that makes of them now.

In order, for a step: its author is the caller; the officer's key is listed, current and signed it; the officer holds the role
it states for this agreement; the fold admits it; it is committed to the agreement's log; then memory follows. A text is
taken when it loads, names this broker as it is, and pins the very roots this broker was given. The broker collates and every
node folds for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from comity.errors import (
    AccessError,
    ComityError,
    ConflictError,
    ErrorCode,
    KeyFault,
    MalformedError,
    NotFoundError,
    RefusedError,
)
from comity.identity.directory import KeyDirectory
from comity.identity.names import exercise_of
from comity.statement import Statement, verify_signature_of
from comity.suites import KeyRole
from comity_broker.access import Caller
from comity_broker.exercises import ExerciseStanding
from comity_broker.standing import Standing
from comity_policy.carried import not_carried, told
from comity_policy.document import Document, DocumentError, load
from comity_policy.lifecycle import State, Step, StepError, TransitionError, TransitionFault, admissible
from comity_policy.sections import AgreementKind


class Ledger:
    """Every agreement of this broker."""

    def __init__(self, keys: KeyDirectory) -> None:
        self._keys = keys
        self._standings: dict[str, Standing] = {}
        self._exercises: dict[str, ExerciseStanding] = {}
        self._listeners: list[Callable[[str], None]] = []

    def standing(self, agreement_id: str) -> Standing | None:
        """Give an agreement, or its exercise by the name of that log; None where this broker carries none of that name."""
        return self._standings.get(agreement_id) or self._exercises.get(agreement_id)

    def exercise(self, agreement_id: str) -> ExerciseStanding | None:
        """Give the exercise of an agreement; None before its first report."""
        return self._exercises.get(exercise_of(agreement_id))

    def require(self, agreement_id: str, party: str | None = None) -> Standing:
        """Give an agreement that `party` is a party of; raises NotFoundError, the same for both reasons."""
        return _required(self._standings.get(agreement_id), agreement_id, party)

    def require_book(self, name: str, party: str | None = None) -> Standing:
        """Give an agreement, or its exercise by the name of that log; raises as `require`."""
        return _required(self.standing(name), name, party)

    def standings(self, party: str | None = None) -> list[Standing]:
        """Give the agreements, of one party where named, by id; without their exercises."""
        return _of_party(self._standings.values(), party)

    def exercises(self, party: str | None = None) -> list[ExerciseStanding]:
        """Give the exercises of agreements, of one party where named, by name."""
        return _of_party(self._exercises.values(), party)

    def traffic(self, party: str, *, exercise: bool) -> Sequence[Standing]:
        """Give whose reports a consumer of this party is handed: the agreements, or their exercises, never both."""
        return self.exercises(party) if exercise else self.standings(party)

    def books(self, party: str | None = None) -> list[Standing]:
        """Give whatever has a log of its own: agreements, then exercises."""
        return [*self.standings(party), *self.exercises(party)]

    def arrangements(self, umbrella_id: str) -> list[Standing]:
        """Give the arrangements under an umbrella, by id."""
        return [
            one for one in self.standings() if one.umbrella is not None and one.umbrella.agreement_id == umbrella_id
        ]

    def umbrella(self, document: Document, party: str | None = None) -> Standing | None:
        """Give the umbrella of an arrangement, None for what has none.

        Raises NotFoundError where it is not carried here, or `party` is no party of it, the same for both; ConflictError
        where the text names other bytes than one of its versions.
        """
        under = document.under
        if under is None:
            return None
        standing = self._standings.get(under.agreement)
        if (
            standing is None
            or standing.first.kind != AgreementKind.UMBRELLA
            or (party is not None and party not in standing.first.parties)
            or not document.parties.keys() <= standing.first.parties.keys()
        ):
            raise NotFoundError(
                f"the umbrella {under.agreement} of {document.id} is not carried here for this party",
                what_to_do="An arrangement is carried by the broker that carries its umbrella: propose the umbrella here first.",
                code=ErrorCode.AGREEMENT_UNKNOWN,
            )
        if all(under.digest != f"sha384:{one.digest}" for one in standing.state(0).versions):
            raise ConflictError(
                f"{document.id} names another text of its umbrella {under.agreement} than is carried here",
                what_to_do=f"Write the digest that comity agreement show {under.agreement} tells.",
                code=ErrorCode.DIGEST_MISMATCH,
            )
        return standing

    def add(self, standing: Standing) -> None:
        """Take an agreement that was committed or read back."""
        if isinstance(standing, ExerciseStanding):
            self._exercises[standing.agreement_id] = standing
        else:
            self._standings[standing.agreement_id] = standing
        self.changed(standing.agreement_id)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the agreement's id after each change of its state."""
        self._listeners.append(listener)

    def changed(self, agreement_id: str) -> None:
        """Tell the listeners: what changes an agreement changes its exercise."""
        exercise = self.exercise(agreement_id)
        for name in (agreement_id,) if exercise is None else (agreement_id, exercise.agreement_id):
            for listener in self._listeners:
                listener(name)

    def revoked(self, party: str, epochs: dict[str, int]) -> None:
        """Take the epochs that a change of a party's keys raised."""
        for standing in self.books(party):
            standing.epoch = epochs.get(standing.agreement_id, standing.epoch)
            self.changed(standing.agreement_id)


def _required(standing: Standing | None, name: str, party: str | None) -> Standing:
    if standing is None or (party is not None and party not in standing.first.parties):
        raise NotFoundError(
            f"there is no agreement {name} here for this party",
            what_to_do="comity agreement list shows those there are.",
            code=ErrorCode.AGREEMENT_UNKNOWN,
        )
    return standing


_OneStanding = TypeVar("_OneStanding", bound=Standing)


def _of_party(standings: Iterable[_OneStanding], party: str | None) -> list[_OneStanding]:
    found = sorted(standings, key=lambda one: one.agreement_id)
    return [one for one in found if party is None or party in one.first.parties]


def read_step(statement: Statement, *, log_index: int = 0, at_ms: int = 0) -> Step:
    """Give the step a statement says; raises MalformedError."""
    try:
        return Step.from_body(statement.fields, digest=statement.digest.hex(), log_index=log_index, at_ms=at_ms)
    except StepError as error:
        raise MalformedError(f"the step does not read: {error}", code=ErrorCode.STATEMENT_REJECTED) from error


def check_author(keys: KeyDirectory, statement: Statement, step: Step, caller: Caller, now_ms: int) -> None:
    """Check that the caller is the officer a step names, and that this officer signed it and may; raises ComityError."""
    if step.officer != str(caller.identity) or step.party != caller.party:
        raise AccessError(
            f"{caller.identity} brings a step of {step.officer}",
            what_to_do="Each officer submits what it signed itself.",
            code=ErrorCode.ACTING_FOR_ANOTHER,
        )
    record = keys.officer(caller.party, caller.identity.name)
    if record is None:
        raise KeyFault(f"{caller.identity} is not accredited here", code=ErrorCode.IDENTITY_UNKNOWN)
    keys.require_current(record, now_ms)
    signing = [key for key in record.keys_of(KeyRole.OFFICER_SIGNING) if keys.counts(key.fingerprint)]
    if not any(verify_signature_of(statement, key.fingerprint, key.suite, key.public) for key in signing):
        raise KeyFault(
            f"no current key of {caller.identity} signed this step",
            what_to_do="Sign it with the officer's key that is accredited now.",
            code=ErrorCode.STATEMENT_REJECTED,
        )
    if not record.holds(step.role, step.agreement_id):
        raise AccessError(
            f"{caller.identity} is not accredited as {step.role.word} for {step.agreement_id}",
            what_to_do=f"comity officer accredit {caller.identity} --role {step.role.word}",
        )


def check_admissible(state: State, step: Step) -> None:
    """Check a step against the fold; raises the error that fits the reason."""
    try:
        admissible(state, step)
    except TransitionError as error:
        raise transition_error(error) from error


def load_text(text: bytes) -> Document:
    """Load an agreement's text; raises MalformedError AGREEMENT_INVALID with path and line."""
    try:
        return load(text)
    except DocumentError as error:
        raise MalformedError(
            error.message,
            what_to_do="comity agreement check shows everything that is wrong.",
            code=ErrorCode.AGREEMENT_INVALID,
        ) from error


def check_text(document: Document, keys: KeyDirectory, broker: str, operator: str, region: str) -> None:
    """Check that this release carries all of a text, which names this broker and pins the roots it was given.

    Raises ComityError.
    """
    if parts := not_carried(document):
        raise MalformedError(
            f"this broker does not carry all of {document.id}: {told(parts)}",
            what_to_do="Leave it out, or wait for a release that carries it.",
            code=ErrorCode.AGREEMENT_INVALID,
        )
    named = document.brokers.get(broker)
    if named is None or named.operator != operator or named.region != region:
        raise RefusedError(
            f"{document.id} does not name this broker ({broker}, operated by {operator} in region {region})",
            what_to_do=f'Write [brokers.{broker}] operator = "{operator}", region = "{region}".',
            code=ErrorCode.BROKER_NOT_NAMED,
        )
    for code, party in document.parties.items():
        card = keys.card(code)
        if party.root != "sha384:" + card.root_fingerprint.hex() or party.trust_domain != card.trust_domain:
            raise KeyFault(
                f"{document.id} pins another root or trust domain of {code} than its trusted card has",
                what_to_do=f"Compare the fingerprint of {code} over a second channel, then correct the text.",
                code=ErrorCode.PARTY_UNTRUSTED,
            )


def steps_of(statements: Iterable[tuple[Statement, int, int]]) -> tuple[Step, ...]:
    """Give the steps of stored statements, each with its log index and time."""
    return tuple(read_step(statement, log_index=index, at_ms=at) for statement, index, at in statements)


def placed(step: Step, log_index: int, at_ms: int) -> Step:
    """Give a step at the place and time its log gave it."""
    return replace(step, log_index=log_index, at_ms=at_ms)


def transition_error(error: TransitionError) -> ComityError:
    """Give the error that fits why a step or an act may not be taken."""
    match error.fault:
        case TransitionFault.CONFLICT:
            return ConflictError(str(error), what_to_do="Look at the newest state: comity agreement show.")
        case TransitionFault.DIGEST:
            return ConflictError(str(error), code=ErrorCode.DIGEST_MISMATCH)
        case TransitionFault.NOT_A_PARTY:
            return AccessError(str(error), code=ErrorCode.NOT_A_PARTY)
        case TransitionFault.ROLE:
            return AccessError(str(error), code=ErrorCode.ROLE_NOT_ALLOWED)
        case TransitionFault.STATE:
            return ConflictError(str(error), code=ErrorCode.TRANSITION_NOT_ALLOWED)
