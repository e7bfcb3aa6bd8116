"""Homes for tests: a directory with a party, its identities and its cards, made as the commands make them."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from comity.cli.main import main
from comity.identity.cardfile import CardFile
from comity.node.home import Home
from comity.node.party import create_party

PASSPHRASE = b"a passphrase of tests"
NOW = 1_790_000_000_000
NAMES = {"XAR": "Republic of Arden", "XBO": "Bohemund Federation", "XDE": "Free State of Delor"}


def party(home: Home, code: str, *, now_ms: int = NOW) -> CardFile:
    """Make a party in a home."""
    return create_party(
        home,
        code,
        name=NAMES[code],
        trust_domain=f"{code.lower()}.example",
        jurisdiction=code,
        passphrase=PASSPHRASE,
        now_ms=now_ms,
    )


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict]:
        """The JSON lines of standard output."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict:
        """The JSON error on standard error, the last line there."""
        return json.loads(self.err.splitlines()[-1])["error"]


class _Terminal(io.TextIOWrapper):
    """Standard input that somebody types at."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Machine:
    """One machine's home, and its commands."""

    path: Path
    passphrase_file: Path

    @classmethod
    def made(cls, path: Path) -> "Machine":
        """Make an empty one."""
        path.mkdir(parents=True, exist_ok=True)
        passphrase_file = path / "passphrase"
        passphrase_file.write_bytes(PASSPHRASE + b"\n")
        passphrase_file.chmod(0o600)
        return cls(path / "home", passphrase_file)

    @property
    def home(self) -> Home:
        return Home(self.path)

    def run(self, *words: str, stdin: str = "", terminal: bool = False) -> Ran:
        """Run a command in this process, with this machine's home and passphrase; on a `terminal`, `stdin` is typed."""
        out, err, before = io.StringIO(), io.StringIO(), sys.stdin
        sys.stdin = (_Terminal if terminal else io.TextIOWrapper)(io.BytesIO(stdin.encode()))
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = main([*words, "--home", str(self.path), "--passphrase-file", str(self.passphrase_file)])
        finally:
            sys.stdin = before
        return Ran(code, out.getvalue(), err.getvalue())

    def done(self, *words: str, stdin: str = "", terminal: bool = False) -> Ran:
        """Run a command that must succeed."""
        ran = self.run(*words, stdin=stdin, terminal=terminal)
        assert ran.code == 0, f"{' '.join(words)}: exit {ran.code}\n{ran.out}\n{ran.err}"
        return ran
