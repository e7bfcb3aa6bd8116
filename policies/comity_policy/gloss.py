"""The gloss of a clause: the one English sentence its fields mean, printed beside the text that lawyers wrote.

A lawyer certifies per clause that the gloss expresses the text; so a gloss states every field, in the document's order,
adds nothing, and never abbreviates a list. `status_words` says whether a machine decides the clause and where.
"""

from __future__ import annotations

from comity_policy.clauses import (
    Article,
    Ceiling,
    CeilingLimit,
    Channel,
    Clause,
    Clearance,
    Embargo,
    Exclude,
    NeedRow,
    NeedToKnow,
    Onward,
    OriginatorControl,
    Passage,
    PersonalDataRule,
    PreApproval,
    Purpose,
    Relabel,
    Releasability,
    Residency,
    Scope,
    Special,
    Status,
)
from comity_policy.facts import Point
from comity_policy.gloss_handling import gloss_of_handling
from comity_policy.phrases import by_level, counted, joined, kinds_words, sentence, span_words, them
from comity_policy.sections import Document

_POINTS = {Point.EGRESS: "egress", Point.ADMISSION: "admission", Point.OPENING: "opening"}


def gloss(clause: Clause | Exclude, document: Document) -> str:
    """Give one plain English sentence that states every field of the clause."""
    match clause:
        case Scope():
            return (
                f"{clause.from_party} may send {clause.to_party} messages of {kinds_words(clause.kinds)} about "
                f"{joined(clause.categories, 'and')}, with everything below {them(clause.categories)} in the tree of "
                "categories, where every requirement of this agreement holds as well."
            )
        case Ceiling():
            return f"{sentence(_limit(limit, document) for limit in clause.limits)}."
        case Clearance():
            return _clearance(clause)
        case Releasability():
            return (
                "A portion that is classified or carries a dissemination control goes only to a party named in its REL TO; "
                "unmarked is not releasable."
            )
        case NeedToKnow():
            rows = joined((_need(row) for row in clause.rows), "and")
            return f"Information goes only, and is opened only, where there is a need to know: {rows}; nowhere else."
        case OriginatorControl():
            return (
                "What is marked ORCON goes on from anybody but its originator only with the originator's grant for that "
                "very report."
            )
        case Onward():
            return _onward(clause)
        case PersonalDataRule():
            return _personal_data(clause)
        case Purpose():
            return (
                f"The sender states, and whoever opens repeats, one purpose out of {joined(clause.purposes, 'or')}; the "
                "recipient may use the information for that purpose only."
            )
        case Residency():
            parts = (
                f"information of {party} may rest, as ciphertext or as keys, only in {joined(regions, 'or')}"
                for party, regions in clause.regions.items()
            )
            return f"{sentence(parts)}; that of any other party nowhere."
        case Channel():
            rows = by_level((row, f"goes by {row.by}") for row in clause.rows)
            return f"The {rows}; a broker carries nothing that must go otherwise, and everything below these levels."
        case Exclude():
            return _exclude(clause)
        case Embargo():
            return (
                "A report with an embargo is admitted and stored, but neither handed over nor opened before that time, which "
                "must be earlier than its expiry."
            )
        case Article():
            return f"Recorded under the topic {clause.topic.replace('-', ' ')!r}: all parties signed it, no machine decides it."
        case _:
            return gloss_of_handling(clause)


_BY = {Status.ENFORCED: "enforced", Status.TRACKED: "tracked", Status.RECORDED: "recorded"}


def status_words(clause: Clause | Exclude) -> str:
    """Give what an auditor asks first, e.g. ``enforced at egress and admission, tracked`` or ``recorded``.

    What is tracked is a row of the ledger of duties (`obligations`), but for what this release leaves to people.
    """
    by_hand = isinstance(clause, Relabel)
    words = []
    for status in clause.status:
        points = [word for point, word in _POINTS.items() if point in clause.points]
        if status is Status.ENFORCED and points:
            words.append(f"{status} at {joined(points, 'and')}")
        else:
            words.append("tracked by hand" if by_hand and status is Status.TRACKED else _BY[status])
    return ", ".join(words)


def _limit(limit: CeilingLimit, document: Document) -> str:
    table = document.equivalence(limit.from_party, limit.to_party)
    protected = ""
    if table is not None and limit.level in table.levels:
        protected = f" (which {limit.to_party} protects as {table.protected_as[table.levels.index(limit.level)]})"
    return f"from {limit.from_party} to {limit.to_party} nothing above {limit.level}{protected} flows"


def _clearance(clause: Clearance) -> str:
    accredited = (
        "Classified information goes only to a node whose accreditation, attested by its own party's security "
        "authority and current, covers the level under the table of equivalence of that direction"
    )
    if not clause.officer_from:
        return f"{accredited}."
    rows = joined((f"of {row.party} from {row.level} on" for row in clause.officer_from), "and")
    return (
        f"{accredited}; information {rows} is opened only by an officer whose personal clearance, attested and current, "
        "covers the level as well."
    )


def _need(row: NeedRow) -> str:
    named = [
        f"the {noun if len(words) == 1 else many} {joined(words, 'or')}"
        for words, noun, many in (
            (row.offices, "office", "offices"),
            (row.communities, "community", "communities"),
            (row.officers, "officer", "officers"),
        )
        if words
    ]
    return f"in {row.party} for {joined(named, 'or')}"


def _onward(clause: Onward) -> str:
    text = (
        "A party may pass on what it received to another party of this agreement, where the agreement is in force between that "
        "party and the originator, no dispute is open about the report, it passes on at most "
        f"{counted(clause.max_hops, 'time')}, and the originator granted it for that very report"
    )
    if not clause.pre_approved:
        return f"{text}; nothing is approved beforehand."
    return f"{text} or approved it beforehand: {'; '.join(map(_pre_approval, clause.pre_approved))}."


def _pre_approval(one: PreApproval) -> str:
    what = "every kind of message" if one.portions is Passage.ANY else "only tearlines"
    return (
        f"what comes from {one.from_party} may go on to {one.to_party}, {what}, about {one.category}, with everything below "
        "it in the tree of categories"
    )


def _personal_data(clause: PersonalDataRule) -> str:
    special = "flow like others" if clause.special_categories is Special.ALLOW else "do not flow"
    return (
        f"A portion with personal data flows and is opened only for {joined(clause.purposes, 'or')}, with the data of at most "
        f"{counted(clause.persons_max, 'person')}; special categories of personal data {special}; whoever holds personal data "
        f"reviews every {span_words(clause.review_every)} whether it is still needed, and corrects it within "
        f"{span_words(clause.correct_within)} of learning that it is wrong."
    )


def _exclude(clause: Exclude) -> str:
    kinds = f"messages of {kinds_words(clause.kinds)}" if clause.kinds else "messages of any kind"
    about = "anything"
    if clause.categories:
        words = joined(clause.categories, "or")
        about = f"{words}, with everything below {them(clause.categories)} in the tree of categories"
    to = joined(clause.to, "or") if clause.to else "any party"
    return f"No {kinds} about {about} go to {to}."
