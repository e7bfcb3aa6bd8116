"""The book of duties against a plain list: whatever comes in whatever order, it says the same, and holds no more than is owed."""

from hypothesis import given
from hypothesis import strategies as st

from builders_document import agreement_text
from comity_broker.auditlog.kinds import EventKind
from comity_broker.duties import _pages
from comity_broker.duty_book import DAY_MS, ENDED, TELLING_MS, Book, Numbered, Run, ToldOf
from comity_broker.log_facts import FOLLOWED, TELLING
from comity_policy.document import load
from comity_policy.obligations import Duty, DutyKind, DutyState, duty_id

PARTIES = ("XBO", "XDE")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("hand", "answer", "end", "tell")),
        st.sampled_from(PARTIES),
        st.integers(1, 6),
        st.integers(0, 20),
    ),
    max_size=40,
)
TEXT = load(agreement_text().encode())


def numbered(number: int) -> Numbered:
    return Numbered(f"{number:032x}", number, (number % 3 + 1) * DAY_MS)


def duty(party: str, number: int, due_ms: int) -> Duty:
    name = duty_id(DutyKind.ACKNOWLEDGE, "9", party, f"leaf {number}")
    return Duty(due_ms, name, DutyKind.ACKNOWLEDGE, "9", party, numbered(number).report, 0)


@given(EVENTS)
def test_the_book_says_what_a_plain_account_of_the_same_events_says(events):
    book = Book()
    owed: dict[tuple[str, int], int] = {}
    over: set[tuple[str, int]] = set()
    missed: dict[tuple[str, int], int] = {}
    for what, party, number, due_ms in events:
        line = (party, number)
        if what == "hand" and not book.answered(party, numbered(number)) and line not in owed:
            assert line not in over
            book.owe(TEXT, numbered(number).report, [duty(party, number, due_ms)])
            owed[line] = due_ms
        elif what in {"answer", "end"}:
            book.answer(party, numbered(number), due_ms, given=what == "answer")
            due = owed.pop(line, None)
            if what == "answer":
                over.add(line)
                missed.pop(line, None)
            elif due is not None:
                over.add(line)
                missed[line] = due
        elif what == "tell":
            for one in book.late_answers(due_ms):
                book.note(ToldOf(EventKind.DUTY_OVERDUE, one.duty))
        for party_, number_ in ((one, other) for one in PARTIES for other in range(1, 7)):
            assert book.answered(party_, numbered(number_)) == ((party_, number_) in over)
        assert {(one, report) for one, report in book.owed} == {(one, numbered(of).report) for one, of in owed}
        assert {one.duty.subject for one in book.ended if one.state is DutyState.MISSED} == {
            numbered(of).report for _, of in missed
        }
    late = {one.duty.id for one in book.late_answers(10**9)} | set(book.told)
    assert {duty(*line, due).id for line, due in owed.items()} <= late


@given(st.integers(1, 5_000))
def test_what_was_answered_leaves_nothing_but_a_pair_of_numbers_a_day(count):
    book = Book()
    for number in range(1, count + 1):
        one = Numbered(f"{number:032x}", number, DAY_MS)
        book.owe(TEXT, one.report, [duty("XBO", number, number)])
        book.answer("XBO", one, number, given=True)
    book.forget(0)
    assert not book.owed
    assert len(book.late) <= 1_024
    (runs,) = book._answered.values()
    assert runs.spans == ((1, count),)
    book.forget(2 * DAY_MS)
    assert not book._answered


def spans_of(book: Book) -> dict:
    return {key: runs.spans for key, runs in book._answered.items()}


SPANS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)), max_size=8)


