"""What must hold between the parts of an agreement document: the first fault ends the load.

Structure (`structure_faults`): at most 64 parties, 1,024 clauses, 16 tables of one direction and 64 levels, for what is compared with its like
takes a time that grows faster than the text. Then in the document's order: shapes of ids, codes, digests and words; at least two parties with
roots and trust domains of their own; references to parties that exist; the agreement's life (`terms.py`); per direction an
equivalence at all times that names every level the other tables give its two parties (total) and never protects a higher
level less (monotone); what each kind of clause needs (`clause_faults.py`), annexes included, and each invariant.

Words (`word_faults`): categories, purposes, regions, offices and communities are words of the vocabularies the agreement
names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import pairwise

from comity_policy.clause_faults import clause_faults, clause_words
from comity_policy.fault_checks import direction_faults, party_faults, people_faults, repetition_faults, unknown_faults
from comity_policy.faults import AGREEMENT_ID, Fault, digest_faults
from comity_policy.invariant_faults import invariant_faults, invariant_words
from comity_policy.sections import Document, Equivalence, Languages, NoLevel
from comity_policy.steps import CLAUSES_LIMIT
from comity_policy.terms import term_faults
from comity_policy.toml_lines import Path
from comity_policy.vocabulary import Vocabularies

PARTIES = 64
# As many as one step of an agreement's life may name.
CLAUSES = CLAUSES_LIMIT
TABLES = 16
LEVELS = 64

_PARTY = re.compile(r"[A-Z]{3}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_LEVEL = re.compile(r"(?=.{1,64}\Z)[^\W\d_]\w*(?:[ -]\w+)*")
_TRUST_DOMAIN = re.compile(r"(?=.{1,64}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")


def structure_faults(document: Document) -> Iterator[Fault]:
    """Give what is wrong with the document by itself; when this gives nothing, its references and shapes are sound."""
    yield from _too_many(document)
    yield from _heading(document)
    yield from _parties(document)
    yield from _brokers(document)
    yield from _languages(document.languages)
    yield from term_faults(document)
    for name, digest in document.vocabularies.items():
        yield from digest_faults(digest, ("vocabularies", name))
    yield from _equivalences(document)
    yield from _clauses(document)
    yield from invariant_faults(document)


def word_faults(document: Document, words: Vocabularies) -> Iterator[Fault]:
    """Give every word of the document that the vocabularies do not hold."""
    for name, broker in document.brokers.items():
        yield from unknown_faults([broker.region], words.regions, ("brokers", name, "region"), "region")
    for clause, path in zip(document.clauses, document.clause_paths(), strict=True):
        yield from clause_words(clause, words, path)
    yield from invariant_words(document, words)


def _too_many(document: Document) -> Iterator[Fault]:
    """Give what there is too much of: whatever is compared with its like is bounded before it is."""
    if len(document.parties) > PARTIES:
        yield Fault(("parties",), f"are {len(document.parties)}, at most {PARTIES} parties are allowed")
    if len(document.clauses) > CLAUSES:
        yield Fault(("clause",), f"are {len(document.clauses)}, at most {CLAUSES} clauses are allowed")
    tables = Counter((one.from_party, one.to_party) for one in document.equivalences)
    for position, table in enumerate(document.equivalences):
        if len(table.rows) > LEVELS:
            yield Fault(("equivalence", position, "rows"), f"at most {LEVELS} levels are allowed")
        if tables[table.from_party, table.to_party] > TABLES:
            yield Fault(("equivalence", position), f"at most {TABLES} tables of one direction are allowed")


def _heading(document: Document) -> Iterator[Fault]:
    if not AGREEMENT_ID.fullmatch(document.id):
        yield Fault(("agreement", "id"), "must be 2 to 64 of A-Z, 0-9 and '-', not beginning with '-'")
    if not 1 <= document.version < 1 << 31:
        yield Fault(("agreement", "version"), "must be at least 1")
    yield from people_faults(document.title, ("agreement", "title"))


def _parties(document: Document) -> Iterator[Fault]:
    if len(document.parties) < 2:
        yield Fault(("parties",), "an agreement has at least two parties")
    seen: dict[tuple[str, str], str] = {}
    for code, party in document.parties.items():
        path: Path = ("parties", code)
        if not _PARTY.fullmatch(code):
            yield Fault(path, "a party is written as three capital letters (ISO 3166-1 alpha-3)")
        yield from people_faults(party.name, (*path, "name"))
        yield from people_faults(party.jurisdiction, (*path, "jurisdiction"))
        yield from digest_faults(party.root, (*path, "root"))
        if not _TRUST_DOMAIN.fullmatch(party.trust_domain):
            yield Fault((*path, "trust_domain"), "must be a domain name in lower case")
        for field, value in (("root", party.root), ("trust_domain", party.trust_domain)):
            other = seen.setdefault((field, value), code)
            if other != code:
                yield Fault((*path, field), f"is the same as that of {other}")


def _brokers(document: Document) -> Iterator[Fault]:
    if not document.brokers:
        yield Fault(("brokers",), "at least one broker must be named: one that is not named carries nothing")
    for name, broker in document.brokers.items():
        if not _NAME.fullmatch(name):
            yield Fault(("brokers", name), "must be 1 to 63 of a-z, 0-9 and '-', not beginning with '-'")
        yield from party_faults(document, broker.operator, ("brokers", name, "operator"))


def _languages(languages: Languages) -> Iterator[Fault]:
    path: Path = ("languages", "authentic")
    if not languages.authentic:
        yield Fault(path, "at least one language must be authentic")
    yield from repetition_faults(languages.authentic, path)
    for language in languages.authentic:
        if not _LANGUAGE.fullmatch(language):
            yield Fault(path, f"{language!r} is not a language code of two or three small letters")
    if languages.prevailing not in languages.authentic:
        yield Fault(("languages", "prevailing"), f"{languages.prevailing!r} is not one of the authentic languages")


def _equivalences(document: Document) -> Iterator[Fault]:
    seen: set[tuple[str, str, object]] = set()
    for position, table in enumerate(document.equivalences):
        path: Path = ("equivalence", position)
        yield from direction_faults(document, table.from_party, table.to_party, path)
        if (table.from_party, table.to_party, table.valid_from) in seen:
            yield Fault((*path, "valid_from"), "another table of this direction begins on the same day")
        seen.add((table.from_party, table.to_party, table.valid_from))
        if table.begins_at < 0:
            yield Fault((*path, "valid_from"), "must be from 1970 on")
        yield from _rows(table, path)
    for from_party, to_party in document.directions():
        if not document.equivalences_of(from_party, to_party):
            yield Fault(("equivalence",), f"there is no equivalence from {from_party} to {to_party}")
    ends = _ends(document.equivalences)
    by_sender: dict[str, list[int]] = {}
    for position, table in enumerate(document.equivalences):
        by_sender.setdefault(table.from_party, []).append(position)
    for position, table in enumerate(document.equivalences):
        for number in sorted({*by_sender[table.from_party], *by_sender.get(table.to_party, ())}):
            other = document.equivalences[number]
            # There is a time at which both tables are in use.
            if table.valid_from.toordinal() < ends[number] and other.valid_from.toordinal() < ends[position]:
                yield from _agree(table, other, ("equivalence", position, "rows"))


def _rows(table: Equivalence, path: Path) -> Iterator[Fault]:
    if len(table.rows) < 2:
        yield Fault((*path, "rows"), "needs a row for unclassified and at least one above it")
    for rank, (level, counterpart) in enumerate(table.rows):
        place: Path = (*path, "rows", rank)
        lacks = isinstance(counterpart, NoLevel)
        other = counterpart.protect_as if isinstance(counterpart, NoLevel) else counterpart
        for word in (level, other):
            if not _LEVEL.fullmatch(word):
                yield Fault(
                    place,
                    f"{word!r} is not a level: words of letters and digits with single spaces or '-' between them",
                )
        if isinstance(counterpart, NoLevel) and not counterpart.none:
            yield Fault(place, "none = false has no meaning; write the level itself")
        if lacks and rank == 0:
            yield Fault(place, "the lowest row is unclassified on both sides and cannot lack a level")
    yield from repetition_faults(table.levels, (*path, "rows"))


def _ends(tables: Sequence[Equivalence]) -> list[int]:
    """Give the ordinal of the day on which each table's successor begins; one beyond all days for a table that has none."""
    begins: dict[tuple[str, str], list[int]] = {}
    for table in tables:
        begins.setdefault((table.from_party, table.to_party), []).append(table.valid_from.toordinal())
    return [
        min(
            (one for one in begins[table.from_party, table.to_party] if one > table.valid_from.toordinal()),
            default=date.max.toordinal() + 1,
        )
        for table in tables
    ]


