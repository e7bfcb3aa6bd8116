"""The texts of one agreement as its log names them: versions and rounds, its umbrella's, and the caveats of its parties.

A text counts from the entry that names it. One that the bundle does not hold is a gap: what cites its clauses is not judged. A caveat's
text stands in its own party's body of the entry that added it and nowhere else, and what it refused is told whole to that party alone.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from comity.verify.bundle import Report, read_file
from comity.verify.crypto import digest
from comity.verify.records import require

STEP_TYPES: Final = ("counter", "amend", "notes")
_BASELINE: Final = "in-force parties agreement addressee broker node marking vocabulary access national-only releasable originator-control onward times grant"
# `tomllib` takes time that grows with the square of a key's parts; no key of an agreement has more than a few.
_LONG_KEY: Final = re.compile(r"""(?<![\w"'\\-])(?:(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""")
_REASONS: Final = ("DENIED", "FACT_MISSING", "CLAUSE_SUSPENDED")


class Texts:
    """The texts of an agreement, of which `document` is the one that was proposed; raises FormError where that is missing."""

    def __init__(self, folder: Path, first: str, report: Report) -> None:
        texts = [read_file(path, 1 << 20) or b"" for path in folder.glob("agreements/*.toml")]
        self._held, self._report = {digest("agreement", text).hex(): text for text in texts}, report
        require(first in self._held, "no text has the digest that entry 0 names")
        self.document: dict[str, Any] = _tables(self._held[first])
        self.umbrella = self.document.get("under", {}).get("agreement", "")
        self.known: set[str] = set()
        self.documents: dict[str, dict[str, Any]] = {}
        self.clauses = {f"baseline/{word}" for word in _BASELINE.split()}
        self._unread: set[str] = set()
        self._caveats: dict[tuple[str, str], set[str] | None] = {}
        self.in_force: dict[tuple[str, str], str] = {}
        self.name(first)

    def name(self, text: str) -> None:
        """Take the digest of a text that a step brings."""
        if text not in self.known:
            self.known.add(text)
            document = self._take(text, "")
            if document:
                self.documents[text] = document
            above = document.get("under", {})
            if above:
                self._take(str(above["digest"]).removeprefix("sha384:"), f"{above['agreement']}/")

    def _take(self, text: str, prefix: str) -> dict[str, Any]:
        held = self._held.get(text)
        if held is None:
            self._report.counts["texts not presented"] += 1
            self._unread.add(prefix)
            return {}
        document = _tables(held)
        self.clauses |= {f"{prefix}{one['id']}" for one in _clauses(document)}
        return document

    def has(self, clauses: list[str]) -> bool:
        """Say whether a text has these clauses, or one that is not here may have them."""
        return "" in self._unread or self.clauses.issuperset(clauses)

    # --- caveats ----------------------------------------------------------------------------------------------------

    def add_caveat(self, fields: dict[str, Any], own: dict[str, dict[str, Any]]) -> None:
        """Take a caveat with what the parties' own bodies say of it; raises FormError."""
        party, told = fields["party"], own.get(fields["party"])
        require(set(own) <= {party}, "the text of a caveat is told to another party than its own")
        self._caveats[party, fields["caveat"]] = None
        self.in_force[party, fields["caveat"]] = fields["caveat_digest"]
        if told is not None:
            text = bytes.fromhex(told["caveat"])
            same = digest("caveat", bytes.fromhex(told["salt"]), text).hex() == fields["caveat_digest"]
            require(same, "the caveat is not the one whose digest its party signed")
            self._caveats[party, fields["caveat"]] = {one["id"] for one in _clauses(_tables(text))}

    def withdraw_caveat(self, fields: dict[str, Any]) -> None:
        """Take it that a caveat is in force no more."""
        self._caveats.pop((fields["party"], fields["caveat"]), None)
        self.in_force.pop((fields["party"], fields["caveat"]), None)

    # --- what decisions cite ----------------------------------------------------------------------------------------

    def check_cited(self, reader: str, clause: str, reason: str) -> None:
        """Check that a violation told to a party names what there is, and of another's caveat nothing but its name; raises FormError."""
        words, good = clause.split("/", 3), False
        if reason == "CAVEAT":
            good = len(words) == 2 and words[0] != reader and tuple(words) in self._caveats
        elif reason in _REASONS and words[0] == "caveat":
            mine = len(words) == 4 and words[1] == reader and (reader, words[2]) in self._caveats
            ids = self._caveats[reader, words[2]] if mine else set()
            good = ids is None or words[-1] in ids
        elif reason in _REASONS:
            prefix = f"{words[0]}/" if len(words) > 1 else ""
            good = clause in self.clauses or prefix in self._unread
        require(good, f"the agreement has no clause {clause}, the reason is unknown, or it is not for {reader} to read")


def _tables(data: bytes) -> dict[str, Any]:
    text = data.decode()
    require(not _LONG_KEY.search(text), "a text has a key of too many parts")
    return tomllib.loads(text)


def _clauses(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = list(document["clause"])
    for annex in document.get("annex", []):
        found += annex.get("clause", [])
    return found
