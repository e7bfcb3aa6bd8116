"""What is wrong or risky in an agreement that loads: findings for the people who negotiate it.

An **error** means that it must not be signed: something in it can never have an effect, or contradicts itself. A **warning**
is a decision somebody should have taken knowingly. A **note** says what no machine enforces, so that nobody believes it is.
Rules in the order in which findings come:

1. Nothing is granted; a grant that can never permit (its direction's ceiling, residency or brokers leave nothing).
2. Dead parameters: a grant inside a wider one, a category beside its ancestor, a limit for a direction nothing is granted
   in or above another one, regions of a party that sends nothing, a clause that says again what another says, purposes and
   suites that not every clause of their kind allows, a longer keeping beside a shorter one; what `check_kinds` finds in rows of
   levels, people, numbers and times.
3. Equivalence: rows that map two levels to one, levels nobody can be accredited for, tables that begin later than the other.
4. What an arrangement allows and its umbrella does not; caveats that subtract nothing (`check_beside`).
5. Hygiene: kinds a sound agreement has and this one, with its umbrella, lacks.
6. What this release does not carry (`carried`); every invariant, which `analysis` proves; every article, every field that is recorded only and every recorded section; kinds whose lack changes what is decided about few reports.

`check` never raises; it assumes a document that `document.load` gave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from comity_policy.carried import not_carried, unused
from comity_policy.check_beside import caveat_findings, umbrella_findings
from comity_policy.check_finding import Finding, Severity, note, warning
from comity_policy.check_kinds import kind_findings, sooner_for_lower
from comity_policy.clauses import (
    Article,
    Audit,
    Ceiling,
    Clause,
    Clearance,
    Embargo,
    OriginatorControl,
    PersonalDataRule,
    PrecedenceRule,
    Purpose,
    Releasability,
    Residency,
    Retention,
    Scope,
    Suites,
)
from comity_policy.companions import Caveat
from comity_policy.invariants import invariant_gloss
from comity_policy.sections import AgreementKind, Document, Equivalence, NoLevel
from comity_policy.vocabulary import Vocabularies

__all__ = ["Finding", "Severity", "check"]

_HYGIENE: tuple[tuple[type, Severity, str], ...] = (
    (Ceiling, Severity.WARNING, "no ceiling clause: every level of the tables may flow"),
    (Clearance, Severity.WARNING, "no clearance clause: a node needs no accreditation for what it receives"),
    (
        Releasability,
        Severity.NOTE,
        "no releasability clause: the baseline rule stands in, without an article of its own",
    ),
    (OriginatorControl, Severity.NOTE, "no originator-control clause: the baseline rule stands in, without an article"),
    (Purpose, Severity.WARNING, "no purpose clause: any known purpose will do"),
    (Residency, Severity.WARNING, "no residency clause: ciphertext and keys may rest anywhere"),
    (Retention, Severity.WARNING, "no retention clause: the sender alone decides how long a report is kept"),
    (Embargo, Severity.NOTE, "no embargo clause: the baseline rule stands in, without an article of its own"),
    (PrecedenceRule, Severity.WARNING, "no precedence clause: everybody may send FLASH and IMMEDIATE"),
    (Suites, Severity.WARNING, "no suites clause: old keys and an old view of the key log are accepted"),
)
_SELDOM: tuple[tuple[type, Severity, str], ...] = (
    (PersonalDataRule, Severity.NOTE, "no personal-data clause: personal data flow like everything else"),
    (Audit, Severity.NOTE, "no audit clause: nobody is named for oversight, and traffic does not wait for the log"),
)
# An umbrella that says nothing of these leaves them to its arrangements, which are checked together with it.
_LEFT_TO_ARRANGEMENTS = frozenset({Ceiling, Purpose, Embargo, PrecedenceRule, PersonalDataRule})
_SINGLE = (Clearance, Releasability, OriginatorControl, Embargo)


def check(
    document: Document,
    vocabularies: Vocabularies,
    umbrella: Document | None = None,
    caveats: Sequence[Caveat] = (),
) -> tuple[Finding, ...]:
    """Give every finding, in the order of the rules; none has severity ERROR in a sound agreement.

    `umbrella` is the document an arrangement is under, `caveats` are national caveats on this agreement.
    """
    return (
        *_grants(document, vocabularies),
        *_ceilings(document),
        *_residency(document),
        *_single_kinds(document),
        *_allowed(document),
        *_precedence(document),
        *_spans(document),
        *kind_findings(document, vocabularies),
        *_equivalences(document),
        *umbrella_findings(document, umbrella),
        *caveat_findings(document, vocabularies, umbrella, caveats),
        *_hygiene(document, umbrella, _HYGIENE),
        *(warning(one.clause_id, f"this release does not carry it: {one.what}") for one in not_carried(document)),
        *(note(one.clause_id, f"decided, and not used yet: {one.what}") for one in unused(document)),
        *_unenforced(document),
        *_hygiene(document, umbrella, _SELDOM),
    )


def _grants(document: Document, words: Vocabularies) -> Iterator[Finding]:
    scopes = [clause for clause in document.clauses if isinstance(clause, Scope)]
    if document.kind == AgreementKind.UMBRELLA:
        yield note("", "an umbrella grants nothing: reports flow under its arrangements")
        return
    if not scopes:
        yield Finding(Severity.ERROR, "", "nothing is granted: no report can ever flow under this agreement")
    for position, scope in enumerate(scopes):
        for category in scope.categories:
            above = [one for one in words.lineage(category)[1:] if one in scope.categories]
            if above:
                message = f"category {category!r} is granted already by {above[0]!r} above it"
                yield Finding(Severity.ERROR, scope.id, message)
        for other_position, other in enumerate(scopes):
            same = other_position < position and _within(other, scope, words)
            if other is not scope and _within(scope, other, words) and not same:
                yield Finding(Severity.ERROR, scope.id, f"grants nothing that clause {other.id} does not grant")
                break
    for from_party, to_party in document.directions():
        if (from_party, to_party) not in document.granted_directions():
            yield Finding(Severity.WARNING, "", f"nothing is granted from {from_party} to {to_party}")


def _within(scope: Scope, other: Scope, words: Vocabularies) -> bool:
    """Say whether everything one grant permits the other permits too."""
    if (scope.from_party, scope.to_party) != (other.from_party, other.to_party):
        return False
    granted = frozenset[str]().union(*map(words.descendants, other.categories))
    return set(scope.kinds) <= set(other.kinds) and granted.issuperset(scope.categories)


def _flows(document: Document) -> tuple[tuple[str, str], ...]:
    """Give the directions in which something may flow: under an umbrella's arrangements in any."""
    return document.directions() if document.kind == AgreementKind.UMBRELLA else document.granted_directions()


