"""Histories of agreements, by the machine of `builders_histories_machine`: the fold keeps its rules in every one of them."""

from __future__ import annotations

import pytest
from hypothesis import settings

from builders_histories_machine import Histories

STEPS = 30
HISTORIES = 2_000 if settings().max_examples > 1_000 else 200

TestHistories = pytest.mark.timeout(1_800)(Histories.TestCase)
TestHistories.settings = settings(max_examples=HISTORIES, stateful_step_count=STEPS, deadline=None)
