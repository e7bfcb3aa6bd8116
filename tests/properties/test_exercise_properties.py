"""Whatever way an agreement's real traffic and its exercise come one after the other, each is kept as if it had been alone."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from builders_backends import BACKENDS
from builders_storage import (
    AGREEMENT,
    acknowledgement,
    everything,
    exception,
    opening,
    reservation,
    segment,
    statement,
    uploaded,
)
from builders_storage_model import Model
from comity.identity.names import exercise_of

EXERCISE = exercise_of(AGREEMENT)
# What one of the two does next; the same numbers may come in both.
made = st.one_of(
    st.builds(lambda first, count: lambda shard: segment(first, count, shard), st.integers(1, 40), st.integers(1, 5)),
    st.builds(lambda number: lambda shard: statement(number, shard), st.integers(1, 9)),
    st.builds(lambda upto: lambda shard: acknowledgement(upto, shard), st.integers(0, 30)),
    st.builds(
        lambda item, state: lambda shard: exception(item, state, shard), st.integers(1, 4), st.integers(0, 3)
    ),
    st.builds(lambda count: lambda shard: reservation(count, shard=shard), st.integers(1, 6)),
    st.builds(lambda number, state: lambda shard: uploaded(number, state, shard=shard), st.integers(1, 4), st.integers(0, 3)),
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from([AGREEMENT, EXERCISE]), made), max_size=24), st.integers(1, 6))
def test_each_of_the_two_is_kept_as_if_it_had_been_alone(steps, at_once):
    with tempfile.TemporaryDirectory() as folder:
        store = BACKENDS["sqlite"](Path(folder))
        alone = {shard: Model(store.storage.incarnation) for shard in (AGREEMENT, EXERCISE)}
        units = [opening(AGREEMENT), opening(EXERCISE), *(make(shard) for shard, make in steps)]
        try:
            for start in range(0, len(units), at_once):
                store.storage.writer.commit(units[start : start + at_once])
            for shard, model in alone.items():
                model.commit([one for one in units if one.shard == shard])
            together = asyncio.run(everything(store.storage.reader))
            assert {shard: together[shard] for shard in alone} == {
                shard: model.everything()[shard] for shard, model in alone.items()
            }
            assert asyncio.run(store.storage.reader.check()) == []
        finally:
            store.close()
