"""Generated agreements, for the property that engine and reference interpreter answer alike.

Everything comes from one `random.Random`, so a seed is a case. An agreement has two or three parties, one to three tables
in most directions, every clause kind from none to two times (scopes more often) in any order, and a state in which it is
mostly in force and sometimes has clauses suspended. Clauses of one kind share a value that passes all of them, so that
many reports can fail one clause alone (see `builders_generated_reports`). A few agreements are such as would not load (a
direction without a table, a limit at a level of nobody), because the engine must deny there too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from random import Random
from typing import Any, TypeVar

from builders_generated_handling import HandlingMaker, officer_rows
from comity_policy import clauses as kinds
from comity_policy.clauses import CaveatClause, Clause, Span
from comity_policy.companions import Caveat, Umbrella
from comity_policy.document import Broker, Document, Duration, EntryIntoForce, Equivalence, Languages, NoLevel, Party
from comity_policy.facts import AgreementState, Kind, Role
from comity_policy.sections import DurationKind, EntryRule, Under
from comity_policy.vocabulary import bundled

T = TypeVar("T")
Maker = Callable[[str], Clause]

DIGEST = b"d" * 48
ABOVE = b"u" * 48
TODAY = date(2026, 12, 1)
TEXT = {"en": "As the parties agreed."}
VOCABULARIES = bundled()
# XFA is a party the vocabulary does not know: an agreement may name it all the same.
LADDERS = {
    "XAR": ("OPEN", "RESTRICTED", "CONFIDENTIAL", "SECRET", "TOP-SECRET"),
    "XBO": ("OTEVRENE", "VYHRAZENE", "DUVERNE", "TAJNE", "PRISNE"),
    "XDE": ("OFFEN", "DIENST", "VERTRAULICH", "GEHEIM", "STRENG"),
    "XFA": ("LIBRE", "DIFFUSION", "CONFIDENTIEL", "SECRET", "TRES-SECRET"),
}
CATEGORIES = (
    "terrorism",
    "terrorist-financing",
    "travel-of-suspects",
    "foreign-fighters",
    "cyber",
    "cyber-crime",
    "ransomware",
    "sanctions",
)
PURPOSES = ("counter-terrorism", "investigation", "cyber-defence", "exercise")
REGIONS = ("xar", "xbo", "xde", "fra", "deu")
KINDS = tuple(kind.word for kind in Kind)[:5]
ROLES = tuple(role.word for role in Role)[:6]
IDS: tuple[str, ...] = (
    "1",
    "2",
    "2.1",
    "3",
    "4",
    "A",
    "A.1",
    "5-bis",
    "6",
    "7",
    "8",
    "9",
    "10",
    "11",
    "12",
    "13",
    "14",
    "15",
    "16",
)
MORE_IDS = tuple(f"annex-{number}" for number in range(1, 60))


def chance(rng: Random, likely: float) -> bool:
    """Say yes with this probability."""
    return rng.random() < likely


def some(rng: Random, words: Sequence[T], least: int = 0, most: int | None = None) -> tuple[T, ...]:
    """Give some of the words, in any order."""
    return tuple(rng.sample(words, rng.randint(min(least, len(words)), min(most or len(words), len(words)))))


def millis(day: date) -> int:
    """Give 00:00 UTC of a day in Unix milliseconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


