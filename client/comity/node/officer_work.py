"""An officer at work on agreements: how a step is made, checked, signed and brought (design 02, "Lifecycle").

Rules in order:
1. A step is made from the reader's own fold of the agreement's log (`Mirror`), freshly fetched, never from what a broker
   says of it. What the fold would refuse is refused here, with its reason, before anything is signed.
2. The role a step names is one the officer's logged accreditation gives for this agreement.
3. Nobody signs what is not what it seems: the text pins the roots that are trusted here and names this broker and its
   operator; the log's terms are those the mirror verified, with keys of this broker. Who says which text is meant, by its
   digest, signs about that text or not at all.
`negotiating` has the steps up to the entry into force, `treaty_life` those after it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, TypedDict, Unpack

from comity.errors import AccessError, ConflictError, ErrorCode, MalformedError, RefusedError, VerificationError
from comity.identity.bodies import PartyCard
from comity.identity.names import Identity
from comity.node.access import Access
from comity.node.agreement_texts import Text
from comity.node.agreement_view import AgreementView
from comity.node.catching_up import catch_up
from comity.node.connection import Connection
from comity.node.continuing import KIND as CONTINUES
from comity.node.continuing import read_continued
from comity.node.enrolment import statement_message
from comity.node.mirror import Mirror
from comity.statement import Statement, sign_statement
from comity.suites import KeyRole, RandomBytes
from comity.texts import agreement_digest
from comity.v1 import agreement_pb2 as pb
from comity_policy.carried import not_carried, told
from comity_policy.document import Document, DocumentError, load
from comity_policy.facts import Role
from comity_policy.lifecycle import State, TransitionError, TransitionFault, Version, admissible
from comity_policy.steps import ABOUT_LOGS, REASON_LIMIT, LogTerms, Step, StepError, StepKind

_FAULTS: Final[Mapping[TransitionFault, ErrorCode]] = {
    TransitionFault.CONFLICT: ErrorCode.STATEMENT_CONFLICT,
    TransitionFault.DIGEST: ErrorCode.DIGEST_MISMATCH,
    TransitionFault.STATE: ErrorCode.TRANSITION_NOT_ALLOWED,
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that the broker has logged."""

    kind: StepKind
    log_index: int


class StepFields(TypedDict, total=False):
    """What a step says beyond who takes it and what it is about; each kind has its own (`comity_policy.steps`)."""

    clauses: tuple[str, ...]
    reason: str
    log: LogTerms
    instrument: str
    authority: str
    date: str
    names: str
    annex: str
    subject: str
    subject_id: str
    deadline: str
    caveat: str
    caveat_digest: str
    partner_text: str


