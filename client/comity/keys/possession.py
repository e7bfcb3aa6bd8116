"""Proof that whoever enrols a key holds its private half (design 03, "Keys and trust"). Pure functions.

1. A signing key signs PAE(possession, suite, identity, fingerprint, verifier, nonce).
2. A KEM key gets a challenge of 32 random bytes, HPKE-sealed under its own info, PAE(kem-possession, node, fingerprint,
   verifier, nonce), and answers HMAC-SHA384(challenge, PAE(kem-possession-answer, node, fingerprint, nonce)): never the
   challenge itself, which would make the prover a decryption oracle for recorded key packets. A packet sealed under any
   other info does not open here.
3. The verifier is the broker's TLS name as the prover knows it, so that a challenge cannot be passed on; the nonce is the
   verifier's, 32 bytes, used once.

4. An officer who reads at a node proves the signing key over PAE(reading, suite, officer, fingerprint, node, nonce), against
   the key that the directory lists: a name that was typed reads nothing.

Identities are written PARTY/NAME.
"""

from __future__ import annotations

import hmac
from typing import Final

from comity.errors import MalformedError, RejectedError
from comity.keys.signer import Decapsulator, Signer
from comity.pae import pae
from comity.suites import KeyRole, encapsulate, fingerprint, verify_signature

NONCE_BYTES: Final = 32
CHALLENGE_BYTES: Final = 32
ANSWER_BYTES: Final = 48


def prove_signing_key(signer: Signer, identity: str, verifier: str, nonce: bytes) -> bytes:
    """Give the proof of a signing key."""
    _check_nonce(nonce)
    return signer.sign("possession", int(signer.suite), identity, signer.fingerprint, verifier, nonce)


def signing_proof_verifies(
    role: KeyRole, suite: int, public: bytes, *, identity: str, verifier: str, nonce: bytes, proof: bytes
) -> bool:
    """Say whether a proof is by this key, for this identity, verifier and nonce."""
    _check_nonce(nonce)
    message = pae("possession", int(suite), identity, fingerprint(role, suite, public), verifier, nonce)
    return verify_signature(suite, public, "possession", message, proof)


def prove_reader(signer: Signer, officer: str, node: str, nonce: bytes) -> bytes:
    """Give the proof of the signing key of an officer who reads at a node."""
    _check_nonce(nonce)
    return signer.sign("reading", int(signer.suite), officer, signer.fingerprint, node, nonce)


def reader_proof_verifies(suite: int, public: bytes, *, officer: str, node: str, nonce: bytes, proof: bytes) -> bool:
    """Say whether a proof is by this key, for this officer at this node and nonce."""
    _check_nonce(nonce)
    key = fingerprint(KeyRole.OFFICER_SIGNING, suite, public)
    return verify_signature(suite, public, "reading", pae("reading", int(suite), officer, key, node, nonce), proof)


def seal_kem_challenge(suite: int, public: bytes, *, node: str, verifier: str, nonce: bytes, challenge: bytes) -> bytes:
    """Seal a challenge of 32 fresh random bytes, which the verifier keeps; raises MalformedError for a key that is none."""
    _check_nonce(nonce)
    if len(challenge) != CHALLENGE_BYTES:
        raise MalformedError(f"a challenge has {CHALLENGE_BYTES} bytes")
    key = fingerprint(KeyRole.NODE_KEM, suite, public)
    return encapsulate(suite, public, challenge, _info(node, key, verifier, nonce))


def answer_kem_challenge(key: Decapsulator, sealed: bytes, *, node: str, verifier: str, nonce: bytes) -> bytes:
    """Give the answer to a sealed challenge; raises RejectedError for anything that is not exactly such a challenge."""
    _check_nonce(nonce)
    challenge = key.decapsulate(int(key.suite), sealed, _info(node, key.fingerprint, verifier, nonce))
    if len(challenge) != CHALLENGE_BYTES:
        raise RejectedError("possession: a challenge of another length")
    return _answer(challenge, node, key.fingerprint, nonce)


def kem_answer_verifies(suite: int, public: bytes, *, node: str, nonce: bytes, challenge: bytes, answer: bytes) -> bool:
    """Say in constant time whether an answer is the one to this challenge."""
    _check_nonce(nonce)
    key = fingerprint(KeyRole.NODE_KEM, suite, public)
    return hmac.compare_digest(_answer(challenge, node, key, nonce), answer)


def _info(node: str, key: bytes, verifier: str, nonce: bytes) -> bytes:
    return pae("kem-possession", node, key, verifier, nonce)


def _answer(challenge: bytes, node: str, key: bytes, nonce: bytes) -> bytes:
    return hmac.digest(challenge, pae("kem-possession-answer", node, key, nonce), "sha384")


def _check_nonce(nonce: bytes) -> None:
    if len(nonce) != NONCE_BYTES:
        raise MalformedError(f"a nonce has {NONCE_BYTES} bytes")
