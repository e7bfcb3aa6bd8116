"""Generated clauses of handling (need to know, passing on, quotas, use, ...), and facts that pass all of them.

As in `builders_generated`, clauses of one kind share a value that passes them all. Each kind is there in one agreement out
of four, so that a report can still pass everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from comity_policy import clauses as kinds
from comity_policy.clauses import Clause, Span
from comity_policy.document import Equivalence
from comity_policy.facts import PersonalData, Point, Precedence, Reader, Usage, Use

if TYPE_CHECKING:
    from builders_generated import Generated
    from builders_generated_reports import Draft

Maker = Callable[[str], Clause]

TEXT = {"en": "As the parties agreed."}
OFFICES = ("ct-desk", "registry", "analysis")
COMMUNITIES = ("counter-terrorism", "cyber-defence")
DECLARATION = b"e" * 48
DAY = 86_400_000
LIKELY = 0.3


def officers(party: str) -> tuple[str, ...]:
    """Give the officers of a party that any fact may name."""
    return tuple(f"{party}/officer{number}" for number in range(1, 5))


def _some(rng: Random, words: Sequence[Any], least: int = 0, most: int | None = None) -> tuple[Any, ...]:
    return tuple(rng.sample(words, rng.randint(min(least, len(words)), min(most or len(words), len(words)))))


class HandlingMaker:
    """Makes the clauses of one agreement."""

    def __init__(
        self,
        rng: Random,
        ladders: dict[str, tuple[str, ...]],
        granted: Sequence[tuple[str, str]],
        equivalences: Sequence[Equivalence],
        words: tuple[Sequence[str], Sequence[str]],
    ) -> None:
        self.rng = rng
        self.parties = tuple(ladders)
        self.granted = granted
        self.purposes, categories = words
        self.categories = {direction: _some(rng, categories, 2) for direction in granted}
        self.levels = {party: _known_levels(rng, party, ladders[party], equivalences) for party in ladders}
        self.offices = {party: rng.choice(OFFICES) for party in ladders}

    def makers(self) -> list[Maker]:
        """Give a maker for each clause that there is to be."""
        each: tuple[Maker, ...] = (
            self._need_to_know,
            *[self._onward] * 2,
            self._personal_data,
            self._channel,
            self._reproduction,
            *(partial(self._quota, direction) for direction in (*self.granted, self.granted[0])),
            self._dual_control,
            self._acknowledge,
            self._use,
            self._relabel,
            self._emergency,
            lambda name: kinds.Survives(id=name, text=TEXT, clauses=("1",)),
            lambda name: kinds.Audit(id=name, text=TEXT, on_failure=self.rng.choice(tuple(kinds.OnFailure))),
            lambda name: kinds.Disputes(id=name, text=TEXT, consult=Span(days=30), escalate=Span(days=60)),
        )
        found: list[Maker] = []
        for maker in each:
            found += [maker] * self.rng.choices((0, 1, 2), (1 - LIKELY, LIKELY * 0.85, LIKELY * 0.15))[0]
        return found

    def _need_to_know(self, name: str) -> Clause:
        rng = self.rng
        rows = [
            kinds.NeedRow(
                party=party,
                offices=tuple({self.offices[party]: None, **dict.fromkeys(_some(rng, OFFICES, 0, 1))}),
                communities=_some(rng, COMMUNITIES, 0, 1),
                officers=_some(rng, officers(party), 0, 2),
            )
            for party in self.parties
            if rng.random() < 0.95
        ]
        return kinds.NeedToKnow(id=name, text=TEXT, rows=tuple(rows))

    def _onward(self, name: str) -> Clause:
        rng = self.rng
        approved = [
            kinds.PreApproval(
                from_party=from_party,
                to_party=to_party,
                category=rng.choice(self.categories[from_party, to_party]),
                portions=rng.choice(tuple(kinds.Passage)),
            )
            for from_party, to_party in self.granted
            if rng.random() < 0.9
        ]
        return kinds.Onward(id=name, text=TEXT, max_hops=rng.randint(1, 3), pre_approved=tuple(approved))

    def _personal_data(self, name: str) -> Clause:
        return kinds.PersonalDataRule(
            id=name,
            text=TEXT,
            purposes=_some(self.rng, self.purposes, 3),
            special_categories=self.rng.choice(tuple(kinds.Special)),
            persons_max=self.rng.choice((1, 5, 100)),
            review_every=Span(days=30),
            correct_within=Span(days=5),
        )

    def _rows(self, party: str, most: int) -> tuple[str, ...]:
        levels = self.levels[party]
        return tuple(sorted(_some(self.rng, levels, 1, most), key=levels.index))

    def _channel(self, name: str) -> Clause:
        rows = []
        for party in self.parties:
            for place, level in enumerate(self._rows(party, 2)):
                by = kinds.Carrier.BROKER if place == 0 and level == self.levels[party][0] else None
                rows.append(kinds.ChannelRow(party=party, level=level, by=by or self.rng.choice(tuple(kinds.Carrier))))
        return kinds.Channel(id=name, text=TEXT, rows=tuple(rows))

    def _reproduction(self, name: str) -> Clause:
        rows = [
            kinds.CopyRow(party=party, level=level, copies=self.rng.choice(tuple(kinds.Copies)))
            for party in self.parties
            for level in self._rows(party, 3)
        ]
        return kinds.Reproduction(id=name, text=TEXT, rows=tuple(rows))

    def _quota(self, direction: tuple[str, str], name: str) -> Clause:
        from_party, to_party = direction
        return kinds.Quota(
            id=name,
            text=TEXT,
            from_party=from_party,
            to_party=to_party,
            window=self.rng.choice(tuple(kinds.Window)),
            reports=self.rng.randint(1, 50),
            bytes=self.rng.randint(2_000, 90_000),
        )

    def _dual_control(self, name: str) -> Clause:
        rows = [
            kinds.LevelRow(party=party, level=self.rng.choice(self.levels[party]))
            for party in self.parties
            if self.rng.random() < 0.9
        ]
        return kinds.DualControl(id=name, text=TEXT, from_levels=tuple(rows), officers=self.rng.choice((2, 2, 3)))

    def _acknowledge(self, name: str) -> Clause:
        stop = Span(hours=6) if self.rng.random() < 0.8 else None
        return kinds.Acknowledge(id=name, text=TEXT, within={"ROUTINE": Span(hours=6)}, stop_after=stop)

    def _use(self, name: str) -> Clause:
        evidence, action = self.rng.choices(tuple(kinds.Consent), k=2)
        return kinds.UseRule(id=name, text=TEXT, caveat=TEXT, evidence=evidence, action_on=action)

    def _relabel(self, name: str) -> Clause:
        return kinds.Relabel(id=name, text=TEXT, notice=Span(weeks=6), lapse_years=30)

    def _emergency(self, name: str) -> Clause:
        to = _some(self.rng, self.parties, 1)
        return kinds.Emergency(id=name, text=TEXT, to=to, onward=self.rng.random() < 0.6, review_within=Span(hours=24))


def officer_rows(
    rng: Random, ladders: dict[str, tuple[str, ...]], equivalences: Sequence[Equivalence]
) -> tuple[kinds.LevelRow, ...]:
    """Give the rows from which a clearance clause asks for the reader's own clearance; mostly none."""
    if rng.random() < 0.7:
        return ()
    return tuple(
        kinds.LevelRow(party=party, level=rng.choice(_known_levels(rng, party, ladders[party], equivalences)))
        for party in ladders
        if rng.random() < 0.8
    )


