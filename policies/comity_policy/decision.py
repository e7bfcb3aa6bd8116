"""What a decision says: permitted or not, which clauses are violated and why, and what was left to another point.

Frozen values shared by the engine, the reference interpreter and the explanations. The rules are in
docs/policy-semantics.md; the order of `violations` is baseline rows first, then the document's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

# Which semantics decisions are made under (docs/policy-semantics.md): raised with every change of what is decided.
ENGINE: Final = "comity-policy/1"


class Reason(StrEnum):
    """Why a clause is violated."""

    DENIED = "DENIED"
    FACT_MISSING = "FACT_MISSING"
    CLAUSE_SUSPENDED = "CLAUSE_SUSPENDED"


class Baseline(StrEnum):
    """The clauses no author can forget, in the order in which a decision lists them."""

    IN_FORCE = "baseline/in-force"
    PARTIES = "baseline/parties"
    AGREEMENT = "baseline/agreement"
    ADDRESSEE = "baseline/addressee"
    BROKER = "baseline/broker"
    NODE = "baseline/node"
    MARKING = "baseline/marking"
    VOCABULARY = "baseline/vocabulary"
    ACCESS = "baseline/access"
    NATIONAL_ONLY = "baseline/national-only"
    RELEASABLE = "baseline/releasable"
    ONWARD = "baseline/onward"
    ORIGINATOR_CONTROL = "baseline/originator-control"
    TIMES = "baseline/times"
    GRANT = "baseline/grant"


def caveat_of(clause_id: str) -> tuple[str, str] | None:
    """Give party and id of the national caveat that a violation's id names (``caveat/PARTY/ID/clause``), None where none."""
    words = clause_id.split("/", 3)
    return (words[1], words[2]) if len(words) == 4 and words[0] == "caveat" else None


@dataclass(frozen=True, slots=True)
class Violation:
    """One violated clause."""

    clause_id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one portion and one recipient node."""

    permit: bool
    violations: tuple[Violation, ...] = ()
    deferred: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportDecision:
    """The answer for a whole report: per (party, node) the permitted portions, per refusal its violations."""

    permit: bool
    permitted: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    violations: Mapping[tuple[str, str, int], tuple[Violation, ...]] = field(default_factory=dict)
    refused_parties: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()
