"""What a check is and what it answers."""

from __future__ import annotations

from collections.abc import Callable

from comity_policy.facts import Moment, NodeFacts, Profile, Times
from comity_policy.marking import Label

HOLDS, DENIED, MISSING, SUSPENDED = range(4)

Check = Callable[[Profile, Times, Label, int | None, NodeFacts, Moment], int]
