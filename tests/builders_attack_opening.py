"""Attacks on opening: packets, stanzas, ciphertexts, portions, uploads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from builders_attack import (
    OWN,
    READER,
    Forge,
    R,
    attack,
    changed_manifest,
    forge,
    item_bytes,
    packets_of,
    resealed,
    segment_bytes,
    with_rows,
)
from builders_envelope import (
    AGREEMENT,
    Delivery,
    World,
    core,
    portion,
    profile,
)
from comity.envelope import chunked, packets, padding
from comity.envelope.core import core_hash, encode_core
from comity.envelope.evidence import (
    AckOutcome,
)
from comity.envelope.forwarding import Withholding, deliverable, prune, withhold
from comity.envelope.manifest import PortionDigest
from comity.envelope.open import OpenedReport, UploadedPortion
from comity.envelope.seal import SealInput
from comity.envelope.segment import WholeItem
from comity.envelope.uploads import UploadSealer
from comity.suites import Suite

# --- opening -----------------------------------------------------------------------------------------------------------


@attack(R.PRUNED, AckOutcome.PRUNED)
def slot_pruned_under_a_false_reason():
    delivery = World().delivery(2)
    return replace(delivery, data=prune(delivery.data, {0})).opened()


@attack(R.NOT_OURS, AckOutcome.REFUSED)
def report_handed_to_a_node_without_a_row():
    delivery = World().delivery()
    return delivery.opened(opener=delivery.world.other.opener())


@attack(R.ROW_PARTY, AckOutcome.REFUSED)
def row_with_our_key_under_another_party():
    made = forge()
    return resealed(made, manifest=with_rows(made, lambda row: replace(row, party="XDE"), READER))


@attack(R.STANZA_WITHHELD, AckOutcome.INCOMPLETE)
def stanza_withheld_by_the_carriage():
    delivery = World().delivery()
    data = withhold(delivery.data, {0: Withholding(stanzas=frozenset({READER}))})
    return replace(delivery, data=data).opened()


@attack(R.CIPHERTEXT_WITHHELD, AckOutcome.INCOMPLETE)
def ciphertext_withheld_by_the_carriage():
    delivery = World().delivery()
    data = deliverable(delivery.data, (), {0: Withholding(ciphertexts=frozenset({0}))})
    return replace(delivery, data=data).opened()


@attack(R.PACKET_WITHHELD, AckOutcome.INCOMPLETE)
def packet_withheld_by_the_carriage():
    return replace(World().delivery(), packets={}).opened()


@attack(R.PACKET_WITHHELD, AckOutcome.INCOMPLETE)
def forged_packet_in_place_of_a_known_one():
    # Its id is computed from its bytes, so it never stands under the known id.
    delivery = World().delivery()
    forged = [data[:-1] + bytes([data[-1] ^ 1]) for data in delivery.packets.values()]
    return replace(delivery, packets={packets.packet_id(data): data for data in forged}).opened()


@attack(R.PACKET_UNREADABLE, AckOutcome.UNREADABLE)
def packet_with_another_kek_under_the_id_of_ours():
    delivery = World().delivery()
    forged = {name: data[:-1] + bytes([data[-1] ^ 1]) for name, data in delivery.packets.items()}
    return replace(delivery, packets=forged).opened()


def _other_packet(**info: object) -> object:
    made = forge()
    world, item = made.world, made.items[0]
    reader = world.reader.recipient
    said = {
        "suite": int(world.suite),
        "agreement_id": AGREEMENT,
        "sealer_party": "XAR",
        "sealer_key_set": world.sender.key_set,
        "recipient_party": "XBO",
        "recipient_fingerprint": reader.fingerprint,
        **info,
    }
    kek = bytes(range(32))
    data = packets.seal_packet(reader.suite, reader.public, packets.packet_info(**said), kek)
    name = packets.packet_id(data)
    key = made.content_keys[0]
    context = packets.stanza_context(core_hash(item.manifest.core), name, "XBO", reader.fingerprint, (0,))
    stanza = packets.seal_stanza(AESGCM(kek), bytes(12), context, [(0, key)])
    manifest = with_rows(made, lambda row: replace(row, packet_id=name, digest=hashlib.sha384(stanza).digest()), READER)
    data_ = segment_bytes(made.delivery, [item_bytes(item, manifest=manifest, stanzas=(item.stanzas[OWN], stanza))])
    return replace(made.delivery.resigned(data_), packets={name: data}).opened()


@attack(R.PACKET_UNREADABLE, AckOutcome.UNREADABLE)
def packet_of_another_agreement():
    return _other_packet(agreement_id="XAR-XBO-2")


@attack(R.PACKET_UNREADABLE, AckOutcome.UNREADABLE)
def packet_of_another_sealer():
    return _other_packet(sealer_party="XDE")


@attack(R.PACKET_UNREADABLE, AckOutcome.UNREADABLE)
def packet_of_another_key_set_of_the_sealer():
    return _other_packet(sealer_key_set=bytes(48))


@attack(R.PACKET_UNREADABLE, AckOutcome.UNREADABLE)
def packet_for_another_party():
    return _other_packet(recipient_party="XDE")


@attack(R.PACKET_UNREADABLE, AckOutcome.UNREADABLE)
def packet_for_another_key():
    return _other_packet(recipient_fingerprint=bytes(48))


@attack(R.PACKET_UNREADABLE, AckOutcome.UNREADABLE)
def packet_of_another_suite():
    return _other_packet(suite=int(Suite.CNSA))


@attack(R.PACKET_UNREADABLE, AckOutcome.UNREADABLE)
def kek_of_a_wrong_length():
    made = forge()
    world, item = made.world, made.items[0]
    reader = world.reader.recipient
    info = packets.packet_info(
        suite=int(world.suite),
        agreement_id=AGREEMENT,
        sealer_party="XAR",
        sealer_key_set=world.sender.key_set,
        recipient_party="XBO",
        recipient_fingerprint=reader.fingerprint,
    )
    # A KEK of 16 bytes would quietly make the stanza AES-128.
    data = packets.seal_packet(reader.suite, reader.public, info, bytes(16))
    name = packets.packet_id(data)
    context = packets.stanza_context(core_hash(item.manifest.core), name, "XBO", reader.fingerprint, (0,))
    stanza = packets.seal_stanza(AESGCM(bytes(16)), bytes(12), context, [(0, made.content_keys[0])])
    manifest = with_rows(made, lambda row: replace(row, packet_id=name, digest=hashlib.sha384(stanza).digest()), READER)
    changed = segment_bytes(made.delivery, [item_bytes(item, manifest=manifest, stanzas=(item.stanzas[OWN], stanza))])
    return replace(made.delivery.resigned(changed), packets={name: data}).opened()


def _other_stanza(indices: tuple[int, ...] = (0,), rows: tuple[int, ...] | None = None, held=None, **bound: object):
    made = forge()
    item = made.items[0]
    keys = [(index, made.content_keys[index]) for index in indices] if held is None else held(made.content_keys)
    stanza = made.stanza(item, READER, indices, keys, **bound)
    manifest = with_rows(
        made,
        lambda row: replace(row, indices=indices if rows is None else rows, digest=hashlib.sha384(stanza).digest()),
        READER,
    )
    return resealed(made, manifest=manifest, stanzas=(item.stanzas[OWN], stanza))


@attack(R.STANZA_UNREADABLE, AckOutcome.UNREADABLE)
def stanza_moved_to_another_core():
    return _other_stanza(core_hash=bytes(48))


@attack(R.STANZA_UNREADABLE, AckOutcome.UNREADABLE)
def stanza_moved_to_another_packet():
    return _other_stanza(packet=bytes(48))


@attack(R.STANZA_UNREADABLE, AckOutcome.UNREADABLE)
def stanza_moved_to_another_party():
    return _other_stanza(recipient_party="XDE")


@attack(R.STANZA_UNREADABLE, AckOutcome.UNREADABLE)
def stanza_moved_to_another_key():
    return _other_stanza(recipient_fingerprint=bytes(48))


@attack(R.STANZA_UNREADABLE, AckOutcome.UNREADABLE)
def stanza_moved_to_another_index_set():
    def swapped(content_keys: list[bytes]):
        return [(1, content_keys[1])]

    return _other_stanza(indices=(0,), rows=(1,), held=swapped)


@attack(R.STANZA_UNREADABLE, AckOutcome.UNREADABLE)
def stanza_with_keys_of_other_portions_than_its_row():
    return _other_stanza(held=lambda keys: [(1, keys[1])])


@attack(R.STANZA_UNREADABLE, AckOutcome.UNREADABLE)
def stanza_with_one_key_more_than_its_row():
    return _other_stanza(held=lambda keys: [(0, keys[0]), (1, keys[1])])


@attack(R.STANZA_UNREADABLE, AckOutcome.UNREADABLE)
def stanza_moved_to_another_report_and_signed_again():
    made = forge(2)
    first, second = made.items
    stanza = first.stanzas[READER]
    rows = (second.manifest.rows[OWN], replace(second.manifest.rows[READER], digest=hashlib.sha384(stanza).digest()))
    manifest = changed_manifest(second, rows=rows)
    items = [item_bytes(first), item_bytes(second, manifest=manifest, stanzas=(second.stanzas[OWN], stanza))]
    return made.delivery.resigned(segment_bytes(made.delivery, items)).opened(1)


def _other_ciphertext(change: Callable[[Forge, WholeItem], bytes], slot: int = 0, count: int = 1):
    made = forge(count)
    items = [item_bytes(item) for item in made.items]
    item = made.items[slot]
    ciphertext = change(made, item)
    portions = (PortionDigest(hashlib.sha384(ciphertext).digest(), len(ciphertext)), item.manifest.portions[1])
    items[slot] = item_bytes(
        item, manifest=changed_manifest(item, portions=portions), ciphertexts=(ciphertext, item.ciphertexts[1])
    )
    return made.delivery.resigned(segment_bytes(made.delivery, items)).opened(slot)


@attack(R.CIPHERTEXT_UNREADABLE, AckOutcome.UNREADABLE)
def ciphertext_of_another_report_signed_again():
    def change(made: Forge, _: WholeItem) -> bytes:
        plaintext = padding.encode_portion(padding.encode_header({}), b"elsewhere")
        other = core_hash(made.items[0].manifest.core)
        return chunked.seal(made.content_keys[2], chunked.portion_context(other, 0), plaintext)

    return _other_ciphertext(change, slot=1, count=2)


@attack(R.CIPHERTEXT_UNREADABLE, AckOutcome.UNREADABLE)
def ciphertext_of_another_portion_signed_again():
    def change(made: Forge, item: WholeItem) -> bytes:
        plaintext = padding.encode_portion(padding.encode_header({}), b"elsewhere")
        context = chunked.portion_context(core_hash(item.manifest.core), 1)
        return chunked.seal(made.content_keys[0], context, plaintext)

    return _other_ciphertext(change)


def _long_ciphertext(made: Forge, item: WholeItem) -> bytes:
    plaintext = padding.encode_portion(padding.encode_header({}), bytes(100_000))
    return chunked.seal(made.content_keys[0], chunked.portion_context(core_hash(item.manifest.core), 0), plaintext)


@attack(R.CIPHERTEXT_UNREADABLE, AckOutcome.UNREADABLE)
def chunks_cut_off_at_a_chunk_border():
    return _other_ciphertext(lambda made, item: _long_ciphertext(made, item)[: 56 + 2 * 16_400])


@attack(R.CIPHERTEXT_UNREADABLE, AckOutcome.UNREADABLE)
def chunks_in_another_order():
    def change(made: Forge, item: WholeItem) -> bytes:
        whole = _long_ciphertext(made, item)
        first, second = whole[56 : 56 + 16_400], whole[56 + 16_400 : 56 + 32_800]
        return whole[:56] + second + first + whole[56 + 32_800 :]

    return _other_ciphertext(change)


@attack(R.CIPHERTEXT_UNREADABLE, AckOutcome.UNREADABLE)
def one_ciphertext_for_two_keys():
    # A "salamander": the tag of each chunk could be made to fit two keys; the commitment fits one key only.
    def change(made: Forge, item: WholeItem) -> bytes:
        ours = _long_ciphertext(made, item)
        context = chunked.portion_context(core_hash(item.manifest.core), 0)
        theirs = chunked.seal(bytes(32), context, padding.encode_portion(padding.encode_header({}), b"other"))
        return ours[:24] + theirs[24:56] + ours[56:]

    return _other_ciphertext(change)


def _plaintext(plaintext: bytes):
    def change(made: Forge, item: WholeItem) -> bytes:
        return chunked.seal(made.content_keys[0], chunked.portion_context(core_hash(item.manifest.core), 0), plaintext)

    return _other_ciphertext(change)


_GOOD = padding.encode_portion(padding.encode_header({"title": "x"}), b"body")


@attack(R.PORTION_MALFORMED, AckOutcome.UNREADABLE)
def padding_that_is_not_zero():
    return _plaintext(_GOOD[:-1] + b"\x01")


@attack(R.PORTION_MALFORMED, AckOutcome.UNREADABLE)
def padding_that_is_too_long():
    return _plaintext(_GOOD + bytes(64))


@attack(R.PORTION_MALFORMED, AckOutcome.UNREADABLE)
def padding_that_is_too_short():
    return _plaintext(_GOOD[:-1])


@attack(R.PORTION_MALFORMED, AckOutcome.UNREADABLE)
def content_longer_than_the_plaintext():
    header = padding.encode_header({})
    return _plaintext((padding.prefix(header, 1 << 40) + bytes(1024))[:1024])


@attack(R.PORTION_MALFORMED, AckOutcome.UNREADABLE)
def header_longer_than_the_plaintext():
    return _plaintext(b"\x00\x00\xff\xff" + bytes(1020))


@attack(R.PORTION_MALFORMED, AckOutcome.UNREADABLE)
def header_that_is_not_canonical():
    return _plaintext(padding.encode_portion(b'{"title": "x"}', b"body"))


@attack(R.PORTION_MALFORMED, AckOutcome.UNREADABLE)
def header_that_is_no_object():
    return _plaintext(padding.encode_portion(b"[]", b"body"))


# --- uploads -----------------------------------------------------------------------------------------------------------


def uploaded() -> tuple[Delivery, bytes, UploadedPortion]:
    """Give a delivery whose first portion lies beside it, its ciphertext, and the portion as it was opened."""
    world = World()
    shared = profile(world.sender)
    one = core(world.sender, 1, shared)
    upload = UploadSealer(encode_core(one), 0, {"file_name": "a.bin"}, length=40_000)
    stored = b"".join(upload.encrypt([b"a" * 20_000, b"b" * 20_000]))
    sealed = world.sender.sealer().seal_segment(
        [SealInput(one, (upload.portion, portion("x")), ((world.reader.recipient, (0,)),))]
    )
    batch = world.sign(sealed.segment_id)
    delivery = Delivery(world, sealed.data, batch.signature, 0, (), packets_of(sealed.packets))
    opened = delivery.opened()
    assert isinstance(opened, OpenedReport)
    part = opened.portions[0]
    assert isinstance(part, UploadedPortion)
    return delivery, stored, part


@attack(R.UPLOAD_DIGEST)
def stored_ciphertext_changed():
    _, stored, part = uploaded()
    return part.check([stored[:-1] + bytes([stored[-1] ^ 1])])


@attack(R.UPLOAD_DIGEST)
def stored_ciphertext_truncated():
    _, stored, part = uploaded()
    return part.check([stored[:-1]])


@attack(R.UPLOAD_UNREADABLE)
def stored_ciphertext_changed_between_the_passes():
    _, stored, part = uploaded()
    part.check([stored])
    return b"".join(part.decrypt([stored[:-1] + bytes([stored[-1] ^ 1])]))


@attack(R.UPLOAD_UNREADABLE)
def stored_ciphertext_cut_between_the_passes():
    _, stored, part = uploaded()
    return b"".join(part.decrypt([stored[: 56 + 16_400]]))
