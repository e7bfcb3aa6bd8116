"""Labels: what machines decide on, kept apart from banners, which people read (`banner.py`).

Rules, in order:

1. A label is well-formed or nothing decides on it (`faults`, `validate`): national-only, RELIDO and DISPLAY ONLY exclude
   one another, national-only excludes REL TO, a REL TO names the originator and somebody else, a display-only party is
   not also released to, and group codes have been expanded to party codes.
2. Absent and empty differ and neither means everybody: an absent permissive set is the policy's default (the originator
   only), an empty one is nobody but the originator.
3. Access (`may_access`): clearance >= classification; every restrictive value held; the subject in every permissive set.
4. Join (`join`, the roll-up; the result is a floor, a compilation may be marked higher): highest classification; union
   of restrictive and informative sets, intersection of permissive ones. Unclassified portions without a control are
   neutral. A classified portion without a foreign-disclosure marking counts as national-only. National-only with anything,
   lists without a common party and an emptied permissive set give national-only (CAPCO; ADatP-4774.1 drops the emptied
   set). A portion that is REL to some and DISPLAY ONLY to others is united first, then intersected. RELIDO survives only if
   every portion that is not neutral carries it. ORCON holds for what is derived.
5. From outside (`as_imported`, `unmarked`): a classified label without a foreign-disclosure marking becomes national-only;
   what carries no label at all is the system's highest, national-only.

`join` is commutative, associative and idempotent, and never widens who may have the content.

    >>> one = Label("XAR", "SECRET", releasable_to=frozenset({"XAR", "XBO", "XDE"}))
    >>> other = Label("XAR", "OPEN", releasable_to=frozenset({"XAR", "XBO"}))
    >>> whole = join([one, other], ("OPEN", "SECRET"))
    >>> whole.classification, sorted(whole.releasable_to)
    ('SECRET', ['XAR', 'XBO'])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from itertools import pairwise


class MarkingError(ValueError):
    """A label or a marking that breaks a rule; the message says which and what to write instead."""


class Control(StrEnum):
    """The dissemination words a label may carry. How a banner spells national-only is the policy's business."""

    ORCON = "ORCON"
    NATIONAL_ONLY = "NATIONAL-ONLY"
    RELIDO = "RELIDO"


DISSEMINATION = frozenset(word.value for word in Control)


class OriginKind(IntEnum):
    """Whose information it is."""

    OWN = 1
    FGI = 2
    JOINT = 3


class Tlp(IntEnum):
    """Traffic Light Protocol 2.0; absent is None (0 on the wire)."""

    CLEAR = 1
    GREEN = 2
    AMBER = 3
    AMBER_STRICT = 4
    RED = 5


class Pap(IntEnum):
    """Permissible Actions Protocol; absent is None (0 on the wire)."""

    CLEAR = 1
    GREEN = 2
    AMBER = 3
    RED = 4


class CategoryKind(IntEnum):
    """How a category set reads: the subject needs all, must be in it, or is only informed."""

    RESTRICTIVE = 1
    PERMISSIVE = 2
    INFORMATIVE = 3


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of a portion; `parties` is empty for OWN."""

    kind: OriginKind = OriginKind.OWN
    parties: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CategorySet:
    """One category set; `values` None is absent (policy default), empty is nobody but the originator."""

    tag: str
    kind: CategoryKind
    values: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Label:
    """One confidentiality label. Fields in the order of design 03; absent and empty sets differ.

    `policy` is the originator's policy identifier, which is its party code; `dissemination` holds words such as
    ``ORCON``, ``NATIONAL-ONLY`` (printed as the policy spells it, e.g. NOFORN), ``RELIDO``; `review_at` is Unix
    milliseconds or 0.
    """

    policy: str
    classification: str
    dissemination: frozenset[str] = frozenset()
    releasable_to: frozenset[str] | None = None
    display_only: frozenset[str] | None = None
    origin: Origin = field(default_factory=Origin)
    tlp: Tlp | None = None
    pap: Pap | None = None
    categories: tuple[CategorySet, ...] = ()
    review_at: int = 0
    successor: Label | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """Who wants access: a party, its clearance as a level of the label's policy, the category values it holds by tag."""

    party: str
    clearance: str | None
    categories: tuple[CategorySet, ...] = ()


def is_party_code(code: str) -> bool:
    """Say whether `code` is written like a party: three capital letters (ISO 3166-1 alpha-3 and its user range)."""
    return len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()


def has_disclosure_marking(label: Label) -> bool:
    """Say whether the label tells whom it may be disclosed to abroad: REL TO, DISPLAY ONLY, RELIDO or national-only."""
    return (
        label.releasable_to is not None
        or label.display_only is not None
        or Control.NATIONAL_ONLY in label.dissemination
        or Control.RELIDO in label.dissemination
    )


def is_controlled(label: Label) -> bool:
    """Say whether an otherwise unclassified label still limits dissemination; an empty list is a limit."""
    return bool(label.dissemination) or label.releasable_to is not None or label.display_only is not None


