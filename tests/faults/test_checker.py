"""The checker sees what it is there to see: each fault in a history that is otherwise sound, and none in a sound one."""

import hashlib
from dataclasses import replace
from uuid import UUID

import pytest

from fault_checker import Fault, History, judge
from kill_oracle import Stored

IDS = [UUID(int=number) for number in range(10)]
LEAVES = [hashlib.sha256(bytes([number])).digest() for number in range(20)]
NUMBERS = range(1, 6)
STORED = Stored({IDS[number]: (f"{number:096x}", number + 3) for number in NUMBERS}, LEAVES, {})


def given(first=1, last=5) -> dict:
    return {"event": "given", "first": first, "last": last}


def receipt(number: int, **fields) -> dict:
    leaf, log_index = STORED.reports[IDS[number]]
    told = {"report_id": str(IDS[number]), "leaf": leaf, "log_index": log_index}
    return {"event": "receipt", "number": number, **told, **fields}


def step(event: str, number: int, consumer: str = "default", **fields) -> dict:
    told = {"lane": "XAR/n1/4", "origin_sequence": number, "attempt": 1} if event == "shown" else {}
    return {"event": event, "consumer": consumer, "number": number, "report_id": str(IDS[number]), **told, **fields}


def whole(number: int, consumer: str = "default", **fields) -> list[dict]:
    """What a report leaves that goes all the way."""
    shown = step("shown", number, consumer, **fields)
    return [shown, step("acknowledging", number, consumer), step("acknowledged", number, consumer)]


def sound() -> list[dict]:
    """Five reports for two consumers; the third one's first showing came to nothing, the last acknowledgement was cut off."""
    default = [*whole(1), *whole(2), step("shown", 3), *whole(3, attempt=2), *whole(4), *whole(5)[:2]]
    copy = [one for number in NUMBERS for one in whole(number, "copy")]
    seen = {"event": "checkpoint", "origin": "hub/agreement/A/00", "size": 7, "root": STORED.root(7).hex()}
    return [given(), *(receipt(number) for number in NUMBERS), *default, *copy, seen]


def found(records: list[dict], stored: Stored = STORED) -> set[Fault]:
    history = History()
    for record in records:
        history.take(record)
    return {finding.fault for finding in judge(history, stored)}


def without(records: list[dict], event: str, number: int, consumer: str = "default") -> list[dict]:
    """The same history, without what a consumer did (`event`, and what follows from it) of one report."""
    order = ["shown", "acknowledging", "acknowledged"]
    gone = order[order.index(event) :]
    return [
        one
        for one in records
        if not (one.get("consumer") == consumer and one["number"] == number and one["event"] in gone)
    ]


def before(records: list[dict], number: int, later: int) -> list[dict]:
    """The same history, with everything of one report at the default consumer moved before everything of another."""
    moved = [one for one in records if one.get("consumer") == "default" and one["number"] == later]
    rest = [one for one in records if one not in moved]
    place = next(at for at, one in enumerate(rest) if one.get("consumer") == "default" and one["number"] == number)
    return [*rest[:place], *moved, *rest[place:]]


def test_a_sound_history_passes():
    assert found(sound()) == set()


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        pytest.param(without(sound(), "shown", 4), Fault.LOST, id="a-report-was-never-shown"),
        pytest.param(without(sound(), "shown", 4, "copy"), Fault.LOST, id="one-consumer-of-two-lost-it"),
        pytest.param(without(sound(), "acknowledging", 1), Fault.LOST, id="a-report-was-never-acknowledged"),
        pytest.param([*sound(), *whole(2, attempt=2)], Fault.DUPLICATED, id="an-acknowledged-report-was-shown-again"),
        pytest.param([*sound(), *whole(5)], Fault.DUPLICATED, id="a-second-showing-said-it-was-the-first"),
        pytest.param(before(sound(), 2, 4), Fault.REORDERED, id="a-report-came-before-one-ahead-of-it"),
        pytest.param(
            [*sound(), given(6, 7), *whole(7, origin_sequence=6), *whole(6, origin_sequence=7)],
            Fault.REORDERED,
            id="a-lane-numbered-reports-in-another-order-than-they-were-given",
        ),
        pytest.param(
            [*sound(), {"event": "refused", "number": 2, "code": "REFUSED"}],
            Fault.RESURRECTED,
            id="a-refused-report-was-shown",
        ),
        pytest.param(
            [*sound(), step("ended", 5), *whole(5, attempt=3)], Fault.RESURRECTED, id="a-report-came-after-its-end"
        ),
        pytest.param([*sound(), *whole(6)], Fault.INVENTED, id="nobody-sent-it"),
        pytest.param([*sound(), {**receipt(5), "number": 9}], Fault.INVENTED, id="a-receipt-for-what-nobody-gave"),
        pytest.param([*sound(), receipt(1, leaf="f" * 96)], Fault.UNLOGGED, id="a-receipt-for-another-leaf"),
        pytest.param([*sound(), receipt(1, log_index=9)], Fault.UNLOGGED, id="a-receipt-for-another-entry"),
        pytest.param(
            [*sound(), {"event": "checkpoint", "origin": "o", "size": 7, "root": "00" * 32}],
            Fault.FORKED,
            id="somebody-saw-another-log",
        ),
        pytest.param(
            [*sound(), {"event": "checkpoint", "origin": "o", "size": 21, "root": "00" * 32}],
            Fault.FORKED,
            id="somebody-saw-a-longer-log",
        ),
    ],
)
def test_a_forged_history_is_caught(records, fault):
    assert fault in found(records)


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        pytest.param(
            replace(STORED, reports={name: STORED.reports[name] for name in IDS[2:6]}),
            Fault.UNLOGGED,
            id="a-row-is-gone",
        ),
        pytest.param(replace(STORED, leaves=LEAVES[:6]), Fault.UNLOGGED, id="entries-are-gone"),
        pytest.param(replace(STORED, leaves=[LEAVES[1], *LEAVES[1:]]), Fault.FORKED, id="an-entry-is-another"),
        pytest.param(
            replace(STORED, reports={**STORED.reports, IDS[9]: ("9" * 96, 15)}), Fault.LOST, id="stored-and-never-shown"
        ),
    ],
)
def test_a_store_that_differs_is_caught(stored, fault):
    assert fault in found(sound(), stored)


def test_one_whom_nobody_shows_anything_has_lost_everything():
    history = History()
    history.consumer("third")
    for record in sound():
        history.take(record)
    findings = judge(history, STORED)
    assert len(findings) == len(STORED.reports)
    assert {(one.fault, one.consumer) for one in findings} == {(Fault.LOST, "third")}


def test_what_a_consumer_was_given_a_reason_for_is_not_lost():
    history = History()
    for record in without(sound(), "shown", 4):
        history.take(record)
    history.excuse("default", IDS[4])
    assert judge(history, STORED) == []


def test_an_alarm_of_a_node_is_a_finding():
    history = History()
    for record in sound():
        history.take(record)
    history.alarms.add("XBO: SEQUENCE_GAP")
    assert [one.fault for one in judge(history, STORED)] == [Fault.ALARMED]


def test_an_event_that_nobody_knows_is_no_silence():
    with pytest.raises(ValueError, match="no such event"):
        History().take({"event": "delivered"})
