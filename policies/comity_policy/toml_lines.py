r"""On which line of a TOML text each value stands, so that a refusal can say where.

`tomllib` gives values without places. This reads the same text, which `tomllib` has already accepted, once more and notes
for every key path (table names, keys and array positions) the line on which it begins. It judges nothing: a text that is
not TOML gives places that mean nothing, and never an error.

    >>> lines_of('[agreement]\nid = "A"\n')[("agreement", "id")]
    2
"""

from __future__ import annotations

from collections.abc import Mapping

Path = tuple[str | int, ...]

_BARE_END = frozenset(" \t=.]}\n,#")
_SPACE = frozenset(" \t")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def lines_of(text: str) -> Mapping[Path, int]:
    """Give the line (from 1) of every key path of a valid TOML text; linear in its length."""
    return _Reader(text.replace("\r\n", "\n") + "\n").read()


def line_at(lines: Mapping[Path, int], path: Path) -> int:
    """Give the line of the path, or of the nearest part of it that has one; 1 when none has."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def shown(path: Path) -> str:
    """Give the path as people write it: ``clause[2].limits[0].level``, positions from 0."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).removeprefix(".") or "document"


class _Reader:
    __slots__ = ("_arrays", "_at", "_line", "_lines", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._lines: dict[Path, int] = {}
        self._arrays: dict[Path, int] = {}

    def read(self) -> Mapping[Path, int]:
        table: Path = ()
        while self._skip_blank(newlines=True):
            begun = self._at
            if self._text.startswith("[[", self._at):
                self._step(2)
                table = self._begin_array_table(self._key())
                self._rest_of_line()
            elif self._text[self._at] == "[":
                self._step(1)
                table = self._placed(self._key())
                self._lines.setdefault(table, self._line)
                self._rest_of_line()
            else:
                self._pair(table)
            if self._at == begun:
                self._step(1)
        return self._lines

    def _begin_array_table(self, key: Path) -> Path:
        name = self._placed(key[:-1]) + key[-1:]
        position = self._arrays.get(name, 0)
        self._arrays[name] = position + 1
        self._lines.setdefault(name, self._line)
        self._lines[*name, position] = self._line
        return (*name, position)

    def _placed(self, key: Path) -> Path:
        """Give the key with the position of the newest element after each name that is an array of tables."""
        placed: Path = ()
        for step in key:
            placed = (*placed, step)
            if placed in self._arrays:
                placed = (*placed, self._arrays[placed] - 1)
        return placed

    def _pair(self, table: Path) -> None:
        line, path = self._line, table
        for step in self._key():
            path = (*path, step)
            self._lines.setdefault(path, line)
        self._skip_blank(newlines=False)
        if self._text[self._at : self._at + 1] == "=":
            self._step(1)
        self._value(path)

    def _key(self) -> Path:
        steps: list[str | int] = []
        while True:
            self._skip_blank(newlines=False)
            first = self._text[self._at : self._at + 1]
            if first in {'"', "'"}:
                steps.append(self._string())
            else:
                begun = self._at
                while self._at < len(self._text) and self._text[self._at] not in _BARE_END:
                    self._at += 1
                steps.append(self._text[begun : self._at])
            self._skip_blank(newlines=False)
            if self._text[self._at : self._at + 1] != ".":
                return tuple(steps)
            self._step(1)

    def _value(self, path: Path) -> None:
        """Pass one value; nested arrays and inline tables without recursion, so that depth costs nothing."""
        open_ones: list[tuple[str, Path, int]] = []
        while True:
            if not self._skip_blank(newlines=bool(open_ones)):
                return
            first = self._text[self._at]
            self._lines.setdefault(path, self._line)
            if first in "[{":
                self._step(1)
                open_ones.append((first, path, 0))
            elif first in {'"', "'"}:
                self._string()
            else:
                self._scalar()
            following = self._next_value(open_ones)
            if following is None:
                return
            path = following

    def _next_value(self, open_ones: list[tuple[str, Path, int]]) -> Path | None:
        while open_ones and self._skip_blank(newlines=True):
            first = self._text[self._at]
            if first in "]}":
                self._step(1)
                open_ones.pop()
            elif first == ",":
                self._step(1)
            else:
                kind, outer, count = open_ones[-1]
                open_ones[-1] = (kind, outer, count + 1)
                if kind == "[":
                    return (*outer, count)
                path = outer + self._key()
                self._lines.setdefault(path, self._line)
                self._skip_blank(newlines=False)
                self._step(1)
                return path
        return None

    def _scalar(self) -> None:
        begun = self._at
        while self._at < len(self._text) and self._text[self._at] not in ",]}\n#":
            self._at += 1
        if self._at == begun:
            self._step(1)

    def _string(self) -> str:
        quote = self._text[self._at]
        fence = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._step(len(fence))
        parts: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            if self._text.startswith(fence, self._at):
                self._step(len(fence))
                while len(fence) == 3 and self._text[self._at : self._at + 1] == quote:
                    self._step(1)
                break
            if character == "\\" and quote == '"':
                parts.append(_ESCAPES.get(self._text[self._at + 1 : self._at + 2], ""))
                self._step(2)
                continue
            parts.append(character)
            self._step(1)
        return "".join(parts)

    def _skip_blank(self, *, newlines: bool) -> bool:
        """Pass spaces, and with `newlines` line ends and comments; say whether anything is left."""
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in _SPACE or (newlines and character == "\n"):
                self._step(1)
            elif newlines and character == "#":
                self._rest_of_line()
            else:
                return True
        return False

    def _rest_of_line(self) -> None:
        end = self._text.find("\n", self._at)
        self._step((len(self._text) if end < 0 else end) - self._at)

    def _step(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at = min(self._at + count, len(self._text))
