"""Dead parameters and contradictions by clause kind: the part of `check` about levels, people, numbers and times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from comity_policy.check_finding import Finding, error, warning
from comity_policy.clauses import (
    Acknowledge,
    Audit,
    Authorities,
    Breach,
    Carrier,
    Channel,
    Clause,
    Clearance,
    Copies,
    Disputes,
    DualControl,
    Emergency,
    End,
    LevelRow,
    NeedToKnow,
    OnFailure,
    Onward,
    Passage,
    PersonalDataRule,
    Purpose,
    Quota,
    Reproduction,
    Retention,
    Scope,
    Span,
    Survives,
)
from comity_policy.facts import Kind, Point, Precedence
from comity_policy.sections import AgreementKind, Document
from comity_policy.vocabulary import Vocabularies


def kind_findings(document: Document, words: Vocabularies) -> Iterator[Finding]:
    """Give what is dead in, or contradicts, each clause, in the document's order."""
    for clause in document.clauses:
        if document.kind == AgreementKind.UMBRELLA and clause.grant:
            yield error(clause.id, "is dead: an umbrella grants nothing, its arrangements do")
        match clause:
            case Clearance():
                yield from _only_lowest(clause, clause.officer_from)
                yield from _senders(document, clause, clause.officer_from)
            case NeedToKnow():
                yield from _need_to_know(document, clause)
            case Onward():
                yield from _onward(document, clause, words)
            case PersonalDataRule():
                yield from _personal_data(document, clause)
            case Channel():
                yield from _channel(document, clause)
            case Retention():
                yield from _senders(document, clause, clause.end)
                yield from _same_as_below(clause, [(row, row.end) for row in clause.end], End.DESTROY)
            case Reproduction():
                yield from _senders(document, clause, clause.rows)
                yield from _same_as_below(clause, [(row, row.copies) for row in clause.rows], Copies.FREE)
            case Quota():
                yield from _quota(document, clause)
            case DualControl():
                yield from _only_lowest(clause, clause.from_levels)
                yield from _senders(document, clause, clause.from_levels)
            case Acknowledge():
                yield from _acknowledge(clause)
            case Emergency():
                yield from _emergency(document, clause)
            case _:
                yield from _duties(document, clause)


def sooner_for_lower(spans: Mapping[str, Span]) -> bool:
    """Say whether a lower precedence has a shorter time than a higher one."""
    lengths = [spans[one.name].milliseconds for one in Precedence if one.name in spans]
    return lengths != sorted(lengths)


def _senders(document: Document, clause: Clause, rows: Sequence[LevelRow]) -> Iterator[Finding]:
    granted = document.granted_directions()
    senders = {from_party for from_party, _ in granted}
    for party in dict.fromkeys(row.party for row in rows):
        if granted and party not in senders:
            yield error(clause.id, f"the rows of {party} are dead: nothing is granted from it")


