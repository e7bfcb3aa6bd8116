"""A frame of a publish stream, and what its segments have in common: worked out once (design of exchange, "bounded").

Rules: what a frame says once is worked out at its first use, not once a segment nor again at a retry; a fault is remembered as
well. A list of ids that comes again on its stream under the same signature is not hashed again, so ids that come without their
segments cost one tree, however many frames their batch is sent in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from comity.envelope import limits, tree
from comity.envelope.evidence import BatchSignature, VerifiedBatches, decode_batch_signature
from comity.envelope.packets import packet_id
from comity.envelope.profile import ProfileMemo
from comity.errors import ComityError, MalformedError
from comity.suites import SUITES
from comity_broker.access import Caller

_PACKET_SIZES: Final = frozenset(row.packet_size for row in SUITES.values())

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BatchFrame:
    """One frame of a publish stream, as it came; as many indices as segments."""

    batch_signature: bytes
    segment_ids: Sequence[bytes]
    segments: Sequence[bytes]
    indices: Sequence[int]
    key_packets: Sequence[bytes]

    def named(self, number: int) -> bytes:
        """Give what the frame calls segment `number`, empty where that can be no id: nothing of it is checked."""
        index = self.indices[number]
        named = self.segment_ids[index] if index < len(self.segment_ids) else b""
        return named if len(named) == limits.DIGEST else b""


@dataclass(frozen=True, slots=True)
class SignedList:
    """A batch signature with the ids it came with, and the rows of the tree over them (none for no ids)."""

    signature: BatchSignature
    segment_ids: Sequence[bytes]
    rows: Sequence[Sequence[bytes]]

    @property
    def root(self) -> bytes:
        """Give the tree's root, empty for no ids: no signature is over that."""
        return self.rows[-1][0] if self.rows else b""


@dataclass(slots=True)
class Publisher:
    """What is remembered of one publishing stream: parsed profiles, verified batches, the last list, packets that came."""

    caller: Caller
    memo: ProfileMemo = field(default_factory=ProfileMemo)
    verified: VerifiedBatches = field(default_factory=VerifiedBatches)
    packets: dict[bytes, bytes] = field(default_factory=dict)
    last: tuple[bytes, SignedList] | None = None


class PreparedFrame:
    """A frame of a publisher's, with what all its segments need; each is worked out at most once."""

    def __init__(self, frame: BatchFrame, publisher: Publisher) -> None:
        self.frame = frame
        self.publisher = publisher
        self._signed_list = _Once(self._sign_list)
        self._packets = _Once(self._take_packets)

    def signed_list(self) -> SignedList:
        """Give signature and tree; raises MalformedError, each time, where the frame has none."""
        return self._signed_list.result()

    def packets(self) -> Mapping[bytes, bytes]:
        """Give the frame's key packets by id, remembered by the stream from then on; raises MalformedError, each time."""
        return self._packets.result()

    def keep_packets(self) -> None:
        """Have the stream remember the frame's packets though a segment of it was refused: they do not come a second time.

        Packets that are malformed are nobody's: each segment that names them is told so.
        """
        with contextlib.suppress(MalformedError):
            self.packets()

    def _sign_list(self) -> SignedList:
        encoded, ids, last = self.frame.batch_signature, self.frame.segment_ids, self.publisher.last
        if last is not None and last[0] == encoded and last[1].segment_ids == ids:
            return last[1]
        if len(ids) > limits.BATCH_SEGMENTS or any(len(one) != limits.DIGEST for one in ids):
            raise MalformedError(f"a batch lists at most {limits.BATCH_SEGMENTS} segment ids of {limits.DIGEST} bytes")
        signed = SignedList(decode_batch_signature(encoded), ids, tree.levels(ids) if ids else ())
        self.publisher.last = (encoded, signed)
        return signed

    def _take_packets(self) -> Mapping[bytes, bytes]:
        came, kept = self.frame.key_packets, self.publisher.packets
        if len(came) > limits.KEY_PACKETS:
            raise MalformedError(f"a frame brings at most {limits.KEY_PACKETS} key packets")
        if any(len(data) not in _PACKET_SIZES for data in came):
            raise MalformedError("a key packet has another size than any suite gives it")
        packets = {packet_id(data): data for data in came}
        kept.update(packets)
        while len(kept) > limits.KEY_PACKETS:
            del kept[next(iter(kept))]
        return packets


class _Once(Generic[T]):
    """Work that is done at its first use; its fault stays its result."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._done: tuple[T] | None = None
        self._fault: ComityError | None = None

    def result(self) -> T:
        if self._fault is not None:
            raise self._fault.with_traceback(None)
        if self._done is None:
            try:
                self._done = (self._work(),)
            except ComityError as error:
                self._fault = error
                raise
        return self._done[0]
