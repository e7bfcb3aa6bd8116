"""The checker: what was done to an exchange, held against what anybody saw of it (design 04, "each with an oracle").

It knows every report that was given to a sender, every receipt and refusal, what each consumer was shown and acknowledged in its own
order, every checkpoint that somebody saw, and at the end what the store holds. It is pure: it reads nothing and starts nothing,
and of the code that it judges it uses none.

    history = History()
    history.take({"event": "receipt", "number": 7, ...})
    findings = judge(history, stored)          # nothing found: []

What it finds, in order:
1. INVENTED: shown, and nobody sent it; or a receipt for what nobody gave.
2. RESURRECTED: shown, though its sender was told that it is refused, or after this consumer saw the end of it.
3. DUPLICATED: shown to a consumer after its acknowledgement was on that consumer's disk; or shown again as if it were the first time.
4. REORDERED: within a lane a consumer saw a number for the first time after a higher one.
5. LOST: a receipt or a row in the store, and a consumer that never acknowledged it and was given no reason.
6. UNLOGGED: a receipt whose report is not in the store, or is there with another leaf or another place in the log.
7. FORKED: somebody saw a checkpoint that the log does not continue.
8. ALARMED: a node raised an alarm, which an honest broker gives no reason for.

An acknowledgement that had begun when its process was killed may have become durable or not: showing it again is no fault then, and
not showing it again is none either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from kill_oracle import Stored


class Fault(StrEnum):
    """What may be wrong with an exchange."""

    INVENTED = "invented"
    RESURRECTED = "resurrected"
    DUPLICATED = "duplicated"
    REORDERED = "reordered"
    LOST = "lost"
    UNLOGGED = "unlogged"
    FORKED = "forked"
    ALARMED = "alarmed"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong; `consumer` is empty where it is nobody's in particular."""

    fault: Fault
    what: str
    consumer: str = ""

    def __str__(self) -> str:
        whose = f" (consumer {self.consumer})" if self.consumer else ""
        return f"{self.fault.upper()}: {self.what}{whose}"


@dataclass(frozen=True)
class Receipt:
    """What a sender was told of one report."""

    report_id: UUID
    leaf: str
    log_index: int


class Step(StrEnum):
    """What happened at a consumer."""

    SHOWN = "shown"
    ACKNOWLEDGING = "acknowledging"
    ACKNOWLEDGED = "acknowledged"
    ENDED = "ended"


@dataclass(frozen=True)
class Moment:
    """One thing that happened at a consumer. `lane` is empty and the numbers are 0 where it was not a showing."""

    step: Step
    number: int
    report_id: UUID
    lane: str = ""
    origin_sequence: int = 0
    attempt: int = 0


@dataclass
class History:
    """Everything that was done and seen. The order of `consumers[name]` is that consumer's own; between sources there is none."""

    given: set[int] = field(default_factory=set)
    receipts: dict[int, Receipt] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    consumers: dict[str, list[Moment]] = field(default_factory=dict)
    excused: dict[str, set[UUID]] = field(default_factory=dict)
    checkpoints: set[tuple[str, int, str]] = field(default_factory=set)
    alarms: set[str] = field(default_factory=set)

    def consumer(self, name: str) -> None:
        """Expect everything at this consumer, though it may never see anything."""
        self.consumers.setdefault(name, [])

    def excuse(self, consumer: str, report_id: UUID) -> None:
        """Expect no acknowledgement of a report that this consumer was given a reason for (parked, expired, withdrawn)."""
        self.excused.setdefault(consumer, set()).add(report_id)

    def take(self, record: Mapping[str, object]) -> None:
        """Take one line of what a process of the campaign wrote; raises ValueError for an event that nobody knows."""
        match record["event"]:
            case "given":
                self.given.update(range(int(str(record["first"])), int(str(record["last"])) + 1))
            case "receipt":
                told = Receipt(UUID(str(record["report_id"])), str(record["leaf"]), int(str(record["log_index"])))
                self.receipts[int(str(record["number"]))] = told
            case "refused":
                self.refused[int(str(record["number"]))] = str(record["code"])
            case "checkpoint":
                self.checkpoints.add((str(record["origin"]), int(str(record["size"])), str(record["root"])))
            case "shown" | "acknowledging" | "acknowledged" | "ended":
                self._step(record)
            case other:
                raise ValueError(f"no such event: {other}")

    def _step(self, record: Mapping[str, object]) -> None:
        moment = Moment(
            Step(str(record["event"])),
            int(str(record["number"])),
            UUID(str(record["report_id"])),
            str(record.get("lane", "")),
            int(str(record.get("origin_sequence", 0))),
            int(str(record.get("attempt", 0))),
        )
        self.consumers.setdefault(str(record["consumer"]), []).append(moment)

    def settled(self, consumer: str) -> set[UUID]:
        """Give the reports that a consumer is done with: acknowledged, or about to be when it was killed."""
        return {one.report_id for one in self.consumers[consumer] if one.step is not Step.SHOWN}

    def number_of(self, report_id: UUID) -> int:
        """Give the number of a report that has a receipt."""
        return next(number for number, told in self.receipts.items() if told.report_id == report_id)

    @property
    def acknowledged(self) -> int:
        """How many acknowledgements all consumers made in all."""
        return sum(one.step is Step.ACKNOWLEDGED for moments in self.consumers.values() for one in moments)


