"""Sabotage: with one check disabled, or one binding forgotten by both sides, at least one attack must go unrefused.

This shows that the attack table would notice if a check were lost. Three kinds of fault are put in, one at a time:
a reason whose check never fails; an outcome that says the wrong thing; a hash, signature or key derivation that leaves
one of its items out (in sealing as well as in opening, so that honest envelopes still open).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from cryptography.exceptions import InvalidSignature

from builders_envelope_attacks import ATTACKS, Attack, honest, observe
from comity import suites
from comity.envelope import (
    chunked,
    evidence,
    limits,
    open,  # noqa: A004  (the module)
    packets,
    padding,
    reasons,
    run_form,
    seal,
    segment,
    tree,
)
from comity.envelope.evidence import AckOutcome, BatchSignature
from comity.envelope.reasons import RejectReason
from comity.envelope.records import pae_head
from comity.pae import label, pae

# Refusals for want of bytes to go on with: there is nothing to disable but what is said about them.
WITHOUT_A_WAY_ON = {
    RejectReason.PRUNED,
    RejectReason.NOT_OURS,
    RejectReason.STANZA_WITHHELD,
    RejectReason.CIPHERTEXT_WITHHELD,
    RejectReason.PACKET_WITHHELD,
    RejectReason.STANZA_UNREADABLE,
    RejectReason.CIPHERTEXT_UNREADABLE,
    RejectReason.PORTION_MALFORMED,
    RejectReason.UPLOAD_UNREADABLE,
}
CHECKS = sorted(set(RejectReason) - WITHOUT_A_WAY_ON, key=lambda reason: reason.name)


def noticed(attacks: Iterable[Attack]) -> list[str]:
    """Give the attacks whose result is not what it should be."""
    wrong: list[str] = []
    for attack in attacks:
        result: object
        try:
            result = attack.run()
        except Exception as error:  # noqa: BLE001  (a crash where a refusal was due is noticed as well)
            result = (type(error).__name__, None)
        if result != (attack.reason, attack.outcome):
            wrong.append(attack.name)
    return wrong


def aimed_at(reason: RejectReason) -> list[Attack]:
    return [attack for attack in ATTACKS if attack.reason is reason]


@pytest.mark.parametrize("reason", CHECKS, ids=lambda reason: reason.name)
def test_a_disabled_check_is_noticed(reason: RejectReason, monkeypatch: pytest.MonkeyPatch) -> None:
    honest_require = reasons.require

    def require(condition: bool, asked: RejectReason) -> None:
        if asked is not reason:
            honest_require(condition, asked)

    monkeypatch.setattr(reasons, "require", require)
    assert observe(honest) == ("accepted: OpenedReport", None)
    assert noticed(aimed_at(reason))


@pytest.mark.parametrize(
    "reason", sorted(open.OUTCOMES, key=lambda reason: reason.name), ids=lambda reason: reason.name
)
def test_a_wrong_outcome_is_noticed(reason: RejectReason, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(open.OUTCOMES, reason, AckOutcome.ACKNOWLEDGED)
    assert noticed(aimed_at(reason))


def _patch(patch: pytest.MonkeyPatch, name: str, replacement: object, *modules: object) -> None:
    for module in modules:
        patch.setattr(module, name, replacement)


def _info(patch: pytest.MonkeyPatch, forgotten: str, replacement: object) -> None:
    honest_info = packets.packet_info
    patch.setattr(packets, "packet_info", lambda **said: honest_info(**{**said, forgotten: replacement}))


def _stanza(patch: pytest.MonkeyPatch, forgotten: str, replacement: object) -> None:
    honest_tail = packets.context_tail
    names = ["packet", "recipient_party", "recipient_fingerprint", "indices"]

    def tail(*given: object) -> bytes:
        return honest_tail(**{**dict(zip(names, given, strict=True)), forgotten: replacement})

    patch.setattr(packets, "context_tail", tail)


def _stanza_without_core(patch: pytest.MonkeyPatch) -> None:
    honest_start = packets.context_start
    patch.setattr(packets, "context_start", lambda _: honest_start(bytes(48)))


def _manifest_as_a_receipt(patch: pytest.MonkeyPatch) -> None:
    _patch(patch, "manifest_leaf", lambda data: tree.labelled_leaf("receipt", data), segment)
    patch.setattr(run_form, "LEAF_PAE", b"\x00" + pae_head("receipt", 1))


def _portion(patch: pytest.MonkeyPatch, *, forget_core: bool) -> None:
    honest_context = chunked.portion_context

    def context(core: bytes, index: int) -> bytes:
        return honest_context(bytes(48), index) if forget_core else honest_context(core, 0)

    patch.setattr(chunked, "portion_context", context)


def _segment_id(patch: pytest.MonkeyPatch, position: int) -> None:
    honest_id = segment.segment_id

    def identifier(*given: object) -> bytes:
        return honest_id(*given[:position], None, *given[position + 1 :])

    _patch(patch, "segment_id", identifier, segment, seal)


def _batch(patch: pytest.MonkeyPatch, position: int, name: str) -> None:
    honest_sign = suites.SigningSecret.sign

    def message(batch: BatchSignature, root: bytes) -> bytes:
        said = {field: getattr(batch, field) for field in ("suite", "agreement_id", "key_set", "count")}
        return pae("batch", *{**said, name: None}.values(), root)

    def sign(secret: suites.SigningSecret, purpose: str, *items: object) -> bytes:
        return honest_sign(secret, purpose, *(None if i == position else item for i, item in enumerate(items)))

    patch.setattr(evidence, "batch_message", message)
    patch.setattr(suites.SigningSecret, "sign", sign)


def _classical_half(suite: int, public: bytes, purpose: str, message: bytes, signature: bytes) -> bool:
    return suites.ed25519_verify(public[:32], message, signature[:64])


def _post_quantum_half(suite: int, public: bytes, purpose: str, message: bytes, signature: bytes) -> bool:
    try:
        suites._mldsa_public(suites.Suite(suite), public[32:]).verify(signature[64:], message, label(purpose))
    except InvalidSignature:
        return False
    return True


def _open_stanza_anything(kek, stanza, context, indices):
    opened = kek.decrypt(stanza[: limits.NONCE], stanza[limits.NONCE :], context)
    return tuple((index, opened[4 + 36 * i : 36 + 36 * i]) for i, index in enumerate(indices))


def _portion_without_padding_check(plaintext: bytes):
    header_length = int.from_bytes(plaintext[:4], "big")
    start = 12 + header_length
    length = int.from_bytes(plaintext[start - 8 : start], "big")
    return {}, plaintext[start : start + length]


# Each fault with an attack that must succeed, or be refused for another reason, once it is put in. (A batch signature's
# suite and key set are held twice, by the signature and by the key's own equality, so neither can be lost alone.)
FAULTS: list[tuple[str, str, Callable[[pytest.MonkeyPatch], None]]] = [
    ("packet info without the suite", "packet_of_another_suite", lambda p: _info(p, "suite", 0)),
    ("packet info without the agreement", "packet_of_another_agreement", lambda p: _info(p, "agreement_id", "")),
    ("packet info without the sealer", "packet_of_another_sealer", lambda p: _info(p, "sealer_party", "")),
    (
        "packet info without the key set",
        "packet_of_another_key_set_of_the_sealer",
        lambda p: _info(p, "sealer_key_set", b""),
    ),
    ("packet info without the party", "packet_for_another_party", lambda p: _info(p, "recipient_party", "")),
    ("packet info without the key", "packet_for_another_key", lambda p: _info(p, "recipient_fingerprint", b"")),
    ("stanza without the core", "stanza_moved_to_another_core", _stanza_without_core),
    ("stanza without the packet", "stanza_moved_to_another_packet", lambda p: _stanza(p, "packet", bytes(48))),
    ("stanza without the party", "stanza_moved_to_another_party", lambda p: _stanza(p, "recipient_party", "")),
    ("stanza without the key", "stanza_moved_to_another_key", lambda p: _stanza(p, "recipient_fingerprint", bytes(48))),
    (
        "stanza without a look at its indices",
        "stanza_with_keys_of_other_portions_than_its_row",
        lambda p: p.setattr(packets, "open_stanza", _open_stanza_anything),
    ),
    ("portion without the core", "ciphertext_of_another_report_signed_again", lambda p: _portion(p, forget_core=True)),
    (
        "portion without its place",
        "ciphertext_of_another_portion_signed_again",
        lambda p: _portion(p, forget_core=False),
    ),
    (
        "portion without a look at its padding",
        "padding_that_is_not_zero",
        lambda p: p.setattr(padding, "decode_portion", _portion_without_padding_check),
    ),
    ("segment id without the epoch", "other_origin_epoch", lambda p: _segment_id(p, 0)),
    ("segment id without the class", "other_class", lambda p: _segment_id(p, 1)),
    ("segment id without the first number", "other_first_origin_sequence", lambda p: _segment_id(p, 2)),
    ("segment id without the leaf count", "inner_node_as_a_pruned_leaf", lambda p: _segment_id(p, 3)),
    (
        "segment id without its label",
        "segment_root_as_a_leaf_of_the_batch",
        lambda p: _patch(p, "segment_id", lambda *given: given[4], segment, seal),
    ),
    (
        "manifest leaf with another label",
        "receipt_leaf_as_a_manifest_leaf",
        _manifest_as_a_receipt,
    ),
    ("batch without the agreement", "agreement_of_the_batch_changed", lambda p: _batch(p, 1, "agreement_id")),
    ("batch without the count", "one_root_under_two_counts", lambda p: _batch(p, 3, "count")),
    (
        "classical half alone",
        "hybrid_signature_with_a_foreign_post_quantum_half",
        lambda p: p.setattr(evidence, "verify_signature", _classical_half),
    ),
    (
        "post-quantum half alone",
        "hybrid_signature_with_a_foreign_classical_half",
        lambda p: p.setattr(evidence, "verify_signature", _post_quantum_half),
    ),
    (
        "approvals counted by key, not by person",
        "one_person_approves_twice_with_two_keys",
        lambda p: p.setattr(open, "check_approvals", _approvals_by_key),
    ),
    (
        "packets taken under the id they are said to have",
        "forged_packet_in_place_of_a_known_one",
        lambda p: p.setattr(packets, "packet_id", lambda _: bytes(48)),
    ),
]


def _approvals_by_key(item, officers):
    identities = {approval.officer_fingerprint.hex() for approval in item.approvals}
    reasons.require(len(identities) >= item.core.profile.approvals_required, RejectReason.APPROVALS_MISSING)
    return frozenset(identities)


@pytest.mark.parametrize(("name", "attack", "fault"), FAULTS, ids=[name for name, _, _ in FAULTS])
def test_a_forgotten_binding_is_noticed(
    name: str, attack: str, fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    assert noticed(item for item in ATTACKS if item.name == attack) == [attack]
