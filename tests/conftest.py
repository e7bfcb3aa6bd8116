"""What every test shares: how long the properties search, no verdict that depends on the machine's speed, a Ctrl-C that works."""

import gc
import signal

import pytest
from hypothesis import settings

from cheap_keys import make_keys_cheap

settings.register_profile("short", deadline=None)
settings.register_profile("long", deadline=None, max_examples=5_000)
settings.load_profile("short")

# A shell starts what runs in the background with SIGINT ignored, and every process inherits that: tests press Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

make_keys_cheap()

# Searched less often: what ten thousand tests collect and keep is live, and to find that out again takes a tenth of a run.
gc.set_threshold(20_000, 10, 10)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what asks for more than the usual time, so that no worker ends alone with it."""
    items.sort(key=lambda item: max((mark.args[0] for mark in item.iter_markers("timeout")), default=0), reverse=True)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from searching what lives to the end anyway: every module, table and collected test."""
    gc.collect()
    gc.freeze()
