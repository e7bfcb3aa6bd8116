"""`python -m comity.verify BUNDLE`: run every check and print what holds and what does not. Needs no network and no broker."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from comity.verify.checks import Verification


def main(arguments: list[str] | None = None) -> int:
    """Run the command; gives 0 for PASS and PASS_WITH_GAPS, 15 for FAIL."""
    parser = argparse.ArgumentParser("comity-verify", description="Verify an audit bundle without trusting its maker.")
    parser.add_argument("bundle", type=Path, help="the folder of the bundle")
    parser.add_argument(
        "--since", type=Path, action="append", default=[], help="a checkpoint of the last audit; repeat"
    )
    parser.add_argument(
        "--root", action="append", default=[], metavar="PARTY=sha384:HEX", help="a root compared; repeat"
    )
    parser.add_argument("--party", action="append", default=[], help="whose own bodies are due (without: everybody's)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    roots = dict(one.partition("=")[::2] for one in given.root)
    try:
        done = Verification(given.bundle, [path.read_bytes() for path in given.since], roots, given.party)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    logs = [{"origin": log.origin, "size": len(log.leaves), "newest_entry_ms": log.newest} for log in done.logs]
    findings = [finding._asdict() for finding in done.findings]
    lines = [json.dumps({"verdict": done.verdict, "findings": findings, "counts": done.counts, "logs": logs})]
    if not given.json:
        lines = [
            f"{one.code} {one.origin}{'' if one.log_index is None else f'#{one.log_index}'}: {one.message}"
            for one in done.findings
        ]
        lines += [f"{count} {what}" for what, count in done.counts.items()]
        lines += [f"{log.origin}: {len(log.leaves)} entries, the newest {_age(log.newest)} old" for log in done.logs]
        lines.append(done.verdict)
    sys.stdout.write("\n".join(lines) + "\n")
    return 15 if done.verdict == "FAIL" else 0


def _age(newest_ms: int) -> str:
    minutes = int(time.time() - newest_ms / 1000) // 60
    return f"{minutes // 1440} d {minutes // 60 % 24} h {minutes % 60} min"


if __name__ == "__main__":
    sys.exit(main())
