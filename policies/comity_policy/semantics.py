"""What must hold between the parts of an agreement document: the first fault ends the load.

Structure (`structure_faults`), in the document's order: shapes of ids, codes, digests and words; at least two parties with
roots and trust domains of their own; references to parties that exist; times in UTC; per direction an equivalence at
all times that names every level the other tables give its two parties (total) and never protects a higher level less
(monotone); clause ids once; a text in every authentic language and in no other; lists without repetition; spans that are
positive; a ceiling for each direction in which something is granted, at a level its tables have.

Words (`word_faults`): categories, purposes and regions are words of the vocabularies the agreement names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from comity_policy.clauses import (
    Article,
    Ceiling,
    Clause,
    PrecedenceRule,
    Purpose,
    Residency,
    Retention,
    Scope,
    Span,
    Suites,
)
from comity_policy.facts import Kind, Precedence, Role
from comity_policy.sections import Document, DurationKind, EntryRule, Equivalence, Languages, NoLevel
from comity_policy.toml_lines import Path
from comity_policy.vocabulary import Vocabularies

ARTICLE_TOPICS = (
    "definitions",
    "principles",
    "visits",
    "contracts",
    "costs",
    "liability",
    "jurisdiction",
    "immunity",
    "relation-to-other-agreements",
    "registration",
    "other",
)
SUITES = (1, 2)
LONGEST_SPAN_DAYS = 36_525

_AGREEMENT_ID = re.compile(r"[A-Z0-9][A-Z0-9-]{1,63}")
_CLAUSE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,30}[A-Za-z0-9])?")
_PARTY = re.compile(r"[A-Z]{3}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_LEVEL = re.compile(r"(?=.{1,64}\Z)[^\W\d_]\w*(?:[ -]\w+)*")
_TRUST_DOMAIN = re.compile(r"(?=.{1,64}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_DIGEST = re.compile(r"sha384:[0-9a-f]{96}")
_ROLE_WORDS = frozenset(role.word for role in Role)
_KIND_WORDS = frozenset(kind.word for kind in Kind)
_PRECEDENCE_WORDS = frozenset(one.name for one in Precedence)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that must not be in a document: where, and what."""

    path: Path
    problem: str


def structure_faults(document: Document) -> Iterator[Fault]:
    """Give what is wrong with the document by itself; when this gives nothing, its references and shapes are sound."""
    yield from _heading(document)
    yield from _parties(document)
    yield from _brokers(document)
    yield from _languages(document.languages)
    yield from _time_of_force(document)
    for name, digest in document.vocabularies.items():
        if not _DIGEST.fullmatch(digest):
            yield Fault(("vocabularies", name), "must be sha384: and 96 hexadecimal digits in lower case")
    yield from _equivalences(document)
    yield from _clauses(document)


def word_faults(document: Document, words: Vocabularies) -> Iterator[Fault]:
    """Give every word of the document that the vocabularies do not hold."""
    for name, broker in document.brokers.items():
        yield from _unknown([broker.region], words.regions, ("brokers", name, "region"), "region")
    for position, clause in enumerate(document.clauses):
        path: Path = ("clause", position)
        match clause:
            case Scope():
                yield from _unknown(clause.categories, words.categories, (*path, "categories"), "category")
            case Purpose():
                yield from _unknown(clause.purposes, words.purposes, (*path, "purposes"), "purpose")
            case Residency():
                for party, regions in clause.regions.items():
                    yield from _unknown(regions, words.regions, (*path, "regions", party), "region")
            case _:
                continue


def _heading(document: Document) -> Iterator[Fault]:
    if not _AGREEMENT_ID.fullmatch(document.id):
        yield Fault(("agreement", "id"), "must be 2 to 64 of A-Z, 0-9 and '-', not beginning with '-'")
    if not 1 <= document.version < 1 << 31:
        yield Fault(("agreement", "version"), "must be at least 1")
    yield from _words_for_people(document.title, ("agreement", "title"))


def _parties(document: Document) -> Iterator[Fault]:
    if len(document.parties) < 2:
        yield Fault(("parties",), "an agreement has at least two parties")
    seen: dict[tuple[str, str], str] = {}
    for code, party in document.parties.items():
        path: Path = ("parties", code)
        if not _PARTY.fullmatch(code):
            yield Fault(path, "a party is written as three capital letters (ISO 3166-1 alpha-3)")
        yield from _words_for_people(party.name, (*path, "name"))
        yield from _words_for_people(party.jurisdiction, (*path, "jurisdiction"))
        if not _DIGEST.fullmatch(party.root):
            yield Fault((*path, "root"), "must be sha384: and 96 hexadecimal digits in lower case")
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
        yield from _is_party(document, broker.operator, ("brokers", name, "operator"))


