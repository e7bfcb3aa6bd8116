"""Resume tokens: what a consumer keeps of the broker's floors, so that a broker that lost state shows (design 04).

"CRT1" | incarnation 16 | session u64 | u32 count | (agreement text, lane u32, floor u64), ascending by agreement and lane. It
moves nothing: the broker's floor is the truth. A floor above the broker's means that the broker lost state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from comity.envelope import limits
from comity.envelope.records import bounded, fixed, listed, text, u32, u64
from comity.errors import MalformedError

TOKEN_LANES: Final = 64
_MAGIC: Final = b"CRT1"
_LANES_LIMIT: Final = 1024
_TOKEN_BYTES: Final = 128 << 10


@dataclass(frozen=True, slots=True)
class ResumeToken:
    """A token; `floors` by agreement and lane number."""

    incarnation: bytes
    session: int
    floors: Mapping[tuple[str, int], int]


def encode_token(token: ResumeToken) -> bytes:
    """Encode a token; raises MalformedError for more than 1,024 lanes."""
    rows = (text(agreement) + u32(lane) + u64(floor) for (agreement, lane), floor in sorted(token.floors.items()))
    head = _MAGIC + fixed(token.incarnation, limits.UUID) + u64(token.session)
    return head + listed(rows, _LANES_LIMIT)


def decode_token(data: bytes) -> ResumeToken:
    """Decode exactly the bytes of one token; raises MalformedError."""
    reader = bounded(data, _TOKEN_BYTES, "resume token")
    if reader.raw(len(_MAGIC)) != _MAGIC:
        raise MalformedError("resume token: is none")
    incarnation, session = reader.raw(limits.UUID), reader.u64()
    floors: dict[tuple[str, int], int] = {}
    before = ("", 0)
    for _ in range(reader.count(_LANES_LIMIT, 17, "lanes")):
        key = (reader.text(), reader.u32())
        if key <= before:
            raise reader.malformed("lanes are not strictly ascending")
        before = key
        floors[key] = reader.u64()
    reader.end()
    return ResumeToken(incarnation, session, floors)
