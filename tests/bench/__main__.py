"""`make bench`: measure, print a table, write build/bench.json (results.py says what is in it). `python tests/bench --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# The helpers of the tests; this folder itself is there already.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from decisions import policy_decision, policy_decision_cedar
from results import Row, table, write
from round_trips import mtls_round_trip
from sqlite_rows import sqlite_floor
from whole_path import ROUNDS, whole_path

REPOSITORY = Path(__file__).resolve().parents[2]
REPORTS = 12_000
SECONDS = 3.0

Measure = Callable[[Path, argparse.Namespace], dict[str, Row]]
# What gives which rows, in the order in which they are measured and shown.
MEASURES: dict[tuple[str, ...], Measure] = {
    ("policy_decision",): lambda _, asked: policy_decision(asked.seconds),
    ("policy_decision_cedar",): lambda _, asked: policy_decision_cedar(asked.seconds),
    ("mtls_round_trip",): lambda folder, asked: mtls_round_trip(folder, asked.seconds),
    ("sqlite_floor",): lambda folder, asked: sqlite_floor(folder, asked.seconds),
    ("end_to_end", "cpu_per_report"): lambda folder, asked: whole_path(folder, asked.reports, asked.rounds),
}
ROWS = tuple(name for names in MEASURES for name in names)


def main() -> int:
    asked = _asked()
    rows: dict[str, Row] = {}
    wanted = {names: measure for names, measure in MEASURES.items() if not asked.rows.isdisjoint(names)}
    # On the disk of the repository: /tmp may be memory, and then nothing would be durable.
    asked.into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.into.parent) as folder:
        for number, (names, measure) in enumerate(wanted.items(), 1):
            print(f"[{number}/{len(wanted)}] {', '.join(names)} ...", end=" ", file=sys.stderr, flush=True)
            began = time.monotonic()
            found = measure(Path(folder) / names[0], asked)
            rows |= {name: row for name, row in found.items() if name in asked.rows}
            print(f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    write(rows, asked.into)
    print(table(rows))
    print(f"Written to {asked.into}.")
    return 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure Comity on this machine.")
    parser.add_argument(
        "--rows", type=_row_names, default=frozenset(ROWS), help=f"only these, by commas: {', '.join(ROWS)}"
    )
    parser.add_argument("--reports", type=int, default=REPORTS, help="reports a round of the whole path (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of the whole path (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="how long each other row is measured (%(default)s)"
    )
    parser.add_argument("--into", type=Path, default=REPOSITORY / "build" / "bench.json", help="the file (%(default)s)")
    return parser.parse_args()


def _row_names(text: str) -> frozenset[str]:
    names = frozenset(text.split(","))
    if not names <= {*ROWS}:
        raise argparse.ArgumentTypeError(f"there is no row {', '.join(sorted(names - {*ROWS}))}")
    return names


if __name__ == "__main__":
    sys.exit(main())
