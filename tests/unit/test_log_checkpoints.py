"""The file that keeps a log from signing two histories: what is signed, in which order, and what freezes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from builders_audit_log import ORIGIN
from builders_identity import Seeded
from comity.errors import ErrorCode, MalformedError, StorageError
from comity.keys.log_keys import LogSecret
from comity.verify.notes import Checkpoint, KeyType, parse_policy, policy_without_witnesses, verify_checkpoint
from comity.verify.trees import EMPTY_ROOT, consistency_proof, leaf_hash, root_of, subtrees_of
from comity_broker.auditlog.checkpoint import Checkpointer, LogFrozenError, LogKeys

KEYS = LogKeys.generate(Seeded("log keys"))
LEAVES = [leaf_hash(bytes([number])) for number in range(20)]
OTHERS = [leaf_hash(bytes([number + 100])) for number in range(20)]


def prove(old: int, new: int, leaves: list[bytes] = LEAVES) -> tuple[bytes, ...]:
    return consistency_proof(old, new, subtrees_of(leaves))


@pytest.fixture
def log(tmp_path: Path) -> Checkpointer:
    checkpointer = Checkpointer(tmp_path / "last-signed", ORIGIN, KEYS)
    checkpointer.create()
    return checkpointer


def test_a_checkpoint_verifies_under_the_logs_policy(log):
    signed = log.sign(5, root_of(LEAVES[:5]), prove)
    policy = parse_policy(policy_without_witnesses(KEYS.vkeys(ORIGIN)))
    assert verify_checkpoint(signed, policy) == Checkpoint(ORIGIN, 5, root_of(LEAVES[:5]))
    assert log.last_signed() == Checkpoint(ORIGIN, 5, root_of(LEAVES[:5]))


def test_a_log_that_grows_is_signed_again_and_again(log):
    for size in (0, 1, 2, 7, 7, 8, 20):
        log.sign(size, root_of(LEAVES[:size]), prove)
        assert log.last_signed().size == size


def test_the_last_signed_tree_is_durable_before_the_signature_is_made(tmp_path):
    seen: list[int] = []

    class Watched(LogKeys):
        __slots__ = ()

        def sign(self, checkpoint: Checkpoint) -> bytes:
            seen.append(log.last_signed().size)
            return super().sign(checkpoint)

    log = Checkpointer(
        tmp_path / "last-signed", ORIGIN, Watched(*(LogSecret.generate(kind, Seeded("watched")) for kind in KeyType))
    )
    log.create()
    log.sign(5, root_of(LEAVES[:5]), prove)
    assert seen == [5]


def test_nothing_is_signed_when_the_file_cannot_be_written(log, tmp_path):
    (tmp_path / "last-signed.new").mkdir()
    with pytest.raises(StorageError) as caught:
        log.sign(5, root_of(LEAVES[:5]), prove)
    assert not isinstance(caught.value, LogFrozenError)
    assert log.last_signed().size == 0


@pytest.mark.parametrize(
    ("size", "leaves"),
    [(4, LEAVES), (5, OTHERS), (9, OTHERS), (0, LEAVES)],
    ids=["smaller", "another root", "another history", "emptied"],
)
def test_a_tree_that_does_not_continue_the_last_signed_one_freezes(log, size, leaves):
    log.sign(5, root_of(LEAVES[:5]), prove)
    with pytest.raises(LogFrozenError) as caught:
        log.sign(size, root_of(leaves[:size]), lambda old, new: prove(old, new, leaves))
    assert caught.value.code is ErrorCode.LOG_FROZEN
    assert log.last_signed().size == 5


def test_a_proof_that_does_not_hold_freezes_though_the_tree_would(log):
    log.sign(5, root_of(LEAVES[:5]), prove)
    with pytest.raises(LogFrozenError):
        log.sign(9, root_of(LEAVES[:9]), lambda old, new: ())


def test_a_signature_lost_in_a_crash_can_be_made_again(log):
    log.sign(5, root_of(LEAVES[:5]), prove)
    again = Checkpointer(log._path, ORIGIN, KEYS)
    assert again.sign(5, root_of(LEAVES[:5]), prove)


def test_a_missing_file_refuses_and_is_not_made_again(log):
    log._path.unlink()
    with pytest.raises(StorageError):
        log.sign(5, root_of(LEAVES[:5]), prove)
    assert not log._path.exists()


def test_a_file_is_never_replaced_by_opening_the_log_twice(log):
    with pytest.raises(StorageError):
        log.create()


def test_every_bit_flip_and_truncation_of_the_file_is_detected(log):
    log.sign(5, root_of(LEAVES[:5]), prove)
    data = log._path.read_bytes()
    for place in range(len(data)):
        log._path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(StorageError):
            log.last_signed()
        log._path.write_bytes(data[:place])
        with pytest.raises(StorageError):
            log.last_signed()
    assert stat.S_ISREG(log._path.stat().st_mode)


def test_the_file_of_another_log_is_refused(log):
    other = Checkpointer(log._path, ORIGIN.replace("XBO", "XDE"), KEYS)
    with pytest.raises(StorageError):
        other.last_signed()


def test_an_old_copy_of_the_file_lets_the_log_go_on_but_never_back(log):
    log.sign(5, root_of(LEAVES[:5]), prove)
    old = log._path.read_bytes()
    log.sign(9, root_of(LEAVES[:9]), prove)
    log._path.write_bytes(old)
    assert log.sign(9, root_of(LEAVES[:9]), prove)


def test_log_keys_are_one_of_each_kind_and_show_nothing():
    first, second = (LogSecret.generate(kind, Seeded("pair")) for kind in KeyType)
    for pair in ((first, first), (second, first), (second, second)):
        with pytest.raises(MalformedError):
            LogKeys(*pair)
    assert repr(LogKeys(first, second)) == "LogKeys()"


def test_a_new_log_has_signed_nothing(log):
    assert log.last_signed() == Checkpoint(ORIGIN, 0, EMPTY_ROOT)
