"""Duties over generated histories: a deterministic fold of sets of facts, in which nothing is due twice."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from builders_acts import DAY, HOUR, Case, living
from comity_policy.acts import Act, ActError, ActKind
from comity_policy.clauses import Survives
from comity_policy.facts import Precedence
from comity_policy.obligations import DutyKind, DutyState, duties
from comity_policy.steps import StepKind
from comity_policy.transitions import TransitionError

PARTIES = st.sampled_from(("XAR", "XBO"))
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("hand"), PARTIES, st.integers(1, 4), st.sampled_from(Precedence)),
        st.tuples(st.just("answer"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("read"), st.integers(0, 9), st.sampled_from((ActKind.READ, ActKind.ACTION))),
        st.tuples(st.just("end"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("declare"), PARTIES),
        st.tuples(st.just("review"), st.integers(0, 9)),
        st.tuples(st.just("breach"), PARTIES),
        st.tuples(st.just("update"), st.integers(0, 9), st.sampled_from(("initial-report", "measures"))),
        st.tuples(st.just("attest"), PARTIES),
        st.tuples(st.just("dispute"), st.integers(1, 4)),
        st.tuples(st.just("close"), PARTIES, st.integers(0, 3)),
        st.tuples(
            st.just("notice"),
        ),
        st.tuples(st.just("wait"), st.sampled_from((1, HOUR, DAY, 31 * DAY, 200 * DAY))),
    ),
    max_size=25,
)


SIGNED = {
    False: living(),
    True: living(Survives(id="40", text={"en": "x"}, clauses=("2",))),
}


def happened(events, *, survives=False) -> Case:
    """Give what happened; what the rules do not admit did not happen."""
    signed = SIGNED[survives].life
    case = Case(replace(signed, steps=list(signed.steps)))
    for event in events:
        try:
            _happen(case, event)
        except (TransitionError, IndexError):
            continue
    return case


def _happen(case: Case, event) -> None:
    match event:
        case ("hand", party, number, precedence):
            case.hand(number, to=party, precedence=precedence)
        case ("answer", which, given):
            case.answer(case.handovers[which], given=given)
        case ("read", which, kind):
            case.read(case.handovers[which], kind)
        case ("end", which, released):
            one = case.handovers[which]
            about = {"reports": (one.report,), "leaves": (one.leaf,)}
            if released:
                case.take(ActKind.RELEASE, one.originator, holder=one.recipient, **about)
            else:
                case.take(ActKind.CERTIFY, one.recipient, originator=one.originator, **about)
        case ("declare", party):
            case.take(ActKind.DECLARE, party)
        case ("review" | "update", which, *more):
            named = [one for one in case.acts if one.kind in {ActKind.DECLARE, ActKind.BREACH_OPEN}][which]
            kind = ActKind.REVIEW if event[0] == "review" else ActKind.BREACH_UPDATE
            case.take(kind, named.party, names=named.digest, **({"stage": more[0]} if more else {}))
        case ("breach", party):
            case.take(ActKind.BREACH_OPEN, party)
        case ("attest", party):
            case.take(ActKind.ATTEST, party)
        case ("dispute", number):
            case.life.take(StepKind.DISPUTE_OPEN, "XAR", subject_id=f"{number:032x}", deadline="2029-06-01")
        case ("close", party, which):
            disputes = case.life.state().open_disputes
            case.life.take(StepKind.DISPUTE_CLOSE, party, names=disputes[which].opened.digest)
        case ("notice",):
            case.life.take(StepKind.NOTICE, "XBO", reason="We leave.")
        case ("wait", milliseconds):
            case.wait(milliseconds)


@given(EVENTS, st.randoms(use_true_random=False), st.booleans())
def test_the_order_in_which_facts_come_changes_nothing(events, random, survives):
    case = happened(events, survives=survives)
    expected = case.owed()
    for facts in (case.acts, case.handovers, case.answers):
        random.shuffle(facts)
    assert case.owed() == expected
    twice = duties(
        case.life.state(), [*case.acts, *case.acts], case.handovers * 2, [*case.answers, *case.answers], case.now
    )
    assert list(twice) == expected


@given(EVENTS)
def test_nothing_is_due_twice_and_everything_has_an_owner_a_clause_and_a_time(events):
    case = happened(events)
    found = case.owed()
    ids = [one.duty.id for one in found]
    assert len(set(ids)) == len(ids)
    clauses = {clause.id for clause in case.life.document.clauses}
    for one in found:
        assert one.duty.owner in case.life.document.parties
        assert one.duty.clause_id in clauses
        assert one.duty.due_ms >= one.duty.since_ms or one.duty.kind is DutyKind.END_KEEPING
        assert one.duty.since_ms <= case.now
    owed = {(one.duty.kind, one.duty.clause_id, one.duty.owner, one.duty.leaf) for one in found if one.duty.leaf}
    assert len(owed) == sum(1 for one in found if one.duty.leaf)


@given(EVENTS)
def test_each_state_is_what_its_times_say_to_the_millisecond(events):
    case = happened(events)
    for one in case.owed():
        if one.state is DutyState.DONE:
            assert one.done_at is not None
            assert one.done_at <= case.now
        elif one.state is DutyState.MISSED:
            assert any(not ended.given and ended.report == one.duty.subject for ended in case.answers)
        elif one.state is not DutyState.FROZEN:
            assert (one.state is DutyState.OVERDUE) == (case.now > one.duty.due_ms)
    for one in case.owed():
        if one.state is DutyState.OPEN:
            before = {found.duty.id: found.state for found in case.owed(at=max(case.now, one.duty.due_ms))}
            after = {found.duty.id: found.state for found in case.owed(at=max(case.now, one.duty.due_ms) + 1)}
            assert before.get(one.duty.id) in {DutyState.OPEN, DutyState.DONE}
            assert after.get(one.duty.id) in {DutyState.OVERDUE, DutyState.DONE}


@given(EVENTS)
def test_only_an_officers_word_of_that_party_reads_and_only_its_nodes_answer_acknowledges(events):
    case = happened(events)
    for one in case.owed(DutyKind.READ, DutyKind.ACKNOWLEDGE):
        of_party = (one.duty.owner, one.duty.subject)
        said = {(act.party, report) for act in case.acts if act.kind.of_handling for report in act.reports}
        given = {(answer.party, answer.report) for answer in case.answers if answer.given}
        done = of_party in (said if one.duty.kind is DutyKind.READ else given)
        assert (one.state is DutyState.DONE) == done


@given(EVENTS)
def test_an_open_dispute_freezes_the_destruction_of_what_it_names_and_nothing_else(events):
    case = happened(events)
    named = {one.opened.subject_id for one in case.life.state().open_disputes}
    for one in case.owed():
        undone = one.state is not DutyState.DONE
        assert (one.state is DutyState.FROZEN) == (
            undone and one.duty.kind is DutyKind.END_KEEPING and one.duty.subject in named
        )


@given(EVENTS)
def test_a_duty_that_was_done_stays_done(events):
    case = happened(events)
    done = {one.duty.id: one.done_at for one in case.owed() if one.state is DutyState.DONE}
    later = {one.duty.id: one.done_at for one in case.owed(at=case.now + 400 * DAY) if one.state is DutyState.DONE}
    assert done.items() <= later.items()


@given(
    st.dictionaries(
        st.text(max_size=12), st.one_of(st.none(), st.integers(), st.text(max_size=8), st.lists(st.text(max_size=4)))
    )
)
def test_no_object_is_an_act_by_chance(body):
    for kind in ActKind:
        try:
            Act.from_body({**body, "type": kind.value})
        except ActError:
            continue
        raise AssertionError(body)


@given(st.sampled_from(ActKind), st.data())
def test_what_reads_is_what_was_written(kind, data):
    case = living()
    made = case.act(kind)
    reports = data.draw(st.integers(1, 256))
    if kind.between:
        made = replace(
            made, reports=tuple(f"{n:032x}" for n in range(reports)), leaves=tuple(f"{n:096x}" for n in range(reports))
        )
    assert Act.from_body(made.to_body(), digest=made.digest, log_index=made.log_index, at_ms=made.at_ms) == made
