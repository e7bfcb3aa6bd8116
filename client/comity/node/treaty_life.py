"""The steps in the life of an agreement that is signed: changes, suspensions, renewal, notice, disputes, caveats.

Rules in order:
1. Each is about the version that governs; an amendment and a note bring the next one, whose text pins the same roots and
   names this broker.
2. A note is written by the role that its annex names, and answered by the same text from every party.
3. A caveat's text goes to the broker with a fresh salt; the log shows text and salt to the own party alone, and everybody the
   partner text that it holds itself.
4. A dispute is named by the digest of the step that opened it, or by as much of its beginning as only it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from comity.errors import ConflictError, ErrorCode, MalformedError, NotFoundError
from comity.node.agreement_texts import Text, loaded_caveat
from comity.node.officer_work import OfficerWork, Taken, loaded_text, with_text
from comity.texts import CAVEAT_LIMIT, SALT_SIZE, caveat_digest
from comity_policy.carried import caveat_not_carried, told
from comity_policy.caveat import agreement_of
from comity_policy.document import Document, DocumentError
from comity_policy.facts import Role
from comity_policy.holds import names_something
from comity_policy.lifecycle import State
from comity_policy.steps import StepKind
from comity_policy.terms import NOTE_ROLES

DISPUTE_LEAST: Final = 8


@dataclass(frozen=True, slots=True)
class TreatyLife(OfficerWork):
    """An officer who lives with an agreement."""

    async def amend(self, document: bytes) -> Taken:
        """Propose the text of the next version; the one in force binds until it enters into force."""
        text = loaded_text(document)
        view = await self.view(text.document.id)
        self.check_text(text.document)
        step = self.step(StepKind.AMEND, with_text(view.state, text), text.digest)
        return await self.bring(step, text.data)

    async def notes(self, document: bytes, annex: str) -> Taken:
        """Send a note on an annex, or answer one with the same text; the last note of all brings it into force."""
        text = loaded_text(document)
        view = await self.view(text.document.id)
        self.check_text(text.document)
        return await self._note(view.state, text, annex)

    async def suspend(self, agreement_id: str, clauses: Sequence[str], reason: str) -> Taken:
        """Suspend single clauses, or the whole agreement with none named; it takes effect with its entry in the log."""
        view = await self.view(agreement_id)
        return await self.bring(self.step(StepKind.SUSPEND, view.state, clauses=tuple(clauses), reason=reason))

    async def resume(self, agreement_id: str, clauses: Sequence[str], reason: str) -> Taken:
        """Resume what the officer's own party suspended."""
        view = await self.view(agreement_id)
        return await self.bring(self.step(StepKind.RESUME, view.state, clauses=tuple(clauses), reason=reason))

    async def renew(self, agreement_id: str) -> Taken:
        """Sign the renewal for one more term, under an agreement that is renewed expressly."""
        view = await self.view(agreement_id)
        return await self.bring(self.step(StepKind.RENEW, view.state))

    async def object_renewal(self, agreement_id: str, reason: str) -> Taken:
        """Object to the tacit renewal: the own party is bound no more after the term that runs."""
        return await self._with_reason(StepKind.OBJECT_RENEWAL, agreement_id, reason)

    async def notice(self, agreement_id: str, reason: str) -> Taken:
        """Give notice of termination of an agreement that binds two parties."""
        return await self._with_reason(StepKind.NOTICE, agreement_id, reason)

    async def withdraw(self, agreement_id: str, reason: str) -> Taken:
        """Withdraw from an agreement that goes on binding the others."""
        return await self._with_reason(StepKind.WITHDRAW, agreement_id, reason)

    async def dispute_open(self, agreement_id: str, subject: str, subject_id: str, deadline: str, reason: str) -> Taken:
        """Open a dispute about a report, decision or entry, until a date (YYYY-MM-DD) at the latest.

        Raises MalformedError for a name that holds nothing (`comity_policy.holds`).
        """
        if not names_something(subject, subject_id):
            raise MalformedError(
                f"{subject_id!r} names no {subject}: the dispute would hold nothing",
                what_to_do="Name a report by its id, an entry by its number in the log, a decision by ENTRY, ENTRY/SLOT or its report.",
                code=ErrorCode.MALFORMED,
            )
        view = await self.view(agreement_id)
        step = self.step(
            StepKind.DISPUTE_OPEN,
            view.state,
            subject=subject,
            subject_id=subject_id,
            deadline=deadline,
            reason=reason,
        )
        return await self.bring(step)

    async def dispute_close(self, agreement_id: str, dispute: str) -> Taken:
        """Close a dispute for the own party, by rule 4; it ends when each of those it is between has closed it."""
        view = await self.view(agreement_id)
        return await self.bring(self.step(StepKind.DISPUTE_CLOSE, view.state, names=_dispute(view.state, dispute)))

    async def caveat_add(self, data: bytes) -> Taken:
        """Add a national caveat, at once and alone; its text names agreement and version."""
        if len(data) > CAVEAT_LIMIT:
            raise MalformedError(f"a caveat has at most {CAVEAT_LIMIT} bytes", code=ErrorCode.LIMIT_EXCEEDED)
        view = await self.view(agreement_named(data))
        caveat = loaded_caveat(data, view.document)
        if caveat.party != self.officer.party:
            raise MalformedError(f"the caveat is one of {caveat.party}: each party adds its own")
        if caveat.digest != f"sha384:{view.digest.hex()}":
            raise MalformedError(
                f"the caveat is on another text of {view.agreement_id} than the one that governs",
                what_to_do=f'Write [caveat] digest = "sha384:{view.digest.hex()}".',
                code=ErrorCode.AGREEMENT_INVALID,
            )
        if parts := caveat_not_carried(caveat, view.document):
            raise MalformedError(
                f"this release does not carry all of the caveat: {told(parts)}", code=ErrorCode.AGREEMENT_INVALID
            )
        salt = self.random_bytes(SALT_SIZE)
        step = self.step(
            StepKind.CAVEAT_ADD,
            view.state,
            caveat=caveat.id,
            caveat_digest=caveat_digest(salt, data).hex(),
            partner_text=caveat.partner_text,
        )
        return await self.bring(step, data, salt)

    async def caveat_withdraw(self, agreement_id: str, caveat: str) -> Taken:
        """Withdraw a national caveat of the own party."""
        view = await self.view(agreement_id)
        return await self.bring(self.step(StepKind.CAVEAT_WITHDRAW, view.state, caveat=caveat))

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _with_reason(self, kind: StepKind, agreement_id: str, reason: str) -> Taken:
        view = await self.view(agreement_id)
        return await self.bring(self.step(kind, view.state, reason=reason))

    async def _note(self, state: State, text: Text, annex: str) -> Taken:
        role = _note_role(state.document, annex)
        step = self.step(StepKind.NOTES, with_text(state, text), text.digest, role, annex=annex)
        return await self.bring(step, text.data)


