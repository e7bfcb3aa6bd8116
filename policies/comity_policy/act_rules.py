"""When an act of an officer may be taken: pure rules over the agreement's state, the acts before it, and the log's time.

Signatures and the officer's authority were verified before, as with steps. Rules in order:

1. The act is about this agreement and its governing version, by an officer of one of its parties, in a role of its kind. That
   version, or an earlier one that governed, has a clause of the act's kind; for what is said of reports, its umbrella may have
   it. The party is bound, or was: whoever left, or whose agreement ended, accounts for what it holds as long as it holds it, and
   only declares nothing any more.
2. ``made_at`` lies at most 72 hours before the log's time and 2 minutes after it, and no act is taken twice.
3. A declaration needs the agreement in force now with an emergency clause that is not suspended. It is valid from its entry until
   ``valid_until``, which is no later than the shortest time in which such a clause wants it reviewed.
4. A review names a declaration of its own party that nobody reviewed, and is by another officer than declared.
5. A certificate has as many witnesses of the same party as its retention clauses ask for, its officer not among them; one of
   destruction in an emergency needs a clause that allows it, of the agreement and of its umbrella where each has any. What an open dispute
   names is not destroyed.
6. A holder is released, or asked to correct personal data, by another party; it corrects another party's reports, and says of
   those that it read them or acted on them. A breach's steps name an open one of their own party; its initial report comes once and
   before its measures, which come before its close. A breach was not discovered after the log's time.
7. An act that these rules do not admit has no effect: what it would have allowed stays denied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from comity_policy.acts import Act, ActKind
from comity_policy.clauses import Emergency, Retention
from comity_policy.state import State
from comity_policy.texts import texts_of
from comity_policy.transitions import TransitionError, TransitionFault, require

MADE_BEFORE_MS = 72 * 3_600_000
MADE_AFTER_MS = 120_000


def admissible(act: Act, state: State, before: Iterable[Act], now_ms: int, above: State | None = None) -> None:
    """Raise TransitionError, with the reason, where the act may not be taken at that time of the log; else do nothing.

    `above` is the state of the agreement's umbrella then, None without one.
    """
    state = state.at(now_ms)
    _concerns(act, state, above)
    earlier = tuple(before)
    age = now_ms - act.made_at
    require(-MADE_AFTER_MS <= age <= MADE_BEFORE_MS, "it was signed too long ago, or in the future: sign it anew")
    require(all(one.digest != act.digest for one in earlier), "it is there already", TransitionFault.CONFLICT)
    match act.kind:
        case ActKind.DECLARE:
            _declaration(act, state, now_ms)
        case ActKind.REVIEW:
            _review(act, earlier)
        case ActKind.CERTIFY:
            _certificate(act, state, above)
        case ActKind.RELEASE | ActKind.ASK_CORRECTION:
            _other(act, act.holder, state, "it is said to the holder, which is another one than the originator's party")
        case ActKind.CORRECTED:
            _other(act, act.originator, state, "another party's reports are corrected for it")
        case ActKind.READ | ActKind.ACTION:
            _other(act, act.originator, state, "another party is told that its report was read, or what was done on it")
        case ActKind.BREACH_OPEN:
            require(act.discovered_at <= now_ms, "a breach is not discovered after it is notified")
        case ActKind.BREACH_UPDATE | ActKind.BREACH_CLOSE:
            _case(act, earlier)
        case _:
            return


def valid_declaration(act: Act, party: str, now_ms: int) -> bool:
    """Say whether an act that the log took is a declaration of that party that is valid at that time."""
    return act.kind is ActKind.DECLARE and act.party == party and act.at_ms <= now_ms < act.valid_until


def longest_declaration(state: State) -> int:
    """Give for how many milliseconds a declaration may be valid now; 0 where none may be made."""
    policy = state.policy()
    if not policy.in_force:
        return 0
    clauses = (one for one in state.document.clauses if isinstance(one, Emergency))
    return min((one.review_within.milliseconds for one in clauses if one.id not in policy.suspended_clauses), default=0)


def witnesses_needed(state: State, above: State | None = None) -> int:
    """Give how many witnesses a certificate of destruction needs; `above` is the umbrella's state."""
    return max((one.witnesses for clauses in _retention(state, above) for one in clauses), default=0)


def breach_stage(opened: Act, acts: Iterable[Act]) -> str:
    """Give where a breach stands: OPEN, REPORTED, MEASURES or CLOSED."""
    stage = "OPEN"
    for act in acts:
        if act.names == opened.digest and act.party == opened.party:
            if act.kind is ActKind.BREACH_CLOSE:
                return "CLOSED"
            if act.kind is ActKind.BREACH_UPDATE:
                stage = "MEASURES" if act.stage == "measures" else "REPORTED"
    return stage


