"""The baseline rows in the reference interpreter, in the order in which a decision lists them.

Source: docs/policy-semantics.md, "Baseline rows", one function a row; `BASELINE` says where each is decided.
"""

from __future__ import annotations

from collections.abc import Callable

from comity_policy.clauses import Embargo, OriginatorControl, Releasability, Survives
from comity_policy.decision import Baseline, Reason
from comity_policy.facts import Addressee, AgreementState, Point
from comity_policy.marking import CategoryKind, Tlp
from comity_policy.reference.case import Case, Reasons, as_reader, as_text, as_truth, as_words, is_classified, rank_of
from comity_policy.reference.clauses import embargo, granted, originator_control, releasability
from comity_policy.reference.handling import onward
from comity_policy.reference.labels import codes_of, is_ill_formed
from comity_policy.sections import Document

_OLDEST = 72 * 3_600_000
_AHEAD = 2 * 60_000


def _in_force(case: Case) -> Reasons:
    if not is_in_force(case):
        yield Reason.DENIED


def is_in_force(case: Case) -> bool:
    """Say whether the agreement, and its umbrella, are in force or bind what was opened before."""
    texts = [(case.document, case.state)]
    if case.umbrella is not None:
        texts.append((case.umbrella.document, case.umbrella.state))
        bound = [party for party in case.umbrella.document.parties if party not in case.umbrella.state.unbound]
        if case.sender not in bound or case.recipient not in bound:
            return False
    elif case.document.kind == "arrangement":
        return False
    return all(state.in_force is True or _binds_what_is_held(case, text, state) for text, state in texts)


def _binds_what_is_held(case: Case, text: Document, state: AgreementState) -> bool:
    if case.point is not Point.OPENING or case.moment.held is not True:
        return False
    survives = any(isinstance(clause, Survives) for clause in text.clauses)
    return state.reason == "SUSPENDED" or (state.reason in ("EXPIRED", "TERMINATED") and survives)


def _parties(case: Case) -> Reasons:
    parties = case.document.parties
    if case.sender not in parties or case.recipient not in parties or case.sender == case.recipient:
        yield Reason.DENIED


def _agreement(case: Case) -> Reasons:
    if case.profile.agreement_id != case.document.id or case.profile.agreement_digest != case.digest:
        yield Reason.DENIED


def _addressee(case: Case) -> Reasons:
    matches = [_matches(case, one) for one in case.profile.addressees]
    if True in matches:
        return
    yield Reason.FACT_MISSING if None in matches else Reason.DENIED


def _matches(case: Case, addressee: Addressee) -> bool | None:
    """Say whether the node (and at opening the reader) is meant; None when a fact that says it is missing."""
    if addressee.party != case.recipient:
        return False
    node, officer = case.node, addressee.officer
    named = ((addressee.office, node.offices), (addressee.community, node.communities), (officer, node.officers))
    answers = [_is_in(word, as_words(held)) for word, held in named if word]
    if officer and case.point is Point.OPENING:
        reader = as_reader(case.moment.reader)
        answers.append(None if reader is None else reader.officer == officer)
    if False in answers:
        return False
    return None if None in answers else True


def _is_in(word: str, held: frozenset[str] | None) -> bool | None:
    return None if held is None else word in held


def _broker(case: Case) -> Reasons:
    broker = as_text(case.moment.broker)
    if broker is None:
        yield Reason.FACT_MISSING
    elif broker not in case.document.brokers:
        yield Reason.DENIED


def _node(case: Case) -> Reasons:
    valid = as_truth(case.node.valid)
    if valid is None:
        yield Reason.FACT_MISSING
    elif not valid:
        yield Reason.DENIED


def _marking(case: Case) -> Reasons:
    label = case.label
    marked = (
        label.releasable_to is not None
        or label.display_only is not None
        or "NATIONAL-ONLY" in label.dissemination
        or "RELIDO" in label.dissemination
    )
    if is_ill_formed(label) or (is_classified(case) and not marked):
        yield Reason.DENIED
    named = [addressee.officer for addressee in case.profile.addressees if addressee.party == case.recipient]
    if label.tlp is Tlp.RED and not all(named):
        yield Reason.DENIED


def _vocabulary(case: Case) -> Reasons:
    profile, label, words = case.profile, case.label, case.words
    if not profile.categories or not profile.purpose:
        yield Reason.FACT_MISSING
    if any(one not in words.categories for one in profile.categories) or profile.purpose not in words.purposes:
        yield Reason.DENIED
    if label.policy != case.sender or rank_of(case, label.classification) is None:
        yield Reason.DENIED
    if any(word not in ("ORCON", "NATIONAL-ONLY", "RELIDO") for word in label.dissemination):
        yield Reason.DENIED
    if any(code not in words.parties and code not in case.document.parties for code in codes_of(label)):
        yield Reason.DENIED


def _access(case: Case) -> Reasons:
    for one in case.label.categories:
        if one.kind is CategoryKind.RESTRICTIVE:
            if one.values is None:
                yield Reason.DENIED
            elif one.values:
                yield Reason.FACT_MISSING
        elif one.kind is CategoryKind.PERMISSIVE and (one.values is None or case.recipient not in one.values):
            yield Reason.DENIED


def _national_only(case: Case) -> Reasons:
    if "NATIONAL-ONLY" in case.label.dissemination:
        yield Reason.DENIED


def _releasable(case: Case) -> Reasons:
    if not _has(case, Releasability):
        yield from releasability(case)


def _orcon(case: Case) -> Reasons:
    if not _has(case, OriginatorControl):
        yield from originator_control(case)


def _times(case: Case) -> Reasons:
    times, now = case.times, case.moment.now
    if not times.created_at <= times.not_before or not times.created_at < times.expires_at or now >= times.expires_at:
        yield Reason.DENIED
    if case.point is not Point.OPENING:
        earliest, latest = now - _OLDEST, now + _AHEAD
        if times.created_at < earliest or times.created_at > latest:
            yield Reason.DENIED
    if not _has(case, Embargo):
        yield from embargo(case)


def _grant(case: Case) -> Reasons:
    if not granted(case):
        yield Reason.DENIED


def _has(case: Case, kind: type[Releasability | OriginatorControl | Embargo]) -> bool:
    return any(isinstance(clause, kind) for clause in case.document.clauses)


BASELINE: tuple[tuple[Baseline, str, Callable[[Case], Reasons]], ...] = (
    (Baseline.IN_FORCE, "EAO", _in_force),
    (Baseline.PARTIES, "EAO", _parties),
    (Baseline.AGREEMENT, "EAO", _agreement),
    (Baseline.ADDRESSEE, "EAO", _addressee),
    (Baseline.BROKER, "EA", _broker),
    (Baseline.NODE, "EAO", _node),
    (Baseline.MARKING, "EAO", _marking),
    (Baseline.VOCABULARY, "EAO", _vocabulary),
    (Baseline.ACCESS, "EAO", _access),
    (Baseline.NATIONAL_ONLY, "EAO", _national_only),
    (Baseline.RELEASABLE, "EAO", _releasable),
    (Baseline.ONWARD, "AO", onward),
    (Baseline.ORIGINATOR_CONTROL, "AO", _orcon),
    (Baseline.TIMES, "EAO", _times),
    (Baseline.GRANT, "EAO", _grant),
)
