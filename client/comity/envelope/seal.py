"""Sealing: reports become one segment, with keys only for the recipients given (design 03, "Seal").

In order, for a segment: what its reports must share is compared; content keys, nonces and fresh KEKs are drawn, each in
a draw of its own, now and never ahead; every portion is padded and encrypted under a content key of its own, bound to
core and place; every recipient gets a stanza, the sealer's own party always one with all portions; digests go into the
manifest, manifests into the tree. Signing is apart (`evidence.sign_batch`), so that a worker thread does it for many
segments at once. An envelope is sealed once; a retry sends the stored bytes again.

Which recipients may have which portions was decided before: here keys are made for those named and for nobody else.
A KEK serves one (agreement, recipient KEM key), lives in memory only, 10 minutes or 4,096 reports, then a fresh one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from comity.envelope import chunked, limits, packets, padding, tree
from comity.envelope.core import Core, core_hash, encode_core
from comity.envelope.manifest import ManifestForm
from comity.envelope.manifest import leaf as manifest_leaf
from comity.envelope.packets import KeyPacket
from comity.envelope.profile import encode_profile, transport_class
from comity.envelope.segment import Absent, Body, SegmentHead, encode_segment, encode_whole_item, segment_id
from comity.errors import UsageError
from comity.light import light
from comity.suites import RandomBytes
from comity_policy.facts import Profile

_PROFILES_KEPT: Final = 64
_PLANS_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Recipient:
    """A KEM key that may get portions, as the directory says: `public` is the key, `fingerprint` its 48 bytes."""

    party: str
    suite: int
    public: bytes
    fingerprint: bytes


@light
class PortionInput:
    """A portion in memory: canonical header bytes (`padding.encode_header`) and content."""

    encoded_header: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class UploadedPortion:
    """A portion whose ciphertext is uploaded beside the segment; `uploads.UploadSealer` makes one."""

    content_key: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    length: int


@light
class SealInput:
    """One report to seal: its core, its portions in the profile's order, and who gets which of them (ascending)."""

    core: Core
    portions: tuple[PortionInput | UploadedPortion, ...]
    recipients: tuple[tuple[Recipient, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class SealedSegment:
    """A sealed segment. `packets` are all that its rows name, `new_packets` those of them nobody can have yet."""

    data: bytes
    segment_id: bytes
    leaves: tuple[bytes, ...]
    packets: tuple[KeyPacket, ...]
    new_packets: tuple[KeyPacket, ...]


@dataclass(slots=True, eq=False)
class Kek:
    """A key-encryption key in use, with the packet that brings it; `announced` says that a segment named the packet before."""

    aead: AESGCM = field(repr=False)
    packet: KeyPacket
    born: int
    reports: int = 0
    announced: bool = False


@light
class SealedReport:
    """A sealed report that is in no segment yet: its core, its leaf, and the bytes of its item."""

    core: Core
    leaf: bytes
    item: bytes
    keks: tuple[Kek, ...]


@dataclass(slots=True)
class _Plan:
    """Who gets which portions, ourselves among them, in a manifest's order; reports of a run share it with its `recipients`.

    `checked` says that these recipients may be sealed for.
    """

    recipients: tuple[tuple[Recipient, tuple[int, ...]], ...]
    rows: tuple[tuple[Recipient, tuple[int, ...]], ...]
    portions: int
    checked: bool = False
    _form: ManifestForm | None = None

    def form_of(self, keks: Sequence[Kek]) -> ManifestForm:
        """Give how their manifests are written under these keys, a row's each."""
        form, packet_ids = self._form, tuple([kek.packet.packet_id for kek in keks])
        if form is None or form.packet_ids != packet_ids:
            named = zip(self.rows, packet_ids, strict=True)
            rows = [(one.party, one.fingerprint, packet_id, indices) for (one, indices), packet_id in named]
            form = self._form = ManifestForm(rows, self.portions)
        return form


class Sealer:
    """Seals for one node and key set. Not for several threads at once.

    `now_ms` is a clock for the life of KEKs only; `random_bytes` an `os.urandom`. Where content is to be the same in
    vectors, note that Cobblestone and HPKE draw their own randomness.
    """

    def __init__(
        self,
        own: Recipient,
        node: str,
        key_set: bytes,
        *,
        now_ms: Callable[[], int],
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        self._own = own
        self._node = node
        self._key_set = key_set
        self._now_ms = now_ms
        self._random_bytes = random_bytes
        self._keks: dict[tuple[str, bytes], Kek] = {}
        self._profiles: dict[int, tuple[Profile, bytes]] = {}
        self._plans: dict[tuple[int, int], _Plan] = {}
        self._sealable: Profile | None = None

    def seal_segment(self, reports: Sequence[SealInput]) -> SealedSegment:
        """Seal 1 to 256 reports of one lane, agreement text, addressee set, precedence and exercise flag.

        Raises UsageError where they do not belong together or a recipient is unfit, MalformedError over a limit.
        """
        self._check_together([report.core for report in reports])
        for report in reports:
            self._check_recipients(report)
        draws = self._draw(reports)
        return self._closed([self._seal_report(report, *draws) for report in reports])

    def seal(self, report: SealInput) -> SealedReport:
        """Seal one report, for `close` to put into a segment; raises UsageError, MalformedError."""
        profile = report.core.profile
        if profile is not self._sealable:
            self._check_profile(profile, profile)
            self._sealable = profile
        self._check_recipients(report)
        return self._seal_report(report, *self._draw([report]))

    def close(self, reports: Sequence[SealedReport]) -> SealedSegment:
        """Put sealed reports into a segment, as `seal_segment` does; raises UsageError, MalformedError."""
        self._check_together([report.core for report in reports])
        return self._closed(reports)

    def _draw(self, reports: Sequence[SealInput]) -> tuple[Iterator[bytes], Iterator[bytes]]:
        """Draw the content keys of all portions, and the nonces of all stanzas."""
        keys = self._random_bytes(limits.CEK * sum([len(report.portions) for report in reports]))
        nonces = self._random_bytes(limits.NONCE * sum([len(report.recipients) + 1 for report in reports]))
        return _pieces(keys, limits.CEK), _pieces(nonces, limits.NONCE)

    def _closed(self, reports: Sequence[SealedReport]) -> SealedSegment:
        first, leaves = reports[0].core, tuple([report.leaf for report in reports])
        head = SegmentHead(
            first.profile.agreement_id, first.origin_epoch, transport_class(first.profile), first.origin_sequence
        )
        data = encode_segment(head, [report.item for report in reports])
        named = {kek.packet.packet_id: kek for report in reports for kek in report.keks}
        keks = [named[key] for key in sorted(named)]
        new = tuple(kek.packet for kek in keks if not kek.announced)
        for kek in keks:
            # Only now: a segment that failed half way announced nothing.
            kek.announced = True
        root = tree.root(leaves)
        return SealedSegment(
            data=data,
            segment_id=segment_id(first.origin_epoch, head.transport_class, first.origin_sequence, len(leaves), root),
            leaves=leaves,
            packets=tuple(kek.packet for kek in keks),
            new_packets=new,
        )

    def forget(self) -> None:
        """Drop every KEK, so that the next report starts fresh ones (a recipient's key was revoked, or a drain)."""
        self._keks.clear()

    def _seal_report(
        self,
        report: SealInput,
        content_keys: Iterator[bytes],
        nonces: Iterator[bytes],
    ) -> SealedReport:
        core = core_hash(core_bytes := encode_core(report.core, self._encoded(report.core.profile)))
        keys: list[bytes] = []
        digests: list[tuple[bytes, int]] = []
        ciphertexts: list[Body] = []
        for index, portion in enumerate(report.portions):
            key = next(content_keys)
            if isinstance(portion, UploadedPortion):
                keys.append(portion.content_key)
                digests.append((portion.digest, portion.length))
                ciphertexts.append(Absent.UPLOADED)
                continue
            plaintext = padding.encode_portion(portion.encoded_header, portion.content)
            ciphertext = chunked.seal(key, chunked.portion_context(core, index), plaintext)
            keys.append(key)
            digests.append((hashlib.sha384(ciphertext).digest(), len(ciphertext)))
            ciphertexts.append(ciphertext)
        plan = self._plan(report)
        stanzas: list[Body] = []
        stanza_digests: list[bytes] = []
        keks: list[Kek] = []
        for recipient, indices in plan.rows:
            kek = self._kek(report.core.profile, recipient)
            packet_id = kek.packet.packet_id
            context = packets.stanza_context(core, packet_id, recipient.party, recipient.fingerprint, indices)
            stanza = packets.seal_stanza(kek.aead, next(nonces), context, [(index, keys[index]) for index in indices])
            stanzas.append(stanza)
            stanza_digests.append(hashlib.sha384(stanza).digest())
            keks.append(kek)
        manifest_bytes = plan.form_of(keks).encode(core_bytes, digests, stanza_digests)
        item = encode_whole_item(manifest_bytes, stanzas, ciphertexts)
        return SealedReport(report.core, manifest_leaf(manifest_bytes), item, tuple(keks))

    def _plan(self, report: SealInput) -> _Plan:
        # Kept by identity, as profiles are.
        key = (id(report.recipients), len(report.portions))
        if (plan := self._plans.get(key)) is None:
            if len(self._plans) >= _PLANS_KEPT:
                self._plans.clear()
            rows = [*report.recipients, (self._own, tuple(range(len(report.portions))))]
            rows.sort(key=lambda entry: (entry[0].party.encode(), entry[0].fingerprint))
            plan = self._plans[key] = _Plan(report.recipients, tuple(rows), len(report.portions))
        return plan

    def _kek(self, profile: Profile, recipient: Recipient) -> Kek:
        slot = (profile.agreement_id, recipient.fingerprint)
        kek = self._keks.get(slot)
        now = self._now_ms()
        # A clock that went back gives an age below zero, which ends the life too.
        if kek is not None and kek.reports < limits.KEK_REPORTS and 0 <= now - kek.born < limits.KEK_LIFE_MS:
            kek.reports += 1
            return kek
        secret = self._random_bytes(limits.KEK)
        info = packets.packet_info(
            suite=profile.suite,
            agreement_id=profile.agreement_id,
            sealer_party=self._own.party,
            sealer_key_set=self._key_set,
            recipient_party=recipient.party,
            recipient_fingerprint=recipient.fingerprint,
        )
        data = packets.seal_packet(recipient.suite, recipient.public, info, secret)
        packet = KeyPacket(packets.packet_id(data), data, recipient.party, recipient.fingerprint)
        kek = self._keks[slot] = Kek(AESGCM(secret), packet, now, 1)
        return kek

    def _encoded(self, profile: Profile) -> bytes:
        # Kept by identity, with the object itself so that its identity stays taken; hashing a profile costs more.
        if (kept := self._profiles.get(id(profile))) is None:
            if len(self._profiles) >= _PROFILES_KEPT:
                self._profiles.clear()
            kept = self._profiles[id(profile)] = (profile, encode_profile(profile))
        return kept[1]

    def _check_together(self, cores: Sequence[Core]) -> None:
        if not 1 <= len(cores) <= limits.SLOTS:
            raise UsageError(f"a segment holds 1 to {limits.SLOTS} reports, not {len(cores)}")
        first = cores[0]
        for slot, core in enumerate(cores):
            if core.origin_epoch != first.origin_epoch or core.origin_sequence != first.origin_sequence + slot:
                raise UsageError("reports of a segment are a dense run of one lane's origin_sequence")
            if core.profile is not first.profile or slot == 0:
                self._check_profile(first.profile, core.profile)

    def _check_profile(self, first: Profile, profile: Profile) -> None:
        originator = (profile.originator.party, profile.originator.node)
        if originator != (self._own.party, self._node) or profile.key_set != self._key_set:
            raise UsageError("a sealer seals for its own node and key set only")
        if profile.suite != self._own.suite:
            raise UsageError("the profile names another suite than the sealer's keys have")
        if _shared(first) != _shared(profile):
            raise UsageError(
                "reports of a segment share agreement text, addressees, precedence, exercise flag and class"
            )

    def _check_recipients(self, report: SealInput) -> None:
        count = len(report.portions)
        if count != len(report.core.profile.portions):
            raise UsageError("a report has as many portions as its profile marks")
        plan = self._plan(report)
        if plan.checked:
            # Of its suite too: every profile has the sealer's own.
            return
        fingerprints = {self._own.fingerprint}
        for recipient, indices in report.recipients:
            if recipient.suite != report.core.profile.suite:
                raise UsageError(f"the key of a node of {recipient.party} is of another suite than the report")
            if recipient.party == self._own.party:
                raise UsageError("the sealer's own party gets its one stanza by itself")
            if recipient.fingerprint in fingerprints:
                raise UsageError("one KEM key is named twice for one report")
            fingerprints.add(recipient.fingerprint)
            ascending = all(indices[i] < indices[i + 1] for i in range(len(indices) - 1))
            if not indices or not ascending or not 0 <= indices[0] <= indices[-1] < count:
                raise UsageError("a recipient gets at least one portion, by ascending index")
        plan.checked = True


def _shared(profile: Profile) -> tuple[object, ...]:
    return (
        profile.agreement_id,
        profile.agreement_digest,
        frozenset(profile.addressees),
        profile.precedence,
        profile.exercise,
        transport_class(profile),
    )


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))
