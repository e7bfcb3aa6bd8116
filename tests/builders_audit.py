"""Builders for audit bundles: two nations, an agreement both signed, and a log in which a report went over and was acknowledged.

    audit = good_audit()                     # what the broker would have logged; change what the test is about
    audit.change(audit.find("DELIVERED"), "XAR", consumer="other")
    audit.write(tmp_path)                    # logs, checkpoints, bodies, records, receipts, envelopes
    codes(tmp_path)                          # the codes of the verifier's findings

The logs are built by the broker's own code, so whatever a test changes before `write` is consistently committed to and signed.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from builders_audit_log import AGREEMENT, KEYS_ORIGIN, Audit
from builders_identity import nation
from comity.envelope.evidence import AckOutcome, SlotCode
from comity_broker.auditlog import events
from comity_broker.auditlog.checkpoint import LogKeys
from comity_policy.facts import Role
from comity_policy.steps import StepKind
from comity_policy.templates import BrokerInfo, PartyInfo, render_template


def good_audit() -> Audit:
    """Give a history in which everything holds; a copy of its own each time."""
    base = _good()
    copies = {name: type(value)(value) for name, value in vars(base).items() if isinstance(value, list | dict)}
    return replace(base, **copies)


@cache
def _good() -> Audit:
    return fresh_audit()


def fresh_audit() -> Audit:
    """Give a history in which everything holds, with nations of its own, whose keys a test may change."""
    audit = begun_audit()
    signed_by_all(audit)
    sent = audit.submit(3, refused={2: SlotCode.STANZAS})
    audit.deliver(sent, [0, 1])
    audit.acknowledge(sent, [AckOutcome.ACKNOWLEDGED, AckOutcome.ACKNOWLEDGED, AckOutcome.PRUNED])
    return audit


def begun_audit(log_keys: LogKeys | None = None) -> Audit:
    """Give an agreement's log that was just opened, with everybody enrolled; `log_keys` are used in place of the broker's."""
    xar, xbo = nation("XAR"), nation("XBO")
    hub = xar.broker()
    nodes = {"XAR/n1": xar.node("n1"), "XBO/m1": xbo.node("m1")}
    officers = {
        f"{one.party}/{name}": one.officer(name, [role])
        for one in (xar, xbo)
        for name, role in (("lia", Role.LIAISON), ("law", Role.LEGAL_REVIEWER), ("plen", Role.PLENIPOTENTIARY))
    }
    parties = {
        one.party: PartyInfo(one.card.name, f"sha384:{one.card.root_fingerprint.hex()}", one.trust_domain, one.party)
        for one in (xar, xbo)
    }
    text = render_template(AGREEMENT, parties, BrokerInfo("hub", "XAR", "xar")).encode()
    audit = Audit(xar, xbo, hub, officers, nodes, text, own_log_keys=log_keys)
    audit.key_events.append(
        events.log_opened(
            time=audit.tick(), origin=KEYS_ORIGIN, log_vkeys=audit.log_keys.vkeys(KEYS_ORIGIN), broker="XAR/hub"
        )
    )
    for one in (xar, xbo, nation("XDE")):
        for statement in (one.card_statement, *one.statements):
            audit.enrol(statement)
    audit.events.append(events.agreement_log_opened(terms=audit.terms, statements=(), **audit.common()))
    return audit


def signed_by_all(audit: Audit) -> None:
    """Let both parties propose, review and sign the text and the terms of its log."""
    chain = ""
    for kind, name, role in (
        (StepKind.PROPOSE, "XAR/lia", Role.LIAISON),
        (StepKind.REVIEW, "XAR/law", Role.LEGAL_REVIEWER),
        (StepKind.REVIEW, "XBO/law", Role.LEGAL_REVIEWER),
        (StepKind.SIGN, "XAR/plen", Role.PLENIPOTENTIARY),
        (StepKind.SIGN, "XBO/plen", Role.PLENIPOTENTIARY),
    ):
        statement = audit.statement(kind, name, role, chain)
        chain = statement.digest.hex()
        audit.step(statement, kind)
    for name in ("XAR/plen", "XBO/plen"):
        statement = audit.statement(StepKind.LOG_SIGN, name, Role.PLENIPOTENTIARY, log=audit.terms)
        audit.step(statement, StepKind.LOG_SIGN)
