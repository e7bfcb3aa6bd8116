"""A mirror and a broker that was restored: what it goes on with, what is lost, and what is a fork (docs/adr/0023)."""

from dataclasses import replace

import pytest

from builders_audit import good_audit
from builders_audit_cases_continued import NEXT, NEXT_KEYS_ORIGIN, NEXT_ORIGIN, ContinuedAudit
from builders_audit_log import KEYS_ORIGIN, ORIGIN
from builders_hostile import AGREEMENT, Hostile, Served, mirror_of, mirrored, refused
from comity.envelope.core import LogSeen
from comity.errors import VerificationError
from comity.node.alarms import AlarmKind
from comity.node.logs import ForkError, Seen

OLD = bytes(range(16))


def restored(broker: Hostile, **options: object) -> int:
    """Let a broker be restored without the newest entries; gives how many of the agreement's log it kept."""
    audit = broker.audit
    log, keys = broker.log, broker.keys
    kept, kept_keys = ContinuedAudit(audit, **options).restore()
    records = {index: tree for index, tree in audit.records.items() if index >= kept}
    parties = ("XAR", "XBO")
    broker.log = Served.of(NEXT_ORIGIN, audit.events[kept:], audit.log_keys, records, parties, before=log.cut(kept))
    new_keys = audit.key_events[kept_keys:]
    broker.keys = Served.of(NEXT_KEYS_ORIGIN, new_keys, audit.log_keys, before=keys.cut(kept_keys))
    return kept


async def test_a_mirror_goes_on_with_what_was_restored_and_keeps_what_was_lost(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        before = broker.log
        kept = restored(broker, lost=2)
        await refresh()
        view, pin = mirror.agreement(AGREEMENT), mirror.pin(AGREEMENT)
        assert (pin.origin, pin.first, pin.size) == (NEXT_ORIGIN, kept, broker.log.end)
        assert view.admits, "both parties confirmed"
        assert [one.kind for one in mirror.entries(AGREEMENT)] == [
            *(entry.kind for entry in before.entries[:kept]),
            *("CONTINUES", "LOG_CONFIRMED", "LOG_CONFIRMED", "SUBMIT_ACCEPTED"),
        ]
        assert [one.log_index for one in mirror.lost.entries(AGREEMENT)] == [kept, kept + 1]
        assert {one.origin for one in mirror.lost.entries(AGREEMENT)} == {ORIGIN}
        assert mirror.lost.kinds(AGREEMENT) == {"ACKNOWLEDGED": 1, "DELIVERED": 1}
        alarms = [one for one in mirror.alarms() if one.agreement_id == AGREEMENT]
        assert [(one.kind, "1 ACKNOWLEDGED, 1 DELIVERED" in one.detail) for one in alarms] == [
            (AlarmKind.RESTORED, True)
        ]


async def test_a_mirror_opened_again_is_the_same(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        restored(broker)
        await refresh()
        with mirror_of(broker, tmp_path) as second:
            assert second.pin(AGREEMENT) == mirror.pin(AGREEMENT)
            assert second.agreement(AGREEMENT).admits
            assert second.lost.kinds(AGREEMENT) == {"ACKNOWLEDGED": 1}


async def test_a_mirror_begun_after_the_restore_has_both_logs_and_no_alarm(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        kept = restored(broker)
        await refresh()
        assert [entry.origin for entry in mirror.entries(AGREEMENT, kept - 1, 2)] == [ORIGIN, NEXT_ORIGIN]
        assert mirror.agreement(AGREEMENT).admits
        assert mirror.alarms() == ()


async def test_a_mirror_that_was_behind_what_was_restored_fetches_the_rest_first(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        whole = broker.log
        broker.log = whole.cut(len(whole.entries) - 3)
        await refresh()
        broker.log = whole
        kept = restored(broker, lost=1)
        await refresh()
        assert mirror.pin(AGREEMENT).before[0].kept == kept
        assert mirror.lost.kinds(AGREEMENT) == {}


async def test_views_of_both_incarnations_are_compared(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        old = broker.log
        restored(broker, lost=2)
        await refresh()
        for size in range(len(old.entries) + 1):
            seen = LogSeen(OLD, size, old.checkpoint(size).root)
            assert mirror.compare(AGREEMENT, seen) is Seen.CONSISTENT
            assert mirror.compare(AGREEMENT, replace(seen, root=bytes(32))) is Seen.FORK
        new = LogSeen(bytes.fromhex(NEXT), 2, broker.log.checkpoint(2).root)
        assert mirror.compare(AGREEMENT, new) is Seen.CONSISTENT
        assert mirror.compare(AGREEMENT, replace(new, size=100)) is Seen.AHEAD
        assert mirror.compare(AGREEMENT, replace(new, incarnation=bytes(16))) is Seen.FORK


async def test_nothing_is_admitted_before_every_party_has_confirmed(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        restored(broker, confirming=("XAR",))
        await refresh()
        assert not mirror.agreement(AGREEMENT).admits


async def test_a_restored_tree_that_is_no_part_of_the_own_history_is_a_fork(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        own = mirror.pin(AGREEMENT)
        # The broker goes on from a history in which the third entry is another one.
        broker.audit.change(2, state_epoch=7)
        broker.log = Served.of(ORIGIN, broker.audit.events, broker.audit.log_keys, broker.audit.records, ("XAR", "XBO"))
        restored(broker)
        error = await refused(refresh, ForkError)
        assert "not the first" in error.message
        assert mirror.pin(AGREEMENT) == own
        assert AlarmKind.FORK in {one.kind for one in mirror.alarms()}


async def test_a_key_log_that_is_rolled_back_alone_stops_every_agreement(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        whole = broker.log
        restored(broker)
        broker.log = whole
        error = await refused(refresh, VerificationError)
        assert "different incarnations" in error.message
        assert mirror.agreements() == ()
        with mirror_of(broker, tmp_path) as second, pytest.raises(VerificationError, match="different incarnations"):
            second.agreement(AGREEMENT)


async def test_what_the_broker_did_not_sign_continues_nothing(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        own = mirror.pin(AGREEMENT)
        restored(broker, signer="XAR/n1")
        error = await refused(refresh, VerificationError)
        assert "is not signed by XAR/hub" in error.message
        assert mirror.pin(AGREEMENT) == own


async def test_another_incarnation_without_a_word_is_a_fork(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        other = KEYS_ORIGIN.rpartition("/")[0] + "/" + NEXT
        broker.keys = Served.of(other, broker.audit.key_events, broker.audit.log_keys)
        assert "another name" in (await refused(refresh, ForkError)).message
        assert mirror.pin(None).origin == KEYS_ORIGIN
