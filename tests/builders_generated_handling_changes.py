"""Changes that break one clause of handling in a generated case, by the kind of clause they are after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from builders_generated import PURPOSES, Generated
from builders_generated_handling import COMMUNITIES, DECLARATION, OFFICES, officers
from builders_generated_reports import DAY, Draft, common_purposes
from comity_policy import clauses as kinds
from comity_policy.facts import Addressee, Kind, PersonalData, Precedence, Reader, Usage, Use

Change = Callable[[Random, Generated, Draft], None]

NO_NUMBER = (None, "1", True, False, 1.5)
NO_TRUTH = (None, 0, 1, "no")
NO_SET = (None, "1", ("1",), 5)


def _moment(field: str, *values: Any) -> Change:
    return lambda rng, _made, draft: draft.moment.__setitem__(field, rng.choice(values))


def _mostly_not_lifted(rng: Random, draft: Draft) -> None:
    declared = rng.random() < 0.3
    draft.profile["emergency"] = DECLARATION if declared else b""
    draft.moment["emergency_declared"] = declared


def _needs_not(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.profile["addressees"] = tuple(replace(one, officer="", office="") for one in draft.profile["addressees"])
    draft.node["offices"] = rng.choice((frozenset(), frozenset({"press"}), *NO_SET))
    draft.node["communities"] = rng.choice((frozenset(), frozenset(), *NO_SET))
    reader = draft.moment["reader"]
    if isinstance(reader, Reader):
        stranger = replace(reader, officer="XQQ/officer1", offices=frozenset({"press"}), communities=frozenset())
        draft.moment["reader"] = rng.choice((stranger, stranger, None, "officer1"))


def _needs_by_officer(rng: Random, made: Generated, draft: Draft) -> None:
    party = draft.recipient
    draft.profile["addressees"] = (Addressee(party), Addressee(party, officer=rng.choice(officers(party))))
    draft.node["offices"] = rng.choice((frozenset(), frozenset({"press"}), frozenset({rng.choice(OFFICES)})))
    draft.node["communities"] = frozenset({rng.choice(COMMUNITIES)})
    reader = draft.moment["reader"]
    if isinstance(reader, Reader):
        named = [word for clause in made.clauses(kinds.NeedToKnow) for row in clause.rows for word in row.officers]
        officer = rng.choice([word for word in named if word.startswith(party)] or officers(party))
        draft.moment["reader"] = replace(reader, officer=officer, offices=frozenset({"press"}), communities=frozenset())


def _sent_on(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.label["dissemination"] -= {"ORCON"}
    draft.moment |= {
        "direct": rng.choice((False, False, False, False, *NO_TRUTH)),
        "onward_grant": rng.choice((True, True, False, False, *NO_TRUTH)),
        "hops": rng.choice((1, 1, 2, 3, 4, 0, -1, *NO_NUMBER)),
        "disputed": rng.choice((False, False, False, False, True, *NO_TRUTH)),
    }
    draft.profile["kind"] = rng.choice((draft.profile["kind"], Kind.TEARLINE))


def _sent_on_with_one_fault(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.label["dissemination"] -= {"ORCON"}
    draft.moment |= {"direct": False, "onward_grant": True, "hops": 1, "disputed": False}
    field, value = rng.choice(
        (
            ("onward_grant", False),
            ("hops", 4),
            ("hops", 0),
            ("disputed", True),
            ("hops", None),
            ("hops", True),
            ("onward_grant", None),
        )
    )
    draft.moment[field] = value


def _warned(rng: Random, _made: Generated, draft: Draft) -> None:
    _sent_on(rng, _made, draft)
    draft.moment |= {"direct": False, "onward_grant": False, "hops": 1, "disputed": False}
    draft.moment["emergency_declared"] = rng.choice((True, True, True, False, 1, None))
    draft.profile["emergency"] = rng.choice((DECLARATION, DECLARATION, b""))
    draft.portion_marks["warn"] = rng.choice((True, True, False))
    draft.label["dissemination"] |= rng.choice((frozenset(), frozenset({"ORCON"})))


def _persons(rng: Random, made: Generated, draft: Draft) -> None:
    most = min((one.persons_max for one in made.clauses(kinds.PersonalDataRule)), default=7)
    kind = rng.choice((PersonalData.ORDINARY, PersonalData.SPECIAL))
    draft.portion_marks |= {"personal_data": kind, "persons": rng.choice((most, most + 1, most + 1, 0))}


def _person_without_purpose(rng: Random, made: Generated, draft: Draft) -> None:
    draft.portion_marks |= {"personal_data": PersonalData.ORDINARY, "persons": 1}
    draft.profile["purpose"] = draft.moment["opening_purpose"] = rng.choice(common_purposes(made))
    draft.moment["opening_purpose"] = rng.choice((*(draft.profile["purpose"],) * 5, "", None, 5))


def _person_for_another_purpose(rng: Random, made: Generated, draft: Draft) -> None:
    draft.portion_marks |= {"personal_data": PersonalData.ORDINARY, "persons": 1}
    allowed = [word for one in made.clauses(kinds.PersonalDataRule) for word in one.purposes]
    if allowed:
        draft.profile["purpose"] = rng.choice(allowed)
        draft.moment["opening_purpose"] = rng.choice([word for word in PURPOSES if word not in allowed] or PURPOSES)


def _by_courier(rng: Random, made: Generated, draft: Draft) -> None:
    table = made.table(draft.sender, draft.recipient, draft.times["created_at"])
    if table is None:
        return
    levels = [
        row.level
        for clause in made.clauses(kinds.Channel)
        for row in clause.rows
        if row.party == draft.sender and row.level in table.levels
    ]
    draft.label["classification"] = rng.choice(levels or table.levels)
    if draft.label["releasable_to"] is None:
        draft.label["releasable_to"] = frozenset({draft.sender, draft.recipient})
    draft.node["accreditation_level"] = table.protected_as[-1]
    draft.node["accreditation_until"] = draft.moment["now"] + DAY


def _copied(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.moment |= {
        "use": rng.choice((Use.COPY, Use.COPY, Use.TRANSLATION, None, "copy")),
        "registered": rng.choice((True, False, False, *NO_TRUTH)),
        "consents": rng.choice((frozenset(Use), frozenset(), frozenset({Use.EVIDENCE}), frozenset({"copy"}), *NO_SET)),
    }


def _used(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.moment |= {
        "use": rng.choice((Use.EVIDENCE, Use.ACTION, None, "evidence")),
        "consents": rng.choice((frozenset({Use.EVIDENCE}), frozenset({Use.ACTION}), frozenset(), *NO_SET)),
    }


def _used_up(rng: Random, made: Generated, draft: Draft) -> None:
    _mostly_not_lifted(rng, draft)
    usage: dict[str, Any] = {}
    for name, one in made.named():
        if not isinstance(one, kinds.Quota):
            continue
        usage[name] = rng.choice(
            (
                Usage(one.reports, 0),
                Usage(0, one.bytes - 1),
                Usage(one.reports - 1, one.bytes),
                Usage(-1, 0),
                Usage(True, 0),
                None,
                5,
            )
        )
    draft.moment |= {"usage": usage, "size": rng.choice((2_000, 2_000, 2_000, 2_001, *NO_NUMBER, -1))}
    if rng.random() < 0.1:
        draft.moment["usage"] = rng.choice((None, {}, 5))


def _fewer_approvals(rng: Random, _made: Generated, draft: Draft) -> None:
    _mostly_not_lifted(rng, draft)
    one, two = officers(draft.sender)[:2]
    draft.moment["approvals"] = rng.choice(
        (frozenset(), frozenset({one}), frozenset({one, two}), frozenset({one, 2}), *NO_SET)
    )
    draft.profile["approvals_required"] = rng.choice((0, 1, 2, 3))


def _overdue(rng: Random, made: Generated, draft: Draft) -> None:
    late = frozenset(made.names(kinds.Acknowledge))
    draft.node["overdue"] = rng.choice((late, late, late, *NO_SET))
    draft.profile["precedence"] = rng.choice((Precedence.ROUTINE, Precedence.PRIORITY, draft.profile["precedence"]))
    _mostly_not_lifted(rng, draft)


def _reader_not_cleared(rng: Random, made: Generated, draft: Draft) -> None:
    reader = draft.moment["reader"]
    table = made.table(draft.sender, draft.recipient, draft.times["created_at"])
    if not isinstance(reader, Reader) or table is None:
        return
    changed = rng.choice(
        (
            {"clearance_level": table.protected_as[0]},
            {"clearance_level": rng.choice(table.protected_as)},
            {"clearance_level": rng.choice((None, 5, "LEVEL OF NOBODY"))},
            {"clearance_until": draft.moment["now"]},
            {"clearance_until": rng.choice(NO_NUMBER)},
        )
    )
    draft.moment["reader"] = replace(reader, **changed)


def _for_somebody_named(rng: Random, _made: Generated, draft: Draft) -> None:
    party = draft.recipient
    draft.profile["addressees"] = (Addressee(party, officer=rng.choice((*officers(party)[:2], "XQQ/officer9"))),)
    draft.node["officers"] = rng.choice((frozenset(officers(party)), frozenset(officers(party)[1:]), *NO_SET))


def _for_a_reader_nobody_knows(rng: Random, made: Generated, draft: Draft) -> None:
    _for_somebody_named(rng, made, draft)
    draft.node["officers"] = frozenset(officers(draft.recipient))
    if draft.at_opening:
        draft.moment["reader"] = rng.choice((None, None, "officer1", draft.moment["reader"]))


def _made_later_than_opened(rng: Random, _made: Generated, draft: Draft) -> None:
    later = draft.moment["now"] + rng.choice((1, DAY))
    draft.times |= {"created_at": later, "not_before": later, "expires_at": later + DAY}


def _over(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.moment["held"] = rng.choice((True, True, False, 1, None))


def _sent_on_by_standing_approval(rng: Random, made: Generated, draft: Draft) -> None:
    """Pass ORCON content on where only the clause's own approval covers it: ORCON asks for a grant all the same."""
    approved = [one for clause in made.clauses(kinds.Onward) for one in clause.pre_approved]
    fitting = [one for one in approved if (one.from_party, one.to_party) == (draft.sender, draft.recipient)]
    draft.profile["emergency"] = b""
    draft.moment |= {"direct": False, "hops": 1, "disputed": False, "onward_grant": rng.choice((False, False, None, 1))}
    draft.label["dissemination"] |= rng.choice((frozenset({"ORCON"}), frozenset({"ORCON"}), frozenset()))
    if draft.label["releasable_to"] is None:
        draft.label["releasable_to"] = frozenset({draft.sender, draft.recipient})
    granted = {word for one in made.scopes() for word in one.categories if one.to_party == draft.recipient}
    fitting = [one for one in fitting if one.category in granted] or fitting
    if fitting:
        draft.profile["categories"] = (rng.choice(fitting).category,)
        draft.profile["kind"] = rng.choice((draft.profile["kind"], draft.profile["kind"], Kind.TEARLINE))


