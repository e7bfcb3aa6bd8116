"""Agreements as a node folds them for itself, from the agreement's log and the text; the broker only collates (design 02).

Rules in order:
1. The text is the one whose digest entry 0 names, SHA-384(PAE(agreement, text)); it loads, and its id is the log's.
2. Each party's root, as the text pins it, is that of the card trusted here; a party without a trusted card stops the fold.
3. A step counts when the officer it names signed it, alone, with a key that counted at that place of the key log, and held
   the role for this agreement. The place an entry states leaves nothing out that the key log had by then, and never falls.
4. A key that the agreement's own log has as revoked signs nothing after that entry.
5. What the steps mean is `comity_policy.lifecycle`'s fold; one that it does not admit stops it: a state that leaves a step out
   would be open by mistake. The terms of the log that parties signed are those of its entry 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from comity.envelope.core import LogSeen
from comity.errors import ErrorCode, KeyFault, MalformedError, VerificationError
from comity.identity.bodies import Revocation, read_body
from comity.identity.records import RevocationRecord
from comity.node.directory import KeyLog
from comity.node.entries import MirroredEntry
from comity.node.logs import LogPin
from comity.pae import pae
from comity.statement import Statement, from_json, verify_signature_of
from comity.suites import KeyRole
from comity_policy.document import Document, DocumentError, load
from comity_policy.engine import CompiledAgreement, compile_agreement
from comity_policy.facts import AgreementState
from comity_policy.lifecycle import State, Step, StepError, StepKind, TransitionError, fold
from comity_policy.vocabulary import bundled

# The kind of step that each kind of entry carries.
_STEPS: Final[Mapping[str, StepKind]] = {
    "LOG_OPENED": StepKind.LOG_SIGN,
    "AGREEMENT_PROPOSED": StepKind.PROPOSE,
    "AGREEMENT_REVIEWED": StepKind.REVIEW,
    "AGREEMENT_SIGNED": StepKind.SIGN,
    "AGREEMENT_SUSPENDED": StepKind.SUSPEND,
    "AGREEMENT_RESUMED": StepKind.RESUME,
}
KINDS: Final = frozenset({*_STEPS, "KEY_REVOKED"})
_COMPILED_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class VerifiedStep:
    """One step with the statement that was signed, and the officer (PARTY/NAME) whose signature verified."""

    step: Step
    statement: Statement
    officer: str


@dataclass(frozen=True, slots=True)
class AgreementView:
    """One agreement at one moment, as this machine verified it.

    `state` and `compiled` are of the moment the view was taken. `key_log_age_ms` is how old the newest verified view of the
    key log is by our clock, None before the first.
    """

    agreement_id: str
    document_bytes: bytes
    document: Document
    digest: bytes
    state: State
    compiled: CompiledAgreement
    statements: tuple[VerifiedStep, ...]
    log_origin: str
    log_seen: LogSeen
    key_log_seen: LogSeen
    key_log_age_ms: int | None

    @property
    def parties(self) -> tuple[str, ...]:
        """Give the parties' codes, ascending."""
        return tuple(sorted(self.document.parties))

    @property
    def admits(self) -> bool:
        """Say whether every party signed this log, so that a broker may admit reports into it."""
        return self.log_origin in self.state.open_logs

    def broker_name(self, party: str, name: str) -> str:
        """Give what the text calls this broker; PARTY/NAME, which no text can name, where it is not the one that is meant."""
        named = self.document.brokers.get(name)
        return name if named is not None and named.operator == party else f"{party}/{name}"


def document_digest(document: bytes) -> bytes:
    """Give SHA-384(PAE(agreement, text)), 48 bytes."""
    return hashlib.sha384(pae("agreement", document)).digest()


def parse_document(agreement_id: str, document: bytes) -> Document:
    """Read a text that must have this id; raises MalformedError AGREEMENT_INVALID, or VerificationError."""
    try:
        parsed = load(document)
    except DocumentError as error:
        raise MalformedError(
            f"the text of {agreement_id} does not load: {error.message}", code=ErrorCode.AGREEMENT_INVALID
        ) from error
    if parsed.id != agreement_id:
        raise VerificationError(f"the text given for {agreement_id} is that of {parsed.id}")
    return parsed


def check_digest(agreement_id: str, document: bytes, opening: MirroredEntry) -> None:
    """Check that a text is the one entry 0 of its log names; raises VerificationError DIGEST_MISMATCH."""
    if opening.shared()["agreement_digest"] != document_digest(document).hex():
        raise VerificationError(
            f"the text of {agreement_id} that the broker gives is not the one its log names",
            code=ErrorCode.DIGEST_MISMATCH,
        )


