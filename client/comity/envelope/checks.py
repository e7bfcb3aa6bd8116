"""Every equality of an envelope that needs no state, for admission and opening alike (design 03, "Admit" and "Open").

In order:
1. batch: the key is the key set's, index and path (or list and number) lead to the root that its signature is over;
2. equalities: each core says what batch, key set and segment say; counts fit; one row a KEM key; exactly one row of the
   originator's party, with all portions; agreement text, addressees, precedence and exercise flag are the same throughout;
3. bodies: whatever is inline has the digest the manifest gives it, whoever reads; at Publish nothing is withheld;
4. packets: each is named by a row, ids ascending;
5. approvals: each verifies, and enough distinct officers approved.
What is left to the caller has state: key status, replay, clock window, policy, the agreement's log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from comity.envelope import reasons, tree
from comity.envelope.evidence import BatchSignature, VerifiedBatches, approval_verifies
from comity.envelope.packets import packet_id
from comity.envelope.profile import transport_class
from comity.envelope.reasons import RejectReason
from comity.envelope.segment import Absent, Segment, WholeItem
from comity_policy.facts import Profile, Role


@dataclass(frozen=True, slots=True)
class SigningNode:
    """The node whose newest logged bundle a key set names, and its signing key, as the directory says."""

    party: str
    node: str
    key_set: bytes
    suite: int
    public: bytes


@dataclass(frozen=True, slots=True)
class OfficerKey:
    """An officer's signing key, as the directory says. `identity` is the directory identity, which dual control counts."""

    identity: str
    party: str
    suite: int
    public: bytes
    roles: frozenset[Role]


_NOBODY: Final[frozenset[str]] = frozenset()
_STEP: Final = 32

OfficerLookup = Callable[[bytes], OfficerKey | None]


@dataclass(frozen=True, slots=True)
class VerifiedSegment:
    """A segment whose batch signature and equalities hold. Only this module and `verify_exported` make one."""

    segment: Segment
    signed_by: SigningNode


# --- admission and opening ------------------------------------------------------------------------------------------


def admit(
    segment: Segment,
    batch: BatchSignature,
    segment_ids: Sequence[bytes],
    index: int,
    signed_by: SigningNode,
    *,
    caller: tuple[str, str] | None,
    memo: VerifiedBatches,
    root: bytes | None = None,
) -> VerifiedSegment:
    """Check one segment of a batch as a broker does at Publish; raises RejectedError for the whole segment.

    `root` is that of the tree over `segment_ids`, from whoever has worked it out before; None works it out here. `caller` is (party, node) of the connection; None where a relay's party or a grant was checked instead, which also
    allows withheld bodies.
    """
    for _ in admitting(segment, batch, segment_ids, index, signed_by, caller=caller, memo=memo, root=root):
        pass
    return VerifiedSegment(segment, signed_by)


def admitting(
    segment: Segment,
    batch: BatchSignature,
    segment_ids: Sequence[bytes],
    index: int,
    signed_by: SigningNode,
    *,
    caller: tuple[str, str] | None,
    memo: VerifiedBatches,
    root: bytes | None = None,
) -> Iterator[None]:
    """Do what `admit` does in steps of at most 32 reports, so that others have their turn between; raises as it does.

    A segment is admitted when the iteration has ended.
    """
    check_batch_list(batch, segment_ids, signed_by, memo, root)
    in_list = 0 <= index < len(segment_ids) and segment_ids[index] == segment.segment_id
    reasons.require(in_list, RejectReason.BATCH_SEGMENT_ID)
    check_envelope_equalities(segment, batch, signed_by, caller=caller)
    for number, (_, item) in enumerate(segment.whole, 1):
        check_bodies(item, complete=caller is not None)
        if number % _STEP == 0:
            yield


def receive(
    segment: Segment,
    batch: BatchSignature,
    index: int,
    path: Sequence[bytes],
    signed_by: SigningNode,
    *,
    memo: VerifiedBatches,
) -> VerifiedSegment:
    """Check a delivered segment; raises RejectedError: such a segment is never acknowledged, it is an alarm.

    Bodies are looked at slot by slot when they are opened, since each has an outcome of its own.
    """
    check_batch_path(batch, segment.segment_id, index=index, path=path, signed_by=signed_by, memo=memo)
    check_envelope_equalities(segment, batch, signed_by, caller=None)
    return VerifiedSegment(segment, signed_by)


