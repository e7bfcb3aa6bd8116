"""Steps of an agreement's life, and the exact JSON objects that officers sign.

A step's *body* is a closed table of keys per kind; every key is there, no other is. Canonical JSON makes it bytes, whose
SHA-384 is the step's `digest`; both are the caller's business, as are signatures. `log_index` and `at_ms` are not in the body:
they are where and when the agreement's log took the step, and so nobody can back-date one.

Common keys: type, agreement, agreement_digest, party, officer, role, follows. ``follows`` is the digest of the step before
in the same chain, empty at its beginning and always for ``agreement-log-opened`` and ``agreement-log-confirmed``, in no chain.
``agreement_digest`` is that of the text the step is about; of -counter, -amend and -notes it is that of the new text.

| type | further keys |
|---|---|
| agreement-propose, -counter, -initial, -review, -sign, -accede, -amend, -renew | |
| agreement-log-opened, -log-confirmed | origin, log_vkeys, anchor_slot, anchor_key |
| agreement-review-clauses | clauses |
| agreement-object | clauses, reason |
| agreement-notify-completion | instrument, authority, date (of the instrument) |
| agreement-receive | names (the digest of the notification that is received) |
| agreement-notes | annex |
| agreement-suspend, -resume | clauses (empty: the whole agreement), reason |
| agreement-object-renewal, -notice, -withdraw | reason |
| agreement-dispute-open | subject (report, decision, entry), subject_id, deadline (a date), reason |
| agreement-dispute-close | names (the digest of the step that opened it) |
| agreement-caveat-add | caveat, caveat_digest (salted), partner_text (all that others read of it) |
| agreement-caveat-withdraw | caveat |

What each step does, and who may take it when, is `lifecycle.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

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

REASON_LIMIT = 1000
CLAUSES_LIMIT = 1024
VKEYS_LIMIT = 8


class StepError(ValueError):
    """A body that is not exactly one of the table above."""


class StepKind(StrEnum):
    """What a step does; the value is the body's type."""

    PROPOSE = "agreement-propose"
    COUNTER = "agreement-counter"
    INITIAL = "agreement-initial"
    REVIEW = "agreement-review"
    REVIEW_CLAUSES = "agreement-review-clauses"
    OBJECT = "agreement-object"
    SIGN = "agreement-sign"
    LOG_SIGN = "agreement-log-opened"
    LOG_CONFIRM = "agreement-log-confirmed"
    NOTIFY_COMPLETION = "agreement-notify-completion"
    RECEIVE = "agreement-receive"
    ACCEDE = "agreement-accede"
    AMEND = "agreement-amend"
    NOTES = "agreement-notes"
    RENEW = "agreement-renew"
    OBJECT_RENEWAL = "agreement-object-renewal"
    NOTICE = "agreement-notice"
    WITHDRAW = "agreement-withdraw"
    SUSPEND = "agreement-suspend"
    RESUME = "agreement-resume"
    DISPUTE_OPEN = "agreement-dispute-open"
    DISPUTE_CLOSE = "agreement-dispute-close"
    CAVEAT_ADD = "agreement-caveat-add"
    CAVEAT_WITHDRAW = "agreement-caveat-withdraw"

    @property
    def multilateral(self) -> bool:
        """Say whether it stands in the chain that all parties share."""
        return self in _MULTILATERAL

    @property
    def unilateral(self) -> bool:
        """Say whether it stands in its own party's chain."""
        return self not in _MULTILATERAL and self not in ABOUT_LOGS

    @property
    def roles(self) -> frozenset[Role]:
        """Give the roles of officers who may take it; of -notes those that an annex may name, of which it names one."""
        return _ROLES[self]


