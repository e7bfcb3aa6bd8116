"""What users build and read: a report to send, a report received. Domain objects and validation, no I/O.

Rules: a report has at least one portion and at most 64; every portion has a marking of its own, and the whole is marked no
lower than its parts; times are aware datetimes in order; nothing here is ever sent: the SDK turns a report into a profile
(what policy reads) and portion headers (what is sealed with the content).

    >>> report = Report.text("two boats", marking="SECRET//REL TO XAR, XBO", categories=["terrorism"], purpose="analysis")
    >>> report.banner, report.portions[0].text
    ('SECRET//REL TO XAR, XBO', 'two boats')
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import PurePath
from typing import Any, Final, TypedDict, TypeVar, Unpack
from uuid import UUID

from comity.attachment import Attachment
from comity.errors import MalformedError
from comity.light import light
from comity.portion import BINARY, TEXT, Marking, Portion, StoredContent, utf8
from comity_policy.banner import ILL_FORMED, banner
from comity_policy.explanation import ClauseExplanation
from comity_policy.facts import Action, Addressee, Kind, Originator, PortionMarking, Precedence, Profile, Times
from comity_policy.marking import Label, join

__all__ = ["Marking", "Portion", "ReceivedReport", "Report", "ReportFields", "StoredContent", "milliseconds"]

STIX: Final = "application/stix+json;version=2.1"
PORTIONS: Final = 64
_MEDIA_TYPES: Final = {
    ".txt": TEXT,
    ".md": "text/markdown;charset=utf-8",
    ".json": "application/json",
    ".stix": STIX,
    ".csv": "text/csv;charset=utf-8",
    ".xml": "application/xml",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
_NO_GROUPS: Final[Mapping[str, frozenset[str]]] = {}
E = TypeVar("E", bound=IntEnum)


class ReportFields(TypedDict, total=False):
    """The further fields of a report as its constructors take them: words and lists are fine."""

    categories: Iterable[str]
    purpose: str
    precedence: Precedence | str
    kind: Kind | str
    addressees: Iterable[Addressee | str]
    exercise: bool
    not_before: datetime | None
    expires_at: datetime | None
    refers_to: Iterable[tuple[str, UUID, bytes]]
    approvals_required: int
    emergency: bytes


@light
class Report:
    """A report to send: portions, and what the agreement's clauses read about it.

    `addressees` empty means every other party of the agreement, for ACTION. `not_before` None means at once,
    `expires_at` None as late as the agreement allows. `refers_to` names other reports: a relation (``supersedes``,
    ``in-reply-to``, ``derived-from``, ``recalls``), the report's id and its leaf.
    """

    portions: tuple[Portion, ...]
    marking: Marking
    categories: tuple[str, ...] = ()
    purpose: str = ""
    precedence: Precedence = Precedence.ROUTINE
    kind: Kind = Kind.REPORT
    addressees: tuple[Addressee, ...] = ()
    exercise: bool = False
    not_before: datetime | None = None
    expires_at: datetime | None = None
    refers_to: tuple[tuple[str, UUID, bytes], ...] = ()
    approvals_required: int = 0
    emergency: bytes = b""

    def __post_init__(self) -> None:
        if not 1 <= len(self.portions) <= PORTIONS:
            raise MalformedError(f"a report has 1 to {PORTIONS} portions, not {len(self.portions)}")
        for name, moment in (("not_before", self.not_before), ("expires_at", self.expires_at)):
            if moment is not None and moment.tzinfo is None:
                raise MalformedError(f"{name} has no time zone", what_to_do="Give an aware datetime, e.g. in UTC.")
        if self.not_before is not None and self.expires_at is not None and self.not_before >= self.expires_at:
            raise MalformedError("not_before is not before expires_at")
        for values in (self.categories, self.addressees, self.refers_to):
            if len(values) > 1 and len(set(values)) != len(values):
                raise MalformedError("a category, addressee or reference is named twice")

    @classmethod
    def of(
        cls, portions: Iterable[Portion], *, marking: Marking | Label | str, **fields: Unpack[ReportFields]
    ) -> Report:
        """Build a report of several portions; `marking` is the banner of the whole.

        Words are taken for enums, parties and officers: ``precedence="flash"``, ``addressees=["XBO", "XDE/officer1"]``.
        """
        given: dict[str, Any] = {name: _READ[name](value) if name in _READ else value for name, value in fields.items()}
        return cls(tuple(portions), Marking.of(marking), **given)

    @classmethod
    def text(
        cls, text: str, *, marking: Marking | Label | str, title: str = "", **fields: Unpack[ReportFields]
    ) -> Report:
        """Build a report of one text portion."""
        return cls.of((Portion.of_text(text, marking, title=title),), marking=marking, **fields)

    @classmethod
    def stix(
        cls,
        bundle: Mapping[str, object] | str | bytes,
        *,
        marking: Marking | Label | str,
        title: str = "",
        **fields: Unpack[ReportFields],
    ) -> Report:
        """Build a report of one STIX 2.1 portion, from a parsed bundle or its exact text; raises MalformedError."""
        portion = Portion(_stix_bytes(bundle), Marking.of(marking), media_type=STIX, title=title)
        return cls.of((portion,), marking=marking, **fields)

    @classmethod
    def of_file(
        cls,
        file_name: str,
        content: bytes | StoredContent,
        *,
        marking: Marking | Label | str,
        media_type: str = "",
        title: str = "",
        **fields: Unpack[ReportFields],
    ) -> Report:
        """Build a report of one portion with a file name, whose ending gives the media type where none is said."""
        portion = Portion(
            content,
            Marking.of(marking),
            media_type=media_type or _guessed(PurePath(file_name).suffix.lower(), content),
            file_name=file_name,
            title=title,
        )
        return cls.of((portion,), marking=marking, **fields)

    @property
    def banner(self) -> str:
        """Give the banner line of the whole report; an exercise says so first, on every screen."""
        return _with_exercise(self.marking.banner, exercise=self.exercise)

    @property
    def title(self) -> str:
        """Give the first title any portion has."""
        return next((portion.title for portion in self.portions if portion.title), "")

    def labels(
        self, policy: str, levels: Sequence[str], groups: Mapping[str, frozenset[str]] = _NO_GROUPS
    ) -> tuple[Label, ...]:
        """Give every portion's label; raises MalformedError, also where the whole is marked below its parts."""
        labels = tuple(portion.marking.to_label(policy, levels, groups) for portion in self.portions)
        whole = self.marking.to_label(policy, levels, groups)
        try:
            floor = join(labels, levels)
            low = levels.index(whole.classification) < levels.index(floor.classification)
        except ValueError as error:
            raise MalformedError(f"the portions' markings do not go together: {error}") from error
        if low:
            raise MalformedError(
                f"the report is marked {whole.classification}, a portion {floor.classification}",
                what_to_do=f"Mark the report {floor.classification} or higher.",
            )
        return labels

    def profile(
        self,
        *,
        suite: int,
        originator: Originator,
        key_set: bytes,
        agreement_id: str,
        agreement_digest: bytes,
        statements_seen: int,
        parties: Iterable[str],
        levels: Sequence[str],
        groups: Mapping[str, frozenset[str]] = _NO_GROUPS,
    ) -> Profile:
        """Give the profile to sign: `parties` are the agreement's, `levels` those of the originator's party."""
        others = sorted(set(parties) - {originator.party})
        labels = self.labels(originator.party, levels, groups)
        return Profile(
            suite=suite,
            originator=originator,
            key_set=key_set,
            agreement_id=agreement_id,
            agreement_digest=agreement_digest,
            statements_seen=statements_seen,
            precedence=self.precedence,
            exercise=self.exercise,
            kind=self.kind,
            categories=tuple(sorted(self.categories, key=str.encode)),
            purpose=self.purpose,
            emergency=self.emergency,
            addressees=self.addressees or tuple(Addressee(party, Action.ACTION) for party in others),
            approvals_required=self.approvals_required,
            portions=tuple(
                PortionMarking(label, portion.personal_data, portion.persons, portion.warn)
                for label, portion in zip(labels, self.portions, strict=True)
            ),
        )


