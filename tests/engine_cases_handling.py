"""Decisions as a table: clauses that say how information is sent, kept and used, and emergencies (see `engine_cases`)."""

from __future__ import annotations

from typing import Any

from builders_engine import NOW, OPEN, TEXT, Situation, egress, without
from comity_policy import clauses as kinds
from comity_policy.clauses import Consent, Copies, CopyRow, LevelRow, Span
from comity_policy.facts import Precedence, Usage, Use
from engine_words import DECLARED, EMERGENCY, Row, beside, beside_at_opening, codes, marked

COPIES = kinds.Reproduction(
    id="15",
    text=TEXT,
    rows=(
        CopyRow(party="XAR", level="CONFIDENTIAL", copies=Copies.REGISTERED),
        CopyRow(party="XAR", level="SECRET", copies=Copies.CONSENT),
        CopyRow(party="XBO", level="OTEVRENE", copies=Copies.CONSENT),
    ),
)
QUOTA = kinds.Quota(
    id="16", text=TEXT, from_party="XAR", to_party="XBO", window=kinds.Window.DAY, reports=10, bytes=1000
)
OTHER_QUOTA = kinds.Quota(
    id="16", text=TEXT, from_party="XBO", to_party="XAR", window=kinds.Window.DAY, reports=10, bytes=1000
)
DUAL = kinds.DualControl(
    id="18",
    text=TEXT,
    from_levels=(LevelRow(party="XAR", level="SECRET"), LevelRow(party="XBO", level="DUVERNE")),
    officers=2,
)
ACKNOWLEDGE = kinds.Acknowledge(id="19", text=TEXT, within={"ROUTINE": Span(days=1)}, stop_after=Span(days=2))
USE = kinds.UseRule(
    id="21", text=TEXT, caveat={"en": "For intelligence."}, evidence=Consent.CONSENT, action_on=Consent.FREE
)
RELABEL = kinds.Relabel(id="22", text=TEXT, notice=Span(weeks=6), lapse_years=30)
AUDIT = kinds.Audit(id="23", text=TEXT)
DEGRADE = kinds.Audit(id="23", text=TEXT, on_failure=kinds.OnFailure.DEGRADE)
TRACKED = (
    kinds.Breach(id="24", text=TEXT, notify=Span(days=1), initial_report=Span(days=3), measures=Span(days=30)),
    kinds.Disputes(id="25", text=TEXT, consult=Span(days=30), escalate=Span(days=60)),
    kinds.SecurityMeasures(id="26", text=TEXT, attest_every=Span(days=365)),
    kinds.Authorities(
        id="27", text=TEXT, contacts=(kinds.Contact(party="XAR", role="duty officer", name="Desk", contact="+0 1"),)
    ),
    kinds.Survives(id="28", text=TEXT, clauses=("10",)),
)

CONFIDENTIAL = marked(classification="CONFIDENTIAL")
IMMEDIATE = {"precedence": Precedence.IMMEDIATE}
APPROVED: dict[str, Any] = {
    "profile": {"approvals_required": 2},
    "moment": {"approvals": codes("XAR/officer1", "XAR/officer2")},
}


def quota(reports: int = 0, size: int = 0, *, more: tuple[Any, ...] = (), **changes: Any) -> Situation:
    """What the window holds already, and a report of 100 bytes."""
    moment = {"usage": {"16": Usage(reports, size)}, "size": 100, **changes.pop("moment", {})}
    return beside(QUOTA, *more, moment=moment, **changes)


def copied(use: Use | None, **moment: Any) -> Situation:
    label = moment.pop("label", None)
    suspended = moment.pop("suspended", ())
    return beside_at_opening(COPIES, label=label, suspended=suspended, moment={"use": use, **moment})


ACKNOWLEDGED = codes("21")


def used(use: Any, acknowledged: Any = ACKNOWLEDGED, **moment: Any) -> Situation:
    return beside_at_opening(USE, moment={"use": use, "caveats_acknowledged": acknowledged, **moment})