def judge(history: History, stored: Stored) -> list[Finding]:
    """Give everything that is wrong, in the order of the module's rules; nothing where everything is as promised."""
    return [
        *_invented(history),
        *_resurrected(history),
        *_each(history, _duplicated),
        *_each(history, _reordered),
        *_lost(history, stored),
        *_unlogged(history, stored),
        *_forked(history, stored),
        *(Finding(Fault.ALARMED, alarm) for alarm in sorted(history.alarms)),
    ]


def _each(history: History, find) -> Iterator[Finding]:
    for name, moments in history.consumers.items():
        for fault, what in find(moments):
            yield Finding(fault, what, name)


def _invented(history: History) -> Iterator[Finding]:
    for number in history.receipts.keys() - history.given:
        yield Finding(Fault.INVENTED, f"a receipt for number {number}, which nobody gave")
    for name, moments in history.consumers.items():
        for number in sorted({one.number for one in moments} - history.given):
            yield Finding(Fault.INVENTED, f"number {number} was shown, and nobody gave it", name)


def _resurrected(history: History) -> Iterator[Finding]:
    for name, moments in history.consumers.items():
        ended: set[UUID] = set()
        for one in moments:
            if one.step is Step.ENDED:
                ended.add(one.report_id)
            elif one.step is Step.SHOWN and one.number in history.refused:
                code = history.refused[one.number]
                yield Finding(Fault.RESURRECTED, f"number {one.number} was shown, and its sender was told {code}", name)
            elif one.step is Step.SHOWN and one.report_id in ended:
                yield Finding(Fault.RESURRECTED, f"number {one.number} was shown after it had ended", name)


def _duplicated(moments: Iterable[Moment]) -> Iterator[tuple[Fault, str]]:
    shown: set[UUID] = set()
    acknowledged: set[UUID] = set()
    for one in moments:
        if one.step is Step.ACKNOWLEDGED:
            acknowledged.add(one.report_id)
        if one.step is not Step.SHOWN:
            continue
        if one.report_id in acknowledged:
            yield Fault.DUPLICATED, f"number {one.number} was shown again after it was acknowledged"
        elif one.report_id in shown and one.attempt <= 1:
            yield Fault.DUPLICATED, f"number {one.number} was shown again as attempt {one.attempt}"
        shown.add(one.report_id)


def _reordered(moments: Iterable[Moment]) -> Iterator[tuple[Fault, str]]:
    """Compare the first showings of a lane, by the lane's own numbers and by the order in which reports were given."""
    highest: dict[str, tuple[int, int]] = {}
    seen: set[tuple[str, int]] = set()
    for one in moments:
        if one.step is not Step.SHOWN or (one.lane, one.origin_sequence) in seen:
            continue
        seen.add((one.lane, one.origin_sequence))
        sequence, number = highest.get(one.lane, (0, 0))
        if one.origin_sequence < sequence:
            yield Fault.REORDERED, f"{one.lane}: {one.origin_sequence} came for the first time after {sequence}"
        elif one.number < number:
            yield Fault.REORDERED, f"{one.lane}: number {one.number} was given before {number}, and came after it"
        highest[one.lane] = max((sequence, number), (one.origin_sequence, one.number))


def _lost(history: History, stored: Stored) -> Iterator[Finding]:
    owed = {told.report_id: f"number {number} has a receipt" for number, told in history.receipts.items()}
    owed |= {name: f"report {name} is in the store" for name in stored.reports if name not in owed}
    for consumer in history.consumers:
        settled = history.settled(consumer) | history.excused.get(consumer, set())
        for report_id in owed.keys() - settled:
            yield Finding(Fault.LOST, f"{owed[report_id]}, and was never acknowledged", consumer)


def _unlogged(history: History, stored: Stored) -> Iterator[Finding]:
    for number, told in history.receipts.items():
        found = stored.reports.get(told.report_id)
        if found != (told.leaf, told.log_index):
            yield Finding(Fault.UNLOGGED, f"number {number}: the receipt says {told}, the store {found}")
        elif told.log_index >= len(stored.leaves):
            yield Finding(Fault.UNLOGGED, f"number {number}: the log has no entry {told.log_index}")


def _forked(history: History, stored: Stored) -> Iterator[Finding]:
    roots: dict[int, str] = {}
    for origin, size, root in sorted(history.checkpoints):
        if size > len(stored.leaves):
            yield Finding(Fault.FORKED, f"{origin}: somebody saw {size} entries, the log has {len(stored.leaves)}")
            continue
        if roots.setdefault(size, stored.root(size).hex()) != root:
            yield Finding(Fault.FORKED, f"{origin}: {size} entries have another root than somebody saw")