# What belongs to no chain: the terms of a log, and of the one that a restored broker goes on with.
ABOUT_LOGS: Final = frozenset({StepKind.LOG_SIGN, StepKind.LOG_CONFIRM})
_MULTILATERAL = frozenset(
    {
        StepKind.PROPOSE,
        StepKind.COUNTER,
        StepKind.INITIAL,
        StepKind.REVIEW,
        StepKind.SIGN,
        StepKind.ACCEDE,
        StepKind.AMEND,
        StepKind.NOTES,
        StepKind.RENEW,
    }
)
_REVIEWER = frozenset({Role.LEGAL_REVIEWER})
_LIAISON = frozenset({Role.LIAISON, Role.PLENIPOTENTIARY})
_FULL_POWERS = frozenset({Role.PLENIPOTENTIARY})
_NOTES = frozenset({Role.LIAISON, Role.RELEASE_AUTHORITY, Role.SECURITY_AUTHORITY, Role.PLENIPOTENTIARY})
_CAVEATS = frozenset({Role.RELEASE_AUTHORITY, Role.SECURITY_AUTHORITY, Role.PLENIPOTENTIARY})
_ROLES: Final[Mapping[StepKind, frozenset[Role]]] = {
    StepKind.PROPOSE: _LIAISON,
    StepKind.COUNTER: _LIAISON,
    StepKind.INITIAL: _LIAISON,
    StepKind.REVIEW: _REVIEWER,
    StepKind.REVIEW_CLAUSES: _REVIEWER,
    StepKind.OBJECT: _REVIEWER,
    StepKind.SIGN: _FULL_POWERS,
    StepKind.LOG_SIGN: _FULL_POWERS,
    StepKind.LOG_CONFIRM: _LIAISON,
    StepKind.NOTIFY_COMPLETION: _LIAISON,
    StepKind.RECEIVE: _LIAISON,
    StepKind.ACCEDE: _FULL_POWERS,
    StepKind.AMEND: _LIAISON,
    StepKind.NOTES: _NOTES,
    StepKind.RENEW: _FULL_POWERS,
    StepKind.OBJECT_RENEWAL: _FULL_POWERS,
    StepKind.NOTICE: _FULL_POWERS,
    StepKind.WITHDRAW: _FULL_POWERS,
    StepKind.SUSPEND: _LIAISON,
    StepKind.RESUME: _LIAISON,
    StepKind.DISPUTE_OPEN: _LIAISON,
    StepKind.DISPUTE_CLOSE: _LIAISON,
    StepKind.CAVEAT_ADD: _CAVEATS,
    StepKind.CAVEAT_WITHDRAW: _CAVEATS,
}
_COMMON = ("type", "agreement", "agreement_digest", "party", "officer", "role", "follows")
_LOG_KEYS = ("origin", "log_vkeys", "anchor_slot", "anchor_key")
_FURTHER: Final[Mapping[StepKind, tuple[str, ...]]] = {
    StepKind.LOG_SIGN: _LOG_KEYS,
    StepKind.LOG_CONFIRM: _LOG_KEYS,
    StepKind.REVIEW_CLAUSES: ("clauses",),
    StepKind.OBJECT: ("clauses", "reason"),
    StepKind.NOTIFY_COMPLETION: ("instrument", "authority", "date"),
    StepKind.RECEIVE: ("names",),
    StepKind.NOTES: ("annex",),
    StepKind.SUSPEND: ("clauses", "reason"),
    StepKind.RESUME: ("clauses", "reason"),
    StepKind.OBJECT_RENEWAL: ("reason",),
    StepKind.NOTICE: ("reason",),
    StepKind.WITHDRAW: ("reason",),
    StepKind.DISPUTE_OPEN: ("subject", "subject_id", "deadline", "reason"),
    StepKind.DISPUTE_CLOSE: ("names",),
    StepKind.CAVEAT_ADD: ("caveat", "caveat_digest", "partner_text"),
    StepKind.CAVEAT_WITHDRAW: ("caveat",),
}
_ANCHOR_KEY = re.compile(r"[0-9a-f]{64}")
_ORIGIN = re.compile(r"[A-Za-z0-9./-]{1,255}")
_VKEY = re.compile(r"[!-~]{1,8192}")
_CLAUSE = re.compile(r"[A-Za-z0-9.-]{1,32}")
_FOR_PEOPLE = for_people(200)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# The shape of each key that holds one text; `reason` is any text of bounded length.
_TEXTS: Final[Mapping[str, re.Pattern[str]]] = {
    "instrument": _FOR_PEOPLE,
    "authority": _FOR_PEOPLE,
    "date": _DATE,
    "names": DIGEST,
    "annex": re.compile(r"[A-Z0-9](?:[A-Za-z0-9-]{0,14}[A-Za-z0-9])?"),
    "subject": SUBJECT,
    "subject_id": SUBJECT_ID,
    "deadline": _DATE,
    "caveat": re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,30}[A-Za-z0-9])?"),
    "caveat_digest": DIGEST,
    "partner_text": for_people(1000),
}


