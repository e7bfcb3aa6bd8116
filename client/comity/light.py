"""Light values: dataclasses of which several are made for every report.

A frozen dataclass sets each field through `object.__setattr__`, which for a report's dozens of fields costs as much as its hashes. A
light one is as immutable to the type checker, and to nobody else: what is kept beyond one report (profiles, labels, facts,
agreements) stays frozen.

    @light
    class Row:
        party: str
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def light(cls: type[T]) -> type[T]:
    """Make a slotted dataclass with equality and hash by its fields."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
