"""Acts of officers as a node folds them for itself, from its mirror of an agreement's log (design 02, "Lifecycle").

Rules in order:
1. An act counts when those it names as signers, and nobody else, signed it with keys that counted at that place of the key log
   and that the agreement's own log did not have as revoked before, and when they were accredited for this agreement, its officer in
   its role.
2. It has an effect where `comity_policy.act_rules` admits it after the acts before, in the state and at the time of its entry. What
   does not count or has no effect is left out: what it would have allowed stays denied.
3. A declaration allows something as long as its officer is in office and its key counts: at each use, as of its moment.
4. What was verified of an act's very bytes is remembered (`verified`); whether its keys count is asked each time.
5. An act about reports stands in the bodies of their originator's party and their holder's: others know nothing of it.
6. What was read and acted on is given apart: there may be as many such acts as reports, none of them bears on another, and one that
   is there twice says nothing more.

    acts_of(mirror, "XAR-XBO-1")
    handlings_of(mirror, "XAR-XBO-1")
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from comity.errors import ComityError, ErrorCode, MalformedError, NotFoundError, VerificationError
from comity.identity.offices import in_office
from comity.identity.records import RevocationRecord
from comity.node.entries import MirroredEntry
from comity.node.mirror import Mirror
from comity.statement import Statement, from_json
from comity.suites import KeyRole
from comity.verify import table
from comity_policy.act_rules import admissible, valid_declaration
from comity_policy.acts import Act, ActError, ActKind
from comity_policy.transitions import TransitionError

HANDLED: Final = frozenset({"READ", "ACTIONED"})
KINDS: Final = frozenset(table.ACTS) - HANDLED


def acts_of(mirror: Mirror, agreement_id: str) -> tuple[Act, ...]:
    """Give the acts under an agreement that count and have their effect, in the log's order; raises as `Mirror.agreement`.

    Those of reading and acting are in `handlings_of`.
    """
    return tuple(act for act, _ in _signed_acts(mirror, agreement_id))


def handlings_of(mirror: Mirror, agreement_id: str, reports: Collection[str] | None = None) -> tuple[Act, ...]:
    """Give what officers say that they read or acted on, as far as it counts, in the log's order; of some reports (ids in hex) only.

    Raises as `Mirror.agreement`.
    """
    fold = mirror.fold(agreement_id)
    found: dict[str, Act] = {}
    for entry in mirror.entries_of(agreement_id, HANDLED):
        said = _said(mirror, entry)
        if said is None:
            continue
        try:
            statement = from_json(said["statement"])
            named = statement.fields.get("reports")
            if reports is not None and not (isinstance(named, list) and set(reports).intersection(map(str, named))):
                continue
            act = _verified(mirror, entry, said, statement, fold.revoked)
            state = fold.state_before(entry.log_index, act.at_ms)
            umbrella = fold.umbrella_of(state, entry.log_index)
            admissible(act, state, (), act.at_ms, None if umbrella is None else umbrella.state)
        except (ComityError, TransitionError, ActError):
            # Rule 2, as for every act.
            continue
        found.setdefault(act.digest, act)
    return tuple(found.values())


def _signed_acts(mirror: Mirror, agreement_id: str) -> list[tuple[Act, Statement]]:
    fold = mirror.fold(agreement_id)
    taken: list[Act] = []
    found: list[tuple[Act, Statement]] = []
    for entry in mirror.entries_of(agreement_id, KINDS):
        said = _said(mirror, entry)
        if said is None:
            continue
        state = fold.state_before(entry.log_index, said["time"])
        umbrella = fold.umbrella_of(state, entry.log_index)
        try:
            statement = from_json(said["statement"])
            act = _verified(mirror, entry, said, statement, fold.revoked)
            admissible(act, state, taken, act.at_ms, None if umbrella is None else umbrella.state)
        except (ComityError, TransitionError, ActError):
            # Rule 2: the broker logged what it should have refused. It allows nothing here.
            continue
        taken.append(act)
        found.append((act, statement))
    return found


def declaration_of(mirror: Mirror, agreement_id: str, digest: bytes, party: str, now_ms: int) -> Act:
    """Give the declaration with that digest, valid now for that party; raises NotFoundError or MalformedError."""
    for act, statement in _signed_acts(mirror, agreement_id):
        if act.digest == digest.hex() and act.kind is ActKind.DECLARE:
            if valid_declaration(act, party, now_ms) and _in_office(mirror, act, statement, now_ms, None):
                return act
            raise MalformedError(
                f"the declaration {act.digest[:16]} of {act.officer} is not valid for {party} now",
                what_to_do=f"Have a duty officer declare anew: comity emergency declare {agreement_id} --reason ...",
            )
    raise NotFoundError(
        f"the log of {agreement_id} has no declaration {digest.hex()[:16]}, as far as it was fetched",
        what_to_do=f"comity emergency list --agreement {agreement_id}; a declaration is fetched with the next checkpoint.",
        code=ErrorCode.STATEMENT_REJECTED,
    )


def declared_at(mirror: Mirror, agreement_id: str, digest: bytes, party: str, at_ms: int) -> bool:
    """Say whether a report that names this declaration went under one of its party's that was valid at that time.

    Whether its officer was in office is asked of the key log as it was then (rule 3).
    """
    named = digest.hex()
    if not digest:
        return False
    log_size = mirror.key_log_size_at(at_ms)
    return any(
        act.digest == named
        and valid_declaration(act, party, at_ms)
        and _in_office(mirror, act, statement, at_ms, log_size)
        for act, statement in _signed_acts(mirror, agreement_id)
    )


def _in_office(mirror: Mirror, act: Act, statement: Statement, at_ms: int, log_size: int | None) -> bool:
    office = (act.officer, statement.signatures[0].key, act.role, act.agreement_id)
    return in_office(mirror.directory, *office, now_ms=at_ms, log_size=log_size)


def _said(mirror: Mirror, entry: MirroredEntry) -> dict[str, Any] | None:
    """Give what an entry says of an act: the shared body, and what only some parties read; None where that is not ours."""
    said = {**entry.own(mirror.party), **entry.shared()}
    return said if "statement" in said else None


def _verified(
    mirror: Mirror,
    entry: MirroredEntry,
    said: Mapping[str, Any],
    statement: Statement,
    revoked: Mapping[bytes, RevocationRecord],
) -> Act:
    at_ms, key_log_size = said["time"], said["key_log_size"]
    if not mirror.key_log_least_at(at_ms) <= key_log_size <= mirror.key_log_size:
        raise VerificationError(f"entry {entry.log_index} states another key log than there was then")
    act = Act.from_body(statement.fields, digest=statement.digest.hex(), log_index=entry.log_index, at_ms=at_ms)
    if act.kind.value not in table.ACTS[entry.kind]:
        raise VerificationError(f"entry {entry.log_index} is {entry.kind} and holds another act")
    found = set()
    for one in statement.signatures:
        if one.key in revoked and revoked[one.key].log_index < entry.log_index:
            raise VerificationError(f"entry {entry.log_index} is signed with a key that was revoked")
        found.add(_signer(mirror, act, statement, one.key, (at_ms, key_log_size)))
    if found != act.signers or len(found) != len(statement.signatures):
        raise VerificationError(f"entry {entry.log_index} is not signed by those it names alone")
    return act


def _signer(mirror: Mirror, act: Act, statement: Statement, key: bytes, at: tuple[int, int]) -> str:
    """Give who signed an act with a key that counted there; raises KeyFault or VerificationError."""
    officer = mirror.directory.officer_by_key(key, *at)
    listed = next(one for one in officer.keys if one.fingerprint == key)
    name = str(officer.identity)
    good = listed.role is KeyRole.OFFICER_SIGNING and mirror.verified.holds(statement, key, listed.suite, listed.public)
    if (
        not good
        or not officer.acts_under(act.agreement_id)
        or (name == act.officer and not officer.holds(act.role, act.agreement_id))
    ):
        raise VerificationError(f"{name} did not sign it validly, or may not act in that role")
    return name
