"""Whatever is asked of a store, in whatever order, restarted or not: it shows what the simplest store would show."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from builders_backends import BACKENDS
from builders_storage import (
    AGREEMENT,
    OTHER,
    acknowledgement,
    codes,
    everything,
    exception,
    failing,
    opening,
    reservation,
    segment,
    statement,
    uploaded,
)
from builders_storage_model import Model
from comity.errors import ConflictError

shards = st.sampled_from([AGREEMENT, AGREEMENT, OTHER])
epochs = st.none() | st.integers(0, 4)
units = st.one_of(
    st.builds(opening, shards),
    st.builds(
        segment, st.integers(1, 60), st.integers(1, 9), shards, weight=st.sampled_from([40, 6_000]), checks=st.booleans(),
        expected_epoch=epochs,
    ),
    st.builds(segment, st.integers(1, 10**6), st.integers(1, 300), shards),
    st.builds(statement, st.integers(1, 9), shards, expected_epoch=epochs),
    st.builds(
        statement, st.integers(1, 9), st.just(OTHER), beside=st.tuples(st.sampled_from([AGREEMENT, "nobody-2026"]), st.integers(0, 4)),
    ),
    st.builds(acknowledgement, st.integers(0, 30), shards),
    st.builds(exception, st.integers(1, 4), st.integers(0, 3), shards),
    st.builds(
        reservation, st.integers(1, 6), clause=st.sampled_from(["5", "U/5"]), starts_at=st.integers(0, 1), shard=shards
    ),
    st.builds(uploaded, st.integers(1, 4), st.integers(0, 3), shard=shards),
    st.builds(failing, st.sampled_from([ConflictError("no"), ZeroDivisionError()]), shards),
)  # fmt: skip


class Stores(RuleBasedStateMachine):
    """A store and the model side by side."""

    backend = "sqlite"

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = BACKENDS[self.backend](self.folder)
        self.model = Model(self.store.storage.incarnation)

    @rule(some=st.lists(units, min_size=1, max_size=8))
    def commit(self, some):
        assert codes(self.store.storage.writer.commit(some)) == self.model.commit(some)

    @rule(some=st.lists(units, min_size=2, max_size=6), taken=st.integers(1, 6))
    def commit_that_closes_early(self, some, taken):
        outcomes = self.store.storage.writer.commit(some, lambda so_far, _: so_far < taken)
        assert codes(outcomes) == self.model.commit(some[:taken])

    @rule()
    def restart(self):
        self.store.reopen()

    @rule()
    def checkpoint(self):
        self.store.storage.writer.checkpoint()

    @invariant()
    def shows_the_same(self):
        assert asyncio.run(everything(self.store.storage.reader)) == self.model.everything()

    @invariant()
    def no_window_holds_more_than_its_limit(self):
        for shard in (AGREEMENT, OTHER):
            assert all(0 < row.reports <= 10 for row in asyncio.run(self.store.storage.reader.quotas(shard)))

    def teardown(self):
        try:
            assert asyncio.run(self.store.storage.reader.check()) == []
        finally:
            self.store.close()
            shutil.rmtree(self.folder)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_store_does_what_the_simplest_store_does(backend):
    machine = type(backend, (Stores,), {"backend": backend})
    examples = max(40, settings.default.max_examples // 4)
    run_state_machine_as_test(
        machine, settings=settings(settings.default, max_examples=examples, stateful_step_count=20)
    )