def _known_levels(
    rng: Random, party: str, ladder: tuple[str, ...], equivalences: Sequence[Equivalence]
) -> tuple[str, ...]:
    """Give levels that every table of the party has, now and then one that some lack."""
    tables = [one.levels for one in equivalences if one.from_party == party]
    known = tuple(level for level in ladder if all(level in one for one in tables) or rng.random() < 0.03)
    return known or ladder[:1]


def highest_by_broker(made: Generated, sender: str, levels: tuple[str, ...]) -> int:
    """Give the highest row of a table's levels that every channel clause lets the broker carry."""
    highest = len(levels) - 1
    for clause in made.clauses(kinds.Channel):
        for row in clause.rows:
            if row.party == sender and row.level in levels and row.by is not kinds.Carrier.BROKER:
                highest = min(highest, max(levels.index(row.level) - 1, 0))
    return highest


def pass_handling(rng: Random, made: Generated, draft: Draft) -> None:
    """Set the facts that clauses of handling ask for so that they pass, often on the edge."""
    moment, party = draft.moment, draft.recipient
    _declare(rng, draft)
    _send_on(rng, made, draft)
    _portion(rng, made, draft)
    draft.node["officers"] = frozenset(officers(party))
    needed = [row for clause in made.clauses(kinds.NeedToKnow) for row in clause.rows if row.party == party]
    offices = frozenset(row.offices[0] for row in needed) | frozenset(_some(rng, OFFICES, 0, 1))
    draft.node["offices"] |= offices
    count = max((one.officers for one in made.clauses(kinds.DualControl)), default=2)
    draft.profile["approvals_required"] = count + rng.choice((0, 0, 1))
    moment |= {
        "size": rng.choice((0, 500, 2_000)),
        "usage": {name: _usage(rng, one) for name, one in made.named() if isinstance(one, kinds.Quota)},
        "approvals": frozenset(officers(draft.sender)[: count + rng.choice((0, 0, 1))]),
    }
    draft.node["overdue"] = frozenset(_some(rng, ("no-such-clause", "baseline/grant")))
    moment |= {
        "log_available": True,
        "relabelled_by": rng.choice(("", "", draft.sender)),
    }
    if moment["point"] is Point.OPENING:
        _reader(rng, made, draft, offices)