@light
class ReceivedReport:
    """A report as its reader may have it: the portions that opened, and which ones stay withheld.

    `profile`, `times` and `refers_to` (relation, report, leaf) are what was signed. `levels` are those of the originator's policy, for
    the banner. `refused` says why
    portions stay closed, `attachments` are portions that are fetched when somebody saves them; those in `waiting` open to another reader, for another purpose, or once their caveats are acknowledged.
    """

    report_id: UUID
    leaf: bytes
    profile: Profile
    times: Times
    opened: tuple[tuple[int, Portion], ...]
    levels: tuple[str, ...]
    viewer: str
    waiting: tuple[int, ...] = ()
    refused: tuple[ClauseExplanation, ...] = ()
    refers_to: tuple[tuple[str, UUID, bytes], ...] = ()
    attachments: tuple[Attachment, ...] = ()

    @property
    def recalls(self) -> UUID | None:
        """Give the report that this one recalls: nothing of that is to be kept or shown any more; None where it is no recall."""
        return self._named("recalls", Kind.RECALL)

    @property
    def supersedes(self) -> UUID | None:
        """Give the report that this one takes the place of; None where it takes none's."""
        return self._named("supersedes", Kind.SUPERSEDE)

    def _named(self, relation: str, kind: Kind) -> UUID | None:
        named = (report_id for word, report_id, _ in self.refers_to if word == relation)
        return next(named, None) if self.profile.kind is kind else None

    @property
    def shown(self) -> tuple[int, ...]:
        """Give the indices of the portions this opening gives, attachments among them, ascending."""
        return tuple(sorted([*(index for index, _ in self.opened), *(one.index for one in self.attachments)]))

    @property
    def portions(self) -> tuple[Portion, ...]:
        """Give the portions that opened."""
        return tuple(portion for _, portion in self.opened)

    @property
    def withheld(self) -> tuple[int, ...]:
        """Give the indices of the portions this reader was not given."""
        here = frozenset(self.shown)
        return tuple(index for index in range(len(self.profile.portions)) if index not in here)

    @property
    def banner(self) -> str:
        """Give the banner of the highest thing this report shows its reader; never raises."""
        return banner_of(self.profile, self.shown, self.levels, self.viewer)

    @property
    def text(self) -> str:
        """Give all text portions, an empty line between them."""
        return "\n\n".join(portion.text for portion in self.portions if portion.is_text)

    @property
    def title(self) -> str:
        """Give the first title any portion has."""
        return next((portion.title for portion in self.portions if portion.title), "")


