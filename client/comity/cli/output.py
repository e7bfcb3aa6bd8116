"""How a command speaks: to people in plain lines, to programs as one JSON object or one a line (design 01, "Exit codes").

Rules in order:
1. Standard output carries what was asked for, standard error what went wrong and what is going on.
2. With --json everything on standard output is JSON: one object, or one a line for listings and for what follows on.
   Field names are the protocol's, times RFC 3339 with Z, bytes lower-case hexadecimal, absent values left out.
3. An error is one clear line and what to do next; with --json one object ``{"error": {code, message, what_to_do}}``, with the
   clauses that refused where an agreement did.
4. What shows content carries its banner before and after. What a peer wrote reaches a terminal without control characters: a
   line for people is made harmless here, whoever made it, and JSON escapes everything that is not ASCII.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TextIO

from comity.errors import ComityError

if TYPE_CHECKING:
    from comity_policy.explanation import ClauseExplanation

# Everything a terminal might obey, what turns the direction of writing and what nobody sees; a line break and a tab may stay, and
# the joiners that some languages are written with.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u180e\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
_WIDTH: Final = 100
_WORD: Final = re.compile(r"\w+")
# The scripts whose letters are taken for each other.
_LOOK_ALIKE: Final = frozenset(
    {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "FULLWIDTH", "MATHEMATICAL", "COPTIC"}
)


def safe(text: str) -> str:
    """Give text that a terminal only shows: control, direction and invisible characters become U+FFFD."""
    return _UNSAFE.sub("\ufffd", text)


def mixed_scripts(text: str) -> tuple[str, ...]:
    """Give the words that mix Latin letters with look-alikes of other scripts, what is not ASCII in them written as escapes."""
    found = dict.fromkeys(word for word in _WORD.findall(text) if len(_scripts(word)) > 1)
    return tuple(word.encode("ascii", "backslashreplace").decode() for word in found)


def _scripts(word: str) -> set[str]:
    import unicodedata  # noqa: PLC0415 - used where texts are shown

    scripts = {unicodedata.name(letter, "UNKNOWN").partition(" ")[0] for letter in word if letter.isalpha()}
    return scripts & _LOOK_ALIKE


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command writes, and for whom."""

    json: bool = False
    quiet: bool = False

    def record(self, **fields: object) -> None:
        """Write one JSON object, with --json; for people nothing."""
        if self.json:
            _line(sys.stdout, to_json(fields))

    def say(self, *lines: str) -> None:
        """Write lines for people; nothing with --json or --quiet."""
        if not self.json and not self.quiet:
            for line in lines:
                _line(sys.stdout, safe(line))

    def show(self, *lines: str) -> None:
        """Write lines that were asked for: also with --quiet; nothing with --json."""
        if not self.json:
            for line in lines:
                _line(sys.stdout, safe(line))

    def exact(self, text: str) -> None:
        """Write text that was asked for to the byte, without a line end of its own; nothing with --json.

        A terminal is only shown it; a file or a pipe gets every byte.
        """
        if not self.json:
            sys.stdout.write(safe(text) if sys.stdout.isatty() else text)
            sys.stdout.flush()

    def note(self, line: str) -> None:
        """Write a line about what is going on to standard error; nothing with --quiet or --json."""
        if not self.quiet and not self.json:
            _line(sys.stderr, safe(line))

    def alarm(self, line: str, **fields: object) -> None:
        """Write an alarm to standard error, by rule 3 like an error: with --json one object ``{"alarm": {...}}``."""
        _line(sys.stderr, to_json({"alarm": fields}) if self.json else f"comity: {safe(line)}")

    def banner(self, marking: str, *, asked: bool = True) -> None:
        """Write a banner line, reversed on a terminal; nothing with --json.

        It goes with what it stands over: `asked` says that this was asked for and is written with --quiet too (`show`).
        """
        if not self.json and (asked or not self.quiet):
            text = f" {safe(marking)} "
            _line(sys.stdout, f"\x1b[1;7m{text}\x1b[0m" if sys.stdout.isatty() else f"[{text.strip()}]")

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
        """Write rows in columns for people, or `empty` where there is none; nothing with --json."""
        if self.json:
            return
        listed = [[safe(cell) for cell in row] for row in rows]
        if not listed:
            self.show(empty)
            return
        widths = [max(len(row[column]) for row in (headings, *listed)) for column in range(len(headings))]
        for row in (headings, *listed):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            _line(sys.stdout, "  ".join(cells).rstrip())


