"""A bundle as a folder, and one log of it as far as it stands alone: notes, tree, entries, commitments, bodies, records.

What does not hold is a finding with a stable code (docs/verification.md says what each compares). Whatever goes wrong in a check, an
exception nobody foresaw included, is a finding too: the verifier never passes what it could not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from comity.verify.crypto import digest, leaf384, split_pae, tree384
from comity.verify.notes import parse_policy, verify_checkpoint
from comity.verify.records import read, require
from comity.verify.table import SHARED, TABLE, read_body
from comity.verify.trees import TILE_WIDTH, leaf_hash, read_bundle, root_of, tile_path

Code = StrEnum(
    "Code",
    "NOTE TREE CONSISTENCY CONTINUES ENTRY COMMITMENT BODY PARTS RECORDS NUMBERING AGREEMENT ROOTS KEY_LOG LOG_OPENED LOG_KEYS STATEMENT "
    "KEY_STATUS EXERCISE UMBRELLA UMBRELLA_LOG GOVERNING CONTESTED RECEIPT ENVELOPE APPROVAL PORTIONS CLAUSES OUTCOME DELIVERED ACKNOWLEDGED "
    "NOT_DELIVERED TAKEN_BACK",
)
GAPS: Final = (Code.UMBRELLA_LOG, Code.CONTESTED)


class Finding(NamedTuple):
    """One thing that does not hold: which check, in which log and entry, and what in words."""

    code: Code
    origin: str
    log_index: int | None
    message: str


@dataclass(slots=True)
class Report:
    """Findings, and how many bodies and records were there, redacted, or not presented."""

    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def expect(self, code: Code, origin: str = "", log_index: int | None = None) -> Iterator[None]:
        """Turn whatever is raised inside into a finding of this code."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - fails closed: a check that cannot be made is one that does not hold
            words = str(error) if isinstance(error, ValueError) else repr(error)
            self.findings.append(Finding(code, origin, log_index, words))


