"""STANAG 4774 labels: what is written, what is read, and what an unknown or hostile document gives: a refusal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comity_policy.banner import parse_banner
from comity_policy.marking import CategoryKind, CategorySet, Label, MarkingError, Origin, OriginKind, Pap, Tlp
from comity_policy.stanag4774 import NAMESPACE, ConfidentialityLabel, LabelKind, from_xml, to_xml

LEVELS = ("OPEN", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP SECRET")
REL = parse_banner("SECRET//REL TO XAR, XBO", "XAR", LEVELS)
CREATED = 1_795_521_600_000
ONE = ConfidentialityLabel(REL, CREATED)


def document(
    inner: str = "", *, categories: str = "", root: str = "originatorConfidentialityLabel", attributes: str = ""
) -> bytes:
    return (
        f'<s:{root} xmlns:s="{NAMESPACE}"{attributes}><s:ConfidentialityInformation>'
        f"<s:PolicyIdentifier>XAR</s:PolicyIdentifier><s:Classification>SECRET</s:Classification>{categories}"
        f"</s:ConfidentialityInformation><s:CreationDateTime>2026-11-24T12:00:00Z</s:CreationDateTime>{inner}</s:{root}>"
    ).encode()


def category(kind: str, tag: str, *values: str) -> str:
    inner = "".join(f"<s:GenericValue>{value}</s:GenericValue>" for value in values)
    return f'<s:Category Type="{kind}" TagName="{tag}">{inner}</s:Category>'


def test_a_label_is_written_as_the_schema_has_it() -> None:
    full = ConfidentialityLabel(
        replace(REL, tlp=Tlp.AMBER, review_at=CREATED + 86_400_000),
        CREATED,
        LabelKind.ALTERNATIVE,
        "for the eyes of Büro 7 & others",
        ("rfc822Name", "author@example.org"),
    )
    assert to_xml(full).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<alternativeConfidentialityLabel xmlns="{NAMESPACE}" ReviewDateTime="2026-11-25T12:00:00Z">'
        "<ConfidentialityInformation><PolicyIdentifier>XAR</PolicyIdentifier><Classification>SECRET</Classification>"
        "<PrivacyMark>for the eyes of Büro 7 &amp; others</PrivacyMark>"
        '<Category Type="PERMISSIVE" TagName="Releasable To">'
        "<GenericValue>XAR</GenericValue><GenericValue>XBO</GenericValue></Category>"
        '<Category Type="RESTRICTIVE" TagName="TLP"><GenericValue>TLP:AMBER</GenericValue></Category>'
        "</ConfidentialityInformation>"
        '<OriginatorID IDType="rfc822Name">author@example.org</OriginatorID>'
        "<CreationDateTime>2026-11-24T12:00:00Z</CreationDateTime></alternativeConfidentialityLabel>\n"
    )
    assert from_xml(to_xml(full), LEVELS) == full


CASES = {
    "a level alone": Label("XAR", "OPEN"),
    "a level of two words": Label("XAR", "TOP SECRET", releasable_to=REL.releasable_to),
    "every control": replace(REL, dissemination=frozenset({"ORCON", "RELIDO"}), pap=Pap.RED, tlp=Tlp.RED),
    "national-only": Label("XAR", "SECRET", dissemination=frozenset({"NATIONAL-ONLY"})),
    "display only": replace(REL, display_only=frozenset({"XDE"})),
    "foreign origin": replace(REL, origin=Origin(OriginKind.FGI, frozenset({"XBO"}))),
    "joint origin": replace(REL, origin=Origin(OriginKind.JOINT, frozenset({"XAR", "XBO"}))),
    "categories of every kind, one empty": replace(
        REL,
        categories=(
            CategorySet("a", CategoryKind.INFORMATIVE, frozenset({"x", "y z"})),
            CategorySet("b", CategoryKind.PERMISSIVE, frozenset()),
            CategorySet('c <"&', CategoryKind.RESTRICTIVE, frozenset({"]]>", "'", '"'})),
        ),
    ),
    "a successor with its day": replace(
        REL, review_at=CREATED + 5, successor=replace(REL, classification="OPEN", review_at=9)
    ),
}


@pytest.mark.parametrize("label", CASES.values(), ids=CASES.keys())
def test_what_is_written_reads_back(label: Label) -> None:
    one = ConfidentialityLabel(label, CREATED)
    assert from_xml(to_xml(one), LEVELS) == one


UNSAYABLE = {
    "an absent set is the policy's default": replace(
        REL, categories=(CategorySet("a", CategoryKind.PERMISSIVE, None),)
    ),
    "a category with a name of ours": replace(
        REL, categories=(CategorySet("TLP", CategoryKind.INFORMATIVE, frozenset()),)
    ),
    "a successor without a day": replace(REL, successor=REL),
    "a successor's successor": replace(REL, review_at=5, successor=replace(REL, review_at=6, successor=REL)),
    "an ill-formed label": replace(REL, dissemination=frozenset({"NATIONAL-ONLY"})),
    "a control character": replace(REL, categories=(CategorySet("a", CategoryKind.INFORMATIVE, frozenset({"\x00"})),)),
    "a lone surrogate": replace(REL, categories=(CategorySet("\ud800", CategoryKind.INFORMATIVE, frozenset()),)),
    "an empty value": replace(REL, categories=(CategorySet("a", CategoryKind.INFORMATIVE, frozenset({""})),)),
    "a level with a space too many": replace(REL, classification="TOP  SECRET"),
    "a review beyond all time": replace(REL, review_at=1 << 60),
}


@pytest.mark.parametrize("label", UNSAYABLE.values(), ids=UNSAYABLE.keys())
def test_what_the_format_cannot_say_is_not_written(label: Label) -> None:
    with pytest.raises(MarkingError):
        to_xml(ConfidentialityLabel(label, CREATED))


def test_an_unknown_id_type_is_not_written() -> None:
    with pytest.raises(MarkingError, match="id type"):
        to_xml(replace(ONE, originator=("telephone", "5")))


def test_a_label_of_another_writer_is_read() -> None:
    text = f"""<?xml version='1.0' encoding='utf-8'?>
    <!-- written by hand -->
    <slab:ConfidentialityLabel xmlns:slab="{NAMESPACE}" Id="l1"
        xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b"
        ReviewDateTime="2031-09-26T02:00:00.5+02:00">
      <slab:ConfidentialityInformation>
        <slab:PolicyIdentifier URI="urn:oid:2.25.1">Arland
          Policy</slab:PolicyIdentifier>
        <slab:Classification> TOP
          SECRET </slab:Classification>
        <slab:Category Type="RESTRICTIVE" TagName="Special Handling" URI="urn:oid:2.25.1.1">
          <slab:GenericValue>ALPHA</slab:GenericValue>
        </slab:Category>
        <slab:Category Type="PERMISSIVE" TagName="Nobody">
        </slab:Category>
        <slab:Category Type="PERMISSIVE" TagName="Releasable To">
          <slab:GenericValue>XBO</slab:GenericValue><slab:GenericValue>XAR</slab:GenericValue>
        </slab:Category>
      </slab:ConfidentialityInformation>
      <slab:OriginatorID IDType="jID">author@example.org</slab:OriginatorID>
      <slab:CreationDateTime>2026-11-24T12:00:00Z</slab:CreationDateTime>
    </slab:ConfidentialityLabel>"""
    read = from_xml(text.strip().encode(), LEVELS, {"Arland Policy": "XAR"})
    assert read == ConfidentialityLabel(
        Label(
            "XAR",
            "TOP SECRET",
            releasable_to=frozenset({"XAR", "XBO"}),
            categories=(
                CategorySet("Nobody", CategoryKind.PERMISSIVE, frozenset()),
                CategorySet("Special Handling", CategoryKind.RESTRICTIVE, frozenset({"ALPHA"})),
            ),
            review_at=1_948_147_200_500,
        ),
        CREATED,
        LabelKind.ORIGINATOR,
        originator=("jID", "author@example.org"),
    )


SUCCESSOR = (
    "<s:SuccessorConfidentialityLabel><s:ConfidentialityInformation><s:PolicyIdentifier>{policy}</s:PolicyIdentifier>"
    "<s:Classification>{level}</s:Classification></s:ConfidentialityInformation>"
    "<s:CreationDateTime>2026-11-24T12:00:00Z</s:CreationDateTime>{more}</s:SuccessorConfidentialityLabel>"
)


def succession(policy: str = "XAR", level: str = "OPEN", at: str = "2030-01-01T00:00:00Z", more: str = "") -> str:
    successor = SUCCESSOR.format(policy=policy, level=level, more=more)
    return f"<s:SuccessionHandling><s:SuccessionDateTime>{at}</s:SuccessionDateTime>{successor}</s:SuccessionHandling>"


def test_a_successor_is_read_with_its_day() -> None:
    label = from_xml(document(succession()), LEVELS).label
    assert (label.review_at, label.successor) == (1_893_456_000_000, Label("XAR", "OPEN"))


PLAIN = document().decode()
REL_TO = category("PERMISSIVE", "Releasable To", "XAR", "XBO")
REFUSED = {
    "nothing": b"",
    "no XML": b"SECRET//REL TO XAR, XBO",
    "half a document": document()[:-5],
    "two documents": document() + document(),
    "another root": document(root="BindingInformation"),
    "no namespace": PLAIN.replace("s:", "").replace("xmlns", "x").encode(),
    "another namespace": PLAIN.replace(NAMESPACE, "urn:other").encode(),
    "a document type": b"<!DOCTYPE x>" + document(),
    "an entity": b'<!DOCTYPE x [<!ENTITY e "SECRET">]>' + PLAIN.replace(">SECRET<", ">&e;<").encode(),
    "an external entity": b'<!DOCTYPE x SYSTEM "file:///etc/passwd">' + document(),
    "an undeclared entity": PLAIN.replace(">SECRET<", ">&e;<").encode(),
    "a processing instruction": b"<?run this?>" + document(),
    "another encoding": b'<?xml version="1.0" encoding="ISO-8859-1"?>' + document(),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16 without a mark": PLAIN.encode("utf-16-le"),
    "UTF-16 the other way round": PLAIN.encode("utf-16-be"),
    "bytes that are no UTF-8": document().replace(b"SECRET", b"\xff\xfe"),
    "too long": document(categories=category("INFORMATIVE", "t", "x" * (1 << 16))),
    "too deep": document(categories="<s:Category>" * 9 + "</s:Category>" * 9),
    "too many elements": document(categories="<s:Category/>" * 2049),
    "an unknown element": document("<s:Caveat>EYES ONLY</s:Caveat>"),
    "an element of another namespace": document('<x:Caveat xmlns:x="urn:x">EYES ONLY</x:Caveat>'),
    "an unknown attribute": document(attributes=' Draft="yes"'),
    "a URI of the level": PLAIN.replace("<s:Classification>", '<s:Classification URI="urn:oid:1">').encode(),
    "text between elements": document("EYES ONLY"),
    "elements in a text": document(categories=category("INFORMATIVE", "t", "<s:b/>")),
    "no level": PLAIN.replace("<s:Classification>SECRET</s:Classification>", "").encode(),
    "two levels": document(categories="<s:Classification>OPEN</s:Classification>"),
    "an empty level": PLAIN.replace(">SECRET<", "> <").encode(),
    "an unknown level": PLAIN.replace(">SECRET<", ">GEHEIM<").encode(),
    "a policy that is no party": PLAIN.replace(">XAR<", ">NATO<").encode(),
    "no creation": PLAIN.replace("CreationDateTime", "OriginatorID").encode(),
    "a creation without a zone": PLAIN.replace("12:00:00Z", "12:00:00").encode(),
    "a creation on no day": PLAIN.replace("2026-11-24", "2026-02-30").encode(),
    "a category without a type": document(categories='<s:Category TagName="t"/>'),
    "a type in small letters": document(categories=category("permissive", "t", "x")),
    "a category without a name": document(categories='<s:Category Type="PERMISSIVE"/>'),
    "a category twice": document(categories=REL_TO + REL_TO),
    "a value twice": document(categories=category("INFORMATIVE", "t", "x", "x")),
    "an empty value": document(categories=category("INFORMATIVE", "t", "")),
    "a value that is a number": document(
        categories='<s:Category Type="PERMISSIVE" TagName="t"><s:IntegerValue>1</s:IntegerValue></s:Category>'
    ),
    "a list that informs only": document(categories=category("INFORMATIVE", "Releasable To", "XAR", "XBO")),
    "a list with a group": document(categories=category("PERMISSIVE", "Releasable To", "XAR", "NATO")),
    "an empty list": document(categories=category("PERMISSIVE", "Releasable To")),
    "an unknown control": document(categories=category("RESTRICTIVE", "Dissemination", "EYES")),
    "controls that exclude one another": document(
        categories=REL_TO + category("RESTRICTIVE", "Dissemination", "NATIONAL-ONLY")
    ),
    "two TLPs": document(categories=category("RESTRICTIVE", "TLP", "TLP:RED", "TLP:CLEAR")),
    "no TLP": document(categories=category("RESTRICTIVE", "TLP")),
    "an unknown PAP": document(categories=category("RESTRICTIVE", "PAP", "PAP:PINK")),
    "foreign and joint": document(
        categories=category("INFORMATIVE", "FGI", "XBO") + category("INFORMATIVE", "JOINT", "XAR", "XBO")
    ),
    "a text that turns around": document(categories=category("INFORMATIVE", "t", "x\u202ey")),
    "an unknown id type": PLAIN.replace(
        "<s:CreationDateTime>", '<s:OriginatorID IDType="x">y</s:OriginatorID><s:CreationDateTime>'
    ).encode(),
    "parts out of order": document('<s:OriginatorID IDType="jID">y</s:OriginatorID>'),
    "a successor of another policy": document(succession(policy="XBO")),
    "a successor at an unknown level": document(succession(level="GEHEIM")),
    "a successor's successor": document(succession(more=succession())),
    "a successor on another day than its review": document(
        succession(), attributes=' ReviewDateTime="2029-01-01T00:00:00Z"'
    ),
}


@pytest.mark.parametrize("hostile", REFUSED.values(), ids=REFUSED.keys())
def test_a_document_that_is_not_exactly_a_label_refuses(hostile: bytes) -> None:
    with pytest.raises(MarkingError):
        from_xml(hostile, LEVELS)


def test_a_thousand_nested_entities_are_refused_before_any_is_read() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 30))
    bomb = f'<!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]><x>&l29;</x>'
    with pytest.raises(MarkingError, match="no document type"):
        from_xml(bomb.encode(), LEVELS)


def test_a_classified_label_is_read_as_it_is_said() -> None:
    assert from_xml(document(), LEVELS).label == Label("XAR", "SECRET")