def faults(label: Label) -> tuple[str, ...]:
    """Give every rule of form the label breaks, in words; empty when it is well-formed.

    Levels and vocabulary words are not looked up here: they belong to an agreement.
    """
    found: list[str] = []
    released, displayed, words, origin = label.releasable_to, label.display_only, label.dissemination, label.origin
    if words:
        if Control.NATIONAL_ONLY in words:
            if released is not None:
                found.append("national-only excludes REL TO")
            if displayed is not None:
                found.append("national-only excludes DISPLAY ONLY")
            if Control.RELIDO in words:
                found.append("national-only excludes RELIDO")
        if displayed is not None and Control.RELIDO in words:
            found.append("RELIDO excludes DISPLAY ONLY")
    if released is not None:
        found += _code_faults("REL TO", released)
        if label.policy not in released or len(released) < 2:
            found.append(f"REL TO needs the originator {label.policy} and at least one other party")
    if displayed is not None:
        found += _code_faults("DISPLAY ONLY", displayed)
        if not displayed:
            found.append("DISPLAY ONLY names nobody")
        if label.policy in displayed:
            found.append(f"DISPLAY ONLY names the originator {label.policy}")
        if released is not None and not displayed.isdisjoint(released):
            found.append(f"REL TO already covers {', '.join(sorted(displayed & released))}: take out of DISPLAY ONLY")
    if origin.parties or origin.kind is not OriginKind.OWN:
        found += _origin_faults(label.policy, origin)
    if label.categories and any(a.tag >= b.tag for a, b in pairwise(label.categories)):
        found.append("category sets are not in strictly ascending order of tag")
    if label.successor is not None:
        found += _successor_faults(label)
    return tuple(found)


def is_well_formed(label: Label, codes: frozenset[str]) -> bool:
    """Say whether the label breaks no rule of form; `codes` are party codes known to be well written.

    The same answer as `not faults(label)`, given faster for the labels nearly every portion has.
    """
    released, origin = label.releasable_to, label.origin
    if (
        released
        and label.policy in released
        and len(released) > 1
        and released <= codes
        and not label.dissemination
        and not label.categories
        and not origin.parties
        and origin.kind is OriginKind.OWN
        and label.display_only is None
        and label.successor is None
    ):
        return True
    return not faults(label)


def _code_faults(where: str, codes: Iterable[str]) -> list[str]:
    return [
        f"{where} names {code!r}, which is no party code (three capital letters; groups are expanded to their members)"
        for code in codes
        if not is_party_code(code)
    ]


def _origin_faults(policy: str, origin: Origin) -> list[str]:
    found = _code_faults("the origin", origin.parties)
    if origin.kind is OriginKind.OWN:
        found.append("own origin names no parties")
    elif origin.kind is OriginKind.FGI:
        if not origin.parties:
            found.append("FGI names whose information it is")
        if policy in origin.parties:
            found.append(f"FGI names the originator {policy}, to whom it is not foreign")
    elif policy not in origin.parties or len(origin.parties) < 2:
        found.append(f"JOINT names the originator {policy} and at least one other party")
    return found


def _successor_faults(label: Label) -> list[str]:
    current, found = label.successor, []
    while current is not None:
        if current.policy != label.policy:
            found.append("the successor is a label of another policy")
        found += [f"successor: {fault}" for fault in faults(replace(current, successor=None))]
        current = current.successor
    return found


def validate(label: Label, levels: Sequence[str]) -> None:
    """Raise MarkingError unless the label is well-formed and its words are known.

    `levels` are the levels of the label's policy from the lowest, unclassified, upwards.
    """
    found = list(faults(label))
    if label.classification not in levels:
        found.insert(0, f"{label.classification!r} is not a level of {label.policy}: one of {', '.join(levels)}")
    unknown = sorted(label.dissemination - DISSEMINATION)
    if unknown:
        found.append(
            f"unknown dissemination word {', '.join(map(repr, unknown))}: one of {', '.join(sorted(DISSEMINATION))}"
        )
    if found:
        raise MarkingError("; ".join(found))


def as_imported(label: Label, levels: Sequence[str]) -> Label:
    """Give the label as it is read in from another system: classified without a foreign-disclosure marking is national-only.

    Sealing refuses such a label instead: there somebody can be asked. Raises MarkingError as `validate`.
    """
    validate(label, levels)
    if label.classification == levels[0] or has_disclosure_marking(label):
        return label
    return replace(label, dissemination=label.dissemination | {Control.NATIONAL_ONLY.value})


def unmarked(policy: str, levels: Sequence[str]) -> Label:
    """Give the label of what carries none: the system's highest level, national-only. Public is said, never assumed."""
    return Label(policy, levels[-1], dissemination=frozenset({Control.NATIONAL_ONLY.value}))


