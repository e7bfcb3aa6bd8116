"""Every attack on an envelope that needs no broker state: one change each, re-signed where the attacker could.

An attack starts from an envelope that opens. `run` makes the change and gives what the defender says about it: the
precise reason, and the outcome to acknowledge where a slot was refused. The table is walked by the attack tests and, with
one check disabled at a time, by the sabotage run.
"""

from __future__ import annotations

import builders_attack_equalities
import builders_attack_evidence
import builders_attack_opening
import builders_attack_tree
from builders_attack import ATTACKS, Attack, honest, observe

# Importing a module of attacks registers them.
SOURCES = (builders_attack_tree, builders_attack_equalities, builders_attack_opening, builders_attack_evidence)

__all__ = ["ATTACKS", "SOURCES", "Attack", "honest", "observe"]
