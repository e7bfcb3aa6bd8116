"""Entries that a hostile broker logged: committed to and signed, and of a form that no honest one has. Each is refused by name."""

from __future__ import annotations

import json
from hashlib import sha384

import pytest

from builders_audit import good_audit
from builders_audit_log import AGREEMENT, ORIGIN, Audit
from comity import canonical
from comity.envelope import limits, tree
from comity.envelope.receipts import slot_record_leaf
from comity.errors import VerificationError
from comity.identity.directory import KeyDirectory
from comity.node.claims import Claim, Said, contradiction, over
from comity.node.duties import Facts
from comity.node.entries import MirroredEntry, Part, check_entry
from comity.node.listing import _row
from comity.pae import pae
from comity.v1 import exchange_pb2

SALT = bytes(limits.SALT)
PARTIES = ("XAR", "XBO")


def logged(kind: str, shared: bytes, own: bytes = b"", records: tuple[bytes, ...] = ()) -> MirroredEntry:
    """Give entry 0 as XBO's mirror takes it, with these bodies."""
    parts = {
        "shared": Part(SALT, shared, tuple((SALT, record) for record in records)),
        "XBO": Part(SALT, own),
    }
    committed = {
        name: sha384(pae("audit-body", part.salt, ORIGIN, 0, name, part.body)).digest() for name, part in parts.items()
    }
    named = (committed["shared"], "XAR", bytes(48), "XBO", committed["XBO"])
    return check_entry(ORIGIN, 0, pae("audit-entry", 0, kind, *named), parts, parties=PARTIES, own="XBO")


def body_of(audit: Audit, kind: str, part: str = "shared") -> bytes:
    event = audit.events[audit.find(kind)]
    return event.shared if part == "shared" else event.own[part]


@pytest.mark.parametrize("shared", [b"", b"{}"], ids=["no bytes", "no members"])
@pytest.mark.parametrize(
    ("kind", "records"), [("LOG_OPENED", ()), ("SUBMIT_ACCEPTED", (b"record",)), ("DELIVERED", ())]
)
def test_a_shared_body_that_says_nothing_is_refused(kind, shared, records):
    with pytest.raises(VerificationError, match="shared body"):
        logged(kind, shared, records=records).shared()


def test_a_submission_that_tells_us_no_decision_gives_us_nothing():
    audit = good_audit()
    shared = json.loads(body_of(audit, "SUBMIT_ACCEPTED"))
    index = audit.find("SUBMIT_ACCEPTED")
    records = audit.records[index].records
    root = tree.root([slot_record_leaf(SALT, record) for record in records])
    entry = logged(
        "SUBMIT_ACCEPTED", canonical.dumps({**shared, "records": root.hex()}), b"", tuple(map(bytes, records))
    )
    leaves = over(audit.sent[0].leaves[:1])
    claim = Claim(AGREEMENT, 0, Said.DELIVERED, audit.sent[0].admission.segment_id, (0,), leaves)
    assert "gives this node nothing of slot 0" in contradiction(claim, entry, party="XBO", node="m1")


def test_slots_that_no_segment_has_owe_nothing():
    """A hand-over of 2^53 slots is counted as far as a segment has slots, not to its end."""
    audit = good_audit()
    own = json.loads(body_of(audit, "DELIVERED", "XBO"))
    own["segments"][0]["slots"] = [[0, 2**53 - 1]]
    facts = Facts(KeyDirectory({}), AGREEMENT)
    facts.take(logged("DELIVERED", body_of(audit, "DELIVERED"), canonical.dumps(own)), "XBO")
    assert facts.handovers == []


def test_a_listed_report_without_an_id_is_refused():
    with pytest.raises(VerificationError, match="report id"):
        _row(exchange_pb2.ReportRow(agreement_id=AGREEMENT, report_id=b"short"))
