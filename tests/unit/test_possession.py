"""Proofs of possession: who has no private key cannot enrol it, and no answer makes a prover an oracle."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from builders_identity import Seeded, nation
from comity.errors import MalformedError, RejectedError
from comity.keys import possession
from comity.pae import pae
from comity.suites import KeyRole, Suite, encapsulate

NODE, VERIFIER = "XAR/n1", "hub.xar.example"
NONCE, CHALLENGE = Seeded("nonce")(32), Seeded("challenge")(32)


@pytest.fixture(scope="module", params=[Suite.HYBRID, Suite.CNSA])
def node(request):
    return nation("XAR", suites=(request.param,)).node("n1")


def sealed(held, /, **changes: object) -> bytes:
    given = {"node": NODE, "verifier": VERIFIER, "nonce": NONCE, "challenge": CHALLENGE}
    key = held.decapsulator
    return possession.seal_kem_challenge(key.suite, key.public, **{**given, **changes})


def answered(held, packet: bytes, /, **changes: object) -> bytes:
    given = {"node": NODE, "verifier": VERIFIER, "nonce": NONCE}
    return possession.answer_kem_challenge(held.decapsulator, packet, **{**given, **changes})


def accepted(held, answer: bytes, /, **changes: object) -> bool:
    given = {"node": NODE, "nonce": NONCE, "challenge": CHALLENGE, "answer": answer}
    key = held.decapsulator
    return possession.kem_answer_verifies(key.suite, key.public, **{**given, **changes})


# --- KEM keys -------------------------------------------------------------------------------------------------------


def test_who_holds_a_kem_key_answers_its_challenge(node):
    answer = answered(node, sealed(node))
    assert accepted(node, answer)
    key = node.decapsulator.fingerprint
    assert answer == hmac.digest(CHALLENGE, pae("kem-possession-answer", NODE, key, NONCE), hashlib.sha384)


def test_the_challenge_itself_is_no_answer_and_never_leaves(node):
    answer = answered(node, sealed(node))
    assert CHALLENGE not in answer
    assert len(answer) == possession.ANSWER_BYTES
    assert not accepted(node, CHALLENGE)


def test_a_recorded_key_packet_does_not_open_as_a_challenge(node):
    key = node.decapsulator
    info = pae("key-packet", int(key.suite), "XAR-XBO-1", "XBO", bytes(48), "XAR", key.fingerprint)
    recorded = encapsulate(key.suite, key.public, CHALLENGE, info)
    with pytest.raises(RejectedError):
        answered(node, recorded)


def test_a_challenge_cannot_be_passed_on_to_another_verifier_node_or_enrolment(node):
    packet = sealed(node)
    for changes in ({"verifier": "hub.xbo.example"}, {"node": "XAR/n2"}, {"nonce": bytes(32)}):
        with pytest.raises(RejectedError):
            answered(node, packet, **changes)


def test_an_answer_counts_for_its_own_node_nonce_and_challenge_only(node):
    answer = answered(node, sealed(node))
    for changes in ({"node": "XAR/n2"}, {"nonce": bytes(32)}, {"challenge": bytes(32)}, {"answer": answer[:-1]}):
        assert not accepted(node, answer, **changes)


def test_another_key_cannot_answer(node):
    other = nation("XBO", suites=(node.decapsulator.suite,)).node("n1")
    with pytest.raises(RejectedError):
        answered(other, sealed(node))
    assert not accepted(other, answered(node, sealed(node)))


def test_a_challenge_of_another_length_is_not_answered(node):
    key = node.decapsulator
    info = pae("kem-possession", NODE, key.fingerprint, VERIFIER, NONCE)
    for length in (0, 16, 31, 33, 48):
        with pytest.raises(RejectedError):
            answered(node, encapsulate(key.suite, key.public, bytes(length), info))
    with pytest.raises(MalformedError):
        sealed(node, challenge=bytes(31))


def test_a_nonce_of_another_length_refuses_everywhere(node):
    packet = sealed(node)
    for use in (
        lambda: sealed(node, nonce=bytes(31)),
        lambda: answered(node, packet, nonce=b""),
        lambda: accepted(node, b"", nonce=bytes(33)),
        lambda: possession.prove_signing_key(node.signer, NODE, VERIFIER, b""),
        lambda: proved(node, b"", nonce=b""),
    ):
        with pytest.raises(MalformedError):
            use()


# --- signing keys ---------------------------------------------------------------------------------------------------


def proved(held, proof: bytes, /, **changes: object) -> bool:
    signer = held.signer
    given = {"role": KeyRole.NODE_SIGNING, "suite": signer.suite, "public": signer.public}
    return possession.signing_proof_verifies(
        **{**given, "identity": NODE, "verifier": VERIFIER, "nonce": NONCE, "proof": proof, **changes}
    )


def test_who_holds_a_signing_key_proves_it(node):
    proof = possession.prove_signing_key(node.signer, NODE, VERIFIER, NONCE)
    assert proved(node, proof)


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": "XAR/n2"},
        {"verifier": "hub.xbo.example"},
        {"nonce": bytes(32)},
        {"role": KeyRole.OFFICER_SIGNING},
        {"proof": b""},
    ],
)
def test_a_proof_counts_for_its_own_identity_verifier_nonce_and_role_only(node, changes):
    assert not proved(node, possession.prove_signing_key(node.signer, NODE, VERIFIER, NONCE), **changes)


def test_a_proof_is_no_signature_of_anything_else(node):
    signer = node.signer
    body = NODE.encode()
    assert not proved(node, signer.sign("statement", int(signer.suite), body))
