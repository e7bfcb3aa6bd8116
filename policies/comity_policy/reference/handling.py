"""The clause kinds of handling in the reference interpreter.

Need to know, passing on, personal data, channels, copies, quotas, approvals, acknowledgements, use, changed markings,
emergencies, the log.

Source: docs/policy-semantics.md, "Words" and "Clauses", one function a row.
"""

from __future__ import annotations

from collections.abc import Sequence

from comity_policy.clauses import (
    Acknowledge,
    Audit,
    Carrier,
    Channel,
    Clearance,
    Consent,
    Copies,
    DualControl,
    LevelRow,
    NeedToKnow,
    OnFailure,
    Onward,
    Passage,
    PersonalDataRule,
    PreApproval,
    Quota,
    Reproduction,
    Special,
    UseRule,
)
from comity_policy.decision import Reason
from comity_policy.facts import Kind, PersonalData, Point, Precedence, Reader, Use
from comity_policy.reference.case import (
    Case,
    Reasons,
    as_number,
    as_reader,
    as_text,
    as_truth,
    as_usage,
    as_use,
    as_words,
    covered_rank,
    is_within,
    rank_of,
)


def own_rows(case: Case, rows: Sequence[LevelRow]) -> list[tuple[int | None, int]]:
    """Give (rank, position) of the rows of the sending party; an unknown rank is None."""
    return [(rank_of(case, row.level), position) for position, row in enumerate(rows) if row.party == case.sender]


def row_of(case: Case, rows: Sequence[LevelRow]) -> tuple[int | None, bool]:
    """Give the position of the row of the portion (None: no row), and whether a rank that it takes is unknown."""
    own = own_rows(case, rows)
    if not own:
        return None, False
    rank = rank_of(case, case.label.classification)
    if rank is None or any(one is None for one, _ in own):
        return None, True
    reached = [(one, -position) for one, position in own if one is not None and one <= rank]
    return (-max(reached)[1] if reached else None), False


def is_declared(case: Case) -> bool:
    """Say whether the report carries a declaration of emergency that was verified."""
    return case.profile.emergency != b"" and case.moment.emergency_declared is True


def is_lifted(case: Case) -> bool:
    """Say whether an emergency clause lifts what may be lifted."""
    return is_declared(case) and any(case.recipient in one.to for one in case.emergencies)


def is_lifted_onward(case: Case) -> bool:
    """Say whether an emergency clause stands in for the originator's prior consent to pass this portion on."""
    return (
        is_declared(case)
        and case.portion.warn
        and any(one.onward and case.recipient in one.to for one in case.emergencies)
    )


def onward_grant(case: Case) -> bool | None:
    """Say whether it is granted onward; None where nobody attested it."""
    return True if is_lifted_onward(case) else as_truth(case.moment.onward_grant)


def onward_clauses(case: Case) -> list[Onward]:
    """Give the onward clauses that are not suspended."""
    every = [one for one in case.document.clauses if isinstance(one, Onward)]
    return [one for one in every if one.id not in case.state.suspended_clauses]


def onward(case: Case) -> Reasons:
    """Judge the baseline row: passing on needs a clause, few enough hops, no dispute, and consent."""
    direct = as_truth(case.moment.direct)
    if direct is True:
        return
    if direct is None:
        yield Reason.FACT_MISSING
        return
    clauses = onward_clauses(case)
    if not clauses:
        yield Reason.DENIED
        return
    disputed, hops = as_truth(case.moment.disputed), as_number(case.moment.hops)
    if disputed is None or hops is None:
        yield Reason.FACT_MISSING
    if disputed is True:
        yield Reason.DENIED
    if hops is not None and not 1 <= hops <= max(one.max_hops for one in clauses):
        yield Reason.DENIED
    if not any(_is_approved(case, one) for clause in clauses for one in clause.pre_approved):
        granted = onward_grant(case)
        if granted is None:
            yield Reason.FACT_MISSING
        elif not granted:
            yield Reason.DENIED


def _is_approved(case: Case, one: PreApproval) -> bool:
    categories = case.profile.categories
    return (
        (one.from_party, one.to_party) == (case.sender, case.recipient)
        and len(categories) > 0
        and all(is_within(case, category, (one.category,)) for category in categories)
        and (one.portions is Passage.ANY or case.profile.kind is Kind.TEARLINE)
    )


def officer_clearance(case: Case, clause: Clearance) -> Reasons:
    """Judge the part of a clearance clause that asks for the reader's own clearance."""
    own = own_rows(case, clause.officer_from)
    if case.point is not Point.OPENING or not own:
        return
    rank = rank_of(case, case.label.classification)
    known = [one for one, _ in own if one is not None]
    if rank is None or len(known) < len(own):
        yield Reason.FACT_MISSING
        return
    if rank < min(known):
        return
    reader = as_reader(case.moment.reader)
    level = None if reader is None else as_text(reader.clearance_level)
    until = None if reader is None else as_number(reader.clearance_until)
    covered = None if level is None else covered_rank(case, level)
    if until is None or covered is None:
        yield Reason.FACT_MISSING
    elif case.moment.now >= until or covered < rank:
        yield Reason.DENIED


def need_to_know(case: Case, clause: NeedToKnow) -> Reasons:
    """Judge a need-to-know clause."""
    rows = [one for one in clause.rows if one.party == case.recipient]
    if not rows:
        yield Reason.DENIED
        return
    offices = {word for row in rows for word in row.offices}
    communities = {word for row in rows for word in row.communities}
    officers = {word for row in rows for word in row.officers}
    if case.point is Point.OPENING:
        reader = as_reader(case.moment.reader)
        if reader is None:
            yield Reason.FACT_MISSING
        elif not _is_among(reader, offices, communities, officers):
            yield Reason.DENIED
        return
    if any(one.party == case.recipient and one.officer in officers for one in case.profile.addressees if one.officer):
        return
    held = [(offices, as_words(case.node.offices)), (communities, as_words(case.node.communities))]
    if any(words is not None and not named.isdisjoint(words) for named, words in held):
        return
    yield Reason.FACT_MISSING if any(named and words is None for named, words in held) else Reason.DENIED


