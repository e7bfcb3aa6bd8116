"""`make bench`: measure, print a table, write build/bench.json (results.py says what is in it). `python tests/bench --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

# The helpers of the tests; this folder itself is there already.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from attachments import attachment
from backlog import replay_backlog
from batches import GROUP, end_to_end_16
from decisions import policy_decision, policy_decision_cedar
from flash import flash
from floor import cpu_to_floor, library_floor
from idle import idle_subscribers
from library_calls import call_floor
from peers import nats_default_signed_sealed, nats_signed_sealed, rabbitmq_signed_sealed, times_nats
from replays import replay_decisions
from results import Row, not_measured, table, write
from round_trips import mtls_per_report, mtls_round_trip
from running import Measure, Run
from sqlite_rows import sqlite_floor, sqlite_floor_busy
from stored import million_stored
from whole_path import whole_path

REPOSITORY = Path(__file__).resolve().parents[2]
SIZES = {
    "reports": (12_000, "reports a round of the whole path"),
    "rounds": (3, "rounds of whatever is measured in rounds"),
    "flashes": (200, "FLASH reports, idle and again beside saturation"),
    "backlog": (30_000, "reports of the backlog that is replayed"),
    "stored": (50_000, "reports stored already in the row million_stored; 1000000 for all of it"),
    "subscribers": (1_000, "idle subscribers"),
    "attachment-mib": (1_024, "MiB of the file in the row attachment_1gib; less is not the whole"),
    "peer-reports": (5_000, "reports a round of the peers"),
}
SECONDS = 3.0

# What gives which rows, in the order in which they are measured and shown.
MEASURES = (
    Measure(("policy_decision",), lambda run: policy_decision(run.asked.seconds)),
    Measure(("policy_decision_cedar",), lambda run: policy_decision_cedar(run.asked.seconds)),
    Measure(("replay_decisions",), lambda run: replay_decisions(run.asked.seconds)),
    Measure(("call_floor",), lambda run: call_floor(run.asked.seconds)),
    Measure(("sqlite_floor",), lambda run: sqlite_floor(run.folder, run.asked.seconds)),
    Measure(("sqlite_floor_busy",), lambda run: sqlite_floor_busy(run.folder, run.asked.seconds)),
    Measure(("mtls_round_trip",), lambda run: mtls_round_trip(run.folder, run.asked.seconds)),
    Measure(("mtls_per_report",), lambda run: mtls_per_report(run.folder, run.asked.seconds)),
    Measure(("library_floor",), library_floor, needs=("call_floor", "sqlite_floor", "mtls_per_report")),
    Measure(("end_to_end", "cpu_per_report"), lambda run: whole_path(run.folder, run.asked.reports, run.asked.rounds)),
    Measure(("cpu_to_floor",), cpu_to_floor, needs=("cpu_per_report", "library_floor")),
    Measure(
        ("end_to_end_16",), lambda run: end_to_end_16(run.folder, max(GROUP, run.asked.reports // 3), run.asked.rounds)
    ),
    Measure(
        ("flash_idle_p50", "flash_idle_ratio", "flash_saturated_p99"),
        lambda run: flash(run.folder, run.asked.flashes, run.value("mtls_round_trip")),
        needs=("mtls_round_trip",),
    ),
    Measure(("replay_backlog",), lambda run: replay_backlog(run.folder, run.asked.backlog)),
    Measure(
        ("million_stored",),
        lambda run: million_stored(run.folder, run.asked.stored, run.asked.reports, run.asked.rounds),
    ),
    Measure(
        ("attachment_1gib",), lambda run: attachment(run.folder, run.asked.attachment_mib, min(run.asked.rounds, 2))
    ),
    Measure(("idle_subscribers",), lambda run: idle_subscribers(run.folder, run.asked.subscribers)),
    Measure(("nats_signed_sealed",), nats_signed_sealed, needs=("end_to_end",)),
    Measure(("nats_default_signed_sealed",), nats_default_signed_sealed),
    Measure(("rabbitmq_signed_sealed",), rabbitmq_signed_sealed, needs=("end_to_end",)),
    Measure(("times_nats",), times_nats, needs=("end_to_end", "nats_signed_sealed")),
)
ROWS = tuple(name for measure in MEASURES for name in measure.rows)


def main() -> int:
    asked = _asked()
    wanted = [measure for measure in MEASURES if not _with_needs(asked.rows).isdisjoint(measure.rows)]
    found: dict[str, Row] = {}
    failed: list[Measure] = []
    # On the disk of the repository: /tmp may be memory, and then nothing would be durable.
    asked.into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.into.parent) as folder:
        for number, measure in enumerate(wanted, 1):
            print(f"[{number}/{len(wanted)}] {', '.join(measure.rows)} ...", end=" ", file=sys.stderr, flush=True)
            began = time.monotonic()
            place = Path(folder) / measure.rows[0]
            place.mkdir()
            try:
                found |= measure.take(Run(place, asked, found))
            except (AssertionError, LookupError) as error:
                # The rows after it can still be had; that this one failed is in its row, in the error output and in the exit code.
                failed.append(measure)
                print(f"FAILED\n{error}\n", file=sys.stderr, flush=True)
                found |= {name: not_measured("-", f"failed: {_in_one_line(error)}") for name in measure.rows}
            print(f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            # What is measured stays, whatever becomes of the rest.
            rows = {name: row for name, row in found.items() if name in asked.rows}
            write(rows, asked.into)
    print(table(rows))
    print(f"Written to {asked.into}.")
    return 1 if failed else 0


def _in_one_line(error: Exception) -> str:
    """Give what an error says first, and what the process that it is about said last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = (line for line in reversed(lines) if "Error" in line)
    return " | ".join(dict.fromkeys([*lines[:1], *(line for line, _ in zip(said, range(1), strict=False))]))


def _with_needs(names: frozenset[str]) -> frozenset[str]:
    """Give the rows that these need, with themselves; what a measurement needs stands before it."""
    needed = set(names)
    for measure in reversed(MEASURES):
        if not needed.isdisjoint(measure.rows):
            needed |= {*measure.needs}
    return frozenset(needed)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure Comity on this machine.")
    parser.add_argument(
        "--rows", type=_row_names, default=frozenset(ROWS), help=f"only these, by commas: {', '.join(ROWS)}"
    )
    for name, (size, what) in SIZES.items():
        parser.add_argument(f"--{name}", type=_size, default=size, help=f"{what} (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="how long each other row is measured (%(default)s)"
    )
    parser.add_argument("--nats-server", metavar="PATH", help="another nats-server than the one on PATH")
    parser.add_argument("--rabbitmq-server", metavar="PATH", help="another rabbitmq-server than the one on PATH")
    parser.add_argument(
        "--into",
        type=lambda words: Path(words).resolve(),
        default=REPOSITORY / "build" / "bench.json",
        help="the file (%(default)s)",
    )
    return parser.parse_args()


def _size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)


def _row_names(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if not names <= {*ROWS}:
        raise argparse.ArgumentTypeError(f"there is no row {', '.join(sorted(names - {*ROWS}))}")
    return names


if __name__ == "__main__":
    sys.exit(main())
