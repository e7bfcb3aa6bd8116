"""What attacks on envelopes are made of: the table they register in, and the tools of a malicious originator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from builders_envelope import (
    Delivery,
    NodeKeys,
    World,
)
from comity.envelope import packets
from comity.envelope.checks import admit
from comity.envelope.core import core_hash, decode_core, encode_core
from comity.envelope.evidence import (
    AckOutcome,
    VerifiedBatches,
)
from comity.envelope.manifest import StanzaRow, encode_manifest, row_key
from comity.envelope.open import NotOpened
from comity.envelope.profile import transport_class
from comity.envelope.reasons import RejectReason
from comity.envelope.segment import (
    SegmentHead,
    WholeItem,
    encode_segment,
    encode_whole_item,
)
from comity.errors import RejectedError

R = RejectReason
Observed = tuple[RejectReason | str, AckOutcome | None]


@dataclass(frozen=True)
class Attack:
    """One attack: what it does, and what must be said about it."""

    name: str
    run: Callable[[], Observed]
    reason: RejectReason
    outcome: AckOutcome | None


ATTACKS: list[Attack] = []


def attack(reason: RejectReason, outcome: AckOutcome | None = None):
    def register(run: Callable[[], object]) -> Callable[[], object]:
        ATTACKS.append(Attack(run.__name__, lambda: observe(run), reason, outcome))
        return run

    return register


def observe(run: Callable[[], object]) -> Observed:
    """Give the reason and outcome of what `run` returns or raises."""
    try:
        result = run()
    except RejectedError as error:
        return RejectReason(error.reason), None
    if isinstance(result, NotOpened):
        return result.reason, result.outcome
    return f"accepted: {type(result).__name__}", None


class Recorder:
    """A random source that remembers what it gave: what a malicious sealer knows."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        value = hashlib.shake_256(b"recorder%d" % len(self.given)).digest(size)
        self.given.append(value)
        return value


@dataclass
class Forge:
    """A delivery by a malicious originator, who knows its content keys and KEKs."""

    world: World
    delivery: Delivery
    content_keys: list[bytes]
    own_kek: AESGCM
    reader_kek: AESGCM

    @property
    def items(self) -> list[WholeItem]:
        return [item for _, item in self.delivery.segment.whole]

    def stanza(self, item: WholeItem, position: int, indices: tuple[int, ...], keys: list[tuple[int, bytes]], **bound):
        row = item.manifest.rows[position]
        what = {
            "core_hash": core_hash(item.manifest.core),
            "packet": row.packet_id,
            "recipient_party": row.party,
            "recipient_fingerprint": row.fingerprint,
            "indices": indices,
            **bound,
        }
        return packets.seal_stanza(self.reader_kek, bytes(range(12)), packets.stanza_context(**what), keys)


def forge(count: int = 1, **changes: object) -> Forge:
    world = World()
    source = Recorder()
    sealed = world.seal(count, sealer=world.sender.sealer(random_bytes=source), **changes)
    batch = world.sign(sealed.segment_id)
    keys = source.given[0]
    return Forge(
        world,
        Delivery(
            world,
            sealed.data,
            batch.signature,
            0,
            batch.paths[0],
            packets_of(sealed.packets),
        ),
        [keys[i : i + 32] for i in range(0, len(keys), 32)],
        AESGCM(source.given[2]),
        AESGCM(source.given[3]),
    )


def packets_of(sealed_packets) -> dict[bytes, bytes]:
    return {packets.packet_id(packet.data): packet.data for packet in sealed_packets}


def changed_manifest(item: WholeItem, **changes: object) -> bytes:
    manifest = replace(item.manifest, **changes)
    return encode_manifest(replace(manifest, rows=tuple(sorted(manifest.rows, key=row_key))))


def item_bytes(
    item: WholeItem, *, manifest: bytes | None = None, stanzas=None, ciphertexts=None, approvals=()
) -> bytes:
    return encode_whole_item(
        item.manifest_bytes if manifest is None else manifest,
        item.stanzas if stanzas is None else stanzas,
        item.ciphertexts if ciphertexts is None else ciphertexts,
        approvals,
    )


def segment_bytes(delivery: Delivery, items: list[bytes] | None = None, **head: object) -> bytes:
    segment = delivery.segment
    kept = {
        "agreement_id": segment.agreement_id,
        "origin_epoch": segment.origin_epoch,
        "transport_class": segment.transport_class,
        "first_origin_sequence": segment.first_origin_sequence,
        **head,
    }
    if items is None:
        items = [item_bytes(item) for _, item in segment.whole]
    return encode_segment(SegmentHead(**kept), items)


def resealed(made: Forge, **changes: object):
    """Open the first slot of a segment whose only item was changed and signed again by its originator."""
    data = segment_bytes(made.delivery, [item_bytes(made.items[0], **changes)])
    return made.delivery.resigned(data).opened()


def with_core(made: Forge, slot: int = 0, **changes: object) -> Delivery:
    """Give the delivery with one core changed, signed again by its originator."""
    items = [item_bytes(item) for item in made.items]
    item = made.items[slot]
    changed = replace(item.core, **changes)
    items[slot] = item_bytes(item, manifest=changed_manifest(item, core=encode_core(changed)))
    return made.delivery.resigned(segment_bytes(made.delivery, items))


def with_profile(made: Forge, slot: int = 0, **changes: object) -> Delivery:
    return with_core(made, slot, profile=replace(made.items[slot].core.profile, **changes))


def with_rows(made: Forge, change: Callable[[StanzaRow], StanzaRow], which: int) -> bytes:
    rows = list(made.items[0].manifest.rows)
    rows[which] = change(rows[which])
    return changed_manifest(made.items[0], rows=tuple(rows))


def published(delivery: Delivery, *, ids=None, index: int = 0, caller=("XAR", "n1"), signed_by: NodeKeys | None = None):
    segment = delivery.segment
    return admit(
        segment,
        delivery.batch,
        [segment.segment_id] if ids is None else ids,
        index,
        (signed_by or delivery.world.sender).signing_node,
        caller=caller,
        memo=VerifiedBatches(),
    )


OWN, READER = 0, 1


def honest() -> object:
    """Open an envelope that nobody touched."""
    made = forge(2)
    assert decode_core(made.items[0].manifest.core) == made.items[0].core
    assert transport_class(made.items[0].core.profile) == made.delivery.segment.transport_class
    return made.delivery.opened()
