"""The glosses of clauses that say how information is sent, kept and used, and of those about the agreement itself."""

from __future__ import annotations

from comity_policy.clauses import (
    Acknowledge,
    Audit,
    Authorities,
    Breach,
    Capabilities,
    Consent,
    Disputes,
    DualControl,
    Emergency,
    OnFailure,
    PrecedenceRule,
    Quota,
    Relabel,
    Reproduction,
    Retention,
    SecurityMeasures,
    Suites,
    Survives,
    UseRule,
    Window,
)
from comity_policy.clauses import End as Ending
from comity_policy.phrases import by_level, by_precedence, counted, joined, roles_words, sentence, span_words

Handling = (
    Retention
    | Reproduction
    | Quota
    | PrecedenceRule
    | DualControl
    | Acknowledge
    | Suites
    | Capabilities
    | UseRule
    | Relabel
    | Emergency
    | Survives
    | Audit
    | Breach
    | Disputes
    | SecurityMeasures
    | Authorities
)

_ENDINGS = {Ending.DESTROY: "is destroyed", Ending.RETURN: "is returned", Ending.ASK: "waits for the originator's word"}
_WINDOWS = {
    Window.HOUR: "full hour (UTC)",
    Window.DAY: "day that begins at 00:00 UTC",
    Window.WEEK: "week that begins on Monday at 00:00 UTC",
}


def gloss_of_handling(clause: Handling) -> str:
    """Give one plain English sentence that states every field of the clause."""
    match clause:
        case Retention():
            return _retention(clause)
        case Reproduction():
            rows = by_level((row, f"is copied and translated {_copying(row.copies)}") for row in clause.rows)
            return f"{sentence([rows])}; below these levels freely."
        case Quota():
            return (
                f"From {clause.from_party} to {clause.to_party} at most {counted(clause.reports, 'report')} and "
                f"{counted(clause.bytes, 'byte')} are admitted in each {_WINDOWS[clause.window]}."
            )
        case PrecedenceRule():
            return _precedence(clause)
        case DualControl():
            rows = joined((f"of {row.party} from {row.level} on" for row in clause.from_levels), "and")
            return (
                f"Information {rows} is admitted only with the approval of at least {clause.officers} different officers of the "
                "sending party, given to that very report, which itself says that so many must approve."
            )
        case Acknowledge():
            return _acknowledge(clause)
        case Suites():
            return (
                f"Reports are sealed only with {'suite' if len(clause.allowed) == 1 else 'suites'} "
                f"{joined((str(one) for one in clause.allowed), 'or')}, with keys that are at most "
                f"{span_words(clause.oldest_key)} old, by nodes whose view of the key log is at most "
                f"{span_words(clause.oldest_key_log_view)} old."
            )
        case Capabilities():
            return _capabilities(clause)
        case UseRule():
            return _use(clause)
        case Relabel():
            return (
                f"Only the originator changes a marking, with notice of {span_words(clause.notice)}; a marking lapses after "
                f"{counted(clause.lapse_years, 'year')}."
            )
        case Emergency():
            return _emergency(clause)
        case Survives():
            noun = "clause" if len(clause.clauses) == 1 else "clauses"
            return (
                f"After the end of the agreement {noun} {joined(clause.clauses, 'and')} still bind for what is held, which may "
                "be read on under them, until the originator releases the holder."
            )
        case _:
            return _duty(clause)


def _duty(clause: Audit | Breach | Disputes | SecurityMeasures | Authorities) -> str:
    match clause:
        case Audit():
            return _audit(clause)
        case Breach():
            return (
                f"A breach is notified within {span_words(clause.notify)}, reported for the first time within "
                f"{span_words(clause.initial_report)}, and answered with measures within {span_words(clause.measures)}."
            )
        case Disputes():
            return (
                f"The parties consult about a dispute for {span_words(clause.consult)}; after "
                f"{span_words(clause.escalate)} it is escalated."
            )
        case SecurityMeasures():
            return (
                "Each party protects what it receives as it protects its own of the corresponding level, and attests the "
                f"accreditation of its nodes anew at least every {span_words(clause.attest_every)}."
            )
        case Authorities():
            contacts = (f"for {one.party} the {one.role} is {one.name} ({one.contact})" for one in clause.contacts)
            return f"{sentence(contacts)}."