def _ceilings(document: Document) -> Iterator[Finding]:
    granted = _flows(document)
    limits = [
        (clause, limit, document.rank_of((limit.from_party, limit.to_party), limit.level))
        for clause in document.clauses
        if isinstance(clause, Ceiling)
        for limit in clause.limits
    ]
    for clause, limit, rank in limits:
        direction = (limit.from_party, limit.to_party)
        name = f"the limit from {limit.from_party} to {limit.to_party}"
        table = document.equivalence(*direction)
        if direction not in granted:
            yield Finding(Severity.ERROR, clause.id, f"{name} limits nothing: no scope grants in this direction")
        if table is not None and rank == len(table.rows) - 1:
            yield Finding(Severity.WARNING, clause.id, f"{name} is the highest level of the table and limits nothing")
        for other, lower, other_rank in limits:
            if other is not clause and (lower.from_party, lower.to_party) == direction and _below(other_rank, rank):
                yield Finding(Severity.ERROR, clause.id, f"{name} is dead: clause {other.id} sets {lower.level}")


def _below(rank: int | None, other: int | None) -> bool:
    return rank is not None and other is not None and rank < other


def _residency(document: Document) -> Iterator[Finding]:
    senders = {from_party for from_party, _ in _flows(document)}
    for clause in document.clauses:
        if not isinstance(clause, Residency):
            continue
        for party in document.parties:
            if party in senders and party not in clause.regions:
                message = f"names no region for {party}: its grants can never permit"
                yield Finding(Severity.ERROR, clause.id, message)
            if party not in senders and party in clause.regions:
                yield Finding(
                    Severity.ERROR, clause.id, f"the regions for {party} are dead: nothing is granted from it"
                )
        for party, regions in clause.regions.items():
            if not any(broker.region in regions for broker in document.brokers.values()):
                message = f"no broker rests in a region for {party} ({', '.join(regions)}): its grants can never permit"
                yield Finding(Severity.ERROR, clause.id, message)
    for name, broker in document.brokers.items():
        for clause in document.clauses:
            if isinstance(clause, Residency) and not any(broker.region in one for one in clause.regions.values()):
                yield Finding(
                    Severity.WARNING, clause.id, f"broker {name!r} ({broker.region}) may hold nobody's information"
                )


def _single_kinds(document: Document) -> Iterator[Finding]:
    for kind in _SINGLE:
        found = [clause for clause in document.clauses if isinstance(clause, kind)]
        for clause in found[1:]:
            yield Finding(Severity.ERROR, clause.id, f"says again what clause {found[0].id} says")


