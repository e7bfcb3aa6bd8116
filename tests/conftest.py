"""What every test shares: how long the properties search, no verdict that depends on the machine's speed, a Ctrl-C that works."""

import signal

from hypothesis import settings

settings.register_profile("short", deadline=None)
settings.register_profile("long", deadline=None, max_examples=5_000)
settings.load_profile("short")

# A shell starts what runs in the background with SIGINT ignored, and every process inherits that: tests press Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