@dataclass(slots=True)
class AgreementFold:
    """One agreement's steps so far, from the entries below `taken`. `revoked` says of each key where it ceased to count."""

    agreement_id: str
    document_bytes: bytes
    document: Document
    digest: bytes
    pin: LogPin
    steps: list[VerifiedStep] = field(default_factory=list)
    revoked: dict[bytes, RevocationRecord] = field(default_factory=dict)
    key_log_size: int = 0
    taken: int = 0
    _folded: State | None = None
    _compiled: dict[AgreementState, CompiledAgreement] = field(default_factory=dict)

    def take(self, entries: Iterable[MirroredEntry], pin: LogPin, keys: KeyLog) -> None:
        """Take the entries of `KINDS` from `taken` up to a pin; a fold that raised is to be thrown away.

        Raises KeyFault PARTY_UNTRUSTED, VerificationError or MalformedError.
        """
        self._check_roots(keys)
        for entry in entries:
            body = entry.shared()
            if entry.kind == "KEY_REVOKED":
                self._take_revocation(entry.log_index, body, keys)
            else:
                values = body["statements"] if entry.kind == "LOG_OPENED" else [body["statement"]]
                for value in values:
                    self._take_step(entry, body, from_json(value), keys)
        self.pin, self.taken = pin, pin.size
        self._folded = None
        self.state(0)

    def state(self, now_ms: int) -> State:
        """Give the state at that time; raises VerificationError where a step is not admissible."""
        if self._folded is None:
            try:
                self._folded = fold(self.document, self.digest, (one.step for one in self.steps), 0)
            except TransitionError as error:
                raise VerificationError(
                    f"the log of {self.agreement_id} holds a step that its state does not allow: {error}"
                ) from error
            self._check_terms(self._folded)
        return self._folded.at(now_ms)

    def state_before(self, log_index: int, now_ms: int) -> State:
        """Give the state that the steps before an entry amount to, at that time."""
        if not self.steps or self.steps[-1].step.log_index < log_index:
            return self.state(now_ms)
        earlier = (one.step for one in self.steps if one.step.log_index < log_index)
        return fold(self.document, self.digest, earlier, now_ms)

    def compiled(self, state: State) -> CompiledAgreement:
        """Give the agreement ready to decide in a state."""
        policy = state.policy()
        found = self._compiled.get(policy)
        if found is None:
            if len(self._compiled) >= _COMPILED_KEPT:
                self._compiled.clear()
            found = self._compiled[policy] = compile_agreement(self.document, self.digest, policy, bundled())
        return found

    # --- one entry --------------------------------------------------------------------------------------------------

    def _take_step(self, entry: MirroredEntry, body: dict[str, Any], statement: Statement, keys: KeyLog) -> None:
        log_index = entry.log_index
        at_ms, key_log_size = body["time"], body["key_log_size"]
        least = max(self.key_log_size, keys.least_size(at_ms))
        if not least <= key_log_size <= keys.size:
            raise self._wrong(log_index, f"states that the key log had {key_log_size} entries then")
        self.key_log_size = key_log_size
        try:
            step = Step.from_body(statement.fields, digest=statement.digest.hex(), log_index=log_index, at_ms=at_ms)
        except StepError as error:
            raise self._wrong(log_index, str(error)) from error
        # What this release does not act on it does not fold either: a caveat that is known and ignored would be a leak.
        if step.kind is not _STEPS[entry.kind]:
            raise self._wrong(log_index, f"is {entry.kind} and carries {step.kind.value}")
        if len(statement.signatures) != 1:
            raise self._wrong(log_index, "a step has exactly one signature")
        key = statement.signatures[0].key
        if key in self.revoked:
            raise self._wrong(
                log_index, f"is signed with a key that entry {self.revoked[key].log_index} says is revoked"
            )
        try:
            officer = keys.directory.officer_by_key(key, at_ms, key_log_size)
        except KeyFault as error:
            raise self._wrong(log_index, error.message) from error
        listed = next(one for one in officer.keys if one.fingerprint == key)
        if str(officer.identity) != step.officer or listed.role is not KeyRole.OFFICER_SIGNING:
            raise self._wrong(log_index, f"is not signed by {step.officer}, whom it names")
        if not officer.holds(step.role, self.agreement_id):
            raise self._wrong(log_index, f"{step.officer} does not hold the role {step.role.word} for it")
        if not verify_signature_of(statement, key, listed.suite, listed.public):
            raise self._wrong(log_index, "its signature does not verify")
        self.steps.append(VerifiedStep(step, statement, step.officer))

    def _take_revocation(self, log_index: int, body: dict[str, Any], keys: KeyLog) -> None:
        statement = from_json(body["statement"])
        revocation = read_body(statement)
        if (
            not isinstance(revocation, Revocation)
            or keys.directory.logged_at(statement.digest) != body["key_log_index"]
        ):
            raise self._wrong(log_index, "is no revocation that the key log has at the place it names")
        # The place in this log is that of the first one, the claimed time of compromise that of the last.
        first = self.revoked.get(revocation.key)
        index, at_ms = (log_index, body["time"]) if first is None else (first.log_index, first.at_ms)
        self.revoked[revocation.key] = RevocationRecord(
            revocation.party, revocation.key, revocation.reason, revocation.compromised_at, index, at_ms
        )

    def _check_roots(self, keys: KeyLog) -> None:
        for party, pinned in self.document.parties.items():
            root = keys.directory.card(party).root_fingerprint
            if pinned.root != f"sha384:{root.hex()}":
                raise VerificationError(
                    f"{self.agreement_id} pins another root of {party} than the card that is trusted here",
                    what_to_do=f"Compare the words of {party}'s root with its people before anything else.",
                )

    def _check_terms(self, state: State) -> None:
        terms = state.logs.get(self.pin.origin)
        if terms is not None and tuple(terms.log_vkeys) != self.pin.vkeys:
            raise VerificationError(f"the parties signed other keys of {self.pin.origin} than its entry 0 names")

    def _wrong(self, log_index: int, problem: str) -> VerificationError:
        return VerificationError(
            f"entry {log_index} of the log of {self.agreement_id}: {problem}", code=ErrorCode.STATEMENT_REJECTED
        )
