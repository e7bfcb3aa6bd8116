"""Opening: a verified segment's slot becomes a report, or an outcome with its precise reason (design 03, "Open").

In order, for a slot: it came whole; everything inline has the digest the manifest gives; approvals verify and suffice; a
row names a KEM key of this node; its stanza is here; its packet is here and opens under an `info` built from the signed
core and the row, never from what the packet says; the stanza opens to exactly the row's keys; every ciphertext of ours is
here and opens whole; header and padding are as the format says. Portions that the row does not give stay visible as
withheld. What fails is never shown; its outcome is the one to acknowledge.

The caller has checked batch signature and equalities (`checks.receive` makes the `VerifiedSegment`), and checks what has
state: key status, agreement and policy at admission and now, replay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from comity.envelope import chunked, limits, packets, padding, reasons
from comity.envelope.checks import OfficerLookup, VerifiedSegment, check_approvals, check_bodies
from comity.envelope.core import Core, core_hash
from comity.envelope.evidence import AckOutcome, Approval
from comity.envelope.manifest import PortionDigest, StanzaRow
from comity.envelope.padding import Header
from comity.envelope.reasons import RejectReason
from comity.envelope.segment import Absent, PrunedItem, WholeItem
from comity.errors import MalformedError, RejectedError
from comity.keys.signer import Decapsulator
from comity.light import light
from comity_policy.facts import Profile

_KEKS_KEPT: Final = 4096

OUTCOMES: Final[dict[RejectReason, AckOutcome]] = {
    RejectReason.PRUNED: AckOutcome.PRUNED,
    RejectReason.STANZA_DIGEST: AckOutcome.INCOMPLETE,
    RejectReason.CIPHERTEXT_DIGEST: AckOutcome.INCOMPLETE,
    RejectReason.STANZA_WITHHELD: AckOutcome.INCOMPLETE,
    RejectReason.CIPHERTEXT_WITHHELD: AckOutcome.INCOMPLETE,
    RejectReason.PACKET_WITHHELD: AckOutcome.INCOMPLETE,
    RejectReason.APPROVALS_MISSING: AckOutcome.INCOMPLETE,
    RejectReason.APPROVAL_OFFICER: AckOutcome.REFUSED,
    RejectReason.APPROVAL_ROLE: AckOutcome.REFUSED,
    RejectReason.APPROVAL_SIGNATURE: AckOutcome.REFUSED,
    RejectReason.NOT_OURS: AckOutcome.REFUSED,
    RejectReason.ROW_PARTY: AckOutcome.REFUSED,
    RejectReason.PACKET_UNREADABLE: AckOutcome.UNREADABLE,
    RejectReason.STANZA_UNREADABLE: AckOutcome.UNREADABLE,
    RejectReason.CIPHERTEXT_UNREADABLE: AckOutcome.UNREADABLE,
    RejectReason.PORTION_MALFORMED: AckOutcome.UNREADABLE,
}


@light
class OpenedPortion:
    """A portion that this node may read, whole."""

    index: int
    header: Header
    content: bytes


@light
class WithheldPortion:
    """A portion that the originator gave this node no key for; its digest shows that it exists."""

    index: int
    digest: bytes
    length: int


@dataclass(frozen=True, slots=True)
class UploadedPortion:
    """A portion of ours whose ciphertext lies beside the segment. Two passes: `check`, then `decrypt`.

    Or one pass, of whoever hashes what is fed to `opening` and hides all of its content until digest and length are right.
    """

    index: int
    digest: bytes
    length: int
    _content_key: bytes = field(repr=False)
    _context: bytes = field(repr=False)

    def check(self, stored: Iterable[bytes]) -> None:
        """Pass one: hash the stored ciphertext against the signed digest and length; raises RejectedError."""
        digest = hashlib.sha384()
        size = 0
        for piece in stored:
            size += len(piece)
            digest.update(piece)
        same = size == self.length and digest.digest() == self.digest
        reasons.require(same, RejectReason.UPLOAD_DIGEST)

    def decrypt(self, stored: Iterable[bytes]) -> UploadOpener:
        """Pass two: decrypt as a stream. Nothing of it may be shown before the stream ended without an error."""
        return UploadOpener(self.opening(), stored)

    def opening(self) -> UploadOpening:
        """Begin to decrypt what comes piece by piece; raises RejectedError for a length that no portion has."""
        return UploadOpening(self._content_key, self._context, self.length)


class UploadOpening:
    """The content of an uploaded portion as its ciphertext comes in. Nothing of it may be shown before `finish` has returned.

    Every call raises RejectedError for what is no portion.
    """

    __slots__ = ("_opener", "_stream")

    def __init__(self, content_key: bytes, context: bytes, length: int) -> None:
        try:
            self._stream = padding.PortionStream(chunked.plaintext_size(length))
        except RejectedError as error:
            raise RejectedError(RejectReason.UPLOAD_UNREADABLE) from error
        self._opener = chunked.StreamOpener(content_key, context)

    @property
    def header(self) -> Header:
        """Give the portion's header, which is there before any content."""
        return self._stream.header

    def feed(self, piece: bytes) -> bytes:
        """Give the content in the next piece of ciphertext."""
        try:
            return self._stream.feed(self._opener.feed(piece))
        except (RejectedError, MalformedError) as error:
            raise RejectedError(RejectReason.UPLOAD_UNREADABLE) from error

    def finish(self) -> bytes:
        """Give the rest of it, and see that it ended as it says."""
        try:
            rest = self._stream.feed(self._opener.finish())
            self._stream.finish()
        except (RejectedError, MalformedError) as error:
            raise RejectedError(RejectReason.UPLOAD_UNREADABLE) from error
        return rest


