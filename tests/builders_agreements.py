"""The bundled example agreements, with what stands beside them in their tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from comity.texts import agreement_digest
from comity_policy.caveat import load_caveat
from comity_policy.companions import Caveat, Umbrella
from comity_policy.document import Document, load
from comity_policy.engine import compile_agreement
from comity_policy.facts import AgreementState
from comity_policy.lowering import Source
from comity_policy.tables import TableResult, companions_named, run_table
from comity_policy.vocabulary import bundled

EXAMPLES = files("comity_policy") / "examples"
NAMES = tuple(
    sorted(
        one.name.removesuffix(".toml")
        for one in EXAMPLES.iterdir()
        if one.name.endswith(".toml") and not one.name.endswith((".test.toml", ".caveat.toml"))
    )
)
IN_FORCE = AgreementState(in_force=True)


@dataclass(frozen=True)
class Example:
    """An example as its table has it."""

    name: str
    document: Document
    digest: bytes
    table: bytes
    umbrella: Umbrella | None
    caveats: tuple[Caveat, ...]

    def source(self) -> Source:
        return compile_agreement(
            self.document, self.digest, IN_FORCE, bundled(), umbrella=self.umbrella, caveats=self.caveats
        ).source

    def run(self) -> TableResult:
        return run_table(
            self.document, self.digest, self.table, bundled(), umbrella=self.umbrella, caveats=self.caveats
        )


@cache
def example(name: str) -> Example:
    """Give an example by the name of its file."""
    text, table = read(f"{name}.toml"), read(f"{name}.test.toml")
    named = companions_named(table)
    document, umbrella = load(text), None
    if named.umbrella:
        above = read(named.umbrella)
        umbrella = Umbrella(load(above), agreement_digest(above), IN_FORCE)
    caveats = tuple(load_caveat(read(one), document) for one in named.caveats)
    return Example(name, document, agreement_digest(text), table, umbrella, caveats)


def read(name: str) -> bytes:
    return (EXAMPLES / name).read_bytes()
