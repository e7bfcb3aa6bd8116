"""What every test shares: how long the properties search, and no verdict that depends on the machine's speed."""

from hypothesis import settings

settings.register_profile("short", deadline=None)
settings.register_profile("long", deadline=None, max_examples=5_000)
settings.load_profile("short")
