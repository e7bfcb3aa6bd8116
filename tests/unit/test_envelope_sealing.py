"""Sealing, opening and handing on, as their callers use them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from builders_attack import Recorder, segment_bytes
from builders_attack_opening import uploaded
from builders_envelope import NOW, RELEASABLE, NodeKeys, World, core, portion, profile, refused, report_id
from comity.envelope import chunked, limits, padding
from comity.envelope.checks import OfficerKey, admit, check_packets
from comity.envelope.core import LogSeen, Reference, Relation, encode_core
from comity.envelope.evidence import (
    VerifiedBatches,
    sign_approval,
)
from comity.envelope.exported import decode_exported, encode_exported, export, verify_exported
from comity.envelope.forwarding import prune, with_approvals
from comity.envelope.manifest import encode_manifest
from comity.envelope.open import OpenedPortion, OpenedReport, UploadedPortion, WithheldPortion, index_packets
from comity.envelope.reasons import RejectReason
from comity.envelope.seal import Recipient, SealInput
from comity.envelope.segment import parse_segment
from comity.errors import ErrorCode, MalformedError, RejectedError, UsageError
from comity.suites import Suite
from comity_policy.facts import Kind, PortionMarking, Profile, Role

SENDER = NodeKeys.generate("XAR", "n1")
PROFILE = profile(SENDER)


# --- padding and content -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 1000, 1012, 1013, 5000, 16_384, 100_000, 1 << 20])
def test_a_portion_is_padded_to_a_length_that_says_little(length: int) -> None:
    header = padding.encode_header({"title": "x"})
    plaintext = padding.encode_portion(header, b"c" * length)
    used = 12 + len(header) + length
    exponent = used.bit_length() - 1
    last_bits = exponent - (exponent.bit_length() - 1 + 1)
    mask = (1 << last_bits) - 1
    assert len(plaintext) == max(1024, (used + mask) & ~mask)
    assert padding.decode_portion(plaintext) == ({"title": "x"}, b"c" * length)
    stream = padding.PortionStream(len(plaintext))
    content = b"".join(stream.feed(plaintext[i : i + 777]) for i in range(0, len(plaintext), 777))
    stream.finish()
    assert (stream.header, content) == ({"title": "x"}, b"c" * length)
    front = padding.prefix(header, length)
    assert front + b"c" * length + b"".join(padding.zeros(header, length)) == plaintext


def test_a_header_has_at_most_64_kib() -> None:
    refused(lambda: padding.encode_header({"x": "y" * 70_000}))


def test_sizes_of_ciphertexts_are_known_beforehand() -> None:
    for size in (0, 1, 16_383, 16_384, 16_385, 40_000):
        ciphertext = chunked.seal(bytes(32), b"", bytes(size))
        assert len(ciphertext) == chunked.ciphertext_size(size)
        assert chunked.plaintext_size(len(ciphertext)) == size


# --- sealing -----------------------------------------------------------------------------------------------------------


def one_report(world: World, sequence: int = 1, **changes: object) -> SealInput:
    shared = profile(world.sender, portions=(PortionMarking(RELEASABLE),), **changes)
    return SealInput(core(world.sender, sequence, shared), (portion("x"),), ((world.reader.recipient, (0,)),))


def test_a_kek_lives_ten_minutes_and_no_longer() -> None:
    world, now = World(), [NOW]
    sealer = world.sender.sealer(now_ms=lambda: now[0])
    first = sealer.seal_segment([one_report(world, 1)])
    assert len(first.new_packets) == 2
    now[0] += limits.KEK_LIFE_MS - 1
    again = sealer.seal_segment([one_report(world, 2)])
    assert again.new_packets == ()
    assert again.packets == first.packets
    now[0] += 1
    assert len(sealer.seal_segment([one_report(world, 3)]).new_packets) == 2
    now[0] -= 10 * limits.KEK_LIFE_MS
    assert len(sealer.seal_segment([one_report(world, 4)]).new_packets) == 2


def test_a_kek_serves_4096_reports_and_no_more() -> None:
    world = World()
    sealer = world.sender.sealer()
    shared = profile(world.sender, portions=(PortionMarking(RELEASABLE),))
    fresh = []
    for first in range(1, 4098, 256):
        reports = [
            SealInput(core(world.sender, first + i, shared), (portion(""),), ((world.reader.recipient, (0,)),))
            for i in range(256)
        ]
        fresh.append(len(sealer.seal_segment(reports).new_packets))
    assert fresh == [2, *[0] * 15, 2]


def test_a_packet_is_new_until_a_segment_that_names_it_was_sealed() -> None:
    world = World()
    sealer = world.sender.sealer()
    big = SealInput(one_report(world).core, (portion("x" * 1_100_000),), ((world.reader.recipient, (0,)),))
    refused(lambda: sealer.seal_segment([big]), code=ErrorCode.LIMIT_EXCEEDED)
    assert len(sealer.seal_segment([one_report(world)]).new_packets) == 2
    assert sealer.seal_segment([one_report(world)]).new_packets == ()
    sealer.forget()
    assert len(sealer.seal_segment([one_report(world)]).new_packets) == 2


def test_keks_of_two_agreements_and_recipients_are_apart() -> None:
    world = World()
    sealer = world.sender.sealer()
    first = sealer.seal_segment([one_report(world)])
    other = sealer.seal_segment([one_report(world, agreement_id="XAR-XBO-2")])
    assert {p.packet_id for p in first.packets}.isdisjoint(p.packet_id for p in other.packets)


def test_secrets_and_nonces_are_separate_draws() -> None:
    world, source = World(), Recorder()
    world.seal(3, sealer=world.sender.sealer(random_bytes=source))
    # Content keys of six portions, nonces of six stanzas, then a KEK for each of two recipients.
    assert [len(value) for value in source.given] == [6 * 32, 6 * 12, 32, 32]


def test_reports_sealed_one_by_one_are_a_segment_like_any_other() -> None:
    world, source = World(), Recorder()
    sealer = world.sender.sealer(random_bytes=source)
    shared = profile(world.sender)
    reports = [
        SealInput(core(world.sender, number, shared), (portion("a"), portion("b")), ((world.reader.recipient, (0,)),))
        for number in (1, 2)
    ]
    first = sealer.seal(reports[0])
    # Content keys of two portions, nonces of two stanzas, a KEK for each of two recipients: drawn when it is sealed.
    assert [len(value) for value in source.given] == [2 * 32, 2 * 12, 32, 32]
    sealed = sealer.close([first, sealer.seal(reports[1])])
    assert [item.core for item in parse_segment(sealed.data).items] == [one.core for one in reports]
    assert sealed.new_packets == sealed.packets
    assert sealer.close([first]).new_packets == ()


def test_reports_of_a_run_are_written_as_each_would_be_alone() -> None:
    """What a run shares is worked out once; whatever changes between two reports must not be taken from the one before."""
    world = World()
    sealer = world.sender.sealer()
    both, first_only = ((world.reader.recipient, (0, 1)),), ((world.reader.recipient, (0,)),)
    one, other = profile(world.sender), profile(world.sender, purpose="border security")
    seen = LogSeen(bytes(16), 9, bytes([1]) * 32)
    answered = Reference(Relation.IN_REPLY_TO, report_id(99), bytes(48))
    first = core(world.sender, 1, one)
    changes = [
        ({}, both),
        ({}, both),
        ({}, both),
        ({}, first_only),
        ({}, first_only),
        ({}, first_only),
        ({"created_at": NOW - 5}, both),
        ({"profile": other}, both),
        ({"agreement_log_seen": seen}, both),
        ({"key_log_seen": seen}, both),
        ({"refers_to": (answered,)}, both),
        ({}, both),
        ({}, both),
        ({"not_before": NOW + 7, "expires_at": NOW + 9}, both),
    ]
    made = [
        (replace(first, report_id=report_id(number), origin_sequence=number, **changed), recipients)
        for number, (changed, recipients) in enumerate(changes, 1)
    ]
    texts = (portion("a"), portion("b"))
    sealed = sealer.close([sealer.seal(SealInput(of, texts, recipients)) for of, recipients in made])
    items = parse_segment(sealed.data).items
    assert [item.core for item in items] == [of for of, _ in made]
    opener, key_packets = world.reader.opener(), index_packets(tuple(one.data for one in sealed.packets))
    # In any order: what is urgent is opened between others.
    for item, (_, recipients) in [*zip(items, made, strict=True), (items[2], made[2]), (items[5], made[5])]:
        assert encode_core(item.core) == item.manifest.core
        assert encode_manifest(item.manifest) == item.manifest_bytes
        assert [row.indices for row in item.manifest.rows if row.party == "XBO"] == [recipients[0][1]]
        opened = opener.open_item(item, key_packets, {}.get)
        shown = [one.content for one in opened.portions if isinstance(one, OpenedPortion)]
        assert shown == [b"a", b"b"][: len(recipients[0][1])]
    # What it remembers of the way into the last one goes with the key.
    opener.forget(world.reader.recipient.fingerprint)
    with pytest.raises(RejectedError) as refusal:
        opener.open_item(items[-1], key_packets, {}.get)
    assert refusal.value.reason == RejectReason.NOT_OURS


def test_reports_sealed_one_by_one_are_a_dense_run() -> None:
    world = World()
    sealer = world.sender.sealer()
    far = [
        sealer.seal(
            SealInput(
                core(world.sender, number, profile(world.sender)),
                (portion("a"), portion("b")),
                ((world.reader.recipient, (0,)),),
            )
        )
        for number in (1, 3)
    ]
    with pytest.raises(UsageError, match="dense run"):
        sealer.close(far)


def _one(**changes: object) -> Profile:
    return profile(SENDER, portions=(PortionMarking(RELEASABLE),), **changes)


def _together(world: World, change: Callable[[SealInput], SealInput]) -> list[SealInput]:
    return [one_report(world, 1), change(one_report(world, 2))]


@pytest.mark.parametrize(
    "change",
    [
        lambda report: replace(report, core=replace(report.core, origin_sequence=3)),
        lambda report: replace(report, core=replace(report.core, origin_epoch=bytes(16))),
        lambda report: replace(report, core=replace(report.core, profile=_one(suite=2))),
        lambda report: replace(report, core=replace(report.core, profile=_one(key_set=bytes(48)))),
        lambda report: replace(report, core=replace(report.core, profile=_one(exercise=True))),
        lambda report: replace(report, core=replace(report.core, profile=_one(kind=Kind.RECALL))),
        lambda report: replace(report, core=replace(report.core, profile=_one(agreement_id="X"))),
        lambda report: replace(report, portions=()),
        lambda report: replace(report, recipients=((report.recipients[0][0], (0, 1)),)),
        lambda report: replace(report, recipients=((report.recipients[0][0], ()),)),
        lambda report: replace(report, recipients=report.recipients * 2),
        lambda report: replace(report, recipients=((NodeKeys.generate("XAR", "n2").recipient, (0,)),)),
        lambda report: replace(report, recipients=((NodeKeys.generate("XBO", "n1", Suite.CNSA).recipient, (0,)),)),
    ],
)
def test_what_does_not_belong_together_is_not_sealed(change: Callable[[SealInput], SealInput]) -> None:
    world = World()
    with pytest.raises(UsageError):
        world.sender.sealer().seal_segment(_together(world, change))
    honest = _together(world, lambda report: replace(report, core=replace(report.core, profile=_one())))
    assert len(world.sender.sealer().seal_segment(honest).leaves) == 2


def test_a_segment_is_sealed_from_1_to_256_reports() -> None:
    world = World()
    for count in (0, 257):
        with pytest.raises(UsageError):
            world.sender.sealer().seal_segment([one_report(world)] * count)


def test_a_recipient_key_that_is_none_is_refused() -> None:
    world = World()
    broken = Recipient("XBO", 1, bytes(5), bytes(48))
    with pytest.raises(MalformedError):
        world.sender.sealer().seal_segment([replace(one_report(world), recipients=((broken, (0,)),))])


# --- opening and handing on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [Suite.HYBRID, Suite.CNSA])
def test_each_reader_opens_what_it_was_given_and_sees_the_rest_as_withheld(suite: Suite) -> None:
    world = World(suite)
    sealed = world.seal(2)
    batch = world.sign(sealed.segment_id)
    admitted = admit(
        parse_segment(sealed.data),
        batch.signature,
        batch.segment_ids,
        0,
        world.sender.signing_node,
        caller=("XAR", "n1"),
        memo=VerifiedBatches(),
    )
    came = index_packets(packet.data for packet in sealed.packets)
    theirs = world.reader.opener().open_slot(admitted, 1, came, world.officers.get)
    ours = world.sender.opener().open_slot(admitted, 1, came, world.officers.get)
    assert isinstance(theirs, OpenedReport)
    assert isinstance(ours, OpenedReport)
    assert theirs.core.origin_sequence == 2
    assert theirs.portions[0].content == b"report 2 portion 0"
    assert isinstance(theirs.portions[1], WithheldPortion)
    assert [part.content for part in ours.portions] == [b"report 2 portion 0", b"report 2 portion 1"]


def test_a_kek_is_remembered_and_forgotten_with_its_key() -> None:
    delivery = World().delivery(2)
    opener = delivery.world.reader.opener()
    assert isinstance(delivery.opened(0, opener), OpenedReport)
    without_packets = replace(delivery, packets={})
    assert isinstance(without_packets.opened(1, opener), OpenedReport)
    opener.forget(delivery.world.reader.decapsulator.fingerprint)
    assert not isinstance(delivery.opened(0, opener), OpenedReport)


def test_an_officer_without_an_approval_is_stated_by_the_node_only() -> None:
    world = World()
    officer = NodeKeys.generate("XAR", "officer1").signer
    world.officers[officer.fingerprint] = OfficerKey(
        "XAR/officer1", "XAR", 1, officer.public, frozenset({Role.LIAISON})
    )
    stated = replace(PROFILE.originator, officer_fingerprint=officer.fingerprint, officer_role=Role.LIAISON)
    delivery = world.delivery(originator=stated)
    alone = delivery.opened()
    approval = sign_approval(officer, delivery.segment.items[0].leaf, Role.LIAISON, NOW)
    approved = replace(delivery, data=with_approvals(delivery.data, {0: [approval]})).opened()
    assert isinstance(alone, OpenedReport)
    assert isinstance(approved, OpenedReport)
    assert not alone.officer_signed
    assert approved.officer_signed
    assert approved.approved_by == {"XAR/officer1"}


def test_an_uploaded_portion_opens_in_two_passes() -> None:
    delivery, stored, part = uploaded()
    pieces = [stored[i : i + 5000] for i in range(0, len(stored), 5000)]
    part.check(pieces)
    stream = part.decrypt(pieces)
    assert b"".join(stream) == b"a" * 20_000 + b"b" * 20_000
    assert stream.header == {"file_name": "a.bin"}
    assert isinstance(delivery.opened().portions[0], UploadedPortion)


def test_an_exported_envelope_verifies_alone_and_opens() -> None:
    delivery = World().delivery(5)
    alone = export(
        delivery.segment,
        3,
        batch=delivery.batch,
        index=0,
        batch_path=delivery.path,
        key_packets=[*delivery.packets.values(), bytes(10)],
    )
    data = encode_exported(alone)
    back = decode_exported(data)
    assert back == alone
    verify_exported(back, delivery.world.sender.signing_node, memo=VerifiedBatches())
    opened = delivery.world.reader.opener().open_item(back.item, index_packets(back.key_packets), lambda _: None)
    assert opened.portions[0].content == b"report 4 portion 0"
    refused(lambda: decode_exported(data + b"\x00"))
    refused(lambda: decode_exported(b"\x00\x02" + data[2:]))
    with pytest.raises(UsageError):
        export(
            parse_segment(prune(delivery.data, {3})),
            3,
            batch=delivery.batch,
            index=0,
            batch_path=(),
            key_packets=[],
        )


def test_packets_that_came_before_need_not_come_again() -> None:
    delivery = World().delivery()
    items = [item for _, item in delivery.segment.whole]
    assert check_packets([], items, lambda name: name in delivery.packets) == []


def test_a_segment_rewritten_without_change_is_the_same_bytes() -> None:
    delivery = World().delivery(2)
    assert segment_bytes(delivery) == delivery.data
