"""Whoever opens a waiting report, in whatever order: what was taken adds up, nobody is asked twice in vain, nobody is left out."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from comity.identity.names import Identity, IdentityKind
from comity.node.reading import Reading, Terms
from comity.node.register import Register, WaitingLine
from comity_policy.readers import Lack

NODE = Identity("XBO", IdentityKind.NODE, "n1")
LEAF = b"l" * 48
LACKS = st.frozensets(st.sampled_from(Lack), min_size=1)
PORTIONS = st.frozensets(st.integers(0, 63))


async def _agrees(_: object) -> bool:
    return True


TERMS = st.builds(
    Terms,
    purposes=st.sampled_from(((), ("analysis",), ("analysis", "border"))),
    acknowledge=st.sampled_from((None, _agrees)),
)


@given(tries=st.lists(st.tuples(TERMS, st.frozensets(LACKS, min_size=1, max_size=4), PORTIONS), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_what_was_taken_adds_up_and_whoever_brings_something_new_is_asked(tries):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "register.sqlite"
        taken: dict[str, frozenset[int]] = {}
        for terms, lacks, portions in tries:
            register = Register(path)
            line = WaitingLine("default", b"r" * 16, LEAF, "XAR-XBO-1", b"s" * 48, 3, lacks, 10, 100)
            register.wait(line, terms.signature, portions)
            taken[terms.signature] = portions
            register.close()
        register = Register(path)
        assert register.waiting("default") == (line,)
        assert register.tried("default", LEAF) == taken
        for terms, _, _ in tries:
            asked = Reading(None, register, terms, identity=NODE, consumer="default", now_ms=lambda: 0).to_ask_again()
            brought = [one for one in lacks if one <= terms.brings]
            # All of them tried: asked again is only whoever can be shown the caveat that is all a portion lacks.
            assert bool(asked) is (frozenset({Lack.CAVEATS}) in brought)
        fresh = Terms(purposes=("investigation",), acknowledge=_agrees)
        asked = Reading(None, register, fresh, identity=NODE, consumer="default", now_ms=lambda: 0).to_ask_again()
        assert bool(asked) is any(one <= fresh.brings for one in lacks)
        register.close()
