"""Agreements as a node folds them for itself, from the agreement's log and its texts; the broker only collates (design 02).

Rules in order:
1. The first text is the one whose digest entry 0 names; texts and caveats are taken as `agreement_texts` says, the umbrella of
   an arrangement as `agreement_umbrella` says.
2. Each party's root, as the text pins it, is that of the card trusted here; a party without a trusted card stops the fold.
3. A step counts when the officer it names signed it, alone, with a key that counted at that place of the key log, and held
   the role for this agreement. The place an entry states leaves nothing out that the key log had by then, and never falls.
4. A key that the agreement's own log has as revoked signs nothing after that entry.
5. What the steps mean is `comity_policy.lifecycle`'s fold; one that it does not admit stops it: a state that leaves a step out
   would be open by mistake. The terms of the log that parties signed are those of its first entry.
6. What decides is what `comity_policy.governing` says, from the state and the umbrella at that place and time and the own
   party's caveats in force there. A partner's caveats are unknown here: they can only narrow, and the broker decides by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from comity.errors import ErrorCode, KeyFault, VerificationError
from comity.identity.bodies import Revocation, read_body
from comity.identity.records import RevocationRecord
from comity.node import agreement_umbrella
from comity.node.agreement_texts import BRINGING, OwnCaveat, Text, own_caveat
from comity.node.agreement_umbrella import FindFold, UmbrellaPlaces
from comity.node.agreement_view import UmbrellaView, VerifiedStep
from comity.node.directory import KeyLog
from comity.node.entries import MirroredEntry
from comity.node.logs import LogPin
from comity.statement import Statement, from_json, verify_signature_of
from comity.suites import KeyRole
from comity_policy.document import Document
from comity_policy.engine import CompiledAgreement
from comity_policy.governing import Basis, Key, known_caveats, shared_before, sharing
from comity_policy.lifecycle import State, Step, StepError, StepKind, TransitionError, draft, fold, taken
from comity_policy.texts import texts_at
from comity_policy.vocabulary import bundled

# The kinds of steps that each kind of entry carries.
_STEPS: Final[Mapping[str, frozenset[StepKind]]] = {
    "LOG_OPENED": frozenset({StepKind.LOG_SIGN}),
    "LOG_CONFIRMED": frozenset({StepKind.LOG_CONFIRM}),
    "AGREEMENT_PROPOSED": frozenset({StepKind.PROPOSE}),
    "AGREEMENT_COUNTERED": frozenset({StepKind.COUNTER}),
    "AGREEMENT_INITIALLED": frozenset({StepKind.INITIAL}),
    "AGREEMENT_REVIEWED": frozenset({StepKind.REVIEW, StepKind.REVIEW_CLAUSES}),
    "AGREEMENT_OBJECTED": frozenset({StepKind.OBJECT}),
    "AGREEMENT_SIGNED": frozenset({StepKind.SIGN}),
    "AGREEMENT_COMPLETED": frozenset({StepKind.NOTIFY_COMPLETION}),
    "AGREEMENT_RECEIVED": frozenset({StepKind.RECEIVE}),
    "AGREEMENT_ACCEDED": frozenset({StepKind.ACCEDE}),
    "AGREEMENT_AMENDED": frozenset({StepKind.AMEND}),
    "AGREEMENT_NOTED": frozenset({StepKind.NOTES}),
    "AGREEMENT_RENEWED": frozenset({StepKind.RENEW}),
    "AGREEMENT_RENEWAL_OBJECTED": frozenset({StepKind.OBJECT_RENEWAL}),
    "AGREEMENT_NOTICE_GIVEN": frozenset({StepKind.NOTICE}),
    "AGREEMENT_WITHDRAWN": frozenset({StepKind.WITHDRAW}),
    "AGREEMENT_SUSPENDED": frozenset({StepKind.SUSPEND}),
    "AGREEMENT_RESUMED": frozenset({StepKind.RESUME}),
    "AGREEMENT_CAVEAT_ADDED": frozenset({StepKind.CAVEAT_ADD}),
    "AGREEMENT_CAVEAT_WITHDRAWN": frozenset({StepKind.CAVEAT_WITHDRAW}),
    "DISPUTE_OPENED": frozenset({StepKind.DISPUTE_OPEN}),
    "DISPUTE_CLOSED": frozenset({StepKind.DISPUTE_CLOSE}),
}
KINDS: Final = frozenset({*_STEPS, "KEY_REVOKED", agreement_umbrella.KIND})
_COMPILED_KEPT: Final = 8


def brought_by(entries: Iterable[MirroredEntry]) -> dict[str, int]:
    """Give the digest (hex) of each text that these entries bring, with the first entry's index; raises as reading does."""
    found: dict[str, int] = {}
    for entry in entries:
        if entry.kind in BRINGING:
            named = from_json(entry.shared()["statement"]).fields.get("agreement_digest")
            found.setdefault(str(named), entry.log_index)
    return found


