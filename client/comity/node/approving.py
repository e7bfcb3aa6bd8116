"""Approvals: which officers of our party approve a report, in which role, what clauses ask of them, what they are shown.

Rules in order:
1. An officer approves in one role that the directory lists for the agreement now: one that may send with the report's
   precedence where it is asked for, else the first it holds.
2. Dual control is decided by the broker. Whether approvals will suffice there is asked of the same clauses beforehand, with
   the approvals that will be there, for the portions and nodes that are permitted otherwise. What else the broker decides is not
   foreseen. A declared emergency is left to the broker.
3. An officer signs nothing unseen: `agrees` is shown what would be signed, with the leaf, and says whether it is. One whose
   attested clearance does not cover every portion may not see it all, and so approves none of it, whoever says yes.
Pure but for what `agrees` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self
from uuid import UUID

from comity.envelope.evidence import Approval, sign_approval
from comity.envelope.segment import WholeItem
from comity.errors import AccessError, ErrorCode, KeyFault, RefusedError, UsageError
from comity.identity.directory import KeyDirectory
from comity.identity.names import Identity, IdentityKind
from comity.identity.records import OfficerRecord
from comity.keys.files import load_keys
from comity.keys.signer import Signer
from comity.node.agreement_view import AgreementView
from comity.node.approved_text import ShownPortion, kept_from
from comity.node.home import Home
from comity.suites import KeyRole
from comity_policy.clauses import DualControl, PrecedenceRule
from comity_policy.decision import ReportDecision, Violation
from comity_policy.engine import CompiledAgreement, decide_report
from comity_policy.explanation import ClauseExplanation, explain_report
from comity_policy.facts import Moment, NodeFacts, Point, Precedence, Profile, Role, Times
from comity_policy.sources import every_layer, layer_of

_ROLES: Final[Mapping[str, Role]] = {role.word: role for role in Role}
_ANYBODY: Final = frozenset(Role)
_NODE_ALONE: Final = frozenset({Role.NODE})
_BESIDE: Final = frozenset({Role.AUDITOR, Role.OPERATOR})
_PRECEDENCE: Final = "precedence"


@dataclass(frozen=True, slots=True)
class SealedReport:
    """What the sealed bytes of a report say to its own party, but for the text, which they hide from whoever has no key.

    `addressees` and `refers_to` are as people write them, `portions` the banner of each, `leaf` names the bytes; `expires_at` is
    Unix ms, `keys_for` how many nodes of other parties have keys.
    """

    report_id: UUID
    agreement_id: str
    exercise: bool
    banner: str
    kind: str
    precedence: Precedence
    purpose: str
    categories: tuple[str, ...]
    emergency: bool
    addressees: tuple[str, ...]
    portions: tuple[str, ...]
    keys_for: int
    refers_to: tuple[str, ...]
    expires_at: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class ToApprove:
    """What an officer is shown before signing, with the text as far as the officer may read it, and the role it will state."""

    report: SealedReport
    officer: str
    role: Role
    portions: tuple[ShownPortion, ...] = ()


@dataclass(frozen=True, slots=True)
class Approver:
    """An officer of this machine who approves. `agrees` is shown each report, in a thread, and says whether it is signed."""

    identity: Identity
    signers: tuple[Signer, ...] = field(repr=False)
    agrees: Callable[[ToApprove], bool]

    @classmethod
    def open(cls, home: Home, identity: str, passphrase: bytes, agrees: Callable[[ToApprove], bool]) -> Self:
        """Open an officer's signing keys; raises NotFoundError, UsageError for a node, KeyFault for a wrong passphrase."""
        place = home.locate(identity)
        if place.identity.kind is not IdentityKind.OFFICER:
            raise UsageError(f"{place.identity} is a {place.identity.kind.value}: officers approve")
        return cls(place.identity, load_keys(place.keys, passphrase).signers(KeyRole.OFFICER_SIGNING), agrees)

    def approve(self, shown: ToApprove, officer: Officer, now_ms: int) -> Approval:
        """Show a report and sign its leaf; raises AccessError where the officer does not agree, KeyFault without a key."""
        signer = next((one for one in self.signers if one.fingerprint in officer.fingerprints), None)
        if signer is None:
            raise KeyFault(
                f"the signing key of {self.identity} that the directory lists is not on this machine",
                what_to_do="Fetch the key log, or approve on the officer's own machine.",
                code=ErrorCode.KEY_UNKNOWN,
            )
        if not self.agrees(shown):
            raise AccessError(
                f"{self.identity} did not approve report {shown.report.report_id}",
                what_to_do="Nothing of it was sent.",
                code=ErrorCode.ROLE_NOT_ALLOWED,
            )
        return sign_approval(signer, shown.report.leaf, officer.role, now_ms)


