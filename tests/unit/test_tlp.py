"""TLP 2.0 and PAP: order, words, and the marking objects of STIX 2.1 from several producers."""

from __future__ import annotations

import pytest

from comity_policy.marking import MarkingError, Pap, Tlp
from comity_policy.tlp import (
    EXTENSION,
    from_references,
    from_stix,
    narrowest,
    pap_word,
    parse_pap,
    parse_tlp,
    tlp_word,
    to_stix,
)


def marking(**members: object) -> dict[str, object]:
    return {"type": "marking-definition", "spec_version": "2.1", **members}


def extension(word: object, key: str = EXTENSION) -> dict[str, object]:
    return {key: {"extension_type": "property-extension", "tlp_2_0": word}}


def test_the_order_is_from_the_widest_to_the_narrowest() -> None:
    words = [tlp_word(tlp) for tlp in sorted(Tlp)]
    assert words == ["TLP:CLEAR", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED"]
    assert narrowest([Tlp.GREEN, None, Tlp.AMBER_STRICT, Tlp.AMBER]) is Tlp.AMBER_STRICT
    assert narrowest([None, None]) is None


@pytest.mark.parametrize("tlp", Tlp)
def test_a_tlp_word_reads_back_with_and_without_its_prefix(tlp: Tlp) -> None:
    assert parse_tlp(tlp_word(tlp)) is parse_tlp(tlp_word(tlp).removeprefix("TLP:")) is tlp


@pytest.mark.parametrize("pap", Pap)
def test_a_pap_word_reads_back_with_and_without_its_prefix(pap: Pap) -> None:
    assert parse_pap(pap_word(pap)) is parse_pap(pap.name) is pap


def test_white_is_read_as_clear_and_never_written() -> None:
    assert parse_tlp("WHITE") is parse_tlp("TLP:WHITE") is Tlp.CLEAR
    assert "WHITE" not in {tlp_word(tlp) for tlp in Tlp}


@pytest.mark.parametrize("text", ["", "TLP:", "amber", "TLP:ROT", "AMBER STRICT", "TLP:TLP:RED", "RED ", "PAP:RED"])
def test_a_word_that_is_no_tlp_refuses(text: str) -> None:
    with pytest.raises(MarkingError, match="one of TLP:CLEAR"):
        parse_tlp(text)
    with pytest.raises(MarkingError, match="one of PAP:CLEAR"):
        parse_pap("PAP:WHITE")


@pytest.mark.parametrize("tlp", Tlp)
def test_a_stix_marking_reads_back(tlp: Tlp) -> None:
    assert from_stix(to_stix(tlp)) is tlp


def test_a_stix_marking_is_the_published_object() -> None:
    assert to_stix(Tlp.AMBER_STRICT) == {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
        "created": "2022-10-01T00:00:00.000Z",
        "name": "TLP:AMBER+STRICT",
        "extensions": {
            "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d": {
                "extension_type": "property-extension",
                "tlp_2_0": "amber+strict",
            }
        },
    }


OTHER_ID = "marking-definition--826578e1-40ad-459f-bc73-ede076f81f37"
READ = {
    "another identifier with the extension": (
        marking(id=OTHER_ID, extensions=extension("amber+strict")),
        Tlp.AMBER_STRICT,
    ),
    "another extension key": (marking(extensions=extension("red", "extension-definition--other")), Tlp.RED),
    "a name alone": (marking(id=OTHER_ID, name="TLP:AMBER+STRICT"), Tlp.AMBER_STRICT),
    "a TLP 1.0 definition": (marking(definition_type="tlp", definition={"tlp": "white"}), Tlp.CLEAR),
    "a definition in capitals, as some write it": (
        marking(id=OTHER_ID, definition_type="TLP", definition={"tlp": "amber+strict"}, name="TLP:AMBER+STRICT"),
        Tlp.AMBER_STRICT,
    ),
    "a published identifier alone": (marking(id="marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"), Tlp.RED),
    "a statement is no TLP": (
        marking(definition_type="statement", definition={"statement": "(c)"}, name="Copyright"),
        None,
    ),
    "another extension is no TLP": (marking(extensions={"extension-definition--x": {"pap": "red"}}), None),
}


@pytest.mark.parametrize(("said", "expected"), READ.values(), ids=READ.keys())
def test_a_stix_marking_is_known_by_extension_definition_and_name(
    said: dict[str, object], expected: Tlp | None
) -> None:
    assert from_stix(said) is expected


REFUSED = {
    "an extension that contradicts the name": marking(name="TLP:CLEAR", extensions=extension("red")),
    "a published identifier with another word": to_stix(Tlp.CLEAR)
    | {"name": "TLP:RED", "extensions": extension("red")},
    "two extensions that differ": marking(extensions={**extension("red"), **extension("clear", "other")}),
    "an unknown word": marking(extensions=extension("orange")),
    "a word in capitals": marking(extensions=extension("RED")),
    "a word that is no text": marking(extensions=extension(["red"])),
    "a definition without its word": marking(definition_type="tlp", definition={}),
    "a definition that is no object": marking(definition_type="tlp", definition="red"),
    "an unknown name": marking(name="TLP:ORANGE"),
    "a name in small letters": marking(name="tlp:red"),
    "a name with a space": marking(name="TLP RED"),
    "a definition of another version": marking(definition_type="tlp:2.0", definition={"tlp": "red"}),
    "the property outside its extension": marking(tlp_2_0="red"),
}


@pytest.mark.parametrize("said", REFUSED.values(), ids=REFUSED.keys())
def test_a_stix_marking_that_is_unclear_refuses(said: dict[str, object]) -> None:
    with pytest.raises(MarkingError):
        from_stix(said)


def test_the_narrowest_of_several_markings_counts() -> None:
    ours = to_stix(Tlp.GREEN)
    strict = marking(id=OTHER_ID, name="TLP:AMBER+STRICT", extensions=extension("amber+strict"))
    statement = marking(id="marking-definition--s", definition_type="statement", definition={"statement": "(c)"})
    held = {str(one["id"]): one for one in (ours, strict, statement)}
    assert from_references([ours["id"], OTHER_ID, "marking-definition--s"], held) is Tlp.AMBER_STRICT
    assert from_references(["marking-definition--s"], held) is None
    assert from_references([], held) is None


def test_a_published_marking_need_not_be_in_the_bundle_but_every_other_one_must() -> None:
    tlp_1_amber = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"
    assert from_references([tlp_1_amber], {}) is Tlp.AMBER
    for unknown in (OTHER_ID, 5, None):
        with pytest.raises(MarkingError, match="not in the bundle"):
            from_references([unknown], {})
