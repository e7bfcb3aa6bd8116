"""Downloads: whether a node may fetch an uploaded portion now, decided like a hand-over (design 04, "Attachments").

Rules in order:
1. The agreement is one of the caller's party's, in force, its log signed by all and not frozen; the caller's bundle is current.
2. The report is here, and was handed over to a consumer of the calling node: what waits, was skipped or was never due is not.
3. The inbox row gives the portion, and the envelope names it as uploaded. Up to here every refusal says the same.
4. Not recalled, superseded or withdrawn by its originator, not expired, still permitted where that may have changed since it was admitted.
5. The upload is READY.
What may be fetched is looked at again while it is fetched: `permitted` is cheap next to what it lets through.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from comity.envelope.profile import ProfileMemo
from comity.envelope.segment import Absent, WholeItem, parse_segment
from comity.errors import ErrorCode, NotFoundError, RefusedError, StorageError
from comity.identity.records import NodeRecord
from comity_broker.access import Caller
from comity_broker.dispatch.checking import judge
from comity_broker.dispatch.floors import LaneState
from comity_broker.dispatch.grounds import standing_for
from comity_broker.dispatch.shared import Shared
from comity_broker.dispatch.withheld import decode_due, decode_withheld
from comity_broker.standing import Standing
from comity_broker.storage.blobs import blob_name
from comity_broker.storage.protocol import Reads, ReportRow, SegmentRow, UploadState

_UNKNOWN: Final = "there is no such portion of a report that was handed over to this node"


@dataclass(frozen=True, slots=True)
class Permitted:
    """A blob that may be read now, and its length."""

    name: str
    length: int


class Downloads:
    """Decides; reads nothing but rows."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._memo = ProfileMemo()

    async def permitted(self, who: Caller, agreement_id: str, report_id: bytes, portion: int) -> Permitted:
        """Give the blob of a portion; raises NotFoundError, RefusedError or StorageError."""
        shared = self._shared
        standing = standing_for(shared, who, agreement_id)
        record = shared.keys.node(who.party, who.identity.name)
        if record is None or not shared.keys.is_current(record, shared.clock.now_ms()):
            raise _unknown()
        report = (await shared.reader.known(agreement_id, Reads(report_ids=[report_id]))).reports.get(report_id)
        if report is None:
            raise _unknown()
        row = await shared.shelf.segment(agreement_id, report.item)
        await self._require_handed_over(who, agreement_id, row, report, portion)
        segment = parse_segment(row.data, self._memo)
        item = segment.items[report.slot]
        if not isinstance(item, WholeItem) or portion >= len(item.ciphertexts):
            raise _unknown()
        if item.ciphertexts[portion] is not Absent.UPLOADED:
            raise _unknown()
        await self._require_permitted(standing, record, row, report)
        named = item.manifest.portions[portion]
        profile = item.core.profile.originator
        node = f"{profile.party}/{profile.node}"
        upload = (await shared.reader.known(agreement_id, Reads(uploads=[(node, named.digest)]))).uploads.get(
            (node, named.digest)
        )
        if upload is None or upload.state != UploadState.READY:
            raise StorageError(
                "the broker has lost a ciphertext that an envelope names",
                what_to_do="Its operator has to look: comity broker check. The originator can send the report anew.",
            )
        return Permitted(blob_name(agreement_id, node, named.digest), named.length)

    async def _require_handed_over(
        self, who: Caller, agreement_id: str, row: SegmentRow, report: ReportRow, portion: int
    ) -> None:
        reader, node, bit = self._shared.reader, str(who.identity), 1 << report.slot
        rows = await reader.inbox(agreement_id, node, row.lane, row.item - 1, 1)
        if not rows or rows[0].item != row.item or not decode_due(rows[0].due) & bit:
            raise _unknown()
        due = decode_due(rows[0].due)
        if portion in decode_withheld(rows[0].withheld, row.slots).get(report.slot, ()):
            raise _unknown()
        states = [LaneState.decode(one) for one in await reader.floors(agreement_id, node) if one.lane == row.lane]
        if not any(row.item <= one.handed and not one.waiting(row.item, due) & bit for one in states):
            raise _unknown()

    async def _require_permitted(
        self, standing: Standing, node: NodeRecord, row: SegmentRow, report: ReportRow
    ) -> None:
        shared, now_ms, bit = self._shared, self._shared.clock.now_ms(), 1 << report.slot
        denied = 0
        if shared.rechecker.may_have_changed(row, standing, node, now_ms):
            segment = parse_segment(row.data, self._memo)
            under = standing.compiled_before(now_ms)
            denied = await shared.rechecker.denied(under, segment, bit, node, now_ms, breathe=_breathe)
        key = (row.item, report.slot)
        words = (await shared.reader.known(standing.agreement_id, Reads(holdings=[key]))).holdings
        verdicts = judge(
            bit,
            {report.slot: report},
            now_ms,
            denied=denied,
            words={slot: word for (_, slot), word in words.items()},
        )
        if verdicts.expired:
            raise RefusedError("the report has expired", code=ErrorCode.REPORT_EXPIRED)
        if verdicts.taken_back:
            raise RefusedError(
                "the report was recalled or superseded by its originator: nothing of it is handed over any more",
                what_to_do=f"comity report holders {report.report_id.hex()} says who still has it.",
                code=ErrorCode.REPORT_RECALLED,
            )
        if not verdicts.hand:
            raise RefusedError(
                "the report is held or was withdrawn: nothing of it is handed over now",
                what_to_do="Wait for its originator's word, or for the agreement to permit it again.",
                code=ErrorCode.REPORT_HELD,
            )


def _unknown() -> NotFoundError:
    return NotFoundError(_UNKNOWN, code=ErrorCode.REPORT_UNKNOWN)


async def _breathe() -> None:
    await asyncio.sleep(0)
