"""The steps that bring a text into force: propose, counter, initial, review, object, sign, complete, receive, accede.

Rules in order:
1. Each is about the version on the table: one on its way where the own party is bound, else the current one. An officer who
   names a digest acts on that text alone, so that nobody signs off what a partner countered a moment ago.
2. Signing is two steps, the agreement and the terms of its log; what was taken before is not taken again, so that a signature
   that was interrupted can be finished. An accession is the same.
3. An arrangement is proposed where the umbrella it names is carried, and under exactly the text that governs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comity.errors import ConflictError, ErrorCode, MalformedError, NotFoundError
from comity.node.agreement_texts import Text
from comity.node.agreement_view import AgreementView
from comity.node.catching_up import catch_up
from comity.node.enrolment import statement_message
from comity.node.officer_work import OfficerWork, Taken, loaded_text, require_meant, with_text
from comity.v1 import agreement_pb2 as pb
from comity_policy.document import Document
from comity_policy.lifecycle import State, Version, draft
from comity_policy.steps import StepKind


@dataclass(frozen=True, slots=True)
class Negotiating(OfficerWork):
    """An officer who negotiates."""

    async def propose(self, document: bytes) -> Taken:
        """Bring an agreement's text, with the first step of its life; raises MalformedError for a text that does not load."""
        text = loaded_text(document)
        await catch_up(self.connection, self.mirror, ())
        self.check_text(text.document)
        await self._check_umbrella(text.document)
        state = draft(text.document, bytes.fromhex(text.digest))
        statement = self.signed(self.step(StepKind.PROPOSE, state))
        request = pb.ProposeRequest(document=document, step=statement_message(statement))
        answer = await self.connection.call(self.connection.agreements.Propose, request)
        return Taken(StepKind.PROPOSE, answer.log_index)

    async def counter(self, document: bytes) -> Taken:
        """Answer the text on the table with another one: the next round."""
        text = loaded_text(document)
        view = await self.view(text.document.id)
        return await self._bring_text(StepKind.COUNTER, view.state, text)

    async def initial(self, agreement_id: str, digest: str = "") -> Taken:
        """Put the own party's initials to the text on the table: once every party has, it is frozen."""
        return await self._on_the_table(StepKind.INITIAL, agreement_id, digest)

    async def review(self, agreement_id: str, clauses: Sequence[str] = (), digest: str = "") -> Taken:
        """Sign off the legal review of the named clauses, of all with none named, of exactly the text on the table."""
        view = await self.view(agreement_id)
        version = self.on_the_table(view.state)
        require_meant(version, digest)
        if clauses:
            step = self.step(StepKind.REVIEW_CLAUSES, view.state, version.digest, clauses=tuple(clauses))
        else:
            step = self.step(StepKind.REVIEW, view.state, version.digest)
        return await self.bring(step)

    async def object(self, agreement_id: str, clauses: Sequence[str], reason: str, digest: str = "") -> Taken:
        """Object to clauses of the text on the table: nobody signs it before the objection is met."""
        view = await self.view(agreement_id)
        version = self.on_the_table(view.state)
        require_meant(version, digest)
        step = self.step(StepKind.OBJECT, view.state, version.digest, clauses=tuple(clauses), reason=reason)
        return await self.bring(step)

    async def sign(self, agreement_id: str, digest: str = "") -> tuple[Taken, ...]:
        """Sign the agreement and the terms of its log; gives the steps that were missing."""
        view = await self.view(agreement_id)
        return await self._bind(StepKind.SIGN, view, self.on_the_table(view.state), digest)

    async def accede(self, agreement_id: str, digest: str = "") -> tuple[Taken, ...]:
        """Accede to an agreement that is in force, and sign the terms of its log; gives the steps that were missing."""
        view = await self.view(agreement_id)
        return await self._bind(StepKind.ACCEDE, view, view.state.current, digest)

    async def notify_completion(self, agreement_id: str, instrument: str, authority: str, date: str) -> Taken:
        """Notify that the own party's internal procedures are complete; `date` (YYYY-MM-DD) is the instrument's."""
        view = await self.view(agreement_id)
        version = self.on_the_table(view.state)
        step = self.step(
            StepKind.NOTIFY_COMPLETION,
            view.state,
            version.digest,
            instrument=instrument,
            authority=authority,
            date=date,
        )
        return await self.bring(step)

    async def receive(self, agreement_id: str, party: str) -> Taken:
        """Receive another party's notification of completion; the first receipt fixes the date that counts."""
        view = await self.view(agreement_id)
        version, names = _notified(view.state, party)
        return await self.bring(self.step(StepKind.RECEIVE, view.state, version.digest, names=names))

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _on_the_table(self, kind: StepKind, agreement_id: str, digest: str) -> Taken:
        view = await self.view(agreement_id)
        version = self.on_the_table(view.state)
        require_meant(version, digest)
        return await self.bring(self.step(kind, view.state, version.digest))

    async def _bring_text(self, kind: StepKind, state: State, text: Text) -> Taken:
        self.check_text(text.document)
        return await self.bring(self.step(kind, with_text(state, text), text.digest), text.data)

    async def _bind(self, kind: StepKind, view: AgreementView, version: Version, digest: str) -> tuple[Taken, ...]:
        require_meant(version, digest)
        self.check_text(version.document)
        terms, party = self.log_terms(view), self.officer.party
        taken = []
        if party not in version.signed:
            taken.append(await self.bring(self.step(kind, view.state, version.digest)))
        if party not in view.state.log_signed.get(terms.origin, frozenset()):
            taken.append(await self.bring(self.step(StepKind.LOG_SIGN, view.state, version.digest, log=terms)))
        if not taken:
            raise ConflictError(
                f"{party} has signed {view.agreement_id} already", code=ErrorCode.TRANSITION_NOT_ALLOWED
            )
        return tuple(taken)

    async def _check_umbrella(self, document: Document) -> None:
        under = document.under
        if under is None:
            return
        above = await self.view(under.agreement)
        if under.digest != f"sha384:{above.digest.hex()}":
            raise MalformedError(
                f"{document.id} names another text of {under.agreement} than the one that governs",
                what_to_do=f'Write [under] digest = "sha384:{above.digest.hex()}".',
                code=ErrorCode.AGREEMENT_INVALID,
            )


def _notified(state: State, party: str) -> tuple[Version, str]:
    for version in (state.pending, state.current):
        if version is not None and party in version.completed:
            return version, version.completed[party].digest
    raise NotFoundError(
        f"{party} has notified no completion of {state.document.id}",
        what_to_do=f"comity agreement show {state.document.id} tells who has.",
        code=ErrorCode.ITEM_UNKNOWN,
    )
