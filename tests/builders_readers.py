"""An agreement that asks who opens: an officer with a need to know and a clearance, caveats, registered copies; and its officers.

async with reading(tmp_path, NEED, USE) as world:
    analyst = await world.officer("analyst1")
    given = await world.read(reader=analyst, acknowledge=ACCEPT)
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from builders_every_kind import clause_text
from builders_identity import DAY, Held, Nation
from builders_life import SALT, amended
from builders_sdk import AGREEMENT, Shared, report, sharing
from comity.identity.bodies import Attestation
from comity.node.enrolment import statement_message
from comity.node.reader import ReadingOfficer
from comity.node.reading import CaveatShown, Waiting
from comity.node.reports import ReportState
from comity.portion import Portion
from comity.statement import Statement
from comity.suites import KeyRole
from comity.texts import agreement_digest, caveat_digest
from comity.v1 import agreement_pb2
from comity_policy.facts import Role
from comity_policy.steps import StepKind

NEED = clause_text(
    "40", "need-to-know", 'rows = [{ party = "XBO", offices = ["ct-desk"] }, { party = "XAR", offices = ["ct-desk"] }]'
)
CLEARED = clause_text("41", "clearance", 'officer_from = [{ party = "XAR", level = "SECRET" }]')
USE = clause_text("42", "use", 'caveat.en = "For intelligence only."\nevidence = "consent"\naction_on = "free"')
COPIES = clause_text("43", "reproduction", 'rows = [{ party = "XAR", level = "SECRET", copies = "registered" }]')
SURVIVES = clause_text("44", "survives", 'clauses = ["42"]')
PURPOSE = "counter-terrorism"
RELABEL = clause_text("45", "relabel", "notice = { weeks = 6 }\nlapse_years = 30")


@dataclass
class Given:
    """What one run of receiving gave: texts, reports with what stayed closed, what waits, caveats shown."""

    texts: list[str] = field(default_factory=list)
    closed: list[tuple[str, ...]] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    shown: list[CaveatShown] = field(default_factory=list)


@dataclass
class Readers:
    """The world, and XBO's node as a program uses it."""

    shared: Shared

    @property
    def xbo(self) -> Nation:
        return self.shared.world.xbo

    async def officer(self, name: str, *, nation: Nation | None = None, level: str = "SECRET", **facts: object) -> Held:
        """Enrol an officer; cleared, and of the desk that needs to know, unless said otherwise."""
        whose = nation or self.xbo
        until = facts.pop("cleared_until", whose.now + 30 * DAY)
        given = {
            "offices": ("ct-desk",),
            "clearance": Attestation(level, f"{whose.party}/sec1", until),
            **facts,
        }
        return await self.shared.world.enrolled(whose.officer(name, [Role.LIAISON], **given))

    async def amend(self, text: bytes) -> None:
        """Bring the next version into force; it governs what was shared before where it is stricter."""
        treaty, both = self.shared.treaty, (self.shared.world.xar, self.xbo)
        text = amended(text, of=treaty.text, applies_to="held-if-stricter")
        liaison = treaty.officer(both[0], "liaison1")
        step = treaty.statement(StepKind.AMEND, both[0], by=liaison, agreement_digest=agreement_digest(text).hex())
        await self._bring(step, liaison, text)
        treaty.head, treaty.text = step.digest.hex(), text
        for kind in (StepKind.REVIEW, StepKind.SIGN):
            for nation in both:
                await treaty.take(kind, nation)

    async def caveat(self, *clauses: str) -> None:
        """Add a national caveat of XBO's on what comes in."""
        treaty = self.shared.treaty
        heading = {"party": "XBO", "id": "C1", "agreement": AGREEMENT, "digest": f"sha384:{treaty.digest.hex()}"}
        lines = "".join(f'{key} = "{value}"\n' for key, value in heading.items())
        text = f'[caveat]\n{lines}partner_text = "Limited."\nincoming = true\n{"".join(clauses)}'.encode()
        said = {"caveat": "C1", "caveat_digest": caveat_digest(SALT, text).hex(), "partner_text": "Limited."}
        officer = treaty.officer(self.xbo, "plenipotentiary1")
        step = treaty.statement(StepKind.CAVEAT_ADD, self.xbo, by=officer, role=Role.PLENIPOTENTIARY, **said)
        await self._bring(step, officer, text, SALT)

    async def _bring(self, step: Statement, by: Held, text: bytes, salt: bytes = b"") -> None:
        message = statement_message(step)
        async with self.shared.world.connection(by) as connection:
            request = agreement_pb2.SubmitStepRequest(agreement_id=AGREEMENT, step=message, text=text, salt=salt)
            await connection.call(connection.agreements.SubmitStep, request)

    async def send(self, text: str, *portions: Portion, **fields: object) -> None:
        async with self.shared.node("XAR") as node:
            await node.send(report(text, *portions, **fields), agreement=AGREEMENT)

    async def read(
        self, reader: Held | ReadingOfficer | None = None, *, answer: bool | None = None, **options: object
    ) -> Given:
        """Receive what is due and acknowledge it; `answer` is what is said to every caveat, None where nobody can be asked."""
        given = Given()

        async def acknowledge(shown: CaveatShown) -> bool:
            assert not given.texts
            given.shown.append(shown)
            return bool(answer)

        async with self.shared.node("XBO") as node:
            async for delivery in node.receive(
                follow=False,
                reader=reading_officer(reader) if isinstance(reader, Held) else reader,
                acknowledge=None if answer is None else acknowledge,
                waiting=given.waiting.append,
                **{"purpose": PURPOSE, **options},
            ):
                async with delivery as one:
                    given.texts.append(one.text)
                    given.closed.append(tuple(clause.clause_id for clause in one.refused))
        return given

    async def states(self) -> list[ReportState]:
        """Give where XBO's reports stand at the broker."""
        async with self.shared.node("XBO") as node:
            rows = [row async for row in node.reports()]
        return [one.state for row in rows for one in row.consumers]


def reading_officer(held: Held) -> ReadingOfficer:
    """Give an officer whose keys are unlocked."""
    return ReadingOfficer(held.identity, held.ring.signers(KeyRole.OFFICER_SIGNING))


@contextlib.asynccontextmanager
async def reading(path: Path, *clauses: str) -> AsyncIterator[Readers]:
    """Bring an agreement with these clauses into force, its nodes enrolled; XBO's serves the desk."""
    async with sharing(path, into_force=False) as shared:
        shared.treaty.text += "".join(clauses).encode()
        node = shared.nodes["XBO"]
        node.reissued(offices=("ct-desk",))
        await shared.world.enrolled(node)
        await shared.treaty.into_force()
        yield Readers(shared)
