"""`make fuzz`: every target under atheris for SECONDS each, one after the other. `python tests/fuzz --help`.

Corpora stay in build/fuzz, so that the next run goes on from there. A finding stays as a file, with its traceback: mend it, then put
the file into tests/fuzz/regressions/TARGET, where the smoke test replays it. Exit code 1 with findings, 69 where atheris is not
installable, else 0.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# The folder of the tests: targets are built with their helpers.
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from fuzz.all_targets import MODULES, targets_of
from fuzz.target import Target

REPOSITORY = Path(__file__).resolve().parents[2]
NOT_INSTALLED = 69
# Starting, and an input that hangs until libFuzzer ends it, take their time besides.
_GRACE_SECONDS = 180
_PROGRESS = re.compile(r"^#\d+\s.*\bcov: (\d+)", re.MULTILINE)
_EXECUTIONS = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Result:
    """What one target came to. `edges` and `executions` are 0 where a finding came before they were said."""

    name: str
    executions: int
    edges: int
    findings: tuple[Path, ...]


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; print a line a target, and a table."""
    parser = argparse.ArgumentParser("make fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=30, help="how long each target runs (30)")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "build/fuzz", help="where corpora and findings are")
    parser.add_argument("targets", nargs="*", help="their names; without, all")
    asked = parser.parse_args(arguments)
    known = [(module, target) for module in MODULES for target in targets_of(module)]
    if unknown := set(asked.targets) - {target.name for _, target in known}:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(one.name for _, one in known)}")
    if importlib.util.find_spec("atheris") is None:
        print(
            "atheris is not installed: it has no wheel for this Python or system (it has for CPython 3.11 to 3.13 on "
            "Linux x86-64). Nothing was fuzzed; the smoke test of the same targets needs no atheris: "
            "make test ARGS=tests/fuzz",
            file=sys.stderr,
        )
        return NOT_INSTALLED
    wanted = [one for one in known if not asked.targets or one[1].name in asked.targets]
    results = []
    for number, (module, target) in enumerate(wanted, 1):
        print(f"[{number}/{len(wanted)}] {target.name}: {target.reads}", flush=True)
        results.append(fuzzed(module, target, asked.folder.resolve() / target.name, asked.seconds))
    print(table(results))
    return exit_code(results)


def exit_code(results: list[Result]) -> int:
    """Give 1 where anything was found."""
    return 1 if any(one.findings for one in results) else 0


def fuzzed(module: str, target: Target, folder: Path, seconds: int) -> Result:
    """Run one target in a process of its own; its output is kept in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        str(Path(__file__).with_name("child.py")),
        module,
        target.name,
        str(folder),
        str(seconds),
    ]
    log = folder / "log.txt"
    # libFuzzer ends the process without a word to Python: what it made for itself is removed here.
    with log.open("wb") as output, tempfile.TemporaryDirectory() as own:
        try:
            code = subprocess.run(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds + _GRACE_SECONDS,
                check=False,
                env={**os.environ, "PYTHONHASHSEED": "0", "TMPDIR": own},
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    said = log.read_text(encoding="utf-8", errors="replace")
    found = tuple(sorted(path for path in (folder / "findings").glob("*-*") if path.is_file()))
    if code and not found:
        # It ended before or outside an input: that is to be looked at as well.
        found = (log,)
    for path in found:
        print(f"    finding: {path}", flush=True)
    trace = folder / "findings/traceback.txt"
    if trace.is_file():
        print("    " + trace.read_text(encoding="utf-8").strip().replace("\n", "\n    "), flush=True)
    edges, executions = _PROGRESS.findall(said), _EXECUTIONS.findall(said)
    return Result(target.name, int(executions[-1]) if executions else 0, int(edges[-1]) if edges else 0, found)


def table(results: list[Result]) -> str:
    """Give a line a target, and the sums."""
    rows = [("target", "executions", "edges", "findings")]
    rows += [(one.name, f"{one.executions:,}", f"{one.edges:,}", str(len(one.findings))) for one in results]
    total = sum(one.executions for one in results), sum(len(one.findings) for one in results)
    rows.append(("all", f"{total[0]:,}", "", str(total[1])))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  " + "  ".join(f"{row[column]:>{widths[column]}}" for column in (1, 2, 3))
        for row in rows
    )


if __name__ == "__main__":
    sys.exit(main())