@dataclass(slots=True)
class AgreementFold:
    """One agreement's steps so far, from the entries below `taken`, as the party `own` folds them.

    `texts` are those held, by digest in hex; `revoked` says of each key where it ceased to count; `caveats` are the own
    party's, by the digest its step names.
    """

    first: Text
    own: str
    pin: LogPin
    umbrella: UmbrellaPlaces
    texts: dict[str, Text]
    steps: list[VerifiedStep] = field(default_factory=list)
    caveats: dict[str, OwnCaveat] = field(default_factory=dict)
    revoked: dict[bytes, RevocationRecord] = field(default_factory=dict)
    key_log_size: int = 0
    taken: int = 0
    _folded: State | None = None
    _compiled: dict[Key, CompiledAgreement] = field(default_factory=dict)

    @classmethod
    def begun(cls, first: Text, own: str, pin: LogPin, find: FindFold) -> AgreementFold:
        """Begin with the text that entry 0 of the log names; `find` gives other agreements' folds."""
        return cls(first, own, pin, UmbrellaPlaces.of(first.document, find), {first.digest: first})

    @property
    def agreement_id(self) -> str:
        """Give the agreement's id."""
        return self.first.document.id

    def take(self, entries: Iterable[MirroredEntry], pin: LogPin, keys: KeyLog) -> None:
        """Take the entries of `KINDS` from `taken` up to a pin; a fold that raised is to be thrown away.

        Every text that they bring is in `texts` by then. Raises KeyFault PARTY_UNTRUSTED, VerificationError or MalformedError.
        """
        self._check_roots(keys)
        self._folded = replace(self._state(), texts=self._documents())
        for entry in entries:
            body = entry.shared()
            if entry.kind == "KEY_REVOKED":
                self._take_revocation(entry.log_index, body, keys)
            elif entry.kind == agreement_umbrella.KIND:
                named = body["umbrella"], body["umbrella_origin"], body["umbrella_log_index"]
                self.umbrella.take(entry.log_index, *named)
            else:
                values = body["statements"] if entry.kind == "LOG_OPENED" else [body["statement"]]
                for value in values:
                    self._take_step(entry, body, from_json(value), keys)
        self.pin, self.taken = pin, pin.size
        self._check_terms(self._state())

    def state(self, now_ms: int) -> State:
        """Give the state at that time."""
        return self._state().at(now_ms)

    def state_before(self, log_index: int, now_ms: int) -> State:
        """Give the state that the steps before an entry amount to, at that time."""
        if not self.steps or self.steps[-1].step.log_index < log_index:
            return self.state(now_ms)
        earlier = (one.step for one in self.steps if one.step.log_index < log_index)
        return fold(self.first.document, bytes.fromhex(self.first.digest), earlier, now_ms, self._documents())

    def newest_step_at(self, at_ms: int) -> int:
        """Give the index of the last step that the log had at that time of the broker, 0 where it had none."""
        return next((one.step.log_index for one in reversed(self.steps) if one.step.at_ms <= at_ms), 0)

    def own_caveats(self, state: State) -> dict[str, OwnCaveat]:
        """Give the own party's caveats in force in a state, by their ids."""
        own = ((caveat_id, digest) for (party, caveat_id), digest in state.caveats.items() if party == self.own)
        return {caveat_id: self.caveats[digest] for caveat_id, digest in sorted(own)}

    def umbrella_of(self, state: State, before: int | None = None) -> UmbrellaView | None:
        """Give the umbrella for what stands before an entry (None: for now), at the state's time."""
        return self.umbrella.at(before, state.now_ms)

    def documents_at(self, at_ms: int) -> tuple[Document, ...]:
        """Give the texts that govern what is shared at a moment: the agreement's own, then its umbrella's."""
        state = self.state(at_ms)
        umbrella = self.umbrella_of(state)
        return tuple(text.document for text in texts_at(state, at_ms, None if umbrella is None else umbrella.state))

    def compiled(self, state: State, before: int | None = None) -> CompiledAgreement:
        """Give what decides on what is shared in a state, before an entry (None: now); raises whatever stops the umbrella."""
        return self._ready(sharing(state, self._above(state, before), self._caveat_texts(state)))

    def compiled_for_held(self, digest: str, state: State) -> tuple[CompiledAgreement, ...]:
        """Give what decides now on what was shared under the version with that digest (hex): all of them have to permit.

        Empty where no version with it ever governed. Raises whatever stops the umbrella.
        """
        bases = shared_before(digest, state, self._above(state, None), self._caveat_texts(state))
        return tuple(self._ready(basis) for basis in bases)

    def _ready(self, basis: Basis) -> CompiledAgreement:
        found = self._compiled.get(basis.key)
        if found is None:
            if len(self._compiled) >= _COMPILED_KEPT:
                self._compiled.clear()
            found = self._compiled[basis.key] = basis.compiled(bundled())
        return found

    def _above(self, state: State, before: int | None) -> State | None:
        above = self.umbrella_of(state, before)
        return None if above is None else above.state

    def _caveat_texts(self, state: State) -> Mapping[tuple[str, str], bytes]:
        texts = {digest: one.data for digest, one in self.caveats.items()}
        return known_caveats(state, texts) if texts else {}

    # --- one entry --------------------------------------------------------------------------------------------------

    def _state(self) -> State:
        if self._folded is None:
            self._folded = draft(self.first.document, bytes.fromhex(self.first.digest))
        return self._folded

    def _documents(self) -> Mapping[str, Document]:
        return MappingProxyType({digest: text.document for digest, text in self.texts.items()})

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
        if step.kind not in _STEPS[entry.kind]:
            raise self._wrong(log_index, f"is {entry.kind} and carries {step.kind.value}")
        self._check_signature(step, statement, keys)
        if step.kind is StepKind.CAVEAT_ADD:
            mine = own_caveat(entry, step, self.own, self._state().at(at_ms).document)
            if mine is not None:
                self.caveats[step.caveat_digest] = mine
        try:
            self._folded = taken(self._state(), step)
        except TransitionError as error:
            raise VerificationError(
                f"the log of {self.agreement_id} holds a step that its state does not allow: entry {log_index}: {error}"
            ) from error
        self.steps.append(VerifiedStep(step, statement, step.officer))

    def _check_signature(self, step: Step, statement: Statement, keys: KeyLog) -> None:
        log_index = step.log_index
        if len(statement.signatures) != 1:
            raise self._wrong(log_index, "a step has exactly one signature")
        key = statement.signatures[0].key
        if key in self.revoked:
            raise self._wrong(
                log_index, f"is signed with a key that entry {self.revoked[key].log_index} says is revoked"
            )
        try:
            officer = keys.directory.officer_by_key(key, step.at_ms, self.key_log_size)
        except KeyFault as error:
            raise self._wrong(log_index, error.message) from error
        listed = next(one for one in officer.keys if one.fingerprint == key)
        if str(officer.identity) != step.officer or listed.role is not KeyRole.OFFICER_SIGNING:
            raise self._wrong(log_index, f"is not signed by {step.officer}, whom it names")
        if not officer.holds(step.role, self.agreement_id):
            raise self._wrong(log_index, f"{step.officer} does not hold the role {step.role.word} for it")
        if not verify_signature_of(statement, key, listed.suite, listed.public):
            raise self._wrong(log_index, "its signature does not verify")

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
        # No later text has other parties or roots: the fold of steps holds it to that.
        for party, pinned in self.first.document.parties.items():
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
