"""What of an agreement this release does not carry yet: nobody proposes or signs a text that could only refuse, or not end.

The engine decides every clause and the fold knows every step, but brokers and the SDK attest only some facts, send only some
steps and keep no ledger of duties. What needs more is named here, once, for `check`, for whoever proposes or signs, and for
the broker that is brought a text.

    >>> not_carried(document)
    (NotCarried(clause_id='8', what='quota: nobody counts what a window holds'),)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from comity_policy import clauses as kinds
from comity_policy.clauses import Clause
from comity_policy.sections import AgreementKind, Document, EntryRule, Renewal

_FACTS: Final[Mapping[type, str]] = {
    kinds.NeedToKnow: "nobody attests who opens",
    kinds.Onward: "nothing is passed on by anybody but its originator",
    kinds.Reproduction: "nobody attests what a report is opened for",
    kinds.Quota: "nobody counts what a window holds",
    kinds.DualControl: "officers' approvals are not collected",
    kinds.Acknowledge: "no ledger tells what is overdue",
    kinds.UseRule: "no caveat is shown before opening",
    kinds.Relabel: "nobody attests who changed a marking",
    kinds.Emergency: "no declaration can be made",
    kinds.Survives: "nobody attests what was opened before the end",
    kinds.Audit: "nobody attests that the log takes entries",
    kinds.Breach: "no ledger follows a case",
    kinds.Disputes: "no ledger follows a dispute",
    kinds.SecurityMeasures: "no ledger follows attestations",
    kinds.Authorities: "no ledger follows contacts",
}


@dataclass(frozen=True, slots=True)
class NotCarried:
    """A part that is not carried; `clause_id` is empty for a section. `what` says what, and what is lacking for it."""

    clause_id: str
    what: str


def not_carried(document: Document) -> tuple[NotCarried, ...]:
    """Give every part of an agreement that this release does not carry: sections first, then clauses in their order."""
    sections = (NotCarried("", what) for what in _sections(document))
    clauses = (NotCarried(one.id, what) for one in document.clauses for what in _clause(one))
    return (*sections, *clauses)


def told(parts: tuple[NotCarried, ...]) -> str:
    """Give the parts in one line of words for a refusal."""
    return "; ".join(f"clause {one.clause_id}, {one.what}" if one.clause_id else one.what for one in parts)


def _sections(document: Document) -> Iterator[str]:
    entry, duration = document.entry_into_force, document.duration
    if document.kind != AgreementKind.AGREEMENT:
        yield f"[agreement] kind = {str(document.kind)!r}: umbrellas and arrangements are not brought together"
    if entry.rule is EntryRule.AFTER_LATER_RECEIPT:
        yield f"[entry_into_force] rule = {str(entry.rule)!r}: no command notifies a completion"
    if entry.minimum is not None and entry.minimum != len(document.parties):
        yield "[entry_into_force] minimum: no command brings in who signs later"
    if duration.renewal is not Renewal.NONE:
        yield "[duration] renewal: no command renews or objects"
    if document.provisional is not None:
        yield "[provisional]: no command ends a provisional application"
    if document.amends is not None:
        yield "[amends]: no command amends"
    if document.annexes:
        yield "[[annex]]: no command exchanges notes"


def _clause(clause: Clause) -> Iterator[str]:
    tag = clause.__struct_config__.tag
    lacking = _FACTS.get(type(clause))
    if lacking is not None:
        yield f"{tag}: {lacking}"
    if isinstance(clause, kinds.Clearance) and clause.officer_from:
        yield f"{tag} officer_from: nobody attests who opens"
    if isinstance(clause, kinds.Retention) and (clause.end or clause.witnesses or clause.emergency_destruction):
        yield f"{tag} end, witnesses, emergency_destruction: no ledger follows a destruction"
