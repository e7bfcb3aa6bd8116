"""A soak of `SOAK` seconds at `RATE` reports a second, connections coming and going (`make soak`): nothing grows, nothing is lost."""

import os

import pytest

from fault_arena import Arena
from fault_soak import Soaked, soak
from world_files import made_world

SECONDS = int(os.environ.get("COMITY_SOAK", "0"))
RATE = float(os.environ.get("COMITY_RATE", "1000"))


@pytest.mark.skipif(SECONDS == 0, reason="the long version: make soak")
@pytest.mark.timeout(SECONDS + 1_200)
def test_a_soak_leaves_memory_flat_and_leaks_no_task_descriptor_or_thread(tmp_path):
    with Arena(made_world(tmp_path), rate=RATE) as arena:
        # A broker as it is delivered, but that it parks nothing for the connections that are reset all the while.
        arena.settings = {"COMITY_BROKER_ATTEMPTS": "100"}
        soaked = soak(arena, SECONDS)
        print(f"\n{soaked}")
        findings = arena.settle()
    assert findings == []
    assert soaked.leaks() == []


def looks(first: int, last: int, **fixed: int) -> list[dict[str, int]]:
    return [{"resident_kib": kib, "threads": 9, "descriptors": 20, "tasks": 30, **fixed} for kib in (first, last)]


def soaked(late: list[dict[str, int]]) -> Soaked:
    steady = looks(100_000, 100_000)
    return Soaked(10, 1, {"broker": steady, "sender": steady, "receiver": steady}, {
        "broker": late, "sender": steady, "receiver": steady,
    })  # fmt: skip


def test_a_steady_soak_has_no_leaks():
    assert soaked(looks(99_000, 104_000)).leaks() == []


@pytest.mark.parametrize(
    ("late", "word"),
    [
        (looks(106_000, 106_000), "memory"),
        (looks(100_000, 100_000, threads=20), "threads"),
        (looks(100_000, 100_000, descriptors=40), "descriptors"),
        (looks(100_000, 100_000, tasks=80), "tasks"),
    ],
)
def test_what_a_soak_leaks_is_found(late, word):
    (found,) = soaked(late).leaks()
    assert found.startswith("broker: ")
    assert word in found
