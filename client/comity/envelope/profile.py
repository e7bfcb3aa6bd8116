"""Profile and Label as records: the part of a core that many reports share (design 03, "Structures").

Field order is the design's. The encoding is checked here; whether a label is well-formed is `comity_policy.marking`'s
business, and vocabulary, directory, clocks and equalities between structures are others'. A decoded profile is frozen all through, so its parse may be remembered by its
exact bytes: `ProfileMemo` does, after a complete parse only, bounded in bytes, one a peer.
"""

from __future__ import annotations

from typing import Final

from comity.envelope import limits
from comity.envelope.records import (
    Reader,
    bounded,
    enum_or_none,
    fixed,
    fixed_or_empty,
    flag,
    listed,
    optional_text_set,
    text,
    text_set,
    u8,
    u16,
    u32,
    u64,
    variable,
)
from comity.errors import MalformedError
from comity_policy.facts import (
    Action,
    Addressee,
    Kind,
    Originator,
    PersonalData,
    PortionMarking,
    Precedence,
    Profile,
    Role,
)
from comity_policy.marking import CategoryKind, CategorySet, Label, Origin, OriginKind, Pap, Tlp

_EXERCISE_CLASSES: Final = 5


def transport_class(profile: Profile) -> int:
    """Give the lane class of design 04: 0 control (a recall), 1 FLASH to 4 ROUTINE; 5 to 9 the same for exercise."""
    urgency = 0 if profile.kind is Kind.RECALL else int(profile.precedence)
    return urgency + (_EXERCISE_CLASSES if profile.exercise else 0)


def is_exercise_class(transport_class: int) -> bool:
    """Say whether a lane class is one of exercise traffic."""
    return transport_class >= _EXERCISE_CLASSES


def is_urgent(transport_class: int) -> bool:
    """Say whether a lane class is control, FLASH or IMMEDIATE of real traffic: an exercise never stands before what is meant."""
    return transport_class <= Precedence.IMMEDIATE


def stated_class(segment: bytes) -> int:
    """Give the class that the bytes of a segment state, before anything of it is checked; that of ROUTINE where they state none."""
    length = int.from_bytes(segment[2:6], "big")
    place = 6 + length + limits.UUID
    return segment[place] if length <= limits.TEXT_BYTES and place < len(segment) else int(Precedence.ROUTINE)


# --- label ----------------------------------------------------------------------------------------------------------


def encode_label(label: Label, *, successors: int = limits.SUCCESSORS) -> bytes:
    """Encode a label; raises MalformedError for one that the format cannot carry."""
    if label.successor is not None and successors == 0:
        raise MalformedError(f"a label has more than {limits.SUCCESSORS} successors")
    categories = sorted((text(item.tag)[4:], item) for item in label.categories)
    if len({tag for tag, _ in categories}) != len(categories):
        raise MalformedError("a label names one category tag twice")
    successor = b"" if label.successor is None else encode_label(label.successor, successors=successors - 1)
    return b"".join(
        (
            text(label.policy),
            text(label.classification),
            text_set(label.dissemination, limits.LABEL_ITEMS),
            optional_text_set(label.releasable_to, limits.LABEL_ITEMS),
            optional_text_set(label.display_only, limits.LABEL_ITEMS),
            u8(label.origin.kind),
            text_set(label.origin.parties, limits.LABEL_ITEMS),
            enum_or_none(label.tlp),
            enum_or_none(label.pap),
            listed(
                (
                    text(item.tag) + u8(item.kind) + optional_text_set(item.values, limits.LABEL_ITEMS)
                    for _, item in categories
                ),
                limits.LABEL_ITEMS,
            ),
            u64(label.review_at),
            variable(successor, limits.PROFILE_BYTES),
        )
    )


def decode_label(data: bytes, *, successors: int = limits.SUCCESSORS) -> Label:
    """Decode exactly the bytes of one label."""
    reader = bounded(data, limits.PROFILE_BYTES, "label")
    policy = reader.text()
    classification = reader.text()
    dissemination = frozenset(reader.text_set(limits.LABEL_ITEMS, "dissemination controls"))
    releasable_to = reader.optional_text_set(limits.LABEL_ITEMS, "parties releasable to")
    display_only = reader.optional_text_set(limits.LABEL_ITEMS, "display-only parties")
    origin = Origin(reader.enum(OriginKind), frozenset(reader.text_set(limits.LABEL_ITEMS, "origin parties")))
    tlp = reader.enum_or_none(Tlp)
    pap = reader.enum_or_none(Pap)
    categories = _category_sets(reader)
    review_at = reader.u64()
    encoded_successor = reader.variable(limits.PROFILE_BYTES, "a successor")
    reader.end()
    successor = None
    if encoded_successor:
        if successors == 0:
            raise reader.over_limit("the number of successors", limits.SUCCESSORS + 1, limits.SUCCESSORS)
        successor = decode_label(encoded_successor, successors=successors - 1)
    return Label(
        policy=policy,
        classification=classification,
        dissemination=dissemination,
        releasable_to=releasable_to,
        display_only=display_only,
        origin=origin,
        tlp=tlp,
        pap=pap,
        categories=categories,
        review_at=review_at,
        successor=successor,
    )


def _category_sets(reader: Reader) -> tuple[CategorySet, ...]:
    sets: list[CategorySet] = []
    before = b""
    for _ in range(reader.count(limits.LABEL_ITEMS, 11, "category sets")):
        tag = reader.text()
        key = tag.encode()
        if key <= before:
            raise reader.malformed("category sets are not strictly ascending by tag")
        before = key
        kind = reader.enum(CategoryKind)
        sets.append(CategorySet(tag, kind, reader.optional_text_set(limits.LABEL_ITEMS, "category values")))
    return tuple(sets)


