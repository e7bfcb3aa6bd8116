"""National caveats: what one party alone takes back from an agreement, strict TOML in, one frozen value out.

Rules in order:

1. A caveat is signed by one party, names one agreement by id and digest, and only requires: it has no grants, so it can
   never widen anything.
2. It is decided on what its party sends and, where `incoming`, on what its party receives (`sources.layers`).
3. The other side sees `partner_text` and nothing else of it.
4. What is wrong in it refuses to load and says where, as an agreement does (`document.load`).
5. It binds every version of its agreement. Under one that it does not read under, which has other levels or another direction than
   it says, it is closed: nothing that its party sends (and, where `incoming`, receives) passes, as long as its party does not
   withdraw it. Anything less would widen by nobody's signature; anything more would stop what others share.

    [caveat]
    party = "XAR"
    id = "NO-ROUTES"
    agreement = "XAR-XBO-1"
    digest = "sha384:..."
    incoming = false
    partner_text = "Arland applies a national limitation to this agreement."

    [[clause]]
    id = "1"
    kind = "exclude"
    text = { en = "..." }
    categories = ["illegal-migration"]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import msgspec

from comity_policy.clause_faults import clause_faults, clause_words
from comity_policy.clauses import CaveatClause, Closed, Exclude
from comity_policy.companions import Caveat
from comity_policy.document import Document
from comity_policy.facts import Point
from comity_policy.fault_checks import party_faults, people_faults
from comity_policy.faults import Fault, digest_faults
from comity_policy.strict_toml import clause_of, converted, each, load_with, sections_known
from comity_policy.toml_lines import Path, shown
from comity_policy.vocabulary import resolve

__all__ = ["Caveat", "CaveatHeading", "agreement_of", "binding", "load_caveat", "read_caveat", "unread"]

_ID = re.compile(r"[A-Z0-9][A-Z0-9-]{0,31}")
_SECTIONS = ("caveat", "clause")
_CLOSED = "does-not-read"
_CLOSED_TEXT = {
    "en": "The caveat does not read under this version of the agreement: until it is withdrawn nothing passes."
}


class CaveatHeading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[caveat]`: whose it is, its name, the agreement it narrows, and what the partner may read of it."""

    party: str
    id: str
    agreement: str
    digest: str
    partner_text: str
    incoming: bool = False


def load_caveat(data: bytes, document: Document) -> Caveat:
    """Give the caveat the bytes say on an agreement that loaded, at most 1 MiB.

    Raises DocumentError, and nothing else, for anything wrong, a caveat on another agreement included. That the digest is
    the one of the agreement's bytes is held by whoever compiles both.
    """
    return load_with(data, _caveat, lambda caveat: next(_faults(caveat, document), None))


def read_caveat(data: bytes) -> Caveat:
    """Give what a caveat's bytes say, whatever it is on; raises DocumentError."""
    return load_with(data, _caveat, lambda _: None)


def unread(caveat: Caveat, document: Document) -> str:
    """Give why a caveat does not read under a version of its agreement, with the place; nothing where it does."""
    fault = next(_faults(caveat, document), None)
    return "" if fault is None else f"{shown(fault.path)}: {fault.problem}"


def binding(caveat: Caveat, document: Document, digest: bytes) -> Caveat:
    """Give a caveat as it binds a version of its agreement: as it says, or closed by rule 5."""
    bound = replace(caveat, digest=f"sha384:{digest.hex()}")
    if not unread(bound, document):
        return bound
    closed = Closed if any(Point.OPENING in one.points for one in caveat.clauses) else Exclude
    return replace(bound, clauses=(closed(id=_CLOSED, text=_CLOSED_TEXT),))


def agreement_of(data: bytes) -> str:
    """Give the id of the agreement that a caveat's bytes name, which it has to be loaded on; raises DocumentError."""
    return load_with(data, _heading, lambda _: None).agreement


def _heading(raw: dict[str, object]) -> CaveatHeading:
    sections_known(raw, _SECTIONS)
    return converted(raw["caveat"], CaveatHeading, ("caveat",))


def _caveat(raw: dict[str, object]) -> Caveat:
    heading = _heading(raw)
    return Caveat(
        party=heading.party,
        id=heading.id,
        agreement=heading.agreement,
        digest=heading.digest,
        partner_text=heading.partner_text,
        incoming=heading.incoming,
        clauses=each(raw["clause"], "clause", _clause),
    )


def _clause(raw: object, path: Path) -> CaveatClause:
    made: CaveatClause = clause_of(raw, CaveatClause, path)  # type: ignore[arg-type]  # a union, not a type to mypy
    return made


def _faults(caveat: Caveat, document: Document) -> Iterator[Fault]:
    yield from party_faults(document, caveat.party, ("caveat", "party"))
    if not _ID.fullmatch(caveat.id):
        yield Fault(("caveat", "id"), "must be 1 to 32 of A-Z, 0-9 and '-', not beginning with '-'")
    if caveat.agreement != document.id:
        yield Fault(("caveat", "agreement"), f"is not {document.id!r}, the agreement it is loaded for")
    yield from digest_faults(caveat.digest, ("caveat", "digest"))
    yield from people_faults(caveat.partner_text, ("caveat", "partner_text"))
    if not caveat.clauses:
        yield Fault(("clause",), "a caveat has at least one clause")
    placed = tuple((clause, ("clause", position)) for position, clause in enumerate(caveat.clauses))
    needed = tuple(
        (from_party, to_party)
        for from_party, to_party in document.granted_directions()
        if caveat.party == from_party or (caveat.incoming and caveat.party == to_party)
    )
    yield from clause_faults(document, placed, needed)
    words = resolve(document.vocabularies)
    yield from chain.from_iterable(clause_words(clause, words, path) for clause, path in placed)
