"""Two nations with a running broker, made by the commands of the quick start, for tests that begin where those end."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builders_home import NAMES, Machine
from processes import Broker, start_broker

AGREEMENT = "XAR-XBO-1"
RELEASABLE = "SECRET//REL TO XAR, XBO"
ABOUT = ("--agreement", AGREEMENT, "--category", "terrorism", "--purpose", "counter-terrorism")
OFFICERS = {
    "liaison1": ("liaison",),
    "lawyer1": ("legal-reviewer",),
    "minister1": ("plenipotentiary",),
    "auditor1": ("auditor",),
    "operator1": ("operator",),
    "security1": ("security-authority",),
}


@dataclass
class World:
    """Arden's and Bohemund's machines, and the broker that Arden operates."""

    folder: Path
    arden: Machine
    bohemund: Machine
    broker: Broker | None = None

    @property
    def text(self) -> Path:
        return self.folder / f"{AGREEMENT}.toml"

    @property
    def where(self) -> tuple[str, ...]:
        return "--broker", self.broker.address, "--broker-name", "XAR/hub"

    def send(self, content: str, *more: str, name: str = "report.txt", code: int = 0):
        """Send a text file as XAR/n1."""
        path = self.folder / name
        path.write_text(content)
        words = ("send", str(path), *ABOUT, "--marking", RELEASABLE, "--as", "XAR/n1", "--json", *more)
        ran = self.arden.run(*words)
        assert ran.code == code, ran.out + ran.err
        return ran

    def receive(self, into: Path, *more: str, code: int = 0):
        """Receive as XBO/n1 whatever is due."""
        words = ("receive", "--into", str(into), "--as", "XBO/n1", "--purpose", "counter-terrorism", "--json")
        ran = self.bohemund.run(*words, *more)
        assert ran.code == code, ran.out + ran.err
        return ran.records


def parties(folder: Path) -> World:
    """Make both parties, and have each trust the other by its words."""
    world = World(folder, Machine.made(folder / "XAR"), Machine.made(folder / "XBO"))
    both = {"XAR": world.arden, "XBO": world.bohemund}
    for code, machine in both.items():
        machine.done(
            *("party", "create", code, "--name", NAMES[code]),
            *("--trust-domain", f"{code.lower()}.example", "--jurisdiction", code),
        )
        machine.done("party", "export", code, "--into", str(folder / f"{code}.card"))
    for code, machine in both.items():
        other = "XBO" if code == "XAR" else "XAR"
        (facts,) = both[other].done("party", "show", other, "--json").records
        machine.done("party", "trust", str(folder / f"{other}.card"), "--words", " ".join(facts["words"]))
    return world


@contextmanager
def running(world: World) -> Iterator[World]:
    """Make and run the broker, enrol people and nodes."""
    data = world.folder / "broker"
    world.arden.done("broker", "init", "XAR/hub", "--region", "xar", "--data", str(data))
    world.broker = start_broker(data, folder=world.folder / "log", passphrase_file=world.arden.passphrase_file)
    try:
        for code, machine in (("XAR", world.arden), ("XBO", world.bohemund)):
            for name, roles in OFFICERS.items():
                officer = f"{code}/{name}"
                machine.done("officer", "create", officer, *world.where)
                machine.done("officer", "accredit", officer, *(word for role in roles for word in ("--role", role)))
            machine.done(
                *("node", "create", f"{code}/n1", "--region", code.lower(), "--accreditation", "SECRET"),
                *("--accredited-by", f"{code}/security1", *world.where),
            )
            machine.done("node", "enrol", f"{code}/n1")
        yield world
    finally:
        world.broker.kill()


def sign(world: World, clauses: str = "") -> None:
    """Write the agreement, with further clauses at its end, propose, review and sign it: in force."""
    world.arden.done(
        *("agreement", "new", AGREEMENT, "--party", "XAR", "--party", "XBO", "--broker-name", "XAR/hub"),
        *("--broker-region", "xar", "--into", str(world.text)),
    )
    with world.text.open("a") as text:
        text.write(clauses)
    world.arden.done("agreement", "propose", str(world.text), "--as", "XAR/liaison1")
    both = (("XAR", world.arden), ("XBO", world.bohemund))
    for code, machine in both:
        machine.done("agreement", "review", AGREEMENT, "--yes", "--as", f"{code}/lawyer1")
    for code, machine in both:
        machine.done("agreement", "sign", AGREEMENT, "--yes", "--as", f"{code}/minister1")


def files(directory: Path) -> dict[str, bytes]:
    """Give every file of a directory by name."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}
