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

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from comity.envelope import limits, packets, tree
from comity.envelope.core import Core
from comity.envelope.packets import KeyPacket
from comity.envelope.profile import encode_profile, transport_class
from comity.envelope.run_form import PortionInput, RunForm, UploadedPortion
from comity.envelope.segment import SegmentHead, encode_segment, segment_id
from comity.errors import UsageError
from comity.light import light
from comity.suites import RandomBytes
from comity_policy.facts import Profile

_PLANS_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Recipient:
    """A KEM key that may get portions, as the directory says: `public` is the key, `fingerprint` its 48 bytes."""

    party: str
    suite: int
    public: bytes
    fingerprint: bytes


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
    """Who gets which portions, ourselves among them, in a manifest's order: one for the reports of a run, by `profile` and `recipients`.

    `form` is how such a report is written under `keks`, a row's each; `aeads` are theirs.
    """

    profile: Profile
    recipients: tuple[tuple[Recipient, tuple[int, ...]], ...]
    rows: tuple[tuple[Recipient, tuple[int, ...]], ...]
    portions: int
    encoded_profile: bytes
    form: RunForm | None = None
    keks: tuple[Kek, ...] = ()
    aeads: tuple[AESGCM, ...] = ()

    def written_under(self, core: Core, keks: tuple[Kek, ...]) -> RunForm:
        """Give how a report is written under these keys."""
        named = zip(self.rows, keks, strict=True)
        rows = [(one.party, one.fingerprint, kek.packet.packet_id, indices) for (one, indices), kek in named]
        form = self.form = RunForm(core, self.encoded_profile, rows, self.portions)
        self.keks, self.aeads = keks, tuple([kek.aead for kek in keks])
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
        self._plans: dict[tuple[int, int, int], _Plan] = {}

    def seal_segment(self, reports: Sequence[SealInput]) -> SealedSegment:
        """Seal 1 to 256 reports of one lane, agreement text, addressee set, precedence and exercise flag.

        Raises UsageError where they do not belong together or a recipient is unfit, MalformedError over a limit.
        """
        self._check_together([report.core for report in reports])
        plans = [self._plan(report) for report in reports]
        keys = self._random_bytes(limits.CEK * sum([plan.portions for plan in plans]))
        nonces = self._random_bytes(limits.NONCE * sum([len(plan.rows) for plan in plans]))
        sealed: list[SealedReport] = []
        for report, plan in zip(reports, plans, strict=True):
            own, keys = keys[: limits.CEK * plan.portions], keys[limits.CEK * plan.portions :]
            places, nonces = nonces[: limits.NONCE * len(plan.rows)], nonces[limits.NONCE * len(plan.rows) :]
            sealed.append(self._seal_report(report, plan, own, places))
        return self._closed(sealed)

    def seal(self, report: SealInput) -> SealedReport:
        """Seal one report, for `close` to put into a segment; raises UsageError, MalformedError."""
        plan = self._plan(report)
        keys = self._random_bytes(limits.CEK * plan.portions)
        return self._seal_report(report, plan, keys, self._random_bytes(limits.NONCE * len(plan.rows)))

    def close(self, reports: Sequence[SealedReport]) -> SealedSegment:
        """Put sealed reports into a segment, as `seal_segment` does; raises UsageError, MalformedError."""
        self._check_together([report.core for report in reports])
        return self._closed(reports)

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
        self._plans.clear()

    def _seal_report(self, report: SealInput, plan: _Plan, keys: bytes, nonces: bytes) -> SealedReport:
        core, keks = report.core, self._keks_of(plan)
        form = plan.form
        if form is None or keks is not plan.keks or not form.fits(core):
            form = plan.written_under(core, keks)
        aeads = plan.aeads
        leaf, item = form.seal(core, report.portions, _pieces(keys, limits.CEK), _pieces(nonces, limits.NONCE), aeads)
        return SealedReport(core, leaf, item, keks)

    def _plan(self, report: SealInput) -> _Plan:
        """Give who gets what, checked; raises UsageError."""
        # Kept by identity, with the objects themselves so that their identities stay taken; hashing a profile costs more.
        profile = report.core.profile
        key = (id(profile), id(report.recipients), len(report.portions))
        if (plan := self._plans.get(key)) is None:
            self._check_profile(profile, profile)
            self._check_recipients(report)
            if len(self._plans) >= _PLANS_KEPT:
                self._plans.clear()
            rows = [*report.recipients, (self._own, tuple(range(len(report.portions))))]
            rows.sort(key=lambda entry: (entry[0].party.encode(), entry[0].fingerprint))
            encoded = encode_profile(profile)
            plan = self._plans[key] = _Plan(profile, report.recipients, tuple(rows), len(report.portions), encoded)
        return plan

    def _keks_of(self, plan: _Plan) -> tuple[Kek, ...]:
        """Give the keys of a plan's rows, each for one report more: those of the report before, while they serve."""
        now, keks = self._now_ms(), plan.keks
        for kek in keks:
            # A clock that went back gives an age below zero, which ends its life too.
            if kek.reports >= limits.KEK_REPORTS or not 0 <= now - kek.born < limits.KEK_LIFE_MS:
                keks = ()
                break
        if not keks:
            keks = tuple([self._kek(plan.profile, recipient, now) for recipient, _ in plan.rows])
        for kek in keks:
            kek.reports += 1
        return keks

    def _kek(self, profile: Profile, recipient: Recipient, now: int) -> Kek:
        slot = (profile.agreement_id, recipient.fingerprint)
        kek = self._keks.get(slot)
        if kek is not None and kek.reports < limits.KEK_REPORTS and 0 <= now - kek.born < limits.KEK_LIFE_MS:
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
        kek = self._keks[slot] = Kek(AESGCM(secret), packet, now)
        return kek

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


def _shared(profile: Profile) -> tuple[object, ...]:
    return (
        profile.agreement_id,
        profile.agreement_digest,
        frozenset(profile.addressees),
        profile.precedence,
        profile.exercise,
        transport_class(profile),
    )


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]
