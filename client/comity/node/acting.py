"""An officer at work under an agreement: declares, reviews, certifies, follows a breach, attests (acts, no steps of its life).

Rules in order:
1. An act is made from the reader's own fold of the agreement's log, freshly fetched. What the rules would refuse is refused here,
   with its reason, before anything is signed.
2. The role an act names is one the officer's logged accreditation gives for this agreement.
3. A certificate names reports by what the own mirror knows was handed to this party, and is signed by every witness it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from comity.errors import AccessError, ConflictError, ErrorCode, NotFoundError
from comity.identity.names import Identity
from comity.keys.ring import KeyRing
from comity.node.access import Access
from comity.node.acts import acts_of
from comity.node.catching_up import catch_up
from comity.node.clock import NowMs, wall_ms
from comity.node.connection import Connection
from comity.node.duties import duties_of
from comity.node.enrolment import statement_message
from comity.node.mirror import Mirror
from comity.statement import Statement, cosign, sign_statement
from comity.suites import KeyRole
from comity.v1 import agreement_pb2 as pb
from comity_policy.act_rules import admissible, longest_declaration
from comity_policy.acts import THREAT_TO_LIFE, Act, ActKind
from comity_policy.facts import Role
from comity_policy.obligations import Handover
from comity_policy.transitions import TransitionError, TransitionFault


@dataclass(frozen=True, slots=True)
class Witness:
    """An officer who signs beside another: who, and the opened keys."""

    identity: Identity
    ring: KeyRing


@dataclass(frozen=True, slots=True)
class Actor:
    """An officer with opened keys, an open connection, and an open mirror."""

    access: Access
    connection: Connection
    mirror: Mirror
    now_ms: NowMs = wall_ms

    @property
    def officer(self) -> Identity:
        """Give who acts."""
        return self.access.place.identity

    async def declare(self, agreement_id: str, reason: str, minutes: int | None = None) -> Act:
        """Declare a threat to life, for so many minutes or as long as the agreement allows."""
        await self._fetch(agreement_id)
        longest = longest_declaration(self.mirror.fold(agreement_id).state(self.now_ms()))
        lasting = longest if minutes is None else minutes * 60_000
        # The log's clock counts: where it is ahead of ours, the whole length would be too long by the difference.
        until = self.now_ms() + lasting - (120_000 if lasting == longest else 0)
        return await self._take(agreement_id, ActKind.DECLARE, basis=THREAT_TO_LIFE, reason=reason, valid_until=until)

    async def review(self, agreement_id: str, declaration: str, finding: str, reason: str) -> Act:
        """Review a declaration of the own party, named by the beginning of its digest."""
        await self._fetch(agreement_id)
        named = self._named(agreement_id, ActKind.DECLARE, declaration)
        return await self._take(agreement_id, ActKind.REVIEW, names=named.digest, finding=finding, reason=reason)

    async def certify(
        self,
        agreement_id: str,
        reports: Sequence[str],
        witnesses: Sequence[Witness],
        *,
        outcome: str,
        cause: str,
        means: str,
    ) -> Act:
        """Certify that reports of one originator were destroyed or returned; ids are 32 hex digits."""
        await self._fetch(agreement_id)
        held = self._held(agreement_id, reports, self.officer.party)
        return await self._take(
            agreement_id,
            ActKind.CERTIFY,
            *witnesses,
            originator=held[0].originator,
            reports=tuple(one.report for one in held),
            leaves=tuple(one.leaf for one in held),
            outcome=outcome,
            cause=cause,
            means=means,
            witnesses=tuple(sorted(str(one.identity) for one in witnesses)),
        )

    async def release(self, agreement_id: str, reports: Sequence[str], holder: str, reason: str) -> Act:
        """Release a holder of the own party's reports from ending its keeping."""
        await self._fetch(agreement_id)
        held = self._held(agreement_id, reports, holder)
        ids, leaves = tuple(one.report for one in held), tuple(one.leaf for one in held)
        return await self._take(agreement_id, ActKind.RELEASE, holder=holder, reports=ids, leaves=leaves, reason=reason)

    async def ask_correction(self, agreement_id: str, reports: Sequence[str], holder: str, reason: str) -> Act:
        """Tell a holder of the own party's reports that personal data in them is wrong, so that it corrects it in time."""
        await self._fetch(agreement_id)
        held = self._held(agreement_id, reports, holder)
        named = {"reports": tuple(one.report for one in held), "leaves": tuple(one.leaf for one in held)}
        return await self._take(agreement_id, ActKind.ASK_CORRECTION, holder=holder, reason=reason, **named)

    async def corrected(self, agreement_id: str, reports: Sequence[str], reason: str) -> Act:
        """Say that personal data in reports of one originator was corrected, or what was done about it instead."""
        await self._fetch(agreement_id)
        held = self._held(agreement_id, reports, self.officer.party)
        named = {"reports": tuple(one.report for one in held), "leaves": tuple(one.leaf for one in held)}
        originator = held[0].originator
        return await self._take(agreement_id, ActKind.CORRECTED, originator=originator, reason=reason, **named)

    async def handled(self, agreement_id: str, reports: Sequence[str], kind: ActKind, **note: str) -> Act:
        """Say that the officer read reports of one originator, or acted on them with a note."""
        await self._fetch(agreement_id)
        held = self._held(agreement_id, reports, self.officer.party)
        named = {"reports": tuple(one.report for one in held), "leaves": tuple(one.leaf for one in held)}
        return await self._take(agreement_id, kind, originator=held[0].originator, **named, **note)

    async def open_breach(
        self, agreement_id: str, reason: str, *, subject: str, subject_id: str, discovered_at: int
    ) -> Act:
        """Notify a breach."""
        await self._fetch(agreement_id)
        about = {"subject": subject, "subject_id": subject_id, "discovered_at": discovered_at}
        return await self._take(agreement_id, ActKind.BREACH_OPEN, reason=reason, **about)

    async def update_breach(self, agreement_id: str, breach: str, stage: str, reason: str) -> Act:
        """Report on a breach for the first time, or what was done about it."""
        await self._fetch(agreement_id)
        named = self._named(agreement_id, ActKind.BREACH_OPEN, breach)
        return await self._take(agreement_id, ActKind.BREACH_UPDATE, names=named.digest, stage=stage, reason=reason)

    async def close_breach(self, agreement_id: str, breach: str, reason: str) -> Act:
        """Close a breach."""
        await self._fetch(agreement_id)
        named = self._named(agreement_id, ActKind.BREACH_OPEN, breach)
        return await self._take(agreement_id, ActKind.BREACH_CLOSE, names=named.digest, reason=reason)

    async def say(self, agreement_id: str, kind: ActKind, **fields: str) -> Act:
        """Attest measures, say that personal data was reviewed, or set a contact."""
        await self._fetch(agreement_id)
        return await self._take(agreement_id, kind, **fields)

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _fetch(self, agreement_id: str) -> None:
        await catch_up(self.connection, self.mirror, (agreement_id,))

    async def _take(self, agreement_id: str, kind: ActKind, *witnesses: Witness, **fields: Any) -> Act:
        fold, now = self.mirror.fold(agreement_id), self.now_ms()
        state = fold.state(now)
        umbrella = fold.umbrella_of(state)
        act = Act(
            kind=kind,
            agreement_id=agreement_id,
            agreement_digest=state.digest.hex(),
            party=self.officer.party,
            officer=str(self.officer),
            role=self._role(kind, agreement_id),
            made_at=now,
            **fields,
        )
        try:
            admissible(
                act, state, acts_of(self.mirror, agreement_id), now, None if umbrella is None else umbrella.state
            )
        except TransitionError as error:
            raise _not_allowed(error) from error
        statement = self._signed(act, witnesses)
        request = pb.SubmitActRequest(agreement_id=agreement_id, act=statement_message(statement))
        answer = await self.connection.call(self.connection.agreements.SubmitAct, request)
        await catch_up(self.connection, self.mirror, (agreement_id,), at_least={agreement_id: answer.log_index + 1})
        return replace(act, digest=statement.digest.hex(), log_index=answer.log_index)

    def _signed(self, act: Act, witnesses: Sequence[Witness]) -> Statement:
        statement = sign_statement(act.to_body(), self._signer(self.officer, self.access.ring))
        return (
            cosign(statement, *(self._signer(one.identity, one.ring) for one in witnesses)) if witnesses else statement
        )

    def _signer(self, identity: Identity, ring: KeyRing) -> Any:
        record = self.mirror.directory.officer(identity.party, identity.name)
        return ring.signer(KeyRole.OFFICER_SIGNING, among=None if record is None else record.fingerprints)

    def _role(self, kind: ActKind, agreement_id: str) -> Role:
        record = self.mirror.directory.officer(self.officer.party, self.officer.name)
        held = [] if record is None else [role for role in sorted(kind.roles) if record.holds(role, agreement_id)]
        if not held:
            wanted = " or ".join(sorted(role.word for role in kind.roles))
            raise AccessError(
                f"{self.officer} is not accredited as {wanted} for {agreement_id}",
                what_to_do=f"comity officer accredit {self.officer} --role {min(kind.roles).word} --agreement {agreement_id}",
            )
        return held[0]

    def _named(self, agreement_id: str, kind: ActKind, beginning: str) -> Act:
        party = self.officer.party
        found = [
            act
            for act in acts_of(self.mirror, agreement_id)
            if act.kind is kind and act.party == party and act.digest.startswith(beginning.lower())
        ]
        if len(beginning) < 8 or len(found) != 1:
            raise NotFoundError(
                f"{'no' if not found else 'more than one'} {kind.value} of {party} under {agreement_id} is {beginning!r}",
                what_to_do="Name it by at least eight digits of its digest: comity desk shows them.",
            )
        return found[0]

    def _held(self, agreement_id: str, reports: Sequence[str], holder: str) -> list[Handover]:
        handed = duties_of(self.mirror, agreement_id, self.now_ms()).handovers
        known = {one.report: one for one in handed if one.recipient == holder}
        missing = [report for report in reports if report not in known]
        if missing:
            raise NotFoundError(
                f"no report {missing[0]} was handed to {holder} under {agreement_id}, as far as this mirror knows",
                what_to_do="comity report list shows those there are.",
                code=ErrorCode.REPORT_UNKNOWN,
            )
        held = [known[report] for report in reports]
        if len({one.originator for one in held}) != 1:
            raise ConflictError(
                "these reports are of several originators", what_to_do="Certify those of one at a time."
            )
        return held


def _not_allowed(error: TransitionError) -> AccessError | ConflictError:
    if error.fault is TransitionFault.NOT_A_PARTY:
        return AccessError(str(error), code=ErrorCode.NOT_A_PARTY)
    if error.fault is TransitionFault.ROLE:
        return AccessError(str(error), code=ErrorCode.ROLE_NOT_ALLOWED)
    return ConflictError(
        str(error), what_to_do="comity desk shows where it stands.", code=ErrorCode.TRANSITION_NOT_ALLOWED
    )
