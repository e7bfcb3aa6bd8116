"""Where a replay's entries come from: an audit bundle, or the mirror and the broker's evidence (docs/verification.md).

Rules in order:
1. A bundle is replayed as it lies there; a manifest that is not the one of its slot's record is refused.
2. The logs of umbrellas are read first, those of the arrangements under them after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from comity.envelope import limits, tree
from comity.envelope.exported import decode_exported
from comity.envelope.packets import stanza_size
from comity.envelope.profile import ProfileMemo
from comity.envelope.receipts import decode_slot_record
from comity.envelope.segment import Absent, Segment, WholeItem, carried_size, parse_segment, segment_id
from comity.errors import ComityError, MalformedError, VerificationError
from comity.identity.bodies import PartyCard
from comity.identity.cardfile import decode_card_file
from comity.identity.names import agreement_of, is_exercise
from comity.node import agreement_umbrella
from comity.node.bundle import evidence_of
from comity.node.connection import Connection
from comity.node.decision_records import Evidence
from comity.node.entries import SHARED, MirroredEntry
from comity.node.logged_entries import SUBMISSIONS, LoggedEntry
from comity.node.logged_exercise import Played
from comity.node.logged_life import LoggedLife
from comity.node.logged_offices import Offices, folded_offices
from comity.node.logged_texts import Texts
from comity.node.mirror import Mirror
from comity.node.replaying import GAPS, LogReplay, Replayed
from comity.verify.bundle import Log, Report, read_file
from comity.verify.chain import Chain
from comity.verify.records import FormError
from comity_policy.recorded import Gap

# Before a body that is inside its segment stands its length.
_LENGTH: Final = 4
_PROFILES_BYTES: Final = 16 << 20
# By segment id (hex) and slot.
BundleEvidence = dict[tuple[str, int], Evidence]


def bundle_texts(folder: Path) -> Texts:
    """Give the texts of a bundle."""
    return Texts(read_file(path, 1 << 20) or b"" for path in sorted(folder.glob("agreements/*.toml")))


def bundle_logs(folder: Path) -> list[Log]:
    """Read the logs of a bundle; raises VerificationError where one is not what its checkpoint states."""
    report = Report()
    folders = [path.parent for path in sorted(folder.glob("logs/**/checkpoint"))]
    logs = [Log(one, one.relative_to(folder / "logs").as_posix(), report) for one in folders]
    if report.findings:
        first = report.findings[0]
        raise VerificationError(
            f"the bundle is not whole ({first.code.value}: {first.message})", what_to_do=f"comity audit verify {folder}"
        )
    return logs


def of_agreements(logs: Iterable[Log]) -> list[Log]:
    """Give those of logs that are of agreements."""
    return [log for log in logs if log.kind == "agreement"]


def bundle_cards(folder: Path) -> dict[str, PartyCard]:
    """Read the cards of a bundle, by party; raises MalformedError or KeyFault."""
    cards = (decode_card_file(read_file(path) or b"").card for path in sorted(folder.glob("parties/*.json")))
    return {card.party: card for card in cards}


def bundle_evidence(folder: Path) -> BundleEvidence:
    """Read the manifests that lie in a bundle; raises MalformedError for one that does not read."""
    found: BundleEvidence = {}
    profiles = ProfileMemo(_PROFILES_BYTES)
    for path in sorted(folder.glob("envelopes/*")):
        one = decode_exported(read_file(path) or b"", profiles)
        root = tree.root_from_path(one.item.leaf, one.slot, one.leaf_count, one.path)
        if root is None:
            raise MalformedError(f"{path.name}: its path does not fit its slot")
        place = (one.origin_epoch, one.transport_class, one.first_origin_sequence, one.leaf_count)
        found[segment_id(*place, root).hex(), one.slot] = _evidence(one.item)
    return found


def bundle_entries(log: Log, evidence: BundleEvidence, logs: Iterable[Log] = ()) -> Iterator[LoggedEntry]:
    """Give the entries of a log of a bundle, after those of the logs it continues, with the manifests that lie beside it."""
    for entry in Chain(log, logs).entries:
        own = {party: body for party, body in entry.bodies.items() if party != SHARED}
        manifests: dict[int, Evidence] = {}
        if entry.kind in SUBMISSIONS and entry.shared:
            for slot in range(min(entry.shared["slots"], limits.SLOTS)):
                one = evidence.get((entry.shared["segment_id"], slot))
                if one is not None:
                    manifests[slot] = one
                    _check_leaf(entry.index, slot, one.leaf, entry.records.get(slot, {}).get("leaf"))
        yield LoggedEntry(entry.index, entry.kind, entry.shared, own, manifests)


def umbrella_logs(logs: Iterable[Log]) -> list[Log]:
    """Give the logs of a bundle that others of it name as their umbrella's."""
    logs = list(logs)
    changes = (entry for log in logs for entry in log.entries if entry.kind == agreement_umbrella.KIND and entry.shared)
    named = {entry.shared["umbrella_origin"] for entry in changes}
    return [log for log in logs if log.origin in named]


