"""What the attributes of a case are worth, out of the facts decisions are made from.

Rules in order:

1. A fact that is missing or of a wrong type is not known: its ``..._known`` is false and its value neutral (false, 0, the
   empty word, no words). A truth value is no whole number; what among words is no word counts for nothing.
2. Nothing is judged here. What is worked out is form alone, such as whether codes are written like codes, or how an
   addressee is written as one word: an agreement has no say in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

from comity_policy.analysis import attributes as of
from comity_policy.analysis.attributes import Value, Values
from comity_policy.analysis.terms import Attribute, Sort
from comity_policy.facts import (
    Moment,
    NodeFacts,
    PortionMarking,
    Profile,
    Reader,
    Role,
    Times,
    Usage,
    Use,
)
from comity_policy.marking import CategoryKind, Label, faults, is_party_code

NEUTRAL: Mapping[Sort, Value] = {Sort.TRUTH: False, Sort.NUMBER: 0, Sort.WORD: "", Sort.WORDS: frozenset()}
_UNKNOWN = "?"


class _Values(dict[Attribute, Value]):
    """The values of a case; what nobody stated is not known."""

    def __missing__(self, attribute: Attribute) -> Value:
        return NEUTRAL[attribute.sort]


def values_of(profile: Profile, times: Times, portion_index: int, node: NodeFacts, moment: Moment) -> Values:
    """Give every attribute of a case its value. Raises IndexError for a portion the profile does not have."""
    if portion_index < 0:
        raise IndexError(f"portions are counted from 0, not {portion_index}")
    portion = profile.portions[portion_index]
    return _Values(
        {
            **_node(node),
            **_profile(profile),
            of.CREATED_AT: times.created_at,
            of.NOT_BEFORE: times.not_before,
            of.EXPIRES_AT: times.expires_at,
            **_portion(portion),
            **_label(portion.label),
            **_moment(moment),
            **_usage(moment),
            **_use(moment),
            **_reader(moment),
            **_addressing(profile, node, moment),
        }
    )


def _node(node: NodeFacts) -> dict[Attribute, Value]:
    return {
        **_truth(of.VALID, node.valid),
        **_words(of.OFFICES, node.offices),
        **_words(of.COMMUNITIES, node.communities),
        **_text(of.NODE_REGION, node.region),
        **_text(of.ACCREDITATION_LEVEL, node.accreditation_level),
        **_number(of.ACCREDITATION_UNTIL, node.accreditation_until),
        **_number(of.OLDEST_KEY_SINCE, node.oldest_key_since),
        **_words(of.OVERDUE, node.overdue),
        **_words(of.CAPABILITIES, node.capabilities),
    }


def _profile(profile: Profile) -> dict[Attribute, Value]:
    return {
        of.AGREEMENT_ID: profile.agreement_id,
        of.AGREEMENT_DIGEST: profile.agreement_digest.hex(),
        of.PARTIES_WITHOUT_OFFICER: frozenset(one.party for one in profile.addressees if not one.officer),
        of.NAMED_OFFICERS: frozenset(
            named_officer(one.party, one.officer) for one in profile.addressees if one.officer
        ),
        of.SUITE: profile.suite,
        of.PRECEDENCE: profile.precedence.name,
        of.KIND: profile.kind.word,
        of.CATEGORIES: frozenset(profile.categories),
        of.PURPOSE: profile.purpose,
        of.EMERGENCY: bool(profile.emergency),
        of.APPROVALS_REQUIRED: profile.approvals_required,
    }


def named_officer(party: str, officer: str) -> str:
    """Give the word for an officer whom an addressee of a party names."""
    return f"{party} {officer}"


def _portion(portion: PortionMarking) -> dict[Attribute, Value]:
    return {
        of.PERSONAL_DATA: portion.personal_data.name,
        **_number(of.PERSONS, portion.persons),
        of.WARN: portion.warn is True,
    }


def _label(label: Label) -> dict[Attribute, Value]:
    released, displayed = label.releasable_to, label.display_only
    restrictive = [one.values for one in label.categories if one.kind is CategoryKind.RESTRICTIVE]
    permissive = [one.values or frozenset() for one in label.categories if one.kind is CategoryKind.PERMISSIVE]
    tags = [one.tag for one in label.categories]
    return {
        of.POLICY: label.policy,
        of.CLASSIFICATION: label.classification,
        of.DISSEMINATION: label.dissemination,
        of.RELEASABLE: released is not None,
        of.RELEASABLE_TO: released or frozenset(),
        of.DISPLAYABLE: displayed is not None,
        of.DISPLAY_ONLY: displayed or frozenset(),
        of.ORIGIN: label.origin.kind.name,
        of.ORIGIN_PARTIES: label.origin.parties,
        of.TLP: label.tlp.name if label.tlp is not None else "",
        of.RESTRICTED: any(restrictive),
        of.RESTRICTION_ABSENT: None in restrictive,
        of.PERMISSIVE: bool(permissive),
        of.PERMISSIVE_TO: frozenset.intersection(*permissive) if permissive else frozenset(),
        of.CODES_WELL_WRITTEN: all(map(is_party_code, (*(released or ()), *(displayed or ()), *label.origin.parties))),
        of.TAGS_ASCENDING: tags == sorted(set(tags)),
        of.SUCCESSOR_SOUND: label.successor is None
        or (label.successor.policy == label.policy and not faults(label.successor)),
    }


def _moment(moment: Moment) -> dict[Attribute, Value]:
    approvals = _set(moment.approvals)
    return {
        of.NOW: moment.now,
        **_text(of.BROKER, moment.broker),
        **_text(of.BROKER_REGION, moment.broker_region),
        **_number(of.KEY_LOG_AGE, moment.key_log_age),
        **_words(of.SENDER_ROLES, _roles(moment.sender_roles)),
        **_truth(of.DIRECT, moment.direct),
        **_truth(of.ONWARD_GRANT, moment.onward_grant),
        **_number(of.ADMITTED_AT, moment.admitted_at),
        **_text(of.OPENING_PURPOSE, moment.opening_purpose or None),
        **_number(of.SENDER_KEY_SINCE, moment.sender_key_since),
        **_words(of.SENDER_CAPABILITIES, moment.sender_capabilities),
        of.EMERGENCY_DECLARED: moment.emergency_declared is True,
        **_number(of.HOPS, moment.hops),
        **_truth(of.DISPUTED, moment.disputed),
        **_number(of.APPROVALS, None if approvals is None else len(approvals)),
        **_truth(of.LOG_AVAILABLE, moment.log_available),
        of.HELD: moment.held is True,
    }


def _usage(moment: Moment) -> dict[Attribute, Value]:
    windows: object = moment.usage
    found: dict[Attribute, Value] = _number(of.SIZE, moment.size)
    for clause_id, used in windows.items() if isinstance(windows, Mapping) else ():
        if isinstance(used, Usage):
            known, reports, size = of.usage(clause_id)
            counted = _number(reports, used.reports) | _number(size, used.size)
            are_known = _number(reports, used.reports)[known] is True and _number(size, used.size)[known] is True
            found |= counted | {known: are_known}
    return found


def _use(moment: Moment) -> dict[Attribute, Value]:
    use: object = moment.use
    return {
        **_text(of.USE, use.value if isinstance(use, Use) else None),
        **_words(of.CONSENTS, moment.consents),
        **_truth(of.REGISTERED, moment.registered),
        **_words(of.CAVEATS_ACKNOWLEDGED, moment.caveats_acknowledged),
        **_text(of.RELABELLED_BY, moment.relabelled_by),
    }


def _reader(moment: Moment) -> dict[Attribute, Value]:
    reader: object = moment.reader
    if not isinstance(reader, Reader):
        return {of.READER_KNOWN: False}
    return {
        of.READER_KNOWN: True,
        **_text(of.READER_OFFICER, reader.officer),
        **_words(of.READER_OFFICES, reader.offices),
        **_words(of.READER_COMMUNITIES, reader.communities),
        **_text(of.CLEARANCE_LEVEL, reader.clearance_level),
        **_number(of.CLEARANCE_UNTIL, reader.clearance_until),
    }


def _addressing(profile: Profile, node: NodeFacts, moment: Moment) -> dict[Attribute, Value]:
    """Write every addressee as a word, and every word the node answers to: alone, and with the officer who reads."""
    reader: object = moment.reader
    read_by = frozenset({reader.officer}) if isinstance(reader, Reader) and isinstance(reader.officer, str) else None
    held = (_set(node.offices), _set(node.communities), _set(node.officers))
    reading = frozenset[str]() if held[2] is None or read_by is None else held[2] & read_by
    addressed = [(one.party, (one.office, one.community, one.officer)) for one in profile.addressees]
    read = [(party, (*words, words[-1])) for party, words in addressed]
    return {
        of.ADDRESSEES: frozenset(_written(party, words) for party, words in addressed),
        of.ANSWERS_TO: _answers(node.party, held),
        of.READER_ANSWERS_TO: _answers(node.party, (*held[:2], reading)),
        of.MAY_ADDRESS: frozenset(_masked(party, words, held) for party, words in addressed),
        of.MAY_ANSWER_TO: _answers(node.party, held, _UNKNOWN),
        of.READER_MAY_BE_ADDRESSED: frozenset(_masked(party, words, (*held, read_by)) for party, words in read),
        of.READER_MAY_ANSWER_TO: _answers(node.party, (*held, read_by), _UNKNOWN),
    }


def _written(party: str, words: Iterable[str]) -> str:
    return " ".join((party, *map(repr, words)))


def _answers(party: str, held: Iterable[frozenset[str] | None], *instead: str) -> frozenset[str]:
    """Give all that a node answers to; for what is not known only what asks for nothing, or also what stands for it."""
    options = [("", *(instead if one is None else one)) for one in held]
    return frozenset(_written(party, words) for words in product(*options))


def _masked(party: str, words: Iterable[str], held: Iterable[frozenset[str] | None]) -> str:
    """Give an addressee with a mark in place of each word that nobody can compare."""
    return _written(party, (_UNKNOWN if word and one is None else word for word, one in zip(words, held, strict=True)))


def _set(value: object) -> frozenset[str] | None:
    """Give the words a fact is, None where it is no set of words."""
    if not isinstance(value, frozenset):
        return None
    return frozenset(str(one) for one in value if isinstance(one, str))


def _roles(value: object) -> frozenset[str] | None:
    return frozenset(one.word for one in value if isinstance(one, Role)) if isinstance(value, frozenset) else None


def _words(attribute: Attribute, value: object) -> dict[Attribute, Value]:
    found = _set(value)
    return _fact(attribute, is_known=found is not None, value=found or frozenset())


def _text(attribute: Attribute, value: object) -> dict[Attribute, Value]:
    return _fact(attribute, is_known=isinstance(value, str), value=value if isinstance(value, str) else "")


def _number(attribute: Attribute, value: object) -> dict[Attribute, Value]:
    known = value if isinstance(value, int) and not isinstance(value, bool) else None
    return _fact(attribute, is_known=known is not None, value=known or 0)


def _truth(attribute: Attribute, value: object) -> dict[Attribute, Value]:
    return _fact(attribute, is_known=isinstance(value, bool), value=value is True)


def _fact(attribute: Attribute, *, is_known: bool, value: Value) -> dict[Attribute, Value]:
    return {attribute: value} if attribute.known is None else {attribute.known: is_known, attribute: value}
