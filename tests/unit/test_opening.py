"""Opening at the recipient: forks, revoked keys, refusals of clauses then and now, and what a broker left out."""

from dataclasses import replace

import pytest

from builders_delivery import AGREEMENT, READER, cut, handing
from builders_envelope import HOUR
from comity.envelope.evidence import AckOutcome
from comity.envelope.forwarding import prune
from comity.envelope.open import Opener
from comity.errors import KeyFault, MalformedError, NotFoundError, RejectedError, VerificationError
from comity.node.logs import RefreshNeeded
from comity.node.mirror_state import KEYS
from comity.node.opened import OpenSlot, Refusal
from comity.node.opening import Opening
from comity_broker.auditlog.kinds import EventKind
from comity_policy.facts import Role
from comity_policy.readers import Lack
from comity_policy.steps import StepKind


def opened(hand, frame, *, slot=0, refreshed=True, **options):
    opening = hand.opening(**options)
    return opening.open_slot(opening.open_segment(frame, refreshed=refreshed), slot)


def refused(result, outcome=AckOutcome.REFUSED, says=""):
    assert isinstance(result, Refusal)
    assert result.outcome is outcome
    assert says in result.reason
    return result


async def test_a_report_opens_with_what_its_reader_may_have(tmp_path):
    async with handing(tmp_path) as hand:
        result = opened(hand, hand.frame(2), slot=1, refreshed=False)
        assert isinstance(result, OpenSlot)
        assert result.report.text == "2 portion 0"
        assert result.report.withheld == (1,)


# --- views of the logs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["agreement_log_seen", "key_log_seen"])
async def test_a_sender_that_was_shown_another_history_makes_a_fork(tmp_path, name):
    async with handing(tmp_path) as hand:
        forged = {name: replace(hand.seen()[name], root=bytes(32))}
        assert refused(opened(hand, hand.frame(**forged), refreshed=False), says="another history").fork


@pytest.mark.parametrize("name", ["agreement_log_seen", "key_log_seen"])
async def test_an_incarnation_that_nothing_here_names_is_a_fork(tmp_path, name):
    async with handing(tmp_path) as hand:
        forged = {name: replace(hand.seen()[name], incarnation=bytes(16))}
        assert refused(opened(hand, hand.frame(**forged), refreshed=False)).fork


@pytest.mark.parametrize("name", ["agreement_log_seen", "key_log_seen"])
async def test_a_view_beyond_ours_is_fetched_first_and_is_a_fork_when_it_is_not_there(tmp_path, name):
    async with handing(tmp_path) as hand:
        seen = hand.seen()[name]
        frame = hand.frame(**{name: replace(seen, size=seen.size + 1)})
        with pytest.raises(RefreshNeeded):
            hand.opening().open_segment(frame, refreshed=False)
        assert refused(opened(hand, frame)).fork


async def test_a_view_beyond_ours_that_the_log_reaches_is_no_fork(tmp_path):
    async with handing(tmp_path) as hand:
        before = hand.mirror.pin(AGREEMENT)
        hand.audit.submit(1)
        await hand.fetch()
        frame = hand.frame()
        assert hand.mirror.pin(AGREEMENT).size > before.size
        assert isinstance(opened(hand, frame, refreshed=False), OpenSlot)


# --- keys -----------------------------------------------------------------------------------------------------------


async def revoke(hand, **options):
    node = hand.audit.nodes["XAR/n1"]
    # The entry that the frame names stands before the revocation's.
    hand.audit.submit(1)
    hand.audit.revoke(hand.audit.xar, node.signer.fingerprint, **options)
    hand.now = hand.audit.tick()
    await hand.fetch()


