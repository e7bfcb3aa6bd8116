"""An agreement between the two nations of a test broker, taken step by step through its life by their officers."""

from __future__ import annotations

from dataclasses import dataclass, field

from builders_broker import AGREEMENT, World
from builders_identity import Held, Nation
from comity.node.enrolment import statement_message
from comity.statement import Statement, sign_statement
from comity.texts import agreement_digest
from comity.v1 import agreement_pb2
from comity_policy.facts import Role
from comity_policy.steps import ABOUT_LOGS, Step, StepKind

OFFICERS = {
    "liaison1": Role.LIAISON,
    "legal1": Role.LEGAL_REVIEWER,
    "plenipotentiary1": Role.PLENIPOTENTIARY,
    "auditor1": Role.AUDITOR,
}
_TAKEN_BY = {
    StepKind.PROPOSE: "liaison1",
    StepKind.AMEND: "liaison1",
    StepKind.REVIEW: "legal1",
    StepKind.SIGN: "plenipotentiary1",
    StepKind.LOG_SIGN: "plenipotentiary1",
    StepKind.LOG_CONFIRM: "liaison1",
    StepKind.SUSPEND: "liaison1",
    StepKind.RESUME: "liaison1",
    StepKind.DISPUTE_OPEN: "liaison1",
    StepKind.DISPUTE_CLOSE: "liaison1",
    StepKind.NOTICE: "plenipotentiary1",
    StepKind.WITHDRAW: "plenipotentiary1",
}


@dataclass
class Treaty:
    """The text, the officers of both nations, and how far the steps have come."""

    world: World
    text: bytes
    officers: dict[tuple[str, str], Held]
    head: str = ""
    agreement_id: str = AGREEMENT
    heads: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> bytes:
        return agreement_digest(self.text)

    def officer(self, nation: Nation, name: str) -> Held:
        return self.officers[nation.party, name]

    def statement(self, kind: StepKind, nation: Nation, *, by: Held | None = None, **changes: object) -> Statement:
        """Give a signed step that follows what has been taken, with what is changed."""
        who = by or self.officer(nation, _TAKEN_BY[kind])
        follows = self.head if kind.multilateral else self.heads.get(nation.party, "")
        given = {
            "agreement_id": self.agreement_id,
            "agreement_digest": self.digest.hex(),
            "party": nation.party,
            "officer": who.name,
            "role": OFFICERS[_TAKEN_BY.get(kind, "liaison1")],
            "follows": "" if kind in ABOUT_LOGS else follows,
        }
        return sign_statement(Step(kind=kind, **{**given, **changes}).to_body(), who.signer)

    async def submit(self, statement: Statement, by: Held, text: bytes | None = None) -> int:
        """Bring a step over the officer's own connection; give its log index."""
        message = statement_message(statement)
        async with self.world.connection(by) as connection:
            if text is not None:
                proposed = await connection.call(
                    connection.agreements.Propose, agreement_pb2.ProposeRequest(document=text, step=message)
                )
                return proposed.log_index
            taken = await connection.call(
                connection.agreements.SubmitStep,
                agreement_pb2.SubmitStepRequest(agreement_id=self.agreement_id, step=message),
            )
            return taken.log_index

    async def take(self, kind: StepKind, nation: Nation, **changes: object) -> int:
        """Take a step; give its log index."""
        statement = self.statement(kind, nation, **changes)
        by = self.officer(nation, _TAKEN_BY[kind])
        log_index = await self.submit(statement, by, self.text if kind is StepKind.PROPOSE else None)
        if kind.multilateral:
            self.head = statement.digest.hex()
        elif kind.unilateral:
            self.heads[nation.party] = statement.digest.hex()
        return log_index

    async def into_force(self) -> None:
        """Propose, review and sign on both sides."""
        both = (self.world.xar, self.world.xbo)
        await self.take(StepKind.PROPOSE, self.world.xar)
        for nation in both:
            await self.take(StepKind.REVIEW, nation)
        terms = await self.world.broker.agreements.terms(self.agreement_id)
        for nation in both:
            await self.take(StepKind.SIGN, nation)
            await self.take(StepKind.LOG_SIGN, nation, log=terms)

    async def amend(self, text: bytes) -> None:
        """Bring the next version into force."""
        step = self.statement(StepKind.AMEND, self.world.xar, agreement_digest=agreement_digest(text).hex())
        async with self.world.connection(self.officer(self.world.xar, "liaison1")) as connection:
            request = agreement_pb2.SubmitStepRequest(
                agreement_id=self.agreement_id, step=statement_message(step), text=text
            )
            await connection.call(connection.agreements.SubmitStep, request)
        self.head, self.text = step.digest.hex(), text
        for kind in (StepKind.REVIEW, StepKind.SIGN):
            for nation in (self.world.xar, self.world.xbo):
                await self.take(kind, nation)


async def treaty(world: World, **template: object) -> Treaty:
    """Enrol the officers of both nations and give an agreement that nobody has proposed yet."""
    officers = {
        (nation.party, name): await world.enrolled(nation.officer(name, [role]))
        for nation in (world.xar, world.xbo)
        for name, role in OFFICERS.items()
    }
    return Treaty(world, world.agreement(**template).encode(), officers)
