"""Recorded decisions as values: what a log says was decided, from what and under what, and what is held here to decide again.

Shared by whoever reads a log, by the replay and by the question what a draft would have changed. Digests are 48 raw bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from comity_policy.companions import Caveat
from comity_policy.document import Document
from comity_policy.facts import AgreementState, Moment, NodeFacts, Profile, Times
from comity_policy.vocabulary import Vocabularies

# How a violation by another party's caveat is told: its reason, its clause being PARTY/CAVEAT.
CAVEAT_REASON = "CAVEAT"
Recipient = tuple[str, str]
Answer = frozenset[tuple[str, str]]


class What(StrEnum):
    """What differs."""

    ENGINE = "engine"
    AGREEMENT = "agreement"
    VOCABULARY = "vocabulary"
    UMBRELLA = "umbrella"
    CAVEAT = "caveat"
    STATE = "state"
    FACT = "fact"
    OUTCOME = "outcome"
    REFERENCE = "reference"


class Missing(StrEnum):
    """What was not presented, so that something could not be decided again, or not held against the log."""

    TEXT = "text"
    MANIFEST = "manifest"
    ENTRY = "entry"
    UMBRELLA = "umbrella"
    KEYS = "keys"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs, in words."""

    what: What
    words: str


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that was not presented, in words."""

    what: Missing
    words: str


@dataclass(frozen=True, slots=True)
class Folded:
    """What the log's own steps before an entry amount to: the text that governs, its state, and the caveats in force.

    `umbrella` is what the umbrella's own log amounts to, which is compared where `umbrella_known`.
    """

    agreement_digest: bytes
    state: AgreementState
    caveats: frozenset[tuple[str, str, bytes]] = frozenset()
    umbrella: tuple[str, bytes, AgreementState] | None = None
    umbrella_known: bool = False


@dataclass(frozen=True, slots=True)
class Under:
    """What a recorded decision was made under. Digests are 48 bytes; `umbrella` is its id, digest and state.

    `caveats` are (party, id, digest of its salted text). `folded` is what the log's own steps say instead, None where that is not known.
    """

    engine: str
    agreement_digest: bytes
    vocabularies: bytes
    state: AgreementState
    umbrella: tuple[str, bytes, AgreementState] | None = None
    caveats: tuple[tuple[str, str, bytes], ...] = ()
    folded: Folded | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded decision: its facts, its answer by recipient, and the reports it covers as (slot, times).

    `refused` has by (party, node, portion) the violated clauses with their reasons, as (clause, reason). `faults` are
    differences that whoever read it found already, `gaps` what it could not hold against the log.
    """

    under: Under
    profile: Profile
    moment: Moment
    nodes: tuple[NodeFacts, ...]
    permitted: Mapping[Recipient, tuple[int, ...]]
    refused: Mapping[tuple[str, str, int], Answer]
    reports: tuple[tuple[int, Times], ...]
    faults: tuple[Difference, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """What is held here to decide with: texts by digest, caveats by the digest of their salted text, vocabularies.

    `vocabularies_digest` is one digest over all of them, as logs record it.
    """

    documents: Mapping[bytes, Document]
    vocabularies: Vocabularies
    vocabularies_digest: bytes
    caveats: Mapping[bytes, Caveat] = field(default_factory=dict)
