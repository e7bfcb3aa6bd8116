"""What must hold in the invariants of a document: names of their own, parties, levels and words that exist, sound numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from comity_policy.fault_checks import list_faults, number_faults, party_faults, span_faults, unknown_faults
from comity_policy.faults import Fault
from comity_policy.invariants import AlwaysApproved, Invariant, NeverAbove, NeverLonger, NeverOnward, NeverTo, OnlyFor
from comity_policy.sections import Document
from comity_policy.toml_lines import Path
from comity_policy.vocabulary import Vocabularies

MOST = 32
MOST_OFFICERS = 16

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def invariant_faults(document: Document) -> Iterator[Fault]:
    """Give what is wrong with the invariants by themselves and beside the document's parties and levels."""
    if len(document.invariants) > MOST:
        yield Fault(("invariant", MOST), f"an agreement has at most {MOST} invariants")
    seen: set[str] = set()
    for position, invariant in enumerate(document.invariants):
        path: Path = ("invariant", position)
        if not _ID.fullmatch(invariant.id):
            yield Fault((*path, "id"), "must be 1 to 63 of a-z, 0-9 and '-', not beginning with '-'")
        if invariant.id in seen:
            yield Fault((*path, "id"), f"invariant {invariant.id!r} is there already")
        seen.add(invariant.id)
        yield from _fields(document, invariant, path)


def invariant_words(document: Document, words: Vocabularies) -> Iterator[Fault]:
    """Give every word of the invariants that the vocabularies do not hold."""
    for position, invariant in enumerate(document.invariants):
        path: Path = ("invariant", position)
        match invariant:
            case NeverTo():
                yield from unknown_faults(invariant.categories, words.categories, (*path, "categories"), "category")
            case OnlyFor():
                yield from unknown_faults(invariant.purposes, words.purposes, (*path, "purposes"), "purpose")
            case _:
                continue


def _fields(document: Document, invariant: Invariant, path: Path) -> Iterator[Fault]:
    match invariant:
        case NeverTo():
            yield from party_faults(document, invariant.party, (*path, "party"))
            yield from list_faults(invariant.categories, (*path, "categories"))
        case NeverAbove():
            yield from _level(document, invariant, path)
        case NeverOnward():
            yield from party_faults(document, invariant.from_party, (*path, "from"))
        case AlwaysApproved():
            yield from _level(document, invariant, path)
            yield from number_faults(invariant.officers, 1, MOST_OFFICERS, (*path, "officers"))
        case OnlyFor():
            yield from list_faults(invariant.purposes, (*path, "purposes"))
        case NeverLonger():
            yield from span_faults(invariant.longest, (*path, "longest"))
        case _:
            return


def _level(document: Document, invariant: NeverAbove | AlwaysApproved, path: Path) -> Iterator[Fault]:
    """Compare a level with every table its party sends by."""
    yield from party_faults(document, invariant.from_party, (*path, "from"))
    for table in (one for one in document.equivalences if one.from_party == invariant.from_party):
        if invariant.level not in table.levels:
            known = ", ".join(table.levels)
            problem = f"{invariant.level!r} is no level of {invariant.from_party}, which has {known}"
            yield Fault((*path, "level"), problem)
            return
