"""Whether an originator's keys were revoked before or after the log admitted what they signed (opening, rule 2).

Rules in order:
1. The order of entries in the agreement's log decides; the claimed time of compromise may make it worse.
2. A revocation that the key log has and the agreement's log has not counts: whoever hides the entry gains nothing by it.
Pure: the directory and the fold are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable

from comity.identity.directory import KeyDirectory
from comity.identity.verdicts import Verdict, verdict
from comity.node.agreements import AgreementFold
from comity.node.opened import Placed


def is_hidden(directory: KeyDirectory, keys: Iterable[bytes], fold: AgreementFold) -> bool:
    """Say whether the key log has a revocation of one of them that the agreement's log does not have."""
    return any(directory.revocation(key) is not None and key not in fold.revoked for key in keys)


def verdict_of(directory: KeyDirectory, keys: Iterable[bytes], fold: AgreementFold, place: Placed) -> Verdict:
    """Give the worst that is to be said of these keys for what the log admitted there."""
    worst = Verdict.VALID
    for key in keys:
        revoked = fold.revoked.get(key)
        if revoked is None:
            one = Verdict.VALID if directory.revocation(key) is None else Verdict.INVALID
        else:
            one = verdict(place.log_index, revoked.log_index, place.admitted_at, revoked.compromised_at)
        if one is not Verdict.VALID and worst is not Verdict.INVALID:
            worst = one
    return worst
