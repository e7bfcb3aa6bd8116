"""Replaying a log: its decisions taken again from what it holds, from a bundle or from the mirror and the evidence (design 02).

Rules in order:
1. A bundle is replayed as it lies there. That its entries, bodies and manifests are what was signed says `comity.verify`; a manifest
   that is not the one of its slot's record is refused here as well.
2. The state that each decision should have been made under is folded from the log's own steps before its entry, at the time of the
   decision, and compared with the state that was recorded.
3. Where an entry holds decisions for several parties, those of the originator's party are read: they are for every recipient.
4. A report whose profile nobody presented is counted as not replayed. A recipient's party has those of the reports that its nodes
   were handed, and of no other: what it cannot replay is counted apart, and is no gap.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from comity.envelope import limits, tree
from comity.envelope.exported import decode_exported
from comity.envelope.receipts import decode_slot_record
from comity.envelope.segment import Segment, WholeItem, parse_segment, segment_id
from comity.envelope.vocabularies import vocabularies_digest
from comity.errors import ComityError, MalformedError, VerificationError
from comity.node.bundle import evidence_of
from comity.node.connection import Connection
from comity.node.decision_records import Evidence, RecordReader
from comity.node.entries import SHARED
from comity.node.mirror import Mirror
from comity.node.negotiation import load_document
from comity.pae import pae
from comity.statement import from_json
from comity.texts import agreement_digest
from comity.verify.bundle import Log, Report, read_file
from comity.verify.records import FormError
from comity_policy.caveat import Caveat, load_caveat
from comity_policy.document import Document, DocumentError
from comity_policy.lifecycle import State, Step, StepError, TransitionError, fold
from comity_policy.recorded import Folded, Held, Recorded
from comity_policy.replay import Replayer, Second, Told, Verdict
from comity_policy.vocabulary import Vocabularies, bundled
from comity_policy.what_if import Change, WhatIf

# By segment id (hex) and slot.
BundleEvidence = dict[tuple[str, int], Evidence]

SUBMISSIONS: Final = frozenset({"SUBMIT_ACCEPTED", "SUBMIT_REJECTED"})
_CAVEAT_ADDED: Final = "AGREEMENT_CAVEAT_ADDED"


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """One entry as it is replayed: its shared body, the own bodies that are here by party, and by slot what proves a report."""

    log_index: int
    kind: str
    shared: Mapping[str, Any]
    own: Mapping[str, Mapping[str, Any]]
    manifests: Mapping[int, Evidence] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of one entry's decisions.

    `told` has one for each report that was decided again, `unknown` the slots that could not be, `kept` those that could not be by a
    recipient's party, which was not handed them. `changes` are what another text would have changed, where one was asked about.
    """

    log_index: int
    told: tuple[Told, ...]
    unknown: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    changes: tuple[Change, ...] = ()

    def counts(self) -> Counter[str]:
        """Give how many reports came out how."""
        found = Counter({"decisions identical": sum(one.verdict is Verdict.IDENTICAL for one in self.told)})
        found["decisions different"] = sum(one.verdict is Verdict.DIFFERENT for one in self.told)
        found["decisions resting on a caveat not shown"] = sum(one.withheld for one in self.told)
        found["decisions not replayed"] = len(self.unknown)
        found["decisions of reports that this party was not handed"] = len(self.kept)
        return found

    def lines(self) -> Iterator[str]:
        """Tell what differs, the same difference of several reports once."""
        slots: dict[tuple[str, str], list[int]] = {}
        for one in self.told:
            for difference in one.differences:
                slots.setdefault((difference.what.value, difference.words), []).append(one.slot)
        for (what, words), named in slots.items():
            where = ", ".join(map(str, named[:8])) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
            yield f"entry {self.log_index}, slot {where}: {what}: {words}"


class Texts:
    """What is held to decide with: texts of agreements by their digest, and the caveats that own bodies show."""

    def __init__(self, texts: Iterable[bytes], vocabularies: Vocabularies | None = None) -> None:
        self.documents: dict[bytes, Document] = {}
        self._vocabularies = vocabularies or bundled()
        self._caveats: dict[bytes, Caveat] = {}
        for text in texts:
            try:
                self.documents[agreement_digest(text)] = load_document(text)
            except MalformedError:
                # A text that does not load decides nothing: what names it is then told to have no text.
                continue

    def take(self, entry: LoggedEntry) -> None:
        """Take the caveat that an entry's own body shows."""
        if entry.kind != _CAVEAT_ADDED:
            return
        for own in entry.own.values():
            if own.get("caveat"):
                text, salt = bytes.fromhex(own["caveat"]), bytes.fromhex(own["salt"])
                self.add_caveat(text, salt)

    def add_caveat(self, text: bytes, salt: bytes) -> None:
        """Hold a caveat on one of the texts, under SHA-384(PAE(caveat, salt, text)); raises VerificationError for another."""
        for document in self.documents.values():
            try:
                self._caveats[hashlib.sha384(pae("caveat", salt, text)).digest()] = load_caveat(text, document)
            except DocumentError:
                continue
            return
        raise VerificationError("a caveat in the log is on none of the texts that were presented")

    def held(self) -> Held:
        """Give what is held, for a replayer."""
        return Held(
            self.documents, self._vocabularies, vocabularies_digest(self._vocabularies.digests), dict(self._caveats)
        )


