"""The agreements this broker carries: their texts, the steps of their lives, and what that makes of them now.

In order, for a step: its author is the caller; the officer's key is listed, current and signed it; the officer holds the role
it states for this agreement; the fold admits it; it is committed to the agreement's log; then memory follows. A text is
taken when it loads, names this broker as it is, and pins the very roots this broker was given. The broker collates and every
node folds for itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

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
from comity.pae import pae
from comity.statement import Statement, verify_signature_of
from comity.suites import KeyRole
from comity_broker.access import Caller
from comity_broker.auditlog.events import LOGGED_STEPS
from comity_policy.carried import not_carried, told
from comity_policy.document import Document, DocumentError, load
from comity_policy.engine import CompiledAgreement, compile_agreement
from comity_policy.facts import AgreementState
from comity_policy.lifecycle import State, Step, StepError, TransitionError, TransitionFault, admissible, fold
from comity_policy.vocabulary import bundled

_COMPILED_KEPT: Final = 8


def document_digest(document: bytes) -> bytes:
    """Give SHA-384(PAE(agreement, text)): the 48 bytes that name an agreement's text."""
    return hashlib.sha384(pae("agreement", document)).digest()


@dataclass(slots=True)
class Standing:
    """One agreement as it stands: text, steps, and compiled forms for the states it was asked in.

    `epoch` is the head's state_epoch that the steps amount to.
    """

    text: bytes
    document: Document
    digest: bytes
    origin: str
    steps: tuple[Step, ...] = ()
    epoch: int = 0
    frozen_reason: str = ""
    _folded: State | None = None
    _compiled: dict[AgreementState, CompiledAgreement] = field(default_factory=dict)

    @property
    def agreement_id(self) -> str:
        """Give the agreement's id."""
        return self.document.id

    @property
    def parties(self) -> tuple[str, ...]:
        """Give the parties' codes, ascending."""
        return tuple(sorted(self.document.parties))

    def state(self, now_ms: int) -> State:
        """Give the state at a time, not before the last step."""
        if self._folded is None:
            self._folded = fold(self.document, self.digest, self.steps, now_ms)
        return self._folded.at(now_ms)

    def compiled(self, now_ms: int) -> CompiledAgreement:
        """Give the agreement ready to decide in the state of that time."""
        policy = self.state(now_ms).policy()
        found = self._compiled.get(policy)
        if found is None:
            if len(self._compiled) >= _COMPILED_KEPT:
                self._compiled.clear()
            found = self._compiled[policy] = compile_agreement(self.document, self.digest, policy, bundled())
        return found

    def admits(self, now_ms: int) -> bool:
        """Say whether every party signed this log: no report before."""
        return self.origin in self.state(now_ms).open_logs

    def with_step(self, step: Step, epoch: int) -> None:
        """Take a committed step."""
        self.steps = (*self.steps, step)
        self._folded = None
        self.epoch = epoch


class Ledger:
    """Every agreement of this broker."""

    def __init__(self, keys: KeyDirectory) -> None:
        self._keys = keys
        self._standings: dict[str, Standing] = {}
        self._listeners: list[Callable[[str], None]] = []

    def standing(self, agreement_id: str) -> Standing | None:
        """Give an agreement; None where this broker carries none of that id."""
        return self._standings.get(agreement_id)

    def require(self, agreement_id: str, party: str | None = None) -> Standing:
        """Give an agreement that `party` is a party of; raises NotFoundError, the same for both reasons."""
        standing = self._standings.get(agreement_id)
        if standing is None or (party is not None and party not in standing.document.parties):
            raise NotFoundError(
                f"there is no agreement {agreement_id} here for this party",
                what_to_do="comity agreement list shows those there are.",
                code=ErrorCode.AGREEMENT_UNKNOWN,
            )
        return standing

    def standings(self, party: str | None = None) -> list[Standing]:
        """Give the agreements, of one party where named, by id."""
        found = sorted(self._standings.values(), key=lambda one: one.agreement_id)
        return [one for one in found if party is None or party in one.document.parties]

    def add(self, standing: Standing) -> None:
        """Take an agreement that was committed or read back."""
        self._standings[standing.agreement_id] = standing
        self.changed(standing.agreement_id)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the agreement's id after each change of its state."""
        self._listeners.append(listener)

    def changed(self, agreement_id: str) -> None:
        """Tell the listeners."""
        for listener in self._listeners:
            listener(agreement_id)

    def revoked(self, party: str, epochs: dict[str, int]) -> None:
        """Take the epochs that a change of a party's keys raised."""
        for standing in self.standings(party):
            standing.epoch = epochs.get(standing.agreement_id, standing.epoch)
            self.changed(standing.agreement_id)


def read_step(statement: Statement, *, log_index: int = 0, at_ms: int = 0) -> Step:
    """Give the step a statement says; raises MalformedError, also for one that this broker's log has no entry for."""
    try:
        step = Step.from_body(statement.fields, digest=statement.digest.hex(), log_index=log_index, at_ms=at_ms)
    except StepError as error:
        raise MalformedError(f"the step does not read: {error}", code=ErrorCode.STATEMENT_REJECTED) from error
    if step.kind not in LOGGED_STEPS:
        raise MalformedError(f"this broker does not take {step.kind.value}", code=ErrorCode.STATEMENT_REJECTED)
    return step


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
        raise _transition(error) from error


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


def stepped(standing: Standing, step: Step, now_ms: int) -> State:
    """Give the state after a step that is checked but not committed, for the reasons a commit may need."""
    return fold(standing.document, standing.digest, (*standing.steps, step), now_ms)


def placed(step: Step, log_index: int, at_ms: int) -> Step:
    """Give a step at the place and time its log gave it."""
    return replace(step, log_index=log_index, at_ms=at_ms)


def _transition(error: TransitionError) -> ComityError:
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
