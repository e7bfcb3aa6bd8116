"""Audits in which exactly the check of recalls and replacements fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builders_audit_cases import case
from builders_audit_log import Audit, Sent
from comity_broker.auditlog import events
from comity_broker.auditlog.bodies import SegmentSlots
from comity_broker.auditlog.kinds import EventKind
from comity_policy.facts import Kind


def recall(audit: Audit, **fields: object) -> Sent:
    """Publish a recall, in the control lane of its own."""
    return audit.submit(1, first=1, given=(0, 1), **{"kind": Kind.RECALL, **fields})


def take_back(audit: Audit, sent: Sent, slots: Sequence[int], by: Sent, kind: EventKind = EventKind.RECALLED) -> None:
    """Take slots of a segment back by the first report of another."""
    audit.events.append(
        events.taken_back(
            kind,
            time=audit.tick(),
            caller=audit.caller("XAR/n1"),
            recipient=("XBO", "m1"),
            segments=[SegmentSlots(sent.admission.segment_id, slots)],
            report_id=by.records[0].report_id,
            leaf=by.records[0].leaf,
        )
    )


@case("TAKEN_BACK")
def a_report_handed_over_after_its_recall(audit: Audit, folder: Path) -> None:
    take_back(audit, audit.sent[0], [1], recall(audit))
    audit.deliver(audit.sent[0], [0])
    audit.deliver(audit.sent[0], [0, 1], consumer="second")
    audit.write(folder)


@case("TAKEN_BACK")
def a_report_replayed_after_its_recall(audit: Audit, folder: Path) -> None:
    audit.deliver(audit.sent[0], [0, 1])
    audit.replay(audit.sent[0], [0, 1])
    take_back(audit, audit.sent[0], [1], recall(audit))
    audit.replay(audit.sent[0], [0, 1])
    audit.write(folder)


@case("TAKEN_BACK")
def a_recall_of_what_was_not_admitted(audit: Audit, folder: Path) -> None:
    take_back(audit, audit.sent[0], [1, 2], recall(audit))
    audit.write(folder)


@case("TAKEN_BACK")
def a_recall_that_nobody_sent(audit: Audit, folder: Path) -> None:
    take_back(audit, audit.sent[0], [0], audit.sent[0])
    audit.change(len(audit.events) - 1, "both", leaf="00" * 48)
    audit.write(folder)


@case("TAKEN_BACK")
def a_report_that_is_called_a_recall(audit: Audit, folder: Path) -> None:
    take_back(audit, audit.sent[0], [0], audit.submit(1))
    audit.write(folder)


@case("TAKEN_BACK")
def a_recall_that_is_called_a_replacement(audit: Audit, folder: Path) -> None:
    take_back(audit, audit.sent[0], [0], recall(audit), EventKind.SUPERSEDED)
    audit.write(folder)


@case("TAKEN_BACK")
def a_recall_by_a_party_that_did_not_send_it(audit: Audit, folder: Path) -> None:
    take_back(audit, audit.sent[0], [0], recall(audit))
    actor = audit.body(len(audit.events) - 1, "XAR")["actor"] | {"party": "XBO"}
    audit.change(len(audit.events) - 1, "both", actor=actor)
    audit.write(folder)
