"""Attacks on batch signatures and on the tree under them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from builders_attack import R, attack, item_bytes, published, segment_bytes
from builders_envelope import (
    AGREEMENT,
    Delivery,
    World,
)
from comity.envelope import tree
from comity.envelope.evidence import (
    sign_batch,
)
from comity.envelope.segment import (
    encode_pruned_item,
    parse_segment,
)
from comity.suites import Suite

# --- batch signature and tree ------------------------------------------------------------------------------------------


@attack(R.BATCH_COUNT)
def batch_signature_with_fewer_ids_than_it_counts():
    world = World()
    first, second = world.seal(1), world.seal(1, first=2)
    batch = world.sign(first.segment_id, second.segment_id)
    return published(Delivery(world, first.data, batch.signature, 0, (), {}), ids=[first.segment_id])


@attack(R.BATCH_SEGMENT_ID)
def segment_published_under_the_place_of_another():
    world = World()
    first, second = world.seal(1), world.seal(1, first=2)
    batch = world.sign(first.segment_id, second.segment_id)
    ids = [first.segment_id, second.segment_id]
    return published(Delivery(world, first.data, batch.signature, 0, (), {}), ids=ids, index=1)


@attack(R.BATCH_PATH)
def path_one_hash_short():
    world = World()
    first, second = world.seal(1), world.seal(1, first=2)
    batch = world.sign(first.segment_id, second.segment_id)
    return Delivery(world, first.data, batch.signature, 0, (), {}).opened()


@attack(R.BATCH_PATH)
def path_one_hash_long():
    delivery = World().delivery()
    return replace(delivery, path=(bytes(48),)).opened()


@attack(R.BATCH_PATH)
def index_not_below_the_count():
    delivery = World().delivery()
    return replace(delivery, index=1).opened()


@attack(R.BATCH_SIGNATURE)
def segment_under_the_index_of_its_neighbour():
    world = World()
    first, second = world.seal(1), world.seal(1, first=2)
    batch = world.sign(first.segment_id, second.segment_id)
    return Delivery(world, first.data, batch.signature, 1, batch.paths[0], {}).opened()


@attack(R.BATCH_SIGNATURE)
def one_root_under_two_counts():
    world = World()
    segments = [world.seal(1, first=i + 1) for i in range(3)]
    batch = world.sign(*(segment.segment_id for segment in segments))
    # With three segments the first one's path has two hashes; four make a path of the same length.
    claimed = replace(batch.signature, count=4)
    return Delivery(world, segments[0].data, claimed, 0, batch.paths[0], {}).opened()


@attack(R.BATCH_SIGNATURE)
def two_segments_handed_over_as_one():
    world = World()
    first, second = world.seal(1), world.seal(1, first=2)
    batch = world.sign(first.segment_id, second.segment_id)
    one = segment_bytes(
        Delivery(world, first.data, batch.signature, 0, (), {}),
        [item_bytes(parse_segment(data).items[0]) for data in (first.data, second.data)],
    )
    return Delivery(world, one, replace(batch.signature, count=1), 0, (), {}).opened()


@attack(R.BATCH_SIGNATURE)
def one_segment_handed_over_as_two():
    delivery = World().delivery(2)
    half = segment_bytes(delivery, [item_bytes(delivery.segment.items[0])])
    other = delivery.segment.items[1].leaf
    return replace(delivery, data=half, batch=replace(delivery.batch, count=2), path=(other,)).opened()


@attack(R.BATCH_SIGNATURE)
def inner_node_as_a_pruned_leaf():
    delivery = World().delivery(3)
    first, second, third = delivery.segment.items
    items = [encode_pruned_item(tree.node(first.leaf, second.leaf)), item_bytes(third)]
    return replace(delivery, data=segment_bytes(delivery, items)).opened(1)


@attack(R.BATCH_SIGNATURE)
def leaf_as_the_segment_itself():
    world = World()
    sealed = world.seal(1)
    batch = sign_batch(world.sender.signer, AGREEMENT, world.sender.key_set, [sealed.leaves[0]])
    return Delivery(world, sealed.data, batch.signature, 0, (), {}).opened()


@attack(R.BATCH_SIGNATURE)
def segment_root_as_a_leaf_of_the_batch():
    world = World()
    sealed = world.seal(2)
    batch = sign_batch(world.sender.signer, AGREEMENT, world.sender.key_set, [tree.root(sealed.leaves)])
    return Delivery(world, sealed.data, batch.signature, 0, (), {}).opened()


def _stand_in(leaf: Callable[[bytes], bytes]) -> object:
    delivery = World().delivery(2)
    first, second = (item for _, item in delivery.segment.whole)
    items = [encode_pruned_item(leaf(first.manifest_bytes)), item_bytes(second)]
    return replace(delivery, data=segment_bytes(delivery, items)).opened(1)


@attack(R.BATCH_SIGNATURE)
def receipt_leaf_as_a_manifest_leaf():
    return _stand_in(lambda manifest: tree.labelled_leaf("receipt", manifest))


@attack(R.BATCH_SIGNATURE)
def audit_record_leaf_as_a_manifest_leaf():
    return _stand_in(lambda manifest: tree.labelled_leaf("audit-record", bytes(32), manifest))


@attack(R.BATCH_SIGNATURE)
def other_first_origin_sequence():
    delivery = World().delivery()
    return replace(delivery, data=segment_bytes(delivery, first_origin_sequence=2)).opened()


@attack(R.BATCH_SIGNATURE)
def other_class():
    delivery = World().delivery()
    return replace(delivery, data=segment_bytes(delivery, transport_class=1)).opened()


@attack(R.BATCH_SIGNATURE)
def other_origin_epoch():
    delivery = World().delivery()
    return replace(delivery, data=segment_bytes(delivery, origin_epoch=bytes(16))).opened()


@attack(R.BATCH_SIGNATURE)
def slot_left_out():
    delivery = World().delivery(2)
    items = [item_bytes(item) for _, item in delivery.segment.whole]
    return replace(delivery, data=segment_bytes(delivery, items[:1])).opened()


@attack(R.BATCH_SIGNATURE)
def two_slots_swapped():
    delivery = World().delivery(2)
    items = [item_bytes(item) for _, item in delivery.segment.whole]
    return replace(delivery, data=segment_bytes(delivery, items[::-1])).opened()


@attack(R.BATCH_SIGNATURE)
def signed_again_by_another_node():
    delivery = World().delivery()
    other = delivery.world.other
    batch = sign_batch(other.signer, AGREEMENT, delivery.world.sender.key_set, [delivery.segment.segment_id])
    return replace(delivery, batch=batch.signature).opened()


@attack(R.BATCH_SIGNATURE)
def hybrid_signature_without_its_classical_half():
    delivery = World().delivery()
    return replace(delivery, batch=replace(delivery.batch, signature=delivery.batch.signature[64:])).opened()


@attack(R.BATCH_SIGNATURE)
def hybrid_signature_without_its_post_quantum_half():
    delivery = World().delivery()
    return replace(delivery, batch=replace(delivery.batch, signature=delivery.batch.signature[:64])).opened()


@attack(R.BATCH_SIGNATURE)
def hybrid_signature_with_a_foreign_classical_half():
    delivery = World().delivery()
    other = sign_batch(
        delivery.world.other.signer, AGREEMENT, delivery.world.sender.key_set, [delivery.segment.segment_id]
    )
    mixed = other.signature.signature[:64] + delivery.batch.signature[64:]
    return replace(delivery, batch=replace(delivery.batch, signature=mixed)).opened()


@attack(R.BATCH_SIGNATURE)
def hybrid_signature_with_a_foreign_post_quantum_half():
    delivery = World().delivery()
    other = sign_batch(
        delivery.world.other.signer, AGREEMENT, delivery.world.sender.key_set, [delivery.segment.segment_id]
    )
    mixed = delivery.batch.signature[:64] + other.signature.signature[64:]
    return replace(delivery, batch=replace(delivery.batch, signature=mixed)).opened()


@attack(R.BATCH_SUITE)
def suite_of_the_batch_changed():
    delivery = World().delivery()
    return replace(delivery, batch=replace(delivery.batch, suite=int(Suite.CNSA))).opened()


@attack(R.BATCH_KEY_SET)
def key_set_of_the_batch_changed():
    delivery = World().delivery()
    return replace(delivery, batch=replace(delivery.batch, key_set=bytes(48))).opened()


@attack(R.BATCH_SIGNATURE)
def agreement_of_the_batch_changed():
    delivery = World().delivery()
    return replace(delivery, batch=replace(delivery.batch, agreement_id="XAR-XDE-1")).opened()