def _note_role(document: Document, annex_id: str) -> Role | None:
    """Give the role that writes notes on an annex; None where the fold will say what is wrong with it."""
    named = next((one.by for one in document.annexes if one.id == annex_id), "")
    return next((role for role in NOTE_ROLES if role.word == named), None)


def _dispute(state: State, named: str) -> str:
    found = [one.opened.digest for one in state.open_disputes if one.opened.digest.startswith(named)]
    if len(named) >= DISPUTE_LEAST and len(found) == 1:
        return found[0]
    here = ", ".join(one.opened.digest[:16] for one in state.open_disputes) or "none"
    problem = f"more than one open dispute begins with {named}" if found and named else f"no open dispute is {named!r}"
    error = ConflictError if found else NotFoundError
    raise error(
        f"{problem} under {state.document.id}",
        what_to_do=f"Open are: {here}. Write at least {DISPUTE_LEAST} digits of one.",
        code=ErrorCode.ITEM_UNKNOWN,
    )


def agreement_named(data: bytes) -> str:
    """Give the id of the agreement that a caveat's text names; raises MalformedError AGREEMENT_INVALID."""
    try:
        return agreement_of(data)
    except DocumentError as error:
        raise MalformedError(
            f"the caveat does not load: {error.message}",
            what_to_do="comity agreement caveat add --help shows one.",
            code=ErrorCode.AGREEMENT_INVALID,
        ) from error
