"""The sections of an agreement document as strict, frozen types, and the whole document as one frozen value.

What a section may say is exactly its fields: a parameter that nothing honours has no field and does not load. Levels are
words of one party; the *common rank* of a direction is the position of a row in its equivalence, 0 being unclassified.
`document.py` reads these from TOML, `semantics.py` and `terms.py` say what must hold between them. What the sections on an
agreement's life mean is `lifecycle.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import StrEnum
from itertools import permutations
from types import MappingProxyType

import msgspec

from comity_policy.calendar import Offset, Period
from comity_policy.clauses import Clause, Scope
from comity_policy.invariants import Invariant
from comity_policy.toml_lines import Path


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class AgreementKind(StrEnum):
    """An umbrella obliges protection and grants nothing; an arrangement grants under it; an agreement stands alone."""

    AGREEMENT = "agreement"
    UMBRELLA = "umbrella"
    ARRANGEMENT = "arrangement"


class Heading(_Section, frozen=True):
    """`[agreement]`: its name, version, title and kind."""

    id: str
    version: int
    title: str
    kind: str


class Under(_Section, frozen=True):
    """`[under]`: the umbrella of an arrangement, by id and by the digest that is signed, ``sha384:`` and 96 digits."""

    agreement: str
    digest: str


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
    AFTER_LATER_RECEIPT = "after-later-receipt"


class EntryOffset(_Section, frozen=True):
    """How long after the event of the rule: ``{days = 30}`` or ``{first_day_of_month = 2}``, exactly one of them."""

    days: int | None = None
    first_day_of_month: int | None = None

    @property
    def of_calendar(self) -> Offset:
        """Give the offset as the calendar reckons with it."""
        return Offset(self.days, self.first_day_of_month)


class EntryIntoForce(_Section, frozen=True):
    """`[entry_into_force]`: `at` belongs to ``fixed-date`` alone, `offset` to the other rules.

    `minimum` is how many parties must have signed (and notified), all where it is left out. `zone` is the IANA name of the
    zone in which this agreement's days begin: of its entry into force, of notice, terms and reminders.
    """

    rule: EntryRule
    at: datetime | None = None
    offset: EntryOffset | None = None
    minimum: int | None = None
    zone: str = "UTC"


class DurationKind(StrEnum):
    """Whether the agreement has an end of its own."""

    INDEFINITE = "indefinite"
    TERM = "term"


class Renewal(StrEnum):
    """How a term is prolonged by its own length: unless somebody objects, when all say so, or not at all."""

    TACIT = "tacit"
    EXPRESS = "express"
    NONE = "none"


class Duration(_Section, frozen=True):
    """`[duration]`: a ``term`` is so many years and months from the entry into force, or ends with the moment `until`.

    `remind_days` are how many days before the end of a term the parties are reminded of it.
    """

    kind: DurationKind
    years: int = 0
    months: int = 0
    until: datetime | None = None
    renewal: Renewal = Renewal.NONE
    remind_days: tuple[int, ...] = ()

    @property
    def length(self) -> Period | None:
        """Give the length of one term; None where there is none or it ends with a moment."""
        months = 12 * self.years + self.months
        return Period(months) if months else None


class NoticePeriod(_Section, frozen=True):
    """How long before its effect notice is given."""

    months: int = 0
    weeks: int = 0
    days: int = 0

    @property
    def of_calendar(self) -> Period:
        """Give the period as the calendar reckons with it."""
        return Period(self.months, self.weeks, self.days)


class RunsFrom(StrEnum):
    """What starts a period of notice: the agreement's log took it, so nobody can refuse to receive it."""

    RECEIPT = "receipt"


class Termination(_Section, frozen=True):
    """`[termination]`: how a party ends the agreement, or its own part in it; without it there is no notice."""

    notice: NoticePeriod
    runs_from: RunsFrom = RunsFrom.RECEIPT


class Provisional(_Section, frozen=True):
    """`[provisional]`: the grants among `clauses` apply between signature and entry into force, at longest to `until`."""

    clauses: tuple[str, ...]
    until: datetime


class Divergence(StrEnum):
    """What holds while the authentic texts are said to differ."""

    DENY_AND_CONSULT = "deny-and-consult"


class Interpretation(_Section, frozen=True):
    """`[interpretation]`: recorded."""

    divergence: Divergence = Divergence.DENY_AND_CONSULT


class AppliesTo(StrEnum):
    """Whether an amendment governs what is shared from then on, or also what is held where it is stricter."""

    NEW = "new"
    HELD_IF_STRICTER = "held-if-stricter"


class Amends(_Section, frozen=True):
    """`[amends]`: the version that this one replaces, and its digest, ``sha384:`` and 96 hexadecimal digits."""

    version: int
    digest: str
    applies_to: AppliesTo


class AmendedBy(StrEnum):
    """How an annex is changed: like the whole agreement, or by notes of the office it names."""

    RATIFICATION = "ratification"
    EXCHANGE_OF_NOTES = "exchange-of-notes"


class Annex(_Section, frozen=True, kw_only=True, rename={"clauses": "clause"}):
    """`[[annex]]`: clauses that bind like the agreement's own; `by` is the role whose notes change it."""

    id: str
    amended_by: AmendedBy
    by: str = ""
    clauses: tuple[Clause, ...]


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
    """A whole agreement as all parties signed it. Immutable; compare by the signed digest.

    `clauses` are the agreement's own in their order, then those of its annexes: all of them are decided alike.
    """

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
    under: Under | None = None
    provisional: Provisional | None = None
    amends: Amends | None = None
    annexes: tuple[Annex, ...] = ()
    invariants: tuple[Invariant, ...] = ()

    def __post_init__(self) -> None:
        for name in ("parties", "brokers", "vocabularies"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def clause(self, clause_id: str) -> Clause:
        """Give the clause; raises KeyError when the agreement has none of that id."""
        for clause in self.clauses:
            if clause.id == clause_id:
                return clause
        raise KeyError(clause_id)

    @property
    def own_clauses(self) -> tuple[Clause, ...]:
        """Give the clauses that stand in no annex."""
        return self.clauses[: len(self.clauses) - sum(len(annex.clauses) for annex in self.annexes)]

    def clause_paths(self) -> tuple[Path, ...]:
        """Give where each of `clauses` stands in the text, in the same order."""
        own: tuple[Path, ...] = tuple(("clause", position) for position in range(len(self.own_clauses)))
        annexed: tuple[Path, ...] = tuple(
            ("annex", number, "clause", position)
            for number, annex in enumerate(self.annexes)
            for position in range(len(annex.clauses))
        )
        return own + annexed

    def annex(self, annex_id: str) -> Annex:
        """Give the annex; raises KeyError when the agreement has none of that id."""
        for annex in self.annexes:
            if annex.id == annex_id:
                return annex
        raise KeyError(annex_id)

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
