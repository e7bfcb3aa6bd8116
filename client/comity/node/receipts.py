"""What became of a report that was sent: a receipt that the broker signed, or a refusal.

A receipt means durable: the broker's database and its agreement log have the segment (design 04, promise 1). The signed
receipt is verified before anybody sees one of these; it is kept in the outbox as evidence, with the entry's bodies.
"""

from __future__ import annotations

from uuid import UUID

from comity.envelope.receipts import SignedReceipt
from comity.errors import ComityError
from comity.identity.names import is_exercise, log_name
from comity.light import light
from comity.report import Report


@light
class Receipt:
    """One report's part of a verified, signed receipt.

    `agreement_sequence` is None where the broker had the report before (`duplicate`). `recipients` are the nodes that got
    keys, PARTY/NODE, each with the indices of its portions; `refused_parties` were addressed, and none of their nodes may have
    any. Times are Unix milliseconds.
    """

    agreement_id: str
    report_id: UUID
    leaf: bytes
    segment_id: bytes
    slot: int
    transport_class: int
    origin_sequence: int
    agreement_sequence: int | None
    log_origin: str
    log_index: int
    admitted_at: int
    duplicate: bool
    recipients: tuple[tuple[str, tuple[int, ...]], ...]
    refused_parties: tuple[str, ...]
    signed: SignedReceipt

    @property
    def log_name(self) -> str:
        """Give the name of the log it stands in: the agreement's id, or that of its exercise."""
        return log_name(self.agreement_id, exercise=is_exercise(self.log_origin))


@light
class Sent:
    """What became of one report of `send_many`: exactly one of receipt and refusal. `number` counts from 0."""

    number: int
    report: Report
    receipt: Receipt | None = None
    refusal: ComityError | None = None

    @property
    def accepted(self) -> bool:
        """Say whether the report is durable at the broker."""
        return self.receipt is not None