@dataclass(frozen=True, slots=True)
class Officer:
    """An officer as the directory lists it, and the role that its approval states; its keys by fingerprint."""

    identity: str
    fingerprints: tuple[bytes, ...]
    role: Role


@dataclass(frozen=True, slots=True)
class Suited:
    """The officers of our party who could approve: those who may send with the report's precedence, and the others."""

    urgent: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Approving:
    """Who approves a report, or (`verified`, in `stated` roles) has done so.

    With `awaited` others may later, so nothing is said to be lacking yet.
    """

    officers: tuple[Officer, ...] = ()
    verified: frozenset[str] = frozenset()
    stated: frozenset[Role] = frozenset()
    awaited: bool = False

    @property
    def identities(self) -> frozenset[str]:
        """Give who approves, each once."""
        return self.verified | {one.identity for one in self.officers}

    @property
    def roles(self) -> frozenset[Role]:
        """Give the roles a report is sent in; every role while approvals are awaited."""
        if self.awaited:
            return _ANYBODY
        return _NODE_ALONE | self.stated | {one.role for one in self.officers}

    @property
    def least(self) -> int:
        """Give how many approvals the report asks for at least: of everybody named, and of somebody where one is awaited."""
        return max(len(self.officers), int(self.awaited))

    @property
    def acting(self) -> tuple[bytes, Role] | tuple[()]:
        """Give the key and role of the officer who acts: the first who approves; nothing where a node acts alone."""
        if not self.officers:
            return ()
        return self.officers[0].fingerprints[0], self.officers[0].role

    def with_officers(self, explanations: Iterable[ClauseExplanation], suited: Suited) -> tuple[ClauseExplanation, ...]:
        """Put officers of our party into the commands that ask for some: who approves already first, then who may."""
        anybody = (*(one.identity for one in self.officers), *suited.urgent, *suited.others)
        found = []
        for one in explanations:
            named = suited.urgent if one.kind == _PRECEDENCE else tuple(dict.fromkeys(anybody))
            found.append(replace(one, remedy=replace(one.remedy, command=_named(one.remedy.command, named))))
        return tuple(found)


NOBODY: Final = Approving()


def _named(command: str, officers: Sequence[str]) -> str:
    for officer in officers:
        command = command.replace(f"{officer.partition('/')[0]}/OFFICER", officer, 1)
    return command


# --- who --------------------------------------------------------------------------------------------------------------


def resolved(  # noqa: PLR0917 - where, under what, who, for what, when
    directory: KeyDirectory,
    view: AgreementView,
    party: str,
    approved_by: Sequence[Identity],
    precedence: Precedence,
    now_ms: int,
) -> Approving:
    """Look up the officers who approve; raises AccessError for another party's and one without a role, KeyFault."""
    found = []
    for identity in dict.fromkeys(approved_by):
        record = directory.officer(identity.party, identity.name)
        if identity.party != party or record is None:
            raise AccessError(
                f"{identity} is no officer of {party} that the directory lists",
                what_to_do=f"Officers of {party} approve what it sends: comity officer list",
                code=ErrorCode.ROLE_NOT_ALLOWED,
            )
        directory.require_current(record, now_ms)
        role = _role_of(record, view, precedence)
        keys = record.keys_of(KeyRole.OFFICER_SIGNING)
        found.append(
            Officer(str(identity), tuple(one.fingerprint for one in keys if directory.counts(one.fingerprint)), role)
        )
    return Approving(tuple(found))


