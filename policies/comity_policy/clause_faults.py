"""What must hold in the clauses of a document, by kind: the clause part of `semantics`, and all of a national caveat's.

Every clause has an id of its own and a text in every authentic language. Parties exist; rows of levels name levels of their
party and ascend; lists say something and nothing twice; spans and numbers are positive; a limit and a row exist wherever
something is granted, since what has none is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from comity_policy.abilities import OBLIGATIONS
from comity_policy.clauses import (
    Acknowledge,
    Article,
    Audit,
    Authorities,
    Breach,
    Capabilities,
    Ceiling,
    Channel,
    Clause,
    Clearance,
    Disputes,
    DualControl,
    Emergency,
    Exclude,
    LevelRow,
    NeedToKnow,
    Onward,
    PersonalDataRule,
    PrecedenceRule,
    Purpose,
    Quota,
    Relabel,
    Reproduction,
    Residency,
    Retention,
    Scope,
    SecurityMeasures,
    Span,
    Suites,
    Survives,
    UseRule,
)
from comity_policy.facts import Kind, Precedence, Role
from comity_policy.fault_checks import (
    direction_faults,
    list_faults,
    number_faults,
    party_faults,
    people_faults,
    repetition_faults,
    span_faults,
    text_faults,
    unknown_faults,
)
from comity_policy.faults import Fault
from comity_policy.sections import Document
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
WIRE_VERSIONS = (1,)
MOST_HOPS = 16
MOST_OFFICERS = 16
MOST_YEARS = 100
MOST = (1 << 63) - 1

AnyClause = Clause | Exclude
Directions = Iterable[tuple[str, str]]

_CLAUSE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,30}[A-Za-z0-9])?")
_OFFICER = re.compile(r"[A-Z]{3}/[a-z0-9][a-z0-9-]{0,62}")
_ROLE_WORDS = frozenset(role.word for role in Role)
_KIND_WORDS = frozenset(kind.word for kind in Kind)
_PRECEDENCE_WORDS = frozenset(one.name for one in Precedence)


def clause_faults(document: Document, clauses: Sequence[tuple[AnyClause, Path]], needed: Directions) -> Iterator[Fault]:
    """Give what is wrong in clauses of this agreement, or of a caveat on it; `needed` are the directions that need limits."""
    seen: set[str] = set()
    for clause, path in clauses:
        if not _CLAUSE_ID.fullmatch(clause.id):
            problem = "must be 1 to 32 letters, digits, '.' and '-', beginning and ending with neither mark"
            yield Fault((*path, "id"), problem)
        if clause.id in seen:
            yield Fault((*path, "id"), f"clause {clause.id!r} is there already")
        seen.add(clause.id)
        yield from text_faults(clause.text, document, (*path, "text"), f"clause {clause.id}")
        yield from _clause(document, clause, path, tuple(needed))


def clause_words(clause: AnyClause, words: Vocabularies, path: Path) -> Iterator[Fault]:
    """Give every word of a clause that the vocabularies do not hold."""
    match clause:
        case Scope() | Exclude():
            yield from unknown_faults(clause.categories, words.categories, (*path, "categories"), "category")
        case Purpose() | PersonalDataRule():
            yield from unknown_faults(clause.purposes, words.purposes, (*path, "purposes"), "purpose")
        case Residency():
            for party, regions in clause.regions.items():
                yield from unknown_faults(regions, words.regions, (*path, "regions", party), "region")
        case NeedToKnow():
            for position, row in enumerate(clause.rows):
                place: Path = (*path, "rows", position)
                yield from unknown_faults(row.offices, words.offices, (*place, "offices"), "office")
                yield from unknown_faults(row.communities, words.communities, (*place, "communities"), "community")
        case Onward():
            for position, one in enumerate(clause.pre_approved):
                if one.category not in words.categories:
                    place = (*path, "pre_approved", position, "category")
                    yield Fault(place, f"unknown category {one.category!r}")
        case _:
            return


def _clause(document: Document, clause: AnyClause, path: Path, needed: Sequence[tuple[str, str]]) -> Iterator[Fault]:
    match clause:
        case Scope():
            yield from direction_faults(document, clause.from_party, clause.to_party, path)
            yield from list_faults(clause.categories, (*path, "categories"))
            yield from list_faults(clause.kinds, (*path, "kinds"))
            yield from unknown_faults(clause.kinds, _KIND_WORDS, (*path, "kinds"), "kind of message")
        case Ceiling():
            yield from _ceiling(document, clause, path, needed)
        case Clearance():
            yield from _level_rows(document, clause.officer_from, (*path, "officer_from"))
        case NeedToKnow():
            yield from _need_to_know(document, clause, path, needed)
        case Onward():
            yield from _onward(document, clause, path)
        case PersonalDataRule():
            yield from list_faults(clause.purposes, (*path, "purposes"))
            yield from number_faults(clause.persons_max, 1, MOST, (*path, "persons_max"))
            yield from span_faults(clause.review_every, (*path, "review_every"))
            yield from span_faults(clause.correct_within, (*path, "correct_within"))
        case Purpose():
            yield from list_faults(clause.purposes, (*path, "purposes"))
        case Residency():
            if not clause.regions:
                yield Fault((*path, "regions"), "names no party")
            for party, regions in clause.regions.items():
                yield from party_faults(document, party, (*path, "regions", party))
                yield from list_faults(regions, (*path, "regions", party))
        case Channel() | Reproduction():
            yield from _some_level_rows(document, clause.rows, (*path, "rows"))
        case Exclude():
            yield from _exclude(document, clause, path)
        case Article():
            if clause.topic not in ARTICLE_TOPICS:
                yield Fault((*path, "topic", 0), f"unknown topic {clause.topic!r}")
        case _:
            yield from _handling(document, clause, path)


def _handling(document: Document, clause: AnyClause, path: Path) -> Iterator[Fault]:
    match clause:
        case Retention():
            yield from span_faults(clause.longest, (*path, "longest"))
            yield from _level_rows(document, clause.end, (*path, "end"))
            yield from number_faults(clause.witnesses, 0, MOST_OFFICERS, (*path, "witnesses"))
        case Quota():
            yield from direction_faults(document, clause.from_party, clause.to_party, path)
            yield from number_faults(clause.reports, 1, MOST, (*path, "reports"))
            yield from number_faults(clause.bytes, 1, MOST, (*path, "bytes"))
        case PrecedenceRule():
            for name, roles in (("flash", clause.flash), ("immediate", clause.immediate)):
                yield from repetition_faults(roles, (*path, name))
                yield from unknown_faults(roles, _ROLE_WORDS, (*path, name), "role")
            yield from _by_precedence(clause.read_within, (*path, "read_within"))
        case DualControl():
            yield from _some_level_rows(document, clause.from_levels, (*path, "from"))
            yield from number_faults(clause.officers, 2, MOST_OFFICERS, (*path, "officers"))
        case Acknowledge():
            if not clause.within:
                yield Fault((*path, "within"), "names no precedence")
            yield from _by_precedence(clause.within, (*path, "within"))
            if clause.stop_after is not None:
                yield from span_faults(clause.stop_after, (*path, "stop_after"))
        case Suites():
            yield from list_faults(clause.allowed, (*path, "allowed"))
            yield from unknown_faults(clause.allowed, SUITES, (*path, "allowed"), "suite")
            yield from span_faults(clause.oldest_key, (*path, "oldest_key"))
            yield from span_faults(clause.oldest_key_log_view, (*path, "oldest_key_log_view"))
        case Capabilities():
            yield from _capabilities(clause, path)
        case UseRule():
            yield from text_faults(clause.caveat, document, (*path, "caveat"), f"the caveat of clause {clause.id}")
        case Relabel():
            yield from span_faults(clause.notice, (*path, "notice"))
            yield from number_faults(clause.lapse_years, 1, MOST_YEARS, (*path, "lapse_years"))
        case Emergency():
            yield from list_faults(clause.to, (*path, "to"))
            for position, party in enumerate(clause.to):
                yield from party_faults(document, party, (*path, "to", position))
            yield from span_faults(clause.review_within, (*path, "review_within"))
        case _:
            yield from _duties(document, clause, path)


def _duties(document: Document, clause: AnyClause, path: Path) -> Iterator[Fault]:
    match clause:
        case Survives():
            yield from list_faults(clause.clauses, (*path, "clauses"))
            known = [one.id for one in document.clauses if one.id != clause.id]
            yield from unknown_faults(clause.clauses, known, (*path, "clauses"), "clause")
        case Audit():
            for position, body in enumerate(clause.oversight):
                place: Path = (*path, "oversight", position)
                yield from party_faults(document, body.party, (*place, "party"))
                yield from people_faults(body.body, (*place, "body"))
                yield from people_faults(body.access, (*place, "access"))
            yield from repetition_faults([(one.party, one.body) for one in clause.oversight], (*path, "oversight"))
            yield from span_faults(clause.keep_log, (*path, "keep_log"))
        case Breach():
            for name in ("notify", "initial_report", "measures"):
                yield from span_faults(getattr(clause, name), (*path, name))
        case Disputes():
            yield from span_faults(clause.consult, (*path, "consult"))
            yield from span_faults(clause.escalate, (*path, "escalate"))
        case SecurityMeasures():
            yield from span_faults(clause.attest_every, (*path, "attest_every"))
        case Authorities():
            yield from list_faults(clause.contacts, (*path, "contacts"))
            for position, contact in enumerate(clause.contacts):
                place = (*path, "contacts", position)
                yield from party_faults(document, contact.party, (*place, "party"))
                for name in ("role", "name", "contact"):
                    yield from people_faults(getattr(contact, name), (*place, name))
        case _:
            return


def _ceiling(document: Document, clause: Ceiling, path: Path, needed: Sequence[tuple[str, str]]) -> Iterator[Fault]:
    directions = [(limit.from_party, limit.to_party) for limit in clause.limits]
    for position, limit in enumerate(clause.limits):
        place: Path = (*path, "limits", position)
        yield from direction_faults(document, limit.from_party, limit.to_party, place)
        for table in document.equivalences_of(limit.from_party, limit.to_party):
            if limit.level not in table.levels:
                known = ", ".join(table.levels)
                yield Fault((*place, "level"), f"{limit.level!r} is no level of {limit.from_party}, which has {known}")
        if directions.index(directions[position]) != position:
            yield Fault(place, f"there is already a limit from {limit.from_party} to {limit.to_party}")
    for from_party, to_party in needed:
        if (from_party, to_party) not in directions:
            yield Fault((*path, "limits"), f"there is no limit from {from_party} to {to_party}, where a scope grants")


def _need_to_know(
    document: Document, clause: NeedToKnow, path: Path, needed: Sequence[tuple[str, str]]
) -> Iterator[Fault]:
    parties = [row.party for row in clause.rows]
    for position, row in enumerate(clause.rows):
        place: Path = (*path, "rows", position)
        yield from party_faults(document, row.party, (*place, "party"))
        if parties.index(row.party) != position:
            yield Fault((*place, "party"), f"there is already a row for {row.party}")
        if not (row.offices or row.communities or row.officers):
            yield Fault(place, "names neither offices nor communities nor officers")
        for name in ("offices", "communities", "officers"):
            yield from repetition_faults(getattr(row, name), (*place, name))
        for number, officer in enumerate(row.officers):
            if not _OFFICER.fullmatch(officer) or not officer.startswith(f"{row.party}/"):
                problem = f"{officer!r} is no officer of {row.party}: written {row.party}/name"
                yield Fault((*place, "officers", number), problem)
    for party in dict.fromkeys(to_party for _, to_party in needed):
        if party not in parties:
            yield Fault((*path, "rows"), f"there is no row for {party}, to which a scope grants")


def _capabilities(clause: Capabilities, path: Path) -> Iterator[Fault]:
    if not clause.words:
        yield Fault((*path, "obligations"), "asks for nothing: name wire, suites or obligations")
    known = {"wire": WIRE_VERSIONS, "suites": SUITES, "obligations": tuple(sorted(OBLIGATIONS))}
    what = {"wire": "version of the wire protocol", "suites": "suite", "obligations": "obligation"}
    for name, words in known.items():
        yield from repetition_faults(getattr(clause, name), (*path, name))
        yield from unknown_faults(getattr(clause, name), words, (*path, name), what[name])


def _onward(document: Document, clause: Onward, path: Path) -> Iterator[Fault]:
    yield from number_faults(clause.max_hops, 1, MOST_HOPS, (*path, "max_hops"))
    for position, one in enumerate(clause.pre_approved):
        yield from direction_faults(document, one.from_party, one.to_party, (*path, "pre_approved", position))
    named = [(one.from_party, one.to_party, one.category) for one in clause.pre_approved]
    yield from repetition_faults(named, (*path, "pre_approved"))


def _exclude(document: Document, clause: Exclude, path: Path) -> Iterator[Fault]:
    if not (clause.to or clause.categories or clause.kinds):
        yield Fault(path, "names neither parties, categories nor kinds: it would exclude everything")
    for position, party in enumerate(clause.to):
        yield from party_faults(document, party, (*path, "to", position))
    for name in ("to", "categories", "kinds"):
        yield from repetition_faults(getattr(clause, name), (*path, name))
    yield from unknown_faults(clause.kinds, _KIND_WORDS, (*path, "kinds"), "kind of message")


def _some_level_rows(document: Document, rows: Sequence[LevelRow], path: Path) -> Iterator[Fault]:
    if not rows:
        yield Fault(path, "is empty")
    yield from _level_rows(document, rows, path)


def _level_rows(document: Document, rows: Sequence[LevelRow], path: Path) -> Iterator[Fault]:
    """Compare rows with every table their party sends by: levels it has, each row above the party's row before."""
    for position, row in enumerate(rows):
        place: Path = (*path, position)
        yield from party_faults(document, row.party, (*place, "party"))
        for table in (one for one in document.equivalences if one.from_party == row.party):
            if row.level not in table.levels:
                known = ", ".join(table.levels)
                yield Fault((*place, "level"), f"{row.level!r} is no level of {row.party}, which has {known}")
                return
            before = [one.level for one in rows[:position] if one.party == row.party]
            if before and table.levels.index(before[-1]) >= table.levels.index(row.level):
                yield Fault((*place, "level"), f"must be above {before[-1]!r}, the row of {row.party} before it")


def _by_precedence(spans: dict[str, Span], path: Path) -> Iterator[Fault]:
    yield from unknown_faults(tuple(spans), _PRECEDENCE_WORDS, path, "precedence")
    for word, span in spans.items():
        yield from span_faults(span, (*path, word))
