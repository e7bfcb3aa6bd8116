"""What an envelope names as uploaded, and what its admission asks of those uploads (design 04, "Attachments").

Rules in order:
1. An envelope is admitted only where each upload that it names is READY, of the same node, digest and length. This is looked at in
   the transaction that admits it.
2. What is not there refuses the segment for now, with a time to come again: no number of its lane ends, and the sender uploads
   again what it still has.
3. In the same transaction the upload's life is extended to the latest report that names it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from comity.envelope.manifest import PortionDigest
from comity.envelope.segment import Absent, WholeItem
from comity.errors import ConflictError, ErrorCode
from comity_broker.storage.protocol import Known, UploadRow, UploadState

UploadKey = tuple[str, bytes]
RETRY_SECONDS: Final = 2.0


def uploaded_portions(item: WholeItem) -> list[PortionDigest]:
    """Give digest and length of each portion of a report that lies beside its segment."""
    if Absent.UPLOADED not in item.ciphertexts:
        return []
    bodies = zip(item.manifest.portions, item.ciphertexts, strict=True)
    return [portion for portion, body in bodies if body is Absent.UPLOADED]


def uploaded_size(item: WholeItem) -> int:
    """Give the bytes of a report that lie beside its segment."""
    return sum(one.length for one in uploaded_portions(item))


def upload_keys(node: str, items: Iterable[WholeItem]) -> list[UploadKey]:
    """Give the key of every upload that some reports of a node name."""
    return [(node, one.digest) for item in items for one in uploaded_portions(item)]


def named_uploads(node: str, items: Sequence[WholeItem], known: Known) -> list[UploadRow]:
    """Give the rows of what admitted reports name, each living as long as they do; raises ConflictError UPLOAD_MISSING."""
    found: dict[UploadKey, UploadRow] = {}
    for item in items:
        for portion in uploaded_portions(item):
            key = (node, portion.digest)
            row = found.get(key) or known.uploads.get(key)
            if row is None or row.state != UploadState.READY or row.length != portion.length:
                raise ConflictError(
                    "a portion is named as uploaded, and its upload is not ready here",
                    what_to_do="Upload it, then send the same bytes again.",
                    code=ErrorCode.UPLOAD_MISSING,
                    retry_after_seconds=RETRY_SECONDS,
                )
            found[key] = row._replace(expires_at=max(row.expires_at, item.core.expires_at))
    return list(found.values())