def _only_lowest(clause: Clause, rows: Sequence[LevelRow]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for row in rows:
        lowest = seen.setdefault(row.party, row.level)
        if lowest != row.level:
            yield error(clause.id, f"the row of {row.party} from {row.level} is dead: {lowest} is below it")


def _same_as_below(clause: Clause, rows: Sequence[tuple[LevelRow, object]], below: object) -> Iterator[Finding]:
    before: dict[str, object] = {}
    for row, word in rows:
        if before.get(row.party, below) == word:
            yield error(clause.id, f"the row of {row.party} from {row.level} is dead: {word} holds below it already")
        before[row.party] = word


def _need_to_know(document: Document, clause: NeedToKnow) -> Iterator[Finding]:
    granted = document.granted_directions()
    receivers = {to_party for _, to_party in granted}
    for row in clause.rows:
        if granted and row.party not in receivers:
            yield error(clause.id, f"the row of {row.party} is dead: nothing is granted to it")


def _onward(document: Document, clause: Onward, words: Vocabularies) -> Iterator[Finding]:
    if len(document.parties) == 2:
        yield warning(clause.id, "grants nothing: of two parties nobody is left to whom anything could be passed on")
    scopes = [one for one in document.clauses if isinstance(one, Scope)]
    for one in clause.pre_approved:
        direction = (one.from_party, one.to_party)
        name = f"the pre-approval of {one.category} from {one.from_party} to {one.to_party}"
        below = words.descendants(one.category)
        matching = [
            scope
            for scope in scopes
            if (scope.from_party, scope.to_party) == direction
            and any(words.descendants(category) & below for category in scope.categories)
        ]
        if not matching:
            yield error(clause.id, f"{name} is dead: no scope grants it in this direction")
        elif one.portions is Passage.TEARLINE and not any(Kind.TEARLINE.word in scope.kinds for scope in matching):
            yield error(clause.id, f"{name} is dead: no scope grants tearlines of it")


def _personal_data(document: Document, clause: PersonalDataRule) -> Iterator[Finding]:
    for other in document.clauses:
        if isinstance(other, Purpose):
            dead = [word for word in clause.purposes if word not in other.purposes]
            if len(dead) == len(clause.purposes):
                yield error(clause.id, f"no purpose of it is one of clause {other.id}: personal data can never flow")
            elif dead:
                yield error(clause.id, f"clause {other.id} does not allow {', '.join(dead)}")


def _channel(document: Document, clause: Channel) -> Iterator[Finding]:
    yield from _senders(document, clause, clause.rows)
    yield from _same_as_below(clause, [(row, row.by) for row in clause.rows], Carrier.BROKER)
    for row in clause.rows:
        levels = document.levels_of(row.party)
        if row.by is not Carrier.BROKER and levels and row.level == levels[0]:
            others = [one for one in clause.rows if one.party == row.party and one.by is Carrier.BROKER]
            if not others:
                message = f"no broker carries anything of {row.party}: its grants can never permit"
                yield error(clause.id, message)


def _quota(document: Document, clause: Quota) -> Iterator[Finding]:
    direction = (clause.from_party, clause.to_party)
    granted = document.granted_directions()
    if granted and direction not in granted:
        yield error(clause.id, "limits nothing: no scope grants in this direction")
    for other in document.clauses:
        if not isinstance(other, Quota) or other is clause or (other.from_party, other.to_party) != direction:
            continue
        same = (other.window, other.reports, other.bytes) == (clause.window, clause.reports, clause.bytes)
        later = document.clauses.index(clause) > document.clauses.index(other)
        tighter = other.window == clause.window and other.reports <= clause.reports and other.bytes <= clause.bytes
        if tighter and (later or not same):
            yield error(clause.id, f"is dead: clause {other.id} allows no more in the same window")


def _acknowledge(clause: Acknowledge) -> Iterator[Finding]:
    if sooner_for_lower(clause.within):
        yield error(clause.id, "a lower precedence is to be acknowledged sooner than a higher one")
    if clause.stop_after is None:
        yield warning(clause.id, "stops nothing: what is overdue is escalated only")


def _emergency(document: Document, clause: Emergency) -> Iterator[Finding]:
    receivers = {to_party for _, to_party in document.granted_directions()}
    for party in clause.to:
        if party not in receivers:
            yield error(clause.id, f"lifts nothing to {party}: nothing is granted to it")
    if clause.onward and not any(isinstance(one, Onward) for one in document.clauses):
        yield error(clause.id, "onward = true lifts nothing: without an onward clause nothing is passed on")


def _duties(document: Document, clause: Clause) -> Iterator[Finding]:
    match clause:
        case Survives():
            for one in document.clauses:
                if one.id in clause.clauses and one.points and Point.OPENING not in one.points:
                    yield warning(
                        clause.id, f"clause {one.id} is not decided on what is held: that it survives changes nothing"
                    )
        case Audit():
            if clause.on_failure is OnFailure.DEGRADE:
                yield warning(clause.id, "traffic goes on while the log takes no entries")
            if not clause.oversight:
                yield warning(clause.id, "names no body of oversight")
        case Breach():
            spans = [one.milliseconds for one in (clause.notify, clause.initial_report, clause.measures)]
            if spans != sorted(spans):
                yield error(clause.id, "notification, initial report and measures do not follow one another")
        case Disputes():
            if clause.escalate.milliseconds < clause.consult.milliseconds:
                yield error(clause.id, "a dispute is escalated before the consultation is over")
        case Authorities():
            named = {contact.party for contact in clause.contacts}
            for party in document.parties:
                if party not in named:
                    yield warning(clause.id, f"names no authority of {party}")
        case _:
            return
