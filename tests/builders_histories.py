"""What histories of agreements are checked with: a party's machine, and plain readings of the steps beside the fold's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from builders_lifecycle import NOTICE
from comity_policy.calendar import notice_ends
from comity_policy.clauses import Scope
from comity_policy.document import Document
from comity_policy.lifecycle import State, Step, StepKind, TransitionError, TransitionFault, admissible, taken

K = StepKind
SIGNATURES = frozenset({K.SIGN, K.ACCEDE, K.NOTES})
TEXTS = frozenset({K.PROPOSE, K.COUNTER, K.AMEND})


@dataclass
class Replica:
    """One party's machine: the entries that have reached it, in whatever order, and what it folds from them."""

    state: State
    entries: dict[int, Step] = field(default_factory=dict)

    def receive(self, step: Step) -> None:
        assert self.entries.setdefault(step.log_index, step) is step

    def caught_up(self, texts: dict[str, Document], now: int) -> State:
        """Fold what has come up to the first entry that is missing: nothing after a gap counts."""
        self.state = replace(self.state, texts=texts)
        while len(self.state.steps) + 1 in self.entries:
            self.state = taken(self.state, self.entries[len(self.state.steps) + 1])
        return self.state.at(now)


def refusal(state: State, step: Step) -> TransitionFault | None:
    """Give why a state does not admit a step, None where it does."""
    try:
        admissible(state, step)
    except TransitionError as error:
        return error.fault
    return None


def grants(state: State) -> frozenset[str]:
    """Give the grants that permit something in a state."""
    policy = state.policy()
    if not policy.in_force:
        return frozenset()
    return frozenset(
        clause.id
        for clause in state.document.clauses
        if isinstance(clause, Scope) and clause.id not in policy.suspended_clauses
    )


def unsatisfiable(state: State) -> frozenset[str]:
    """Give the requirements that nothing satisfies because they are suspended."""
    granted = {clause.id for clause in state.document.clauses if clause.grant}
    return state.policy().suspended_clauses - granted


def no_wider(state: State, other: State) -> bool:
    """Say whether a state permits nothing that the other does not, where both are of the same text."""
    if not grants(state):
        return True
    return grants(state) <= grants(other) and unsatisfiable(state) >= unsatisfiable(other)


def signers(steps: list[Step], digest: str) -> set[str]:
    """Give who signed these very bytes since they last came on the table."""
    found: set[str] = set()
    for step in steps:
        if step.kind in TEXTS and step.agreement_digest == digest:
            found = set()
        elif step.kind in SIGNATURES and step.agreement_digest == digest:
            found.add(step.party)
    return found


def suspenders(steps: list[Step], what: str) -> set[str]:
    """Give who suspended a clause (the whole: no text) and has not resumed it, as the steps say."""
    found: dict[str, bool] = {}
    for step in steps:
        if step.kind in {K.SUSPEND, K.RESUME} and (what in step.clauses or (not what and not step.clauses)):
            found[step.party] = step.kind is K.SUSPEND
    return {party for party, suspends in found.items() if suspends}


def leavers(steps: list[Step], where: ZoneInfo, now: int) -> set[str]:
    """Give whose notice has run out, as the steps say."""
    said = [step for step in steps if step.kind in {K.NOTICE, K.WITHDRAW}]
    return {step.party for step in said if notice_ends(step.at_ms, NOTICE.notice.of_calendar, where) <= now}


def loggers(steps: list[Step]) -> set[str]:
    """Give who signed the terms of the log, of which there is one."""
    return {step.party for step in steps if step.kind is K.LOG_SIGN}