def _languages(languages: Languages) -> Iterator[Fault]:
    path: Path = ("languages", "authentic")
    if not languages.authentic:
        yield Fault(path, "at least one language must be authentic")
    yield from _repeated(languages.authentic, path)
    for language in languages.authentic:
        if not _LANGUAGE.fullmatch(language):
            yield Fault(path, f"{language!r} is not a language code of two or three small letters")
    if languages.prevailing not in languages.authentic:
        yield Fault(("languages", "prevailing"), f"{languages.prevailing!r} is not one of the authentic languages")


def _time_of_force(document: Document) -> Iterator[Fault]:
    entry, duration = document.entry_into_force, document.duration
    yield from _paired(entry.at, needed=entry.rule is EntryRule.FIXED_DATE, path=("entry_into_force",), name="at")
    if entry.minimum is not None and entry.minimum != len(document.parties):
        problem = f"only all {len(document.parties)} parties together are supported; leave it out"
        yield Fault(("entry_into_force", "minimum"), problem)
    yield from _paired(duration.until, needed=duration.kind is DurationKind.TERM, path=("duration",), name="until")
    if entry.at is not None and duration.until is not None and duration.until <= entry.at:
        yield Fault(("duration", "until"), "must be later than the entry into force")
    if document.termination is not None:
        notice = document.termination.notice
        parts = (notice.months, notice.weeks, notice.days)
        if min(parts) < 0 or not 1 <= sum(parts) <= LONGEST_SPAN_DAYS:
            yield Fault(("termination", "notice"), "must be a positive length of time")


def _paired(at: datetime | None, *, needed: bool, path: Path, name: str) -> Iterator[Fault]:
    if at is None:
        if needed:
            yield Fault(path, f"{name!r} is missing: a UTC date and time such as 2027-01-01T00:00:00Z")
        return
    if not needed:
        yield Fault((*path, name), "has no meaning under this rule; leave it out")
    elif at.utcoffset() != timedelta(0):
        yield Fault((*path, name), "must be in UTC, written with Z")
    elif at.microsecond or at < datetime(1970, 1, 1, tzinfo=UTC):
        yield Fault((*path, name), "must be a whole second from 1970 on")


def _equivalences(document: Document) -> Iterator[Fault]:
    seen: set[tuple[str, str, object]] = set()
    for position, table in enumerate(document.equivalences):
        path: Path = ("equivalence", position)
        yield from _direction(document, table.from_party, table.to_party, path)
        if (table.from_party, table.to_party, table.valid_from) in seen:
            yield Fault((*path, "valid_from"), "another table of this direction begins on the same day")
        seen.add((table.from_party, table.to_party, table.valid_from))
        if table.begins_at < 0:
            yield Fault((*path, "valid_from"), "must be from 1970 on")
        yield from _rows(table, path)
    for from_party, to_party in document.directions():
        if not document.equivalences_of(from_party, to_party):
            yield Fault(("equivalence",), f"there is no equivalence from {from_party} to {to_party}")
    for position, table in enumerate(document.equivalences):
        for other in document.equivalences:
            if _overlap(document, table, other):
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
    yield from _repeated(table.levels, (*path, "rows"))


def _overlap(document: Document, one: Equivalence, other: Equivalence) -> bool:
    """Say whether there is a time at which both tables are in use."""
    return _begins_before_end_of(document, one, other) and _begins_before_end_of(document, other, one)


def _begins_before_end_of(document: Document, one: Equivalence, other: Equivalence) -> bool:
    tables = document.equivalences_of(other.from_party, other.to_party)
    return all(later.valid_from <= other.valid_from or later.valid_from > one.valid_from for later in tables)


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
    seen: set[str] = set()
    for position, clause in enumerate(document.clauses):
        path: Path = ("clause", position)
        if not _CLAUSE_ID.fullmatch(clause.id):
            yield Fault(
                (*path, "id"), "must be 1 to 32 letters, digits, '.' and '-', beginning and ending with neither mark"
            )
        if clause.id in seen:
            yield Fault((*path, "id"), f"clause {clause.id!r} is there already")
        seen.add(clause.id)
        for language in document.languages.authentic:
            if language not in clause.text:
                yield Fault((*path, "text"), f"clause {clause.id} has no text in {language!r}")
        for language, text in clause.text.items():
            if language not in document.languages.authentic:
                yield Fault((*path, "text", language), "is not an authentic language of the agreement")
            yield from _words_for_people(text, (*path, "text", language))
        yield from _clause(document, clause, path)


