"""Audits in which exactly one check fails: text, roots, key log, opening, statements."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from builders_audit import begun_audit, signed_by_all
from builders_audit_cases import case
from builders_audit_files import changed, put
from builders_audit_log import AGREEMENT, KEYS_ORIGIN, Audit
from builders_identity import Seeded, nation
from comity.identity import issue
from comity.identity.cardfile import CardFile, encode_card_file, read_party_card
from comity.statement import Statement, sign_statement
from comity_broker.auditlog import events
from comity_broker.auditlog.checkpoint import LogKeys
from comity_broker.auditlog.kinds import EventKind
from comity_policy.facts import Role
from comity_policy.steps import StepKind

# --- text, roots and keys -------------------------------------------------------------------------------------------


@case("AGREEMENT")
def a_text_that_is_not_the_one_signed(audit: Audit, folder: Path) -> None:
    path = audit.write(folder).folder / f"agreements/{AGREEMENT}.toml"
    put(path, path.read_bytes().replace(b"SECRET", b"TOP-SECRET", 1))


@case("AGREEMENT")
def a_broker_that_the_agreement_does_not_name(audit: Audit, folder: Path) -> None:
    audit = rebuilt(lambda text: text.replace(b"[brokers.hub]", b"[brokers.other]"))
    audit.write(folder)


@case("AGREEMENT")
def a_broker_whose_operator_is_another_party(audit: Audit, folder: Path) -> None:
    rebuilt(lambda text: text.replace(b'operator = "XAR"', b'operator = "XBO"')).write(folder)


@case("AGREEMENT")
def a_text_with_the_id_of_another_agreement(audit: Audit, folder: Path) -> None:
    rebuilt(lambda text: text.replace(b'id = "XAR-XBO-1"', b'id = "XAR-XBO-2"')).write(folder)


def rebuilt(change: Callable[[bytes], bytes]) -> Audit:
    """Give an audit of another text, signed by both."""
    audit = begun_audit()
    audit.text = change(audit.text)
    audit.events = [events.agreement_log_opened(terms=audit.terms, statements=(), **audit.common())]
    signed_by_all(audit)
    return audit


@case("ROOTS")
def a_card_of_another_root(audit: Audit, folder: Path) -> None:
    file = CardFile(read_party_card(card_of_another_root(audit)), ())
    put(audit.write(folder).folder / "parties/XBO.json", encode_card_file(file))


def card_of_another_root(audit: Audit) -> Statement:
    root = nation("XDE").root
    terms = {"party": "XBO", "name": "XBO", "jurisdiction": "XBO", "trust_domain": audit.xbo.trust_domain}
    return issue.party_card(root, **terms, issued_at=1)


@case("ROOTS")
def a_card_that_its_root_did_not_sign(audit: Audit, folder: Path) -> None:
    path = audit.write(folder).folder / "parties/XBO.json"
    signature = audit.xbo.card_statement.signatures[0].signature.hex().encode()
    put(path, path.read_bytes().replace(signature, b"00" * (len(signature) // 2)))


@case("ROOTS")
def a_root_that_is_not_the_one_the_auditor_compared(audit: Audit, folder: Path) -> dict[str, str]:
    audit.write(folder)
    return {"XBO": "sha384:" + "00" * 48}


@case("ROOTS")
def a_card_of_the_right_root_for_another_trust_domain(audit: Audit, folder: Path) -> None:
    terms = {"party": "XBO", "name": "XBO", "jurisdiction": "XBO", "trust_domain": "elsewhere.example"}
    card = issue.party_card(audit.xbo.root, **terms, issued_at=1)
    put(audit.write(folder).folder / "parties/XBO.json", encode_card_file(CardFile(read_party_card(card), ())))


@case("KEY_LOG")
def a_key_log_of_which_an_entry_is_not_presented(audit: Audit, folder: Path) -> None:
    (audit.write(folder).keys / f"body/{len(audit.key_events) - 1}.shared").unlink()


@case("KEY_LOG")
def a_key_log_without_an_entry(audit: Audit, folder: Path) -> None:
    audit.key_events = []
    audit.write(folder)


@case("KEY_LOG")
def a_bundle_that_no_directory_key_signed(audit: Audit, folder: Path) -> None:
    stranger = audit.xbo.node("m9")
    audit.enrol(audit.xbo.listing(stranger, signers=(audit.xar.directory,)))
    audit.write(folder)


@case("KEY_LOG")
def full_powers_that_the_root_did_not_sign(audit: Audit, folder: Path) -> None:
    officer = audit.xbo.officer("plen2", [Role.PLENIPOTENTIARY])
    audit.enrol(audit.xbo.listing(officer, signers=(audit.xbo.directory,)))
    audit.write(folder)


@case("KEY_LOG")
def an_older_bundle_after_a_newer_one(audit: Audit, folder: Path) -> None:
    node = audit.xbo.node("m9")
    first = node.statement
    audit.enrol(node.reissued(region="xar"))
    audit.enrol(first)
    audit.write(folder)


@case("KEY_LOG")
def a_key_that_two_identities_list(audit: Audit, folder: Path) -> None:
    node = audit.xbo.node("m9")
    node.keys = audit.nodes["XBO/m1"].keys
    audit.enrol(audit.xbo.listing(node))
    audit.write(folder)


@case("KEY_LOG")
def a_bundle_that_outlives_its_directory_key(audit: Audit, folder: Path) -> None:
    node = audit.xbo.node("m9")
    audit.enrol(node.reissued(valid_until=audit.time + 365 * 86_400_000))
    audit.write(folder)


@case("KEY_LOG")
def a_bundle_signed_by_a_revoked_directory_key(audit: Audit, folder: Path) -> None:
    audit.enrol(audit.xbo.revocation(audit.xbo.directory.fingerprint, signer=audit.xbo.root), EventKind.KEY_REVOKED)
    audit.enrol(audit.xbo.node("m9").statement)
    audit.events.append(audit.revoked(audit.xbo.revocation(audit.xbo.directory.fingerprint, signer=audit.xbo.root)))
    audit.write(folder)


@case("KEY_LOG")
def a_revocation_by_the_other_party(audit: Audit, folder: Path) -> None:
    key = audit.nodes["XBO/m1"].signer.fingerprint
    audit.enrol(audit.xbo.revocation(key, signer=audit.xar.directory), EventKind.KEY_REVOKED)
    audit.write(folder)


@case("KEY_LOG")
def a_card_of_another_root_in_the_key_log(audit: Audit, folder: Path) -> None:
    audit.enrol(card_of_another_root(audit))
    audit.write(folder)


@case("KEY_LOG")
def a_bundle_of_a_node_that_lists_an_officers_key(audit: Audit, folder: Path) -> None:
    key = {"role": "officer-signing", "suite": 1, "public": audit.xbo.node("m9").signer.public.hex()}
    fields = audit.xbo.node("m9").statement.fields | {"keys": [key]}
    audit.enrol(sign_statement(fields, audit.xbo.directory))
    audit.write(folder)


@case("KEY_LOG")
def a_statement_with_a_key_that_nobody_declared(audit: Audit, folder: Path) -> None:
    fields = audit.xbo.node("m9").statement.fields | {"comment": "psst"}
    audit.enrol(sign_statement(fields, audit.xbo.directory))
    audit.write(folder)


@case("KEY_LOG")
def a_statement_whose_signatures_are_not_in_order(audit: Audit, folder: Path) -> None:
    audit.enrol(audit.xbo.officer("plen9", [Role.PLENIPOTENTIARY]).statement)
    last = audit.key_events[-1]
    statement = json.loads(last.shared)["statement"]
    statement["signatures"].reverse()
    audit.key_events[-1] = replace(last, shared=changed(last.shared, statement=statement))
    audit.write(folder)


@case("KEY_LOG")
def a_revocation_entered_as_an_enrolment(audit: Audit, folder: Path) -> None:
    audit.enrol(audit.xbo.revocation(audit.nodes["XBO/m1"].signer.fingerprint))
    audit.write(folder)


@case("LOG_OPENED")
def a_report_before_every_party_signed_the_log(audit: Audit, folder: Path) -> None:
    del audit.events[audit.find("LOG_OPENED", 2)]
    move_submissions(audit, -1)
    audit.write(folder)


@case("LOG_OPENED")
def a_party_that_signed_other_terms_of_the_log(audit: Audit, folder: Path) -> None:
    audit.change(audit.find("LOG_OPENED", 2), anchor_slot=7)
    audit.write(folder)


@case("LOG_OPENED")
def a_key_log_whose_entry_0_names_other_keys(audit: Audit, folder: Path) -> None:
    audit.key_events[0] = events.log_opened(time=1, origin=KEYS_ORIGIN, log_vkeys=["other"], broker="XAR/hub")
    audit.write(folder)


@case("LOG_KEYS")
def log_keys_that_the_brokers_bundle_does_not_list(audit: Audit, folder: Path) -> None:
    keys = LogKeys.generate(Seeded("other log keys"))
    audit = begun_audit(keys)
    signed_by_all(audit)
    audit.write(folder)


@case("STATEMENT")
def a_signature_under_another_agreements_name(audit: Audit, folder: Path) -> None:
    index = audit.find("AGREEMENT_SIGNED", 1)
    fields = audit.statement(StepKind.SIGN, "XBO/plen", Role.PLENIPOTENTIARY).fields | {"agreement": "XAR-XBO-9"}
    audit.resign(index, fields, audit.officers["XBO/plen"].signer)
    audit.write(folder)


@case("STATEMENT")
def a_step_signed_by_another_officer(audit: Audit, folder: Path) -> None:
    index = audit.find("AGREEMENT_REVIEWED", 1)
    statement = audit.statement(StepKind.REVIEW, "XAR/law", Role.LEGAL_REVIEWER).fields | {
        "party": "XBO",
        "officer": "XBO/law",
    }
    audit.resign(index, statement, audit.officers["XAR/law"].signer)
    audit.write(folder)


@case("STATEMENT")
def a_step_by_an_officer_without_that_role(audit: Audit, folder: Path) -> None:
    index = audit.find("AGREEMENT_SIGNED", 1)
    fields = audit.statement(StepKind.SIGN, "XBO/lia", Role.PLENIPOTENTIARY).fields
    audit.resign(index, fields, audit.officers["XBO/lia"].signer)
    audit.write(folder)


@case("STATEMENT")
def a_signature_of_another_text(audit: Audit, folder: Path) -> None:
    index = audit.find("AGREEMENT_SIGNED", 1)
    fields = audit.statement(StepKind.SIGN, "XBO/plen", Role.PLENIPOTENTIARY).fields | {"agreement_digest": "00" * 48}
    audit.resign(index, fields, audit.officers["XBO/plen"].signer)
    audit.write(folder)


@case("STATEMENT")
def a_step_by_an_officer_whose_accreditation_had_expired(audit: Audit, folder: Path) -> None:
    suspended_by(audit, "short", valid_until=audit.time + 5_000)
    audit.write(folder)


@case("STATEMENT")
def a_step_by_an_officer_whose_key_the_key_log_had_revoked(audit: Audit, folder: Path) -> None:
    suspended_by(audit, "gone", revoked=True)
    audit.write(folder)


def suspended_by(audit: Audit, name: str, *, revoked: bool = False, **facts: object) -> None:
    """Let an officer be accredited, and suspend the agreement ten seconds later."""
    officer = audit.officers[f"XBO/{name}"] = audit.xbo.officer(name, [Role.LIAISON], **facts)
    audit.enrol(officer.statement)
    if revoked:
        audit.revoke(audit.xbo, officer.signer.fingerprint)
    audit.time += 10_000
    statement = audit.statement(StepKind.SUSPEND, f"XBO/{name}", Role.LIAISON, reason="because")
    audit.step(statement, StepKind.SUSPEND)


@case("STATEMENT")
def a_report_abandoned_by_another_node(audit: Audit, folder: Path) -> None:
    audit.abandon(4, bytes(48), signer=audit.nodes["XBO/m1"].signer)
    audit.write(folder)


@case("STATEMENT")
def an_abandonment_of_another_number_than_the_node_signed(audit: Audit, folder: Path) -> None:
    audit.abandon(4, bytes(48))
    audit.change(len(audit.events) - 1, first_origin_sequence=5)
    audit.write(folder)


@case("STATEMENT")
def a_suspension_of_a_clause_that_does_not_exist(audit: Audit, folder: Path) -> None:
    statement = audit.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, clauses=("99",), reason="because")
    audit.step(statement, StepKind.SUSPEND)
    audit.write(folder)


def move_submissions(audit: Audit, by: int) -> None:
    audit.records = {index + by: tree for index, tree in audit.records.items()}
    audit.receipts = {index + by: replace(one, log_index=index + by) for index, one in audit.receipts.items()}
