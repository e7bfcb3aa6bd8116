"""What an officer at a node says of reports that were handed over: that it read them, or acted on them (design 04, "Parked reports").

Rules in order:
1. It is signed with the officer's own key, which was proved at this node, in a role that the directory lists now. The node brings it.
2. It is about reports that the own party was handed: the broker takes it of no other.
3. A note is read by the originator's party, and stands in the log for good: what a report says does not belong there.
4. Where the log went on meanwhile (a new version governs, an accreditation is another), it is fetched and said anew, once.

    says = OfficerSays(mirror, connection, reader, now_ms)
    await says.say(ActKind.READ, "XAR-XBO-1", "XAR", ((report_id, leaf),))
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from comity.errors import AccessError, ComityError, ErrorCode, NotFoundError, UnreachableError
from comity.node.catching_up import catch_up
from comity.node.clock import NowMs
from comity.node.connection import Connection
from comity.node.duties import duties_of
from comity.node.enrolment import statement_message
from comity.node.mirror import Mirror
from comity.node.reader import ProvedReader
from comity.statement import sign_statement
from comity.v1 import agreement_pb2 as pb
from comity_policy.acts import Act, ActKind
from comity_policy.alerting import is_told_of_reading
from comity_policy.facts import Role

# A report by its id and leaf, in hex.
Named = tuple[str, str]


class OfficerSays:
    """One proved reader's word, brought over one node's connection."""

    def __init__(self, mirror: Mirror, connection: Connection, reader: ProvedReader, now_ms: NowMs) -> None:
        self._mirror = mirror
        self._connection = connection
        self._reader = reader
        self._now_ms = now_ms

    def tells(self, agreement_id: str) -> bool:
        """Say whether originators are told of what the officer reads: the agreement has it, and the officer a role to say it in."""
        try:
            documents = self._mirror.fold(agreement_id).documents_at(self._now_ms())
            return is_told_of_reading(documents) and self.role(ActKind.READ, agreement_id) is not None
        except ComityError:
            # What stops the agreement is told where it is asked for; what was opened before is not held up.
            return False

    def role(self, kind: ActKind, agreement_id: str) -> Role | None:
        """Give the role in which the officer may say so now; None where it has none."""
        identity = self._reader.identity
        record = self._mirror.directory.officer(identity.party, identity.name)
        held = [] if record is None else [one for one in sorted(kind.roles) if record.holds(one, agreement_id)]
        return held[0] if held else None

    async def action(self, agreement_id: str, report_ids: Sequence[UUID], note: str = "") -> int:
        """Say that the officer acted on reports of one originator; gives the entry. Raises NotFoundError for one not handed over."""
        await catch_up(self._connection, self._mirror, (agreement_id,))
        party, ids = self._reader.identity.party, {one.hex for one in report_ids}
        handed = duties_of(self._mirror, agreement_id, self._now_ms()).handovers
        held = {one.report: one for one in handed if one.recipient == party and one.report in ids}
        originators = {one.originator for one in held.values()}
        if held.keys() != ids or len(originators) != 1:
            raise NotFoundError(
                f"{party} was not handed these reports of one originator under {agreement_id}, as far as this mirror knows",
                what_to_do="comity report list shows those there are; name those of one originator at a time.",
                code=ErrorCode.REPORT_UNKNOWN,
            )
        named = tuple((one.report, one.leaf) for _, one in sorted(held.items()))
        return await self.say(ActKind.ACTION, agreement_id, originators.pop(), named, note=note)

    async def say(
        self, kind: ActKind, agreement_id: str, originator: str, reports: Sequence[Named], **more: str
    ) -> int:
        """Say it of reports of one originator; gives the entry. Raises what the broker refuses."""
        try:
            return await self._say(kind, agreement_id, originator, reports, more)
        except UnreachableError:
            raise
        except ComityError:
            await self._mirror.refresh(self._connection, (agreement_id,))
            return await self._say(kind, agreement_id, originator, reports, more)

    async def _say(
        self, kind: ActKind, agreement_id: str, originator: str, reports: Sequence[Named], more: dict[str, str]
    ) -> int:
        now, reader = self._now_ms(), self._reader
        role = self.role(kind, agreement_id)
        if role is None:
            raise AccessError(
                f"{reader.identity} has no role for {agreement_id} in which it says what it read",
                what_to_do=f"comity officer accredit {reader.identity} --role liaison --agreement {agreement_id}",
                code=ErrorCode.ROLE_NOT_ALLOWED,
            )
        act = Act(
            kind=kind,
            agreement_id=agreement_id,
            agreement_digest=self._mirror.fold(agreement_id).state(now).digest.hex(),
            party=reader.identity.party,
            officer=str(reader.identity),
            role=role,
            made_at=now,
            originator=originator,
            reports=tuple(report for report, _ in reports),
            leaves=tuple(leaf for _, leaf in reports),
            **more,  # type: ignore[arg-type]  # a note, by its name
        )
        statement = sign_statement(act.to_body(), reader.signer(now))
        request = pb.SubmitActRequest(agreement_id=agreement_id, act=statement_message(statement))
        return (await self._connection.call(self._connection.agreements.SubmitAct, request)).log_index