@dataclass(frozen=True, slots=True)
class OfficerWork:
    """An officer at work: opened keys, an open connection, an open mirror, and where salts come from."""

    access: Access
    connection: Connection
    mirror: Mirror
    random_bytes: RandomBytes = os.urandom

    @property
    def officer(self) -> Identity:
        """Give who acts."""
        return self.access.place.identity

    # --- what is known ----------------------------------------------------------------------------------------------

    async def view(self, agreement_id: str) -> AgreementView:
        """Give an agreement as of now, freshly fetched and folded."""
        await catch_up(self.connection, self.mirror, (agreement_id,))
        return self.mirror.agreement(agreement_id)

    def on_the_table(self, state: State) -> Version:
        """Give the version that the own party negotiates: one on its way, where the party is bound; else the current one."""
        pending = state.pending
        return pending if pending is not None and self.officer.party in state.bound else state.current

    # --- making, signing, bringing ----------------------------------------------------------------------------------

    def step(
        self,
        kind: StepKind,
        state: State,
        about: str | None = None,
        role: Role | None = None,
        **fields: Unpack[StepFields],
    ) -> Step:
        """Make a step about a text, by its digest (None: the one that governs); raises what the fold has against it."""
        if kind in ABOUT_LOGS:
            follows = ""
        elif kind.multilateral:
            follows = state.chain_head
        else:
            follows = state.party_heads.get(self.officer.party, "")
        agreement_id = state.document.id
        step = Step(
            kind=kind,
            agreement_id=agreement_id,
            agreement_digest=state.current.digest if about is None else about,
            party=self.officer.party,
            officer=str(self.officer),
            role=self._role(kind, agreement_id, role),
            follows=follows,
            # The fold wants a digest that no step before had; the broker's log gives the real one.
            digest="00",
            **fields,
        )
        _check_form(step)
        try:
            admissible(state, step)
        except TransitionError as error:
            raise _not_allowed(error) from error
        return step

    async def bring(self, step: Step, text: bytes = b"", salt: bytes = b"") -> Taken:
        """Sign a step and bring it, with the text that it names."""
        request = pb.SubmitStepRequest(
            agreement_id=step.agreement_id, step=statement_message(self.signed(step)), text=text, salt=salt
        )
        answer = await self.connection.call(self.connection.agreements.SubmitStep, request)
        return Taken(step.kind, answer.log_index)

    def signed(self, step: Step) -> Statement:
        """Sign a step with the officer's key."""
        record = self.mirror.directory.officer(self.officer.party, self.officer.name)
        among = None if record is None else record.fingerprints
        return sign_statement(step.to_body(), self.access.ring.signer(KeyRole.OFFICER_SIGNING, among=among))

    def _role(self, kind: StepKind, agreement_id: str, wanted: Role | None) -> Role:
        record = self.mirror.directory.officer(self.officer.party, self.officer.name)
        roles = kind.roles if wanted is None else {wanted}
        held = [] if record is None else [role for role in sorted(roles) if record.holds(role, agreement_id)]
        if not held:
            words = " or ".join(sorted(role.word for role in roles))
            raise AccessError(
                f"{self.officer} is not accredited as {words} for {agreement_id}",
                what_to_do=f"comity officer accredit {self.officer} --role {min(roles).word} --agreement {agreement_id}",
            )
        return held[0]

    # --- what nobody signs ------------------------------------------------------------------------------------------

    def check_text(self, document: Document) -> None:
        """Check that a text is what it seems by rule 3, and that this release carries it; raises the error that says what."""
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

    def log_terms(self, view: AgreementView) -> LogTerms:
        """Give the terms of an agreement's log, as its verified first entry says them."""
        # The mirror compared all of it: the text by its digest, the origin with the broker's name, the keys with its bundle.
        pin = self.mirror.pin(view.agreement_id)
        (opened,) = self.mirror.entries(view.agreement_id, 0 if pin is None else pin.first, 1)
        if opened.kind == CONTINUES:
            said = read_continued(opened).said
            return LogTerms(said.origin, said.log_vkeys, said.anchor_slot, said.anchor_key)
        body: Mapping[str, Any] = opened.shared()
        return LogTerms(body["origin"], tuple(body["log_vkeys"]), body["anchor_slot"], body["anchor_key"])


def loaded_text(data: bytes) -> Text:
    """Load a text that an officer brings; raises MalformedError AGREEMENT_INVALID that names the place."""
    return Text(data, load_document(data), agreement_digest(data).hex())


def with_text(state: State, text: Text) -> State:
    """Give a state that holds one more text, as it will once the step that brings it is logged."""
    return replace(state, texts=MappingProxyType({**state.texts, text.digest: text.document}))


def require_meant(version: Version, meant: str) -> None:
    """Check that a version is the one an officer means, by its digest (empty: whichever it is); raises ConflictError."""
    if meant and meant.removeprefix("sha384:") != version.digest:
        raise ConflictError(
            f"the text of {version.document.id} is another one by now: sha384:{version.digest}",
            what_to_do=f"Read it first: comity agreement show {version.document.id}",
            code=ErrorCode.DIGEST_MISMATCH,
        )


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


def _check_form(step: Step) -> None:
    try:
        step.to_body()
    except StepError as error:
        raise MalformedError(
            f"the step cannot be written: {error}",
            what_to_do="Dates are YYYY-MM-DD; what people read is one line without control characters, a reason at most "
            f"{REASON_LIMIT} characters; clauses, annexes and caveats are named by their ids.",
        ) from error


def _not_allowed(error: TransitionError) -> AccessError | ConflictError:
    if error.fault in {TransitionFault.NOT_A_PARTY, TransitionFault.ROLE}:
        code = ErrorCode.NOT_A_PARTY if error.fault is TransitionFault.NOT_A_PARTY else ErrorCode.ROLE_NOT_ALLOWED
        return AccessError(str(error), code=code)
    return ConflictError(str(error), what_to_do="Look at it: comity agreement show ID", code=_FAULTS[error.fault])
