"""A small XML document as elements, strictly and within bounds: for labels that come from outside.

Rules, in order:

1. UTF-8, at most `DOCUMENT` bytes, `DEPTH` levels, `ELEMENTS` elements, `ATTRIBUTES` attributes each. A document type is
   refused before anything in it is read, so there are no entities but XML's own five; processing instructions are refused.
2. Names are given as ``namespace name``; an element has either text or elements, never both (white space between elements
   is nothing).
3. What is read is data only: nothing is fetched, nothing expanded.

    >>> read(b"<a xmlns='urn:x' b='1'>text</a>")
    Element(name='urn:x a', attributes={'b': '1'}, children=[], text='text')
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from comity_policy.marking import MarkingError

DOCUMENT: Final = 1 << 16
DEPTH: Final = 8
ELEMENTS: Final = 2048
ATTRIBUTES: Final = 16
SPACE: Final = " \t\r\n"


@dataclass(slots=True)
class Element:
    """One element; `name` is ``namespace name``, as are the names of attributes in a namespace."""

    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""


def read(document: bytes) -> Element:
    """Give the root element; raises MarkingError for what is not such a document."""
    if len(document) > DOCUMENT:
        raise MarkingError(f"a label in XML has at most {DOCUMENT} bytes, this has {len(document)}")
    if not _is_utf8(document):
        raise MarkingError("a label in XML is in UTF-8")
    reader = _Reader()
    try:
        reader.parser.Parse(document, True)
    except expat.ExpatError as error:
        raise MarkingError(f"the label is not XML: {expat.errors.messages[error.code]}, line {error.lineno}") from error
    return reader.root()


def _is_utf8(document: bytes) -> bool:
    # Looked at here, for the parser takes what begins like UTF-16 as such, whatever it was told.
    try:
        return "\0" not in document.decode()
    except UnicodeDecodeError:
        return False


class _Reader:
    __slots__ = ("_count", "_open", "_root", "parser")

    def __init__(self) -> None:
        self._count = 0
        self._open: list[Element] = []
        self._root: Element | None = None
        self.parser = expat.ParserCreate("utf-8", " ")
        self.parser.buffer_text = True
        self.parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self.parser.XmlDeclHandler = self._declaration
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.ProcessingInstructionHandler = self._instruction
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def root(self) -> Element:
        if self._root is None:
            raise MarkingError("the label is not XML: no element")
        return self._root

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() != "utf-8":
            raise MarkingError(f"a label in XML is in UTF-8, not {encoding[:40]!r}")

    def _doctype(self, _name: str, _system: str | None, _public: str | None, _subset: int) -> None:
        raise MarkingError("a label in XML has no document type")

    def _instruction(self, target: str, _data: str) -> None:
        raise MarkingError(f"a label in XML has no processing instruction {target[:40]!r}")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENTS or len(self._open) >= DEPTH or len(attributes) > ATTRIBUTES:
            raise MarkingError(
                f"a label in XML has at most {ELEMENTS} elements, {DEPTH} levels and {ATTRIBUTES} attributes an element"
            )
        element = Element(name, attributes)
        if self._open:
            self._open[-1].children.append(element)
            self._only_one_kind(self._open[-1])
        else:
            self._root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        element = self._open.pop()
        self._only_one_kind(element)

    def _characters(self, text: str) -> None:
        self._open[-1].text += text

    def _only_one_kind(self, element: Element) -> None:
        if element.children:
            if element.text.strip(SPACE):
                raise MarkingError(f"{element.name[-40:]!r} holds text beside its elements")
            element.text = ""