def _retention(clause: Retention) -> str:
    longest = span_words(clause.longest)
    parts = [
        (
            f"nothing is kept longer than {longest}: a report expires at most that long after it was made, and is not opened later "
            "than that after it was admitted"
        )
    ]
    if clause.end:
        ends = by_level((row, _ENDINGS[row.end]) for row in clause.end)
        parts.append(f"at the end {ends}, everything below these levels is destroyed")
    else:
        parts.append("at the end it is destroyed")
    parts.append(
        f"its holder signs a certificate of that with {counted(clause.witnesses, 'witness', 'witnesses')}"
        if clause.witnesses
        else "its holder alone signs a certificate of that"
    )
    parts.append(f"destruction in an emergency is {'' if clause.emergency_destruction else 'not '}allowed")
    return f"{sentence(parts)}."


def _copying(copies: str) -> str:
    return {"free": "freely", "registered": "only where the copy is registered"}.get(
        copies, "only with the originator's consent"
    )


def _precedence(clause: PrecedenceRule) -> str:
    parts = [
        f"FLASH may be used by {roles_words(clause.flash)}",
        f"IMMEDIATE by {roles_words(clause.immediate)}",
        "PRIORITY and ROUTINE by everybody",
    ]
    if clause.read_within:
        parts.append(f"messages are to be read: {by_precedence(clause.read_within)}")
    return f"{sentence(parts)}."


def _acknowledge(clause: Acknowledge) -> str:
    text = f"A recipient acknowledges a message: {by_precedence(clause.within)}"
    if clause.stop_after is None:
        return f"{text}; what is overdue is escalated and stops nothing."
    return (
        f"{text}; once an acknowledgement is overdue by more than {span_words(clause.stop_after)}, nothing of PRIORITY or "
        "ROUTINE goes to that party until it is given; FLASH and IMMEDIATE always do."
    )


def _use(clause: UseRule) -> str:
    words = {Consent.FREE: "free", Consent.CONSENT: "only with the originator's consent"}
    caveats = joined((f"{language}: {text.strip()!r}" for language, text in clause.caveat.items()), "and")
    return (
        f"Whoever opens a report first sees and acknowledges the caveat ({caveats}); its use as evidence is "
        f"{words[clause.evidence]}, action on it is {words[clause.action_on]}."
    )


def _capabilities(clause: Capabilities) -> str:
    asked = [
        *(f"speaks version {one} of the wire protocol" for one in clause.wire),
        *(f"opens and seals suite {one}" for one in clause.suites),
        *([f"enforces {joined(clause.obligations, 'and')}"] if clause.obligations else []),
    ]
    return (
        "Reports go only between nodes of which each has stated, signed by itself, that its software "
        f"{joined(asked, 'and')}."
    )


def _emergency(clause: Emergency) -> str:
    lifted = "quota, acknowledgement, dual control and embargo"
    if clause.onward:
        onward = ", and the originator's prior consent to passing on what it marked as a warning,"
    else:
        onward = ", but not the originator's consent to passing on,"
    return (
        f"Under a duty officer's signed declaration of a threat to life, what goes to {joined(clause.to, 'or')} is not held up by "
        f"{lifted}{onward} which become duties to review within {span_words(clause.review_within)}; nothing else is lifted."
    )


def _audit(clause: Audit) -> str:
    bodies = joined((f"{one.body} of {one.party} (access: {one.access})" for one in clause.oversight), "and")
    oversight = (
        f"oversight is by {bodies}, who are no third parties" if clause.oversight else "no body of oversight is named"
    )
    failure = (
        "nothing is admitted while the log takes no entries or lacks its quorum"
        if clause.on_failure is OnFailure.HALT
        else "traffic goes on while the log takes no entries or lacks its quorum"
    )
    return f"{sentence([oversight, f'the log is kept for {span_words(clause.keep_log)}', failure])}."
