"""The stores of the contract tests, each opened empty and closed after the test."""

import pytest

from builders_backends import BACKENDS
from builders_storage import OTHER, opening
from comity_broker.storage.protocol import Committed


@pytest.fixture(params=BACKENDS)
def backend(request, tmp_path):
    made = BACKENDS[request.param](tmp_path)
    yield made
    made.close()


@pytest.fixture
def storage(backend):
    return backend.storage


@pytest.fixture
def writer(storage):
    """The writing side of a store that has two agreements, their logs opened."""
    outcomes = storage.writer.commit([opening(), opening(OTHER)])
    assert all(isinstance(outcome, Committed) for outcome in outcomes)
    return storage.writer