def _excluded(rng: Random, made: Generated, draft: Draft) -> None:
    excluded = [word for one in made.clauses(kinds.Exclude) for word in one.categories]
    if excluded:
        draft.profile["categories"] = rng.choice(((rng.choice(excluded),), (rng.choice(excluded),), ()))


HANDLING_CHANGES: dict[str, tuple[Change, ...]] = {
    "originator-control": (_sent_on_by_standing_approval,) * 5,
    "officer-clearance": (_reader_not_cleared,),
    "need-to-know": (_needs_not, _needs_not, _needs_by_officer),
    "onward": (
        _sent_on,
        _sent_on_with_one_fault,
        _warned,
        _warned,
        *[_sent_on_by_standing_approval] * 6,
    ),
    "personal-data": (_persons, _persons, _person_without_purpose, _person_for_another_purpose),
    "channel": (_by_courier, _by_courier),
    "reproduction": (_copied,),
    "quota": (_used_up,),
    "dual-control": (_fewer_approvals,),
    "acknowledge": (_overdue,),
    "use": (
        _used,
        _moment("caveats_acknowledged", frozenset(), frozenset({"1"}), *NO_SET),
        _moment("use", None, "read", 5),
    ),
    "relabel": (_moment("relabelled_by", "XAR", "XBO", "XQQ", None, 5),),
    "exclude": (_excluded,),
    "audit": (_moment("log_available", False, False, *NO_TRUTH),),
    "held": (_over,),
    "addressee": (_for_somebody_named, _for_a_reader_nobody_knows),
    "embargo": (_made_later_than_opened,),
}