@dataclass(frozen=True, slots=True)
class LogTerms:
    """What a party signs of an agreement's log: its name, its keys, and its place in the anchor log."""

    origin: str
    log_vkeys: tuple[str, ...]
    anchor_slot: int
    anchor_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One signed step and its place in the log. `digest` is the SHA-384 of the body's canonical bytes, in hex.

    From `clauses` on, a field is empty unless the step's kind has it; dates are written YYYY-MM-DD.
    """

    kind: StepKind
    agreement_id: str
    agreement_digest: str
    party: str
    officer: str
    role: Role
    follows: str = ""
    clauses: tuple[str, ...] = ()
    reason: str = ""
    log: LogTerms | None = None
    instrument: str = ""
    authority: str = ""
    date: str = ""
    names: str = ""
    annex: str = ""
    subject: str = ""
    subject_id: str = ""
    deadline: str = ""
    caveat: str = ""
    caveat_digest: str = ""
    partner_text: str = ""
    digest: str = ""
    log_index: int = 0
    at_ms: int = 0

    def to_body(self) -> dict[str, JsonValue]:
        """Give the object an officer signs; raises StepError for a step whose fields its kind does not have."""
        body: dict[str, JsonValue] = {
            "type": self.kind.value,
            "agreement": self.agreement_id,
            "agreement_digest": self.agreement_digest,
            "party": self.party,
            "officer": self.officer,
            "role": self.role.word,
            "follows": self.follows,
        }
        if self.log is not None:
            body |= {
                "origin": self.log.origin,
                "log_vkeys": list(self.log.log_vkeys),
                "anchor_slot": self.log.anchor_slot,
                "anchor_key": self.log.anchor_key,
            }
        has = _FURTHER.get(self.kind, ())
        if "clauses" in has or self.clauses:
            body["clauses"] = list(self.clauses)
        for key in ("reason", *_TEXTS):
            value: str = getattr(self, key)
            if key in has or value:
                body[key] = value
        Step.from_body(body)
        return body

    @classmethod
    def from_body(cls, body: Mapping[str, object], *, digest: str = "", log_index: int = 0, at_ms: int = 0) -> Step:
        """Give the step a body says, taken by the log at that index and Unix millisecond; raises StepError."""
        kind, read = _kind(body), Body(body, StepError)
        has = _FURTHER.get(kind, ())
        read.check_keys(kind.value, (*_COMMON, *has))
        follows = read.text("follows", DIGEST, may_be_empty=True)
        if kind in ABOUT_LOGS and follows:
            raise StepError(f"{kind.value}: 'follows' must be empty, it belongs to no chain")
        return cls(
            kind=kind,
            agreement_id=read.text("agreement", AGREEMENT),
            agreement_digest=read.text("agreement_digest", DIGEST),
            party=read.text("party", PARTY),
            officer=read.text("officer", OFFICER),
            role=read.role(kind.value),
            follows=follows,
            clauses=read.texts("clauses", _CLAUSE, CLAUSES_LIMIT) if "clauses" in has else (),
            reason=_reason(read) if "reason" in has else "",
            log=_log_terms(read) if kind in ABOUT_LOGS else None,
            **{key: _dated(read, key, _TEXTS[key]) for key in has if key in _TEXTS},
            digest=digest,
            log_index=log_index,
            at_ms=at_ms,
        )


def _kind(body: Mapping[str, object]) -> StepKind:
    named = body.get("type")
    for kind in StepKind:
        if named == kind.value:
            return kind
    raise StepError("unknown type of step")


def _log_terms(body: Body) -> LogTerms:
    slot = body.number("anchor_slot", 1 << 32, "a number from 0 to 2^32 - 1")
    vkeys = body.texts("log_vkeys", _VKEY, VKEYS_LIMIT)
    if not vkeys:
        raise StepError("'log_vkeys' is empty")
    return LogTerms(body.text("origin", _ORIGIN), vkeys, slot, body.text("anchor_key", _ANCHOR_KEY))


def _dated(body: Body, key: str, shape: re.Pattern[str]) -> str:
    text = body.text(key, shape)
    if shape is _DATE:
        try:
            date.fromisoformat(text)
        except ValueError as error:
            raise StepError(f"{key!r} is no date: write YYYY-MM-DD") from error
    return text


def _reason(body: Body) -> str:
    reason = body.text("reason")
    if len(reason) > REASON_LIMIT:
        raise StepError(f"'reason' has more than {REASON_LIMIT} characters")
    return reason
