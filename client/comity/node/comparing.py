"""Comparing what the broker says of entries with the log, as far as the own mirror has come (design 04, promise 3).

What differs is an alarm, and a delivery that the log denies is not shown. What was said of an entry that a restored broker has lost
is compared where that entry is here, and else nobody can say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from comity.identity.names import Identity
from comity.node.alarms import AlarmKind
from comity.node.claims import Claim, Said, contradiction
from comity.node.entries import MirroredEntry
from comity.node.mirror import Mirror


class Comparing:
    """Compares for one node."""

    def __init__(self, mirror: Mirror, identity: Identity) -> None:
        self._mirror = mirror
        self._identity = identity

    def compared(self, claims: Sequence[Claim]) -> tuple[list[Claim], bool]:
        """Compare claims with the log where it is here already: what is left for later, and whether the delivery is false."""
        later: list[Claim] = []
        false = False
        for claim in claims:
            pin = self._mirror.pin(claim.agreement_id)
            if pin is None or claim.log_index >= pin.size:
                later.append(claim if pin is None else replace(claim, origin=pin.origin))
            elif not self.holds(claim) and claim.said is Said.DELIVERED:
                false = True
        return later, false

    def holds(self, claim: Claim) -> bool:
        """Say whether a verified entry says what the broker said; an alarm where it does not."""
        mine = {"party": self._identity.party, "node": self._identity.name}
        wrongs = [contradiction(claim, entry, **mine) for entry in self._meant(claim)]
        if not wrongs or "" in wrongs:
            return True
        kind = AlarmKind.NOT_ADMITTED if claim.said is Said.DELIVERED else AlarmKind.FALSE_REASON
        self._mirror.raise_alarm(kind, claim.agreement_id, f"entry {claim.log_index}", wrongs[0])
        return False

    def _meant(self, claim: Claim) -> tuple[MirroredEntry, ...]:
        """Give the entry a claim is about, which may be a lost one; both where the claim does not say of which log it is."""
        pin = self._mirror.pin(claim.agreement_id)
        lost = self._mirror.lost.at(claim.agreement_id, claim.log_index)
        if pin is not None and claim.origin not in {"", pin.origin_at(claim.log_index)}:
            return lost
        here = self._mirror.entries(claim.agreement_id, claim.log_index, 1)
        return here if claim.origin else (*here, *lost)