def banner_of(profile: Profile, indices: Iterable[int], levels: Sequence[str], viewer: str) -> str:
    """Give the banner of the highest that these portions of a signed profile say, as `viewer` reads it; never raises."""
    try:
        line = banner(join([profile.portions[index].label for index in indices], levels), viewer=viewer)
    except ValueError:
        line = ILL_FORMED
    return _with_exercise(line, exercise=profile.exercise)


def milliseconds(moment: datetime) -> int:
    """Give Unix milliseconds of an aware datetime."""
    delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def _with_exercise(line: str, *, exercise: bool) -> str:
    return f"EXERCISE EXERCISE EXERCISE {line}" if exercise else line


def _addressee(text: str) -> Addressee:
    """Read PARTY, or PARTY/OFFICER for one officer alone."""
    party, _, officer = text.partition("/")
    return Addressee(party, officer=text) if officer else Addressee(party)


def _member(kind: type[E], word: str) -> E:
    try:
        return kind[word.upper().replace("-", "_")]
    except KeyError:
        words = ", ".join(member.name.lower() for member in kind)
        raise MalformedError(f"{word!r} is not one of: {words}") from None


def _addressees(given: Iterable[Addressee | str]) -> tuple[Addressee, ...]:
    return tuple([_addressee(one) if isinstance(one, str) else one for one in given])


# How the constructors' words and lists are read; other fields are taken as they are.
_READ: Final[Mapping[str, Callable[[Any], object]]] = {
    "categories": tuple,
    "precedence": lambda given: given if isinstance(given, Precedence) else _member(Precedence, given),
    "kind": lambda given: given if isinstance(given, Kind) else _member(Kind, given),
    "addressees": _addressees,
    "refers_to": tuple,
}


def _stix_bytes(bundle: Mapping[str, object] | str | bytes) -> bytes:
    if isinstance(bundle, Mapping):
        content = json.dumps(bundle, ensure_ascii=False, separators=(",", ":")).encode()
    else:
        content = utf8(bundle) if isinstance(bundle, str) else bundle
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MalformedError("the STIX bundle is not JSON") from error
    if not isinstance(parsed, dict) or parsed.get("type") != "bundle" or not isinstance(parsed.get("objects"), list):
        raise MalformedError('a STIX 2.1 bundle is an object with "type": "bundle" and a list of objects')
    return content


def _guessed(ending: str, content: bytes | StoredContent) -> str:
    guess = _MEDIA_TYPES.get(ending, BINARY)
    if guess == "application/json" and isinstance(content, bytes):
        try:
            _stix_bytes(content)
        except MalformedError:
            return guess
        return STIX
    return guess
