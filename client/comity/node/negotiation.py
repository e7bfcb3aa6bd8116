"""The steps of an agreement's life that an officer signs: propose, review, sign, suspend, resume (design 02, "Lifecycle").

Rules in order:
1. A step is made from the reader's own fold of the agreement's log (`Mirror`), freshly fetched, never from what a broker
   says of it. What the fold would refuse is refused here, with its reason, before anything is signed.
2. The role a step names is one the officer's logged accreditation gives for this agreement.
3. Nobody signs what is not what it seems: the text pins the roots that are trusted here and names this broker and its
   operator; the log's terms are those the mirror verified, of the text that is signed and with keys of this broker.
4. Signing is two steps, the agreement and the terms of its log; what was taken before is not taken again, so that a signature
   that was interrupted can be finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comity.errors import AccessError, ConflictError, ErrorCode, MalformedError, RefusedError, VerificationError
from comity.identity.bodies import PartyCard
from comity.identity.names import Identity
from comity.node.access import Access
from comity.node.agreements import AgreementView, document_digest
from comity.node.catching_up import catch_up
from comity.node.connection import Connection
from comity.node.enrolment import statement_message
from comity.node.mirror import Mirror
from comity.statement import Statement, sign_statement
from comity.suites import KeyRole
from comity.v1 import agreement_pb2 as pb
from comity_policy.carried import not_carried, told
from comity_policy.document import Document, DocumentError, load
from comity_policy.facts import Role
from comity_policy.lifecycle import State, TransitionError, TransitionFault, admissible, draft
from comity_policy.steps import LogTerms, Step, StepKind

_FAULTS = {
    TransitionFault.CONFLICT: ErrorCode.STATEMENT_CONFLICT,
    TransitionFault.DIGEST: ErrorCode.DIGEST_MISMATCH,
    TransitionFault.STATE: ErrorCode.TRANSITION_NOT_ALLOWED,
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that the broker has logged."""

    kind: StepKind
    log_index: int