HANDLING_CASES: dict[str, Row] = {
    # Copies and translations
    "opened to read": (copied(Use.READ), ()),
    "opened for action": (copied(Use.ACTION), ()),
    "opened for nobody knows what": (copied(None), ("15 FACT_MISSING",)),
    "opened for a word that is no use": (copied("print"), ("15 FACT_MISSING",)),  # type: ignore[arg-type]  # the wrong type is the case
    "a copy without consent": (copied(Use.COPY, consents=codes()), ("15 DENIED",)),
    "a copy with consent": (copied(Use.COPY, consents=frozenset({Use.COPY})), ()),
    "a translation with consent to copies": (
        copied(Use.TRANSLATION, consents=frozenset({Use.COPY})),
        ("15 DENIED",),
    ),
    "a copy with nobody knows what consent": (copied(Use.COPY), ("15 FACT_MISSING",)),
    "a registered copy": (copied(Use.COPY, label=CONFIDENTIAL, registered=True), ()),
    "a copy that is not registered": (copied(Use.COPY, label=CONFIDENTIAL, registered=False), ("15 DENIED",)),
    "a copy with nobody knows what register": (copied(Use.COPY, label=CONFIDENTIAL), ("15 FACT_MISSING",)),
    "a copy below every row": (copied(Use.COPY, label=marked(classification="RESTRICTED")), ()),
    "copies are not decided at admission": (beside(COPIES), ()),
    "a copy of an unknown level": (
        copied(Use.COPY, label=marked(classification="GEHEIM")),
        ("baseline/vocabulary DENIED", "4 FACT_MISSING", "5 FACT_MISSING", "15 FACT_MISSING"),
    ),
    "a copy of a party without rows": (
        beside_at_opening(kinds.Reproduction(id="15", text=TEXT, rows=COPIES.rows[2:]), moment={"use": Use.COPY}),
        (),
    ),
    "a copy of a party without rows, of an unknown level": (
        beside_at_opening(
            kinds.Reproduction(id="15", text=TEXT, rows=COPIES.rows[2:]),
            base=without("4", "5"),
            label=marked(classification="GEHEIM"),
            moment={"use": Use.COPY},
        ),
        ("baseline/vocabulary DENIED",),
    ),
    "a suspended reproduction": (
        copied(Use.TRANSLATION, consents=frozenset({Use.TRANSLATION}), suspended=("15",)),
        ("15 CLAUSE_SUSPENDED",),
    ),
    "a suspended reproduction and nobody knows what use": (
        copied(None, suspended=("15",)),
        ("15 CLAUSE_SUSPENDED",),
    ),
    "a suspended reproduction and reading": (copied(Use.READ, suspended=("15",)), ()),
    # Quota
    "the last report of the quota": (quota(reports=9), ()),
    "a report above the quota": (quota(reports=10), ("16 DENIED",)),
    "the last bytes of the quota": (quota(size=900), ()),
    "a byte above the quota": (quota(size=901), ("16 DENIED",)),
    "a quota nobody counted": (quota(moment={"usage": None}), ("16 FACT_MISSING",)),
    "a quota nobody counted for this clause": (quota(moment={"usage": {}}), ("16 FACT_MISSING",)),
    "a report nobody measured": (quota(moment={"size": None}), ("16 FACT_MISSING",)),
    "a report of fewer than no bytes": (quota(moment={"size": -1}), ("16 FACT_MISSING",)),
    "a window that holds fewer than nothing": (quota(reports=-1), ("16 FACT_MISSING",)),
    "a quota counted as a truth value": (
        quota(moment={"usage": {"16": Usage(True, 0)}}),
        ("16 FACT_MISSING",),
    ),
    "the quota of the other direction": (beside(OTHER_QUOTA), ()),
    "a quota is not decided at egress": (egress(clauses=quota().clauses), ()),
    "a suspended quota": (quota(suspended=("16",), label=OPEN), ("16 CLAUSE_SUSPENDED",)),
    "the suspended quota of the other direction": (beside(OTHER_QUOTA, suspended=("16",)), ()),
    # Dual control
    "two officers": (beside(DUAL, **APPROVED), ()),
    "one officer": (
        beside(DUAL, profile=APPROVED["profile"], moment={"approvals": codes("XAR/officer1")}),
        ("18 DENIED",),
    ),
    "two officers for a report that asks for one": (
        beside(DUAL, profile={"approvals_required": 1}, moment=APPROVED["moment"]),
        ("18 DENIED",),
    ),
    "approvals nobody verified": (beside(DUAL, profile=APPROVED["profile"]), ("18 FACT_MISSING",)),
    "two approvals, one of no officer": (
        beside(DUAL, profile=APPROVED["profile"], moment={"approvals": frozenset({"XAR/officer1", 2})}),
        ("18 DENIED",),
    ),
    "below the level of dual control": (beside(DUAL, label=CONFIDENTIAL), ()),
    "dual control of the other party's information": (
        beside(kinds.DualControl(id="18", text=TEXT, from_levels=DUAL.from_levels[1:], officers=2)),
        (),
    ),
    "dual control from a level that has no rank": (
        beside(
            kinds.DualControl(id="18", text=TEXT, from_levels=(LevelRow(party="XAR", level="GEHEIM"),), officers=2),
            **APPROVED,
        ),
        ("18 FACT_MISSING",),
    ),
    "a suspended dual control": (beside(DUAL, label=OPEN, suspended=("18",)), ("18 CLAUSE_SUSPENDED",)),
    # Acknowledgements
    "nothing overdue": (beside(ACKNOWLEDGE, node={"overdue": codes("99")}), ()),
    "something overdue": (beside(ACKNOWLEDGE, node={"overdue": codes("19")}), ("19 DENIED",)),
    "PRIORITY with something overdue": (
        beside(ACKNOWLEDGE, profile={"precedence": Precedence.PRIORITY}, node={"overdue": codes("19")}),
        ("19 DENIED",),
    ),
    "IMMEDIATE with something overdue": (beside(ACKNOWLEDGE, profile=IMMEDIATE, node={"overdue": codes("19")}), ()),
    "nobody knows what is overdue": (beside(ACKNOWLEDGE), ("19 FACT_MISSING",)),
    "something overdue that stops nothing": (
        beside(
            kinds.Acknowledge(id="19", text=TEXT, within={"ROUTINE": Span(days=1)}),
            node={"overdue": codes("19")},
        ),
        (),
    ),
    "a suspended acknowledgement": (
        beside(ACKNOWLEDGE, node={"overdue": codes()}, suspended=("19",)),
        ("19 CLAUSE_SUSPENDED",),
    ),
    "a suspended acknowledgement and IMMEDIATE": (beside(ACKNOWLEDGE, profile=IMMEDIATE, suspended=("19",)), ()),
    # Use
    "read after its caveat": (used(Use.READ), ()),
    "read without its caveat": (used(Use.READ, codes()), ("21 DENIED",)),
    "read with nobody knows what caveat": (used(Use.READ, None), ("21 FACT_MISSING",)),
    "nobody knows what use": (used(None), ("21 FACT_MISSING",)),
    "evidence with consent": (used(Use.EVIDENCE, consents=frozenset({Use.EVIDENCE})), ()),
    "evidence without consent": (used(Use.EVIDENCE, consents=frozenset({Use.ACTION})), ("21 DENIED",)),
    "evidence with nobody knows what consent": (used(Use.EVIDENCE), ("21 FACT_MISSING",)),
    "evidence without its caveat": (
        used(Use.EVIDENCE, codes(), consents=frozenset({Use.EVIDENCE})),
        ("21 DENIED",),
    ),
    "evidence without its caveat, and nobody knows what consent": (
        used(Use.EVIDENCE, codes()),
        ("21 FACT_MISSING",),
    ),
    "action that is free": (used(Use.ACTION), ()),
    "action that is free, without its caveat": (used(Use.ACTION, codes()), ("21 DENIED",)),
    "action by consent": (
        beside_at_opening(
            kinds.UseRule(id="21", text=TEXT, caveat={"en": "."}, evidence=Consent.FREE, action_on=Consent.CONSENT),
            moment={"use": Use.ACTION, "caveats_acknowledged": codes("21"), "consents": frozenset()},
        ),
        ("21 DENIED",),
    ),
    "a use cannot be suspended": (
        beside_at_opening(USE, moment={"use": Use.READ, "caveats_acknowledged": codes()}, suspended=("21",)),
        ("21 DENIED",),
    ),
    # Markings
    "a marking nobody changed": (beside_at_opening(RELABEL, moment={"relabelled_by": ""}), ()),
    "a marking its originator changed": (beside_at_opening(RELABEL, moment={"relabelled_by": "XAR"}), ()),
    "a marking somebody else changed": (beside_at_opening(RELABEL, moment={"relabelled_by": "XBO"}), ("22 DENIED",)),
    "a marking nobody knows who changed": (beside_at_opening(RELABEL), ("22 FACT_MISSING",)),
    "a relabel clause cannot be suspended": (
        beside_at_opening(RELABEL, moment={"relabelled_by": "XBO"}, suspended=("22",)),
        ("22 DENIED",),
    ),
    # The log
    "a log that takes entries": (beside(AUDIT, moment={"log_available": True}), ()),
    "a log that takes no entries": (beside(AUDIT, moment={"log_available": False}), ("23 DENIED",)),
    "a log of which nobody knows": (beside(AUDIT), ("23 FACT_MISSING",)),
    "a log that takes no entries while traffic goes on": (beside(DEGRADE, moment={"log_available": False}), ()),
    "an audit clause cannot be suspended": (
        beside(AUDIT, moment={"log_available": False}, suspended=("23",)),
        ("23 DENIED",),
    ),
    # What nothing decides
    "tracked clauses refuse nothing": (beside(*TRACKED), ()),
    "tracked clauses cannot be suspended": (beside(*TRACKED, suspended=("24", "25", "26", "27", "28")), ()),
    # Emergencies
    "a quota used up in an emergency": (
        quota(reports=10, more=(EMERGENCY,), profile=DECLARED["profile"], moment=DECLARED["moment"]),
        (),
    ),
    "a quota used up in an emergency nobody declared": (
        quota(reports=10, more=(EMERGENCY,), profile=DECLARED["profile"]),
        ("16 DENIED",),
    ),
    "a quota used up under a declaration the report does not name": (
        quota(reports=10, more=(EMERGENCY,), moment=DECLARED["moment"]),
        ("16 DENIED",),
    ),
    "a quota used up without an emergency clause": (
        quota(reports=10, profile=DECLARED["profile"], moment=DECLARED["moment"]),
        ("16 DENIED",),
    ),
    "a quota used up under a suspended emergency clause": (
        quota(
            reports=10,
            more=(EMERGENCY,),
            profile=DECLARED["profile"],
            moment=DECLARED["moment"],
            suspended=("20",),
        ),
        ("16 DENIED",),
    ),
    "a quota used up in an emergency for somebody else": (
        quota(
            reports=10,
            more=(kinds.Emergency(id="20", text=TEXT, to=("XDE",), onward=False, review_within=Span(days=1)),),
            profile=DECLARED["profile"],
            moment=DECLARED["moment"],
        ),
        ("16 DENIED",),
    ),
    "a suspended quota in an emergency": (
        quota(more=(EMERGENCY,), profile=DECLARED["profile"], moment=DECLARED["moment"], suspended=("16",)),
        ("16 CLAUSE_SUSPENDED",),
    ),
    "one officer in an emergency": (beside(DUAL, EMERGENCY, **DECLARED), ()),
    "an unknown level in an emergency": (
        beside(
            kinds.DualControl(id="18", text=TEXT, from_levels=(LevelRow(party="XAR", level="GEHEIM"),), officers=2),
            EMERGENCY,
            **DECLARED,
        ),
        ("18 FACT_MISSING",),
    ),
    "something overdue in an emergency": (
        beside(
            ACKNOWLEDGE,
            EMERGENCY,
            profile=DECLARED["profile"],
            moment=DECLARED["moment"],
            node={"overdue": codes("19")},
        ),
        (),
    ),
    "an embargo in an emergency": (
        beside_at_opening(EMERGENCY, times={"not_before": NOW + 1}, **DECLARED),
        (),
    ),
    "an embargo in an emergency, without a clause of its own": (
        beside_at_opening(EMERGENCY, base=without("11"), times={"not_before": NOW + 1}, **DECLARED),
        (),
    ),
    "FLASH with one officer and a declaration, the quota used up": (
        quota(
            reports=10,
            more=(DUAL, ACKNOWLEDGE, EMERGENCY),
            profile={**DECLARED["profile"], **IMMEDIATE},
            moment={**DECLARED["moment"], "approvals": codes("XAR/officer1")},
            node={"overdue": codes("19")},
        ),
        (),
    ),
    "an emergency never lifts ceiling, clearance, residency, REL TO or national-only": (
        beside(
            EMERGENCY,
            label=marked(classification="TOP-SECRET", releasable_to=codes("XAR", "XDE")),
            node={"region": "xde"},
            **DECLARED,
        ),
        ("4 DENIED", "5 DENIED", "6 DENIED", "9 DENIED"),
    ),
}