def acting_approved(item: WholeItem) -> bool:
    """Say whether the officer that a report says acts, if any, has approved it; those beside it were verified."""
    acting = item.core.profile.originator.officer_fingerprint
    return not acting or any(one.officer_fingerprint == acting for one in item.approvals)


def require_acting(item: WholeItem) -> None:
    """Refuse a report that says who acts while that officer's approval is not beside it."""
    if not acting_approved(item):
        raise RefusedError(
            "the report says which officer acts, and that officer has not approved it",
            what_to_do="Have that officer approve it, or send it anew in the name of others: comity report list.",
        )


def require_cleared(
    directory: KeyDirectory, view: AgreementView, officers: Iterable[Officer], profile: Profile, now_ms: int
) -> None:
    """Refuse officers who may not read all of what they would approve; raises AccessError."""
    for one in officers:
        record = directory.officer(profile.originator.party, one.identity.partition("/")[2])
        if (why := _unseen(record, view, profile, now_ms)) is not None:
            level, closed = why
            raise AccessError(
                f"{one.identity} may not read what would be approved: {closed}",
                what_to_do=f"Name an officer who is cleared for {level}, or attest it: comity officer accredit {one.identity} "
                f"--clearance {level} --cleared-by {profile.originator.party}/OFFICER ...",
                code=ErrorCode.ROLE_NOT_ALLOWED,
            )


def _unseen(record: OfficerRecord | None, view: AgreementView, profile: Profile, now_ms: int) -> tuple[str, str] | None:
    """Give the highest level of a report that an officer may not read, and why; None where there is none."""
    levels = view.document.levels_of(profile.originator.party)
    marked = {one.label.classification for one in profile.portions}
    found = [(level, kept_from(record, level, levels, now_ms)) for level in sorted(marked, key=_place_in(levels))]
    return next(((level, closed) for level, closed in reversed(found) if closed), None)


def _place_in(levels: Sequence[str]) -> Callable[[str], int]:
    return lambda level: levels.index(level) if level in levels else len(levels)


def suited(directory: KeyDirectory, view: AgreementView, profile: Profile, now_ms: int) -> Suited:
    """Give who could approve such a report now; who only audits or operates comes last."""
    asked = _urgent(view.compiled, profile.precedence)
    urgent: list[tuple[bool, str]] = []
    others: list[tuple[bool, str]] = []
    for one in _able(directory, view, profile, now_ms):
        held = set(_held(one, view))
        fits = all(held & roles for roles in asked)
        (urgent if fits else others).append((held <= _BESIDE, str(one.identity)))
    return Suited(*(tuple(name for _, name in sorted(some)) for some in (urgent, others)))


def may_approve(directory: KeyDirectory, view: AgreementView, profile: Profile, now_ms: int) -> tuple[str, ...]:
    """Give the officers who could approve such a report now, each with the role it would state."""
    able = _able(directory, view, profile, now_ms)
    return tuple(f"{one.identity} ({_role_of(one, view, profile.precedence).word})" for one in able)


def _able(directory: KeyDirectory, view: AgreementView, profile: Profile, now_ms: int) -> list[OfficerRecord]:
    """Give the officers of the originator's party who hold a role and may read all of it."""
    return [
        one
        for one in directory.officers(profile.originator.party)
        if _held(one, view) and directory.is_current(one, now_ms) and _unseen(one, view, profile, now_ms) is None
    ]


def _held(record: OfficerRecord, view: AgreementView) -> tuple[Role, ...]:
    return tuple(sorted(role for role in record.roles if record.holds(role, view.agreement_id)))