# --- profile --------------------------------------------------------------------------------------------------------


def encode_profile(profile: Profile) -> bytes:
    """Encode a profile; sets may be given in any order. Raises MalformedError for one the format cannot carry."""
    originator = profile.originator
    if (originator.officer_role is None) != (not originator.officer_fingerprint):
        raise MalformedError("an officer's fingerprint and role are given together or not at all")
    data = b"".join(
        (
            u16(profile.suite),
            text(originator.party),
            text(originator.node),
            fixed_or_empty(originator.officer_fingerprint, limits.DIGEST),
            enum_or_none(originator.officer_role),
            fixed(profile.key_set, limits.DIGEST),
            text(profile.agreement_id),
            fixed(profile.agreement_digest, limits.DIGEST),
            u32(profile.statements_seen),
            u8(profile.precedence),
            flag(profile.exercise),
            u8(profile.kind),
            text_set(profile.categories, limits.LABEL_ITEMS),
            text(profile.purpose),
            fixed_or_empty(profile.emergency, limits.DIGEST),
            _addressee_set(profile.addressees),
            u32(profile.approvals_required),
            listed((_portion_marking(item) for item in profile.portions), limits.PORTIONS, least=1),
        )
    )
    if len(data) > limits.PROFILE_BYTES:
        raise MalformedError(f"a profile has {len(data)} bytes, at most {limits.PROFILE_BYTES}")
    return data


def decode_profile(data: bytes) -> Profile:
    """Decode exactly the bytes of one profile."""
    reader = bounded(data, limits.PROFILE_BYTES, "profile")
    suite = reader.u16()
    party, node = reader.text(), reader.text()
    officer = reader.fixed_or_empty(limits.DIGEST, "an officer's fingerprint")
    role = reader.enum_or_none(Role)
    if (role is None) != (not officer):
        raise reader.malformed("an officer's fingerprint and role are given together or not at all")
    key_set = reader.raw(limits.DIGEST)
    agreement_id = reader.text()
    agreement_digest = reader.raw(limits.DIGEST)
    statements_seen = reader.u32()
    precedence = reader.enum(Precedence)
    exercise = reader.flag()
    kind = reader.enum(Kind)
    categories = reader.text_set(limits.LABEL_ITEMS, "categories")
    purpose = reader.text()
    emergency = reader.fixed_or_empty(limits.DIGEST, "an emergency declaration")
    addressees = _addressees(reader)
    approvals_required = reader.u32()
    portions = tuple(
        PortionMarking(
            label=decode_label(reader.variable(limits.PROFILE_BYTES, "a label")),
            personal_data=reader.enum(PersonalData),
            persons=reader.u32(),
            warn=reader.flag(),
        )
        for _ in range(reader.count(limits.PORTIONS, 50, "portions", least=1))
    )
    reader.end()
    return Profile(
        suite=suite,
        originator=Originator(party, node, officer, role),
        key_set=key_set,
        agreement_id=agreement_id,
        agreement_digest=agreement_digest,
        statements_seen=statements_seen,
        precedence=precedence,
        exercise=exercise,
        kind=kind,
        categories=categories,
        purpose=purpose,
        emergency=emergency,
        addressees=addressees,
        approvals_required=approvals_required,
        portions=portions,
    )


def _addressee(item: Addressee) -> bytes:
    return b"".join(
        (
            text(item.party),
            text(item.office, empty=True),
            text(item.community, empty=True),
            text(item.officer, empty=True),
            u8(item.action),
        )
    )


def _addressee_set(items: tuple[Addressee, ...]) -> bytes:
    encoded = sorted(_addressee(item) for item in items)
    if len(set(encoded)) != len(encoded):
        raise MalformedError("a profile names one addressee twice")
    return listed(encoded, limits.ADDRESSEES, least=1)


def _addressees(reader: Reader) -> tuple[Addressee, ...]:
    items: list[Addressee] = []
    before = b""
    for _ in range(reader.count(limits.ADDRESSEES, 18, "addressees", least=1)):
        start = reader.position
        party = reader.text()
        office, community, officer = (reader.text(empty=True) for _ in range(3))
        action = reader.enum(Action)
        encoded = reader.data[start : reader.position]
        if encoded <= before:
            raise reader.malformed("addressees are not strictly ascending")
        before = encoded
        items.append(Addressee(party=party, action=action, office=office, community=community, officer=officer))
    return tuple(items)


def _portion_marking(item: PortionMarking) -> bytes:
    return b"".join(
        (
            variable(encode_label(item.label), limits.PROFILE_BYTES),
            u8(item.personal_data),
            u32(item.persons),
            flag(item.warn),
        )
    )


class ProfileMemo:
    """Parsed profiles of one peer, by their exact bytes; the oldest leave when `capacity_bytes` is reached."""

    __slots__ = ("_capacity", "_parsed", "_size")

    def __init__(self, capacity_bytes: int = 1 << 20) -> None:
        self._capacity = capacity_bytes
        self._parsed: dict[bytes, Profile] = {}
        self._size = 0

    def decode(self, data: bytes) -> Profile:
        """Decode a profile, or give the one these bytes gave before; raises as `decode_profile`."""
        profile = self._parsed.get(data)
        if profile is not None:
            return profile
        profile = decode_profile(data)
        self._size += len(data)
        self._parsed[data] = profile
        while self._size > self._capacity:
            oldest = next(iter(self._parsed))
            del self._parsed[oldest]
            self._size -= len(oldest)
        return profile

    @property
    def size_bytes(self) -> int:
        """Give how many bytes of profiles are remembered."""
        return self._size