# --- 1 batch --------------------------------------------------------------------------------------------------------


def check_batch_list(
    batch: BatchSignature,
    segment_ids: Sequence[bytes],
    signed_by: SigningNode,
    memo: VerifiedBatches,
    root: bytes | None = None,
) -> None:
    """Check a batch signature with the whole list of segment ids."""
    reasons.require(batch.count == len(segment_ids) > 0, RejectReason.BATCH_COUNT)
    _check_signature(batch, tree.root(segment_ids) if root is None else root, signed_by, memo)


def check_batch_path(
    batch: BatchSignature,
    segment_id: bytes,
    *,
    index: int,
    path: Sequence[bytes],
    signed_by: SigningNode,
    memo: VerifiedBatches,
) -> None:
    """Check a batch signature with one segment's index and path."""
    root = tree.root_from_path(segment_id, index, batch.count, path)
    reasons.require(root is not None, RejectReason.BATCH_PATH)
    _check_signature(batch, root or segment_id, signed_by, memo)


def _check_signature(batch: BatchSignature, root: bytes, signed_by: SigningNode, memo: VerifiedBatches) -> None:
    reasons.require(batch.suite == signed_by.suite, RejectReason.BATCH_SUITE)
    reasons.require(batch.key_set == signed_by.key_set, RejectReason.BATCH_KEY_SET)
    verifies = memo.verify(batch, root, signed_by.suite, signed_by.public)
    reasons.require(verifies, RejectReason.BATCH_SIGNATURE)


# --- 2 equalities ---------------------------------------------------------------------------------------------------


def check_envelope_equalities(
    segment: Segment, batch: BatchSignature, signed_by: SigningNode, *, caller: tuple[str, str] | None
) -> None:
    """Check what segment, batch, key set and cores say of one another; raises RejectedError for the whole segment."""
    require = reasons.require
    require(segment.agreement_id == batch.agreement_id, RejectReason.AGREEMENT)
    first: Profile | None = None
    checked: Profile | None = None
    report_ids: set[bytes] = set()
    layout: object | None = None
    for slot, item in segment.whole:
        core = item.core
        profile = core.profile
        if profile is not checked:
            # One parsed profile is shared by many cores (ProfileMemo), so its checks are made once for a run of them.
            _check_profile(segment, batch, signed_by, caller, profile)
            if first is not None:
                _check_same(first, profile)
            first = first or profile
            require(transport_class(profile) == segment.transport_class, RejectReason.CLASS)
            checked = profile
        if core.origin_epoch != segment.origin_epoch:
            reasons.refuse(RejectReason.ORIGIN_EPOCH)
        if core.origin_sequence != segment.first_origin_sequence + slot:
            reasons.refuse(RejectReason.ORIGIN_SEQUENCE)
        if core.report_id in report_ids:
            reasons.refuse(RejectReason.REPORT_TWICE)
        report_ids.add(core.report_id)
        _check_counts(item)
        if layout is None or item.manifest.layout is not layout:
            # Rows of one layout differ in their digests alone.
            _check_rows(item)
            layout = item.manifest.layout


def _check_profile(
    segment: Segment,
    batch: BatchSignature,
    signed_by: SigningNode,
    caller: tuple[str, str] | None,
    profile: Profile,
) -> None:
    originator = (profile.originator.party, profile.originator.node)
    reasons.require(profile.agreement_id == segment.agreement_id, RejectReason.CORE_AGREEMENT)
    reasons.require(profile.suite == batch.suite, RejectReason.CORE_SUITE)
    reasons.require(profile.key_set == batch.key_set, RejectReason.CORE_KEY_SET)
    reasons.require(originator == (signed_by.party, signed_by.node), RejectReason.ORIGINATOR)
    reasons.require(caller is None or caller == originator, RejectReason.CALLER)


def _check_same(first: Profile, other: Profile) -> None:
    reasons.require(first.agreement_digest == other.agreement_digest, RejectReason.AGREEMENT_DIGEST)
    reasons.require(first.addressees == other.addressees, RejectReason.ADDRESSEES)
    reasons.require(first.precedence == other.precedence, RejectReason.PRECEDENCE)
    reasons.require(first.exercise == other.exercise, RejectReason.EXERCISE)


