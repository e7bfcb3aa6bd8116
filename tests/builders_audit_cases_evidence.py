"""Audits in which exactly one check fails: numbers, revocations, receipts, envelopes, decisions, delivery, acknowledgement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from builders_audit import fresh_audit, good_audit
from builders_audit_cases import case, drop
from builders_audit_files import put
from builders_audit_log import Audit
from comity.envelope.evidence import AckOutcome, SlotCode, sign_approval
from comity.envelope.exported import decode_exported, encode_exported
from comity.envelope.receipts import decode_signed_receipt, encode_signed_receipt
from comity_broker.auditlog import events
from comity_broker.auditlog.kinds import EventKind
from comity_policy.facts import Role

# --- numbers --------------------------------------------------------------------------------------------------------


@case("NUMBERING")
def an_agreement_sequence_with_a_hole(audit: Audit, folder: Path) -> None:
    index = audit.find("SUBMIT_ACCEPTED")
    audit.change(index, first_agreement_sequence=2)
    audit.receipts[index] = replace(audit.receipts[index], first_agreement_sequence=2)
    audit.write(folder)


@case("NUMBERING")
def an_origin_sequence_with_a_hole_that_the_log_does_not_explain(audit: Audit, folder: Path) -> None:
    audit.submit(1, first=5)
    audit.write(folder)


@case("NUMBERING")
def an_origin_sequence_that_ends_twice(audit: Audit, folder: Path) -> None:
    audit.abandon(2, bytes(48))
    audit.write(folder)


@case("NUMBERING")
def a_count_that_does_not_add_up(audit: Audit, folder: Path) -> None:
    index = audit.find("SUBMIT_ACCEPTED")
    audit.change(index, count=3)
    audit.receipts = {}
    audit.write(folder)


@case("NUMBERING")
def a_log_whose_time_falls(audit: Audit, folder: Path) -> None:
    audit.events.append(events.audit_failure(time=1, reason="disk"))
    audit.write(folder)


@case("NUMBERING")
def a_number_called_a_replay_that_had_not_ended(audit: Audit, folder: Path) -> None:
    audit.submit(1, first=9, refused={0: SlotCode.REPLAYED})
    audit.write(folder)


@case("NUMBERING")
def an_abandonment_of_nothing(audit: Audit, folder: Path) -> None:
    audit.abandon(4)
    audit.write(folder)


# --- the order of revocations ---------------------------------------------------------------------------------------


@case("KEY_STATUS")
def a_report_of_a_key_that_was_revoked_before(audit: Audit, folder: Path) -> None:
    size = audit.key_log_size
    audit.revoke(audit.xar, audit.nodes["XAR/n1"].signer.fingerprint)
    audit.submit(1)
    audit.change(len(audit.events) - 1, key_log_size=size)
    audit.write(folder)


@case("KEY_STATUS")
def an_entry_that_does_not_know_a_revocation_this_log_has(audit: Audit, folder: Path) -> None:
    size = audit.key_log_size
    audit.revoke(audit.xar, audit.officers["XAR/law"].signer.fingerprint)
    audit.submit(1)
    audit.change(len(audit.events) - 1, key_log_size=size)
    audit.write(folder)


@case("KEY_STATUS")
def a_revocation_that_never_came_to_the_agreements_log(audit: Audit, folder: Path) -> None:
    audit.enrol(audit.xar.revocation(audit.officers["XAR/law"].signer.fingerprint), EventKind.KEY_REVOKED)
    audit.time += 60_000
    audit.events.append(events.audit_failure(time=audit.tick(), reason="disk"))
    audit.write(folder)


@case("KEY_STATUS")
def a_revocation_that_the_key_log_does_not_have(audit: Audit, folder: Path) -> None:
    first = audit.xar.revocation(audit.officers["XAR/law"].signer.fingerprint)
    audit.enrol(first, EventKind.KEY_REVOKED)
    audit.events.append(
        audit.revoked(audit.xar.revocation(audit.officers["XAR/law"].signer.fingerprint, reason="other"))
    )
    audit.write(folder)


@case("KEY_STATUS")
def an_entry_that_did_not_know_what_the_key_log_had_for_long(audit: Audit, folder: Path) -> None:
    size = audit.key_log_size
    audit.enrol(audit.xar.officer("late").statement)
    audit.time += 60_000
    audit.submit(1)
    audit.change(len(audit.events) - 1, key_log_size=size)
    audit.write(folder)


@case("KEY_STATUS")
def an_entry_that_knew_more_than_the_key_log_has(audit: Audit, folder: Path) -> None:
    audit.change(audit.find("AGREEMENT_PROPOSED"), key_log_size=1000)
    audit.write(folder)


@case("CONTESTED")
def a_report_after_the_claimed_compromise_and_before_the_revocation(audit: Audit, folder: Path) -> None:
    sent = audit.sent[0].admission.time
    audit.revoke(audit.xar, audit.nodes["XAR/n1"].signer.fingerprint, compromised_at=sent - 1)
    audit.write(folder)


# --- receipts and envelopes -----------------------------------------------------------------------------------------


@case("RECEIPT")
def a_receipt_whose_entry_is_not_in_the_log(audit: Audit, folder: Path) -> None:
    index = audit.find("SUBMIT_ACCEPTED")
    audit.receipts[index] = replace(audit.receipts[index], leaf_hash=bytes(32))
    audit.write(folder)


@case("RECEIPT")
def a_receipt_of_a_log_that_is_not_in_the_bundle(audit: Audit, folder: Path) -> None:
    index = audit.find("SUBMIT_ACCEPTED")
    audit.receipts[index] = replace(audit.receipts[index], origin="hub.xar.example/agreement/XAR-XBO-9/00")
    audit.write(folder)


@case("RECEIPT")
def a_receipt_of_another_segment_than_the_entry(audit: Audit, folder: Path) -> None:
    index = audit.find("SUBMIT_ACCEPTED")
    audit.receipts[index] = replace(audit.receipts[index], segment_id=bytes(48))
    audit.write(folder)


@case("RECEIPT")
def a_receipt_whose_refusals_are_not_those_of_the_entry(audit: Audit, folder: Path) -> None:
    index = audit.find("SUBMIT_ACCEPTED")
    audit.receipts[index] = replace(audit.receipts[index], refusals=((2, SlotCode.REPLAYED),))
    audit.write(folder)


@case("RECEIPT")
def a_receipt_that_the_broker_did_not_sign(audit: Audit, folder: Path) -> None:
    with_receipt(audit, folder, lambda signed: replace(signed, signature=bytes(len(signed.signature))))


@case("RECEIPT")
def a_receipt_with_the_path_of_another(audit: Audit, folder: Path) -> None:
    with_receipt(audit, folder, lambda signed: replace(signed, slot=signed.slot ^ 1))


def with_receipt(audit: Audit, folder: Path, change: Callable) -> None:
    audit.write(folder)
    (path,) = (folder / "receipts").iterdir()
    put(path, encode_signed_receipt(change(decode_signed_receipt(path.read_bytes()))))


@case("ENVELOPE")
def an_envelope_that_no_log_holds(audit: Audit, folder: Path) -> None:
    other = good_audit()
    other.submit(1)
    audit.envelopes = other.envelopes
    audit.write(folder)


@case("ENVELOPE")
def an_envelope_whose_batch_signature_is_not_the_nodes(audit: Audit, folder: Path) -> None:
    with_envelope(audit, lambda one: replace(one, batch=replace(one.batch, signature=bytes(len(one.batch.signature)))))
    audit.write(folder)


@case("ENVELOPE")
def an_envelope_of_a_key_set_that_was_not_logged_yet(_: Audit, folder: Path) -> None:
    audit = fresh_audit()
    rotated = audit.nodes["XAR/n1"].rotated()
    audit.submit(1)
    audit.enrol(rotated, EventKind.KEY_ROTATED)
    audit.write(folder)


@case("ENVELOPE")
def an_envelope_whose_record_names_another_leaf(audit: Audit, folder: Path) -> None:
    sent = audit.submit(1, records=lambda record: replace(record, leaf=bytes(48)))
    assert sent.records[0].leaf == bytes(48)
    audit.write(folder)


@case("ENVELOPE")
def an_envelope_logged_as_of_another_class(audit: Audit, folder: Path) -> None:
    audit.change(audit.find("SUBMIT_ACCEPTED"), **{"class": 3})
    audit.write(folder)


@case("ENVELOPE")
def an_envelope_logged_as_of_another_node(audit: Audit, folder: Path) -> None:
    audit.change(audit.find("SUBMIT_ACCEPTED"), actor={"party": "XAR", "node": "n2", "officer": ""})
    audit.write(folder)


@case("ENVELOPE")
def an_envelope_under_another_agreements_text(audit: Audit, folder: Path) -> None:
    audit.submit(1, agreement_digest=bytes(48))
    audit.write(folder)


@case("ENVELOPE")
def an_envelope_whose_stanza_row_names_a_portion_that_there_is_not(audit: Audit, folder: Path) -> None:
    audit.submit(1, manifest=lambda one: replace(one, rows=(one.rows[0], replace(one.rows[1], indices=(0, 7)))))
    decide(audit, "both", 1, portions=[0, 7])
    audit.write(folder)


@case("APPROVAL")
def an_approval_by_an_officer_of_the_other_party(audit: Audit, folder: Path) -> None:
    audit.submit(1, approve=["XBO/lia"])
    audit.write(folder)


@case("APPROVAL")
def an_approval_that_does_not_verify(audit: Audit, folder: Path) -> None:
    audit.submit(1, approve=["XAR/lia"])
    other = sign_approval(audit.officers["XAR/lia"].signer, bytes(48), Role.LIAISON, 1)
    with_envelope(audit, lambda one: replace(one, item=replace(one.item, approvals=(other,))), -1)
    audit.write(folder)


@case("APPROVAL")
def fewer_approvals_than_the_envelope_requires(audit: Audit, folder: Path) -> None:
    audit.submit(1, approvals_required=1)
    audit.write(folder)


def with_envelope(audit: Audit, change: Callable, number: int = 0) -> None:
    audit.envelopes[number] = encode_exported(change(decode_exported(audit.envelopes[number])))


# --- decisions, delivery, acknowledgement ---------------------------------------------------------------------------


@case("PORTIONS")
def a_stanza_for_a_key_of_another_party_than_its_row_names(audit: Audit, folder: Path) -> None:
    audit.submit(1, manifest=lambda one: replace(one, rows=(one.rows[0], replace(one.rows[1], party="XDE"))))
    audit.write(folder)


@case("PORTIONS")
def a_stanza_for_fewer_portions_than_were_permitted(audit: Audit, folder: Path) -> None:
    decide(audit, "both", portions=[0, 1], violations=[])
    audit.write(folder)


@case("PORTIONS")
def a_stanza_for_a_node_to_which_nothing_was_permitted(audit: Audit, folder: Path) -> None:
    decide(audit, "both", node="m2")
    drop(audit, "DELIVERED", "ACKNOWLEDGED")
    audit.write(folder)


@case("PORTIONS")
def a_recipient_who_was_told_of_more_than_the_sender(audit: Audit, folder: Path) -> None:
    decide(audit, "XBO", portions=[0, 1], violations=[])
    audit.write(folder)


@case("PORTIONS")
def a_slot_record_that_names_another_decision(audit: Audit, folder: Path) -> None:
    index = audit.find("SUBMIT_ACCEPTED")
    decision = audit.body(index, "XAR")["decisions"][0]
    elsewhere = decision | {"slots": [[0, 0]]}, decision | {"slots": [[1, 2]]}
    audit.change(index, "both", decisions=list(elsewhere))
    audit.write(folder)


@case("CLAUSES")
def a_decision_that_cites_an_article_that_does_not_exist(audit: Audit, folder: Path) -> None:
    decide(audit, "both", violations=[{"clause": "99", "reason": "DENIED", "portions": [1]}])
    audit.write(folder)


@case("DELIVERED")
def a_report_delivered_that_was_refused(audit: Audit, folder: Path) -> None:
    audit.deliver(audit.sent[0], [2])
    audit.write(folder)


@case("DELIVERED")
def a_segment_delivered_that_nobody_submitted(audit: Audit, folder: Path) -> None:
    sent = audit.sent[0]
    audit.deliver(replace(sent, admission=replace(sent.admission, segment_id=bytes(48))), [0])
    audit.write(folder)


@case("DELIVERED")
def a_delivery_that_names_one_slot_twice(audit: Audit, folder: Path) -> None:
    audit.deliver(audit.sent[0], [0])
    segment = audit.body(len(audit.events) - 1, "XAR")["segments"][0]
    audit.change(len(audit.events) - 1, "both", segments=[segment | {"slots": [[0, 1], [1, 1]]}])
    audit.write(folder)


@case("DELIVERED")
def a_report_delivered_of_which_nothing_was_permitted(audit: Audit, folder: Path) -> None:
    decide(audit, "both", node="m2")
    audit.envelopes = []
    drop(audit, "ACKNOWLEDGED")
    audit.write(folder)


@case("ACKNOWLEDGED")
def an_acknowledgement_by_another_node(audit: Audit, folder: Path) -> None:
    audit.acknowledge(audit.sent[0], [1, 1, 0], signer=audit.nodes["XAR/n1"].signer)
    audit.write(folder)


@case("ACKNOWLEDGED")
def an_acknowledgement_entered_for_another_consumer(audit: Audit, folder: Path) -> None:
    audit.change(audit.find("ACKNOWLEDGED"), "both", consumer="archive")
    audit.write(folder)


@case("NOT_DELIVERED")
def an_acknowledgement_of_what_was_not_delivered(audit: Audit, folder: Path) -> None:
    drop(audit, "DELIVERED")
    audit.write(folder)


@case("NOT_DELIVERED")
def an_acknowledgement_of_a_slot_that_came_pruned(audit: Audit, folder: Path) -> None:
    audit.acknowledge(audit.sent[0], [0, 0, AckOutcome.ACKNOWLEDGED])
    audit.write(folder)


@case("NOT_DELIVERED")
def a_replay_to_a_consumer_that_was_never_handed_it(audit: Audit, folder: Path) -> None:
    audit.deliver(audit.sent[0], [0, 1])
    audit.replay(audit.sent[0], [0, 1])
    audit.replay(audit.sent[0], [1], consumer="archive")
    audit.write(folder)


@case("DELIVERED")
def a_replay_of_a_report_that_was_refused(audit: Audit, folder: Path) -> None:
    audit.deliver(audit.sent[0], [0, 1])
    audit.replay(audit.sent[0], [0])
    segment = audit.body(len(audit.events) - 1, "XAR")["segments"][0]
    audit.change(len(audit.events) - 1, "both", segments=[segment | {"slots": [[0, 2]]}])
    audit.write(folder)


def decide(audit: Audit, part: str, number: int = 0, kind: str = "SUBMIT_ACCEPTED", **fields: object) -> None:
    """Put other values into what the log says of the one recipient of a segment."""
    index = audit.find(kind, number)
    decision = audit.body(index, "XAR")["decisions"][0]
    recipient = decision["recipients"][0] | fields
    audit.change(index, part, decisions=[decision | {"recipients": [recipient]}])
