"""The whole work of officers on agreements in one place: what `comity agreement` and programs take steps with.

Negotiator(access, connection, mirror).counter(text)
"""

from __future__ import annotations

from dataclasses import dataclass

from comity.node.negotiating import Negotiating
from comity.node.officer_work import Taken, check_roots, load_document
from comity.node.treaty_life import TreatyLife

__all__ = ["Negotiator", "Taken", "check_roots", "load_document"]


@dataclass(frozen=True, slots=True)
class Negotiator(Negotiating, TreatyLife):
    """An officer who may take every step; which of them, the officer's roles say."""
