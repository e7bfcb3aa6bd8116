"""FIRST Information Exchange Policy 2.0: its handling, action and sharing statements, and what they mean here.

Rules, in order:

1. A policy is a JSON object of known statements; an unknown one, an unknown word or a wrong type refuses (`from_json`).
2. A policy that cannot be found, has not begun or has ended is the most restrictive one (`resolve`), never none.
3. Several policies on one thing: every statement at its narrowest (`strictest`).
4. Read in (`Handling.of`): `tlp` becomes the label's TLP, `permitted_actions` its PAP and the use it is open to; what an
   agreement's `use` clause decides by consent stands as consent. Encryption in transit is always given here.
5. Written out (`Handling.to_policy`) and read again a policy may become narrower, never wider. CLEAR is written ``white``, the
   word IEP 2.0 has for it; AMBER+STRICT, which it lacks, as it is: who does not know the word applies rule 2.
   IEP never grants: what agreement or REL TO denies stays denied.

    >>> Handling.of(resolve("nowhere", {}, at=0), at=0) == Handling.of(MOST_RESTRICTIVE, at=0)
    True

Source: FIRST, IEP 2.0 framework definition and JSON specification (2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Final, TypeVar

from comity_policy.marking import MarkingError, Pap, Tlp
from comity_policy.timestamps import parsed, written
from comity_policy.tlp import parse_tlp, tlp_word

VERSION: Final = 2.0
_TEXT_LIMIT: Final = 4096
_REFERENCES_LIMIT: Final = 64


class Actions(IntEnum):
    """What a recipient may do with it, from the narrowest; each allows what stands before it."""

    NONE = 1
    CONTACT_FOR_INSTRUCTION = 2
    INTERNALLY_VISIBLE_ACTIONS = 3
    EXTERNALLY_VISIBLE_INDIRECT_ACTIONS = 4
    EXTERNALLY_VISIBLE_DIRECT_ACTIONS = 5


class Attribution(IntEnum):
    """Whether its provider is named when it is passed on, from the narrowest."""

    MUST_NOT = 1
    MUST = 2
    MAY = 3


class Permission(IntEnum):
    """A statement with two answers, from the narrowest."""

    MUST_NOT = 1
    MAY = 2


class Encryption(IntEnum):
    """Whether what is retransmitted has to be encrypted, from the narrowest."""

    MUST = 1
    MAY = 2


class Use(IntEnum):
    """What acting on it needs, from the narrowest: nothing allows it, consent does, it is free."""

    DENY = 1
    CONSENT = 2
    ALLOW = 3


_W = TypeVar("_W", Actions, Attribution, Permission, Encryption)
_NAMES: Final = ("id", "name", "description")


@dataclass(frozen=True, slots=True)
class Policy:
    """One IEP 2.0 policy. Times are Unix milliseconds; `end_date` None never ends. Statements left out are the narrowest."""

    id: str
    name: str = ""
    description: str = ""
    start_date: int = 0
    end_date: int | None = None
    encrypt_in_transit: Encryption = Encryption.MUST
    permitted_actions: Actions = Actions.NONE
    affected_party_notifications: Permission = Permission.MUST_NOT
    tlp: Tlp = Tlp.RED
    attribution: Attribution = Attribution.MUST_NOT
    unmodified_resale: Permission = Permission.MUST_NOT
    external_references: tuple[str, ...] = ()

    def covers(self, at: int) -> bool:
        """Say whether the policy holds at a time in Unix milliseconds."""
        return self.start_date <= at and (self.end_date is None or at < self.end_date)


MOST_RESTRICTIVE: Final = Policy("most-restrictive", "the most restrictive policy")


@dataclass(frozen=True, slots=True)
class Handling:
    """What a policy means here: parts of a label, the use it is open to, and three duties of whoever passes it on.

    `until` is the first moment (Unix ms) at which the policy is over, None where it does not end.
    """

    tlp: Tlp
    pap: Pap
    action: Use
    notify_affected: bool
    attribution: Attribution
    resale: bool
    until: int | None = None

    @classmethod
    def of(cls, policy: Policy, at: int) -> Handling:
        """Give what a policy means at a time in Unix ms: where it has not begun or is over, the most restrictive."""
        if not policy.covers(at):
            policy = MOST_RESTRICTIVE
        return cls(
            tlp=policy.tlp,
            pap=_PAPS[policy.permitted_actions],
            action=_USES.get(policy.permitted_actions, Use.ALLOW),
            notify_affected=policy.affected_party_notifications is Permission.MAY,
            attribution=policy.attribution,
            resale=policy.unmodified_resale is Permission.MAY,
            until=policy.end_date,
        )

    def to_policy(self, identifier: str, name: str = "", *, start: int) -> Policy:
        """Give a policy that says this, with encryption in transit, from `start` (Unix ms) on and for as long."""
        return Policy(
            id=identifier,
            name=name,
            start_date=start,
            end_date=self.until,
            permitted_actions=_ACTIONS_BY_USE.get(self.action, _ACTIONS_BY_PAP[self.pap]),
            affected_party_notifications=Permission.MAY if self.notify_affected else Permission.MUST_NOT,
            tlp=self.tlp,
            attribution=self.attribution,
            unmodified_resale=Permission.MAY if self.resale else Permission.MUST_NOT,
        )


# PAP: RED leaves no trace outside, AMBER asks third parties, GREEN acts on the target.
_PAPS: Final = {
    Actions.NONE: Pap.RED,
    Actions.CONTACT_FOR_INSTRUCTION: Pap.RED,
    Actions.INTERNALLY_VISIBLE_ACTIONS: Pap.RED,
    Actions.EXTERNALLY_VISIBLE_INDIRECT_ACTIONS: Pap.AMBER,
    Actions.EXTERNALLY_VISIBLE_DIRECT_ACTIONS: Pap.GREEN,
}
_USES: Final = {Actions.NONE: Use.DENY, Actions.CONTACT_FOR_INSTRUCTION: Use.CONSENT}
_ACTIONS_BY_USE: Final = {use: actions for actions, use in _USES.items()}
_ACTIONS_BY_PAP: Final = {
    Pap.RED: Actions.INTERNALLY_VISIBLE_ACTIONS,
    Pap.AMBER: Actions.EXTERNALLY_VISIBLE_INDIRECT_ACTIONS,
    Pap.GREEN: Actions.EXTERNALLY_VISIBLE_DIRECT_ACTIONS,
    Pap.CLEAR: Actions.EXTERNALLY_VISIBLE_DIRECT_ACTIONS,
}


def from_json(data: Mapping[str, object]) -> Policy:
    """Give the policy a JSON object says; a statement that is missing is the narrowest. Raises MarkingError."""
    unknown = sorted(str(key) for key in data if key not in _KEYS)
    if unknown:
        raise MarkingError(f"unknown statement {unknown[0][:40]!r} in an IEP policy: one of {', '.join(sorted(_KEYS))}")
    if data.get("iep_version") != VERSION or isinstance(data["iep_version"], bool):
        raise MarkingError(f"iep_version is {VERSION}, not {str(data.get('iep_version'))[:40]!r}")
    texts = {name: _text(name, data[name]) for name in _NAMES if name in data}
    if not texts.get("id"):
        raise MarkingError("an IEP policy has an id")
    start, end = data.get("start_date"), data.get("end_date")
    return Policy(
        **texts,
        start_date=0 if start is None else _moment("start_date", start),
        end_date=None if end is None else _moment("end_date", end),
        encrypt_in_transit=_word(data, "encrypt_in_transit", Encryption.MUST),
        permitted_actions=_word(data, "permitted_actions", Actions.NONE),
        affected_party_notifications=_word(data, "affected_party_notifications", Permission.MUST_NOT),
        tlp=_tlp(data.get("tlp", "red")),
        attribution=_word(data, "attribution", Attribution.MUST_NOT),
        unmodified_resale=_word(data, "unmodified_resale", Permission.MUST_NOT),
        external_references=_references(data.get("external_references", [])),
    )


def to_json(policy: Policy) -> dict[str, object]:
    """Give the JSON object of a policy, every statement written out."""
    return {
        **{name: getattr(policy, name) for name in _NAMES},
        "iep_version": VERSION,
        "start_date": written(policy.start_date),
        "end_date": None if policy.end_date is None else written(policy.end_date),
        "encrypt_in_transit": _said(policy.encrypt_in_transit),
        "permitted_actions": _said(policy.permitted_actions),
        "affected_party_notifications": _said(policy.affected_party_notifications),
        "tlp": "white" if policy.tlp is Tlp.CLEAR else tlp_word(policy.tlp).removeprefix("TLP:").lower(),
        "attribution": _said(policy.attribution),
        "unmodified_resale": _said(policy.unmodified_resale),
        "external_references": list(policy.external_references),
    }


def resolve(reference: str, known: Mapping[str, Policy], *, at: int) -> Policy:
    """Give the policy a reference (`id_ref`) names, at a time in Unix milliseconds; not found: `MOST_RESTRICTIVE`."""
    found = known.get(reference)
    return found if found is not None and found.covers(at) else MOST_RESTRICTIVE


def strictest(policies: Iterable[Policy]) -> Policy:
    """Give the policy that holds where several do; none at all is `MOST_RESTRICTIVE`."""
    several = list(policies)
    if len(several) < 2:
        return several[0] if several else MOST_RESTRICTIVE
    ends = [one.end_date for one in several if one.end_date is not None]
    return Policy(
        id="+".join(sorted({one.id for one in several})),
        start_date=max(one.start_date for one in several),
        end_date=min(ends, default=None),
        encrypt_in_transit=min(one.encrypt_in_transit for one in several),
        permitted_actions=min(one.permitted_actions for one in several),
        affected_party_notifications=min(one.affected_party_notifications for one in several),
        tlp=max(one.tlp for one in several),
        attribution=min(one.attribution for one in several),
        unmodified_resale=min(one.unmodified_resale for one in several),
        external_references=tuple(sorted({url for one in several for url in one.external_references})),
    )


_KEYS: Final = frozenset(one.name for one in fields(Policy)) | {"iep_version"}


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > _TEXT_LIMIT or not value.isprintable():
        raise MarkingError(f"{name} of an IEP policy is a printable text of at most {_TEXT_LIMIT} characters")
    return value


def _word(data: Mapping[str, object], name: str, narrowest: _W) -> _W:
    words = {_said(member): member for member in type(narrowest)}
    said = data.get(name, _said(narrowest))
    if not isinstance(said, str) or said not in words:
        raise MarkingError(f"{name} of an IEP policy is one of {', '.join(words)}, not {str(said)[:40]!r}")
    return words[said]


def _said(member: IntEnum) -> str:
    return member.name.lower().replace("_", "-")


def _tlp(word: object) -> Tlp:
    if not isinstance(word, str) or word != word.lower():
        raise MarkingError(f"tlp of an IEP policy is a word such as 'amber', not {str(word)[:40]!r}")
    return parse_tlp(word.upper())


def _references(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _REFERENCES_LIMIT:
        raise MarkingError(f"external_references of an IEP policy is a list of at most {_REFERENCES_LIMIT} addresses")
    return tuple(_text("external_references", one) for one in value)


def _moment(name: str, value: object) -> int:
    return parsed(_text(name, value))