class UploadOpener:
    """The content of an uploaded portion, piece by piece; `header` is there once iteration began to give content."""

    __slots__ = ("_opening", "_stored")

    def __init__(self, opening: UploadOpening, stored: Iterable[bytes]) -> None:
        self._opening = opening
        self._stored = stored

    @property
    def header(self) -> Header:
        """Give the portion's header."""
        return self._opening.header

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stored:
            if content := self._opening.feed(piece):
                yield content
        if content := self._opening.finish():
            yield content


Portion = OpenedPortion | WithheldPortion | UploadedPortion


@light
class OpenedReport:
    """A report as this node may have it; `approved_by` are the directory identities whose approvals verified."""

    leaf: bytes
    core: Core
    portions: tuple[Portion, ...]
    approvals: tuple[Approval, ...]
    approved_by: frozenset[str]

    @property
    def officer_signed(self) -> bool:
        """Say whether the officer the core names approved it; if not, the officer is "stated by the node"."""
        officer = self.core.profile.originator.officer_fingerprint
        return bool(officer) and any(item.officer_fingerprint == officer for item in self.approvals)


@dataclass(frozen=True, slots=True)
class NotOpened:
    """Why a slot was not opened: the outcome to acknowledge, and the reason for the local operations log."""

    leaf: bytes
    outcome: AckOutcome
    reason: RejectReason


@light
class _Way:
    """By which row the items of one layout open, what stands behind the core's hash in its context, and under which key."""

    layout: object | None
    position: int
    indices: tuple[int, ...]
    tail: bytes
    kek: AESGCM = field(repr=False)


