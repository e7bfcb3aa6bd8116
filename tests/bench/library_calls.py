"""The floor of cryptography: the library calls that one report needs on its way, and nothing of ours around them.

A report of 1 KiB for one recipient node, in a segment of 256. The sender encrypts content (HKDF and AES-256-GCM, Cobblestone) and a
stanza for each of the two parties, and takes the digests of ciphertext, stanzas, core and manifest and its share of the tree. The broker
takes them again, without the core's; so does the receiver, without the other party's stanza, and opens its own and the content. Signed
three times (batch, receipt, acknowledgement) and verified four times (batch by broker and receiver, receipt by the sender,
acknowledgement by the broker), each over 256 reports and in both halves of the hybrid suite. Processor time, since neighbours move
wall time.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from statistics import median

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_sign, crypto_sign_keypair, crypto_sign_open
from results import US_A_REPORT, Row

SLOTS = 256
# As measured on the whole path: a report of 1 KiB with its header, padded; its manifest; core and stanza contexts.
_PLAINTEXT_BYTES = 1_152
_MANIFEST_BYTES = 720
_CORE_BYTES = 420
_STANZA_BYTES = 36
_CONTEXT_BYTES = 240
_STANZAS = 2
_SIGNATURES, _VERIFICATIONS = 3, 4
_TREES = 3
_ROUNDS = 5


def call_floor(seconds: float) -> dict[str, Row]:
    """Measure for about so many seconds; the context has what each step costs a report."""
    steps = _steps()
    us = {name: _cpu_us(call, seconds / len(steps)) * times for name, (call, times) in steps.items()}
    context: dict[str, object] = {
        "us_by_step": {name: round(value, 2) for name, value in us.items()},
        "reports_a_signature": SLOTS,
        "signatures": _SIGNATURES,
        "verifications": _VERIFICATIONS,
    }
    return {"call_floor": Row(sum(us.values()), US_A_REPORT, None, context)}


def _steps() -> dict[str, tuple[Callable[[], object], float]]:
    """Give each step's call, and how often one report needs it."""
    content = _Content()
    signing = _Signing()
    return {
        "seal": (content.seal, 1),
        "digests": (content.digest, 1),
        "tree": (_tree(), _TREES / SLOTS),
        "open": (content.open, 1),
        "sign": (signing.sign, _SIGNATURES / SLOTS),
        "verify": (signing.verify, _VERIFICATIONS / SLOTS),
    }


class _Content:
    """Content and stanzas of one report."""

    def __init__(self) -> None:
        self._key, self._context = os.urandom(32), os.urandom(80)
        self._plaintext = os.urandom(_PLAINTEXT_BYTES)
        self._kek = AESGCM(os.urandom(32))
        self._stanza, self._bound = os.urandom(_STANZA_BYTES), os.urandom(_CONTEXT_BYTES)
        self._nonce = os.urandom(12)
        self._sealed, self._sealed_stanza = self.seal()
        stanza, core, manifest = self._sealed_stanza, bytes(_CORE_BYTES), bytes(_MANIFEST_BYTES)
        sender = (self._sealed, stanza, stanza, core, manifest)
        broker = (self._sealed, stanza, stanza, manifest)
        receiver = (self._sealed, stanza, core, manifest)
        self._hashed = (*sender, *broker, *receiver)

    def seal(self) -> tuple[bytes, bytes]:
        encryptor = Cobblestone256Encryptor(self._key, self._context)
        sealed = encryptor.update(self._plaintext) + encryptor.finalize()
        for _ in range(_STANZAS):
            stanza = self._kek.encrypt(self._nonce, self._stanza, self._bound)
        return sealed, stanza

    def digest(self) -> None:
        for data in self._hashed:
            hashlib.sha384(data).digest()

    def open(self) -> None:
        self._kek.decrypt(self._nonce, self._sealed_stanza, self._bound)
        decryptor = Cobblestone256Decryptor(self._key, self._context)
        decryptor.update(self._sealed) + decryptor.finalize()


class _Signing:
    """One hybrid signature over what 256 reports come down to."""

    def __init__(self) -> None:
        self._message, self._context = os.urandom(200), b"comity/batch/v1"
        self._public, self._secret = crypto_sign_keypair()
        self._mldsa = MLDSA65PrivateKey.generate()
        self._mldsa_public = self._mldsa.public_key()
        self._signed = self.sign()

    def sign(self) -> tuple[bytes, bytes]:
        return crypto_sign(self._message, self._secret), self._mldsa.sign(self._message, self._context)

    def verify(self) -> None:
        ed25519, mldsa = self._signed
        crypto_sign_open(ed25519, self._public)
        self._mldsa_public.verify(mldsa, self._message, self._context)


def _tree() -> Callable[[], object]:
    pair = os.urandom(97)

    def hash_nodes() -> None:
        for _ in range(SLOTS - 1):
            hashlib.sha384(pair).digest()

    return hash_nodes


def _cpu_us(call: Callable[[], object], seconds: float) -> float:
    """Give the median over some rounds of the mean processor time of one call."""
    rounds: list[float] = []
    count = 1
    while len(rounds) < _ROUNDS:
        began = time.process_time()
        for _ in range(count):
            call()
        took = time.process_time() - began
        if not rounds and took < seconds / _ROUNDS / 2:
            count *= 2
            continue
        rounds.append(took / count * 1e6)
    return median(rounds)
