"""A small world for decisions: an agreement of three parties with every decided kind of clause, and facts that pass it.

Everything passes as built; a test changes what it is about. Times are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from comity_policy import clauses as kinds
from comity_policy import engine
from comity_policy.clauses import Clause, Span
from comity_policy.decision import Decision
from comity_policy.document import Broker, Document, Duration, EntryIntoForce, Equivalence, Languages, NoLevel, Party
from comity_policy.engine import CompiledAgreement, compile_agreement
from comity_policy.facts import (
    Addressee,
    AgreementState,
    Kind,
    Moment,
    NodeFacts,
    Originator,
    Point,
    PortionMarking,
    Precedence,
    Profile,
    Role,
    Times,
)
from comity_policy.marking import Label
from comity_policy.sections import DurationKind, EntryRule
from comity_policy.vocabulary import Vocabularies

HOUR = 3_600_000
DAY = 24 * HOUR
NOW = 1_796_000_000_000  # 2026-11-30, after the newer table began
TABLE_BEGINS = 1_767_225_600_000  # 2026-01-01T00:00Z, when the table of the fixture replaces the older one

DIGEST = b"d" * 48
VOCABULARIES = Vocabularies(
    categories={
        "crime": None,
        "terrorism": "crime",
        "terrorist-finance": "terrorism",
        "couriers": "terrorist-finance",
        "drugs": "crime",
        "cyber": None,
    },
    purposes=dict.fromkeys(("counter-terrorism", "investigation", "border"), ""),
    regions=dict.fromkeys(("xar", "xbo"), ""),
    kinds={},
    offices={},
    communities={},
    sources={},
    parties=dict.fromkeys(("XAR", "XBO", "XDE", "XFA"), ""),
    category_meanings={},
    digests={},
)
EQUIVALENCES = (
    Equivalence("XAR", "XBO", date(2020, 1, 1), (("OPEN", "OTEVRENE"), ("SECRET", "DUVERNE"))),
    Equivalence(
        "XAR",
        "XBO",
        date(2026, 1, 1),
        (
            ("OPEN", "OTEVRENE"),
            ("RESTRICTED", NoLevel(none=True, protect_as="DUVERNE")),
            ("CONFIDENTIAL", "DUVERNE"),
            ("SECRET", "TAJNE"),
            ("TOP-SECRET", "PRISNE"),
        ),
    ),
    Equivalence(
        "XBO",
        "XAR",
        date(2026, 1, 1),
        (("OTEVRENE", "OPEN"), ("DUVERNE", "CONFIDENTIAL"), ("TAJNE", "SECRET"), ("PRISNE", "TOP-SECRET")),
    ),
    Equivalence("XAR", "XDE", date(2026, 1, 1), (("OPEN", "OFFEN"), ("SECRET", "GEHEIM"))),
)

TEXT = {"en": "As both parties agreed."}

CLAUSES: tuple[Clause, ...] = (
    kinds.Article(id="0", text=TEXT, topic="principles"),
    kinds.Scope(
        id="1", text=TEXT, from_party="XAR", to_party="XBO", categories=("terrorism",), kinds=("report", "rfi")
    ),
    kinds.Scope(id="2", text=TEXT, from_party="XBO", to_party="XAR", categories=("drugs",), kinds=("report",)),
    kinds.Scope(id="3", text=TEXT, from_party="XAR", to_party="XBO", categories=("cyber",), kinds=("report",)),
    kinds.Ceiling(
        id="4",
        text=TEXT,
        limits=(
            kinds.CeilingLimit(from_party="XAR", to_party="XBO", level="SECRET"),
            kinds.CeilingLimit(from_party="XBO", to_party="XAR", level="DUVERNE"),
        ),
    ),
    kinds.Clearance(id="5", text=TEXT),
    kinds.Releasability(id="6", text=TEXT),
    kinds.OriginatorControl(id="7", text=TEXT),
    kinds.Purpose(id="8", text=TEXT, purposes=("counter-terrorism", "investigation")),
    kinds.Residency(id="9", text=TEXT, regions={"XAR": ("xar", "xbo"), "XBO": ("xbo",)}),
    kinds.Retention(id="10", text=TEXT, longest=Span(days=30)),
    kinds.Embargo(id="11", text=TEXT),
    kinds.PrecedenceRule(
        id="12", text=TEXT, flash=("duty-officer",), immediate=("duty-officer", "liaison"), read_within={}
    ),
    kinds.Suites(id="13", text=TEXT, allowed=(1,), oldest_key=Span(days=90), oldest_key_log_view=Span(hours=1)),
)

SECRET = Label("XAR", "SECRET", releasable_to=frozenset({"XAR", "XBO"}))
OPEN = Label("XAR", "OPEN")

PROFILE = Profile(
    suite=1,
    originator=Originator("XAR", "n1"),
    key_set=bytes(48),
    agreement_id="XAR-XBO-1",
    agreement_digest=DIGEST,
    statements_seen=4,
    precedence=Precedence.ROUTINE,
    exercise=False,
    kind=Kind.REPORT,
    categories=("terrorism",),
    purpose="counter-terrorism",
    emergency=b"",
    addressees=(Addressee("XBO"),),
    approvals_required=0,
    portions=(PortionMarking(SECRET),),
)
TIMES = Times(created_at=NOW - HOUR, not_before=NOW - HOUR, expires_at=NOW + 7 * DAY)
NODE = NodeFacts(
    party="XBO",
    node="n1",
    region="xbo",
    offices=frozenset({"desk"}),
    communities=frozenset({"ct"}),
    accreditation_level="TAJNE",
    accreditation_until=NOW + DAY,
    oldest_key_since=NOW - 10 * DAY,
    valid=True,
)
MOMENT = Moment(
    point=Point.ADMISSION,
    now=NOW,
    broker="hub",
    broker_region="xar",
    key_log_age=HOUR // 2,
    sender_roles=frozenset({Role.LIAISON}),
    sender_key_since=NOW - 20 * DAY,
    direct=True,
)
AT_OPENING: dict[str, Any] = {
    "point": Point.OPENING,
    "admitted_at": NOW - HOUR // 2,
    "opening_purpose": "counter-terrorism",
}


def document_of(clauses: tuple[Clause, ...]) -> Document:
    """The agreement with these clauses."""
    return Document(
        id="XAR-XBO-1",
        version=1,
        kind="agreement",
        title="Of three parties",
        parties={party: Party(party, "", "", "") for party in ("XAR", "XBO", "XDE")},
        brokers={"hub": Broker("XAR", "xar")},
        languages=Languages(("en",), "en"),
        entry_into_force=EntryIntoForce(EntryRule.ON_SIGNATURE),
        duration=Duration(DurationKind.INDEFINITE),
        equivalences=EQUIVALENCES,
        clauses=clauses,
        vocabularies={},
    )


def without(*ids: str) -> tuple[Clause, ...]:
    """The clauses but for some."""
    return tuple(clause for clause in CLAUSES if clause.id not in ids)


@dataclass(frozen=True)
class Situation:
    """One decision: what differs from the world that passes."""

    label: Label | None = None
    profile: dict[str, Any] = field(default_factory=dict)
    times: dict[str, Any] = field(default_factory=dict)
    node: dict[str, Any] = field(default_factory=dict)
    moment: dict[str, Any] = field(default_factory=dict)
    clauses: tuple[Clause, ...] = CLAUSES
    suspended: tuple[str, ...] = ()
    state: AgreementState | None = None

    def document(self) -> Document:
        return document_of(self.clauses)

    def compiled(self) -> CompiledAgreement:
        state = self.state or AgreementState(in_force=True, suspended_clauses=frozenset(self.suspended))
        return compile_agreement(self.document(), DIGEST, state, VOCABULARIES)

    def facts(self) -> tuple[Profile, Times, int, NodeFacts, Moment]:
        profile = PROFILE if self.label is None else replace(PROFILE, portions=(PortionMarking(self.label),))
        return (
            replace(profile, **self.profile),
            replace(TIMES, **self.times),
            0,
            replace(NODE, **self.node),
            replace(MOMENT, **self.moment),
        )

    def decide(self) -> Decision:
        return self.compiled().decide(*self.facts())


def opening(**changes: Any) -> Situation:
    """A situation at opening, with what is known only there."""
    return Situation(**{**changes, "moment": {**AT_OPENING, **changes.get("moment", {})}})


def egress(**changes: Any) -> Situation:
    """A situation at egress."""
    return Situation(**{**changes, "moment": {"point": Point.EGRESS, **changes.get("moment", {})}})


def told(decision: Decision) -> tuple[str, ...]:
    """The violations as lines, e.g. ``4 DENIED``."""
    return tuple(f"{one.clause_id} {one.reason}" for one in decision.violations)


def laid_end_to_end(compiled: CompiledAgreement) -> CompiledAgreement:
    """Let an agreement lay its checks end to end from the first decision on, as it does by itself once it is asked often."""
    for programs in compiled._programs.values():
        for program in programs:
            for rules in (*program.at.values(), *program.recalling.values()):
                rules.decided = engine.FUSED_FROM
    return compiled
