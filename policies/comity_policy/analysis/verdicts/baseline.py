"""The verdicts only baseline rows use: each function gives what violates the test of its name in `comity_policy.rules`."""

from __future__ import annotations

from comity_policy import rules
from comity_policy.analysis import attributes as of
from comity_policy.analysis.terms import (
    FALSE,
    TRUE,
    Beyond,
    Is,
    Meets,
    Member,
    Nothing,
    Term,
    among,
    amount,
    any_of,
    at_most,
    below,
    every,
    holds,
    no,
    only_of,
    some,
)
from comity_policy.analysis.verdicts.parts import Verdict, applies, is_lifted_onward, ranked, unclassified
from comity_policy.facts import Kind
from comity_policy.lowering import Table
from comity_policy.marking import DISSEMINATION, Control, OriginKind, Tlp


def never(_test: rules.Never, _table: Table) -> Verdict:
    return Verdict(TRUE)


def only_held(_test: rules.OnlyHeld, _table: Table) -> Verdict:
    return Verdict(no(Is(of.HELD)))


def granted(test: rules.Granted, _table: Table) -> Verdict:
    return Verdict(no(some(*map(applies, test.grants))))


def agreement(test: rules.Agreement, _table: Table) -> Verdict:
    named = every(among(of.AGREEMENT_ID, {test.agreement_id}), among(of.AGREEMENT_DIGEST, {test.digest.hex()}))
    return Verdict(no(named))


def addressed(test: rules.Addressed, _table: Table) -> Verdict:
    """Compare addressees and what the node answers to as whole words: the party of both is the one of the direction."""
    if test.asks_reader:
        surely = Meets(of.ADDRESSEES, of.READER_ANSWERS_TO)
        perhaps = Meets(of.READER_MAY_BE_ADDRESSED, of.READER_MAY_ANSWER_TO)
    else:
        surely, perhaps = Meets(of.ADDRESSEES, of.ANSWERS_TO), Meets(of.MAY_ADDRESS, of.MAY_ANSWER_TO)
    return Verdict(no(surely), missing=every(no(surely), perhaps))


def carried_by(test: rules.CarriedBy, _table: Table) -> Verdict:
    return Verdict(no(among(of.BROKER, test.brokers)), missing=no(Is(of.BROKER_KNOWN)))


def node_valid(_test: rules.NodeValid, _table: Table) -> Verdict:
    return Verdict(no(Is(of.VALID)), missing=no(Is(of.VALID_KNOWN)))


def well_marked(test: rules.WellMarked, table: Table) -> Verdict:
    disclosable = some(
        Is(of.RELEASABLE), Is(of.DISPLAYABLE), any_of(of.DISSEMINATION, (Control.NATIONAL_ONLY, Control.RELIDO))
    )
    return Verdict(
        some(
            every(among(of.TLP, {Tlp.RED.name}), holds(of.PARTIES_WITHOUT_OFFICER, test.to_party)),
            every(no(unclassified(table)), no(disclosable)),
            no(Is(of.CODES_WELL_WRITTEN)),
            *_ill_formed_controls(),
            *_ill_formed_lists(),
            *_ill_formed_origin(),
            no(Is(of.TAGS_ASCENDING)),
            no(Is(of.SUCCESSOR_SOUND)),
        )
    )


def _ill_formed_controls() -> tuple[Term, ...]:
    national, relido = holds(of.DISSEMINATION, Control.NATIONAL_ONLY), holds(of.DISSEMINATION, Control.RELIDO)
    return (
        every(national, some(Is(of.RELEASABLE), Is(of.DISPLAYABLE), relido)),
        every(relido, Is(of.DISPLAYABLE)),
    )


def _ill_formed_lists() -> tuple[Term, ...]:
    listed = every(Member(of.POLICY, of.RELEASABLE_TO), Beyond(of.RELEASABLE_TO, of.POLICY))
    shown = some(Nothing(of.DISPLAY_ONLY), Member(of.POLICY, of.DISPLAY_ONLY), Meets(of.DISPLAY_ONLY, of.RELEASABLE_TO))
    return every(Is(of.RELEASABLE), no(listed)), every(Is(of.DISPLAYABLE), shown)


def _ill_formed_origin() -> tuple[Term, ...]:
    own, foreign, joint = (among(of.ORIGIN, {kind.name}) for kind in OriginKind)
    nobody, policy_too = Nothing(of.ORIGIN_PARTIES), Member(of.POLICY, of.ORIGIN_PARTIES)
    return (
        every(own, no(nobody)),
        every(foreign, some(nobody, policy_too)),
        every(joint, no(every(policy_too, Beyond(of.ORIGIN_PARTIES, of.POLICY)))),
    )


def known_words(test: rules.KnownWords, table: Table) -> Verdict:
    known = every(
        ranked(table),
        among(of.POLICY, {test.policy}),
        among(of.PURPOSE, test.purposes),
        only_of(of.CATEGORIES, test.categories),
        only_of(of.DISSEMINATION, DISSEMINATION),
        *(only_of(where, test.parties) for where in (of.RELEASABLE_TO, of.DISPLAY_ONLY, of.ORIGIN_PARTIES)),
    )
    return Verdict(no(known), missing=some(among(of.PURPOSE, {""}), Nothing(of.CATEGORIES)))


def category_access(test: rules.CategoryAccess, _table: Table) -> Verdict:
    shut_out = every(Is(of.PERMISSIVE), no(holds(of.PERMISSIVE_TO, test.party)))
    return Verdict(some(Is(of.RESTRICTION_ABSENT), shut_out), missing=Is(of.RESTRICTED))


def not_national_only(_test: rules.NotNationalOnly, _table: Table) -> Verdict:
    return Verdict(holds(of.DISSEMINATION, Control.NATIONAL_ONLY))


def sent_directly(_test: rules.SentDirectly, _table: Table) -> Verdict:
    return Verdict(no(Is(of.DIRECT)), missing=no(Is(of.DIRECT_KNOWN)))


def passed_on(test: rules.PassedOn, _table: Table) -> Verdict:
    passed_on = no(Is(of.DIRECT))
    consented = some(
        Is(of.ONWARD_GRANT), is_lifted_onward() if test.lifted else FALSE, *map(_pre_approved, test.pre_approved)
    )
    near = every(at_most(amount(1), of.HOPS), at_most(of.HOPS, test.max_hops))
    unknown = no(every(Is(of.DIRECT_KNOWN), Is(of.HOPS_KNOWN), Is(of.DISPUTED_KNOWN)))
    unsaid = every(no(consented), no(Is(of.ONWARD_GRANT_KNOWN)))
    return Verdict(
        every(passed_on, no(every(consented, near, no(Is(of.DISPUTED))))),
        missing=every(passed_on, some(unknown, unsaid)),
    )


def _pre_approved(one: rules.PreApproved) -> Term:
    tearline = among(of.KIND, {Kind.TEARLINE.word}) if one.tearline_only else TRUE
    return every(no(Nothing(of.CATEGORIES)), only_of(of.CATEGORIES, one.categories), tearline)


def in_time(test: rules.InTime, _table: Table) -> Verdict:
    ordered = every(
        at_most(of.CREATED_AT, of.NOT_BEFORE), below(of.CREATED_AT, of.EXPIRES_AT), below(of.NOW, of.EXPIRES_AT)
    )
    near = every(
        at_most(of.NOW, amount(of.CREATED_AT, test.created_at_oldest)),
        at_most(of.CREATED_AT, amount(of.NOW, test.created_at_ahead)),
    )
    return Verdict(no(every(ordered, near if test.windowed else TRUE)))
