"""The gloss of a clause: the one English sentence its fields mean, printed beside the text that lawyers wrote.

A lawyer certifies per clause that the gloss expresses the text; so a gloss states every field, in the document's order,
adds nothing, and never abbreviates a list. `status_words` says whether a machine decides the clause and where.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from comity_policy.clauses import (
    Article,
    Ceiling,
    CeilingLimit,
    Clause,
    Clearance,
    Embargo,
    OriginatorControl,
    PrecedenceRule,
    Purpose,
    Releasability,
    Residency,
    Retention,
    Scope,
    Span,
    Status,
    Suites,
)
from comity_policy.facts import Point
from comity_policy.sections import Document

_POINTS = {Point.EGRESS: "egress", Point.ADMISSION: "admission", Point.OPENING: "opening"}


def gloss(clause: Clause, document: Document) -> str:
    """Give one plain English sentence that states every field of the clause."""
    match clause:
        case Scope():
            return (
                f"{clause.from_party} may send {clause.to_party} messages of {_kinds(clause.kinds)} about "
                f"{_joined(clause.categories, 'and')}, with everything below {_it(clause.categories)} in the tree of "
                "categories, where every requirement of this agreement holds as well."
            )
        case Ceiling():
            return f"{_sentence(_limit(limit, document) for limit in clause.limits)}."
        case Clearance():
            return (
                "Classified information goes only to a node whose accreditation, attested by its own party's security "
                "authority and current, covers the level under the table of equivalence of that direction."
            )
        case Releasability():
            return (
                "A portion that is classified or carries a dissemination control goes only to a party named in its REL TO; "
                "unmarked is not releasable."
            )
        case OriginatorControl():
            return (
                "What is marked ORCON goes on from anybody but its originator only with the originator's grant for that "
                "very report."
            )
        case Purpose():
            return (
                f"The sender states, and whoever opens repeats, one purpose out of {_joined(clause.purposes, 'or')}; the "
                "recipient may use the information for that purpose only."
            )
        case Residency():
            parts = (
                f"information of {party} may rest, as ciphertext or as keys, only in {_joined(regions, 'or')}"
                for party, regions in clause.regions.items()
            )
            return f"{_sentence(parts)}; that of any other party nowhere."
        case Retention():
            return (
                f"Nothing is kept longer than {_span(clause.longest)}: a report expires at most that long after it was made, "
                "and is not opened later than that after it was admitted."
            )
        case Embargo():
            return (
                "A report with an embargo is admitted and stored, but neither handed over nor opened before that time, which "
                "must be earlier than its expiry."
            )
        case PrecedenceRule():
            return _precedence(clause)
        case Suites():
            return (
                f"Reports are sealed only with {'suite' if len(clause.allowed) == 1 else 'suites'} "
                f"{_joined((str(one) for one in clause.allowed), 'or')}, with keys that are at most "
                f"{_span(clause.oldest_key)} old, by nodes whose view of the key log is at most "
                f"{_span(clause.oldest_key_log_view)} old."
            )
        case Article():
            return f"Recorded under the topic {clause.topic.replace('-', ' ')!r}: all parties signed it, no machine decides it."


def status_words(clause: Clause) -> str:
    """Give what an auditor asks first, e.g. ``enforced at egress and admission, tracked`` or ``recorded``."""
    words = []
    for status in clause.status:
        points = [word for point, word in _POINTS.items() if point in clause.points]
        words.append(f"{status} at {_joined(points, 'and')}" if status is Status.ENFORCED and points else str(status))
    return ", ".join(words)


def _limit(limit: CeilingLimit, document: Document) -> str:
    table = document.equivalence(limit.from_party, limit.to_party)
    protected = ""
    if table is not None and limit.level in table.levels:
        protected = f" (which {limit.to_party} protects as {table.protected_as[table.levels.index(limit.level)]})"
    return f"from {limit.from_party} to {limit.to_party} nothing above {limit.level}{protected} flows"


def _precedence(clause: PrecedenceRule) -> str:
    parts = [
        f"FLASH may be used by {_roles(clause.flash)}",
        f"IMMEDIATE by {_roles(clause.immediate)}",
        "PRIORITY and ROUTINE by everybody",
    ]
    within = [f"{word} within {_span(span)}" for word, span in clause.read_within.items()]
    if within:
        parts.append(f"messages are to be read: {_joined(within, 'and')}")
    return f"{_sentence(parts)}."


def _kinds(kinds: Sequence[str]) -> str:
    return f"the kind{'s' if len(kinds) > 1 else ''} {_joined(kinds, 'and')}"


def _roles(roles: Sequence[str]) -> str:
    return f"the {_joined(roles, 'or')}" if roles else "nobody"


def _it(words: Sequence[str]) -> str:
    return "them" if len(words) > 1 else "it"


def _sentence(parts: Iterable[str]) -> str:
    text = "; ".join(parts)
    return text[:1].upper() + text[1:]


def _joined(words: Iterable[str], last: str) -> str:
    listed = list(words)
    if not listed:
        return "none"
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} {last} {listed[-1]}"


def _span(span: Span) -> str:
    parts = [
        f"{count} {unit if count == 1 else unit + 's'}"
        for count, unit in ((span.weeks, "week"), (span.days, "day"), (span.hours, "hour"), (span.minutes, "minute"))
        if count
    ]
    return _joined(parts, "and")
