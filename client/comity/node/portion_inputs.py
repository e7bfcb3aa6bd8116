"""What is sealed of each portion: its encoded header with its content, or where a file's content lies (design 03, "portion i").

Group codes in a marking stand in the header with the day, the codes and the digest of the file that says so. Headers that say no more
than media type, file name and title are encoded once for all reports that have the same. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from comity.canonical import Json
from comity.envelope.chunked import ciphertext_size
from comity.envelope.limits import CIPHERTEXT_BYTES
from comity.envelope.padding import encode_header, padded_size
from comity.envelope.run_form import PortionInput
from comity.errors import ErrorCode, MalformedError
from comity.node.cleared import StoredPortion
from comity.portion import Marking, Portion, StoredContent
from comity_policy.groups import Groups, group_codes

# What a segment of one report may take: a segment less its head, as `Sealer.size_of` counts.
CONTENT_BYTES: Final = (1 << 20) - (64 << 10)
_HEADERS_KEPT: Final = 256


class PortionInputs:
    """Makes them for one node."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._headers: dict[tuple[str, str, str], bytes] = {}
        # The last marking, which has no group codes, and the header of the last portion.
        self._last: tuple[Marking, tuple[str, str, str], bytes] | None = None

    def of(self, portion: Portion, day: date) -> PortionInput | StoredPortion:
        """Give what is sealed of a portion on that day; raises MalformedError for one that is too large."""
        if isinstance(portion.content, StoredContent):
            return self._stored(portion, portion.content, day)
        if portion.length > CONTENT_BYTES:
            raise MalformedError(
                f"a portion of {portion.length} bytes is too large: at most {CONTENT_BYTES} travel inside a report",
                what_to_do="Attach it as a file: comity send --attach FILE.",
                code=ErrorCode.LIMIT_EXCEEDED,
            )
        said, last = (portion.media_type, portion.file_name, portion.title), self._last
        if last is not None and portion.marking is last[0] and said == last[1] and not portion.extra:
            return PortionInput(last[2], portion.content)
        header = self._special(portion, day)
        if header is not None:
            return PortionInput(encode_header(header), portion.content)
        encoded = self._headers.get(said)
        if encoded is None:
            if len(self._headers) >= _HEADERS_KEPT:
                self._headers.clear()
            encoded = self._headers[said] = encode_header(portion.header)
        self._last = (portion.marking, said, encoded)
        return PortionInput(encoded, portion.content)

    def _special(self, portion: Portion, day: date) -> Mapping[str, Json] | None:
        """Give the header of a portion that says more than the three; None for any other."""
        groups = group_codes(portion.marking.text, self._groups.memberships)
        if groups:
            record = self._groups.record(groups, day)
            kept: dict[str, Json] = {name: one if isinstance(one, str) else [*one] for name, one in record.items()}
            return {**portion.header, "groups": kept}
        return portion.header if portion.extra else None

    def _stored(self, portion: Portion, content: StoredContent, day: date) -> StoredPortion:
        header = self._special(portion, day) or portion.header
        sealed = ciphertext_size(padded_size(12 + len(encode_header(header)) + content.length))
        if sealed > CIPHERTEXT_BYTES:
            raise MalformedError(
                f"an attachment of {content.length} bytes is too large: sealed it may have {CIPHERTEXT_BYTES}",
                what_to_do="Split the content over several files.",
                code=ErrorCode.LIMIT_EXCEEDED,
            )
        return StoredPortion(header, content)