def _concerns(act: Act, state: State, above: State | None) -> None:
    document = state.document
    name = document.id
    require(act.agreement_id == name, f"the act is about {act.agreement_id}, not {name}", TransitionFault.DIGEST)
    same = act.agreement_digest == state.digest.hex()
    require(same, "the act names another version than the one that governs now", TransitionFault.DIGEST)
    party = act.party in document.parties and act.officer.partition("/")[0] == act.party
    require(party, f"{act.officer} is no officer of a party of {name}", TransitionFault.NOT_A_PARTY)
    if act.role not in act.kind.roles:
        allowed = " or ".join(sorted(role.word for role in act.kind.roles))
        raise TransitionError(TransitionFault.ROLE, f"{act.kind.value} is for {allowed}, not {act.role.word}")
    wanted = act.kind.clause
    # What an umbrella says of reports is done under its arrangements, in whose logs the reports are.
    texts = texts_of(state, above if act.kind.between else None)
    has = any(isinstance(clause, wanted) for text in texts for clause in text.document.clauses)
    require(
        has, f"{name} has no clause of the kind {wanted.__struct_config__.tag}: {act.kind.value} means nothing there"
    )
    bound = state.bound if act.kind is ActKind.DECLARE and state.bound else state.ever_bound
    require(act.party in bound, f"{act.party} is not bound by {name}")


def _other(act: Act, party: str, state: State, otherwise: str) -> None:
    require(party in state.document.parties, f"{party} is no party", TransitionFault.NOT_A_PARTY)
    require(party != act.party, otherwise)


def _retention(state: State, above: State | None) -> tuple[tuple[Retention, ...], ...]:
    """Give the retention clauses that count, of the agreement and of its umbrella, each where it has any.

    They are those of the newest version that has any, since what is kept outlives versions.
    """
    newest: dict[str, tuple[Retention, ...]] = {}
    for text in texts_of(state, above):
        found = tuple(one for one in text.document.clauses if isinstance(one, Retention))
        if found:
            newest[text.prefix] = found
    return tuple(newest.values())


def _declaration(act: Act, state: State, now_ms: int) -> None:
    longest = longest_declaration(state)
    require(longest > 0, f"{state.document.id} is not in force, or its emergency clause is suspended")
    fits = now_ms < act.valid_until <= now_ms + longest
    require(fits, f"a declaration is valid for more than nothing and at most {longest // 60_000} minutes")


def _review(act: Act, before: Sequence[Act]) -> None:
    declared = next((one for one in before if one.digest == act.names and one.kind is ActKind.DECLARE), None)
    if declared is None or declared.party != act.party:
        raise TransitionError(TransitionFault.STATE, "no declaration of the own party has this digest")
    reviewed = any(one.kind is ActKind.REVIEW and one.names == act.names for one in before)
    require(not reviewed, "this declaration is reviewed already", TransitionFault.CONFLICT)
    require(declared.officer != act.officer, "another officer reviews than the one who declared", TransitionFault.ROLE)


def _certificate(act: Act, state: State, above: State | None) -> None:
    needed = witnesses_needed(state, above)
    require(len(act.witnesses) >= needed, f"a certificate needs {needed} witnesses beside its officer")
    own = all(one.partition("/")[0] == act.party and one != act.officer for one in act.witnesses)
    require(own, "witnesses are other officers of the same party")
    _other(act, act.originator, state, "a certificate is about another party's reports")
    if act.cause == "emergency":
        retention = _retention(state, above)
        allowed = retention and all(any(one.emergency_destruction for one in clauses) for clauses in retention)
        require(bool(allowed), "destruction in an emergency is not allowed")
    holds = state.holds()
    frozen = [report for report, leaf in zip(act.reports, act.leaves, strict=True) if holds.on(report, leaf)]
    require(not frozen, f"an open dispute holds report {', '.join(frozen[:3])}: nothing of it is destroyed")


def _case(act: Act, before: Sequence[Act]) -> None:
    opened = next((one for one in before if one.digest == act.names and one.kind is ActKind.BREACH_OPEN), None)
    if opened is None or opened.party != act.party:
        raise TransitionError(TransitionFault.STATE, "no breach of the own party has this digest")
    stage = breach_stage(opened, before)
    if act.kind is ActKind.BREACH_CLOSE:
        require(stage == "MEASURES", f"a breach is closed after its measures; it is {stage}")
        return
    wanted = "OPEN" if act.stage == "initial-report" else "REPORTED"
    require(stage == wanted, f"{act.stage} comes when the breach is {wanted}; it is {stage}")
