"""Acts of officers, hand-overs and answers under the agreements of `builders_lifecycle`, without a broker or a key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

from builders_lifecycle import TEXT, Life, digest_of, in_force, treaty
from comity_policy import clauses as kinds
from comity_policy.act_rules import admissible
from comity_policy.acts import THREAT_TO_LIFE, Act, ActKind
from comity_policy.clauses import Clause, Span
from comity_policy.facts import Precedence, Role
from comity_policy.obligations import Answer, DutyKind, Handover, Tracked, duties
from comity_policy.state import State

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

TRACKED: tuple[Clause, ...] = (
    kinds.Acknowledge(
        id="20",
        text=TEXT,
        within={"FLASH": Span(minutes=10), "ROUTINE": Span(days=1)},
        stop_after=Span(days=3),
    ),
    kinds.PrecedenceRule(
        id="21", text=TEXT, flash=("duty-officer",), immediate=("node",), read_within={"FLASH": Span(minutes=5)}
    ),
    kinds.Emergency(id="22", text=TEXT, to=("XBO",), onward=False, review_within=Span(hours=24)),
    kinds.Breach(id="23", text=TEXT, notify=Span(hours=24), initial_report=Span(hours=72), measures=Span(days=30)),
    kinds.Disputes(id="24", text=TEXT, consult=Span(days=30), escalate=Span(days=60)),
    kinds.SecurityMeasures(id="25", text=TEXT, attest_every=Span(days=365)),
    kinds.PersonalDataRule(
        id="26",
        text=TEXT,
        purposes=("counter-terrorism",),
        special_categories=kinds.Special.DENY,
        persons_max=5,
        review_every=Span(days=90),
        correct_within=Span(days=5),
    ),
    kinds.Authorities(
        id="27",
        text=TEXT,
        contacts=(kinds.Contact(party="XAR", role="duty desk", name="Desk", contact="+000 1"),),
    ),
)
FIELDS: dict[ActKind, dict[str, Any]] = {
    ActKind.DECLARE: {"basis": THREAT_TO_LIFE, "reason": "Two boats are sinking."},
    ActKind.REVIEW: {"names": "ab" * 48, "finding": "justified", "reason": "It was so."},
    ActKind.CERTIFY: {
        "originator": "XBO",
        "reports": ("01" * 16,),
        "leaves": ("01" * 48,),
        "outcome": "destroyed",
        "cause": "end",
        "means": "cross-cut shredding",
    },
    ActKind.RELEASE: {"holder": "XBO", "reports": ("01" * 16,), "leaves": ("01" * 48,), "reason": "Keep it."},
    ActKind.ASK_CORRECTION: {
        "holder": "XBO",
        "reports": ("01" * 16,),
        "leaves": ("01" * 48,),
        "reason": "Another one.",
    },
    ActKind.CORRECTED: {"originator": "XBO", "reports": ("01" * 16,), "leaves": ("01" * 48,), "reason": "Struck."},
    ActKind.REVIEW_PERSONAL: {"reason": "All of it is needed still."},
    ActKind.BREACH_OPEN: {"subject": "report", "subject_id": "r-1", "reason": "A laptop is lost."},
    ActKind.BREACH_UPDATE: {"names": "ab" * 48, "stage": "initial-report", "reason": "Where and when."},
    ActKind.BREACH_CLOSE: {"names": "ab" * 48, "reason": "Mended."},
    ActKind.ATTEST: {"reason": "As every year."},
    ActKind.CONTACT: {"contact_role": "duty desk", "name": "The desk", "contact": "+000 2"},
    ActKind.READ: {"originator": "XBO", "reports": ("01" * 16,), "leaves": ("01" * 48,)},
    ActKind.ACTION: {
        "originator": "XBO",
        "reports": ("01" * 16,),
        "leaves": ("01" * 48,),
        "note": "Two boats are under way.",
    },
}
OFFICER = {
    Role.DUTY_OFFICER: "duty1",
    Role.LIAISON: "liaison1",
    Role.SECURITY_AUTHORITY: "security1",
    Role.RELEASE_AUTHORITY: "release1",
    Role.LEGAL_REVIEWER: "legal1",
    Role.PLENIPOTENTIARY: "plenipotentiary1",
}


def living(*more: Clause, **changes: Any) -> Case:
    """Give an agreement in force with every tracked kind of clause."""
    return Case(in_force(clauses=(*treaty().clauses, *TRACKED, *more), **changes))


@dataclass
class Case:
    """A life with the acts its log took, and what was handed over and answered."""

    life: Life
    acts: list[Act] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    umbrella: Life | None = None

    @property
    def now(self) -> int:
        return self.life.now

    def wait(self, milliseconds: int) -> Case:
        """Let time pass."""
        self.life.now += milliseconds
        return self

    def act(self, kind: ActKind, party: str = "XAR", **changes: Any) -> Act:
        """Give an act of now, with what is changed."""
        role = changes.get("role", min(kind.roles))
        given: dict[str, Any] = {
            "kind": kind,
            "agreement_id": self.life.document.id,
            "agreement_digest": self.life.state().digest.hex(),
            "party": party,
            "officer": f"{party}/{OFFICER.get(role, 'officer1')}",
            "role": role,
            "made_at": self.now,
            **FIELDS[kind],
            **({"valid_until": self.now + HOUR} if kind is ActKind.DECLARE else {}),
            **({"discovered_at": self.now - HOUR} if kind is ActKind.BREACH_OPEN else {}),
        }
        made = Act(**{**given, **changes})
        digest = hashlib.sha384(repr(sorted(made.to_body().items())).encode()).hexdigest()
        return replace(made, digest=digest, log_index=len(self.life.steps) + len(self.acts) + 1, at_ms=self.now)

    def take(self, kind: ActKind, party: str = "XAR", **changes: Any) -> Act:
        """Take an act now; raises TransitionError and takes nothing."""
        act = self.act(kind, party, **changes)
        admissible(act, self.life.state(), self.acts, self.now, self.above())
        self.acts.append(act)
        return act

    def hand(
        self, number: int = 1, to: str = "XBO", precedence: Precedence = Precedence.ROUTINE, **changes: Any
    ) -> Handover:
        """Hand a report over, admitted at the same moment."""
        given: dict[str, Any] = {
            "report": f"{number:032x}",
            "leaf": f"{number:096x}",
            "entry": 100 + number,
            "admitted_at": self.now,
            "originator": "XAR" if to != "XAR" else "XBO",
            "recipient": to,
            "precedence": precedence,
            "at_ms": self.now,
        }
        handed = Handover(**{**given, **changes})
        self.handovers.append(handed)
        return handed

    def answer(self, handed: Handover, *, given: bool = True, taken_back: bool = False) -> Answer:
        """Let the recipient answer for a report; not `given`: it expires, or is given up; or its originator takes it back."""
        answered = Answer(handed.report, handed.recipient, self.now, given, taken_back)
        self.answers.append(answered)
        return answered

    def read(self, handed: Handover, kind: ActKind = ActKind.READ) -> Act:
        """Let an officer of the recipient say that it read a report, or acted on it."""
        about = {"originator": handed.originator, "reports": (handed.report,), "leaves": (handed.leaf,)}
        return self.take(kind, handed.recipient, **about)

    def owed(self, *of: DutyKind, at: int | None = None) -> list[Tracked]:
        """Give the duties of some kinds at a moment, now unless said."""
        when = self.now if at is None else at
        above = self.above(when)
        found = duties(self.life.state(when), self.acts, self.handovers, self.answers, when, above=above)
        return [one for one in found if not of or one.duty.kind in of]

    def above(self, at: int | None = None) -> State | None:
        """Give the umbrella's state at a moment, now unless said."""
        return None if self.umbrella is None else self.umbrella.state(self.now if at is None else at)

    def digest(self) -> str:
        return digest_of(self.life.document).hex()
