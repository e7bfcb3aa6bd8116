"""What an agreement is compiled with besides its own text: the umbrella it is under, and the national caveats on it.

Plain frozen values, shared by the engine and the reference interpreter. `caveat.py` reads a caveat from its text.
"""

from __future__ import annotations

from dataclasses import dataclass

from comity_policy.clauses import CaveatClause
from comity_policy.facts import AgreementState
from comity_policy.sections import Document


@dataclass(frozen=True, slots=True)
class Umbrella:
    """The agreement an arrangement is under: its document, the digest of its signed bytes (48 bytes), its state."""

    document: Document
    digest: bytes
    state: AgreementState


@dataclass(frozen=True, slots=True, kw_only=True)
class Caveat:
    """One party's caveat. `digest` is ``sha384:`` and 96 hexadecimal digits of the agreement's signed bytes."""

    party: str
    id: str
    agreement: str
    digest: str
    partner_text: str
    clauses: tuple[CaveatClause, ...]
    incoming: bool = False
