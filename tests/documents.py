"""The documents as data: their blocks, links, commands and the outputs they show, for the tests that hold them to the truth.

A ``console`` block is a conversation in one or several terminals. `NAME$ words` is what somebody types in the terminal NAME (`$ words`
in one without a name), lines after it are what comes out. `NAME$ ^C` ends what runs there. In what comes out `...` stands for
anything, a line of its own for any lines; times and short hexadecimal numbers may be others than those shown. A
report's identifier and a SHA-384 stand for one that came out, the same wherever the document says it, also in what is typed.
A block whose first line names a file (```` ```python send.py ````) is that file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
_DOCS = REPOSITORY / "docs"
GUIDES = (REPOSITORY / "README.md", *sorted(_DOCS.glob("*.md")))
EVERY = (*GUIDES, *sorted(REPOSITORY.glob("[A-QS-Z]*.md")), *sorted((_DOCS / "adr").glob("*.md")))

# What is done in one world each, a later document going on where the earlier one stopped (tests/e2e/test_readme.py).
WORLDS = {
    "quick start": (REPOSITORY / "README.md", _DOCS / "integrator-guide.md", _DOCS / "auditor-guide.md"),
    "user's guide": (_DOCS / "user-guide.md",),
    "operator's guide": (_DOCS / "operator.md",),
    "writing agreements": (_DOCS / "writing-agreements.md",),
}
# Tests and builds are run from make; a service manager, the network and other directories are not a test's to touch.
LEFT_OUT = re.compile(r"^make\b|^requirements/lock\b|systemctl\b|/etc/systemd/|\bpip install\b|-m (?:venv|build)\b")

_FENCE = re.compile(r"^```(?P<head>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^(?P<terminal>[a-z-]*)\$ (?P<words>.*)$")
_LINK = re.compile(r"\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")
_ID = r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{96})\b"
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)"), "<time>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<hex>"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it is (empty for none), its text, and where it stands."""

    document: Path
    line: int
    language: str
    file: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document.name}:{self.line}"


@dataclass(frozen=True)
class Step:
    """One thing typed in a terminal, and the lines that are shown to come out; none where nothing is shown."""

    place: str
    terminal: str
    words: str
    shown: tuple[str, ...]


def blocks(document: Path) -> list[Block]:
    """Give the fenced blocks of a document in their order."""
    text = document.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, _, file = match["head"].strip().partition(" ")
        found.append(Block(document, text.count("\n", 0, match.start()) + 1, language, file.strip(), match["text"]))
    return found


def prose(document: Path) -> str:
    """Give a document without its fenced blocks; every line keeps its number."""
    text = document.read_text(encoding="utf-8")
    return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


def paragraphs(document: Path) -> Iterator[tuple[str, str]]:
    """Give what can be read on its own, a paragraph, an item or a row of a table, each with the headings above it."""
    headings: list[str] = []
    current: list[str] = []
    for line in [*prose(document).splitlines(), ""]:
        heading = re.match(r"(#+) (.*)", line)
        begins = not line.strip() or heading or re.match(r"\s*(?:[-*|]|\d+\.) ?", line)
        if begins and current:
            yield " / ".join(headings), " ".join(current)
            current = []
        if heading:
            headings = [*headings[: len(heading[1]) - 1], heading[2]]
        elif line.strip():
            current.append(line.strip())


def steps(block: Block) -> list[Step]:
    """Give the steps of a console block; a line that ends in a backslash goes on in the next one."""
    found: list[Step] = []
    lines = iter(enumerate(block.text.splitlines(), block.line + 1))
    for number, line in lines:
        prompt = _PROMPT.match(line)
        if prompt is None:
            assert found, f"{block.place}: a console block begins with a prompt"
            last = found[-1]
            found[-1] = Step(last.place, last.terminal, last.words, (*last.shown, line))
            continue
        words = [prompt["words"]]
        while words[-1].endswith("\\"):
            words.append(next(lines)[1])
        found.append(Step(f"{block.document.name}:{number}", prompt["terminal"], "\n".join(words), ()))
    return found


def conversation(document: Path) -> list[Step]:
    """Give every step of every console block of a document."""
    return [step for block in blocks(document) if block.language == "console" for step in steps(block)]


def links(document: Path) -> list[str]:
    """Give what the links of a document point to."""
    return [match["target"] for match in _LINK.finditer(prose(document))]


def anchors(document: Path) -> set[str]:
    """Give the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def inline_code(document: Path) -> list[str]:
    """Give every piece of code inside a document's sentences, line ends as spaces."""
    return [" ".join(match.split()) for match in re.findall(r"`([^`]+)`", prose(document))]


def shows(shown: Iterable[str], output: str, known: Mapping[str, str]) -> dict[str, str] | None:
    """Give the identifiers of an output by those that stand for them in a document; None where the output is another one.

    `known` are those of before: the same identifier in a document is the same one in what comes out. Between lines of `...`
    each run of lines is taken where it comes first.
    """
    lines = _steady(output).splitlines()
    runs: list[list[str]] = [[]]
    for line in shown:
        if line.strip() == "...":
            runs.append([])
        else:
            runs[-1].append(_steady(line.rstrip()))
    found: dict[str, str] = {}
    at = 0
    for number, run in enumerate(runs):
        last = len(lines) - len(run)
        first = last if number == len(runs) - 1 and number > 0 else at
        for start in range(first, (last if number > 0 else at) + 1):
            bound = _bound(run, lines[start : start + len(run)], {**known, **found}) if start >= at else None
            if bound is not None:
                found |= bound
                at = start + len(run)
                break
        else:
            return None
    return found if at == len(lines) else None


def anywhere(shown: Iterable[str]) -> list[str]:
    """Give shown lines as ones that may have any others between them."""
    return ["...", *(line for one in shown for line in (one, "..."))]


def _bound(run: list[str], lines: list[str], known: Mapping[str, str]) -> dict[str, str] | None:
    """Give what the identifiers of a run of shown lines stand for; None where these are other lines."""
    found: dict[str, str] = {}
    if len(run) != len(lines):
        return None
    for line, actual in zip(run, lines, strict=True):
        names: dict[str, str] = {}
        match = re.fullmatch(_line(line, {**known, **found}, names), actual)
        if match is None:
            return None
        found |= {one: match[name] for one, name in names.items()}
    return found


def _line(line: str, known: Mapping[str, str], names: dict[str, str]) -> str:
    pattern = ""
    for part in re.split(rf"(\.\.\.|{_ID})", line):
        if part == "...":
            pattern += ".*"
        elif not re.fullmatch(_ID, part):
            pattern += re.escape(part)
        elif part in known:
            pattern += known[part]
        elif part in names:
            pattern += f"(?P={names[part]})"
        else:
            names[part] = f"id{len(names)}"
            pattern += f"(?P<{names[part]}>{_ID})"
    return pattern


def _steady(text: str) -> str:
    for varying, name in _VARYING:
        text = varying.sub(name, text)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
