"""What decides for one node on what it opens: agreement and own facts as of a segment's admission, and as of now.

What decides now is kept for each agreement, version and suite, until the mirror changes or time alone changes it.
"""

from __future__ import annotations

from typing import Final

from comity.envelope.segment import Segment
from comity.identity.names import Identity
from comity.node.agreements import AgreementFold
from comity.node.mirror import Mirror
from comity.node.opened import Placed, Present, Time
from comity_policy.calendar import LATEST_MS
from comity_policy.facts import NodeFacts, Profile
from comity_policy.readers import is_registered

_PRESENTS_KEPT: Final = 64


class Deciding:
    """The two times of one node. Not for several threads at once."""

    def __init__(self, mirror: Mirror, identity: Identity) -> None:
        self._mirror = mirror
        self._identity = identity
        self._presents: dict[tuple[str, bytes, int], Present] = {}

    def then(self, fold: AgreementFold, segment: Segment, place: Placed) -> Time:
        """Give what decided when a segment was admitted."""
        state = fold.state_before(place.log_index, place.admitted_at)
        suite = segment.whole[0][1].core.profile.suite if segment.whole else 0
        log_size = self._mirror.key_log_size_at(place.admitted_at)
        node = self._node_facts(fold.agreement_id, suite, place.admitted_at, log_size)
        # The broker decided by its own key log, so its view was of that moment.
        return Time(fold.compiled(state, place.log_index), node, place.admitted_at, 0)

    def now(self, fold: AgreementFold, profile: Profile, now: int) -> Present:
        """Give what decides now, made anew when the mirror changed or a moment came at which time alone changes it."""
        asked = (fold.agreement_id, profile.agreement_digest, profile.suite)
        held = self._presents.get(asked)
        if held is None or held.version != self._mirror.version or not held.since <= now < held.until:
            if len(self._presents) >= _PRESENTS_KEPT:
                self._presents.clear()
            state = fold.state(now)
            above = fold.umbrella_of(state)
            ends = [*state.turning_points, self._mirror.directory.next_end(self._identity.party, now)]
            if above is not None:
                # A step of the umbrella that the broker does not name counts after a while: it is looked for once a second.
                ends += (*above.state.turning_points, now + 1000)
            compiled = fold.compiled_for_held(profile.agreement_digest.hex(), state)
            held = self._presents[asked] = Present(
                self._mirror.version,
                now,
                min(one for one in (*ends, LATEST_MS) if one is not None),
                compiled,
                self._node_facts(fold.agreement_id, profile.suite, now, None),
                any(is_registered(one.source) for one in compiled),
            )
        return held

    def _node_facts(self, agreement_id: str, suite: int, now: int, log_size: int | None) -> NodeFacts | None:
        directory, party = self._mirror.directory, self._identity.party
        if (record := directory.node(party, self._identity.name, log_size)) is None:
            return None
        officers = directory.officers_under(party, agreement_id, now, log_size)
        return directory.node_facts(record, now, suite, log_size, officers=officers, capable=True)
