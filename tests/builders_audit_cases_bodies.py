"""Audits in which exactly one check fails: bodies and records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from builders_audit_cases import case, drop
from builders_audit_files import put
from builders_audit_log import Audit
from comity_broker.auditlog import events

# --- bodies and records ---------------------------------------------------------------------------------------------


@case("COMMITMENT")
def a_body_that_is_not_the_one_committed_to(audit: Audit, folder: Path) -> None:
    path = audit.write(folder).agreement / f"body/{audit.find('AGREEMENT_SIGNED')}.XBO"
    put(path, path.read_bytes() + b"{}")


@case("COMMITMENT")
def a_body_under_another_salt(audit: Audit, folder: Path) -> None:
    path = audit.write(folder).agreement / "body/1.XBO"
    put(path, bytes(32))


@case("COMMITMENT")
def a_body_moved_to_the_other_party(audit: Audit, folder: Path) -> None:
    where = audit.write(folder).agreement / "body"
    put(where / "1.XBO", (where / "1.XAR").read_bytes())


@case("BODY")
def a_body_with_a_key_that_nobody_declared(audit: Audit, folder: Path) -> None:
    audit.change(audit.find("DELIVERED"), "XBO", comment="psst")
    audit.write(folder)


@case("BODY")
def a_body_with_text_where_a_number_is_due(audit: Audit, folder: Path) -> None:
    audit.events.append(events.audit_failure(time=audit.tick(), reason="disk"))
    audit.change(len(audit.events) - 1, time="now")
    audit.write(folder)


@case("BODY")
def a_body_that_is_not_canonical(audit: Audit, folder: Path) -> None:
    index = audit.find("ACKNOWLEDGED")
    own = {
        party: body.replace(b'{"', b'{ "', 1) if party == "XBO" else body
        for party, body in audit.events[index].own.items()
    }
    audit.events[index] = replace(audit.events[index], own=own)
    audit.write(folder)


@case("PARTS")
def two_parties_who_were_told_different_things(audit: Audit, folder: Path) -> None:
    audit.change(audit.find("DELIVERED"), "XBO", request="ff" * 16)
    audit.write(folder)


@case("RECORDS")
def a_slot_record_under_another_salt(audit: Audit, folder: Path) -> None:
    path = audit.write(folder).agreement / f"record/{audit.find('SUBMIT_ACCEPTED')}.shared/1"
    put(path, bytes(32) + path.read_bytes()[32:])


@case("RECORDS")
def a_slot_record_that_says_admitted_where_the_body_says_refused(audit: Audit, folder: Path) -> None:
    index = audit.find("SUBMIT_ACCEPTED")
    audit.change(index, refusals=[[1, 12]])
    audit.receipts = {}
    audit.envelopes = []
    drop(audit, "DELIVERED", "ACKNOWLEDGED")
    audit.write(folder)


@case("RECORDS")
def a_slot_record_shown_without_the_leaves_of_the_others(audit: Audit, folder: Path) -> None:
    (audit.write(folder).agreement / f"record/{audit.find('SUBMIT_ACCEPTED')}.shared/1").unlink()
