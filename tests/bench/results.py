"""What a bench run found: rows by name, each against its target; the file others read, and the table people read.

`build/bench.json` is an object keyed by row, each {value, unit, target, met, context}. `target` and `met` are null for a row that is only
there to compare with, and for one whose target was not measurable here. Whether more or less is better follows from the unit. A row
that could not be measured at all (a server is not installed) has the value null, and `context.why_not` says why in one line.
`context.ratio` is this row over `context.ratio_to`, both of this run: what neighbours on the machine move least.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

A_SECOND = "reports/s"
MICROSECONDS = "us"
US_A_REPORT = "us/report"
MIB = "MiB"
PERCENT = "%"
RECORDS = "records/s"
# A ratio where less is better (a cost), and one where more is (a rate).
TIMES = "times"
TIMES_AS_FAST = "times as fast"
_MORE_IS_BETTER = {
    A_SECOND: True,
    PERCENT: True,
    RECORDS: True,
    TIMES_AS_FAST: True,
    MICROSECONDS: False,
    US_A_REPORT: False,
    "us/decision": False,
    MIB: False,
    TIMES: False,
}


@dataclass(frozen=True)
class Row:
    """One measured value and what it is held to; None for a value that could not be had."""

    value: float | None
    unit: str
    target: float | None = None
    context: dict[str, object] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none, or nothing to hold to it."""
        if self.target is None or self.value is None:
            return None
        return self.value >= self.target if _MORE_IS_BETTER[self.unit] else self.value <= self.target

    @property
    def measured(self) -> float:
        """The value of a row that was measured; raises LookupError for one that was not."""
        if self.value is None:
            raise LookupError(str(self.context["why_not"]))
        return self.value

    @property
    def fields(self) -> dict[str, object]:
        return {
            "value": None if self.value is None else round(self.value, 3),
            "unit": self.unit,
            "target": None if self.target is None else round(self.target, 3),
            "met": self.met,
            "context": self.context,
        }


def not_measured(unit: str, why: str, target: float | None = None) -> Row:
    """Give a row that says in one line why there is no value."""
    return Row(None, unit, target, {"why_not": why})


def ratio(value: float, to: str, other: float) -> dict[str, object]:
    """Give what a row's context says of its ratio to another row of this run."""
    return {"ratio": round(value / other, 3), "ratio_to": to}


def write(rows: dict[str, Row], path: Path) -> None:
    """Write the file, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: row.fields for name, row in rows.items()}, indent=2) + "\n")


def table(rows: dict[str, Row]) -> str:
    """Give the rows in columns, with what else was found of each below."""
    listed = [("ROW", "VALUE", "UNIT", "TARGET", "MET", "RATIO")]
    for name, row in rows.items():
        met = {True: "yes", False: "NO", None: "-"}[row.met]
        target = "-" if row.target is None else _figure(row.target)
        listed.append((name, _figure(row.value), row.unit, target, met, _ratio(row.context)))
    widths = [max(len(row[column]) for row in listed) for column in range(len(listed[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in listed]
    for name, row in rows.items():
        shown = {key: value for key, value in row.context.items() if key not in ("ratio", "ratio_to")}
        lines.append(f"  {name}: " + ", ".join(f"{key} {_said(value)}" for key, value in shown.items()))
    return "\n".join(lines)


def _ratio(context: dict[str, object]) -> str:
    return f"{context['ratio']:.2f} x {context['ratio_to']}" if "ratio" in context else "-"


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _said(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_said(one)}" for key, one in value.items()) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(_said(one) for one in value) + "]"
    if isinstance(value, float):
        return _figure(value)
    return str(value)
