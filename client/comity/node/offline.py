"""A node without a connection: what its mirror and its files are enough for.

Who would receive a report, which reports wait for officers' approvals, and an officer's approval of one: it signs with the
officer's keys, not the node's, and the file it goes to has no owner (`waiting`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from comity.envelope.open import Opener
from comity.identity.names import Identity
from comity.keys.ring import KeyRing
from comity.node.approved_files import has_uploads
from comity.node.approved_text import FindOpener
from comity.node.approving import Approver
from comity.node.attached_files import AttachedFile, AttachedFiles
from comity.node.awaited import WaitingReport, described, signed
from comity.node.clock import NowMs, wall_ms
from comity.node.egress import Egress
from comity.node.home import Home
from comity.node.mirror import Mirror
from comity.node.previews import Preview
from comity.node.waiting import Waiting, WaitingReports
from comity.report import Report


def own_opener(identity: Identity, ring: KeyRing) -> Opener:
    """Give what opens a node's own stanzas, from its keys."""
    return Opener(identity.party, ring.decapsulators())


class OfflineNode:
    """A node's identity and mirror, without keys and without a connection: enough to say who would receive a report."""

    def __init__(self, mirror: Mirror, identity: Identity, outbox: Path, *, now_ms: NowMs = wall_ms) -> None:
        self.identity = identity
        self.mirror = mirror
        self._outbox = outbox
        self._now_ms = now_ms
        self._egress = Egress(mirror, identity, now_ms)

    @classmethod
    def open(cls, home: Home, identity: str | Identity, *, now_ms: NowMs = wall_ms) -> OfflineNode:
        """Open the mirror of a node of this machine; raises NotFoundError, StorageError."""
        place = home.locate(identity)
        return cls(Mirror.of_identity(home, place.identity, now_ms=now_ms), place.identity, place.outbox, now_ms=now_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.mirror.close()

    def preview(self, report: Report, *, agreement: str, approved_by: Sequence[Identity] = ()) -> Preview:
        """Say who would receive a report that these officers approve, and why not the others; nothing is sent."""
        return self._egress.preview(report, agreement, approved_by)

    def waiting(self) -> tuple[WaitingReport, ...]:
        """Give the reports of this node that wait for officers' approvals."""
        now = self._now_ms()
        with self._waiting_reports() as reports:
            return tuple(described(one, self.mirror, self._egress, now) for one in reports.all())

    def approve(self, report_id: UUID, approver: Approver, opener: FindOpener | None = None) -> WaitingReport:
        """Show a waiting report to an officer and add the approval; raises NotFoundError, ConflictError, AccessError.

        `opener` gives what opens with the node's keys (`own_opener`): without it the officer is shown no text.
        """
        with self._waiting_reports() as reports:
            one = reports.find(report_id)
            attached = self._attached(one) if has_uploads(one.item) else ()
            reports.approve(report_id, signed(one, approver, self.mirror, self._now_ms(), opener, attached))
            return described(reports.find(report_id), self.mirror, self._egress, self._now_ms())

    def _attached(self, one: Waiting) -> tuple[AttachedFile, ...]:
        files = AttachedFiles(self._outbox, os.urandom)
        try:
            return files.of(one.segment.segment_id)
        finally:
            files.close()

    @contextmanager
    def _waiting_reports(self) -> Iterator[WaitingReports]:
        reports = WaitingReports(self._outbox, os.urandom)
        try:
            yield reports
        finally:
            reports.close()
