"""Traffic Light Protocol 2.0 and Permissible Actions Protocol: words in and out, and the marking objects of STIX 2.1.

Rules, in order:

1. CLEAR < GREEN < AMBER < AMBER+STRICT < RED, from the widest to the narrowest: AMBER+STRICT keeps AMBER within the
   recipient's organisation, RED is for the named individuals only. PAP (what one may do with it) is a second, independent scale.
2. Words are never translated and never guessed at; WHITE, the word of TLP 1.0, is read as CLEAR and never written.
3. TLP never grants: what agreement or REL TO denies stays denied.
4. In STIX, TLP 2.0 is the property ``tlp_2_0`` of an extension. A marking is known by that property and by its name, not by
   its identifier alone, which differs between producers. Name, property and a published identifier that contradict one
   another refuse, as does a reference to a marking nobody holds. Several markings of one object: the narrowest counts.

    >>> parse_tlp("AMBER+STRICT"), tlp_word(Tlp.CLEAR)
    (<Tlp.AMBER_STRICT: 4>, 'TLP:CLEAR')
    >>> from_stix(to_stix(Tlp.RED)) is Tlp.RED
    True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from comity_policy.marking import MarkingError, Pap, Tlp

__all__ = [
    "EXTENSION",
    "Pap",
    "Tlp",
    "from_references",
    "from_stix",
    "narrowest",
    "pap_word",
    "parse_pap",
    "parse_tlp",
    "tlp_word",
    "to_stix",
]

EXTENSION: Final = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
_PROPERTY: Final = "tlp_2_0"
_CREATED: Final = "2022-10-01T00:00:00.000Z"
_WORDS: Final = {
    Tlp.CLEAR: "CLEAR",
    Tlp.GREEN: "GREEN",
    Tlp.AMBER: "AMBER",
    Tlp.AMBER_STRICT: "AMBER+STRICT",
    Tlp.RED: "RED",
}
_BY_WORD: Final = {**{word: tlp for tlp, word in _WORDS.items()}, "WHITE": Tlp.CLEAR}
_PAP_BY_WORD: Final = {pap.name: pap for pap in Pap}
# The marking objects OASIS publishes for TLP 2.0.
_IDS: Final = {
    Tlp.CLEAR: "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    Tlp.GREEN: "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    Tlp.AMBER: "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    Tlp.AMBER_STRICT: "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    Tlp.RED: "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
# And those of TLP 1.0, which STIX 2.1 itself defines.
_BY_ID: Final = {
    **{identifier: tlp for tlp, identifier in _IDS.items()},
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": Tlp.CLEAR,
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": Tlp.GREEN,
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": Tlp.AMBER,
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": Tlp.RED,
}


def tlp_word(tlp: Tlp) -> str:
    """Give the TLP 2.0 label as people write it, e.g. ``TLP:AMBER+STRICT``."""
    return f"TLP:{_WORDS[tlp]}"


def parse_tlp(text: str) -> Tlp:
    """Give the TLP of ``TLP:AMBER+STRICT`` or ``AMBER+STRICT``; WHITE is CLEAR. Raises MarkingError."""
    found = _BY_WORD.get(text.removeprefix("TLP:"))
    if found is None:
        raise MarkingError(f"unknown TLP {text[:40]!r}: one of {', '.join(tlp_word(tlp) for tlp in Tlp)}")
    return found


def pap_word(pap: Pap) -> str:
    """Give the PAP as people write it, e.g. ``PAP:AMBER``."""
    return f"PAP:{pap.name}"


def parse_pap(text: str) -> Pap:
    """Give the PAP of ``PAP:AMBER`` or ``AMBER``; raises MarkingError."""
    found = _PAP_BY_WORD.get(text.removeprefix("PAP:"))
    if found is None:
        raise MarkingError(f"unknown PAP {text[:40]!r}: one of {', '.join(map(pap_word, Pap))}")
    return found


def narrowest(several: Iterable[Tlp | None]) -> Tlp | None:
    """Give the narrowest of several; None where none is marked."""
    return max((one for one in several if one is not None), default=None)


def to_stix(tlp: Tlp) -> dict[str, object]:
    """Give the STIX 2.1 marking object OASIS publishes for this TLP, with its extension."""
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": _IDS[tlp],
        "created": _CREATED,
        "name": tlp_word(tlp),
        "extensions": {EXTENSION: {"extension_type": "property-extension", _PROPERTY: _WORDS[tlp].lower()}},
    }


def from_stix(marking: Mapping[str, object]) -> Tlp | None:
    """Give the TLP a STIX marking object says, by extension, TLP 1.0 definition and name; None where it says none.

    Raises MarkingError for a word that is no TLP, for an object that means to say one and says none that is known, and for
    one that contradicts another one of the same object.
    """
    said = [*_of_extensions(marking.get("extensions")), *_of_definition(marking), *_of_name(marking.get("name"))]
    identifier = marking.get("id")
    if isinstance(identifier, str) and identifier in _BY_ID:
        said.append(_BY_ID[identifier])
    if len(set(said)) > 1:
        words = ", ".join(tlp_word(tlp) for tlp in sorted(set(said)))
        raise MarkingError(f"marking {identifier!r} says {words} at once: ask its producer which one holds")
    if not said and _speaks_of_tlp(marking):
        raise MarkingError(
            f"marking {identifier!r} speaks of TLP and says none that is known: ask its producer which one"
        )
    return said[0] if said else None


def _speaks_of_tlp(marking: Mapping[str, object]) -> bool:
    """Say whether a marking object means to say a TLP: what is not understood of it must not pass as no TLP."""
    words = [one.casefold() for one in (marking.get("name"), marking.get("definition_type")) if isinstance(one, str)]
    return _PROPERTY in marking or any(one.startswith("tlp") for one in words)


def from_references(references: Iterable[object], definitions: Mapping[str, Mapping[str, object]]) -> Tlp | None:
    """Give the narrowest TLP of an object's `object_marking_refs`; None where no marking of it is a TLP.

    `definitions` are the marking objects of the same bundle by identifier. The published ones need not be among them;
    any other that is missing refuses with a MarkingError, for nobody knows what it forbids.
    """
    found: list[Tlp | None] = []
    for reference in references:
        if isinstance(reference, str) and reference in definitions:
            found.append(from_stix(definitions[reference]))
        elif isinstance(reference, str) and reference in _BY_ID:
            found.append(_BY_ID[reference])
        else:
            raise MarkingError(f"the marking {reference!r} is not in the bundle: send it with its marking objects")
    return narrowest(found)


def _of_extensions(extensions: object) -> list[Tlp]:
    if not isinstance(extensions, Mapping):
        return []
    carried = [one[_PROPERTY] for one in extensions.values() if isinstance(one, Mapping) and _PROPERTY in one]
    return [_of_stix_word(word) for word in carried]


def _of_definition(marking: Mapping[str, object]) -> list[Tlp]:
    kind, definition = marking.get("definition_type"), marking.get("definition")
    if not isinstance(kind, str) or kind.lower() != "tlp":
        return []
    if not isinstance(definition, Mapping):
        raise MarkingError("a marking of definition_type 'tlp' says its TLP in 'definition'")
    return [_of_stix_word(definition.get("tlp"))]


def _of_name(name: object) -> list[Tlp]:
    return [parse_tlp(name)] if isinstance(name, str) and name.startswith("TLP:") else []


def _of_stix_word(word: object) -> Tlp:
    if not isinstance(word, str) or word != word.lower():
        raise MarkingError(f"unknown TLP {word!r} in a STIX marking: a word such as 'amber+strict'")
    return parse_tlp(word.upper())
