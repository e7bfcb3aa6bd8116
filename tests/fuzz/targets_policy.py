"""Agreements and what is said in them: documents, caveats, markings, labels of other formats, settings."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from builders_every_kind import every_kind
from comity.errors import ComityError
from comity.identity.names import Identity, IdentityKind
from comity.node.home import Place
from comity.node.report_files import Wishes, of_content, read_report
from comity.texts import agreement_digest
from comity_broker.settings import read_settings
from comity_policy import grading, iep, tlp, vocabulary
from comity_policy import groups as group_codes
from comity_policy.banner import abbreviations, banner, parse_banner, parse_portion_mark, portion_mark
from comity_policy.caveat import agreement_of, load_caveat
from comity_policy.document import Document, load
from comity_policy.engine import compile_agreement
from comity_policy.facts import AgreementState
from comity_policy.gloss import gloss
from comity_policy.marking import MarkingError, faults
from comity_policy.stanag4774 import ConfidentialityLabel, LabelKind, from_xml, to_xml
from comity_policy.strict_toml import DocumentError
from comity_policy.timestamps import parsed, written
from comity_policy.vocabulary import VocabularyError
from fuzz.target import Target, choosing, chosen, same
from fuzz.targets_envelope import LEVELS

_BUNDLED = files("comity_policy")


def _examples(ending: str) -> list[bytes]:
    folder = _BUNDLED / "examples"
    return [one.read_bytes() for one in sorted(folder.iterdir(), key=str) if one.name.endswith(ending)]


# --- agreements -----------------------------------------------------------------------------------------------------


def agreement(data: bytes) -> object:
    """Load a text; one that loads compiles and can be told in words."""
    made = load(data)
    state = AgreementState(in_force=True)
    compile_agreement(made, agreement_digest(data), state, vocabulary.bundled())
    for clause in made.clauses:
        assert gloss(clause, made)
    return made


def caveat(data: bytes) -> object:
    document = _document()
    try:
        made = load_caveat(data, document)
    finally:
        # What is read without the agreement says where it belongs, or that it is none.
        _named(data)
    return made


def _named(data: bytes) -> str:
    try:
        return agreement_of(data)
    except DocumentError:
        return ""


@cache
def _document() -> Document:
    return load((_BUNDLED / "examples/xbo-xde-borders.toml").read_bytes())


def _agreements() -> list[bytes]:
    plain = [one for one in _examples(".toml") if b"[agreement]" in one and b"[[case]]" not in one]
    return [*plain, every_kind().encode()]


def _caveats() -> list[bytes]:
    return _examples(".caveat.toml")


# --- markings -------------------------------------------------------------------------------------------------------

_GROUPS = {"XSEA": frozenset({"XAR", "XBO", "XDE"})}


def marking(data: bytes) -> object:
    """Read a banner and a portion mark: what is read is printed as it was written, but for WHITE and for groups."""
    text = data.decode("utf-8", "surrogateescape")
    found = [_banner(text), _mark(text)]
    if found == [None, None]:
        raise MarkingError("neither")
    return found


def _banner(text: str) -> object:
    try:
        label = parse_banner(text, "XAR", LEVELS)
    except MarkingError:
        return None
    assert not faults(label)
    same(
        banner(label, viewer=None if text.startswith("//JOINT") or not text.startswith("//") else "XAR"),
        _as_written(text),
    )
    parse_banner(text, "XAR", LEVELS, _GROUPS)
    return label


def _mark(text: str) -> object:
    try:
        label = parse_portion_mark(text, "XAR", LEVELS)
    except MarkingError:
        return None
    assert portion_mark(label, LEVELS)
    return label


def _as_written(text: str) -> str:
    return text.replace("TLP:WHITE", "TLP:CLEAR").replace("NATIONAL-ONLY", "NOFORN")


def _markings() -> list[bytes]:
    short = abbreviations(LEVELS)["SECRET"]
    lines = (
        "SECRET//REL TO XAR, XBO",
        "SECRET//NOFORN//TLP:AMBER+STRICT//PAP:RED",
        "//XBO SECRET//REL TO XBO, XAR",
        "//JOINT SECRET XAR XBO//ORCON/REL TO XAR, XBO",
        "TOP-SECRET//FGI XDE//ORCON/NATIONAL-ONLY",
        "RESTRICTED//REL TO XAR, XSEA/DISPLAY ONLY XDE",
        "OPEN//TLP:WHITE",
        f"({short}//REL TO XAR, XBO)",
        "(//XBO S//REL TO XBO, XAR)",
    )
    return [line.encode() for line in lines]


def _words(data: bytes) -> object:
    """Read the short words of markings; what reads is written and reads again."""
    text = data.decode("utf-8", "surrogateescape")
    pairs: tuple[tuple[Any, Any], ...] = (
        (tlp.parse_tlp, tlp.tlp_word),
        (tlp.parse_pap, tlp.pap_word),
        (grading.parse_grading, str),
        (grading.parse_confidence, str),
        (grading.parse_estimate, str),
        (parsed, written),
    )
    found = []
    for read, write in pairs:
        try:
            made = read(text)
        except MarkingError:
            continue
        same(read(write(made)), made)
        found.append(made)
    if not found:
        raise MarkingError("no word")
    return found


def _header(data: bytes) -> object:
    said = _json(data)
    found = []
    for read in (grading.grading_from_header, grading.confidence_from_header, grading.estimate_from_header):
        try:
            made = read(said)
        except MarkingError:
            continue
        same(made.to_header(), said)
        found.append(made)
    if not found:
        raise MarkingError("nothing said")
    return found


# --- labels of other formats ------------------------------------------------------------------------------------------


def stanag(data: bytes) -> object:
    made = from_xml(data, LEVELS)
    same(from_xml(to_xml(made), LEVELS), made)
    return made


def _stanag_seeds() -> list[bytes]:
    label = parse_banner("SECRET//ORCON/REL TO XAR, XBO//TLP:AMBER//PAP:GREEN", "XAR", LEVELS)
    open_one = parse_banner("OPEN//TLP:CLEAR", "XAR", LEVELS)
    one = ConfidentialityLabel(label, created_at=1_764_000_000_000, originator=("dNSName", "n1.xar.example"))
    later = replace(label, review_at=1_800_000_000_000, successor=open_one)
    joint = parse_banner("//JOINT SECRET XAR XBO//REL TO XAR, XBO", "XAR", LEVELS)
    return [
        to_xml(one),
        to_xml(replace(one, label=later)),
        to_xml(ConfidentialityLabel(joint, 7, LabelKind.METADATA, "mark")),
    ]


def _iep(data: bytes) -> object:
    made = iep.from_json(_object(data))
    same(iep.from_json(iep.to_json(made)), made)
    iep.Handling.of(made, at=0).to_policy("again", start=0)
    return made


def _stix(data: bytes) -> object:
    said = _object(data)
    found = tlp.from_stix(said)
    if found is not None:
        assert tlp.from_stix(tlp.to_stix(found)) is found
    references = said.get("object_marking_refs")
    if isinstance(references, list):
        tlp.from_references(references, {str(said.get("id")): said})
    return found


def _object(data: bytes) -> dict[str, object]:
    said = _json(data)
    if not isinstance(said, dict):
        raise MarkingError("no object")
    return said


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MarkingError("no JSON") from error


def _others() -> list[bytes]:
    references = {"id": "marking-definition--x", "object_marking_refs": ["marking-definition--x"], "name": "TLP:RED"}
    old = {"definition_type": "tlp", "definition": {"tlp": "white"}}
    policies = [json.dumps(iep.to_json(iep.MOST_RESTRICTIVE)).encode()]
    return [
        *choosing(
            0,
            *policies,
            *(
                json.dumps(one).encode()
                for one in json.loads(_examples(".iep.json")[0]).values()
                if isinstance(one, dict)
            ),
        ),
        *choosing(
            1,
            *(json.dumps(tlp.to_stix(one)).encode() for one in tlp.Tlp),
            json.dumps(references).encode(),
            json.dumps(old).encode(),
        ),
        *choosing(
            2, b'{"scale": "6x6", "reliability": "B", "credibility": 2}', b'{"scale": "icd-203", "word": "likely"}'
        ),
        *choosing(
            3,
            *(
                text.encode()
                for text in (
                    "TLP:AMBER+STRICT",
                    "PAP:RED",
                    "B2",
                    "4x4 B2 H3: ask",
                    "icd-203: likely",
                    "2026-11-24T13:00:00.5+01:00",
                )
            ),
        ),
    ]


# --- settings and reports in TOML -------------------------------------------------------------------------------------


@cache
def _folder() -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    kept = tempfile.TemporaryDirectory()
    (Path(kept.name) / "source.txt").write_bytes(b"two boats")
    return Path(kept.name), kept


def _written_to(name: str, data: bytes) -> Path:
    path = _folder()[0] / name
    path.write_bytes(data)
    return path


def _settings(data: bytes) -> object:
    made = read_settings(_written_to("broker.toml", data), {}, {}, required=True)
    assert 0 < made.redelivery <= 86_400
    assert made.address[1] <= 65_535
    return made.address


def _profile(data: bytes) -> object:
    folder = _folder()[0]
    _written_to("profile.toml", data)
    return Place(Identity("XAR", IdentityKind.NODE, "n1"), folder).profile


def _report(data: bytes) -> object:
    return read_report(_written_to("a.report.toml", data), Wishes())


def _plain(data: bytes) -> object:
    return of_content("a.json", data, Wishes(marking="SECRET//NOFORN"))


def _vocabularies(data: bytes) -> object:
    held = {name: (_BUNDLED / "vocabulary" / f"{name}.toml").read_bytes() for name in vocabulary.NAMES}
    return vocabulary.read({**held, "categories": data}).digests


def _files() -> list[bytes]:
    report = (
        b'marking = "SECRET//NOFORN"\npurpose = "counter-terrorism"\ncategories = ["terrorism"]\nto = ["XBO"]\n'
        b'not_before = 2026-11-24T12:00:00Z\n[[portion]]\nmarking = "SECRET//NOFORN"\ntext = "Two."\ngrading = "B2"\n'
        b'[[portion]]\nmarking = "OPEN"\nfile = "source.txt"\npersonal_data = "ordinary"\npersons = 1\n'
    )
    return [
        *choosing(0, b'listen = "127.0.0.1:7443"\nredelivery = 30.5\nwindow_segments = 16\nroutine_full = 0.8\n'),
        *choosing(
            1, b'identity = "XAR/n1"\nkind = "node"\n[broker]\naddress = "127.0.0.1:7443"\nidentity = "XAR/hub"\n'
        ),
        *choosing(2, report),
        *choosing(3, b'{"type": "bundle", "objects": [{"id": "x"}]}', b"{}"),
        *choosing(4, (_BUNDLED / "vocabulary/groups.toml").read_bytes()),
        *choosing(5, (_BUNDLED / "vocabulary/categories.toml").read_bytes()[:4000].rpartition(b"\n[")[0]),
    ]


TARGETS = (
    Target("agreement", "agreement documents", agreement, _agreements, (DocumentError,), inputs=100, longest=48 << 10),
    Target("caveat", "national caveats", caveat, _caveats, (DocumentError,)),
    Target("marking", "banners and portion marks", marking, _markings, (MarkingError,), inputs=600, longest=8 << 10),
    Target("stanag", "STANAG 4774 labels", stanag, _stanag_seeds, (MarkingError,)),
    Target(
        "statements-of-handling",
        "IEP policies, STIX markings, gradings, times",
        chosen({"iep": _iep, "stix": _stix, "header": _header, "words": _words}),
        _others,
        (MarkingError,),
        inputs=600,
    ),
    Target(
        "toml-file",
        "broker settings, profiles, reports, vocabularies",
        chosen(
            {
                "settings": _settings,
                "profile": _profile,
                "report": _report,
                "plain": _plain,
                "groups": group_codes.read,
                "vocabulary": _vocabularies,
            }
        ),
        _files,
        (ComityError, VocabularyError),
        inputs=600,
    ),
)