class LogReplay:
    """Replays the entries of one agreement's log, which come in their order."""

    def __init__(self, texts: Texts, *, draft: Document | None = None, second: Second = Second.FIRST) -> None:
        self._texts = texts
        self._reader = RecordReader()
        self._second = second
        self._draft = draft
        self._replayer = Replayer(texts.held(), second)
        self._what_if = None if draft is None else WhatIf(texts.held(), draft)
        self._steps: list[tuple[int, Step]] = []
        self._opening = b""
        self._folded: dict[int, State] = {}

    def take(self, entry: LoggedEntry) -> Replayed | None:
        """Take the next entry; give what came of its decisions, None where it has none. Raises VerificationError."""
        try:
            return self._take(entry)
        except VerificationError as error:
            raise VerificationError(
                f"entry {entry.log_index}: {error.message}", what_to_do=error.what_to_do, code=error.code
            ) from error

    def _take(self, entry: LoggedEntry) -> Replayed | None:
        if entry.kind == _CAVEAT_ADDED:
            self._texts.take(entry)
            self._replayer = Replayer(self._texts.held(), self._second)
            self._what_if = None if self._draft is None else WhatIf(self._texts.held(), self._draft)
        self._take_steps(entry)
        if entry.kind not in SUBMISSIONS or not entry.shared:
            return None
        return self._replayed(entry)

    def _take_steps(self, entry: LoggedEntry) -> None:
        if entry.log_index == 0 and entry.shared:
            self._opening = bytes.fromhex(entry.shared["agreement_digest"])
        if entry.kind != "LOG_OPENED" and not entry.kind.startswith(("AGREEMENT_", "DISPUTE_")):
            return
        said = entry.shared.get("statements") or [entry.shared[key] for key in ("statement",) if key in entry.shared]
        for one in said:
            try:
                statement = from_json(one)
                step = Step.from_body(
                    statement.fields,
                    digest=statement.digest.hex(),
                    log_index=entry.log_index,
                    at_ms=entry.shared["time"],
                )
            except (StepError, ComityError) as error:
                raise VerificationError(f"its step does not read: {error}") from error
            self._steps.append((entry.log_index, step))

    def _state(self, log_index: int, now_ms: int) -> Folded:
        """Give what the steps before an entry amount to at a time."""
        count = bisect_left(self._steps, log_index, key=lambda one: one[0])
        if count not in self._folded:
            texts = {digest.hex(): document for digest, document in self._texts.documents.items()}
            document = self._texts.documents[self._opening]
            steps = tuple(step for _, step in self._steps[:count])
            try:
                self._folded[count] = fold(document, self._opening, steps, now_ms, texts)
            except TransitionError as error:
                raise VerificationError(f"the steps before it do not follow from one another: {error}") from error
        state = self._folded[count].at(now_ms)
        caveats = frozenset((*name, bytes.fromhex(digest)) for name, digest in state.caveats.items())
        return Folded(state.digest, state.policy(), caveats)

    def _replayed(self, entry: LoggedEntry) -> Replayed:
        party = entry.shared["actor"]["party"]
        readers = [party] if party in entry.own else sorted(entry.own)
        folded = None
        if self._opening in self._texts.documents:

            def folded(now_ms: int) -> Folded:
                return self._state(entry.log_index, now_ms)

        told: list[Told] = []
        unknown: list[int] = []
        changes: list[Change] = []
        under = self._reader.under(entry.shared)
        for reader in readers:
            for said in self._reader.decisions(entry.own[reader]):
                recorded, missing = self._reader.decision(under, said, entry.manifests.get, folded)
                unknown += missing
                if recorded is not None:
                    told += self._replayer.replay(recorded)
                    changes += self._changes(recorded)
        lacking, kept = (unknown, ()) if party in entry.own else ((), unknown)
        return Replayed(entry.log_index, tuple(told), tuple(lacking), tuple(kept), tuple(changes))

    def _changes(self, recorded: Recorded) -> Iterator[Change]:
        return iter(()) if self._what_if is None else self._what_if.changes(recorded)


# --- from a bundle ----------------------------------------------------------------------------------------------------


def bundle_texts(folder: Path) -> Texts:
    """Give the texts of a bundle."""
    return Texts(read_file(path, 1 << 20) or b"" for path in sorted(folder.glob("agreements/*.toml")))


