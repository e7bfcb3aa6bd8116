"""Agreements of two and three parties taken step by step through their lives, without a broker or a key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from comity_policy import clauses as kinds
from comity_policy.clauses import Clause, Span
from comity_policy.document import (
    Broker,
    Document,
    Duration,
    EntryIntoForce,
    Equivalence,
    Languages,
    Party,
    Termination,
)
from comity_policy.facts import Role
from comity_policy.lifecycle import (
    LogTerms,
    State,
    Step,
    StepKind,
    TransitionError,
    TransitionFault,
    admissible,
    fold,
)
from comity_policy.sections import (
    AmendedBy,
    Amends,
    Annex,
    AppliesTo,
    DurationKind,
    EntryRule,
    NoticePeriod,
    Provisional,
)
from comity_policy.steps import ABOUT_LOGS

TWO = ("XAR", "XBO")
THREE = ("XAR", "XBO", "XDE")
TEXT = {"en": "As the parties agreed."}
ORIGIN = "hub.example/treaty"
TERMS = LogTerms(ORIGIN, ("key",), 1, "ab" * 32)
ON_SIGNATURE = EntryIntoForce(EntryRule.ON_SIGNATURE)
ON_RECEIPT = EntryIntoForce(EntryRule.AFTER_LATER_RECEIPT)
INDEFINITE = Duration(DurationKind.INDEFINITE)
NOTICE = Termination(NoticePeriod(months=6))
DAY = 86_400_000

_NAMES = {
    Role.LIAISON: "liaison1",
    Role.LEGAL_REVIEWER: "legal1",
    Role.PLENIPOTENTIARY: "plenipotentiary1",
    Role.SECURITY_AUTHORITY: "security1",
    Role.RELEASE_AUTHORITY: "release1",
}
_FIELDS: dict[StepKind, dict[str, Any]] = {
    StepKind.LOG_SIGN: {"log": TERMS},
    StepKind.LOG_CONFIRM: {"log": TERMS},
    StepKind.SUSPEND: {"reason": "A leak."},
    StepKind.RESUME: {"reason": "It is mended."},
    StepKind.OBJECT: {"clauses": ("3",), "reason": "Too wide."},
    StepKind.NOTIFY_COMPLETION: {"instrument": "Law 17/2027", "authority": "Parliament", "date": "2027-01-04"},
    StepKind.DISPUTE_OPEN: {
        "subject": "report",
        "subject_id": "r-1",
        "deadline": "2027-12-31",
        "reason": "It was passed on.",
    },
    StepKind.CAVEAT_ADD: {
        "caveat": "c1",
        "caveat_digest": "cd" * 48,
        "partner_text": "A national limitation applies.",
    },
    StepKind.CAVEAT_WITHDRAW: {"caveat": "c1"},
    StepKind.NOTES: {"annex": "D"},
}


def ms(text: str) -> int:
    """Give a moment written in ISO 8601, UTC without another zone, in Unix milliseconds."""
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1000


# Long to work out, and asked for at every step; the document is kept, so that its id stays its own.
_DIGESTS: dict[int, tuple[Document, bytes]] = {}
START = ms("2027-01-04T09:00")


def treaty(parties: tuple[str, ...] = TWO, **changes: Any) -> Document:
    """Give an agreement in which everybody may send everybody reports on terrorism; clause 3 grants cyber to the first."""
    pairs = [(one, other) for one in parties for other in parties if one != other]
    clauses: list[Clause] = [kinds.Article(id="0", text=TEXT, topic="principles")]
    clauses += [
        kinds.Scope(
            id=f"1.{number}", text=TEXT, from_party=one, to_party=other, categories=("terrorism",), kinds=("report",)
        )
        for number, (one, other) in enumerate(pairs)
    ]
    clauses += [
        kinds.Retention(id="2", text=TEXT, longest=Span(days=30)),
        kinds.Scope(
            id="3", text=TEXT, from_party=parties[1], to_party=parties[0], categories=("cyber",), kinds=("report",)
        ),
        kinds.Purpose(id="4", text=TEXT, purposes=("counter-terrorism",)),
    ]
    given: dict[str, Any] = {
        "id": "XAR-XBO-1",
        "version": 1,
        "kind": "agreement",
        "title": "On terrorism",
        "parties": {party: Party(party, f"sha384:{party}", f"{party.lower()}.example", party) for party in parties},
        "brokers": {"hub": Broker("XAR", "xar")},
        "languages": Languages(("en",), "en"),
        "entry_into_force": ON_SIGNATURE,
        "duration": INDEFINITE,
        "equivalences": tuple(
            Equivalence(one, other, date(2026, 1, 1), (("OPEN", "OPEN"), ("SECRET", "SECRET"))) for one, other in pairs
        ),
        "clauses": tuple(clauses),
        "vocabularies": {},
        "termination": NOTICE,
    }
    return Document(**{**given, **changes})


def term(**changes: Any) -> Duration:
    """Give a duration with a term."""
    return Duration(DurationKind.TERM, **changes)


def with_annex(document: Document, word: str = "weekly", annex_id: str = "D", **changes: Any) -> Document:
    """Give the agreement with an annex, changed by notes of the security authorities, that says a word."""
    clause = kinds.Article(id=f"{annex_id}.1", text={"en": f"Rosters are exchanged {word}."}, topic="other")
    said = {"amended_by": AmendedBy.EXCHANGE_OF_NOTES, "by": "security-authority", **changes}
    annex = Annex(id=annex_id, clauses=(clause,), **said)
    return replace(document, clauses=(*document.clauses, clause), annexes=(*document.annexes, annex))


def provisionally(document: Document, *clauses: str, until: str = "2029-01-01T00:00") -> Document:
    """Give the agreement with grants that apply provisionally."""
    return replace(document, provisional=Provisional(clauses, datetime.fromisoformat(until).replace(tzinfo=UTC)))


def digest_of(document: Document) -> bytes:
    """Give bytes that stand for the digest of a text; every value of a document has its own."""
    held = _DIGESTS.get(id(document))
    if held is None or held[0] is not document:
        held = _DIGESTS[id(document)] = (document, hashlib.sha384(repr(document).encode()).digest())
    return held[1]


def amending(document: Document, **changes: Any) -> Document:
    """Give the next version of an agreement, with what is changed."""
    amends = Amends(document.version, f"sha384:{digest_of(document).hex()}", AppliesTo.NEW)
    return replace(document, **{"version": document.version + 1, "amends": amends, **changes})


def step_of(state: State, kind: StepKind, party: str, text: Document | None = None, **changes: Any) -> Step:
    """Give a step of a party that knows this state, about the text that counts in it unless said, with what is changed."""
    follows = state.chain_head if kind.multilateral else state.party_heads.get(party, "")
    about = text or state.document
    usual = Role.SECURITY_AUTHORITY if kind is StepKind.NOTES else min(kind.roles)
    role = changes.get("role", usual)
    given: dict[str, Any] = {
        "kind": kind,
        "agreement_id": about.id,
        "agreement_digest": digest_of(about).hex(),
        "party": party,
        "officer": f"{party}/{_NAMES.get(role, 'officer1')}",
        "role": role,
        "follows": "" if kind in ABOUT_LOGS else follows,
        **_FIELDS.get(kind, {}),
    }
    made = Step(**{**given, **changes})
    digest = hashlib.sha384(repr(made.to_body()).encode()).hexdigest()
    return replace(made, digest=changes.get("digest", digest))


@dataclass
class Life:
    """An agreement's log as it is written. `about` is the text that steps name unless they say which."""

    document: Document
    texts: tuple[Document, ...] = ()
    now: int = START
    steps: list[Step] = field(default_factory=list)
    about: Document | None = None

    @property
    def held(self) -> dict[str, Document]:
        return {digest_of(text).hex(): text for text in self.texts}

    def state(self, at: int | str | None = None) -> State:
        """Give the state at a moment, now unless said."""
        when = self.now if at is None else ms(at) if isinstance(at, str) else at
        return fold(self.document, digest_of(self.document), self.steps, when, self.held)

    def step(self, kind: StepKind, party: str, text: Document | None = None, **changes: Any) -> Step:
        """Give a step that follows what was taken, with what is changed."""
        place = {"log_index": len(self.steps) + 1, "at_ms": self.now}
        return step_of(self.state(), kind, party, text or self.about, **{**place, **changes})

    def take(self, kind: StepKind, party: str, text: Document | None = None, *, at: str = "", **changes: Any) -> Step:
        """Take a step, at that moment or a minute after the one before; raises TransitionError and takes nothing."""
        self.now = ms(at) if at else self.now + 60_000
        step = self.step(kind, party, text, **changes)
        admissible(self.state(), step)
        self.steps.append(step)
        self.state()
        return step

    def each(self, kind: StepKind, *parties: str, text: Document | None = None, **changes: Any) -> None:
        """Let each of some parties take a step, all of them unless some are named."""
        for party in parties or self.document.parties:
            self.take(kind, party, text, **changes)

    def signed(self, *parties: str) -> Life:
        """Propose and let each of some parties review and sign, the log's terms too; all of them unless some are named."""
        who = parties or tuple(self.document.parties)
        self.take(StepKind.PROPOSE, who[0])
        self.each(StepKind.REVIEW, *who)
        self.each(StepKind.LOG_SIGN, *who)
        self.each(StepKind.SIGN, *who)
        return self

    def completed(self, *parties: str) -> Life:
        """Let parties notify their completion, and the next of them receive each."""
        who = parties or tuple(self.document.parties)
        for number, party in enumerate(who):
            sent = self.take(StepKind.NOTIFY_COMPLETION, party)
            self.take(StepKind.RECEIVE, who[(number + 1) % len(who)], names=sent.digest)
        return self

    def amended(self, text: Document, *parties: str) -> Life:
        """Bring a new version, and let parties review and sign it."""
        self.texts = (*self.texts, text)
        who = parties or tuple(self.document.parties)
        self.take(StepKind.AMEND, who[0], text)
        self.each(StepKind.REVIEW, *who, text=text)
        self.each(StepKind.SIGN, *who, text=text)
        return self


def in_force(*parties: str, **changes: Any) -> Life:
    """Give the life of an agreement that all its parties, two unless named, have signed."""
    return Life(treaty(parties or TWO, **changes)).signed()


def acceding() -> Life:
    """Give the life of an agreement of three that is in force between the first two."""
    return Life(treaty(THREE, entry_into_force=EntryIntoForce(EntryRule.ON_SIGNATURE, minimum=2))).signed("XAR", "XBO")


def refused(
    life: Life,
    kind: StepKind,
    party: str,
    text: Document | None = None,
    *,
    because: str,
    fault: TransitionFault = TransitionFault.STATE,
    **changes: Any,
) -> None:
    """Take a step that must not be taken; the log stays as it was."""
    before = list(life.steps)
    with pytest.raises(TransitionError, match=because) as caught:
        life.take(kind, party, text, **changes)
    assert caught.value.fault is fault
    assert life.steps == before