def _role_of(record: OfficerRecord, view: AgreementView, precedence: Precedence) -> Role:
    """Give the role by rule 1; raises AccessError where the officer holds none for the agreement."""
    held = _held(record, view)
    if not held:
        raise AccessError(
            f"{record.identity} holds no role for {view.agreement_id}",
            what_to_do=f"comity officer accredit {record.identity} --role ROLE --agreement {view.agreement_id}",
            code=ErrorCode.ROLE_NOT_ALLOWED,
        )
    asked = _urgent(view.compiled, precedence)
    return max(held, key=lambda role: (sum(role in roles for roles in asked), -role))


def _urgent(compiled: CompiledAgreement, precedence: Precedence) -> list[frozenset[Role]]:
    if precedence >= Precedence.PRIORITY:
        return []
    return [
        frozenset(_ROLES[word] for word in (clause.flash if precedence is Precedence.FLASH else clause.immediate))
        for layer in every_layer(compiled.source)
        for clause in layer.clauses
        if isinstance(clause, PrecedenceRule)
    ]


# --- what is lacking --------------------------------------------------------------------------------------------------


def dual_controlled(compiled: CompiledAgreement) -> bool:
    """Say whether any clause of an agreement asks for approvals."""
    return any(isinstance(clause, DualControl) for layer in every_layer(compiled.source) for clause in layer.clauses)


def approvals_needed(  # noqa: PLR0917 - the arguments of decide_report, and its answer
    compiled: CompiledAgreement,
    profile: Profile,
    times: Times,
    nodes: Sequence[NodeFacts],
    moment: Moment,
    decision: ReportDecision,
) -> int:
    """Give how many officers must approve what was permitted: the most that any clause asks for."""
    at_admission = _at_admission(profile, moment, frozenset())
    asked = _dual_control(compiled, replace(profile, approvals_required=0), times, nodes, at_admission, decision)
    clauses = {one.clause_id for violations in asked.violations.values() for one in violations}
    found = [layer_of(compiled.source, one)[1] for one in clauses]
    return max((one.officers for one in found if isinstance(one, DualControl)), default=0)


def lacking_approvals(  # noqa: PLR0917 - the arguments of decide_report, its answer, and who approves
    compiled: CompiledAgreement,
    profile: Profile,
    times: Times,
    nodes: Sequence[NodeFacts],
    moment: Moment,
    decision: ReportDecision,
    approving: Approving,
) -> tuple[ClauseExplanation, ...]:
    """Give the clauses that will ask for more approvals than there are; none while approvals are awaited."""
    if approving.awaited:
        return ()
    at_admission = _at_admission(profile, moment, approving.identities)
    lacking = _dual_control(compiled, profile, times, nodes, at_admission, decision)
    return explain_report(compiled, profile, times, nodes, at_admission, lacking)


def _at_admission(profile: Profile, moment: Moment, approvals: frozenset[str]) -> Moment:
    return replace(moment, point=Point.ADMISSION, approvals=approvals, emergency_declared=bool(profile.emergency))


def _dual_control(  # noqa: PLR0917 - the arguments of decide_report, and what was permitted before
    compiled: CompiledAgreement,
    profile: Profile,
    times: Times,
    nodes: Sequence[NodeFacts],
    at_admission: Moment,
    permitted: ReportDecision,
) -> ReportDecision:
    """Give the violations of dual control alone, of portions and nodes that are permitted otherwise."""
    decision = decide_report(compiled, profile, times, nodes, at_admission)
    kept: dict[tuple[str, str, int], tuple[Violation, ...]] = {}
    for (party, node, index), violations in decision.violations.items():
        if index in permitted.permitted.get((party, node), ()):
            found = tuple(one for one in violations if _asks_approvals(compiled, one))
            if found:
                kept[party, node, index] = found
    return ReportDecision(permit=not kept, violations=kept)


def _asks_approvals(compiled: CompiledAgreement, violation: Violation) -> bool:
    try:
        _, clause = layer_of(compiled.source, violation.clause_id)
    except KeyError:
        return False  # a baseline row
    return isinstance(clause, DualControl)
