"""Steps and keys in a mirrored log: only what an officer signed, with a key and a role that counted then, means anything."""

import json

from builders_audit import begun_audit, fresh_audit, good_audit
from builders_hostile import AGREEMENT, mirrored, refused
from builders_identity import fails
from comity.errors import ErrorCode, KeyFault, NotFoundError
from comity_policy.facts import Role
from comity_policy.lifecycle import Phase
from comity_policy.steps import StepKind


def stepped(**changes):
    """Give an audit whose last step is a suspension by XBO, made with these changes."""
    audit = fresh_audit()
    given = {"clauses": (), "reason": "a review", **changes.pop("fields", {})}
    officer, role = changes.pop("officer", "XBO/lia"), changes.pop("role", Role.LIAISON)
    statement = audit.statement(StepKind.SUSPEND, officer, role, **given)
    audit.step(statement, StepKind.SUSPEND)
    for name, value in changes.items():
        audit.change(len(audit.events) - 1, **{name: value})
    return audit


async def test_a_suspension_counts_from_its_entry_on(tmp_path):
    async with mirrored(stepped(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        assert mirror.agreement(AGREEMENT).state.phase is Phase.SUSPENDED
        fold = mirror.fold(AGREEMENT)
        assert fold.state_before(len(broker.audit.events) - 1, broker.audit.time).phase is Phase.IN_FORCE


async def test_a_step_of_an_officer_without_the_role_stops_the_agreement(tmp_path):
    async with mirrored(stepped(officer="XBO/law", role=Role.LIAISON), tmp_path) as (_, mirror, refresh):
        error = await refused(refresh)
        assert error.code is ErrorCode.STATEMENT_REJECTED
        assert AGREEMENT in mirror.faults


async def test_a_step_signed_by_somebody_else_stops_the_agreement(tmp_path):
    audit = stepped()
    audit.resign(len(audit.events) - 1, _fields(audit), audit.officers["XBO/law"].signer)
    async with mirrored(audit, tmp_path) as (_, _, refresh):
        assert "not signed by XBO/lia" in (await refused(refresh)).message


async def test_a_step_whose_signature_does_not_verify_stops_the_agreement(tmp_path):
    audit = stepped()
    statement = audit.body(len(audit.events) - 1)["statement"]
    broken = statement["signatures"][0]["signature"]
    statement["signatures"][0]["signature"] = ("0" if broken[0] != "0" else "1") + broken[1:]
    audit.change(len(audit.events) - 1, statement=statement)
    async with mirrored(audit, tmp_path) as (_, _, refresh):
        assert "signature does not verify" in (await refused(refresh)).message


async def test_a_step_that_the_state_does_not_allow_stops_the_agreement(tmp_path):
    audit = fresh_audit()
    statement = audit.statement(StepKind.RESUME, "XBO/lia", Role.LIAISON, clauses=(), reason="nothing to resume")
    audit.step(statement, StepKind.RESUME)
    async with mirrored(audit, tmp_path) as (_, _, refresh):
        assert "does not allow" in (await refused(refresh)).message


async def test_a_step_under_an_entry_of_another_kind_stops_the_agreement(tmp_path):
    """What a node does not act on it must not fold: a caveat that it knew of and ignored would be a silent leak."""
    audit = fresh_audit()
    caveat = {"caveat": "C1", "caveat_digest": "cd" * 48, "partner_text": "A limitation."}
    statement = audit.statement(StepKind.CAVEAT_ADD, "XBO/plen", Role.PLENIPOTENTIARY, **caveat)
    audit.step(statement, StepKind.SUSPEND)
    async with mirrored(audit, tmp_path) as (_, mirror, refresh):
        assert "AGREEMENT_SUSPENDED and carries agreement-caveat-add" in (await refused(refresh)).message
        assert AGREEMENT in mirror.faults


async def test_nobody_hides_a_withdrawal_by_an_older_place_in_the_key_log(tmp_path):
    audit = fresh_audit()
    old_size = audit.key_log_size
    withdrawn = audit.officers["XBO/lia"]
    audit.enrol(withdrawn.reissued(roles=()))
    audit.time += 3_600_000
    statement = audit.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, clauses=(), reason="too late")
    audit.step(statement, StepKind.SUSPEND)
    async with mirrored(audit, tmp_path) as (broker, _, refresh):
        assert "withdrawn" in (await refused(refresh)).message
        audit.change(len(audit.events) - 1, key_log_size=old_size)
        broker.publish()
    async with mirrored(audit, tmp_path / "second") as (_, _, refresh):
        assert "states that the key log had" in (await refused(refresh)).message


async def test_a_place_beyond_the_key_log_is_refused(tmp_path):
    async with mirrored(stepped(key_log_size=10_000), tmp_path) as (_, _, refresh):
        assert "states that the key log had 10000" in (await refused(refresh)).message


async def test_a_key_that_the_agreements_log_says_is_revoked_signs_nothing_after(tmp_path):
    audit = fresh_audit()
    audit.revoke(audit.xbo, audit.officers["XBO/lia"].signer.fingerprint)
    statement = audit.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, clauses=(), reason="stolen")
    audit.step(statement, StepKind.SUSPEND)
    async with mirrored(audit, tmp_path) as (_, _, refresh):
        assert "is revoked" in (await refused(refresh)).message


