"""Builders for envelopes: two parties with a node each, profiles, cores, sealed and signed segments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from comity.envelope import padding, tree
from comity.envelope.checks import OfficerKey, SigningNode, VerifiedSegment, receive
from comity.envelope.core import Core, LogSeen
from comity.envelope.evidence import BatchSignature, SignedBatch, VerifiedBatches, sign_batch
from comity.envelope.open import Opener, index_packets
from comity.envelope.run_form import PortionInput
from comity.envelope.seal import Recipient, SealedSegment, Sealer, SealInput
from comity.envelope.segment import Segment, parse_segment
from comity.errors import ErrorCode, MalformedError
from comity.pae import Item
from comity.suites import KemSecret, KeyRole, SigningSecret, Suite, fingerprint, generate_kem, generate_signing
from comity_policy.facts import Action, Addressee, Kind, Originator, PortionMarking, Precedence, Profile
from comity_policy.marking import Label

AGREEMENT = "XAR-XBO-1"
AGREEMENT_DIGEST = hashlib.sha384(b"agreement").digest()
NOW = 1_800_000_000_000
HOUR = 3_600_000
EPOCH = bytes.fromhex("0123456789abcdef0123456789abcdef")
INCARNATION = bytes(range(16))
RELEASABLE = Label(policy="XAR", classification="SECRET", releasable_to=frozenset({"XAR", "XBO"}))
RESTRICTED = Label(policy="XAR", classification="SECRET", dissemination=frozenset({"NATIONAL-ONLY"}))


class Stream:
    """A random source that gives the same bytes in every run."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(self._seed + self._count.to_bytes(8, "big")).digest(size)


class RawSigner:
    """A signer whose key lies in memory."""

    def __init__(self, secret: SigningSecret, role: KeyRole) -> None:
        self._secret = secret
        self.suite = secret.suite
        self.public = secret.public
        self.fingerprint = fingerprint(role, secret.suite, secret.public)

    def sign(self, purpose: str, *items: Item) -> bytes:
        return self._secret.sign(purpose, *items)


class RawDecapsulator:
    """A decapsulator whose key lies in memory."""

    def __init__(self, secret: KemSecret) -> None:
        self._secret = secret
        self.suite = secret.suite
        self.public = secret.public
        self.fingerprint = fingerprint(KeyRole.NODE_KEM, secret.suite, secret.public)

    def decapsulate(self, suite: int, packet: bytes, info: bytes) -> bytes:
        assert suite == self._secret.suite
        return self._secret.decapsulate(packet, info)


@dataclass(frozen=True)
class NodeKeys:
    """One node with its raw keys."""

    party: str
    name: str
    signing: SigningSecret
    kem: KemSecret
    key_set: bytes

    @classmethod
    def generate(cls, party: str, name: str, suite: Suite = Suite.HYBRID, seed: bytes | None = None) -> NodeKeys:
        source = Stream(seed or f"{party}/{name}/{suite}".encode())
        signing, kem = generate_signing(suite, source), generate_kem(suite, source)
        return cls(party, name, signing, kem, hashlib.sha384(signing.public + kem.public).digest())

    @property
    def signer(self) -> RawSigner:
        return RawSigner(self.signing, KeyRole.NODE_SIGNING)

    @property
    def decapsulator(self) -> RawDecapsulator:
        return RawDecapsulator(self.kem)

    @property
    def recipient(self) -> Recipient:
        key = self.decapsulator
        return Recipient(self.party, int(key.suite), key.public, key.fingerprint)

    @property
    def signing_node(self) -> SigningNode:
        return SigningNode(self.party, self.name, self.key_set, int(self.signing.suite), self.signing.public)

    def opener(self) -> Opener:
        key = self.decapsulator
        return Opener(self.party, {key.fingerprint: key})

    def sealer(
        self, now_ms: Callable[[], int] = lambda: NOW, random_bytes: Callable[[int], bytes] | None = None
    ) -> Sealer:
        extra = {} if random_bytes is None else {"random_bytes": random_bytes}
        return Sealer(self.recipient, self.name, self.key_set, now_ms=now_ms, **extra)