def _usage(rng: Random, clause: kinds.Quota) -> Usage:
    reports = rng.choice((0, clause.reports - 1))
    return Usage(reports, rng.choice((0, clause.bytes - 2_000)))


def _declare(rng: Random, draft: Draft) -> None:
    draft.profile["emergency"] = rng.choice((b"", b"", DECLARATION))
    draft.moment["emergency_declared"] = rng.random() < 0.5


def _send_on(rng: Random, made: Generated, draft: Draft) -> None:
    """Let somebody else send it where a clause allows that; there it is granted."""
    moment, suspended = draft.moment, made.state.suspended_clauses
    clauses = [one for one in made.clauses(kinds.Onward) if one.id not in suspended]
    moment |= {"direct": True, "onward_grant": rng.random() < 0.5, "hops": None, "disputed": None}
    if clauses and rng.random() < 0.5:
        hops = rng.choice((1, max(one.max_hops for one in clauses)))
        moment |= {"direct": False, "onward_grant": True, "hops": hops, "disputed": False}


def _portion(rng: Random, made: Generated, draft: Draft) -> None:
    rules = made.clauses(kinds.PersonalDataRule)
    draft.portion_marks = {"warn": rng.random() < 0.3}
    if rng.random() < 0.5 and all(draft.profile["purpose"] in one.purposes for one in rules):
        denied = any(one.special_categories is kinds.Special.DENY for one in rules)
        kind = PersonalData.ORDINARY if denied else rng.choice((PersonalData.ORDINARY, PersonalData.SPECIAL))
        most = min((one.persons_max for one in rules), default=7)
        draft.portion_marks |= {"personal_data": kind, "persons": rng.choice((1, most))}


def _reader(rng: Random, made: Generated, draft: Draft, offices: frozenset[str]) -> None:
    moment = draft.moment
    table = made.table(draft.sender, draft.recipient, draft.times["created_at"])
    moment |= {
        "reader": Reader(
            officers(draft.recipient)[0],
            offices=offices,
            communities=frozenset(_some(rng, COMMUNITIES)),
            clearance_level=None if table is None else table.protected_as[-1],
            clearance_until=moment["now"] + rng.choice((1, DAY)),
        ),
        "use": rng.choice((Use.READ, Use.READ, Use.COPY, Use.COPY, *Use)),
        "consents": frozenset(Use),
        "registered": True,
        "caveats_acknowledged": frozenset(made.names(kinds.UseRule)),
        "held": rng.random() < 0.3,
    }


def is_urgent(draft: Draft) -> bool:
    """Say whether the report is FLASH or IMMEDIATE."""
    return draft.profile["precedence"] in {Precedence.FLASH, Precedence.IMMEDIATE}