class Opener:
    """Opens for one node, which may hold several KEM keys (a rotation). Not for several threads at once.

    A KEK is remembered by (own key, packet id, info), never by the id alone: a known packet under another sealer's name
    is another thing and does not open.
    """

    def __init__(
        self,
        party: str,
        keys: Mapping[bytes, Decapsulator],
        *,
        capacity: int = _KEKS_KEPT,
        newer: Callable[[], Mapping[bytes, Decapsulator]] | None = None,
    ) -> None:
        self._party = party
        self._keys = dict(keys)
        self._newer = newer
        self._capacity = capacity
        self._keks: dict[tuple[bytes, bytes, bytes], AESGCM] = {}
        self._last_info: tuple[Profile, str, bytes, bytes] | None = None
        self._way: _Way | None = None

    def open_slot(
        self, verified: VerifiedSegment, slot: int, key_packets: Mapping[bytes, bytes], officers: OfficerLookup
    ) -> OpenedReport | NotOpened:
        """Open one slot. `key_packets` are the packets that came, by the ids `packets.packet_id` gives them."""
        item = verified.segment.items[slot]
        if isinstance(item, PrunedItem):
            return NotOpened(item.leaf, OUTCOMES[RejectReason.PRUNED], RejectReason.PRUNED)
        try:
            return self.open_item(item, key_packets, officers)
        except RejectedError as error:
            reason = RejectReason(error.reason)
            return NotOpened(item.leaf, OUTCOMES[reason], reason)

    def open_item(self, item: WholeItem, key_packets: Mapping[bytes, bytes], officers: OfficerLookup) -> OpenedReport:
        """Open a whole item whose signature and equalities hold; raises RejectedError with a RejectReason."""
        check_bodies(item, complete=False)
        approved_by = check_approvals(item, officers)
        return OpenedReport(item.leaf, item.core, self._portions(item, key_packets), item.approvals, approved_by)

    def open_own(self, item: WholeItem, key_packets: Mapping[bytes, bytes]) -> tuple[Portion, ...]:
        """Open the portions of an item that this node sealed and nobody has signed or approved yet; raises RejectedError."""
        check_bodies(item, complete=False)
        return self._portions(item, key_packets)

    def _portions(self, item: WholeItem, key_packets: Mapping[bytes, bytes]) -> tuple[Portion, ...]:
        core = core_hash(item.manifest.core)
        keys = self._content_keys(item, core, key_packets)
        return tuple(
            [
                self._portion(core, index, digest, keys[index], item.ciphertexts[index])
                if index in keys
                else WithheldPortion(index, digest.digest, digest.length)
                for index, digest in enumerate(item.manifest.portions)
            ]
        )

    def forget(self, fingerprint: bytes) -> None:
        """Drop a KEM key and every KEK that came by it (a rotation has ended, or the key is revoked)."""
        self._keys.pop(fingerprint, None)
        self._way = None
        for entry in [entry for entry in self._keks if entry[0] == fingerprint]:
            del self._keks[entry]

    def _row(self, item: WholeItem) -> tuple[int, StanzaRow]:
        self._look_again(item)
        for position, row in enumerate(item.manifest.rows):
            if row.fingerprint in self._keys:
                reasons.require(row.party == self._party, RejectReason.ROW_PARTY)
                return position, row
        raise RejectedError(RejectReason.NOT_OURS)

    def _look_again(self, item: WholeItem) -> None:
        """Ask for keys that were made since, where none of ours is among the rows: a rotation happens while we run."""
        if self._newer is not None and not any(row.fingerprint in self._keys for row in item.manifest.rows):
            self._keys |= self._newer()

    def _content_keys(self, item: WholeItem, core: bytes, key_packets: Mapping[bytes, bytes]) -> dict[int, bytes]:
        way, layout = self._way, item.manifest.layout
        if way is None or layout is None or way.layout is not layout:
            way = self._way_of(item, key_packets)
        stanza = item.stanzas[way.position]
        if not isinstance(stanza, bytes):
            raise RejectedError(RejectReason.STANZA_WITHHELD)
        context = packets.context_start(core) + way.tail
        try:
            return packets.open_stanza(way.kek, stanza, context, way.indices)
        except RejectedError as error:
            raise RejectedError(RejectReason.STANZA_UNREADABLE) from error

    def _way_of(self, item: WholeItem, key_packets: Mapping[bytes, bytes]) -> _Way:
        """Find by which row an item opens, and under which key. The manifests of one layout differ in no row but its digest."""
        position, row = self._row(item)
        if not isinstance(item.stanzas[position], bytes):
            raise RejectedError(RejectReason.STANZA_WITHHELD)
        kek = self._kek(item.core.profile, row, key_packets)
        tail = packets.context_tail(row.packet_id, row.party, row.fingerprint, row.indices)
        way = self._way = _Way(item.manifest.layout, position, row.indices, tail, kek)
        return way

    def _kek(self, profile: Profile, row: StanzaRow, key_packets: Mapping[bytes, bytes]) -> AESGCM:
        info = self._info(profile, row)
        entry = (row.fingerprint, row.packet_id, info)
        kek = self._keks.get(entry)
        if kek is not None:
            return kek
        packet = key_packets.get(row.packet_id)
        if packet is None:
            raise RejectedError(RejectReason.PACKET_WITHHELD)
        try:
            secret = self._keys[row.fingerprint].decapsulate(profile.suite, packet, info)
        except RejectedError as error:
            raise RejectedError(RejectReason.PACKET_UNREADABLE) from error
        reasons.require(len(secret) == limits.KEK, RejectReason.PACKET_UNREADABLE)
        if len(self._keks) >= self._capacity:
            del self._keks[next(iter(self._keks))]
        kek = self._keks[entry] = AESGCM(secret)
        return kek

    def _info(self, profile: Profile, row: StanzaRow) -> bytes:
        # Cores of one peer share their parsed profile, so the last answer nearly always serves again.
        kept = self._last_info
        if kept is not None and kept[0] is profile and kept[1] == row.party and kept[2] == row.fingerprint:
            return kept[3]
        info = packets.packet_info(
            suite=profile.suite,
            agreement_id=profile.agreement_id,
            sealer_party=profile.originator.party,
            sealer_key_set=profile.key_set,
            recipient_party=row.party,
            recipient_fingerprint=row.fingerprint,
        )
        self._last_info = (profile, row.party, row.fingerprint, info)
        return info

    def _portion(
        self, core: bytes, index: int, digest: PortionDigest, key: bytes, ciphertext: bytes | Absent
    ) -> OpenedPortion | UploadedPortion:
        context = chunked.portion_context(core, index)
        if ciphertext is Absent.UPLOADED:
            return UploadedPortion(index, digest.digest, digest.length, key, context)
        if ciphertext is Absent.WITHHELD:
            raise RejectedError(RejectReason.CIPHERTEXT_WITHHELD)
        try:
            plaintext = chunked.open_whole(key, context, ciphertext)
        except RejectedError as error:
            raise RejectedError(RejectReason.CIPHERTEXT_UNREADABLE) from error
        try:
            header, content = padding.decode_portion(plaintext)
        except MalformedError as error:
            raise RejectedError(RejectReason.PORTION_MALFORMED) from error
        return OpenedPortion(index, header, content)


def index_packets(data: Iterable[bytes]) -> dict[bytes, bytes]:
    """Give packets by the ids that their bytes have; an id a peer states is never looked at."""
    return {packets.packet_id(packet): packet for packet in data}
