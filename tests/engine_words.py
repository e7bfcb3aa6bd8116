"""What the tables of decisions are written with: labels, categories and situations that differ from a world that passes."""

from dataclasses import replace
from typing import Any

from builders_engine import (
    DAY,
    HOUR,
    NOW,
    OPEN,
    SECRET,
    TABLE_BEGINS,
    Situation,
)
from comity_policy.facts import Precedence
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

Row = tuple[Situation, tuple[str, ...]]
