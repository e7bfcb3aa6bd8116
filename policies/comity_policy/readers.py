"""What an opening asks of whoever opens, and what another opener could bring where it refuses (point O). Pure.

Rules in order:
1. Nothing here decides: every answer is the engine's, asked with other facts of the opening in place of the given ones.
2. What is *lacking* for a portion is the least that another opening would have to bring for the engine to permit it: another
   reader, the stated purpose, acknowledged caveats, opening to read. Nothing is lacking where no opening at all could help.
3. Another reader is tried as every officer that anything names, in every office and community that anything names, with
   every level of the recipient's that the tables know, without end: such an officer need not exist.
4. A caveat is shown where acknowledging it would let something be opened.

    >>> lacking(compiled, profile, times, 0, node, moment)
    frozenset({<Lack.READER: 'reader'>})
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import Final

from comity_policy.clauses import Clearance, NeedToKnow, Purpose, Relabel, Reproduction, Survives, UseRule
from comity_policy.document import Document
from comity_policy.engine import CompiledAgreement
from comity_policy.facts import Moment, NodeFacts, Profile, Reader, Times, Use
from comity_policy.gloss import gloss
from comity_policy.sources import AnyClause, Layer, Source, every_layer, layers, table_at

COPYING: Final = frozenset({Use.COPY, Use.TRANSLATION})
_FOR_EVER: Final = 2**53 - 1


class Lack(StrEnum):
    """What another opening would bring."""

    READER = "reader"
    PURPOSE = "purpose"
    CAVEATS = "caveats"
    USE = "use"


@dataclass(frozen=True, slots=True)
class UseCaveat:
    """A use caveat as its reader is shown it before opening: its words, and what the clause says and means."""

    clause_id: str
    caveat: str
    text: str
    gloss: str

    @property
    def digest(self) -> bytes:
        """Give the SHA-384 of everything that is shown: what is acknowledged is these words, not whatever has the clause's id."""
        words = (self.clause_id, self.caveat, self.text, self.gloss)
        return hashlib.sha384(json.dumps(words, ensure_ascii=True).encode()).digest()


@dataclass(frozen=True, slots=True)
class AskedAtOpening:
    """One clause that asks something of whoever opens: which, of what kind, and what in words."""

    clause_id: str
    kind: str
    asks: str
    gloss: str


def is_registered(source: Source) -> bool:
    """Say whether who opened what is kept: some clause asks who reads, for what use, or whether it was opened before."""
    return any(_asks_for_more(clause) for layer in every_layer(source) for clause in layer.clauses)


def asked_at_opening(source: Source, from_party: str, to_parties: Iterable[str]) -> tuple[AskedAtOpening, ...]:
    """Give the clauses that ask something of whoever opens what a party sends to any of these, in the order of decisions."""
    found: list[AskedAtOpening] = []
    for layer, clause in _clauses(source, from_party, tuple(to_parties)):
        asks = _asks(clause)
        if asks:
            kind = str(clause.__struct_config__.tag)
            found.append(AskedAtOpening(layer.written(clause), kind, asks, gloss(clause, layer.document)))
    return tuple(found)


def lacking(  # noqa: PLR0917 - the arguments of decide
    compiled: CompiledAgreement, profile: Profile, times: Times, portion_index: int, node: NodeFacts, moment: Moment
) -> frozenset[Lack]:
    """Give what another opening would have to bring for the portion; nothing where it is permitted, or never would be."""

    def permits(lacks: frozenset[Lack]) -> bool:
        openings = _openings(compiled.source, profile, times, node, moment, lacks)
        return any(compiled.decide(profile, times, portion_index, node, one).permit for one in openings)

    least = frozenset(Lack)
    if permits(frozenset()) or not permits(least):
        return frozenset()
    for lack in Lack:
        if permits(least - {lack}):
            least -= {lack}
    return least


def use_caveats(
    source: Source, profile: Profile, node: NodeFacts, acknowledged: frozenset[str]
) -> tuple[UseCaveat, ...]:
    """Give the caveats that apply to what is opened and were not acknowledged, in the order of decisions."""
    found: list[UseCaveat] = []
    for layer, clause in _clauses(source, profile.originator.party, (node.party,)):
        clause_id = layer.written(clause)
        if isinstance(clause, UseRule) and clause_id not in acknowledged:
            words = _prevailing(clause.caveat, layer.document), _prevailing(clause.text, layer.document)
            found.append(UseCaveat(clause_id, *words, gloss(clause, layer.document)))
    return tuple(found)


def _openings(  # noqa: PLR0917 - what an opening is made of
    source: Source, profile: Profile, times: Times, node: NodeFacts, moment: Moment, lacks: frozenset[Lack]
) -> Iterator[Moment]:
    """Give the moments of the openings that bring these, everything else as it is."""
    if Lack.PURPOSE in lacks:
        moment = replace(moment, opening_purpose=profile.purpose)
    if Lack.USE in lacks:
        moment = replace(moment, use=Use.READ)
    if Lack.CAVEATS in lacks:
        caveats = use_caveats(source, profile, node, frozenset())
        moment = replace(moment, caveats_acknowledged=frozenset(one.clause_id for one in caveats))
    if Lack.READER not in lacks:
        yield moment
        return
    for reader in _readers(source, profile, times, node):
        yield replace(moment, reader=reader)


def _readers(source: Source, profile: Profile, times: Times, node: NodeFacts) -> Iterator[Reader]:
    """Give the readers of rule 3."""
    from_party, party = profile.originator.party, node.party
    officers = {one.officer for one in profile.addressees if one.party == party}
    offices: set[str] = {one.office for one in profile.addressees if one.party == party}
    communities: set[str] = {one.community for one in profile.addressees if one.party == party}
    levels: set[str | None] = {None}
    for layer, clause in _clauses(source, from_party, (party,)):
        levels |= set(table_at(layer.document, from_party, party, times.created_at).covers)
        for row in clause.rows if isinstance(clause, NeedToKnow) else ():
            if row.party == party:
                officers |= set(row.officers)
                offices |= set(row.offices)
                communities |= set(row.communities)
    for officer, level in product(sorted({"", *officers}), sorted(levels, key=str)):
        yield Reader(officer, frozenset(offices), frozenset(communities), level, _FOR_EVER)


def _clauses(source: Source, from_party: str, to_parties: tuple[str, ...]) -> Iterator[tuple[Layer, AnyClause]]:
    for layer in layers(source, from_party, to_parties):
        for clause in layer.clauses:
            yield layer, clause


def _asks_for_more(clause: AnyClause) -> bool:
    if isinstance(clause, Clearance):
        return bool(clause.officer_from)
    return isinstance(clause, NeedToKnow | UseRule | Reproduction | Survives)


def _asks(clause: AnyClause) -> str:
    match clause:
        case NeedToKnow():
            return "an officer who needs to know opens it"
        case Clearance() if clause.officer_from:
            return "an officer with a clearance of the level opens it"
        case Purpose():
            return "it is opened for the purpose it states"
        case UseRule():
            return "its caveat is shown and acknowledged before it is opened"
        case Reproduction():
            return "a copy or translation is made as the level allows"
        case Relabel():
            return "its marking is the originator's"
        case _:
            return ""


def _prevailing(words: dict[str, str], document: Document) -> str:
    return words.get(document.languages.prevailing) or next(iter(words.values()))
