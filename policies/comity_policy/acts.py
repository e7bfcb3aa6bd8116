"""Acts of officers under an agreement that are no steps of its life, and the exact JSON objects that they sign.

Written as steps are (`steps.py`): a closed table of keys per kind, every key is there, no other is; canonical JSON makes the body
bytes, whose SHA-384 is the act's `digest`; `log_index` and `at_ms` are where and when the agreement's log took it. Acts stand in
no chain: what one may refer to, it names by digest.

Common keys: type, agreement, agreement_digest, party, officer, role, made_at. ``agreement_digest`` is that of the version that
governs then; ``made_at`` (Unix ms) is when the officer signed, so that the same words said again are another act.

| type | further keys | clause |
|---|---|---|
| emergency-declaration | basis (THREAT_TO_LIFE), reason, valid_until (ms) | emergency |
| emergency-review | names (the declaration), finding (justified, unjustified), reason | emergency |
| destruction-certificate | originator, reports, leaves, outcome (destroyed, returned), cause (end, emergency), means, witnesses | retention |
| holder-release | holder, reports, leaves, reason | retention |
| personal-data-review | reason | personal-data |
| correction-asked | holder, reports, leaves, reason | personal-data |
| data-corrected | originator, reports, leaves, reason | personal-data |
| breach-open | subject (report, decision, entry), subject_id, discovered_at (ms), reason | breach |
| breach-update | names (the opening), stage (initial-report, measures), reason | breach |
| breach-close | names (the opening), reason | breach |
| measures-attest | reason | security-measures |
| contact-set | contact_role, name, contact | authorities |
| report-read | originator, reports, leaves | precedence |
| report-actioned | originator, reports, leaves, note | precedence |

``reports`` and ``leaves`` are as long as one another: report ids and the leaves of their envelopes, pair by pair. ``note`` may be
empty; what a report says does not belong there. When each act
may be taken is `act_rules.py`; what follows from them is `obligations.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from comity_policy import clauses as kinds
from comity_policy.calendar import LATEST_MS
from comity_policy.facts import Role
from comity_policy.signed_bodies import (
    AGREEMENT,
    DIGEST,
    OFFICER,
    PARTY,
    SUBJECT,
    SUBJECT_ID,
    Body,
    JsonValue,
    for_people,
)

REASON_LIMIT: Final = 1000
REPORTS_LIMIT: Final = 256
# A statement has eight signatures, one of which is the officer's own.
WITNESSES_LIMIT: Final = 7
THREAT_TO_LIFE: Final = "THREAT_TO_LIFE"


class ActError(ValueError):
    """A body that is not exactly one of the table above."""


class ActKind(StrEnum):
    """What an act does; the value is the body's type."""

    DECLARE = "emergency-declaration"
    REVIEW = "emergency-review"
    CERTIFY = "destruction-certificate"
    RELEASE = "holder-release"
    REVIEW_PERSONAL = "personal-data-review"
    ASK_CORRECTION = "correction-asked"
    CORRECTED = "data-corrected"
    BREACH_OPEN = "breach-open"
    BREACH_UPDATE = "breach-update"
    BREACH_CLOSE = "breach-close"
    ATTEST = "measures-attest"
    CONTACT = "contact-set"
    READ = "report-read"
    ACTION = "report-actioned"

    @property
    def roles(self) -> frozenset[Role]:
        """Give the roles of officers who may take it."""
        return _ROLES[self]

    @property
    def clause(self) -> type[kinds.Clause]:
        """Give the kind of clause that an agreement must have for it."""
        return _CLAUSES[self]

    @property
    def between(self) -> bool:
        """Say whether it names reports: then only their originator's party and their holder's may read it."""
        return self in {ActKind.RELEASE, ActKind.ASK_CORRECTION} or self.by_holder

    @property
    def by_holder(self) -> bool:
        """Say whether, of those that name reports, it is their holder's act, about another party's reports."""
        return self in {ActKind.CERTIFY, ActKind.CORRECTED} or self.of_handling

    @property
    def of_handling(self) -> bool:
        """Say whether it says what became of reports after their delivery: as many may come as there are reports."""
        return self in {ActKind.READ, ActKind.ACTION}