async def test_a_revocation_that_the_key_log_does_not_have_is_refused(tmp_path):
    audit = fresh_audit()
    key = audit.nodes["XBO/m1"].signer.fingerprint
    audit.events.append(audit.revoked(audit.xbo.revocation(key, issued_at=audit.time)))
    async with mirrored(audit, tmp_path) as (_, _, refresh):
        assert "no revocation that the key log has" in (await refused(refresh)).message


async def test_a_party_that_is_not_trusted_here_stops_its_agreements_alone(tmp_path):
    audit = good_audit()
    async with mirrored(audit, tmp_path, cards={"XAR": audit.xar.card}) as (_, mirror, refresh):
        await refresh()
        error = fails(lambda: mirror.agreement(AGREEMENT), ErrorCode.PARTY_UNTRUSTED, KeyFault)
        assert "XBO" in error.message
    # Trusted later, everything is folded again from what is here.
    async with mirrored(audit, tmp_path) as (_, mirror, refresh):
        assert mirror.agreement(AGREEMENT).state.phase is Phase.IN_FORCE


async def test_an_agreement_that_pins_another_root_is_refused(tmp_path):
    audit = begun_audit()
    audit.text = audit.text.replace(audit.xbo.card.root_fingerprint.hex().encode(), b"ab" * 48)
    audit.change(0, agreement_digest=audit.digest.hex())
    async with mirrored(audit, tmp_path) as (_, _, refresh):
        assert "pins another root of XBO" in (await refused(refresh)).message


async def test_what_has_no_authority_in_the_key_log_means_nothing(tmp_path):
    audit = fresh_audit()
    stranger = audit.xbo.node("m2")
    audit.enrol(audit.xbo.listing(stranger, signers=(audit.xar.directory,)))
    async with mirrored(audit, tmp_path) as (_, mirror, refresh):
        await refresh()
        assert mirror.directory.node("XBO", "m2") is None
        assert mirror.agreement(AGREEMENT).state.phase is Phase.IN_FORCE


async def test_an_agreement_that_nobody_mirrored_is_unknown(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (_, mirror, refresh):
        await refresh()
        fails(lambda: mirror.agreement("XAR-XBO-9"), ErrorCode.AGREEMENT_UNKNOWN, NotFoundError)


async def test_before_the_first_refresh_nothing_is_known(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (_, mirror, _):
        assert mirror.agreements() == ()
        fails(lambda: mirror.key_log_seen, ErrorCode.KEY_LOG_STALE, KeyFault)


def _fields(audit):
    return json.loads(bytes.fromhex(audit.body(len(audit.events) - 1)["statement"]["body"]))