def _allowed(document: Document) -> Iterator[Finding]:
    """Compare clauses of which each must hold: what one of them does not allow is dead in the others."""
    purposes = {one.id: one.purposes for one in document.clauses if isinstance(one, Purpose)}
    suites = {one.id: tuple(map(str, one.allowed)) for one in document.clauses if isinstance(one, Suites)}
    for what, found in (("purpose", purposes), ("suite", suites)):
        if not found:
            continue
        common = frozenset[str].intersection(*map(frozenset, found.values()))
        for clause_id, words in found.items():
            dead = [word for word in words if word not in common]
            if not common:
                yield Finding(
                    Severity.ERROR, clause_id, f"no {what} is allowed by every {what} clause: nothing can flow"
                )
            elif dead:
                yield Finding(Severity.ERROR, clause_id, f"another {what} clause does not allow {', '.join(dead)}")


def _precedence(document: Document) -> Iterator[Finding]:
    for clause in document.clauses:
        if not isinstance(clause, PrecedenceRule):
            continue
        for name, roles in (("FLASH", clause.flash), ("IMMEDIATE", clause.immediate)):
            if not roles:
                yield Finding(Severity.WARNING, clause.id, f"nobody may send {name}")
        missing = [role for role in clause.flash if role not in clause.immediate]
        if missing and clause.immediate:
            message = f"{', '.join(missing)} may send FLASH but not IMMEDIATE"
            yield Finding(Severity.WARNING, clause.id, message)
        if sooner_for_lower(clause.read_within):
            yield Finding(Severity.ERROR, clause.id, "a lower precedence is to be read sooner than a higher one")


def _spans(document: Document) -> Iterator[Finding]:
    found = [clause for clause in document.clauses if isinstance(clause, Retention)]
    shortest = min((clause.longest.milliseconds for clause in found), default=0)
    first = next((clause for clause in found if clause.longest.milliseconds == shortest), None)
    for clause in found:
        if first is not None and clause is not first:
            yield Finding(Severity.ERROR, clause.id, f"is dead: clause {first.id} allows no longer keeping")


def _equivalences(document: Document) -> Iterator[Finding]:
    for table in document.equivalences:
        name = f"equivalence from {table.from_party} to {table.to_party}"
        direct = [counterpart for _, counterpart in table.rows if isinstance(counterpart, str)]
        for level in dict.fromkeys(direct):
            if direct.count(level) > 1:
                message = f"{name}: two levels become {level}; write {{ none = true, protect_as }} where one is lacking"
                yield Finding(Severity.WARNING, "", message)
        lacking = _lacked_by(document, table.from_party, table.to_party)
        levels = (level for level in document.levels_of(table.to_party) if level not in lacking)
        unused = [level for level in levels if level not in table.protected_as]
        if unused:
            message = f"{name}: an accreditation of {table.to_party} for {', '.join(unused)} covers nothing"
            yield Finding(Severity.WARNING, "", message)
        yield from _lacking(table, name)
    begins = {
        direction: tables[0].valid_from
        for direction in document.directions()
        if (tables := document.equivalences_of(*direction))
    }
    for (from_party, to_party), day in begins.items():
        if day > min(begins.values()):
            message = f"equivalence from {from_party} to {to_party}: nothing flows that was made before {day}"
            yield Finding(Severity.WARNING, "", message)


def _lacked_by(document: Document, party: str, other: str) -> frozenset[str]:
    """Give the levels of the other party for which a table says that this party has none."""
    back = document.equivalence(other, party)
    return frozenset(level for level, own in back.rows if isinstance(own, NoLevel)) if back is not None else frozenset()


def _lacking(table: Equivalence, name: str) -> Iterator[Finding]:
    for level, counterpart in table.rows:
        if isinstance(counterpart, NoLevel):
            message = f"{name}: {table.to_party} has no {level} and protects it as {counterpart.protect_as}"
            yield Finding(Severity.NOTE, "", message)


def _hygiene(
    document: Document, umbrella: Document | None, wanted: tuple[tuple[type, Severity, str], ...]
) -> Iterator[Finding]:
    clauses = (*document.clauses, *(umbrella.clauses if umbrella is not None else ()))
    left = _LEFT_TO_ARRANGEMENTS if document.kind == AgreementKind.UMBRELLA else frozenset[type]()
    for kind, severity, message in wanted:
        if kind not in left and not any(isinstance(clause, kind) for clause in clauses):
            yield Finding(severity, "", message)


def _unenforced(document: Document) -> Iterator[Finding]:
    for one in document.invariants:
        yield note("", f"invariant {one.id}, which decides nothing and is proved: {invariant_gloss(one)}")
    for clause in document.clauses:
        words = _recorded(clause)
        if words:
            yield note(clause.id, words)
    yield note("", "[interpretation] is recorded: the parties consult by hand")


def _recorded(clause: Clause) -> str:
    match clause:
        case Article():
            return f"recorded, not enforced: an article on {clause.topic}"
        case _:
            return ""