_CASES = frozenset({Role.LIAISON, Role.SECURITY_AUTHORITY, Role.PLENIPOTENTIARY})
_CORRECTING = frozenset({Role.LIAISON, Role.LEGAL_REVIEWER, Role.RELEASE_AUTHORITY})
# Whoever acts for a party may read for it and act on what it reads; an auditor's reading is oversight and stops no clock.
_HANDLING = frozenset(Role) - {Role.NODE, Role.AUDITOR, Role.OPERATOR}
_ROLES: Final[Mapping[ActKind, frozenset[Role]]] = {
    ActKind.DECLARE: frozenset({Role.DUTY_OFFICER}),
    ActKind.REVIEW: frozenset({Role.LIAISON, Role.RELEASE_AUTHORITY, Role.PLENIPOTENTIARY}),
    ActKind.CERTIFY: frozenset({Role.LIAISON, Role.SECURITY_AUTHORITY}),
    ActKind.RELEASE: frozenset({Role.RELEASE_AUTHORITY, Role.PLENIPOTENTIARY}),
    ActKind.REVIEW_PERSONAL: frozenset({Role.LEGAL_REVIEWER, Role.RELEASE_AUTHORITY}),
    ActKind.ASK_CORRECTION: _CORRECTING,
    ActKind.CORRECTED: _CORRECTING,
    ActKind.BREACH_OPEN: _CASES,
    ActKind.BREACH_UPDATE: _CASES,
    ActKind.BREACH_CLOSE: _CASES,
    ActKind.ATTEST: frozenset({Role.SECURITY_AUTHORITY}),
    ActKind.CONTACT: _CASES,
    ActKind.READ: _HANDLING,
    ActKind.ACTION: _HANDLING,
}
_CLAUSES: Final[Mapping[ActKind, type[kinds.Clause]]] = {
    ActKind.DECLARE: kinds.Emergency,
    ActKind.REVIEW: kinds.Emergency,
    ActKind.CERTIFY: kinds.Retention,
    ActKind.RELEASE: kinds.Retention,
    ActKind.REVIEW_PERSONAL: kinds.PersonalDataRule,
    ActKind.ASK_CORRECTION: kinds.PersonalDataRule,
    ActKind.CORRECTED: kinds.PersonalDataRule,
    ActKind.BREACH_OPEN: kinds.Breach,
    ActKind.BREACH_UPDATE: kinds.Breach,
    ActKind.BREACH_CLOSE: kinds.Breach,
    ActKind.ATTEST: kinds.SecurityMeasures,
    ActKind.CONTACT: kinds.Authorities,
    ActKind.READ: kinds.PrecedenceRule,
    ActKind.ACTION: kinds.PrecedenceRule,
}
_COMMON: Final = ("type", "agreement", "agreement_digest", "party", "officer", "role", "made_at")
_FURTHER: Final[Mapping[ActKind, tuple[str, ...]]] = {
    ActKind.DECLARE: ("basis", "reason", "valid_until"),
    ActKind.REVIEW: ("names", "finding", "reason"),
    ActKind.CERTIFY: ("originator", "reports", "leaves", "outcome", "cause", "means", "witnesses"),
    ActKind.RELEASE: ("holder", "reports", "leaves", "reason"),
    ActKind.REVIEW_PERSONAL: ("reason",),
    ActKind.ASK_CORRECTION: ("holder", "reports", "leaves", "reason"),
    ActKind.CORRECTED: ("originator", "reports", "leaves", "reason"),
    ActKind.BREACH_OPEN: ("subject", "subject_id", "discovered_at", "reason"),
    ActKind.BREACH_UPDATE: ("names", "stage", "reason"),
    ActKind.BREACH_CLOSE: ("names", "reason"),
    ActKind.ATTEST: ("reason",),
    ActKind.CONTACT: ("contact_role", "name", "contact"),
    ActKind.READ: ("originator", "reports", "leaves"),
    ActKind.ACTION: ("originator", "reports", "leaves", "note"),
}
_REPORT = re.compile(r"[0-9a-f]{32}")
_FOR_PEOPLE = for_people(200)
_REASON = for_people(REASON_LIMIT)
_TEXTS: Final[Mapping[str, re.Pattern[str]]] = {
    "basis": re.compile(THREAT_TO_LIFE),
    "names": DIGEST,
    "finding": re.compile(r"justified|unjustified"),
    "originator": PARTY,
    "holder": PARTY,
    "outcome": re.compile(r"destroyed|returned"),
    "cause": re.compile(r"end|emergency"),
    "means": _FOR_PEOPLE,
    "subject": SUBJECT,
    "subject_id": SUBJECT_ID,
    "stage": re.compile(r"initial-report|measures"),
    "contact_role": _FOR_PEOPLE,
    "name": _FOR_PEOPLE,
    "contact": _FOR_PEOPLE,
    "reason": _REASON,
    "note": _REASON,
}
_MAY_BE_EMPTY: Final = frozenset({"note"})
_LISTS: Final[Mapping[str, tuple[re.Pattern[str], int]]] = {
    "reports": (_REPORT, REPORTS_LIMIT),
    "leaves": (DIGEST, REPORTS_LIMIT),
    "witnesses": (OFFICER, WITNESSES_LIMIT),
}
_NUMBERS: Final = ("valid_until", "discovered_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One signed act and its place in the log. `digest` is the SHA-384 of the body's canonical bytes, in hex.

    From `basis` on, a field is empty unless the act's kind has it; times are Unix milliseconds.
    """

    kind: ActKind
    agreement_id: str
    agreement_digest: str
    party: str
    officer: str
    role: Role
    made_at: int
    basis: str = ""
    reason: str = ""
    valid_until: int = 0
    names: str = ""
    finding: str = ""
    originator: str = ""
    holder: str = ""
    reports: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    outcome: str = ""
    cause: str = ""
    means: str = ""
    witnesses: tuple[str, ...] = ()
    subject: str = ""
    subject_id: str = ""
    discovered_at: int = 0
    stage: str = ""
    contact_role: str = ""
    name: str = ""
    contact: str = ""
    note: str = ""
    digest: str = ""
    log_index: int = 0
    at_ms: int = 0

    @property
    def signers(self) -> frozenset[str]:
        """Give who must have signed it, and nobody else: its officer and the witnesses."""
        return frozenset({self.officer, *self.witnesses})

    @property
    def readers(self) -> frozenset[str] | None:
        """Give the parties that may read it; None for every party of the agreement."""
        return frozenset({self.party, self.originator or self.holder}) if self.kind.between else None

    def to_body(self) -> dict[str, JsonValue]:
        """Give the object an officer signs; raises ActError for an act whose fields its kind does not have."""
        body: dict[str, JsonValue] = {
            "type": self.kind.value,
            "agreement": self.agreement_id,
            "agreement_digest": self.agreement_digest,
            "party": self.party,
            "officer": self.officer,
            "role": self.role.word,
            "made_at": self.made_at,
        }
        has = _FURTHER[self.kind]
        for key in (*_TEXTS, *_NUMBERS, *_LISTS):
            value: str | int | tuple[str, ...] = getattr(self, key)
            if key in has or value:
                body[key] = list(value) if isinstance(value, tuple) else value
        Act.from_body(body)
        return body

    @classmethod
    def from_body(cls, body: Mapping[str, object], *, digest: str = "", log_index: int = 0, at_ms: int = 0) -> Act:
        """Give the act a body says, taken by the log at that index and Unix millisecond; raises ActError."""
        kind, read = _kind(body), Body(body, ActError)
        has = _FURTHER[kind]
        read.check_keys(kind.value, (*_COMMON, *has))
        act = cls(
            kind=kind,
            agreement_id=read.text("agreement", AGREEMENT),
            agreement_digest=read.text("agreement_digest", DIGEST),
            party=read.text("party", PARTY),
            officer=read.text("officer", OFFICER),
            role=read.role(kind.value),
            made_at=_moment(read, "made_at"),
            **{key: _text(read, key) for key in has if key in _TEXTS},  # type: ignore[arg-type]  # by their names
            **{key: _moment(read, key) for key in has if key in _NUMBERS},  # type: ignore[arg-type]  # by their names
            **{key: read.texts(key, *_LISTS[key]) for key in has if key in _LISTS},  # type: ignore[arg-type]  # by their names
            digest=digest,
            log_index=log_index,
            at_ms=at_ms,
        )
        if kind.between and not 0 < len(act.reports) == len(act.leaves):
            raise ActError(f"{kind.value}: 'reports' and 'leaves' name the same reports, at least one")
        return act


def act_kind(named: object) -> ActKind | None:
    """Give the kind of act that a body's type names, None where it names another kind of statement."""
    return _KIND_OF.get(named) if isinstance(named, str) else None


_KIND_OF: Final = {kind.value: kind for kind in ActKind}


def _kind(body: Mapping[str, object]) -> ActKind:
    kind = act_kind(body.get("type"))
    if kind is None:
        raise ActError("unknown type of act")
    return kind


def _text(body: Body, key: str) -> str:
    return body.text(key, _TEXTS[key], may_be_empty=key in _MAY_BE_EMPTY)


def _moment(body: Body, key: str) -> int:
    return body.number(key, LATEST_MS, "a time in Unix milliseconds")