def bundle_logs(folder: Path) -> list[Log]:
    """Read the agreements' logs of a bundle; raises VerificationError where one is not what its checkpoint states."""
    report = Report()
    folders = [path.parent for path in sorted(folder.glob("logs/**/checkpoint"))]
    logs = [Log(one, one.relative_to(folder / "logs").as_posix(), report) for one in folders]
    if report.findings:
        first = report.findings[0]
        raise VerificationError(
            f"the bundle is not whole ({first.code.value}: {first.message})", what_to_do=f"comity audit verify {folder}"
        )
    return [log for log in logs if log.kind == "agreement"]


def bundle_evidence(folder: Path) -> BundleEvidence:
    """Read the manifests that lie in a bundle; raises MalformedError for one that does not read."""
    found: BundleEvidence = {}
    for path in sorted(folder.glob("envelopes/*")):
        one = decode_exported(read_file(path) or b"")
        root = tree.root_from_path(one.item.leaf, one.slot, one.leaf_count, one.path)
        if root is None:
            raise MalformedError(f"{path.name}: its path does not fit its slot")
        place = (one.origin_epoch, one.transport_class, one.first_origin_sequence, one.leaf_count)
        found[segment_id(*place, root).hex(), one.slot] = _evidence(one.item)
    return found


def bundle_entries(log: Log, evidence: BundleEvidence) -> Iterator[LoggedEntry]:
    """Give the entries of a log of a bundle, with the manifests that lie beside it."""
    for entry in log.entries:
        own = {party: body for party, body in entry.bodies.items() if party != SHARED}
        manifests: dict[int, Evidence] = {}
        if entry.kind in SUBMISSIONS and entry.shared:
            for slot in range(min(entry.shared["slots"], limits.SLOTS)):
                one = evidence.get((entry.shared["segment_id"], slot))
                if one is not None:
                    manifests[slot] = one
                    _check_leaf(entry.index, slot, one.leaf, entry.records.get(slot, {}).get("leaf"))
        yield LoggedEntry(entry.index, entry.kind, entry.shared, own, manifests)


@dataclass(slots=True)
class BundleReplay:
    """What the replay of a whole bundle came to. `findings` are (origin, log index or None, words)."""

    findings: list[tuple[str, int | None, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def verdict(self, before: str) -> str:
        """Give the verdict over a bundle whose verification by itself came to `before`."""
        if self.findings:
            return "FAIL"
        return "PASS_WITH_GAPS" if self.counts["decisions not replayed"] and before == "PASS" else before


def replay_bundle(folder: Path, logs: Iterable[Log]) -> BundleReplay:
    """Replay the agreements' logs of a bundle that was read already; what cannot be read is a finding too."""
    found = BundleReplay()
    evidence: BundleEvidence | None = None
    for log in logs:
        if log.kind != "agreement":
            continue
        replaying = LogReplay(bundle_texts(folder))
        try:
            evidence = bundle_evidence(folder) if evidence is None else evidence
            for entry in bundle_entries(log, evidence):
                done = replaying.take(entry)
                if done is not None:
                    found.counts.update(done.counts())
                    found.findings += [(log.origin, done.log_index, line) for line in done.lines()]
        except (ComityError, FormError) as error:
            words = error.message if isinstance(error, ComityError) else str(error)
            found.findings.append((log.origin, None, words))
    return found


# --- from the mirror --------------------------------------------------------------------------------------------------


async def mirror_entries(connection: Connection, mirror: Mirror, agreement_id: str) -> AsyncIterator[LoggedEntry]:
    """Give the entries of an agreement's log as a mirror verified them, with the manifests that the broker hands out."""
    pin = mirror.pin(agreement_id)
    size, first = 0 if pin is None else pin.size, 0
    evidence = evidence_of(connection, agreement_id)
    ahead = await anext(evidence, None)
    while first < size:
        for entry in mirror.entries(agreement_id, first):
            while ahead is not None and ahead.log_index < entry.log_index:
                ahead = await anext(evidence, None)
            manifests: dict[int, Evidence] = {}
            if ahead is not None and ahead.log_index == entry.log_index and entry.kind in SUBMISSIONS:
                manifests = _manifests(parse_segment(ahead.segment))
                for slot, (_, record) in enumerate(entry.parts[SHARED].records):
                    if slot in manifests:
                        _check_leaf(entry.log_index, slot, manifests[slot].leaf, decode_slot_record(record).leaf)
            own = {party: entry.own(party) for party in entry.parts if party != SHARED}
            yield LoggedEntry(entry.log_index, entry.kind, entry.shared(), own, manifests)
            first = entry.log_index + 1


def _manifests(segment: Segment) -> dict[int, Evidence]:
    return {slot: _evidence(item) for slot, item in enumerate(segment.items) if isinstance(item, WholeItem)}


def _evidence(item: WholeItem) -> Evidence:
    return Evidence(item.leaf, item.core.profile, item.core.times)


def _check_leaf(log_index: int, slot: int, leaf: bytes, recorded: bytes | None) -> None:
    if recorded is not None and recorded != leaf:
        raise VerificationError(f"entry {log_index}: the manifest of slot {slot} is not the one its record names")
