"""From files to reports: plain files, STIX bundles, and the structured form, `report.toml` or `NAME.report.toml` (design 01).

Rules in order:
1. A plain file is a report of one portion, its file name sealed with it. A JSON file that is a STIX 2.1 bundle says so.
2. A structured report is strict TOML: an unknown key, a wrong type or a missing field refuses, and the message names it. A
   portion has one of `text`, `file` and `attach` (a file of any size, which travels beside the report); files lie beside the
   report or below, never elsewhere.
3. Options given besides a structured report fill what the file leaves open, and never change what it says.
4. A directory is one report a file, by name; names that begin with a dot are left out. Only names are held in memory.
5. `tlp` of the whole stands in for the portions that say none; the whole carries the narrowest that any part says.

    marking = "SECRET//NOFORN"                    # the banner of the whole
    purpose = "counter-terrorism"
    categories = ["terrorist-financing"]          # also: precedence, kind, exercise, to, tlp, not_before, expires_at

    [[portion]]
    title = "Summary"
    marking = "SECRET//REL TO XAR, XBO"
    text = "Two transfers were announced."

    [[portion]]
    marking = "SECRET//NOFORN"
    file = "source.txt"                           # also: media_type, personal_data = "ordinary", persons = 1, warn
    grading = "B2"                                # also: tlp, confidence, estimative = "icd-203: likely"
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from comity.envelope.limits import SEGMENT_BYTES
from comity.errors import ErrorCode, MalformedError, NotFoundError, UsageError
from comity.node.files import read_file
from comity.portion import TEXT, Marking, Portion, StoredContent, utf8
from comity.report import Report, ReportFields
from comity_policy.banner import tlp_in, with_tlp
from comity_policy.facts import PersonalData
from comity_policy.marking import Label, MarkingError
from comity_policy.strict_toml import tables_of
from comity_policy.tlp import narrowest, parse_tlp, tlp_word

STRUCTURED: Final = ".report.toml"
REPORT_LIMIT: Final = 1 << 20
_PERSONAL: Final = {kind.name.lower(): kind for kind in PersonalData}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller says about a report besides its file; empty means not said."""

    marking: str = ""
    overall: str = ""
    title: str = ""
    categories: tuple[str, ...] = ()
    purpose: str = ""
    precedence: str = ""
    kind: str = ""
    to: tuple[str, ...] = ()
    not_before: datetime | None = None
    expires_at: datetime | None = None
    # Further portions: a file and its marking, those of a summary before the file itself.
    summaries: tuple[tuple[Path, str], ...] = field(default=())
    portions: tuple[tuple[Path, str], ...] = field(default=())
    # Files that travel beside the report, each with its marking (empty: that of the whole).
    attachments: tuple[tuple[Path, str], ...] = field(default=())
    # The digest of the emergency declaration it goes under.
    emergency: bytes = b""
    exercise: bool = False


class _PortionTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    marking: str
    text: str | None = None
    file: str | None = None
    attach: str | None = None
    media_type: str = ""
    title: str = ""
    personal_data: str = "none"
    persons: int = 0
    warn: bool = False
    tlp: str = ""
    grading: str = ""
    confidence: str = ""
    estimative: str = ""


class _ReportTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    portion: list[_PortionTable]
    marking: str = ""
    categories: list[str] = []
    purpose: str = ""
    precedence: str = ""
    kind: str = ""
    exercise: bool = False
    to: list[str] = []
    tlp: str = ""
    not_before: datetime | None = None
    expires_at: datetime | None = None


def read_report(path: Path, wishes: Wishes) -> Report:
    """Read one file as a report; raises NotFoundError, UsageError for what is not said, MalformedError."""
    if f".{path.name}".endswith(STRUCTURED):
        return _structured(path, wishes)
    return of_content(path.name, _read(path), wishes)


def of_content(file_name: str, content: bytes, wishes: Wishes) -> Report:
    """Build a report of a file's content, or (empty name) of text from standard input."""
    if not wishes.marking:
        raise UsageError("a report has a marking", what_to_do="Say --marking, e.g. 'SECRET//REL TO XAR, XBO'.")
    fields = _fields(wishes)
    if file_name:
        single = Report.of_file(file_name, content, marking=wishes.marking, title=wishes.title, **fields)
        main = single.portions[0]
    else:
        main = Portion(_text(content), Marking.of(wishes.marking), media_type=TEXT, title=wishes.title)
    portions = [_further(file, marking, "Summary") for file, marking in wishes.summaries]
    portions.append(main)
    portions += [_further(file, marking, "") for file, marking in wishes.portions]
    return Report.of(portions, marking=wishes.overall or wishes.marking, **fields)


def attached(
    path: str | os.PathLike[str], marking: Marking | Label | str, *, media_type: str = "", title: str = ""
) -> Portion:
    """Give a portion whose content stays in its file and travels beside its report, of any size up to 64 GiB.

    The file is read when the report is sent, and may not change until then. Raises NotFoundError for one that cannot be read.
    """
    file = Path(path).absolute()
    try:
        found = file.stat()
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read: {error.strerror}", code=ErrorCode.FILE_UNKNOWN) from error
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{file} is no plain file", what_to_do="Attach a file.")
    content = StoredContent(file, found.st_size)
    single = Report.of_file(file.name, content, marking=marking, media_type=media_type, title=title)
    return single.portions[0]


def with_attachments(report: Report, files: Iterable[tuple[Path, str]]) -> Report:
    """Give a report with further portions that stay in their files; one without a marking has that of the whole."""
    further = tuple(attached(path, marking or report.marking) for path, marking in files)
    return replace(report, portions=(*report.portions, *further))


