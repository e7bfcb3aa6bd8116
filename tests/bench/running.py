"""What a measurement is given: a folder of its own on disk, what was asked for, and the rows that came before it in this run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from results import Row


@dataclass(frozen=True)
class Run:
    """One measurement of one run; `rows` has at least what it says it needs."""

    folder: Path
    asked: argparse.Namespace
    rows: Mapping[str, Row]

    def value(self, name: str) -> float:
        """Give the value of a row measured before; raises LookupError, with a sentence, for one that could not be measured."""
        return self.rows[name].measured


@dataclass(frozen=True)
class Measure:
    """What gives which rows, and which it needs to have been measured before in the same run."""

    rows: tuple[str, ...]
    take: Callable[[Run], dict[str, Row]]
    needs: tuple[str, ...] = ()