def _clause(document: Document, clause: Clause, path: Path) -> Iterator[Fault]:
    match clause:
        case Scope():
            yield from _direction(document, clause.from_party, clause.to_party, path)
            yield from _list(clause.categories, (*path, "categories"))
            yield from _list(clause.kinds, (*path, "kinds"))
            yield from _unknown(clause.kinds, _KIND_WORDS, (*path, "kinds"), "kind of message")
        case Ceiling():
            yield from _ceiling(document, clause, path)
        case Purpose():
            yield from _list(clause.purposes, (*path, "purposes"))
        case Residency():
            if not clause.regions:
                yield Fault((*path, "regions"), "names no party")
            for party, regions in clause.regions.items():
                yield from _is_party(document, party, (*path, "regions", party))
                yield from _list(regions, (*path, "regions", party))
        case Retention():
            yield from _span(clause.longest, (*path, "longest"))
        case PrecedenceRule():
            for name, roles in (("flash", clause.flash), ("immediate", clause.immediate)):
                yield from _repeated(roles, (*path, name))
                yield from _unknown(roles, _ROLE_WORDS, (*path, name), "role")
            yield from _unknown(tuple(clause.read_within), _PRECEDENCE_WORDS, (*path, "read_within"), "precedence")
            for word, span in clause.read_within.items():
                yield from _span(span, (*path, "read_within", word))
        case Suites():
            yield from _list(clause.allowed, (*path, "allowed"))
            yield from _unknown(clause.allowed, SUITES, (*path, "allowed"), "suite")
            yield from _span(clause.oldest_key, (*path, "oldest_key"))
            yield from _span(clause.oldest_key_log_view, (*path, "oldest_key_log_view"))
        case Article():
            yield from _unknown([clause.topic], ARTICLE_TOPICS, (*path, "topic"), "topic")
        case _:
            return


def _ceiling(document: Document, clause: Ceiling, path: Path) -> Iterator[Fault]:
    directions = [(limit.from_party, limit.to_party) for limit in clause.limits]
    for position, limit in enumerate(clause.limits):
        place: Path = (*path, "limits", position)
        yield from _direction(document, limit.from_party, limit.to_party, place)
        for table in document.equivalences_of(limit.from_party, limit.to_party):
            if limit.level not in table.levels:
                known = ", ".join(table.levels)
                yield Fault((*place, "level"), f"{limit.level!r} is no level of {limit.from_party}, which has {known}")
        if directions.index(directions[position]) != position:
            yield Fault(place, f"there is already a limit from {limit.from_party} to {limit.to_party}")
    for from_party, to_party in document.granted_directions():
        if (from_party, to_party) not in directions:
            yield Fault((*path, "limits"), f"there is no limit from {from_party} to {to_party}, where a scope grants")


def _direction(document: Document, from_party: str, to_party: str, path: Path) -> Iterator[Fault]:
    yield from _is_party(document, from_party, (*path, "from"))
    yield from _is_party(document, to_party, (*path, "to"))
    if from_party == to_party:
        yield Fault((*path, "to"), "a direction leads from one party to another")


def _is_party(document: Document, code: str, path: Path) -> Iterator[Fault]:
    if code not in document.parties:
        yield Fault(path, f"{code!r} is no party of this agreement ({', '.join(document.parties)})")


def _span(span: Span, path: Path) -> Iterator[Fault]:
    parts = (span.weeks, span.days, span.hours, span.minutes)
    if min(parts) < 0 or not 0 < span.milliseconds <= LONGEST_SPAN_DAYS * 86_400_000:
        yield Fault(path, "must be a positive length of time of at most 100 years")


def _list(words: Sequence[object], path: Path) -> Iterator[Fault]:
    if not words:
        yield Fault(path, "is empty")
    yield from _repeated(words, path)


def _repeated(words: Sequence[object], path: Path) -> Iterator[Fault]:
    for position, word in enumerate(words):
        if words.index(word) != position:
            yield Fault((*path, position), f"{word!r} is there already")


def _unknown(
    words: Sequence[object], known: Mapping[str, object] | frozenset[str] | Sequence[object], path: Path, what: str
) -> Iterator[Fault]:
    for position, word in enumerate(words):
        if word not in known:
            yield Fault((*path, position), f"unknown {what} {word!r}")


def _words_for_people(text: str, path: Path) -> Iterator[Fault]:
    if not text.strip():
        yield Fault(path, "must not be empty")
    elif _UNPRINTABLE.search(text):
        yield Fault(path, "holds control characters, which people would not see")
