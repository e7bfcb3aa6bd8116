"""The oracle of the kill tests sees what it is there to see: each loss it must notice, in a store that is otherwise sound."""

import hashlib
from dataclasses import replace
from uuid import UUID

import pytest

from comity.verify.trees import root_of
from kill_oracle import Stored, Witnessed, tree_root

IDS = [UUID(int=number) for number in range(1, 4)]
LEAVES = [hashlib.sha256(bytes([number])).digest() for number in range(10)]
STORED = Stored({name: (f"{number:096x}", number + 3) for number, name in enumerate(IDS)}, LEAVES, {})


def told() -> Witnessed:
    witnessed = Witnessed()
    witnessed.saw_receipts(
        {"report_id": str(name), "leaf": leaf, "log_index": index} for name, (leaf, index) in STORED.reports.items()
    )
    witnessed.saw_checkpoints(
        {"origin": "hub/agreement/A/00", "size": size, "root": STORED.root(size).hex()} for size in (0, 1, 5, 10)
    )
    return witnessed


def test_a_sound_store_passes():
    told().check(STORED)


def test_a_summary_line_of_a_sender_is_no_receipt():
    witnessed = Witnessed()
    witnessed.saw_receipts([{"accepted": 3, "refused": 0}])
    assert witnessed.receipts == {}


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("a report is gone", replace(STORED, reports={name: STORED.reports[name] for name in IDS[1:]})),
        ("a report is another", replace(STORED, reports={**STORED.reports, IDS[0]: ("f" * 96, 3)})),
        ("a report is elsewhere", replace(STORED, reports={**STORED.reports, IDS[0]: (f"{0:096x}", 4)})),
        ("the entries of reports are gone", replace(STORED, leaves=LEAVES[:4])),
        ("an entry is another", replace(STORED, leaves=[LEAVES[1], *LEAVES[1:]])),
        ("the log is shorter than somebody saw", replace(STORED, leaves=LEAVES[:9])),
        ("two entries changed places", replace(STORED, leaves=[*LEAVES[:8], LEAVES[9], LEAVES[8]])),
    ],
)
def test_a_loss_is_noticed(name, broken):
    with pytest.raises(AssertionError):
        told().check(broken)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 8, 13, 255, 256, 257])
def test_its_tree_is_that_of_the_verifier(size):
    leaves = [hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(size)]
    assert tree_root(leaves) == root_of(leaves)