def profile(sender: NodeKeys, **changes: object) -> Profile:
    base = Profile(
        suite=int(sender.signing.suite),
        originator=Originator(sender.party, sender.name),
        key_set=sender.key_set,
        agreement_id=AGREEMENT,
        agreement_digest=AGREEMENT_DIGEST,
        statements_seen=3,
        precedence=Precedence.ROUTINE,
        exercise=False,
        kind=Kind.REPORT,
        categories=("terrorism",),
        purpose="counter-terrorism",
        emergency=b"",
        addressees=(Addressee("XBO", Action.ACTION),),
        approvals_required=0,
        portions=(PortionMarking(RELEASABLE), PortionMarking(RESTRICTED)),
    )
    return replace(base, **changes)


def report_id(number: int) -> bytes:
    raw = bytearray(hashlib.sha256(b"report%d" % number).digest()[:16])
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return bytes(raw)


def core(sender: NodeKeys, sequence: int = 1, of: Profile | None = None, **changes: object) -> Core:
    base = Core(
        report_id=report_id(sequence),
        origin_epoch=EPOCH,
        origin_sequence=sequence,
        created_at=NOW,
        not_before=NOW,
        expires_at=NOW + HOUR,
        agreement_log_seen=LogSeen(INCARNATION, 7, bytes(32)),
        key_log_seen=LogSeen(INCARNATION, 5, bytes(32)),
        refers_to=(),
        profile=of or profile(sender),
    )
    return replace(base, **changes)


def portion(text: str, **header: object) -> PortionInput:
    return PortionInput(padding.encode_header({"media_type": "text/plain", **header}), text.encode())


@dataclass
class World:
    """A sender, a reader and a third node, with what one delivery consists of."""

    suite: Suite = Suite.HYBRID
    sender: NodeKeys = field(init=False)
    reader: NodeKeys = field(init=False)
    other: NodeKeys = field(init=False)
    officers: dict[bytes, OfficerKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sender = NodeKeys.generate("XAR", "n1", self.suite)
        self.reader = NodeKeys.generate("XBO", "n1", self.suite)
        self.other = NodeKeys.generate("XDE", "n1", self.suite)

    def seal(self, count: int = 1, *, sealer: Sealer | None = None, first: int = 1, **changes: object) -> SealedSegment:
        shared = profile(self.sender, **changes)
        reports = [
            SealInput(
                core(self.sender, sequence, shared),
                tuple(portion(f"report {sequence} portion {i}") for i in range(len(shared.portions))),
                ((self.reader.recipient, (0,)),),
            )
            for sequence in range(first, first + count)
        ]
        return (sealer or self.sender.sealer()).seal_segment(reports)

    def sign(self, *sealed: bytes, agreement_id: str = AGREEMENT) -> SignedBatch:
        return sign_batch(self.sender.signer, agreement_id, self.sender.key_set, sealed)

    def delivery(self, count: int = 1, **changes: object) -> Delivery:
        sealed = self.seal(count, **changes)
        batch = self.sign(sealed.segment_id)
        packets = index_packets(packet.data for packet in sealed.packets)
        return Delivery(self, sealed.data, batch.signature, 0, batch.paths[0], packets)


@dataclass
class Delivery:
    """What a reader is handed. Attacks change one thing of it."""

    world: World
    data: bytes
    batch: BatchSignature
    index: int
    path: Sequence[bytes]
    packets: dict[bytes, bytes]

    @property
    def segment(self) -> Segment:
        return parse_segment(self.data)

    def received(self) -> VerifiedSegment:
        return receive(
            self.segment,
            self.batch,
            self.index,
            self.path,
            self.world.sender.signing_node,
            memo=VerifiedBatches(),
        )

    def opened(self, slot: int = 0, opener: Opener | None = None):
        opener = opener or self.world.reader.opener()
        return opener.open_slot(self.received(), slot, self.packets, self.world.officers.get)

    def resigned(self, data: bytes) -> Delivery:
        """Give this delivery with other segment bytes, signed again by the sender's key."""
        batch = self.world.sign(parse_segment(data).segment_id)
        return replace(self, data=data, batch=batch.signature, path=batch.paths[0])


def leaves(count: int) -> list[bytes]:
    return [tree.labelled_leaf("manifest", b"%d" % i) for i in range(count)]


def refused(use: Callable[[], object], *, code: ErrorCode = ErrorCode.MALFORMED) -> None:
    """Expect that `use` refuses what it is given as malformed, with this code."""
    with pytest.raises(MalformedError) as caught:
        use()
    assert caught.value.code is code
