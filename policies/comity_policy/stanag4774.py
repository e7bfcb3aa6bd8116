"""STANAG 4774 confidentiality labels in XML: reading them strictly, and writing ours (ADatP-4774, XSD version 1.3).

Rules, in order:

1. `from_xml` takes one label (originator, alternative or metadata) and nothing it does not know: an unknown element or
   attribute might limit something, so it refuses. The document is bounded and holds no document type (`xml_elements.py`).
2. PolicyIdentifier is a party code, or one of the names `policies` maps to one. Levels and words are those of that policy.
3. Our fields stand in categories with names of their own. What limits is RESTRICTIVE or PERMISSIVE, so that a reader who does
   not know the name denies: ``Releasable To`` (P), ``Dissemination``, ``Display Only``, ``TLP``, ``PAP`` (R); what only informs is
   INFORMATIVE: ``FGI``, ``JOINT``. A category set of the label must not take one of these names.
4. A set that is present and empty is a category without a value. An *absent* set means the policy's default, which the
   format cannot say: such a label is not written, and none is ever read.
5. A successor takes the label's place at `review_at`. One that has none, or a successor of its own, is not written.
6. Reading gives what is said. Whoever takes the label into use applies `marking.as_imported` (classified without a
   foreign-disclosure marking is national-only). A mapped label stands beside the originator's and never replaces it.

    >>> label = Label("XAR", "SECRET", releasable_to=frozenset({"XAR", "XBO"}))
    >>> one = ConfidentialityLabel(label, created_at=1_764_000_000_000)
    >>> from_xml(to_xml(one), ("OPEN", "SECRET")) == one
    True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from comity_policy import xml_elements
from comity_policy.marking import (
    CategoryKind,
    CategorySet,
    Label,
    MarkingError,
    Origin,
    OriginKind,
    faults,
    is_party_code,
    validate,
)
from comity_policy.timestamps import parsed, written
from comity_policy.tlp import pap_word, parse_pap, parse_tlp, tlp_word
from comity_policy.xml_elements import Element

NAMESPACE: Final = "urn:nato:stanag:4774:confidentialitymetadatalabel:1:0"
TEXT_LIMIT: Final = 1024
ID_TYPES: Final = (
    "dNSName",
    "directoryName",
    "iPAddress",
    "jID",
    "rfc822Name",
    "uniformResourceIdentifier",
    "userPrincipalName",
    "x400Address",
)
RELEASABLE_TO: Final = "Releasable To"
DISSEMINATION: Final = "Dissemination"
DISPLAY_ONLY: Final = "Display Only"
FGI: Final = "FGI"
JOINT: Final = "JOINT"
TLP: Final = "TLP"
PAP: Final = "PAP"
_OWN_KINDS: Final = {
    RELEASABLE_TO: CategoryKind.PERMISSIVE,
    DISSEMINATION: CategoryKind.RESTRICTIVE,
    DISPLAY_ONLY: CategoryKind.RESTRICTIVE,
    FGI: CategoryKind.INFORMATIVE,
    JOINT: CategoryKind.INFORMATIVE,
    TLP: CategoryKind.RESTRICTIVE,
    PAP: CategoryKind.RESTRICTIVE,
}
_SCHEMA_LOCATION: Final = "http://www.w3.org/2001/XMLSchema-instance schemaLocation"
_NO_POLICIES: Final[Mapping[str, str]] = {}


class LabelKind(StrEnum):
    """Whose label it is: the originator's, an equivalent one of another policy, or that of the metadata themselves."""

    ORIGINATOR = "originatorConfidentialityLabel"
    ALTERNATIVE = "alternativeConfidentialityLabel"
    METADATA = "metadataConfidentialityLabel"


@dataclass(frozen=True, slots=True)
class ConfidentialityLabel:
    """A label and what the format says about it. `created_at` is Unix milliseconds; `originator` is an id type and an id."""

    label: Label
    created_at: int
    kind: LabelKind = LabelKind.ORIGINATOR
    privacy_mark: str = ""
    originator: tuple[str, str] | None = None