def _is_among(reader: Reader, offices: set[str], communities: set[str], officers: set[str]) -> bool:
    held = (as_words(reader.offices) or frozenset(), as_words(reader.communities) or frozenset())
    return not offices.isdisjoint(held[0]) or not communities.isdisjoint(held[1]) or reader.officer in officers


def personal_data(case: Case, clause: PersonalDataRule) -> Reasons:
    """Judge a personal-data clause."""
    portion = case.portion
    if portion.personal_data is PersonalData.NONE:
        return
    purposes: list[str | None] = [case.profile.purpose or None]
    if case.point is Point.OPENING:
        purposes.append(as_text(case.moment.opening_purpose) or None)
    for purpose in purposes:
        if purpose is None:
            yield Reason.FACT_MISSING
        elif purpose not in clause.purposes:
            yield Reason.DENIED
    if portion.persons < 1:
        yield Reason.FACT_MISSING
    if portion.persons > clause.persons_max:
        yield Reason.DENIED
    if portion.personal_data is PersonalData.SPECIAL and clause.special_categories is Special.DENY:
        yield Reason.DENIED


def channel(case: Case, clause: Channel) -> Reasons:
    """Judge a channel clause."""
    position, unknown = row_of(case, clause.rows)
    if unknown:
        yield Reason.FACT_MISSING
    elif position is not None and clause.rows[position].by is not Carrier.BROKER:
        yield Reason.DENIED


def reproduction(case: Case, clause: Reproduction) -> Reasons:
    """Judge a reproduction clause."""
    use = as_use(case.moment.use)
    if use is None:
        yield Reason.FACT_MISSING
        return
    if use not in (Use.COPY, Use.TRANSLATION):
        return
    position, unknown = row_of(case, clause.rows)
    if unknown:
        yield Reason.FACT_MISSING
    if position is None:
        return
    rule = clause.rows[position].copies
    if rule is Copies.REGISTERED:
        registered = as_truth(case.moment.registered)
        if registered is not True:
            yield Reason.FACT_MISSING if registered is None else Reason.DENIED
    if rule is Copies.CONSENT:
        yield from _consent(case, use)


def _consent(case: Case, use: Use) -> Reasons:
    consents = as_words(case.moment.consents)
    if consents is None:
        yield Reason.FACT_MISSING
    elif use not in consents:
        yield Reason.DENIED


def quota(case: Case, clause: Quota) -> Reasons:
    """Judge a quota clause."""
    if (clause.from_party, clause.to_party) != (case.sender, case.recipient) or is_lifted(case):
        return
    used = as_usage(case.moment.usage, case.prefix + clause.id)
    size = as_number(case.moment.size)
    if used is None or size is None or size < 0:
        yield Reason.FACT_MISSING
        return
    if used[0] + 1 > clause.reports or used[1] + size > clause.bytes:
        yield Reason.DENIED


def dual_control(case: Case, clause: DualControl) -> Reasons:
    """Judge a dual-control clause."""
    own = own_rows(case, clause.from_levels)
    if not own:
        return
    rank = rank_of(case, case.label.classification)
    known = [one for one, _ in own if one is not None]
    if rank is None or len(known) < len(own):
        yield Reason.FACT_MISSING
        return
    if rank < min(known) or is_lifted(case):
        return
    approvals = as_words(case.moment.approvals)
    if approvals is None:
        yield Reason.FACT_MISSING
    elif len([one for one in approvals if isinstance(one, str)]) < clause.officers:
        yield Reason.DENIED
    if case.profile.approvals_required < clause.officers:
        yield Reason.DENIED


def acknowledge(case: Case, clause: Acknowledge) -> Reasons:
    """Judge an acknowledge clause."""
    urgent = case.profile.precedence in (Precedence.FLASH, Precedence.IMMEDIATE)
    if clause.stop_after is None or urgent or is_lifted(case):
        return
    overdue = as_words(case.node.overdue)
    if overdue is None:
        yield Reason.FACT_MISSING
    elif case.prefix + clause.id in overdue:
        yield Reason.DENIED


def use_rule(case: Case, clause: UseRule) -> Reasons:
    """Judge a use clause."""
    use = as_use(case.moment.use)
    if use is None:
        yield Reason.FACT_MISSING
    acknowledged = as_words(case.moment.caveats_acknowledged)
    if acknowledged is None:
        yield Reason.FACT_MISSING
    elif case.prefix + clause.id not in acknowledged:
        yield Reason.DENIED
    by_consent = (use is Use.EVIDENCE and clause.evidence is Consent.CONSENT) or (
        use is Use.ACTION and clause.action_on is Consent.CONSENT
    )
    if use is not None and by_consent:
        yield from _consent(case, use)


def relabel(case: Case) -> Reasons:
    """Judge a relabel clause."""
    by = as_text(case.moment.relabelled_by)
    if by is None:
        yield Reason.FACT_MISSING
    elif by not in ("", case.sender):
        yield Reason.DENIED


def audit(case: Case, clause: Audit) -> Reasons:
    """Judge an audit clause."""
    available = as_truth(case.moment.log_available)
    if clause.on_failure is OnFailure.HALT and available is not True:
        yield Reason.FACT_MISSING if available is None else Reason.DENIED
