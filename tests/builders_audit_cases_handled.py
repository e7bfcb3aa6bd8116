"""Audits in which an officer says to have read what its party was not handed."""

from __future__ import annotations

from pathlib import Path

from builders_audit_acts import act_of, acted
from builders_audit_cases import case, drop
from builders_audit_log import Audit
from comity_policy.acts import ActKind
from comity_policy.facts import Role


def read(audit: Audit, *slots: int, kind: ActKind = ActKind.READ, party: str = "XBO") -> None:
    """Let the liaison of a party say that it read these slots of the first segment."""
    sent = audit.sent[0]
    leaves = tuple(sent.leaves[slot].hex() for slot in slots)
    ids = tuple(f"{slot + 1:032x}" for slot in slots)
    originator = "XAR" if party == "XBO" else "XBO"
    about = {"originator": originator, "reports": ids, "leaves": leaves}
    acted(audit, act_of(audit, kind, f"{party}/lia", Role.LIAISON, **about))


@case("NOT_DELIVERED")
def a_reading_of_what_was_not_delivered(audit: Audit, folder: Path) -> None:
    drop(audit, "ACKNOWLEDGED")
    drop(audit, "DELIVERED")
    read(audit, 0)
    audit.write(folder)


@case("NOT_DELIVERED")
def an_action_on_what_was_never_submitted(audit: Audit, folder: Path) -> None:
    about = {"originator": "XAR", "reports": ("ab" * 16,), "leaves": ("ab" * 48,)}
    acted(audit, act_of(audit, ActKind.ACTION, "XBO/lia", Role.LIAISON, **about))
    audit.write(folder)
