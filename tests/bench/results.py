"""What a bench run found: rows by name, each against its target; the file others read, and the table people read.

`build/bench.json` is an object keyed by row, each {value, unit, target, met, context}. `target` and `met` are null for a row that is only
there to compare with. Whether more or less is better follows from the unit: reports a second are to be many, microseconds few.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

A_SECOND = "reports/s"
MICROSECONDS = "us"
_MORE_IS_BETTER = {A_SECOND: True, MICROSECONDS: False, "us/report": False, "us/decision": False}


@dataclass(frozen=True)
class Row:
    """One measured value and what it is held to."""

    value: float
    unit: str
    target: float | None = None
    context: dict[str, object] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if _MORE_IS_BETTER[self.unit] else self.value <= self.target

    @property
    def fields(self) -> dict[str, object]:
        return {
            "value": round(self.value, 3),
            "unit": self.unit,
            "target": self.target,
            "met": self.met,
            "context": self.context,
        }


def write(rows: dict[str, Row], path: Path) -> None:
    """Write the file, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: row.fields for name, row in rows.items()}, indent=2) + "\n")


def table(rows: dict[str, Row]) -> str:
    """Give the rows in columns, with what else was found of each below."""
    listed = [("ROW", "VALUE", "UNIT", "TARGET", "MET")]
    for name, row in rows.items():
        met = {True: "yes", False: "NO", None: "-"}[row.met]
        listed.append((name, _figure(row.value), row.unit, "-" if row.target is None else _figure(row.target), met))
    widths = [max(len(row[column]) for row in listed) for column in range(len(listed[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in listed]
    for name, row in rows.items():
        said = ", ".join(f"{key} {_said(value)}" for key, value in row.context.items())
        lines.append(f"  {name}: {said}")
    return "\n".join(lines)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _said(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_said(one)}" for key, one in value.items()) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(_said(one) for one in value) + "]"
    if isinstance(value, float):
        return _figure(value)
    return str(value)
