"""A complete world of two nations on disk, made by the real commands: what tests of whole processes start from.

    world = made_world(tmp_path)                  # a copy; the first one of a test run is built, which takes seconds
    with ending(world.start_broker()) as (broker,):
        receiving = world.receive("--follow")
        world.send(directory).done()

Two homes (`xar`, `xbo`), each on a machine of its own as far as anybody can tell; a hub that XAR operates; a node of each nation,
enrolled; an officer of each with every role that the agreement's life needs; the agreement signed by both and in force.
Everything is as it is delivered but for the cost of the passphrase (`cheap_keys`).
"""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from builders_home import NAMES, Machine
from cheap_keys import make_keys_cheap
from processes import COMITY, Broker, Process, ending, environment, free_port, start, start_broker

AGREEMENT = "XAR-XBO-1"
HUB = "XAR/hub"
CODES = ("XAR", "XBO")
MARKING = "SECRET//REL TO XAR, XBO"
PURPOSE = "counter-terrorism"
# What a report of plain files is said to be.
WISHES = ("--marking", MARKING, "--category", "terrorism", "--purpose", PURPOSE)

_ROLES = ("liaison", "legal-reviewer", "plenipotentiary", "auditor", "operator")


@dataclass
class World:
    """One world below `path`; every process writes its output into `logs`. `begins` is how they start (`processes`)."""

    path: Path
    address: str = ""
    begins: Callable[..., Process] = start
    _started: dict[str, int] = field(default_factory=dict)

    # --- places -----------------------------------------------------------------------------------------------------

    @property
    def data(self) -> Path:
        """The hub's data directory."""
        return self.path / "hub"

    @property
    def logs(self) -> Path:
        """Where the output of every process lies, in files named after it."""
        return self.path / "logs"

    @property
    def inbox(self) -> Path:
        """Where XBO's node writes what it receives."""
        return self.path / "received"

    @property
    def passphrase_file(self) -> Path:
        return self.path / "passphrase"

    def machine(self, code: str) -> Machine:
        """The machine of a nation, for commands in this process."""
        return Machine(self.path / code.lower(), self.passphrase_file)

    def node_directory(self, code: str) -> Path:
        """The directory of a nation's node."""
        return self.machine(code).home.locate(f"{code}/n1").directory

    # --- processes --------------------------------------------------------------------------------------------------

    def start_broker(self, *program: str | Path, **more: str) -> Broker:
        """Start the hub where it listened before (anywhere at first); `program` takes the place of `comity broker run`."""
        listen = self.address or f"127.0.0.1:{free_port()}"
        broker = start_broker(
            self.data,
            folder=self.logs,
            passphrase_file=self.passphrase_file,
            listen=listen,
            name=self.numbered("broker"),
            program=program or (COMITY, "broker", "run"),
            begins=self.begins,
            **more,
        )
        if broker.address != self.address:
            self.address = broker.address
            self.tell_address()
        return broker

    def start(self, code: str, *words: str | Path, name: str = "", **more: str) -> Process:
        """Start a command of a nation's machine."""
        environ = environment(self.machine(code).path, self.passphrase_file, **more)
        return self.begins([COMITY, *words], self.numbered(name or str(words[0])), self.logs, environ)

    def start_python(self, code: str, script: Path, *words: str | Path, name: str = "", **more: str) -> Process:
        """Start a script of the tests with a nation's home."""
        environ = environment(self.machine(code).path, self.passphrase_file, **more)
        return self.begins([sys.executable, script, *words], self.numbered(name or script.stem), self.logs, environ)

    def send(self, source: Path, *words: str | Path, **more: str) -> Process:
        """Have XAR's node send a file or a directory; `more` is environment."""
        fixed = ("send", source, "--as", "XAR/n1", "--agreement", AGREEMENT, "--json", *WISHES)
        return self.start("XAR", *fixed, *words, **more)

    def receive(self, *words: str | Path, **more: str) -> Process:
        """Have XBO's node receive into `inbox`; `more` is environment."""
        fixed = ("receive", "--into", self.inbox, "--as", "XBO/n1", "--purpose", PURPOSE, "--json")
        return self.start("XBO", *fixed, *words, **more)

    def numbered(self, name: str) -> str:
        """Give a name that no earlier process of this world had."""
        self._started[name] = self._started.get(name, 0) + 1
        return f"{name}-{self._started[name]}"

    def tell_address(self) -> None:
        """Tell every identity made so far where the hub listens."""
        for code in CODES:
            for place in self.machine(code).home.places():
                place.write_profile(replace(place.profile, broker_address=self.address))


def made_world(path: Path, *, begins: Callable[..., Process] = start) -> World:
    """Give a world of its own below `path`: a copy of the one that this test run built first."""
    shutil.copytree(_template(), path, dirs_exist_ok=True)
    return World(path, begins=begins)


def build_world(path: Path) -> World:
    """Build a world from nothing, by the commands that a nation's people would run."""
    make_keys_cheap()
    world = World(path)
    path.mkdir(parents=True, exist_ok=True)
    world.passphrase_file.touch(0o600)
    world.passphrase_file.write_text("four words nobody sings\n")
    for code in CODES:
        world.machine(code).done(
            "party", "create", code, "--name", NAMES[code],
            "--trust-domain", f"{code.lower()}.example", "--jurisdiction", code,
        )  # fmt: skip
        world.machine(code).done("party", "export", code, "--into", str(path / f"{code}.card"))
    for code in CODES:
        (other,) = {*CODES} - {code}
        world.machine(code).done("party", "trust", str(path / f"{other}.card"), "--yes")
    world.machine("XAR").done("broker", "init", HUB, "--region", "xar", "--data", str(world.data))
    for code in CODES:
        machine = world.machine(code)
        _make_security_authority(world, code)
        machine.done(
            "node", "create", f"{code}/n1", "--region", code.lower(), "--broker-name", HUB,
            "--accreditation", "TOP-SECRET", "--accredited-by", f"{code}/security1",
        )  # fmt: skip
        machine.done("officer", "create", f"{code}/officer1", "--broker-name", HUB)
    with ending(world.start_broker()):
        for code in CODES:
            world.machine(code).done("node", "enrol", f"{code}/n1")
            roles = [word for role in _ROLES for word in ("--role", role)]
            world.machine(code).done("officer", "accredit", f"{code}/officer1", *roles)
        _bring_into_force(world)
    return world


def _make_security_authority(world: World, code: str) -> None:
    """Accredit the officer who attests levels, as files: no broker runs yet."""
    machine, officer = world.machine(code), f"{code}/security1"
    (made,) = machine.done("officer", "create", officer, "--broker-name", HUB, "--json").records
    issued = str(world.path / f"{code}-security1.json")
    words = ("--role", "security-authority", "--request", made["request"], "--into", issued)
    machine.done("officer", "accredit", officer, *words)


def _bring_into_force(world: World) -> None:
    text = world.path / f"{AGREEMENT}.toml"
    parties = [word for code in CODES for word in ("--party", code)]
    first = world.machine("XAR")
    first.done(
        "agreement", "new", AGREEMENT, *parties, "--broker-name", HUB, "--broker-region", "xar", "--into", str(text)
    )
    first.done("agreement", "propose", str(text), "--as", "XAR/officer1")
    for step in ("review", "sign"):
        for code in CODES:
            world.machine(code).done("agreement", step, AGREEMENT, "--yes", "--as", f"{code}/officer1")


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="comity-world-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return build_world(folder / "world").path