def read_file(path: Path, limit: int = 4 << 20) -> bytes | None:
    """Give a file's bytes, None where there is none; raises FormError over the limit."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        data = file.read(limit + 1)
    require(len(data) <= limit, f"{path.name} is over {limit} bytes")
    return data


@dataclass(slots=True)
class Entry:
    """One entry: its kind, and of each part what was presented (an empty body is an empty dict), and its slot records."""

    index: int
    kind: str
    leaf: bytes
    bodies: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def shared(self) -> dict[str, Any]:
        """Give the shared body, empty where it was not presented."""
        return self.bodies.get(SHARED, {})


class Log:
    """One origin's folder, read and checked. `parties` are those of its entries, none but in an agreement's log.

    `first` is the index of its first entry: not 0 where it continues another log.
    """

    def __init__(self, folder: Path, origin: str, report: Report) -> None:
        self.folder, self.origin, self.report = folder, origin, report
        self.kind = [*origin.split("/"), ""][1]
        self.entries: list[Entry] = []
        self.leaves: list[bytes] = []
        self.first = 0
        self.parties: list[str] = []
        with report.expect(Code.NOTE, origin):
            require(self.kind in TABLE, f"{origin} is no log of this release")
            self.policy = parse_policy(read_file(folder / "policy") or b"")
            checkpoint = verify_checkpoint(read_file(folder / "checkpoint") or b"", self.policy)
            require(checkpoint.origin == origin, "the checkpoint is of another log than its folder")
            with report.expect(Code.TREE, origin):
                self._read_tree(checkpoint.size, checkpoint.root)

    @property
    def newest(self) -> int:
        """Give the time of the newest entry whose shared body was presented, in Unix milliseconds."""
        return max((entry.shared.get("time", 0) for entry in self.entries), default=0)

    def _read_tree(self, size: int, root: bytes) -> None:
        for number in range(-(-size // TILE_WIDTH)):
            width = min(TILE_WIDTH, size - number * TILE_WIDTH)
            data = read_file(self.folder / tile_path(None, number, width), 17 << 20)
            require(data is not None, f"entry bundle {number} is missing")
            for entry in read_bundle(data or b"", width):
                self.leaves.append(leaf_hash(entry))
                with self.report.expect(Code.ENTRY, self.origin, self.first + len(self.leaves) - 1):
                    self._read_entry(entry)
        require(root_of(self.leaves) == root, "the entries have another root than the checkpoint states")
        level, hashes = 0, self.leaves
        while hashes:
            tiles = [hashes[i : i + TILE_WIDTH] for i in range(0, len(hashes), TILE_WIDTH)]
            for number, tile in enumerate(tiles):
                served = read_file(self.folder / tile_path(level, number, len(tile)))
                require(served in (None, b"".join(tile)), f"tile {level}/{number} is not the one of the entries")
            level, hashes = level + 1, [root_of(tile) for tile in tiles if len(tile) == TILE_WIDTH]

    def _read_entry(self, data: bytes) -> None:
        label, number, kind, *items = split_pae(data)
        if len(self.leaves) == 1 and kind == b"CONTINUES":
            self.first = int.from_bytes(number, "big")
        index = self.first + len(self.leaves) - 1
        names = [name.decode() for name in items[1::2]]
        self.parties = self.parties or names
        entry = Entry(index, kind.decode(), self.leaves[-1])
        require(label == b"comity/v1/audit-entry" and number == index.to_bytes(8, "big"), "an entry has another number")
        require(entry.kind in TABLE[self.kind], f"{entry.kind} is no event of this log")
        good = names == sorted(set(names)) == self.parties and all(re.fullmatch("[A-Z]{3}", name) for name in names)
        good = good and {len(one) for one in items[::2]} == {48} and bool(names) == (self.kind == "agreement")
        require(good, "an entry's parts are not those of the log's parties")
        self.entries.append(entry)
        for part, commitment in zip([SHARED, *names], items[::2], strict=True):
            with self.report.expect(Code.COMMITMENT, self.origin, index):
                stored = read_file(self.folder / f"body/{index}.{part}", (1 << 20) + 32)
                if stored is None:
                    continue
                salt, body = stored[:32], stored[32:]
                same = len(salt) == 32 and digest("audit-body", salt, self.origin, index, part, body) == commitment
                require(same, f"the {part} body is not the one committed to")
                with self.report.expect(Code.BODY, self.origin, index):
                    entry.bodies[part] = read_body(self.kind, entry.kind, part, body)
        if "records" in entry.shared:
            with self.report.expect(Code.RECORDS, self.origin, index):
                self._read_records(entry, entry.shared)

    def _read_records(self, entry: Entry, body: dict[str, Any]) -> None:
        folder, counts = self.folder / f"record/{entry.index}.{SHARED}", self.report.counts
        stored = [read_file(folder / str(slot), 512) for slot in range(min(body["slots"], 256))]
        records = {slot: read("slot", data[32:]) for slot, data in enumerate(stored) if data and len(data) != 48}
        counts.update({"records": len(records), "records not presented": stored.count(None)})
        counts["records redacted"] += len(stored) - stored.count(None) - len(records)
        if None in stored:
            return require(not records, "records were presented without the leaves of the others")
        leaves = [
            leaf384("audit-record", one[:32], one[32:]) if i in records else one for i, one in enumerate(stored) if one
        ]
        require(tree384(leaves).hex() == body["records"], "the slot records are not those the body names")
        duplicates, refusals = dict(body["duplicates"]), dict(body["refusals"])
        for slot, one in records.items():
            outcome = 2 if slot in duplicates else 4 if refusals.get(slot) == 1 else 3 if slot in refusals else 1
            said = (one["slot"], one["outcome"], one["code"])
            require(said == (slot, outcome, refusals.get(slot, 0)), f"the record of slot {slot} contradicts the body")
        entry.records = records
        return None
