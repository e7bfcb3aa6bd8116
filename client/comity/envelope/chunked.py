"""Cobblestone-256, the content encryption: C2SP `chunked-encryption` with SHA-512 and AES-256-GCM (design 03, "Suites").

Taken from `cryptography.cobblestone`. For other implementers: key(32) || base_nonce(12) || commitment(32) =
HKDF-Expand-SHA512(content key, "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM" || 0x00 || salt(24) || context); the
ciphertext is salt || commitment || chunks of 16 KiB plaintext, the last always shorter (possibly empty), chunk nonce =
base nonce XOR chunk number, empty additional data; the commitment is checked before any chunk. It commits to the key, so
one ciphertext never opens to two texts for two readers. A decryptor hands out chunks before the end: nothing of a stream
may be shown before it is exhausted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from comity.envelope import limits
from comity.envelope.records import PAE_LENGTH, pae_head
from comity.errors import RejectedError

CHUNK: Final = 16 << 10
_PAE: Final = pae_head("portion", 2) + PAE_LENGTH(limits.DIGEST)
_INDICES: Final = tuple(PAE_LENGTH(8) + PAE_LENGTH(index) for index in range(limits.PORTIONS))
_OVERHEAD: Final = 24 + 32
_TAG: Final = 16


def portion_context(core_hash: bytes, index: int) -> bytes:
    """Give PAE(portion, core_h, i), which binds a ciphertext to its core and place."""
    return b"".join((_PAE, core_hash, _INDICES[index]))


def ciphertext_size(plaintext_size: int) -> int:
    """Give the length of the ciphertext of so many bytes."""
    return _OVERHEAD + plaintext_size + (plaintext_size // CHUNK + 1) * _TAG


def plaintext_size(ciphertext_size_: int) -> int:
    """Give the length of the plaintext in so many bytes of ciphertext; raises RejectedError where none fits."""
    body = ciphertext_size_ - _OVERHEAD
    chunks, rest = divmod(body, CHUNK + _TAG)
    if body < _TAG or rest < _TAG:
        raise RejectedError("chunked: no plaintext has a ciphertext of this length")
    return chunks * CHUNK + rest - _TAG


def seal(content_key: bytes, context: bytes, plaintext: bytes) -> bytes:
    """Encrypt a plaintext that is in memory."""
    encryptor = Cobblestone256Encryptor(content_key, context)
    return encryptor.update(plaintext) + encryptor.finalize()


def seal_stream(content_key: bytes, context: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Encrypt a plaintext that comes in pieces, in constant memory."""
    encryptor = Cobblestone256Encryptor(content_key, context)
    for piece in pieces:
        if sealed := encryptor.update(piece):
            yield sealed
    yield encryptor.finalize()


def open_whole(content_key: bytes, context: bytes, ciphertext: bytes) -> bytes:
    """Decrypt a ciphertext that is in memory; raises RejectedError."""
    try:
        decryptor = Cobblestone256Decryptor(content_key, context)
        return decryptor.update(ciphertext) + decryptor.finalize()
    except (InvalidTag, ValueError) as error:
        raise RejectedError("chunked: does not open") from error


class StreamOpener:
    """Decrypts a ciphertext that comes piece by piece; valid only once `finish` has returned. Every call raises RejectedError."""

    __slots__ = ("_decryptor",)

    def __init__(self, content_key: bytes, context: bytes) -> None:
        self._decryptor = Cobblestone256Decryptor(content_key, context)

    def feed(self, piece: bytes) -> bytes:
        """Give the plaintext that the next piece completes."""
        return self._opened(lambda: self._decryptor.update(piece))

    def finish(self) -> bytes:
        """Give the rest."""
        return self._opened(self._decryptor.finalize)

    def _opened(self, step: Callable[[], bytes]) -> bytes:
        try:
            return step()
        except (InvalidTag, ValueError) as error:
            raise RejectedError("chunked: does not open") from error


def open_stream(content_key: bytes, context: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decrypt a ciphertext that comes in pieces; valid only when exhausted without RejectedError."""
    opener = StreamOpener(content_key, context)
    for piece in pieces:
        if opened := opener.feed(piece):
            yield opened
    if opened := opener.finish():
        yield opened