async def test_what_entered_the_log_before_a_revocation_without_a_claim_opens(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame()
        await revoke(hand)
        assert isinstance(opened(hand, frame), OpenSlot)


async def test_what_entered_after_the_claimed_compromise_is_contested_and_stays_closed(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame()
        await revoke(hand, compromised_at=frame.admitted_at)
        refused(opened(hand, frame), says="contested")


async def test_what_entered_after_the_revocation_is_refused_whatever_time_it_states(tmp_path):
    async with handing(tmp_path) as hand:
        early = hand.now
        frame = hand.frame()
        await revoke(hand)
        late = cut(frame, log_index=len(hand.audit.events), admitted_at=early)
        refused(opened(hand, late), says="invalid")


async def test_a_revocation_that_the_agreements_log_hides_counts_all_the_same(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame()
        audit = hand.audit
        revocation = audit.xar.revocation(audit.nodes["XAR/n1"].signer.fingerprint, issued_at=audit.time)
        audit.enrol(revocation, EventKind.KEY_REVOKED)
        await hand.fetch()
        with pytest.raises(RefreshNeeded):
            hand.opening().open_segment(frame, refreshed=False)
        refused(opened(hand, frame), says="invalid")


async def test_a_restored_broker_whose_logs_are_not_all_here_is_asked_first_and_then_an_alarm(tmp_path):
    async with handing(tmp_path) as hand:
        frame, keys = hand.frame(), hand.mirror._state.logs[KEYS]
        keys.pin = replace(keys.pin, origin=keys.pin.origin.replace(keys.pin.incarnation.hex(), bytes(16).hex()))
        with pytest.raises(RefreshNeeded):
            hand.opening().open_segment(frame, refreshed=False)
        with pytest.raises(VerificationError, match="different incarnations"):
            opened(hand, frame)


async def test_a_key_set_that_nobody_has_is_fetched_first_and_then_an_alarm(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame()
        hand.audit.enrol(hand.audit.nodes["XAR/n1"].rotated())
        later = hand.frame()
        with pytest.raises(RefreshNeeded):
            hand.opening().open_segment(later, refreshed=False)
        with pytest.raises(KeyFault):
            hand.opening().open_segment(later, refreshed=True)
        hand.now = hand.audit.tick()
        await hand.fetch()
        # Admitted before the rotation: the key was the node's then.
        assert isinstance(opened(hand, frame, refreshed=False), OpenSlot)
        assert isinstance(opened(hand, hand.frame(), refreshed=False), OpenSlot)


async def test_a_rotation_of_the_reader_after_admission_closes_nothing_that_was_sealed_to_its_old_key(tmp_path):
    async with handing(tmp_path) as hand:
        frame, opening = hand.frame(), hand.opening()
        reader = hand.audit.nodes["XBO/m1"]
        reader.rotated()
        hand.audit.enrol(reader.reissued(valid_from=hand.audit.tick()), EventKind.KEY_ROTATED)
        hand.now = hand.audit.tick()
        await hand.fetch()
        # The age of a key counts as of admission, and that of the new one would be less than nothing then.
        assert isinstance(opening.open_slot(opening.open_segment(frame, refreshed=True), 0), OpenSlot)


async def test_a_key_that_came_since_is_looked_for_once_it_is_needed(tmp_path):
    async with handing(tmp_path) as hand:
        key = hand.audit.node("XBO/m1").decapsulator
        asked = []

        def newer():
            asked.append(1)
            return {key.fingerprint: key}

        opening = Opening(hand.mirror, READER, Opener("XBO", {}, newer=newer), now_ms=hand.clock)
        segment = opening.open_segment(hand.frame(2), refreshed=False)
        assert isinstance(opening.open_slot(segment, 0), OpenSlot)
        assert isinstance(opening.open_slot(segment, 1), OpenSlot)
        assert asked == [1]


# --- clauses, then and now ------------------------------------------------------------------------------------------


async def suspend(hand, kind=StepKind.SUSPEND, follows=""):
    statement = hand.audit.statement(kind, "XAR/lia", Role.LIAISON, follows, clauses=(), reason="a review")
    hand.audit.step(statement, kind)
    hand.now = hand.audit.tick()
    await hand.fetch()
    return statement.digest.hex()


async def test_what_was_admitted_before_a_suspension_stays_closed_while_it_lasts(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame()
        head = await suspend(hand)
        refused(opened(hand, frame), says="baseline/in-force")
        await suspend(hand, StepKind.RESUME, head)
        assert isinstance(opened(hand, frame), OpenSlot)


async def test_what_a_broker_admitted_during_a_suspension_stays_closed_after_it(tmp_path):
    async with handing(tmp_path) as hand:
        head = await suspend(hand)
        frame = hand.frame()
        await suspend(hand, StepKind.RESUME, head)
        refused(opened(hand, frame), says="baseline/in-force")


async def test_a_report_stated_for_another_purpose_waits_for_who_opens_it_for_that(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame()
        for purposes in (("counter-terrorism",), ("threat-to-life", "counter-terrorism")):
            assert opened(hand, frame, purposes=purposes).report.text == "1 portion 0"
        for purposes in (("threat-to-life",), ()):
            result = opened(hand, frame, purposes=purposes)
            assert isinstance(result, OpenSlot)
            assert (result.report, result.lacks) == (None, {Lack.PURPOSE})
            assert [one.kind for one in result.refused] == ["purpose"]


async def test_a_report_kept_longer_than_agreed_stays_closed(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame(expires_at=hand.now + 40 * 24 * HOUR)
        hand.now += 31 * 24 * HOUR
        hand.audit.time = hand.now
        await hand.fetch()
        refused(opened(hand, frame))


async def test_an_expired_report_stays_closed(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame()
        hand.now += HOUR
        refused(opened(hand, frame), says="baseline/times")


async def test_a_reader_whose_view_of_the_keys_is_too_old_opens_nothing(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame(expires_at=hand.now + 100 * HOUR)
        hand.now += 48 * HOUR
        refused(opened(hand, frame))


async def test_a_category_that_nobody_granted_stays_closed_whatever_the_broker_says(tmp_path):
    async with handing(tmp_path) as hand:
        refused(opened(hand, hand.frame(fields={"categories": ("migration",)})))


# --- what did not come ----------------------------------------------------------------------------------------------


async def test_a_slot_handed_over_without_its_content_is_incomplete(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame(2)
        pruned = cut(frame, segment=prune(frame.segment, [0]))
        refused(opened(hand, pruned), AckOutcome.INCOMPLETE)


async def test_a_withheld_key_packet_is_incomplete_and_comes_later(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame()
        opening = hand.opening()
        bare = opening.open_segment(cut(frame, key_packets=[]), refreshed=False)
        refused(opening.open_slot(bare, 0), AckOutcome.INCOMPLETE, "packet")
        assert isinstance(opening.open_slot(opening.open_segment(frame, refreshed=False), 0), OpenSlot)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda frame: {"batch_index": 1}, RejectedError),
        (lambda frame: {"segment": frame.segment[:-1]}, MalformedError),
        (lambda frame: {"batch_signature": frame.batch_signature[:-1] + b"\x00"}, RejectedError),
        (lambda frame: {"batch_path": [bytes(48)]}, RejectedError),
        (lambda frame: {"segment": prune(frame.segment, [0])[:-1] + b"\x00"}, RejectedError),
    ],
)
async def test_a_segment_whose_signature_or_root_fails_is_an_alarm(tmp_path, change, kind):
    async with handing(tmp_path) as hand:
        frame = hand.frame()
        with pytest.raises(kind):
            hand.opening().open_segment(cut(frame, **change(frame)), refreshed=True)


async def test_a_segment_of_an_agreement_that_is_not_ours_is_an_alarm(tmp_path):
    async with handing(tmp_path) as hand:
        frame = hand.frame(fields={"agreement_id": "XAR-XBO-9"})
        with pytest.raises(RefreshNeeded):
            hand.opening().open_segment(frame, refreshed=False)
        with pytest.raises(NotFoundError):
            hand.opening().open_segment(frame, refreshed=True)


@pytest.mark.parametrize("field", ["log_index", "admitted_at"])
async def test_a_delivery_with_a_number_that_no_log_has_is_malformed(tmp_path, field):
    """It could not be kept until the log is there to be compared with it."""
    async with handing(tmp_path) as hand:
        with pytest.raises(MalformedError):
            hand.opening().open_segment(cut(hand.frame(), **{field: 2**53}), refreshed=True)