def report_names(directory: Path) -> list[str]:
    """Give the names of a directory's files by rule 4; raises NotFoundError."""
    try:
        with os.scandir(directory) as found:
            return sorted(one.name for one in found if not one.name.startswith(".") and one.is_file())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"there is no directory {directory}") from error


def _structured(path: Path, wishes: Wishes) -> Report:
    try:
        table = msgspec.convert(
            tables_of(read_file(path, REPORT_LIMIT)),
            _ReportTable,
            strict=True,
            builtin_types=(datetime,),
        )
    except (ValueError, msgspec.ValidationError) as error:
        raise MalformedError(f"{path.name}: {error}", what_to_do="comity send --help shows the form.") from error
    merged = Wishes(
        marking=table.marking or wishes.marking,
        categories=tuple(table.categories) or wishes.categories,
        purpose=table.purpose or wishes.purpose,
        precedence=table.precedence or wishes.precedence,
        kind=table.kind or wishes.kind,
        to=tuple(table.to) or wishes.to,
        not_before=table.not_before or wishes.not_before,
        expires_at=table.expires_at or wishes.expires_at,
        emergency=wishes.emergency,
        exercise=table.exercise or wishes.exercise,
    )
    if not merged.marking:
        raise MalformedError(f"{path.name}: 'marking' of the whole report is missing")
    portions = [_portion(path, number, one, table.tlp) for number, one in enumerate(table.portion, start=1)]
    marking = _marking(f"{path.name}: the whole", merged.marking, table.tlp)
    return Report.of(portions, marking=_narrowed(path, marking, portions), **_fields(merged))


def _marking(where: str, text: str, tlp: str, otherwise: str = "") -> str:
    """Give a marking with the TLP said beside it, or `otherwise` where neither says one."""
    try:
        word = tlp or ("" if tlp_in(text) else otherwise)
        return with_tlp(text, parse_tlp(word)) if word else text
    except MarkingError as error:
        raise MalformedError(f"{where}: {error}", what_to_do="Correct 'tlp' or the marking.") from error


def _narrowed(path: Path, marking: str, portions: list[Portion]) -> str:
    """Give the marking of the whole with the narrowest TLP of its parts; raises MalformedError where it says a wider one."""
    narrow = narrowest(tlp_in(one.marking.text) for one in portions)
    said = tlp_in(marking)
    if narrow is None or (said is not None and said >= narrow):
        return marking
    if said is not None:
        raise MalformedError(
            f"{path.name}: the whole is marked {tlp_word(said)}, a portion {tlp_word(narrow)}",
            what_to_do=f"Mark the whole {tlp_word(narrow)}.",
        )
    return with_tlp(marking, narrow)


def _portion(path: Path, number: int, table: _PortionTable, tlp: str) -> Portion:
    where = f"{path.name}: portion {number}"
    if [table.text, table.file, table.attach].count(None) != 2:
        raise MalformedError(f"{where} has one of 'text', 'file' and 'attach'")
    personal = _PERSONAL.get(table.personal_data)
    if personal is None:
        raise MalformedError(f"{where}: personal_data is one of {', '.join(_PERSONAL)}")
    content: bytes | StoredContent
    if table.text is not None:
        content, media_type, file_name = utf8(table.text), table.media_type or TEXT, ""
    elif table.attach is not None:
        beside = attached(_beside(path, table.attach), table.marking, media_type=table.media_type)
        content, media_type, file_name = beside.content, beside.media_type, beside.file_name
    else:
        file = _beside(path, table.file or "")
        single = Report.of_file(file.name, _read(file), marking=table.marking, media_type=table.media_type).portions[0]
        content = single.content
        media_type, file_name = single.media_type, single.file_name
    portion = Portion(
        content,
        Marking.of(_marking(where, table.marking, table.tlp, tlp)),
        media_type=media_type,
        file_name=file_name,
        title=table.title,
        personal_data=personal,
        persons=table.persons,
        warn=table.warn,
    )
    try:
        return portion.assessed(grading=table.grading, confidence=table.confidence, estimative=table.estimative)
    except MalformedError as error:
        raise MalformedError(f"{where}: {error.message}", what_to_do=error.what_to_do) from error


def _beside(path: Path, name: str) -> Path:
    base = path.parent.resolve()
    found = (base / name).resolve()
    if not found.is_relative_to(base):
        raise MalformedError(f"{path.name}: {name!r} does not lie beside the report", what_to_do="Put it there.")
    return found


def _further(file: Path, marking: str, title: str) -> Portion:
    single = Report.of_file(file.name, _read(file), marking=marking, title=title)
    return single.portions[0]


def _read(path: Path) -> bytes:
    """Read a file whose content travels inside its report."""
    try:
        return read_file(path, SEGMENT_BYTES)
    except MalformedError as error:
        if error.code is ErrorCode.LIMIT_EXCEEDED:
            error.what_to_do = f"Attach it to a report: comity send - --attach {path}"
        raise


def _text(content: bytes) -> bytes:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("what came on standard input is not text in UTF-8") from error
    return content


def _fields(wishes: Wishes) -> ReportFields:
    fields = ReportFields(
        categories=wishes.categories,
        purpose=wishes.purpose,
        addressees=wishes.to,
        not_before=wishes.not_before,
        expires_at=wishes.expires_at,
    )
    if wishes.precedence:
        fields["precedence"] = wishes.precedence
    if wishes.kind:
        fields["kind"] = wishes.kind
    if wishes.emergency:
        fields["emergency"] = wishes.emergency
    if wishes.exercise:
        fields["exercise"] = True
    return fields
