"""Where each named fault of the policy engine is found: `python tests/find_engine_faults.py` writes `engine_faults_found.toml`.

The table says where the test of the faults begins to look, nothing else: a fault that is not in it, or is not found there any
more, is looked for among all cases again, which takes seconds a fault instead of milliseconds. Run this after changes to the
faults, to what they rewrite or to what makes the cases. The hard ones are looked for first and the others where those were
found, so that few agreements serve them all.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from sabotage_tools import Fault

TABLE = Path(__file__).with_name("engine_faults_found.toml")
_HEAD = "# The seed whose cases find each fault of the engine; written by find_engine_faults.py.\n"


@cache
def places() -> dict[str, int]:
    """Give the seed at which each fault was found."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def where_to_look(fault: str, searched: int) -> Iterator[int]:
    """Give the seeds in the order to look for a fault: where it was found, where others were, then every one of `searched`."""
    known = places()
    return iter(dict.fromkeys([*([known[fault]] if fault in known else []), *known.values(), *range(searched)]))


def found_in_few(faults: Mapping[str, Fault], finds: Callable[[int], object], searched: int) -> dict[str, int]:
    """Give a seed for each fault, few different ones in all; a fault that none of the seeds finds is left out."""
    found = {name: _first(fault, finds, range(searched)) for name, fault in faults.items()}
    few: dict[int, None] = {}
    for name in sorted(found, key=lambda one: found[one] or 0, reverse=True):
        if (alone := found[name]) is not None:
            found[name] = seed = _first(faults[name], finds, [*few, alone])
            few[seed] = None
    return {name: seed for name, seed in found.items() if seed is not None}


def _first(fault: Fault, finds: Callable[[int], object], seeds: Iterable[int]) -> int | None:
    with pytest.MonkeyPatch.context() as patch:
        fault(patch)
        return next((seed for seed in seeds if finds(seed)), None)


def main() -> int:
    from properties.test_engine_reference import FAULTS, SEARCHED, difference, kept

    found = found_in_few(FAULTS, lambda seed: difference(seed, kept(seed)), SEARCHED)
    TABLE.write_text(
        _HEAD + "".join(f'"{name}" = {found[name]}\n' for name in FAULTS if name in found), encoding="utf-8"
    )
    never = FAULTS.keys() - found.keys()
    print(
        f"{len(found)} faults are found by {len({*found.values()})} agreements; never found: {sorted(never) or 'none'}"
    )
    return 1 if never else 0


if __name__ == "__main__":
    sys.exit(main())
