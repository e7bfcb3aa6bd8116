"""What egress decisions under one agreement are taken from, gathered once and good until a moment comes or the mirror changes.

Beside facts it keeps what is the same for many reports, one object for each, since sealing works out much of it once by identity:
parsed profiles, recipients, and the times of reports made at one reading of the clock. No decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from comity.envelope.seal import Recipient
from comity.identity.records import NodeRecord
from comity.node.agreement_view import AgreementView
from comity.node.signed_terms import NO_TIMES, times_of
from comity.report import Report
from comity.suites import Suite
from comity_policy.facts import NodeFacts, Profile, Times

_WHO_KEPT: Final = 64

# Recipients, and the same as PARTY/NODE, each with the portions they get.
Who = tuple[tuple[tuple[Recipient, tuple[int, ...]], ...], tuple[tuple[str, tuple[int, ...]], ...]]


@dataclass(slots=True, eq=False)
class Facts:
    """What decisions under one agreement are taken from, until `good_until` or the mirror's next version."""

    view: AgreementView
    version: int
    good_until: int
    suite: Suite
    own: NodeRecord
    own_since: int
    own_can: frozenset[str] | None
    keep_ms: int
    broker: str
    broker_region: str | None
    nodes: tuple[NodeFacts, ...]
    recipients: dict[tuple[str, str], Recipient]
    refreshed: int | None
    dual_control: bool
    profiles: dict[object, Profile] = field(default_factory=dict)
    # What the report before said, and the profile it came to: to compare costs less than to hash.
    last_profile: tuple[object, Profile] | None = None
    _who: dict[object, Who] = field(default_factory=dict)
    _times: Times = NO_TIMES

    def times(self, report: Report, now: int) -> Times:
        """Give the signed times of a report: one object for all that are made at one reading of the clock and say none."""
        if report.not_before is not None or report.expires_at is not None:
            return times_of(report, self.keep_ms, now)
        if self._times.created_at != now:
            self._times = times_of(report, self.keep_ms, now)
        return self._times

    def who(self, permitted: Mapping[tuple[str, str], tuple[int, ...]]) -> Who:
        """Give recipients and nodes of what is permitted: one object for each, as sealing works out much of it once."""
        key = tuple(permitted.items())
        found = self._who.get(key)
        if found is None:
            if len(self._who) >= _WHO_KEPT:
                self._who.clear()
            found = self._who[key] = (
                tuple((self.recipients[node], indices) for node, indices in key),
                tuple((f"{party}/{name}", indices) for (party, name), indices in key),
            )
        return found

    def asking(self, profile: Profile, approvals: int) -> Profile:
        """Give a profile that asks for at least so many approvals: one object for each, as sealing remembers them."""
        if profile.approvals_required >= approvals:
            return profile
        asking = replace(profile, approvals_required=approvals)
        return self.profiles.setdefault(asking, asking)
