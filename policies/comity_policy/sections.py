"""The sections of an agreement document as strict, frozen types, and the whole document as one frozen value.

What a section may say is exactly its fields: a parameter that nothing honours has no field and does not load. Levels are
words of one party; the *common rank* of a direction is the position of a row in its equivalence, 0 being unclassified.
`document.py` reads these from TOML, `semantics.py` says what must hold between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import StrEnum
from itertools import permutations
from types import MappingProxyType

import msgspec

from comity_policy.clauses import Clause, Scope


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Heading(_Section, frozen=True):
    """`[agreement]`: its name, version and title; only the kind ``agreement`` is supported."""

    id: str
    version: int
    title: str
    kind: str


class Party(_Section, frozen=True):
    """`[parties.XXX]`: the root key is the only trust anchor there is, ``sha384:`` and 96 hexadecimal digits."""

    name: str
    root: str
    trust_domain: str
    jurisdiction: str


class Broker(_Section, frozen=True):
    """`[brokers.name]`: who operates it and where ciphertext rests in it."""

    operator: str
    region: str


class Languages(_Section, frozen=True):
    """`[languages]`: every clause has a text in each authentic language; the prevailing one is one of them."""

    authentic: tuple[str, ...]
    prevailing: str


class EntryRule(StrEnum):
    """What makes a signed agreement enter into force."""

    ON_SIGNATURE = "on-signature"
    FIXED_DATE = "fixed-date"


class EntryIntoForce(_Section, frozen=True):
    """`[entry_into_force]`: `at` belongs to ``fixed-date`` alone; `minimum` may only say what holds, all parties."""

    rule: EntryRule
    at: datetime | None = None
    minimum: int | None = None


class DurationKind(StrEnum):
    """Whether the agreement has an end of its own."""

    INDEFINITE = "indefinite"
    TERM = "term"


class Renewal(StrEnum):
    """How a term is prolonged; nothing prolongs one yet, so nothing else can be promised."""

    NONE = "none"


class Duration(_Section, frozen=True):
    """`[duration]`: `until` is the first moment at which a ``term`` is over."""

    kind: DurationKind
    until: datetime | None = None
    renewal: Renewal = Renewal.NONE


class NoticePeriod(_Section, frozen=True):
    """How long before its effect notice is given."""

    months: int = 0
    weeks: int = 0
    days: int = 0


class RunsFrom(StrEnum):
    """What starts a period of notice."""

    RECEIPT = "receipt"


class Termination(_Section, frozen=True):
    """`[termination]`: recorded; the parties apply it by hand."""

    notice: NoticePeriod
    runs_from: RunsFrom = RunsFrom.RECEIPT


class Divergence(StrEnum):
    """What holds while the authentic texts are said to differ."""

    DENY_AND_CONSULT = "deny-and-consult"


class Interpretation(_Section, frozen=True):
    """`[interpretation]`: recorded."""

    divergence: Divergence = Divergence.DENY_AND_CONSULT


class NoLevel(_Section, frozen=True):
    """The recipient has no such level: it protects the information as one it has."""

    none: bool
    protect_as: str


Row = tuple[str, str | NoLevel]


class Equivalence(_Section, frozen=True, rename={"from_party": "from", "to_party": "to"}):
    """`[[equivalence]]`: signed rows from the lowest to the highest, in use from 00:00 UTC of `valid_from`."""

    from_party: str
    to_party: str
    valid_from: date
    rows: tuple[Row, ...]

    @property
    def begins_at(self) -> int:
        """Give the Unix millisecond from which the table is in use."""
        return int(datetime.combine(self.valid_from, time(), UTC).timestamp()) * 1000

    @property
    def levels(self) -> tuple[str, ...]:
        """Give the sender's levels by rank."""
        return tuple(row[0] for row in self.rows)

    @property
    def protected_as(self) -> tuple[str, ...]:
        """Give by rank the recipient's level that protects it."""
        return tuple(level if isinstance(level, str) else level.protect_as for _, level in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A whole agreement as both parties signed it, clauses in their order. Immutable; compare by the signed digest."""

    id: str
    version: int
    kind: str
    title: str
    parties: Mapping[str, Party]
    brokers: Mapping[str, Broker]
    languages: Languages
    entry_into_force: EntryIntoForce
    duration: Duration
    equivalences: tuple[Equivalence, ...]
    clauses: tuple[Clause, ...]
    vocabularies: Mapping[str, str]
    termination: Termination | None = None
    interpretation: Interpretation = field(default_factory=Interpretation)

    def __post_init__(self) -> None:
        for name in ("parties", "brokers", "vocabularies"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def clause(self, clause_id: str) -> Clause:
        """Give the clause; raises KeyError when the agreement has none of that id."""
        for clause in self.clauses:
            if clause.id == clause_id:
                return clause
        raise KeyError(clause_id)

    def directions(self) -> tuple[tuple[str, str], ...]:
        """Give every ordered pair of parties."""
        return tuple(permutations(self.parties, 2))

    def granted_directions(self) -> tuple[tuple[str, str], ...]:
        """Give the ordered pairs for which some clause grants a flow, in document order."""
        found = ((one.from_party, one.to_party) for one in self.clauses if isinstance(one, Scope))
        return tuple(dict.fromkeys(found))

    def equivalences_of(self, from_party: str, to_party: str) -> tuple[Equivalence, ...]:
        """Give the direction's tables, the earliest first."""
        return tuple(sorted(self._tables(from_party, to_party), key=lambda one: one.valid_from))

    def equivalence(self, from_party: str, to_party: str, at_ms: int | None = None) -> Equivalence | None:
        """Give the direction's table in use at that Unix millisecond, the newest without one; None where there is none."""
        tables = [one for one in self.equivalences_of(from_party, to_party) if at_ms is None or one.begins_at <= at_ms]
        return tables[-1] if tables else None

    def rank_of(self, direction: tuple[str, str], level: str, at_ms: int | None = None) -> int | None:
        """Give the common rank of the sender's level in a direction (from, to); None when the table has no such level."""
        table = self.equivalence(*direction, at_ms)
        return table.levels.index(level) if table is not None and level in table.levels else None

    def levels_of(self, party: str) -> tuple[str, ...]:
        """Give a party's levels from the lowest to the highest, as the newest table from it lists them."""
        tables = [one for one in self.equivalences if one.from_party == party]
        return max(tables, key=lambda one: one.valid_from).levels if tables else ()

    def _tables(self, from_party: str, to_party: str) -> Iterator[Equivalence]:
        return (one for one in self.equivalences if (one.from_party, one.to_party) == (from_party, to_party))