def _agree(table: Equivalence, other: Equivalence, path: Path) -> Iterator[Fault]:
    """Compare a table with one that lists the levels of its sender or of its recipient."""
    if other is table:
        return
    if other.from_party == table.from_party and other.levels != table.levels:
        problem = f"levels of {table.from_party} differ from those in the table to {other.to_party}"
        yield Fault(path, f"{problem}: {', '.join(other.levels)}")
    if other.from_party != table.to_party:
        return
    own = other.levels
    for rank, level in enumerate(table.protected_as):
        if level not in own:
            yield Fault(
                (*path, rank), f"{level!r} is no level of {table.to_party}, whose own table has {', '.join(own)}"
            )
            return
    ranks = [own.index(level) for level in table.protected_as]
    for rank, (lower, higher) in enumerate(pairwise(ranks), start=1):
        if higher < lower:
            yield Fault((*path, rank), f"{table.levels[rank]!r} would be protected less than the level below it")
    if ranks[0] != 0 or 0 in ranks[1:]:
        yield Fault(path, f"only {table.levels[0]!r} is unclassified, and only it may become {own[0]!r}")


def _clauses(document: Document) -> Iterator[Fault]:
    if not document.clauses:
        yield Fault(("clause",), "an agreement has at least one clause")
    placed = tuple(zip(document.clauses, document.clause_paths(), strict=True))
    yield from clause_faults(document, placed, document.granted_directions())