@dataclass(frozen=True, slots=True)
class Negotiator:
    """An officer at work: opened keys, an open connection, and an open mirror."""

    access: Access
    connection: Connection
    mirror: Mirror

    @property
    def officer(self) -> Identity:
        """Give who acts."""
        return self.access.place.identity

    async def propose(self, document: bytes) -> Taken:
        """Bring an agreement's text, with the first step of its life; raises MalformedError for a text that does not load."""
        loaded = load_document(document)
        await catch_up(self.connection, self.mirror, ())
        self._check_text(loaded)
        state = draft(loaded, document_digest(document))
        statement = self._signed(self._step(StepKind.PROPOSE, state))
        request = pb.ProposeRequest(document=document, step=statement_message(statement))
        answer = await self.connection.call(self.connection.agreements.Propose, request)
        return Taken(StepKind.PROPOSE, answer.log_index)

    async def review(self, agreement_id: str) -> Taken:
        """Sign off the legal review of every clause, of exactly the text that was proposed."""
        view = await self._view(agreement_id)
        return await self._take(view, self._step(StepKind.REVIEW, view.state))

    async def sign(self, agreement_id: str) -> tuple[Taken, ...]:
        """Sign the agreement and the terms of its log; gives the steps that were missing."""
        view = await self._view(agreement_id)
        self._check_text(view.document)
        terms = self._terms(view)
        taken = []
        if self.officer.party not in view.state.signed:
            taken.append(await self._take(view, self._step(StepKind.SIGN, view.state)))
        if self.officer.party not in view.state.log_signed.get(terms.origin, frozenset()):
            step = self._step(StepKind.LOG_SIGN, view.state, log=terms)
            taken.append(await self._take(view, step))
        if not taken:
            raise ConflictError(
                f"{self.officer.party} has signed {agreement_id} already", code=ErrorCode.TRANSITION_NOT_ALLOWED
            )
        return tuple(taken)

    async def suspend(self, agreement_id: str, clauses: Sequence[str], reason: str) -> Taken:
        """Suspend single clauses, or the whole agreement with none named; it takes effect with its entry in the log."""
        view = await self._view(agreement_id)
        return await self._take(view, self._step(StepKind.SUSPEND, view.state, clauses=clauses, reason=reason))

    async def resume(self, agreement_id: str, clauses: Sequence[str], reason: str) -> Taken:
        """Resume what the officer's own party suspended."""
        view = await self._view(agreement_id)
        return await self._take(view, self._step(StepKind.RESUME, view.state, clauses=clauses, reason=reason))

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _view(self, agreement_id: str) -> AgreementView:
        await catch_up(self.connection, self.mirror, (agreement_id,))
        return self.mirror.agreement(agreement_id)

    async def _take(self, view: AgreementView, step: Step) -> Taken:
        request = pb.SubmitStepRequest(agreement_id=view.agreement_id, step=statement_message(self._signed(step)))
        answer = await self.connection.call(self.connection.agreements.SubmitStep, request)
        return Taken(step.kind, answer.log_index)

    def _step(
        self,
        kind: StepKind,
        state: State,
        *,
        clauses: Sequence[str] = (),
        reason: str = "",
        log: LogTerms | None = None,
    ) -> Step:
        document = state.document
        if kind is StepKind.LOG_SIGN:
            follows = ""
        elif kind.multilateral:
            follows = state.chain_head
        else:
            follows = state.party_heads.get(self.officer.party, "")
        step = Step(
            kind=kind,
            agreement_id=document.id,
            agreement_digest=state.digest.hex(),
            party=self.officer.party,
            officer=str(self.officer),
            role=self._role(kind, document.id),
            follows=follows,
            clauses=tuple(clauses),
            reason=reason,
            log=log,
            # The fold wants a digest that no step before had; the broker's log gives the real one.
            digest="00",
        )
        try:
            admissible(state, step)
        except TransitionError as error:
            raise _not_allowed(error) from error
        return step

    def _role(self, kind: StepKind, agreement_id: str) -> Role:
        record = self.mirror.directory.officer(self.officer.party, self.officer.name)
        held = [] if record is None else [role for role in sorted(kind.roles) if record.holds(role, agreement_id)]
        if not held:
            wanted = " or ".join(sorted(role.word for role in kind.roles))
            raise AccessError(
                f"{self.officer} is not accredited as {wanted} for {agreement_id}",
                what_to_do=f"comity officer accredit {self.officer} --role {min(kind.roles).word} --agreement {agreement_id}",
            )
        return held[0]

    def _signed(self, step: Step) -> Statement:
        record = self.mirror.directory.officer(self.officer.party, self.officer.name)
        among = None if record is None else record.fingerprints
        return sign_statement(step.to_body(), self.access.ring.signer(KeyRole.OFFICER_SIGNING, among=among))

    def _check_text(self, document: Document) -> None:
        if parts := not_carried(document):
            raise MalformedError(
                f"this release does not carry all of {document.id}: {told(parts)}",
                what_to_do="Leave it out or wait for a release that carries it: comity agreement check FILE lists every part.",
                code=ErrorCode.AGREEMENT_INVALID,
            )
        check_roots(document, self.mirror.directory.cards)
        broker = self.access.broker
        named = document.brokers.get(broker.name)
        if named is None or named.operator != broker.party:
            raise RefusedError(
                f"{document.id} does not name the broker {broker}",
                what_to_do="A broker that is not named carries nothing of an agreement: write it into [brokers].",
                code=ErrorCode.BROKER_NOT_NAMED,
            )

    def _terms(self, view: AgreementView) -> LogTerms:
        # The mirror compared all of it: the text by its digest, the origin with the broker's name, the keys with its bundle.
        (opened,) = self.mirror.entries(view.agreement_id, 0, 1)
        body: Mapping[str, Any] = opened.shared()
        return LogTerms(body["origin"], tuple(body["log_vkeys"]), body["anchor_slot"], body["anchor_key"])


def load_document(document: bytes) -> Document:
    """Load an agreement's text; raises MalformedError AGREEMENT_INVALID that names the place."""
    try:
        return load(document)
    except DocumentError as error:
        raise MalformedError(
            f"the agreement does not load: {error.message}",
            what_to_do="Correct the text; comity agreement check FILE",
            code=ErrorCode.AGREEMENT_INVALID,
        ) from error


def check_roots(document: Document, cards: Mapping[str, PartyCard]) -> None:
    """Check that the roots a text pins are those of trusted cards; raises VerificationError naming the first that is not."""
    for code, party in document.parties.items():
        card = cards.get(code)
        if card is None:
            raise VerificationError(
                f"{document.id} pins a root of {code}, whose card is not trusted here",
                what_to_do="comity party trust FILE, after comparing its words with the party over a second channel.",
                code=ErrorCode.PARTY_UNTRUSTED,
            )
        if party.root != f"sha384:{card.root_fingerprint.hex()}" or party.trust_domain != card.trust_domain:
            raise VerificationError(
                f"{document.id} pins another root or trust domain of {code} than the card that is trusted here",
                what_to_do="Do not sign. Compare the words of both with the party over a second channel.",
            )


def _not_allowed(error: TransitionError) -> AccessError | ConflictError:
    if error.fault in {TransitionFault.NOT_A_PARTY, TransitionFault.ROLE}:
        code = ErrorCode.NOT_A_PARTY if error.fault is TransitionFault.NOT_A_PARTY else ErrorCode.ROLE_NOT_ALLOWED
        return AccessError(str(error), code=code)
    return ConflictError(str(error), what_to_do="comity agreement show ID", code=_FAULTS[error.fault])
