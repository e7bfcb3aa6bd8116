"""What a check is and what it answers."""

from __future__ import annotations

from collections.abc import Callable

from comity_policy.facts import Moment, NodeFacts, PortionMarking, Profile, Times

HOLDS, DENIED, MISSING, SUSPENDED = range(4)

Check = Callable[[Profile, Times, PortionMarking, int | None, NodeFacts, Moment], int]