def may_access(label: Label, subject: Subject, levels: Sequence[str]) -> bool:
    """Say whether the subject may have what the label marks (design 07, Access); what is unknown is denied.

    The clearance is a level of the label's own policy: an agreement's equivalence has been applied before.
    """
    if label.classification not in levels or faults(label) or not label.dissemination <= DISSEMINATION:
        return False
    rank = levels.index(label.classification)
    if rank > 0 and (subject.clearance not in levels or levels.index(subject.clearance) < rank):
        return False
    held = {one.tag: one.values or frozenset() for one in subject.categories}
    for one in label.categories:
        if one.kind is CategoryKind.RESTRICTIVE and (
            one.values is None or not one.values <= held.get(one.tag, frozenset())
        ):
            return False
        if (
            one.kind is CategoryKind.PERMISSIVE
            and subject.party != label.policy
            and subject.party not in (one.values or ())
        ):
            return False
    if subject.party == label.policy or not (rank or is_controlled(label)):
        return True
    return label.releasable_to is not None and subject.party in label.releasable_to


def join(labels: Sequence[Label], levels: Sequence[str]) -> Label:
    """Give the roll-up of the labels: the lowest marking a product of all these portions may carry.

    All labels are of one policy, whose levels are given from the lowest upwards. Raises MarkingError for none at all,
    for two policies and for an ill-formed label. Review at the earliest date any of them asks; a successor survives only
    if all have the same one.
    """
    if not labels:
        raise MarkingError("nothing to join: a roll-up needs at least one label")
    for label in labels:
        validate(label, levels)
    policy = labels[0].policy
    if any(label.policy != policy for label in labels):
        raise MarkingError("labels of two policies have no roll-up: map them by the agreement's equivalence first")
    highest = max(levels.index(label.classification) for label in labels)
    binding = [label for label in labels if label.classification != levels[0] or is_controlled(label)]
    categories, emptied = _join_categories(labels)
    words = frozenset[str]().union(*(label.dissemination for label in labels)) - {Control.RELIDO, Control.NATIONAL_ONLY}
    released: frozenset[str] = frozenset()
    displayed: frozenset[str] = frozenset()
    if emptied or _is_national_only(binding, classified=highest > 0):
        words |= {Control.NATIONAL_ONLY.value}
    else:
        if binding and all(Control.RELIDO in label.dissemination for label in binding):
            words |= {Control.RELIDO.value}
        released, displayed = _audience(binding)
    return Label(
        policy=policy,
        classification=levels[highest],
        dissemination=words,
        releasable_to=released | {policy} if released else None,
        display_only=displayed or None,
        origin=_join_origins(policy, [label.origin for label in labels]),
        tlp=max((label.tlp for label in labels if label.tlp is not None), default=None),
        pap=max((label.pap for label in labels if label.pap is not None), default=None),
        categories=categories,
        review_at=min((label.review_at for label in labels if label.review_at), default=0),
        successor=labels[0].successor if all(label.successor == labels[0].successor for label in labels) else None,
    )


def _audience(binding: Sequence[Label]) -> tuple[frozenset[str], frozenset[str]]:
    """Give whom all release to and whom all at least show to, the originator left out; united per portion first."""
    lists = [
        (label.releasable_to or frozenset(), (label.releasable_to or frozenset()) | (label.display_only or frozenset()))
        for label in binding
    ]
    if not lists:
        return frozenset(), frozenset()
    own = {binding[0].policy}
    released = frozenset.intersection(*(kept for kept, _ in lists)) - own
    return released, frozenset.intersection(*(shown for _, shown in lists)) - own - released


def _is_national_only(binding: Sequence[Label], *, classified: bool) -> bool:
    if any(Control.NATIONAL_ONLY in label.dissemination for label in binding):
        return True
    if any(label.releasable_to is not None or label.display_only is not None for label in binding):
        return not any(_audience(binding))
    # No list anywhere: only RELIDO on every portion keeps a classified roll-up open to a release authority.
    return classified and not all(Control.RELIDO in label.dissemination for label in binding)


def _join_origins(policy: str, origins: Sequence[Origin]) -> Origin:
    if all(origin == origins[0] for origin in origins):
        return origins[0]
    foreign = frozenset[str]().union(*(origin.parties for origin in origins)) - {policy}
    return Origin(OriginKind.FGI, foreign) if foreign else Origin()


def _join_categories(labels: Sequence[Label]) -> tuple[tuple[CategorySet, ...], bool]:
    """Give the joined sets by tag, and whether joining emptied a permissive one."""
    by_tag: dict[str, list[CategorySet]] = {}
    for label in labels:
        for one in label.categories:
            by_tag.setdefault(one.tag, []).append(one)
    joined, emptied = [], False
    for tag, sets in sorted(by_tag.items()):
        kind = sets[0].kind
        if any(one.kind is not kind for one in sets):
            raise MarkingError(f"category {tag!r} is of two kinds: one policy gives a tag one kind")
        if all(one == sets[0] for one in sets):
            joined.append(sets[0])
            continue
        listed = [one.values or frozenset() for one in sets]
        if kind is CategoryKind.PERMISSIVE:
            values: frozenset[str] | None = frozenset.intersection(*listed)
            emptied = emptied or not values
        else:
            # An absent restrictive or informative set is the policy's default, which no list can stand for.
            values = None if any(one.values is None for one in sets) else frozenset[str]().union(*listed)
        joined.append(CategorySet(tag, kind, values))
    return tuple(joined), emptied