def to_xml(one: ConfidentialityLabel) -> bytes:
    """Give the XML of a label; raises MarkingError for one the format cannot say (rules 3 to 5)."""
    found = faults(one.label)
    if found:
        raise MarkingError("; ".join(found))
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n']
    parts += _written(one.kind.value, one, one.label, f" xmlns={quoteattr(NAMESPACE)}")
    return "".join((*parts, "\n")).encode()


def from_xml(
    document: bytes, levels: Sequence[str], policies: Mapping[str, str] = _NO_POLICIES
) -> ConfidentialityLabel:
    """Read a label; `levels` are those of its policy, lowest first, `policies` party codes by policy name.

    Raises MarkingError for everything rule 1 does not take, and for a label that breaks a rule of form.
    """
    root = xml_elements.read(document)
    names = {f"{NAMESPACE} {kind.value}": kind for kind in LabelKind}
    # The general name is kept by the standard for old writers; such a label is its originator's.
    kind = names.get(root.name, LabelKind.ORIGINATOR if root.name == f"{NAMESPACE} ConfidentialityLabel" else None)
    if kind is None:
        raise MarkingError(f"the root is a STANAG 4774 label, not {root.name[-80:]!r}")
    one = _label_of(root, kind, policies, successors=1)
    if not is_party_code(one.label.policy):
        raise MarkingError(f"the policy {one.label.policy[:40]!r} is no party's: say which party code it stands for")
    for label in (one.label, one.label.successor):
        if label is not None:
            validate(label, levels)
    return one


# --- writing ----------------------------------------------------------------------------------------------------------


def _written(name: str, one: ConfidentialityLabel, label: Label, attributes: str = "") -> list[str]:
    if label.review_at:
        attributes += f" ReviewDateTime={quoteattr(written(label.review_at))}"
    parts = [f"<{name}{attributes}><ConfidentialityInformation>"]
    parts.append(_element("PolicyIdentifier", _token(label.policy)))
    parts.append(_element("Classification", _token(label.classification)))
    if one.privacy_mark:
        parts.append(_element("PrivacyMark", one.privacy_mark))
    parts += [_category(category) for category in (*_own_categories(label), *_given_categories(label))]
    parts.append("</ConfidentialityInformation>")
    if one.originator is not None:
        kind, identifier = one.originator
        if kind not in ID_TYPES:
            raise MarkingError(f"the originator's id type is one of {', '.join(ID_TYPES)}, not {kind!r}")
        parts.append(_element("OriginatorID", identifier, f" IDType={quoteattr(kind)}"))
    parts.append(_element("CreationDateTime", written(one.created_at)))
    if label.successor is not None:
        parts += _succession(one, label, label.successor)
    parts.append(f"</{name}>")
    return parts


def _succession(one: ConfidentialityLabel, label: Label, successor: Label) -> list[str]:
    if not label.review_at or successor.successor is not None:
        raise MarkingError(
            "STANAG 4774 takes one successor, which has a day: set review_at, and leave out its successor"
        )
    return [
        "<SuccessionHandling>",
        _element("SuccessionDateTime", written(label.review_at)),
        *_written("SuccessorConfidentialityLabel", replace(one, privacy_mark="", originator=None), successor),
        "</SuccessionHandling>",
    ]


def _own_categories(label: Label) -> list[CategorySet]:
    origin = {OriginKind.FGI: FGI, OriginKind.JOINT: JOINT}.get(label.origin.kind)
    said: list[tuple[str, Iterable[str] | None]] = [
        (RELEASABLE_TO, label.releasable_to),
        (DISSEMINATION, label.dissemination or None),
        (DISPLAY_ONLY, label.display_only),
        *([] if origin is None else [(origin, label.origin.parties)]),
        (TLP, None if label.tlp is None else [tlp_word(label.tlp)]),
        (PAP, None if label.pap is None else [pap_word(label.pap)]),
    ]
    return [CategorySet(tag, _OWN_KINDS[tag], frozenset(values)) for tag, values in said if values is not None]