@dataclass(frozen=True, slots=True)
class Generated:
    """An agreement and the state in which it is compiled, with the umbrella and the caveats it is compiled with."""

    document: Document
    state: AgreementState
    umbrella: Umbrella | None = None
    caveats: tuple[Caveat, ...] = ()
    # Found once: each report asks for the clauses of many kinds.
    _by_kind: dict[type, tuple[Any, ...]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def beside(self) -> dict[str, Any]:
        """Give what stands beside the agreement, as engine and reference interpreter take it."""
        return {"umbrella": self.umbrella, "caveats": self.caveats}

    def scopes(self) -> Sequence[kinds.Scope]:
        """Give the grants, those that are not suspended where there are any."""
        every = self.clauses(kinds.Scope)
        return [one for one in every if one.id not in self.state.suspended_clauses] or every

    def named(self) -> list[tuple[str, Clause | CaveatClause]]:
        """Give every clause that may be decided, with the name a decision gives it."""
        found: list[tuple[str, Clause | CaveatClause]] = [(one.id, one) for one in self.document.clauses]
        if self.umbrella is not None:
            found += [(f"{self.umbrella.document.id}/{one.id}", one) for one in self.umbrella.document.clauses]
        for caveat in self.caveats:
            found += [(f"caveat/{caveat.party}/{caveat.id}/{one.id}", one) for one in caveat.clauses]
        return found

    def clauses(self, kind: type[T]) -> tuple[T, ...]:
        """Give the clauses of a kind, wherever they stand."""
        if kind not in self._by_kind:
            self._by_kind[kind] = tuple(one for _, one in self.named() if isinstance(one, kind))
        return self._by_kind[kind]

    def names(self, kind: type) -> list[str]:
        """Give the names of the clauses of a kind, wherever they stand."""
        return [name for name, one in self.named() if isinstance(one, kind)]

    def table(self, from_party: str, to_party: str, at: int) -> Equivalence | None:
        """Give the table that reports made at that time are written for."""
        found = [
            one
            for one in self.document.equivalences
            if (one.from_party, one.to_party) == (from_party, to_party) and millis(one.valid_from) <= at
        ]
        return max(found, key=lambda one: one.valid_from, default=None)


def agreement(rng: Random) -> Generated:
    """Make an agreement, now and then one under an umbrella or with caveats."""
    parties = tuple(rng.sample(sorted(LADDERS), rng.choice((2, 3))))
    made = _Maker(rng, parties)
    own, above, aside = _shared_out(rng, made.clauses())
    document = Document(
        id="GEN-1",
        version=1,
        kind="agreement",
        title="Generated",
        parties={party: Party(party, "", "", "") for party in parties},
        brokers={name: Broker(parties[0], rng.choice(REGIONS)) for name in ("hub", "relay")[: rng.choice((1, 2))]},
        languages=Languages(("en",), "en"),
        entry_into_force=EntryIntoForce(EntryRule.ON_SIGNATURE),
        duration=Duration(DurationKind.INDEFINITE),
        equivalences=made.equivalences,
        clauses=own,
        vocabularies=VOCABULARIES.digests,
    )
    state, caveats = _state(rng, own), _caveats(rng, parties, aside)
    if above is None:
        return Generated(document, state, caveats=caveats)
    tables = made.equivalences if chance(rng, 0.7) else made.more_equivalences()
    umbrella = replace(document, id="GEN-GSA-1", kind="umbrella", clauses=above, equivalences=tables)
    document = replace(document, kind="arrangement", under=Under(umbrella.id, f"sha384:{ABOVE.hex()}"))
    orphaned = chance(rng, 0.03)
    bound = replace(_state(rng, above), unbound=frozenset(some(rng, parties, 1, 1) if chance(rng, 0.1) else ()))
    return Generated(document, state, None if orphaned else Umbrella(umbrella, ABOVE, bound), caveats)


def _shared_out(
    rng: Random, clauses: tuple[Clause, ...]
) -> tuple[tuple[Clause, ...], tuple[Clause, ...] | None, tuple[CaveatClause, ...]]:
    """Move some requirements into an umbrella (None: there is none) and some into caveats."""
    own, above, aside = list(clauses), None, []
    if chance(rng, 0.2):
        above = [one for one in own if not one.grant and chance(rng, 0.4)]
        own = [one for one in own if one not in above]
    if chance(rng, 0.2):
        aside = [one for one in own if isinstance(one, CaveatClause) and chance(rng, 0.3)]
        own = [one for one in own if one not in aside]
    return tuple(own), None if above is None else tuple(above), tuple(aside)


def _caveats(rng: Random, parties: tuple[str, ...], clauses: tuple[CaveatClause, ...]) -> tuple[Caveat, ...]:
    made = []
    for number, clause in enumerate(clauses):
        excluded = kinds.Exclude(
            id="x",
            text=TEXT,
            to=some(rng, parties, 0, 1),
            categories=some(rng, CATEGORIES, 1, 2),
            kinds=some(rng, KINDS, 0, 2),
        )
        made.append(
            Caveat(
                party=rng.choice(parties),
                id=f"C{number}",
                agreement="GEN-1",
                digest=f"sha384:{DIGEST.hex()}",
                partner_text="A national limitation applies.",
                clauses=(clause, excluded) if chance(rng, 0.3) else (clause,),
                incoming=chance(rng, 0.4),
            )
        )
    return tuple(made)


def _state(rng: Random, clauses: tuple[Clause, ...]) -> AgreementState:
    if chance(rng, 0.04):
        return AgreementState(in_force=False, reason=rng.choice(("SUSPENDED", "EXPIRED", "TERMINATED", "NOT_YET")))
    ids = [clause.id for clause in clauses]
    suspended: tuple[str, ...] = ()
    if chance(rng, 0.4):
        # What cannot be suspended, grants of which another may apply, and the others, which deny nearly everything.
        harmless = [
            one.id
            for one in clauses
            if isinstance(one, (kinds.Scope, kinds.Onward, kinds.Emergency))
            or not one.suspendable
            or (isinstance(one, (kinds.Embargo, kinds.Reproduction, kinds.PersonalDataRule)) and chance(rng, 0.3))
            or (isinstance(one, kinds.Channel) and chance(rng, 0.1))
        ]
        suspended = some(rng, harmless, 0, 3) + (some(rng, ids, 1, 2) if chance(rng, 0.4) else ())
    if chance(rng, 0.2):
        suspended += some(rng, ("no-such-clause", "baseline/grant", "baseline/releasable", "baseline/times"), 1)
    return AgreementState(in_force=True, suspended_clauses=frozenset(suspended))


class _Maker:
    def __init__(self, rng: Random, parties: tuple[str, ...]) -> None:
        self.rng = rng
        self.parties = parties
        self.ladders = {
            party: (LADDERS[party][0], *sorted(some(rng, LADDERS[party][1:], 2), key=LADDERS[party].index))
            for party in parties
        }
        directions = list(permutations(parties, 2))
        self.granted = some(rng, directions, 1)
        self.tabled = directions if chance(rng, 0.97) else some(rng, directions)
        self.equivalences = self._equivalences()

    def _equivalences(self) -> tuple[Equivalence, ...]:
        """Make tables that are monotone; later ones may lack levels and protect others differently."""
        made = []
        for from_party, to_party in self.tabled:
            days = [date(2020, 1, 1), date(2026, 1, 1), TODAY - timedelta(days=self.rng.randint(0, 60))]
            days += [TODAY + timedelta(days=30)]
            chosen = {*some(self.rng, days[1:], 0, 2), days[0] if chance(self.rng, 0.95) else days[2]}
            made += [Equivalence(from_party, to_party, day, self._rows(from_party, to_party)) for day in sorted(chosen)]
        return some(self.rng, made, len(made))

    def more_equivalences(self) -> tuple[Equivalence, ...]:
        """Make other tables of the same levels."""
        return self._equivalences()

    def _rows(self, from_party: str, to_party: str) -> tuple[tuple[str, str | NoLevel], ...]:
        levels, others = self.ladders[from_party], self.ladders[to_party]
        above = [level for level in levels[1:] if chance(self.rng, 0.9)] or [levels[1]]
        protecting = sorted(self.rng.choices(others[1:], k=len(above)), key=others.index)
        rows: list[tuple[str, str | NoLevel]] = [(levels[0], others[0])]
        for level, other in zip(above, protecting, strict=True):
            rows.append((level, NoLevel(none=True, protect_as=other) if chance(self.rng, 0.15) else other))
        return tuple(rows)

    def clauses(self) -> tuple[Clause, ...]:
        """Make the clauses; ids and order are random, and so is what kinds there are."""
        rng = self.rng
        makers: list[Maker] = []
        for from_party, to_party in self.granted:
            makers += self._scopes(from_party, to_party)
        for maker in (
            self._ceiling,
            lambda name: kinds.Clearance(
                id=name, text=TEXT, officer_from=officer_rows(rng, self.ladders, self.equivalences)
            ),
            lambda name: kinds.Releasability(id=name, text=TEXT),
            lambda name: kinds.OriginatorControl(id=name, text=TEXT),
            self._purpose(),
            self._residency(),
            lambda name: kinds.Retention(
                id=name, text=TEXT, longest=Span(days=rng.randint(1, 40), hours=rng.choice((0, 5)))
            ),
            lambda name: kinds.Embargo(id=name, text=TEXT),
            self._precedence(),
            self._suites(),
            lambda name: kinds.Article(id=name, text=TEXT, topic="principles"),
        ):
            makers += [maker] * rng.choices((0, 1, 2), (1, 5, 1))[0]
        makers += HandlingMaker(rng, self.ladders, self.granted, self.equivalences, (PURPOSES, CATEGORIES)).makers()
        rng.shuffle(makers)
        return tuple(maker(name) for maker, name in zip(makers, IDS + MORE_IDS, strict=False))

    def _scopes(self, from_party: str, to_party: str) -> list[Maker]:
        """Make grants of a direction that overlap and leave gaps."""
        rng = self.rng
        categories, words = some(rng, CATEGORIES, 1, 3), some(rng, KINDS, 1, 3)

        def scope(name: str) -> Clause:
            return kinds.Scope(
                id=name,
                text=TEXT,
                from_party=from_party,
                to_party=to_party,
                categories=categories if chance(rng, 0.3) else some(rng, CATEGORIES, 1, 3),
                kinds=words if chance(rng, 0.5) else some(rng, KINDS, 1, 3),
            )

        return [scope] * rng.randint(1, 3)

    def _ceiling(self, name: str) -> Clause:
        rng = self.rng
        limits = [
            kinds.CeilingLimit(from_party, to_party, rng.choice(self._levels(from_party, to_party)))
            for from_party, to_party in self.granted
            for _ in range(rng.choices((0, 1, 2), (1, 24, 5))[0])
        ]
        if chance(rng, 0.04):
            limits.append(kinds.CeilingLimit(*self.granted[0], "LEVEL OF NOBODY"))
        return kinds.Ceiling(id=name, text=TEXT, limits=tuple(limits))

    def _levels(self, from_party: str, to_party: str) -> tuple[str, ...]:
        """Give the classified levels of a direction, mostly those that all its tables have."""
        tables = [
            set(one.levels)
            for one in self.equivalences
            if (one.from_party, one.to_party) == (from_party, to_party) and chance(self.rng, 0.97)
        ]
        levels = self.ladders[from_party][1:]
        return tuple(level for level in levels if all(level in one for one in tables)) or levels

    def _purpose(self) -> Maker:
        shared = self.rng.choice(PURPOSES)
        return lambda name: kinds.Purpose(
            id=name, text=TEXT, purposes=tuple({shared: None, **dict.fromkeys(some(self.rng, PURPOSES, 0, 2))})
        )

    def _residency(self) -> Maker:
        rng = self.rng
        shared = {party: some(rng, REGIONS, 1, 2) for party in self.parties}
        return lambda name: kinds.Residency(
            id=name,
            text=TEXT,
            regions={
                party: tuple({**dict.fromkeys(shared[party]), **dict.fromkeys(some(rng, REGIONS, 0, 2))})
                for party in self.parties
                if chance(rng, 0.97)
            },
        )

    def _precedence(self) -> Maker:
        rng = self.rng
        shared = some(rng, ROLES, 0, 1)
        return lambda name: kinds.PrecedenceRule(
            id=name,
            text=TEXT,
            flash=tuple({**dict.fromkeys(shared), **dict.fromkeys(some(rng, ROLES, 0, 2))}),
            immediate=tuple({**dict.fromkeys(shared), **dict.fromkeys(some(rng, ROLES, 0, 3))}),
            read_within={},
        )

    def _suites(self) -> Maker:
        rng = self.rng
        shared = rng.choice((1, 2))
        return lambda name: kinds.Suites(
            id=name,
            text=TEXT,
            allowed=tuple({shared, rng.choice((1, 2))}),
            oldest_key=Span(days=rng.randint(10, 200)),
            oldest_key_log_view=Span(minutes=rng.randint(5, 90)),
        )
