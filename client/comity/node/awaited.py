"""A report that waits for approvals, for people: what it is, where it stands, and an officer's signature of it.

Everything is read from the sealed bytes, so that it is what an officer would sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from comity.envelope.checks import verified_approvals
from comity.envelope.evidence import Approval
from comity.envelope.segment import WholeItem
from comity.errors import (
    ComityError,
    ConflictError,
    ErrorCode,
    MalformedError,
    NotFoundError,
    RefusedError,
    RejectedError,
)
from comity.node.approved_files import require_sealed
from comity.node.approved_text import FindOpener, shown_portions
from comity.node.approving import Approver, SealedReport, ToApprove, acting_approved, require_cleared, resolved
from comity.node.attached_files import AttachedFile
from comity.node.directory import officer_lookup
from comity.node.egress import Egress
from comity.node.mirror import Mirror
from comity.node.times import rfc3339
from comity.node.waiting import Waiting
from comity.report import banner_of
from comity_policy.explanation import ClauseExplanation
from comity_policy.facts import Addressee

# The clauses that an officer's approval may satisfy.
_BY_OFFICERS: Final = frozenset({"precedence", "dual-control"})


@dataclass(frozen=True, slots=True)
class WaitingReport:
    """Where a waiting report stands, for people. `refusal` says what keeps it; None where it goes with the next sending.

    `approved_by` are the officers whose approvals verify, among whom `acts` says that the one is whom it names as acting;
    `may_approve` those who could, with their roles. `until_ms` is when it has waited too long.
    """

    report: SealedReport
    approvals_required: int
    approved_by: tuple[str, ...]
    acts: bool
    may_approve: tuple[str, ...]
    refusal: ComityError | None
    until_ms: int
    expired: bool

    @property
    def complete(self) -> bool:
        """Say whether no approval is lacking; whatever else keeps it is in `refusal`."""
        clauses = self.refusal.clauses if self.refusal is not None else ()
        lacking = any(isinstance(one, ClauseExplanation) and one.kind in _BY_OFFICERS for one in clauses)
        return not lacking and self.acts and len(self.approved_by) >= self.approvals_required


def sealed_report(one: Waiting, mirror: Mirror) -> SealedReport:
    """Give what is shown of a report: read from the sealed bytes, so that it is what an officer would sign."""
    item = one.item
    profile = item.core.profile
    party = profile.originator.party
    levels = mirror.agreement(profile.agreement_id).document.levels_of(party)
    return SealedReport(
        report_id=UUID(bytes=item.core.report_id),
        agreement_id=profile.agreement_id,
        exercise=profile.exercise,
        banner=banner_of(profile, range(len(profile.portions)), levels, party),
        kind=profile.kind.word,
        precedence=profile.precedence,
        purpose=profile.purpose,
        categories=profile.categories,
        emergency=bool(profile.emergency),
        addressees=tuple(_addressee(each) for each in profile.addressees),
        portions=tuple(banner_of(profile, [index], levels, party) for index in range(len(profile.portions))),
        keys_for=sum(row.party != party for row in item.manifest.rows),
        refers_to=tuple(
            f"{each.relation.name.lower().replace('_', '-')} {UUID(bytes=each.report_id)}"
            for each in item.core.refers_to
        ),
        expires_at=item.core.expires_at,
        leaf=item.leaf,
    )


def sound(item: WholeItem, mirror: Mirror, now_ms: int) -> WholeItem:
    """Give an item with those of its approvals that verify now: an officer may have lost key or role since."""
    lookup = officer_lookup(mirror.directory, item.core.profile.agreement_id, now_ms)

    def verifies(one: Approval) -> bool:
        try:
            return bool(verified_approvals(replace(item, approvals=(one,)), lookup))
        except RejectedError:
            return False

    return replace(item, approvals=tuple(one for one in item.approvals if verifies(one)))


def described(one: Waiting, mirror: Mirror, egress: Egress, now_ms: int) -> WaitingReport:
    """Say where a waiting report stands."""
    item = sound(one.item, mirror, now_ms)
    profile = item.core.profile
    refusal: ComityError | None = None
    try:
        egress.check_approved(item)
    except (RefusedError, MalformedError, NotFoundError) as error:
        refusal = error
    lookup = officer_lookup(mirror.directory, profile.agreement_id, now_ms)
    return WaitingReport(
        report=sealed_report(one, mirror),
        approvals_required=profile.approvals_required,
        approved_by=tuple(sorted(verified_approvals(item, lookup))),
        acts=acting_approved(item),
        may_approve=egress.may_approve(profile),
        refusal=refusal,
        until_ms=one.until_ms,
        expired=now_ms >= one.until_ms,
    )


def signed(  # noqa: PLR0917 - what is signed, by whom, when, and what of it can be shown
    one: Waiting,
    approver: Approver,
    mirror: Mirror,
    now_ms: int,
    opener: FindOpener | None = None,
    attached: Sequence[AttachedFile] = (),
) -> Approval:
    """Show a waiting report to an officer and sign it; raises AccessError, KeyFault, and ConflictError when it came too late.

    `opener` gives the node's own keys, with which its text is opened; without it no text is shown, and that is said. `attached` is
    what lies in the outbox for it: raises StorageError where that is not what was sealed.
    """
    profile = one.item.core.profile
    if now_ms >= one.until_ms:
        raise expired(one)
    view = mirror.agreement(profile.agreement_id)
    party = profile.originator.party
    approving = resolved(mirror.directory, view, party, [approver.identity], profile.precedence, now_ms)
    (officer,) = approving.officers
    require_cleared(mirror.directory, view, approving.officers, profile, now_ms)
    record = mirror.directory.officer(party, approver.identity.name)
    levels, packets = view.document.levels_of(party), dict(one.packets)
    portions = shown_portions(one.item, packets, record, levels, now_ms, opener, attached)
    if any(each.closed for each in portions):
        require_sealed(one.item, attached)
    shown = ToApprove(sealed_report(one, mirror), officer.identity, officer.role, portions)
    return approver.approve(shown, officer, now_ms)


def expired(one: Waiting) -> ConflictError:
    """Give the error that says a report waited too long."""
    return ConflictError(
        f"report {one.report_id} waited for approvals until {rfc3339(one.until_ms)} and is not sent any more",
        what_to_do="Send it again: a broker takes nothing that was made too long ago.",
        code=ErrorCode.CLOCK_WINDOW,
    )


def _addressee(one: Addressee) -> str:
    narrowed = ", ".join(word for word in (one.office, one.community, one.officer) if word)
    return f"{one.party} ({narrowed})" if narrowed else one.party
