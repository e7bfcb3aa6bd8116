"""A bundle over two incarnations of a broker: what was restored, what was lost, what was confirmed (docs/adr/0023)."""

from builders_audit import good_audit
from builders_audit_cases_continued import NEXT_ORIGIN, ContinuedAudit
from builders_audit_log import ORIGIN
from comity.node.replay_sources import bundle_logs, replay_bundle
from comity.verify.checks import Verification


def test_a_log_that_a_restored_broker_continued_passes(tmp_path):
    ContinuedAudit(good_audit()).write(tmp_path)
    checked = Verification(tmp_path)
    assert (checked.verdict, checked.findings) == ("PASS", [])


def test_what_was_lost_counts_in_the_old_log_and_not_in_the_new_one(tmp_path):
    ContinuedAudit(good_audit(), lost=3).write(tmp_path)
    checked = Verification(tmp_path)
    assert checked.findings == []
    old, new = ({log.origin: log for log in checked.logs}[name] for name in (ORIGIN, NEXT_ORIGIN))
    assert new.first == len(old.entries) - 3
    assert new.entries[0].index == new.first


def test_a_replay_decides_what_was_decided_after_a_restore(tmp_path):
    ContinuedAudit(good_audit()).write(tmp_path)
    done = replay_bundle(tmp_path, bundle_logs(tmp_path))
    assert done.findings == []
    assert done.counts["decisions identical"] > 0
