"""What the tables of decisions are written with: labels, categories and situations that differ from a world that passes."""

from dataclasses import replace
from typing import Any

from builders_engine import (
    CLAUSES,
    DAY,
    HOUR,
    NOW,
    OPEN,
    SECRET,
    TABLE_BEGINS,
    TEXT,
    Situation,
    opening,
)
from comity_policy import clauses as kinds
from comity_policy.clauses import Clause, Span
from comity_policy.facts import AgreementState, Precedence, Reader
from comity_policy.marking import CategoryKind, CategorySet, Label


def codes(*parties: str) -> frozenset[str]:
    return frozenset(parties)


def marked(**changes: Any) -> Label:
    return replace(SECRET, **changes)


def categorised(kind: CategoryKind, values: frozenset[str] | None) -> Label:
    return marked(categories=(CategorySet("topic", kind, values),))


RESTRICTIVE, PERMISSIVE, INFORMATIVE = CategoryKind.RESTRICTIVE, CategoryKind.PERMISSIVE, CategoryKind.INFORMATIVE
ORCON = marked(dissemination=codes("ORCON"))
OPEN_ORCON_REL = replace(OPEN, dissemination=codes("ORCON"), releasable_to=codes("XAR", "XBO"))
NATIONAL = Label("XAR", "SECRET", dissemination=codes("NATIONAL-ONLY"))
URGENT = {"precedence": Precedence.FLASH}
FROM_XBO = Label("XBO", "DUVERNE", releasable_to=codes("XAR", "XBO"))
TO_XDE = {"party": "XDE", "accreditation_level": "GEHEIM"}
LONG = {"expires_at": NOW + 40 * DAY}
LONG_AGO = {"created_at": TABLE_BEGINS, "not_before": TABLE_BEGINS, "expires_at": TABLE_BEGINS + DAY}
AT_LONG_AGO = {
    "now": TABLE_BEGINS + HOUR,
    "sender_key_since": TABLE_BEGINS,
}
OTHER_TIMES = Situation(times=LONG_AGO, moment=AT_LONG_AGO, node={"oldest_key_since": TABLE_BEGINS})

READER = Reader("XBO/officer1", codes("desk"), codes("ct"), "TAJNE", NOW + DAY)
# The category of the passing report goes on without asking; that of the others does not.
ONWARD = (
    *CLAUSES,
    kinds.Onward(
        id="14",
        text=TEXT,
        max_hops=2,
        pre_approved=(
            kinds.PreApproval(from_party="XAR", to_party="XBO", category="terrorism", portions=kinds.Passage.ANY),
            kinds.PreApproval(from_party="XAR", to_party="XBO", category="cyber"),
            kinds.PreApproval(from_party="XBO", to_party="XAR", category="crime", portions=kinds.Passage.ANY),
        ),
    ),
)
PASSED_ON = {"direct": False, "hops": 1, "disputed": False}
EMERGENCY = kinds.Emergency(id="20", text=TEXT, to=("XBO",), onward=True, review_within=Span(days=1))
DECLARED: dict[str, Any] = {"profile": {"emergency": b"e" * 48}, "moment": {"emergency_declared": True}}


def beside(*more: Clause, base: tuple[Clause, ...] = CLAUSES, **changes: Any) -> Situation:
    """A situation under the usual clauses and some more."""
    return Situation(clauses=(*base, *more), **changes)


def beside_at_opening(*more: Clause, base: tuple[Clause, ...] = CLAUSES, **changes: Any) -> Situation:
    return opening(clauses=(*base, *more), **changes)


def suspended(*ids: str) -> AgreementState:
    return AgreementState(in_force=True, suspended_clauses=frozenset(ids))


Row = tuple[Situation, tuple[str, ...]]
