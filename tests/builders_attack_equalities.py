"""Attacks on what segment, batch, key set, cores, bodies, packets and approvals say of one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from builders_attack import (
    OWN,
    READER,
    R,
    attack,
    changed_manifest,
    forge,
    item_bytes,
    published,
    resealed,
    segment_bytes,
    with_core,
    with_profile,
    with_rows,
)
from builders_envelope import (
    NOW,
    RELEASABLE,
    RawSigner,
    World,
)
from comity.envelope import packets
from comity.envelope.checks import OfficerKey, check_packets
from comity.envelope.core import encode_core
from comity.envelope.evidence import (
    AckOutcome,
    sign_approval,
)
from comity.envelope.forwarding import Withholding, with_approvals, withhold
from comity.envelope.manifest import row_key
from comity.suites import KeyRole, Suite, generate_signing
from comity_policy.facts import Addressee, Kind, Originator, PortionMarking, Precedence, Role

# --- equalities --------------------------------------------------------------------------------------------------------


@attack(R.AGREEMENT)
def segment_in_a_batch_of_another_agreement():
    delivery = World().delivery()
    batch = delivery.world.sign(delivery.segment.segment_id, agreement_id="XAR-XDE-1")
    return replace(delivery, batch=batch.signature).opened()


@attack(R.CORE_AGREEMENT)
def core_of_another_agreement():
    return with_profile(forge(), agreement_id="XAR-XDE-1").opened()


@attack(R.CORE_SUITE)
def core_of_another_suite():
    return with_profile(forge(), suite=int(Suite.CNSA)).opened()


@attack(R.CORE_KEY_SET)
def core_of_another_key_set():
    return with_profile(forge(), key_set=bytes(48)).opened()


@attack(R.ORIGINATOR)
def core_in_the_name_of_another_node():
    return with_profile(forge(), originator=Originator("XAR", "n2")).opened()


@attack(R.ORIGINATOR)
def core_in_the_name_of_another_party():
    return with_profile(forge(), originator=Originator("XDE", "n1")).opened()


@attack(R.CALLER)
def segment_published_by_another_node_than_its_originator():
    return published(World().delivery(), caller=("XDE", "n1"))


@attack(R.CLASS)
def class_that_its_cores_do_not_have():
    made = forge()
    return made.delivery.resigned(segment_bytes(made.delivery, transport_class=1)).opened()


@attack(R.ORIGIN_EPOCH)
def core_of_another_origin_epoch():
    return with_core(forge(), origin_epoch=bytes(16)).opened()


@attack(R.ORIGIN_SEQUENCE)
def core_with_another_origin_sequence():
    return with_core(forge(2), slot=1, origin_sequence=9).opened()


@attack(R.PORTION_COUNT)
def profile_with_one_portion_more():
    return with_profile(forge(), portions=(PortionMarking(RELEASABLE),) * 3).opened()


@attack(R.PORTION_COUNT)
def ciphertext_left_out():
    made = forge()
    return resealed(made, ciphertexts=made.items[0].ciphertexts[:1])


@attack(R.PORTION_COUNT)
def manifest_with_one_portion_fewer():
    made = forge()
    item = made.items[0]
    rows = (replace(item.manifest.rows[OWN], indices=(0,)), item.manifest.rows[READER])
    return resealed(made, manifest=changed_manifest(item, portions=item.manifest.portions[:1], rows=rows))


@attack(R.STANZA_COUNT)
def stanza_left_out():
    made = forge()
    return resealed(made, stanzas=made.items[0].stanzas[:1])


@attack(R.STANZA_COUNT)
def hidden_recipient_with_a_stanza_beyond_the_rows():
    made = forge()
    stanzas = made.items[0].stanzas
    return resealed(made, stanzas=(*stanzas, stanzas[1]))


@attack(R.PORTION_INDEX)
def row_for_a_portion_that_does_not_exist():
    made = forge()
    return resealed(made, manifest=with_rows(made, lambda row: replace(row, indices=(0, 9)), READER))


@attack(R.ROW_TWICE)
def one_key_in_two_rows():
    made = forge()
    item = made.items[0]
    again = replace(item.manifest.rows[READER], party="XDE")
    manifest = changed_manifest(item, rows=(*item.manifest.rows, again))
    return resealed(made, manifest=manifest, stanzas=(*item.stanzas, item.stanzas[READER]))


@attack(R.OWN_ROW)
def no_row_of_the_originators_party():
    made = forge()
    item = made.items[0]
    manifest = changed_manifest(item, rows=item.manifest.rows[READER:])
    return resealed(made, manifest=manifest, stanzas=item.stanzas[READER:])


@attack(R.OWN_ROW)
def own_row_without_a_portion():
    made = forge()
    return resealed(made, manifest=with_rows(made, lambda row: replace(row, indices=(0,)), OWN))


@attack(R.OWN_ROW)
def two_rows_of_the_originators_party():
    made = forge()
    item = made.items[0]
    again = replace(item.manifest.rows[OWN], fingerprint=b"\xff" * 48)
    rows = tuple(sorted((*item.manifest.rows, again), key=row_key))
    stanzas = [item.stanzas[OWN], item.stanzas[OWN], item.stanzas[READER]]
    return resealed(made, manifest=changed_manifest(item, rows=rows), stanzas=stanzas)


@attack(R.AGREEMENT_DIGEST)
def two_agreement_texts_in_one_segment():
    return with_profile(forge(2), slot=1, agreement_digest=bytes(48)).opened()


@attack(R.ADDRESSEES)
def two_addressee_sets_in_one_segment():
    return with_profile(forge(2), slot=1, addressees=(Addressee("XDE"),)).opened()


@attack(R.PRECEDENCE)
def two_precedences_in_one_segment():
    return with_profile(forge(2, kind=Kind.RECALL), slot=1, precedence=Precedence.FLASH).opened()


@attack(R.EXERCISE)
def exercise_and_real_traffic_in_one_segment():
    return with_profile(forge(2), slot=1, exercise=True).opened()


@attack(R.REPORT_TWICE)
def one_report_id_in_two_slots():
    made = forge(2)
    return with_core(made, slot=1, report_id=made.items[0].core.report_id).opened()


@attack(R.REPORT_TWICE)
def one_core_under_two_manifests():
    # The same core bytes in two slots, so only the second slot's number could tell; its id tells first.
    made = forge(2)
    first, second = made.items
    manifest = changed_manifest(second, core=encode_core(replace(first.core, origin_sequence=2)))
    data = segment_bytes(made.delivery, [item_bytes(first), item_bytes(second, manifest=manifest)])
    return made.delivery.resigned(data).opened()


# --- bodies ------------------------------------------------------------------------------------------------------------


@attack(R.STANZA_DIGEST, AckOutcome.INCOMPLETE)
def stanzas_of_two_reports_swapped_by_the_carriage():
    delivery = World().delivery(2)
    first, second = (item for _, item in delivery.segment.whole)
    items = [item_bytes(first, stanzas=second.stanzas), item_bytes(second, stanzas=first.stanzas)]
    return replace(delivery, data=segment_bytes(delivery, items)).opened()


@attack(R.STANZA_DIGEST, AckOutcome.INCOMPLETE)
def stanza_of_another_reader_damaged_by_the_carriage():
    delivery = World().delivery()
    item = delivery.segment.items[0]
    stanzas = (bytes(len(item.stanzas[OWN])), item.stanzas[READER])
    return replace(delivery, data=segment_bytes(delivery, [item_bytes(item, stanzas=stanzas)])).opened()


@attack(R.CIPHERTEXT_DIGEST, AckOutcome.INCOMPLETE)
def portions_swapped_by_the_carriage():
    delivery = World().delivery()
    item = delivery.segment.items[0]
    data = segment_bytes(delivery, [item_bytes(item, ciphertexts=item.ciphertexts[::-1])])
    return replace(delivery, data=data).opened()


@attack(R.CIPHERTEXT_DIGEST, AckOutcome.INCOMPLETE)
def ciphertext_truncated_by_the_carriage():
    delivery = World().delivery()
    item = delivery.segment.items[0]
    ciphertexts = (item.ciphertexts[0][:-1], item.ciphertexts[1])
    return replace(delivery, data=segment_bytes(delivery, [item_bytes(item, ciphertexts=ciphertexts)])).opened()


@attack(R.CIPHERTEXT_DIGEST, AckOutcome.INCOMPLETE)
def ciphertext_with_a_length_the_manifest_does_not_give():
    made = forge()
    item = made.items[0]
    portions = (replace(item.manifest.portions[0], length=5), item.manifest.portions[1])
    return resealed(made, manifest=changed_manifest(item, portions=portions))


@attack(R.CIPHERTEXT_DIGEST)
def ciphertext_replaced_at_publish():
    delivery = World().delivery()
    item = delivery.segment.items[0]
    ciphertexts = (bytes(1096), item.ciphertexts[1])
    return published(replace(delivery, data=segment_bytes(delivery, [item_bytes(item, ciphertexts=ciphertexts)])))


@attack(R.NOT_COMPLETE)
def ciphertext_withheld_at_publish():
    delivery = World().delivery()
    data = withhold(delivery.data, {0: Withholding(ciphertexts=frozenset({1}))})
    return published(replace(delivery, data=data))


@attack(R.NOT_COMPLETE)
def stanza_withheld_at_publish():
    delivery = World().delivery()
    return published(replace(delivery, data=withhold(delivery.data, {0: Withholding(stanzas=frozenset({1}))})))


# --- key packets -------------------------------------------------------------------------------------------------------


def _checked_packets(change: Callable[[list[bytes]], list[bytes]]):
    delivery = World().delivery()
    data = [delivery.packets[name] for name in sorted(delivery.packets)]
    items = [item for _, item in delivery.segment.whole]
    return check_packets(change(data), items, lambda _: False)


@attack(R.PACKET_UNNAMED)
def hidden_recipient_with_a_packet_no_row_names():
    extra = bytes(1168)
    return _checked_packets(lambda data: sorted([*data, extra], key=packets.packet_id))


@attack(R.PACKET_MISSING)
def packet_left_out_at_publish():
    return _checked_packets(lambda data: data[:1])


@attack(R.PACKETS_UNSORTED)
def packets_out_of_order():
    return _checked_packets(lambda data: data[::-1])


@attack(R.PACKETS_UNSORTED)
def packet_twice():
    return _checked_packets(lambda data: [data[0], data[0], data[1]])


# --- approvals ---------------------------------------------------------------------------------------------------------


class _Officers:
    """Two officers of XAR, the first with two keys, and one of XBO."""

    def __init__(self, world: World) -> None:
        self.signers = [RawSigner(generate_signing(Suite.HYBRID), KeyRole.OFFICER_SIGNING) for _ in range(4)]
        names = ["XAR/officer1", "XAR/officer1", "XAR/officer2", "XBO/officer1"]
        for signer, name in zip(self.signers, names, strict=True):
            world.officers[signer.fingerprint] = OfficerKey(
                name,
                name[:3],
                int(signer.suite),
                signer.public,
                frozenset({Role.RELEASE_AUTHORITY}),
            )


def _approved(required: int, sign: Callable[[_Officers, bytes], list]) -> object:
    world = World()
    officers = _Officers(world)
    delivery = world.delivery(approvals_required=required)
    approvals = sign(officers, delivery.segment.items[0].leaf)
    return replace(delivery, data=with_approvals(delivery.data, {0: approvals})).opened()


@attack(R.APPROVALS_MISSING, AckOutcome.INCOMPLETE)
def approval_dropped_by_the_carriage():
    return _approved(1, lambda _, __: [])


@attack(R.APPROVALS_MISSING, AckOutcome.INCOMPLETE)
def one_person_approves_twice_with_two_keys():
    return _approved(
        2, lambda made, leaf: [sign_approval(made.signers[i], leaf, Role.RELEASE_AUTHORITY, NOW) for i in (0, 1)]
    )


@attack(R.APPROVAL_OFFICER, AckOutcome.REFUSED)
def approval_by_an_officer_of_another_party():
    return _approved(1, lambda made, leaf: [sign_approval(made.signers[3], leaf, Role.RELEASE_AUTHORITY, NOW)])


@attack(R.APPROVAL_OFFICER, AckOutcome.REFUSED)
def approval_by_an_unknown_officer():
    stranger = RawSigner(generate_signing(Suite.HYBRID), KeyRole.OFFICER_SIGNING)
    return _approved(0, lambda _, leaf: [sign_approval(stranger, leaf, Role.RELEASE_AUTHORITY, NOW)])


@attack(R.APPROVAL_ROLE, AckOutcome.REFUSED)
def approval_in_a_role_the_officer_does_not_hold():
    return _approved(1, lambda made, leaf: [sign_approval(made.signers[0], leaf, Role.DUTY_OFFICER, NOW)])


@attack(R.APPROVAL_SIGNATURE, AckOutcome.REFUSED)
def approval_of_another_envelope():
    return _approved(1, lambda made, _: [sign_approval(made.signers[0], bytes(48), Role.RELEASE_AUTHORITY, NOW)])


@attack(R.APPROVAL_SIGNATURE, AckOutcome.REFUSED)
def approval_with_another_time():
    def sign(made: _Officers, leaf: bytes):
        return [replace(sign_approval(made.signers[0], leaf, Role.RELEASE_AUTHORITY, NOW), time=NOW + 1)]

    return _approved(1, sign)


@attack(R.APPROVAL_SIGNATURE, AckOutcome.REFUSED)
def approval_of_another_suite():
    def sign(made: _Officers, leaf: bytes):
        return [replace(sign_approval(made.signers[0], leaf, Role.RELEASE_AUTHORITY, NOW), suite=int(Suite.CNSA))]

    return _approved(1, sign)
