"""Uploads: a portion too large for memory is encrypted as a stream, and its ciphertext travels beside the segment (design 03).

The core must be final before: ciphertext is bound to it. Content keys are drawn here, as for any portion, one each.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from comity.canonical import Json
from comity.envelope import chunked, limits, padding
from comity.envelope.core import core_hash
from comity.envelope.run_form import UploadedPortion
from comity.errors import UsageError
from comity.hashing import RunningDigest
from comity.suites import RandomBytes


class UploadSealer:
    """Encrypts one large portion as a stream, before its segment is sealed (its core must be final).

    Iterate over it once, storing the pieces; `portion` is then what `SealInput` takes.
    """

    def __init__(
        self,
        core_bytes: bytes,
        index: int,
        header: Mapping[str, Json],
        *,
        length: int,
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        self._encoded_header = padding.encode_header(header)
        self._context = chunked.portion_context(core_hash(core_bytes), index)
        self._length = length
        self._content_key = random_bytes(limits.CEK)
        self._portion: UploadedPortion | None = None
        size = chunked.ciphertext_size(padding.padded_size(12 + len(self._encoded_header) + length))
        if size > limits.CIPHERTEXT_BYTES:
            raise UsageError(f"a portion's ciphertext has at most {limits.CIPHERTEXT_BYTES} bytes")

    def encrypt(self, content: Iterable[bytes]) -> Iterator[bytes]:
        """Give the ciphertext in pieces; raises UsageError when the content is not `length` bytes long.

        A piece is hashed while it is stored and the next one is encrypted.
        """
        digest = RunningDigest()
        size = 0
        for piece in chunked.seal_stream(self._content_key, self._context, self._plaintext(content)):
            digest.update((piece,))
            size += len(piece)
            yield piece
        self._portion = UploadedPortion(self._content_key, digest.value, size)

    @property
    def portion(self) -> UploadedPortion:
        """Give the sealed portion; raises UsageError before `encrypt` was exhausted."""
        if self._portion is None:
            raise UsageError("the portion is not encrypted to its end yet")
        return self._portion

    def _plaintext(self, content: Iterable[bytes]) -> Iterator[bytes]:
        yield padding.prefix(self._encoded_header, self._length)
        seen = 0
        for piece in content:
            seen += len(piece)
            yield piece
        if seen != self._length:
            raise UsageError(f"a portion of {self._length} bytes was announced, {seen} came")
        yield from padding.zeros(self._encoded_header, self._length)
