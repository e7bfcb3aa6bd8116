"""Histories of an agreement's life for the verifier: rounds, caveats, amendments, and an arrangement under an umbrella.

audit = rounds_and_caveats()     # countered, amended, a caveat of XAR added, a report refused by it
audit = arrangement()            # the log of an arrangement, whose umbrella has changed once
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

from builders_audit import begun_audit, signed_by_all
from builders_audit_files import put, write_log
from builders_audit_log import AGREEMENT, Audit
from builders_envelope import NodeKeys
from comity.pae import pae
from comity_broker.auditlog import events
from comity_broker.auditlog.bodies import BROKER
from comity_broker.auditlog.events import BroughtCaveat
from comity_broker.auditlog.log import Log
from comity_broker.auditlog.submissions import LoggedDecision
from comity_policy.decision import Reason, ReportDecision, Violation
from comity_policy.facts import Profile, Role, Times
from comity_policy.steps import StepKind

UMBRELLA = "XAR-XBO-U"
UMBRELLA_ORIGIN = f"hub.xar.example/agreement/{UMBRELLA}/{bytes(range(16)).hex()}"
CAVEAT = b'[caveat]\nparty = "XAR"\n\n[[clause]]\nid = "7"\nkind = "exclude"\n'
SALT = bytes(range(32))
PARTNER_TEXT = "A national limitation applies."


@dataclass
class LifeAudit(Audit):
    """An audit whose segments are refused in part by a caveat of XAR."""

    cited: str = "caveat/XAR/C1/7"

    def decision(self, reader: NodeKeys, times: Sequence[Times], shared: Profile) -> LoggedDecision:
        who = reader.party, reader.name
        violations = {(*who, 1): (Violation(self.cited, Reason.DENIED),)}
        result = ReportDecision(permit=True, permitted={who: (0,)}, violations=violations)
        return replace(super().decision(reader, times, shared), result=result)


class UmbrellaAudit(Audit):
    """The log of the umbrella."""

    agreement = UMBRELLA
    origin = UMBRELLA_ORIGIN


@dataclass
class ArrangedAudit(Audit):
    """An audit of an arrangement, whose reports are decided by the clauses of `plain`, the same text without an umbrella.

    `above` is its umbrella's, whose log lies beside it; None where it was not presented, its text alone.
    """

    plain: bytes = b""
    above: Audit | None = None
    umbrella_text: bytes = b""

    def decision(self, reader: NodeKeys, times: Sequence[Times], shared: Profile) -> LoggedDecision:
        text, self.text = self.text, self.plain
        made = super().decision(reader, times, shared)
        self.text = text
        return made

    def write(self, folder: Path) -> SimpleNamespace:
        put(folder / "agreements/umbrella.toml", self.umbrella_text)
        if self.above is not None:
            log = Log(UMBRELLA_ORIGIN, ("XAR", "XBO"))
            write_log(folder / "logs" / UMBRELLA_ORIGIN, log, self.above.events, {}, self.log_keys)
        return super().write(folder)


def text_digest(text: bytes) -> str:
    return hashlib.sha384(pae("agreement", text)).hexdigest()


def caveat_digest(text: bytes = CAVEAT, salt: bytes = SALT) -> str:
    return hashlib.sha384(pae("caveat", salt, text)).hexdigest()


def add_caveat(audit: Audit, text: bytes = CAVEAT, reader: str = "XAR") -> None:
    """Let XAR add a caveat; `text` is what the body of `reader` has."""
    said = {"caveat": "C1", "caveat_digest": caveat_digest(), "partner_text": PARTNER_TEXT}
    statement = audit.statement(StepKind.CAVEAT_ADD, "XAR/plen", Role.PLENIPOTENTIARY, **said)
    audit.step(statement, StepKind.CAVEAT_ADD, caveat=BroughtCaveat(reader, text, SALT))


def rounds_and_caveats(*, countered: bool = True) -> LifeAudit:
    """Give a history of another text than was proposed first, with a caveat that refused a portion."""
    audit = LifeAudit(**vars(begun_audit()))
    if countered:
        first = audit.text
        audit.step(audit.statement(StepKind.PROPOSE, "XAR/lia", Role.LIAISON), StepKind.PROPOSE)
        audit.text = first + b"# another round\n"
        statement = audit.statement(StepKind.COUNTER, "XBO/lia", Role.LIAISON, "aa" * 48)
        other, audit.text = audit.text, first
        audit.step(statement, StepKind.COUNTER)
        audit.text = other
        for party in ("XAR", "XBO"):
            clauses = {"clauses": ("1",)}
            step = audit.statement(StepKind.REVIEW_CLAUSES, f"{party}/law", Role.LEGAL_REVIEWER, **clauses)
            audit.step(step, StepKind.REVIEW_CLAUSES)
            audit.step(audit.statement(StepKind.SIGN, f"{party}/plen", Role.PLENIPOTENTIARY), StepKind.SIGN)
            log = audit.statement(StepKind.LOG_SIGN, f"{party}/plen", Role.PLENIPOTENTIARY, log=audit.terms)
            audit.step(log, StepKind.LOG_SIGN)
    else:
        signed_by_all(audit)
    add_caveat(audit)
    sent = audit.submit(2)
    audit.deliver(sent, [0, 1])
    return audit


def arrangement(*places: int, umbrella: str = UMBRELLA, waited_ms: int = 0) -> ArrangedAudit:
    """Give the log of an arrangement, whose umbrella changed at these entries of its own log, and a report under it."""
    begun = begun_audit()
    of_umbrella = begun.text.replace(f'"{AGREEMENT}"'.encode(), f'"{UMBRELLA}"'.encode())
    above = UmbrellaAudit(**{**vars(begun), "text": of_umbrella, "events": []})
    above.events.append(events.agreement_log_opened(terms=above.terms, statements=(), **above.common()))
    signed_by_all(above)
    audit = ArrangedAudit(**{**vars(begun), "time": above.time})
    audit.plain, audit.above, audit.umbrella_text = audit.text, above, above.text
    audit.text += f'\n[under]\nagreement = "{UMBRELLA}"\ndigest = "sha384:{above.digest.hex()}"\n'.encode()
    audit.events = [events.agreement_log_opened(terms=audit.terms, statements=(), **audit.common())]
    signed_by_all(audit)
    for place in places:
        name_umbrella(audit, place, umbrella)
    audit.time += waited_ms
    audit.submit(1)
    return audit


def name_umbrella(audit: Audit, place: int, umbrella: str = UMBRELLA) -> None:
    """Have an arrangement's log name an entry of its umbrella's."""
    audit.events.append(
        events.umbrella_changed(
            time=audit.tick(),
            caller=BROKER,
            state_epoch=2,
            umbrella=umbrella,
            umbrella_origin=UMBRELLA_ORIGIN,
            umbrella_log_index=place,
        )
    )
