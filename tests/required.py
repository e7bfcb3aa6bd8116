"""Things a test may find absent (a service, a tool, a right): one line says so, unless COMITY_REQUIRE wants them."""

import os

import pytest


def require(name: str, *, available: bool, what_to_do: str) -> None:
    """Skip the test when ``name`` is not here; fail it when COMITY_REQUIRE (names with commas) says it must be."""
    if available:
        return
    line = f"{name} is not here: {what_to_do}"
    if name in os.environ.get("COMITY_REQUIRE", "").split(","):
        pytest.fail(f"{line} (COMITY_REQUIRE names it)")
    pytest.skip(line)