@given(SPANS, st.booleans(), st.tuples(st.integers(1, 40), st.integers(0, 8)))
def test_a_run_that_is_answered_at_once_is_what_its_reports_answered_one_by_one_are(spans, waits, asked):
    together, one_by_one = Book(), Book()
    if waits:
        for book in (together, one_by_one):
            book.owe(TEXT, numbered(50).report, [duty("XBO", 50, 5)])
    for first, more in spans:
        took = together.answer_run("XBO", Run(first, first + more, 1))
        assert took is not waits
        for number in range(first, first + more + 1) if took else ():
            one_by_one.answer("XBO", Numbered(f"{number:032x}", number, DAY_MS), 7, given=True)
    assert spans_of(together) == spans_of(one_by_one)
    assert together.owed == one_by_one.owed
    run = Run(asked[0], sum(asked), 1)
    each = (Numbered("", number, DAY_MS) for number in range(run.first, run.last + 1))
    assert together.all_answered("XBO", run) == all(one_by_one.answered("XBO", one) for one in each)
    assert not together.all_answered("XDE", run)
    assert not together.all_answered("XBO", run._replace(day=2))


READING = st.lists(
    st.tuples(st.sampled_from(("hand", "read", "answer", "end", "tell", "done")), st.integers(1, 4)), max_size=30
)


def reading(number: int) -> Duty:
    name = duty_id(DutyKind.READ, "10", "XBO", f"leaf {number}")
    return Duty(5, name, DutyKind.READ, "10", "XBO", numbered(number).report, 0)


@given(READING)
def test_what_was_read_is_known_and_told_as_done_once_it_was_told_as_overdue(events):
    book = Book()
    read, told, missed = set[int](), set[int](), set[int]()
    for what, number in events:
        one = numbered(number)
        line = ("XBO", one.report)
        if what == "hand" and not book.answered("XBO", one) and line not in book.owed:
            book.owe(TEXT, one.report, [reading(number)])
        elif what == "read":
            book.read("XBO", [one], 7)
            read.add(number)
            missed.discard(number)
        elif what in {"answer", "end"}:
            waits = line in book.owed
            book.answer("XBO", one, 7, given=what == "answer")
            if what == "end" and waits and number not in read:
                missed.add(number)
            elif what == "answer":
                missed.discard(number)
        elif what == "tell" and number not in read | told:
            # The ledger tells of what nobody has read when its time is over.
            book.note(ToldOf(EventKind.DUTY_OVERDUE, reading(number)))
            told.add(number)
        elif what == "done" and number in read & told:
            book.note(ToldOf(EventKind.DUTY_DONE, reading(number)))
            told.discard(number)
        assert [number for number in range(1, 5) if book.was_read("XBO", numbered(number))] == sorted(read)
        done = {one.duty.subject for one in book.ended if one.state is DutyState.DONE}
        assert done == {numbered(number).report for number in read & told}
        assert {one.duty.subject for one in book.ended if one.state is DutyState.MISSED} == {
            numbered(number).report for number in missed
        }
    assert not book.late, "what is to be read is looked for in the entry of its hand-over"


@given(st.integers(1, 2_000))
def test_what_was_read_leaves_a_pair_of_numbers_a_day_and_what_was_told_a_month(count):
    book = Book()
    for number in range(1, count + 1):
        one = Numbered(f"{number:032x}", number, DAY_MS)
        book.note(ToldOf(EventKind.DUTY_OVERDUE, reading(number)))
        book.read("XBO", [one], 7)
    (runs,) = book._read.values()
    assert runs.spans == ((1, count),)
    book.forget(TELLING_MS + 2 * DAY_MS)
    assert not book._read
    assert not book.told
    assert not book._told_unread


def test_the_log_is_told_of_what_ended_by_the_kind_of_its_end():
    assert ENDED == {DutyState.DONE: EventKind.DUTY_DONE, DutyState.MISSED: EventKind.DUTY_MISSED}


@given(st.dictionaries(st.integers(0, 600), st.sampled_from(sorted(FOLLOWED)), max_size=80))
def test_answers_are_read_first_and_in_the_logs_order_where_it_was_told_of_duties(kinds):
    read = [index for page in _pages(kinds) for index in page]
    assert sorted(read) == sorted(kinds)
    if TELLING & set(kinds.values()):
        assert read == sorted(kinds)
    else:
        answers = [index for index in sorted(kinds) if kinds[index] == "ACKNOWLEDGED"]
        assert read[: len(answers)] == answers
        assert read[len(answers) :] == sorted(kinds.keys() - set(answers))