def _given_categories(label: Label) -> tuple[CategorySet, ...]:
    for one in label.categories:
        if one.tag in _OWN_KINDS:
            raise MarkingError(f"category {one.tag!r} has a name STANAG 4774 export needs itself: rename it")
        if one.values is None:
            raise MarkingError(
                f"category {one.tag!r} is the policy's default, which STANAG 4774 cannot say: list its values"
            )
    return label.categories


def _category(one: CategorySet) -> str:
    attributes = f" Type={quoteattr(one.kind.name)} TagName={quoteattr(_checked(one.tag))}"
    values = "".join(_element("GenericValue", value) for value in sorted(one.values or ()))
    return f"<Category{attributes}>{values}</Category>"


def _element(name: str, text: str, attributes: str = "") -> str:
    return f"<{name}{attributes}>{escape(_checked(text))}</{name}>"


def _token(text: str) -> str:
    """Give a text that XML's tokens carry unchanged: no space at its ends, none twice."""
    if text != " ".join(text.split()):
        raise MarkingError(f"{text[:40]!r} has a space too many for STANAG 4774")
    return text


def _checked(text: str) -> str:
    if not 1 <= len(text) <= TEXT_LIMIT or not text.isprintable():
        raise MarkingError(f"a text in a STANAG 4774 label has 1 to {TEXT_LIMIT} printable characters: {text[:40]!r}")
    return text


# --- reading ----------------------------------------------------------------------------------------------------------


def _label_of(
    element: Element, kind: LabelKind, policies: Mapping[str, str], *, successors: int
) -> ConfidentialityLabel:
    _only_attributes(element, "Id", "ReviewDateTime", _SCHEMA_LOCATION)
    parts = _parts(element, ("ConfidentialityInformation", "OriginatorID", "CreationDateTime", "SuccessionHandling"))
    label, privacy_mark = _information(_one(parts, "ConfidentialityInformation"), policies)
    review = element.attributes.get("ReviewDateTime")
    label = replace(label, review_at=0 if review is None else parsed(review))
    for succession in parts["SuccessionHandling"][:1]:
        if not successors:
            raise MarkingError("a successor in a STANAG 4774 label has no successor of its own")
        label = _succeeded(label, succession, policies)
    return ConfidentialityLabel(
        label=label,
        created_at=parsed(_text(_one(parts, "CreationDateTime"))),
        kind=kind,
        privacy_mark=privacy_mark,
        originator=_originator(parts["OriginatorID"]),
    )


def _succeeded(label: Label, element: Element, policies: Mapping[str, str]) -> Label:
    _only_attributes(element)
    parts = _parts(element, ("SuccessionDateTime", "SuccessorConfidentialityLabel"))
    at = parsed(_text(_one(parts, "SuccessionDateTime")))
    if label.review_at not in {0, at}:
        raise MarkingError("a STANAG 4774 label is reviewed and succeeded on one day here: SuccessionDateTime differs")
    successor = _label_of(
        _one(parts, "SuccessorConfidentialityLabel"), LabelKind.ORIGINATOR, policies, successors=0
    ).label
    return replace(label, review_at=at, successor=successor)


def _information(element: Element, policies: Mapping[str, str]) -> tuple[Label, str]:
    _only_attributes(element)
    parts = _parts(element, ("PolicyIdentifier", "Classification", "PrivacyMark", "Category"), several=("Category",))
    policy, classification = _one(parts, "PolicyIdentifier"), _one(parts, "Classification")
    _only_attributes(policy, "URI")
    _only_attributes(classification)
    name = _collapsed(policy)
    label = Label(policies.get(name, name), _collapsed(classification))
    tags: dict[str, CategorySet] = {}
    for category in map(_category_of, parts["Category"]):
        if category.tag in tags:
            raise MarkingError(f"category {category.tag!r} stands in the label twice")
        tags[category.tag] = category
    own = {tag: one.values or frozenset() for tag, one in tags.items() if tag in _OWN_KINDS}
    given = tuple(one for tag, one in sorted(tags.items()) if tag not in _OWN_KINDS)
    return _with_own(replace(label, categories=given), own), "".join(_text(one) for one in parts["PrivacyMark"])


