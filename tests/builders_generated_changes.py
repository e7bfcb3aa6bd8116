"""Changes that break one rule of a generated case, by the kind of clause they are after.

A kind is drawn first and then one of its changes, so that every kind is the sole reason of many refusals. A change that
finds nothing to break (the agreement has no such clause) leaves a case that passes.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from builders_generated import CATEGORIES, KINDS, LADDERS, PURPOSES, REGIONS, Generated, chance, millis, some
from builders_generated_handling_changes import HANDLING_CHANGES
from builders_generated_reports import (
    CODES,
    DAY,
    HOUR,
    MINUTE,
    OFFICES,
    Draft,
    limit,
    longest,
)
from comity_policy import clauses as kinds
from comity_policy.facts import Addressee, Kind, Originator, Precedence, Role
from comity_policy.marking import CategoryKind, CategorySet, Label, Origin, OriginKind, Tlp

Change = Callable[[Random, Generated, Draft], None]

NO_TEXT = (None, 5, b"xbo", ["xbo"], True)
NO_NUMBER = (None, "1", b"", True, False, [1], 1.5)
NO_SET = (None, "ct-desk", ("ct-desk",), ["ct-desk"], 5)
NO_TRUTH = (None, 0, 1, "no")
ROLE_SETS = (None, 5, (Role.DUTY_OFFICER,), {Role.DUTY_OFFICER}, "node", frozenset({"node"}), frozenset())


def _set(part: str, field: str, *values: Any) -> Change:
    def change(rng: Random, _made: Generated, draft: Draft) -> None:
        getattr(draft, part)[field] = rng.choice(values)

    return change


def _label(**fields: Any) -> Change:
    return lambda _rng, _made, draft: draft.label.update(fields)


# Scope


def _other_categories(rng: Random, _made: Generated, draft: Draft) -> None:
    others = some(rng, CATEGORIES, 1, 2)
    draft.profile["categories"] = rng.choice((others, (*draft.profile["categories"], *others)))


def _other_kind(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.profile["kind"] = rng.choice(tuple(one for one in Kind if one.word in KINDS))


# Ceiling and clearance


def _above_the_ceiling(rng: Random, made: Generated, draft: Draft) -> None:
    table = made.table(draft.sender, draft.recipient, draft.times["created_at"])
    if table is not None:
        highest = limit(made, draft.sender, draft.recipient, table.levels)
        draft.label["classification"] = rng.choice(table.levels[highest + 1 :] or table.levels[-1:])
        _released(draft)
        draft.node["accreditation_level"] = table.protected_as[-1]
        draft.node["accreditation_until"] = draft.moment["now"] + DAY


def _released(draft: Draft) -> None:
    if draft.label["releasable_to"] is None:
        draft.label["releasable_to"] = frozenset({draft.sender, draft.recipient})


def _accredited_lower(rng: Random, made: Generated, draft: Draft) -> None:
    table = made.table(draft.sender, draft.recipient, draft.times["created_at"])
    if table is not None and draft.label["classification"] in table.levels:
        rank = table.levels.index(draft.label["classification"])
        draft.node["accreditation_level"] = rng.choice(table.protected_as[: rank or 1])
        draft.node["accreditation_until"] = draft.moment["now"] + DAY


def _accreditation_over(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.node["accreditation_until"] = draft.moment["now"] - rng.choice((0, 0, 1, DAY))


def _accredited_lower_until_nobody_knows(rng: Random, made: Generated, draft: Draft) -> None:
    _accredited_lower(rng, made, draft)
    draft.node["accreditation_until"] = rng.choice(NO_NUMBER)


# Releasability and originator control


def _released_to_others(rng: Random, _made: Generated, draft: Draft) -> None:
    others = [code for code in CODES if code not in {draft.sender, draft.recipient}]
    draft.label["releasable_to"] = frozenset({draft.sender, *some(rng, others, 1, 2)})
    draft.label["display_only"] = None


def _shown_only(rng: Random, _made: Generated, draft: Draft) -> None:
    words = draft.label["dissemination"] - {"RELIDO"}
    shown = frozenset({draft.recipient, *some(rng, ("FRA",))})
    draft.label |= {"releasable_to": None, "display_only": shown, "dissemination": words}


def _relido_only(_rng: Random, _made: Generated, draft: Draft) -> None:
    words = draft.label["dissemination"] | {"RELIDO"}
    draft.label |= {"releasable_to": None, "display_only": None, "dissemination": words}


def _passed_on(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.label["dissemination"] |= {"ORCON"}
    _released(draft)
    draft.moment |= {"hops": 1, "disputed": False, "direct": rng.choice((False, False, False, *NO_TRUTH))}
    draft.moment["onward_grant"] = rng.choice((False, False, False, *NO_TRUTH))


# Purpose and residency


def _other_purpose(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.profile["purpose"] = draft.moment["opening_purpose"] = rng.choice(PURPOSES)


# Retention and embargo


def _kept_longer(rng: Random, made: Generated, draft: Draft) -> None:
    times, moment, keep = draft.times, draft.moment, longest(made)
    if not draft.at_opening:
        times["expires_at"] = times["created_at"] + keep + rng.choice((1, 1, DAY))
        return
    moment["now"] = draft.used_at + keep + rng.choice((1, 1, DAY))
    times["expires_at"] = moment["now"] + DAY
    if draft.node["accreditation_until"] is not None:
        draft.node["accreditation_until"] = moment["now"] + 1


def _embargoed(rng: Random, _made: Generated, draft: Draft) -> None:
    later = draft.times["expires_at"] + rng.choice((0, 0, 1))
    draft.times["not_before"] = draft.moment["now"] + rng.choice((1, 1, DAY)) if draft.at_opening else later


# Precedence and suites


def _urgent(rng: Random, made: Generated, draft: Draft) -> None:
    draft.profile["precedence"] = rng.choice((Precedence.FLASH, Precedence.IMMEDIATE))
    if chance(rng, 0.6):
        words = {"flash": set(), "immediate": set()}
        for clause in made.clauses(kinds.PrecedenceRule):
            words["flash"] |= set(clause.flash)
            words["immediate"] |= set(clause.immediate)
        roles = sorted(words["immediate"] - words["flash"]) or [rng.choice(tuple(Role)).word]
        word = rng.choice(roles)
        draft.moment["sender_roles"] = frozenset(role for role in Role if role.word == word)
    else:
        draft.moment["sender_roles"] = rng.choice(ROLE_SETS)


def _oldest(made: Generated) -> tuple[int, int]:
    suites = made.clauses(kinds.Suites)
    key = min((one.oldest_key.milliseconds for one in suites), default=DAY)
    return key, min((one.oldest_key_log_view.milliseconds for one in suites), default=HOUR)


def _key_of_wrong_age(rng: Random, made: Generated, draft: Draft) -> None:
    used_at = draft.used_at
    since = rng.choice((used_at - _oldest(made)[0] - rng.choice((1, DAY)), used_at + rng.choice((1, HOUR))))
    part, field = rng.choice(((draft.moment, "sender_key_since"), (draft.node, "oldest_key_since")))
    part[field] = since


def _stale_view(rng: Random, made: Generated, draft: Draft) -> None:
    draft.moment["key_log_age"] = rng.choice((-1, _oldest(made)[1] + rng.choice((1, DAY))))


def _suite_and_key_unknown(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.profile["suite"] = 3
    draft.moment["sender_key_since"] = rng.choice(NO_NUMBER)


# Baseline


def _to_itself(_rng: Random, _made: Generated, draft: Draft) -> None:
    draft.node |= {"party": draft.sender, "node": "n9"}
    draft.profile["addressees"] += (Addressee(draft.sender),)


def _to_somebody_else(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.node["party"] = rng.choice(sorted(LADDERS))
    draft.profile["addressees"] += (Addressee(draft.node["party"]),)


def _from_somebody_else(rng: Random, _made: Generated, draft: Draft) -> None:
    draft.profile["originator"] = Originator(rng.choice(sorted(LADDERS)), "n1")


def _addressed_elsewhere(rng: Random, _made: Generated, draft: Draft) -> None:
    party, office = draft.recipient, rng.choice(("cert", *OFFICES))
    draft.profile["addressees"] = some(
        rng,
        (
            Addressee(party, officer=f"{party}/officer1"),
            Addressee(party, office=office),
            Addressee(party, community=rng.choice(("force-protection", "cyber-defence"))),
            Addressee(party, office=office, community="cyber-defence"),
        ),
        1,
        2,
    )
    if chance(rng, 0.3):
        draft.node[rng.choice(("offices", "communities"))] = rng.choice(NO_SET)


def _ill_formed(rng: Random, _made: Generated, draft: Draft) -> None:
    policy, to = draft.sender, draft.recipient
    wrong: tuple[dict[str, Any], ...] = (
        {"releasable_to": frozenset({policy, to, rng.choice(("FVEY", "fra", "A1B", "\u00c4\u00d6\u00dc"))})},
        {"releasable_to": frozenset({policy, to, "FVEY"}), "dissemination": frozenset(), "display_only": None},
        {"releasable_to": frozenset({to, "FRA"})},
        {"releasable_to": frozenset({policy})},
        {"releasable_to": frozenset()},
        {"releasable_to": None, "display_only": frozenset()},
        {"display_only": frozenset({"fra"}), "dissemination": frozenset()},
        {"display_only": frozenset({to}), "releasable_to": frozenset({policy, to}), "dissemination": frozenset()},
        {"display_only": frozenset({policy}), "releasable_to": None, "dissemination": frozenset()},
        {"display_only": frozenset({"DEU"}), "releasable_to": None, "dissemination": frozenset({"RELIDO"})},
        {"releasable_to": frozenset({policy, to}), "dissemination": frozenset({"NATIONAL-ONLY"})},
        {"releasable_to": None, "display_only": None, "dissemination": frozenset({"NATIONAL-ONLY", "RELIDO"})},
        {"releasable_to": None, "dissemination": frozenset({"ORCON", "NATIONAL-ONLY", "RELIDO"})},
        {"releasable_to": None, "display_only": frozenset({to}), "dissemination": frozenset({"NATIONAL-ONLY"})},
        {"origin": Origin(OriginKind.OWN, frozenset({to}))},
        {"origin": Origin(OriginKind.FGI, frozenset())},
        {"origin": Origin(OriginKind.FGI, frozenset({policy, to}))},
        {"origin": Origin(OriginKind.FGI, frozenset({"Xxx"}))},
        {"origin": Origin(OriginKind.JOINT, frozenset({policy}))},
        {"origin": Origin(OriginKind.JOINT, frozenset({to, "FRA"}))},
        {"categories": (CategorySet("b", CategoryKind.INFORMATIVE, None),) * 2},
        {"categories": tuple(CategorySet(tag, CategoryKind.INFORMATIVE, None) for tag in "ba")},
        {"successor": Label("XQQ", LADDERS[policy][0])},
        {"successor": Label(policy, "OPEN", successor=Label(policy, "OPEN", releasable_to=frozenset({to})))},
    )
    draft.label |= rng.choice(wrong)


def _unknown_code(rng: Random, _made: Generated, draft: Draft) -> None:
    policy, to = draft.sender, draft.recipient
    draft.label |= rng.choice(
        (
            {"releasable_to": frozenset({policy, to, "XQQ"})},
            {"display_only": frozenset({"XQQ"}), "dissemination": frozenset()},
            {"origin": Origin(OriginKind.FGI, frozenset({"XQQ"}))},
        )
    )


def _category_set(rng: Random, _made: Generated, draft: Draft) -> None:
    values = rng.choice((None, frozenset(), frozenset({"x"}), frozenset({draft.recipient})))
    kind = rng.choice((CategoryKind.RESTRICTIVE, CategoryKind.PERMISSIVE))
    draft.label["categories"] = (CategorySet("A", kind, values), *draft.label["categories"])


def _national_only(_rng: Random, _made: Generated, draft: Draft) -> None:
    draft.label |= {"dissemination": frozenset({"NATIONAL-ONLY"}), "releasable_to": None, "display_only": None}


def _out_of_order(rng: Random, _made: Generated, draft: Draft) -> None:
    times, now = draft.times, draft.moment["now"]
    times |= rng.choice(
        (
            {"not_before": times["created_at"] - 1},
            {"expires_at": now},
            {"expires_at": now - 1},
            {"created_at": now + MINUTE, "not_before": now + MINUTE, "expires_at": now + MINUTE},
            {"created_at": now + DAY, "not_before": now + DAY, "expires_at": now + 2 * DAY},
        )
    )


def _far_from_the_clock(rng: Random, _made: Generated, draft: Draft) -> None:
    created = draft.moment["now"] + rng.choice((-72 * HOUR - 1, -90 * HOUR, 2 * MINUTE + 1, HOUR))
    draft.times |= {"created_at": created, "not_before": max(created, draft.times["not_before"])}
    if draft.times["expires_at"] <= draft.moment["now"]:
        draft.times["expires_at"] = draft.moment["now"] + 1


def _before_every_table(_rng: Random, made: Generated, draft: Draft) -> None:
    begins = min((millis(one.valid_from) for one in made.document.equivalences), default=DAY) - 1
    draft.times |= {"created_at": begins, "not_before": begins}


CHANGES: dict[str, tuple[Change, ...]] = {
    "scope": (_other_categories, _other_categories, _other_kind, _set("profile", "categories", ())),
    "ceiling": (_above_the_ceiling,),
    "clearance": (
        _accredited_lower,
        _accreditation_over,
        _accredited_lower_until_nobody_knows,
        _set("node", "accreditation_level", None, "LEVEL OF NOBODY", 5, ["TAJNE"]),
        _set("node", "accreditation_until", *NO_NUMBER),
    ),
    "releasability": (_released_to_others, _shown_only, _relido_only, _label(releasable_to=None)),
    "originator-control": (_passed_on,),
    "purpose": (_other_purpose, _set("moment", "opening_purpose", "", *NO_TEXT, *PURPOSES)),
    "residency": (
        _set("node", "region", *NO_TEXT, *REGIONS),
        _set("moment", "broker_region", *NO_TEXT, *REGIONS),
        lambda rng, _made, draft: (
            draft.node.update(region=rng.choice(NO_TEXT)),
            draft.moment.update(broker_region="elsewhere"),
        )[0],
    ),
    "retention": (_kept_longer, _kept_longer, _set("moment", "admitted_at", *NO_NUMBER)),
    "embargo": (_embargoed,),
    "precedence": (_urgent,),
    "suites": (
        _set("profile", "suite", 1, 2, 3),
        _key_of_wrong_age,
        _key_of_wrong_age,
        _stale_view,
        _suite_and_key_unknown,
        _set("moment", "sender_key_since", *NO_NUMBER),
        _set("node", "oldest_key_since", *NO_NUMBER),
        _set("moment", "key_log_age", *NO_NUMBER),
    ),
    "baseline": (
        _to_itself,
        _to_somebody_else,
        _from_somebody_else,
        _set("profile", "agreement_id", "GEN-2"),
        _set("profile", "agreement_digest", b"e" * 48),
        _addressed_elsewhere,
        _addressed_elsewhere,
        _set("moment", "broker", *["elsewhere"] * 4, *NO_TEXT),
        _set("node", "valid", False, *NO_TRUTH),
        *[_ill_formed] * 6,
        _label(tlp=Tlp.RED),
        _unknown_code,
        _category_set,
        _category_set,
        _national_only,
        _out_of_order,
        _far_from_the_clock,
        _before_every_table,
        _set("profile", "purpose", "", "purpose-of-nobody"),
        _set("profile", "categories", ("terrorism", "category-of-nobody"), ("category-of-nobody",)),
        _set("label", "dissemination", frozenset({"NOFORN"}), frozenset({"ORCON", "FOUO"})),
        _set("label", "policy", "XAR", "XBO", "XQQ"),
        _set("label", "classification", "LEVEL OF NOBODY", "SECRET"),
    ),
}
CHANGES = {kind: CHANGES.get(kind, ()) + HANDLING_CHANGES.get(kind, ()) for kind in (CHANGES | HANDLING_CHANGES)}
_WEIGHTS = {
    "baseline": 6.0,
    "addressee": 3.0,
    "embargo": 1.5,
    "ceiling": 0.3,
    "precedence": 0.5,
    "originator-control": 12.0,
    "onward": 3.0,
    "personal-data": 5.0,
    "channel": 7.5,
    "reproduction": 7.0,
    "quota": 6.0,
    "dual-control": 9.5,
    "acknowledge": 6.0,
    "use": 8.0,
    "relabel": 6.0,
    "audit": 8.0,
    "exclude": 6.0,
}
_ALWAYS = {"baseline", "held", "addressee", "officer-clearance", "onward"}


def broken(rng: Random, made: Generated, draft: Draft, times: int = 1) -> Draft:
    """Break so many rules of a case, of kinds that its agreement has."""
    tags = {clause.__struct_config__.tag for _, clause in made.named()} | _ALWAYS
    drawn = [kind for kind in CHANGES if kind in tags]
    for kind in rng.choices(drawn, [_WEIGHTS.get(kind, 1.0) for kind in drawn], k=times):
        rng.choice(CHANGES[kind])(rng, made, draft)
    return draft
