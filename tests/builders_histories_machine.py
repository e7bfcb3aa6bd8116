"""Histories of agreements: two and three parties, a log, and a broker that loses, reorders and repeats what it delivers.

Each party acts on the state it folds from what has reached it, which may be old; the log takes what its own fold admits. In
the end everything is delivered. The rules are checked on the log's state after every step, by their own reading of the
steps and not by the fold's.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from builders_histories import Replica, grants, leavers, loggers, no_wider, refusal, signers, suspenders
from builders_lifecycle import (
    DAY,
    INDEFINITE,
    NOTICE,
    START,
    THREE,
    TWO,
    Life,
    amending,
    digest_of,
    provisionally,
    step_of,
    term,
    treaty,
    with_annex,
)
from comity_policy.calendar import zone
from comity_policy.clauses import Scope
from comity_policy.document import Document
from comity_policy.lifecycle import (
    Phase,
    State,
    Step,
    StepError,
    StepKind,
    TransitionFault,
    draft,
    fold,
    taken,
)
from comity_policy.sections import EntryIntoForce, EntryOffset, EntryRule, Renewal

K = StepKind
ENTRIES = (
    EntryIntoForce(EntryRule.ON_SIGNATURE),
    EntryIntoForce(EntryRule.ON_SIGNATURE, offset=EntryOffset(days=10)),
    EntryIntoForce(EntryRule.AFTER_LATER_RECEIPT),
    EntryIntoForce(
        EntryRule.AFTER_LATER_RECEIPT, offset=EntryOffset(first_day_of_month=1), minimum=2, zone="Asia/Tokyo"
    ),
    EntryIntoForce(EntryRule.ON_SIGNATURE, minimum=2),
)
DURATIONS = (
    INDEFINITE,
    term(years=1),
    term(months=2, renewal=Renewal.TACIT),
    term(months=2, renewal=Renewal.EXPRESS),
)
NARROWING = frozenset({K.SUSPEND, K.NOTICE, K.WITHDRAW, K.OBJECT_RENEWAL, K.CAVEAT_ADD, K.DISPUTE_OPEN})
KINDS = tuple(StepKind)
# What parties do together, each its step where it may: few histories would come so far by chance.
TOGETHER = (
    (K.PROPOSE, K.REVIEW, K.LOG_SIGN, K.SIGN),
    (K.PROPOSE, K.REVIEW, K.SIGN),
    (K.OBJECT, K.COUNTER, K.REVIEW, K.SIGN),
    (K.LOG_SIGN,),
    (K.NOTIFY_COMPLETION, K.RECEIVE),
    (K.AMEND, K.REVIEW, K.SIGN),
    (K.AMEND, K.OBJECT, K.COUNTER, K.REVIEW, K.SIGN, K.NOTIFY_COMPLETION, K.RECEIVE),
    (K.NOTES,),
    (K.RENEW,),
    (K.REVIEW, K.LOG_SIGN, K.ACCEDE),
    (K.SUSPEND,),
    (K.SUSPEND, K.SUSPEND, K.SUSPEND),
    (K.RESUME, K.RESUME, K.RESUME),
    (K.NOTICE, K.WITHDRAW),
    (K.DISPUTE_CLOSE,),
)
NEUTRAL = frozenset({K.CAVEAT_ADD, K.CAVEAT_WITHDRAW, K.DISPUTE_OPEN, K.DISPUTE_CLOSE, K.REVIEW, K.REVIEW_CLAUSES})


class Histories(RuleBasedStateMachine):
    """The log, its broker and the parties."""

    @initialize(
        parties=st.sampled_from((TWO, THREE)),
        entry=st.sampled_from(ENTRIES),
        duration=st.sampled_from(DURATIONS),
        provisional=st.booleans(),
        far=st.sampled_from(("completed", "signed", "nothing")),
    )
    def begin(self, parties, entry, duration, provisional, far):
        document = with_annex(treaty(parties, entry_into_force=entry, duration=duration, termination=NOTICE))
        if provisional and (entry.offset is not None or entry.rule is EntryRule.AFTER_LATER_RECEIPT):
            document = provisionally(document, "1.0")
        self.document, self.digest = document, digest_of(document)
        self.texts: dict[str, Document] = {}
        self.now = START
        life = Life(document)
        if far != "nothing":
            life.signed(*(parties[:2] if entry.minimum else parties))
        if far == "completed" and life.state().current.needs_completion:
            life.completed(*(parties[:2] if entry.minimum else parties))
        self.log = list(life.steps)
        self.now = life.now
        self.state = self.folded()
        self.replicas = {party: Replica(draft(document, self.digest)) for party in parties}
        for replica in self.replicas.values():
            for step in self.log:
                replica.receive(step)

    # --- what parties do --------------------------------------------------------------------------------------------

    @rule(data=st.data(), first=st.sampled_from(KINDS))
    def a_party_takes_a_step_that_its_own_state_admits(self, data, first):
        party = data.draw(st.sampled_from(sorted(self.replicas)))
        seen = self.seen_by(party)
        position = KINDS.index(first)
        for kind in (*KINDS[position:], *KINDS[:position]):
            steps = [step for step in self.steps_of(seen, kind, party) if self.admits(seen, step)]
            if steps:
                self.submit(data.draw(st.sampled_from(steps)))
                return

    @rule(data=st.data(), kind=st.sampled_from(KINDS))
    def a_party_tries_any_step(self, data, kind):
        party = data.draw(st.sampled_from(sorted(self.replicas)))
        steps = list(self.steps_of(self.seen_by(party), kind, party))
        assume(steps)
        self.submit(data.draw(st.sampled_from(steps)))

    @rule(sequence=st.sampled_from(TOGETHER), first=st.integers(0, 2), count=st.sampled_from((3, 3, 1, 2)))
    def some_parties_see_something_through(self, sequence, first, count):
        for kind in sequence:
            for party in self.from_the(first)[:count]:
                self.takes_if_it_may(party, kind)

    @rule(first=st.integers(0, 2))
    def one_signs_and_another_counters(self, first):
        one, other = self.from_the(first)[:2]
        for kind in (K.PROPOSE, K.AMEND, K.LOG_SIGN, K.REVIEW, K.SIGN):
            self.takes_if_it_may(one, kind)
        for kind in (K.LOG_SIGN, K.OBJECT, K.COUNTER, K.REVIEW, K.SIGN):
            self.takes_if_it_may(other, kind)

    @rule(days=st.sampled_from((0, 1, 9, 20, 31, 200)))
    def time_passes(self, days):
        self.wait(days)

    @rule(first=st.integers(0, 2))
    def one_leaves_and_its_notice_runs_out(self, first):
        for kind in (K.NOTICE, K.WITHDRAW):
            self.takes_if_it_may(self.from_the(first)[0], kind)
        self.wait(200)

    # --- what the broker does ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def the_broker_delivers_some_entries_in_any_order_and_some_twice(self, data):
        replica = self.replicas[data.draw(st.sampled_from(sorted(self.replicas)))]
        for index in data.draw(st.lists(st.integers(0, len(self.log) - 1), max_size=6)):
            replica.receive(self.log[index])

    @rule(data=st.data())
    def the_broker_delivers_everything_to_one(self, data):
        self.delivered(data.draw(st.sampled_from(sorted(self.replicas))))

    @rule(data=st.data())
    def a_party_starts_anew_with_what_it_has_stored(self, data):
        party = data.draw(st.sampled_from(sorted(self.replicas)))
        before, again = self.seen_by(party), Replica(draft(self.document, self.digest))
        for index in sorted(self.replicas[party].entries, reverse=True):
            again.receive(self.replicas[party].entries[index])
        self.replicas[party] = again
        assert self.seen_by(party) == before

    def teardown(self):
        if not hasattr(self, "replicas"):
            return
        for party in self.replicas:
            self.delivered(party)
        states = {party: self.seen_by(party) for party in self.replicas}
        for seen in states.values():
            assert seen == self.folded()
            assert (seen.digest, seen.document) == (self.state.digest, self.state.document)
            assert seen.policy() == self.state.policy()

    # --- inside -----------------------------------------------------------------------------------------------------

    def folded(self) -> State:
        return fold(self.document, self.digest, self.log, self.now, self.texts)

    def delivered(self, party: str) -> None:
        for step in self.log:
            self.replicas[party].receive(step)

    def seen_by(self, party: str) -> State:
        return self.replicas[party].caught_up(self.every_text(), self.now)

    def wait(self, days: int) -> None:
        before = self.state
        self.now += days * DAY + 1
        self.state = self.state.at(self.now)
        self.check_state()
        if self.state.ended:
            assert not grants(self.state)
        if before.ended:
            assert self.state.ended

    def from_the(self, first: int) -> list[str]:
        parties = sorted(self.replicas)
        return parties[first % len(parties) :] + parties[: first % len(parties)]

    def takes_if_it_may(self, party: str, kind: StepKind) -> None:
        self.delivered(party)
        seen = self.seen_by(party)
        step = next((one for one in self.steps_of(seen, kind, party) if self.admits(seen, one)), None)
        if step is not None:
            self.submit(step)

    def steps_of(self, state: State, kind: StepKind, party: str):
        place = {"log_index": len(self.log) + 1, "at_ms": self.now}
        open_texts = [state.current, *([state.pending] if state.pending else [])]
        for version in open_texts:
            text, changes = version.document, [{}]
            match kind:
                case K.SUSPEND | K.RESUME:
                    changes = [{"clauses": ()}, {"clauses": ("1.0",)}, {"clauses": ("4",)}]
                case K.REVIEW_CLAUSES | K.OBJECT:
                    changes = [{"clauses": ("3",)}]
                case K.RECEIVE:
                    changes = [{"names": one.digest} for one in version.completed.values()]
                case K.DISPUTE_OPEN:
                    changes = [{"deadline": "2027-12-31"}]
                case K.DISPUTE_CLOSE:
                    changes = [{"names": one.opened.digest} for one in state.open_disputes]
                case K.COUNTER:
                    text = self.held(replace(text, title=text.title + "+" if len(text.title) < 20 else "On terrorism"))
                case K.AMEND:
                    text = self.held(amending(text, title=text.title + "!"))
                case K.NOTES:
                    text = self.held(self.noted(text))
                case _:
                    pass
            for change in changes:
                try:
                    yield step_of(state, kind, party, text, **{**place, **change})
                except StepError:
                    continue

    def every_text(self) -> dict[str, Document]:
        return {**self.texts, self.digest.hex(): self.document}

    def noted(self, text: Document) -> Document:
        base = replace(text, annexes=(), clauses=text.own_clauses)
        changed = with_annex(base, f"{len(text.annex('D').clauses[0].text['en'])}")
        amended = amending(text)
        return replace(changed, version=amended.version, amends=amended.amends)

    def held(self, text: Document) -> Document:
        self.texts.setdefault(digest_of(text).hex(), text)
        return text

    def admits(self, state: State, step: Step) -> bool:
        return refusal(replace(state, texts=self.every_text()), step) is None

    def submit(self, step: Step) -> None:
        """Let the log take a step or refuse it; a party that has missed something in its chain is told so."""
        self.now += 1
        step = replace(step, log_index=len(self.log) + 1, at_ms=self.now)
        before = self.state = replace(self.state.at(self.now), texts=self.every_text())
        head = before.chain_head if step.kind.multilateral else before.party_heads.get(step.party, "")
        stale = step.kind not in {K.LOG_SIGN, K.LOG_CONFIRM} and step.follows != head
        refused = refusal(before, step)
        if stale:
            # A conflict, unless the text is not on the table any more or the agreement is over.
            over = {TransitionFault.STATE} if before.ended else set()
            assert refused in {TransitionFault.CONFLICT, TransitionFault.DIGEST, *over}
        if refused is not None:
            return
        self.log.append(step)
        self.state = taken(before, step)
        self.check_step(before, step)
        self.check_state()

    def check_step(self, before: State, step: Step) -> None:
        after = self.state
        if step.kind in NEUTRAL and step.kind is not K.REVIEW:
            assert after.policy() == before.policy()
        if step.kind not in NARROWING:
            return
        # What one party does alone narrows, at every moment from now on. Leaving takes its own suspensions along.
        mine = {what: by - {step.party} for what, by in before.suspensions.items()}
        least = (
            before if step.kind not in {K.WITHDRAW, K.NOTICE, K.OBJECT_RENEWAL} else replace(before, suspensions=mine)
        )
        for moment in (self.now, *before.turning_points, *after.turning_points):
            one, other = after.at(moment), least.at(moment)
            assert one.current.digest == other.current.digest or not grants(one)
            assert no_wider(one, other)

    def check_versions(self) -> None:
        """What was shared under an earlier version is bound by no more than binds now, and by the same suspensions."""
        state = self.state
        now = state.policy()
        assert state.governed[-1] is state.current
        for version in state.governed:
            before = state.policy(version)
            assert (before.in_force, before.reason) == (now.in_force, now.reason)
            assert before.unbound >= now.unbound
            assert before.suspended_clauses >= now.suspended_clauses & {"1.0", "4"}
            assert state.version(version.digest) is version
        assert state.pending is None or state.version(state.pending.digest) is None

    def check_narrowing_stays_possible(self) -> None:
        place = {"log_index": len(self.log) + 1, "at_ms": self.now, "clauses": ()}
        for party in self.state.bound - suspenders(self.log, ""):
            assert refusal(self.state, step_of(self.state, K.SUSPEND, party, **place)) is None

    def check_state(self) -> None:
        self.check_narrowing_stays_possible()
        state, policy = self.state, self.state.policy()
        if state.phase in {Phase.EXPIRED, Phase.TERMINATED, Phase.SUSPENDED, Phase.DRAFT, Phase.PROPOSED}:
            assert not policy.in_force
        # Suspending, whoever did it, only ever takes away.
        assert no_wider(state, replace(state, suspensions={}))
        self.check_versions()
        if not policy.in_force:
            return
        version, left = state.current, leavers(self.log, zone(self.document.entry_into_force.zone), self.now)
        assert suspenders(self.log, "") <= left
        for clause_id in ("1.0", "4"):
            assert clause_id in policy.suspended_clauses or suspenders(self.log, clause_id) <= left
        assert not state.bound & left
        needed = self.document.entry_into_force.minimum or len(self.document.parties)
        signed = signers(self.log, version.digest)
        assert len(signed) >= (needed if version is state.versions[0] else 2)
        assert state.bound <= signed
        assert len(state.bound) >= 2
        assert state.bound <= loggers(self.log)
        for clause in state.document.clauses:
            if isinstance(clause, Scope) and clause.id in grants(state):
                assert {clause.from_party, clause.to_party} <= state.bound