def _check_counts(item: WholeItem) -> None:
    manifest = item.manifest
    if not len(manifest.portions) == len(item.core.profile.portions) == len(item.ciphertexts):
        reasons.refuse(RejectReason.PORTION_COUNT)
    if len(item.stanzas) != len(manifest.rows):
        reasons.refuse(RejectReason.STANZA_COUNT)


def _check_rows(item: WholeItem) -> None:
    manifest = item.manifest
    portions = len(manifest.portions)
    fingerprints = {row.fingerprint for row in manifest.rows}
    reasons.require(len(fingerprints) == len(manifest.rows), RejectReason.ROW_TWICE)
    own = 0
    for row in manifest.rows:
        # Indices ascend, so the last one is the greatest.
        reasons.require(row.indices[-1] < portions, RejectReason.PORTION_INDEX)
        if row.party == item.core.profile.originator.party:
            own += 1 if len(row.indices) == portions else 2
    reasons.require(own == 1, RejectReason.OWN_ROW)


# --- 3 bodies -------------------------------------------------------------------------------------------------------


def check_bodies(item: WholeItem, *, complete: bool) -> None:
    """Check everything inline against the digest and length the manifest gives; with `complete` nothing is withheld."""
    for row, stanza in zip(item.manifest.rows, item.stanzas, strict=True):
        if isinstance(stanza, bytes):
            if hashlib.sha384(stanza).digest() != row.digest:
                reasons.refuse(RejectReason.STANZA_DIGEST)
        elif complete:
            reasons.refuse(RejectReason.NOT_COMPLETE)
    for portion, ciphertext in zip(item.manifest.portions, item.ciphertexts, strict=True):
        if isinstance(ciphertext, bytes):
            if len(ciphertext) != portion.length or hashlib.sha384(ciphertext).digest() != portion.digest:
                reasons.refuse(RejectReason.CIPHERTEXT_DIGEST)
        elif complete and ciphertext is Absent.WITHHELD:
            reasons.refuse(RejectReason.NOT_COMPLETE)


# --- 4 packets ------------------------------------------------------------------------------------------------------


def check_packets(packets: Sequence[bytes], items: Iterable[WholeItem], known: Callable[[bytes], bool]) -> list[bytes]:
    """Check the key packets that came with envelopes, and give their ids; raises RejectedError.

    Each is named by a row, ids ascend strictly, and every packet a row names is here or `known` from before.
    """
    ids = [packet_id(data) for data in packets]
    ascending = all(ids[i] < ids[i + 1] for i in range(len(ids) - 1))
    reasons.require(ascending, RejectReason.PACKETS_UNSORTED)
    named = {row.packet_id for item in items for row in item.manifest.rows}
    here = set(ids)
    reasons.require(here <= named, RejectReason.PACKET_UNNAMED)
    reasons.require(all(name in here or known(name) for name in named), RejectReason.PACKET_MISSING)
    return ids


# --- 5 approvals ----------------------------------------------------------------------------------------------------


def check_approvals(item: WholeItem, officers: OfficerLookup) -> frozenset[str]:
    """Check the approvals beside an envelope and give the identities that approved; raises RejectedError."""
    identities = verified_approvals(item, officers)
    reasons.require(len(identities) >= item.core.profile.approvals_required, RejectReason.APPROVALS_MISSING)
    return identities


def verified_approvals(item: WholeItem, officers: OfficerLookup) -> frozenset[str]:
    """Give the identities whose approvals stand beside an envelope, however many; raises RejectedError for a false one."""
    if not item.approvals:
        return _NOBODY
    profile = item.core.profile
    identities: set[str] = set()
    for approval in item.approvals:
        officer = officers(approval.officer_fingerprint)
        known = officer is not None and officer.party == profile.originator.party
        reasons.require(known, RejectReason.APPROVAL_OFFICER)
        if officer is None:
            continue
        reasons.require(approval.role in officer.roles, RejectReason.APPROVAL_ROLE)
        verifies = approval_verifies(approval, item.leaf, officer.suite, officer.public)
        reasons.require(verifies, RejectReason.APPROVAL_SIGNATURE)
        identities.add(officer.identity)
    return frozenset(identities)
