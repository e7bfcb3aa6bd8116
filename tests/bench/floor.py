"""What a report costs at the very least here, and how far above it the whole path is (design 08, "floor").

The sum of what was measured in this run: library calls, the broker's commit with fsync, and bare gRPC over two hops. Nothing of ours is
in it: no codec, no policy, no queue, no audit entry, no outbox and no inbox.
"""

from __future__ import annotations

from results import TIMES, US_A_REPORT, Row, ratio
from running import Run

AT_MOST_TIMES = 3.0


def library_floor(run: Run) -> dict[str, Row]:
    """Add up the floor."""
    sqlite = run.rows["sqlite_floor"].context["cpu_us_a_report"]
    assert isinstance(sqlite, float)
    parts = {"calls": run.value("call_floor"), "sqlite": sqlite, "grpc": run.value("mtls_per_report")}
    context: dict[str, object] = {"us_by_part": {name: round(value, 2) for name, value in parts.items()}}
    return {"library_floor": Row(sum(parts.values()), US_A_REPORT, None, context)}


def cpu_to_floor(run: Run) -> dict[str, Row]:
    """Compare the whole path with it."""
    cpu, floor = run.value("cpu_per_report"), run.value("library_floor")
    context: dict[str, object] = {"cpu_per_report": round(cpu, 1), "library_floor": round(floor, 1)}
    return {
        "cpu_to_floor": Row(cpu / floor, TIMES, AT_MOST_TIMES, context | ratio(cpu, "library_floor", floor)),
    }