def _with_own(label: Label, own: Mapping[str, frozenset[str]]) -> Label:
    if FGI in own and JOINT in own:
        raise MarkingError("a label is of foreign or of joint origin, not both")
    origin = Origin()
    if FGI in own:
        origin = Origin(OriginKind.FGI, own[FGI])
    elif JOINT in own:
        origin = Origin(OriginKind.JOINT, own[JOINT])
    return replace(
        label,
        dissemination=own.get(DISSEMINATION, frozenset()),
        releasable_to=own.get(RELEASABLE_TO),
        display_only=own.get(DISPLAY_ONLY),
        origin=origin,
        tlp=parse_tlp(_single(TLP, own[TLP])) if TLP in own else None,
        pap=parse_pap(_single(PAP, own[PAP])) if PAP in own else None,
    )


def _category_of(element: Element) -> CategorySet:
    _only_attributes(element, "Type", "TagName", "URI")
    tag, kind = _checked(element.attributes.get("TagName", "")), element.attributes.get("Type", "")
    kinds = {one.name: one for one in CategoryKind}
    if kind not in kinds:
        raise MarkingError(f"Type of category {tag!r} is one of {', '.join(kinds)}, not {kind[:40]!r}")
    if _OWN_KINDS.get(tag, kinds[kind]) is not kinds[kind]:
        raise MarkingError(f"category {tag!r} is {_OWN_KINDS[tag].name}, not {kind}")
    values = [_text(one) for one in _parts(element, ("GenericValue",), several=("GenericValue",))["GenericValue"]]
    if len(set(values)) != len(values):
        raise MarkingError(f"category {tag!r} names a value twice")
    return CategorySet(tag, kinds[kind], frozenset(values))


def _originator(found: Sequence[Element]) -> tuple[str, str] | None:
    for element in found:
        _only_attributes(element, "IDType")
        kind = element.attributes.get("IDType", "")
        if kind not in ID_TYPES:
            raise MarkingError(f"IDType is one of {', '.join(ID_TYPES)}, not {kind[:40]!r}")
        return kind, _text(element, "IDType")
    return None


def _parts(element: Element, order: Sequence[str], several: Sequence[str] = ()) -> dict[str, list[Element]]:
    """Give the children by name: only those of `order`, in that order, once each where not of `several`."""
    parts: dict[str, list[Element]] = {name: [] for name in order}
    reached = 0
    if element.text.strip(xml_elements.SPACE):
        raise MarkingError(f"{_short(element)!r} holds text where it should hold elements")
    for child in element.children:
        name = _short(child)
        if child.name != f"{NAMESPACE} {name}" or name not in parts:
            raise MarkingError(f"unknown element {name!r} in {_short(element)!r}: it might limit what we cannot read")
        if order.index(name) < reached or (parts[name] and name not in several):
            raise MarkingError(f"{name!r} stands in the wrong place, or twice, in {_short(element)!r}")
        reached = order.index(name)
        parts[name].append(child)
    return parts


def _one(parts: Mapping[str, list[Element]], name: str) -> Element:
    if not parts[name]:
        raise MarkingError(f"{name} is missing in the STANAG 4774 label")
    return parts[name][0]


def _only_attributes(element: Element, *known: str) -> None:
    for name in element.attributes:
        if name not in known:
            raise MarkingError(f"unknown attribute {name[-40:]!r} of {_short(element)!r}")


def _text(element: Element, *attributes: str) -> str:
    _only_attributes(element, *attributes)
    if element.children:
        raise MarkingError(f"{_short(element)!r} holds elements where it should hold text")
    return _checked(element.text)


def _collapsed(element: Element) -> str:
    if element.children:
        raise MarkingError(f"{_short(element)!r} holds elements where it should hold text")
    return _checked(" ".join(element.text.split()))


def _single(tag: str, values: frozenset[str]) -> str:
    if len(values) != 1:
        raise MarkingError(f"category {tag!r} has one value")
    return next(iter(values))


def _short(element: Element) -> str:
    return element.name.rsplit(" ", 1)[-1][:80]