def bundle_life(texts: Texts, log: Log, logs: Iterable[Log]) -> LoggedLife:
    """Give the steps of a log of a bundle; raises VerificationError where they do not follow from one another."""
    life = LoggedLife(texts)
    for entry in bundle_entries(log, {}, logs):
        life.take(entry)
    return life


def bundle_played(texts: Texts, log: Log, logs: Iterable[Log]) -> Played | None:
    """Give the agreement of an exercise's log of a bundle, None for another log; raises VerificationError where it is not there."""
    if not is_exercise(log.origin):
        return None
    every = list(logs)
    real = next((one for one in every if one.origin == agreement_of(log.origin)), None)
    if real is None:
        raise VerificationError("the log of the exercise's agreement is not in the bundle")
    origins = (one.origin for one, _ in Chain(real, every).spans)
    return Played(texts, bundle_entries(real, {}, every), origins)


@dataclass(slots=True)
class BundleReplay:
    """What the replay of a whole bundle came to. `findings` are (origin, log index or None, words).

    `missing` has of each log and thing that was not presented the first entry, and of how many reports it was missing.
    """

    findings: list[tuple[str, int | None, str]] = field(default_factory=list)
    missing: dict[tuple[str, Gap], tuple[int, int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def take(self, origin: str, done: Replayed) -> None:
        """Take what came of an entry."""
        self.counts.update(done.counts())
        self.findings += [(origin, done.log_index, line) for line in done.lines()]
        for gap, count in done.missing().items():
            first, before = self.missing.get((origin, gap), (done.log_index, 0))
            self.missing[origin, gap] = first, before + count

    @property
    def gaps(self) -> list[tuple[str, int, str]]:
        """Give what was not presented, as (origin, first log index, words)."""
        return [
            (
                origin,
                first,
                f"{gap.what.value}: {gap.words} was not presented ({count} report{'s' if count > 1 else ''})",
            )
            for (origin, gap), (first, count) in self.missing.items()
        ]

    @contextmanager
    def reading(self, origin: str) -> Iterator[None]:
        """Turn what cannot be read in a log into a finding of it."""
        try:
            yield
        except (ComityError, FormError) as error:
            words = error.message if isinstance(error, ComityError) else str(error)
            self.findings.append((origin, None, words))

    def verdict(self, before: str) -> str:
        """Give the verdict over a bundle whose verification by itself came to `before`."""
        if self.findings:
            return "FAIL"
        return "PASS_WITH_GAPS" if before == "PASS" and any(self.counts[one] for one in GAPS) else before


def replay_bundle(folder: Path, logs: Iterable[Log]) -> BundleReplay:
    """Replay the agreements' logs of a bundle that was read already; what cannot be read is a finding too."""
    every = list(logs)
    found, named = BundleReplay(), of_agreements(every)
    cards: dict[str, PartyCard] = {}
    umbrellas: dict[str, LoggedLife] = {}
    evidence: BundleEvidence = {}
    with found.reading(named[0].origin if named else ""):
        evidence, cards = bundle_evidence(folder), bundle_cards(folder)
    for log in umbrella_logs(named):
        with found.reading(log.origin):
            umbrellas[log.origin] = bundle_life(bundle_texts(folder), log, every)
    for log in named:
        offices = folded_offices(cards, every, log)
        with found.reading(log.origin):
            played = bundle_played(bundle_texts(folder), log, every)
            replaying = LogReplay(bundle_texts(folder), umbrellas=umbrellas, offices=offices, played=played)
            for entry in bundle_entries(log, evidence, every):
                done = replaying.take(entry)
                # What a log continues is told where it stands.
                if done is not None and done.log_index >= log.first:
                    found.take(log.origin, done)
    return found


# --- from the mirror --------------------------------------------------------------------------------------------------


def mirror_played(texts: Texts, mirror: Mirror, log_name: str) -> Played | None:
    """Give the agreement of an exercise's log as a mirror verified it, None for another log."""
    pin = mirror.pin(agreement_of(log_name))
    if not is_exercise(log_name) or pin is None:
        return None
    return Played(texts, (_logged(entry, {}) for entry in _mirrored(mirror, agreement_of(log_name))), pin.origins)


async def mirror_entries(connection: Connection, mirror: Mirror, agreement_id: str) -> AsyncIterator[LoggedEntry]:
    """Give the entries of an agreement's or exercise's log as a mirror verified them, with the manifests that the broker hands out."""
    evidence = evidence_of(connection, agreement_id)
    ahead = await anext(evidence, None)
    profiles = ProfileMemo(_PROFILES_BYTES)
    for entry in _mirrored(mirror, agreement_id):
        while ahead is not None and ahead.log_index < entry.log_index:
            ahead = await anext(evidence, None)
        manifests: dict[int, Evidence] = {}
        if ahead is not None and ahead.log_index == entry.log_index and entry.kind in SUBMISSIONS:
            manifests = _manifests(parse_segment(ahead.segment, profiles))
            for slot, (_, record) in enumerate(entry.parts[SHARED].records):
                if slot in manifests:
                    _check_leaf(entry.log_index, slot, manifests[slot].leaf, decode_slot_record(record).leaf)
        yield _logged(entry, manifests)


def mirror_lives(mirror: Mirror, agreement_id: str) -> dict[str, LoggedLife]:
    """Give the steps of an arrangement's umbrella as a mirror verified them, by the origin of its log; empty where there is none."""
    under = mirror.agreement(agreement_of(agreement_id)).document.under
    pin = None if under is None else mirror.pin(under.agreement)
    if under is None or pin is None:
        return {}
    life = LoggedLife(Texts(mirror.agreement(under.agreement).texts.values()))
    for entry in _mirrored(mirror, under.agreement):
        life.take(_logged(entry, {}))
    return dict.fromkeys(pin.origins, life)


def mirror_offices(mirror: Mirror) -> Offices:
    """Give who was in office by the key log that a mirror folded."""
    return Offices(mirror.directory, mirror.key_log_least_at)


def _mirrored(mirror: Mirror, agreement_id: str) -> Iterator[MirroredEntry]:
    first = 0
    while page := mirror.entries(agreement_id, first):
        yield from page
        first += len(page)


def _logged(entry: MirroredEntry, manifests: Mapping[int, Evidence]) -> LoggedEntry:
    own = {party: entry.own(party) for party in entry.parts if party != SHARED}
    return LoggedEntry(entry.log_index, entry.kind, entry.shared(), own, manifests)


def _manifests(segment: Segment) -> dict[int, Evidence]:
    return {slot: _evidence(item) for slot, item in enumerate(segment.items) if isinstance(item, WholeItem)}


def _evidence(item: WholeItem) -> Evidence:
    return Evidence(item.leaf, item.core.profile, item.core.times, _published_size(item))


def _published_size(item: WholeItem) -> int:
    """Give the bytes that an item took when it was published; of bodies that are withheld its manifest says how long they were."""
    stanzas = zip(item.stanzas, (stanza_size(len(row.indices)) for row in item.manifest.rows), strict=False)
    ciphertexts = zip(item.ciphertexts, (one.length for one in item.manifest.portions), strict=False)
    withheld = (_LENGTH + size for body, size in (*stanzas, *ciphertexts) if body is Absent.WITHHELD)
    return carried_size(item) + sum(withheld)


def _check_leaf(log_index: int, slot: int, leaf: bytes, recorded: bytes | None) -> None:
    if recorded is not None and recorded != leaf:
        raise VerificationError(f"entry {log_index}: the manifest of slot {slot} is not the one its record names")
