"""A node's own statement of what it can: versions of the wire protocol, suites, obligations it enforces.

The party's directory key attests who a node is (`bodies`); what its software does, the node alone knows, and says with its signing
key. A body is a closed table like those about keys, of the type ``node-capabilities``:

| key | meaning |
|---|---|
| party, node | whose |
| software | for people: name and version, 1 to 64 characters |
| wire | versions of the wire protocol it speaks, 1 to 8, ascending |
| suites | envelope suites it opens and seals, of which it has keys, 1 to 8, ascending |
| obligations | words of `comity_policy.abilities.OBLIGATIONS`, ascending; another word refuses |
| valid_from | since when it can, Unix milliseconds |
| sequence | its number, above all before it; a count of its own, beside that of the node's bundles |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from comity.errors import MalformedError
from comity.identity.fields import Fields, ascending
from comity.identity.names import Identity, IdentityKind, check_name, check_party
from comity.statement import Statement, StatementSigner, sign_statement
from comity_policy.abilities import OBLIGATIONS, words_of

KIND: Final = "node-capabilities"
KEYS: Final = ("node", "software", "wire", "suites", "obligations", "valid_from", "sequence")
NUMBERS_LIMIT: Final = 8
SOFTWARE_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a node can, without who says so: what is compared before it is said again."""

    software: str
    wire: tuple[int, ...]
    suites: tuple[int, ...]
    obligations: frozenset[str]

    @property
    def words(self) -> frozenset[str]:
        """Give what decisions know of it."""
        return words_of(wire=self.wire, suites=self.suites, obligations=self.obligations)


@dataclass(frozen=True, slots=True)
class NodeCapabilities:
    """A node's statement."""

    party: str
    node: str
    software: str
    wire: tuple[int, ...]
    suites: tuple[int, ...]
    obligations: frozenset[str]
    valid_from: int
    sequence: int

    @property
    def abilities(self) -> Abilities:
        """Give what it says that the node can."""
        return Abilities(self.software, self.wire, self.suites, self.obligations)

    @property
    def identity(self) -> Identity:
        """Give whose statement it is."""
        return Identity(self.party, IdentityKind.NODE, self.node)


@dataclass(frozen=True, slots=True)
class CapabilitiesRecord:
    """A statement as one entry of the key log holds it. `signed_by` is the fingerprint of the node's key, `words` what it can."""

    body: NodeCapabilities
    signed_by: bytes
    log_index: int
    at_ms: int
    words: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", self.body.abilities.words)


def read_capabilities(fields: Fields, _: Statement) -> NodeCapabilities:
    """Read the body of such a statement; raises MalformedError."""
    return NodeCapabilities(
        party=fields.text("party", check_party),
        node=fields.text("node", check_name),
        software=fields.free_text("software", SOFTWARE_LIMIT),
        wire=fields.numbers("wire", NUMBERS_LIMIT, most=0xFFFF),
        suites=fields.numbers("suites", NUMBERS_LIMIT, most=0xFFFF),
        obligations=frozenset(fields.texts("obligations", len(OBLIGATIONS), _obligation)),
        valid_from=fields.number("valid_from", least=1),
        sequence=fields.number("sequence", least=1),
    )


def node_capabilities(
    signer: StatementSigner, *, party: str, node: str, abilities: Abilities, valid_from: int, sequence: int
) -> Statement:
    """Make a node's statement, signed by its signing key; raises MalformedError for what does not read."""
    statement = sign_statement(
        {
            "type": KIND,
            "party": party,
            "node": node,
            "software": abilities.software,
            "wire": sorted(set(abilities.wire)),
            "suites": sorted({int(one) for one in abilities.suites}),
            "obligations": ascending(abilities.obligations),
            "valid_from": valid_from,
            "sequence": sequence,
        },
        signer,
    )
    read_capabilities(Fields(statement.fields, KIND, ("type", "party", *KEYS)), statement)
    return statement


def _obligation(text: str) -> str:
    if text not in OBLIGATIONS:
        raise MalformedError(f"{text[:64]!r} is no obligation that this release knows")
    return text