def report_error(error: ComityError, *, as_json: bool) -> None:
    """Write an error to standard error by rule 3."""
    clauses = tuple(clause_json(one) for one in explained(error))
    if as_json:
        fields: dict[str, object] = {
            "code": error.code.name,
            "message": error.message,
            "what_to_do": error.what_to_do,
            "retry_after_seconds": error.retry_after_seconds,
            "clauses": clauses or None,
        }
        _line(sys.stderr, to_json({"error": fields}))
        return
    _line(sys.stderr, f"comity: {safe(error.message)}")
    for line in clause_lines(explained(error)):
        _line(sys.stderr, line)
    if error.what_to_do:
        _line(sys.stderr, f"  {safe(error.what_to_do)}")


def explained(error: ComityError) -> tuple[ClauseExplanation, ...]:
    """Give the clauses an error names."""
    from comity_policy.explanation import ClauseExplanation  # noqa: PLC0415 - loaded where clauses refused, not at each start

    return tuple(one for one in error.clauses if isinstance(one, ClauseExplanation)) if error.clauses else ()


def clause_json(one: ClauseExplanation) -> dict[str, object]:
    """Give an explanation with the protocol's field names (ClauseDetail)."""
    return {
        "clause_id": one.clause_id,
        "kind": one.kind,
        "gloss": one.gloss,
        "text": one.text,
        "reason": one.reason.value,
        "fact": one.fact,
        "got": one.got,
        "wanted": one.wanted,
        "nearest": one.nearest,
        "remedy": {"action": one.remedy.action.value, "command": one.remedy.command, "who": one.remedy.who},
        "portions": list(one.portions),
        "recipient_party": one.recipient_party,
    }


def clause_lines(clauses: Iterable[ClauseExplanation]) -> list[str]:
    """Give explanations as lines for people: clause, meaning, text, what was and what was wanted, remedy."""
    lines = []
    for one in clauses:
        portions = f", portion {', '.join(str(index + 1) for index in one.portions)}" if one.portions else ""
        lines.append(
            f"  clause {one.clause_id} ({one.kind}){portions}, to {one.recipient_party or 'all'}: {one.reason.value}"
        )
        lines.extend(folded(f"it means: {one.gloss}", "    "))
        if one.text:
            lines.extend(folded(f"it says: {one.text}", "    "))
        lines.extend(folded(f"{one.fact} is {one.got}, wanted: {one.wanted}", "    "))
        if one.nearest:
            lines.extend(folded(f"would pass: {one.nearest}", "    "))
        if one.remedy.command or one.remedy.who:
            who = f" ({one.remedy.who})" if one.remedy.who else ""
            lines.extend(folded(f"remedy: {one.remedy.action.value}{who}: {one.remedy.command}".rstrip(": "), "    "))
    return [safe(line) for line in lines]


def folded(text: str, indent: str = "", width: int = _WIDTH) -> list[str]:
    """Give a text's lines, indented and no wider than that where its words allow it."""
    import textwrap  # noqa: PLC0415 - used where much is shown

    found = []
    for paragraph in text.splitlines() or [""]:
        found += textwrap.wrap(
            paragraph, width, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False,
            break_on_hyphens=False,
        ) or [""]  # fmt: skip
    return found


def to_json(value: Mapping[str, object]) -> str:
    """Give a record as one line of JSON by rule 2, in ASCII: nothing in it is obeyed by a terminal."""
    return json.dumps(_plain(value), ensure_ascii=True, separators=(", ", ": ")).replace("\x7f", "\\u007f")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items() if one is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def _line(stream: TextIO, text: str) -> None:
    # A terminal or pipe without UTF-8 gets escapes instead of a crash.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
