#!/usr/bin/env python3
"""Write client/comity/v1 from proto/comity/v1. With --check: change nothing, name what is stale, exit 1.

The generated code is committed, so that whoever installs Comity needs no compiler; `make proto` renews it, and
`make lint` and a test compare it. The runner is grpcio-tools of the lock, never a protoc of the machine.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PROTO: Final = REPOSITORY / "proto"
PACKAGE: Final = Path("comity/v1")
PATTERN: Final = "*_pb2*"
SERVICE: Final = re.compile(r"^service \w+", re.MULTILINE)


def generate(target: Path, proto: Path = PROTO) -> None:
    """Write messages, services and their type stubs (asynchronous ones) for every file of ``proto`` below ``target``."""
    scripts = Path(sys.executable).parent
    sources = sorted((proto / PACKAGE).glob("*.proto"))
    subprocess.run(  # noqa: S603 - our own interpreter and the files of this repository
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={proto}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out=quiet:{target}",
            f"--mypy_grpc_out=quiet,only_async:{target}",
            *(source.relative_to(proto).as_posix() for source in sources),
        ],
        check=True,
    )
    for source in sources:  # the compiler writes an empty services module for a file that declares none
        if not SERVICE.search(source.read_text(encoding="utf-8")):
            for empty in (target / PACKAGE).glob(f"{source.stem}_pb2_grpc.*"):
                empty.unlink()


def differences(fresh: Path, committed: Path) -> list[str]:
    """Names of generated files that are missing, different or left over in ``committed``, sorted."""
    names = {path.name for folder in (fresh, committed) for path in folder.glob(PATTERN)}

    def content(path: Path) -> bytes | None:
        return path.read_bytes() if path.exists() else None

    return sorted(name for name in names if content(fresh / name) != content(committed / name))


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if something is stale")
    parser.add_argument("--proto", type=Path, default=PROTO, help="where the .proto files are")
    parser.add_argument("--client", type=Path, default=REPOSITORY / "client", help="where the generated code goes")
    options = parser.parse_args(arguments)
    committed: Path = options.client / PACKAGE
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch)
        generate(target, options.proto)
        fresh = target / PACKAGE
        stale = differences(fresh, committed)
        if options.check:
            if stale:
                print(f"stale: {', '.join(stale)} in {PACKAGE.as_posix()}; run `make proto`", file=sys.stderr)
            return 1 if stale else 0
        for name in stale:
            source, destination = fresh / name, committed / name
            if source.exists():
                destination.write_bytes(source.read_bytes())
            else:
                destination.unlink()
            print(f"wrote {name}" if source.exists() else f"removed {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
