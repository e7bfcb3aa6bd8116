"""The words of an explanation: the case, what a rule found in it, and the remedy.

What a finding says is read by people of the deciding party only: it may name recipients and third parties. Findings
explain a decision that was taken; they never take one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from comity_policy.banner import banner
from comity_policy.decision import Reason
from comity_policy.document import Document
from comity_policy.facts import AgreementState, Moment, NodeFacts, PortionMarking, Profile, Role, Times
from comity_policy.lowering import Source, Table
from comity_policy.marking import Label, Tlp

NOT_ATTESTED = "not attested"


class RemedyAction(StrEnum):
    """What somebody of my own party can do about a refusal."""

    SANITISE = "sanitise"
    MARK = "mark"
    ASK_CONSENT = "ask-consent"
    SECOND_OFFICER = "second-officer"
    RAISE_WITH_PARTNER = "raise-with-partner"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do, the command for it (empty where there is none), and who of my own party may."""

    action: RemedyAction
    command: str = ""
    who: str = ""


NO_REMEDY = Remedy(RemedyAction.NONE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one violated rule found."""

    fact: str
    got: str
    wanted: str
    nearest: str
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class Case:
    """One violation to explain, with what it was decided from; `table` and `clause_id` are those it was decided by."""

    source: Source
    profile: Profile
    times: Times
    portion: PortionMarking
    node: NodeFacts
    moment: Moment
    table: Table
    reason: Reason
    clause_id: str = ""

    @property
    def label(self) -> Label:
        return self.portion.label

    @property
    def document(self) -> Document:
        return self.source.document

    @property
    def state(self) -> AgreementState:
        return self.source.state

    @property
    def originator(self) -> str:
        return self.profile.originator.party

    def remedy(self, action: RemedyAction, command: str, role: Role) -> Remedy:
        return Remedy(action, command, f"{role.word} of {self.originator}")

    def recipients_remedy(self, action: RemedyAction, command: str, role: Role) -> Remedy:
        """Give what somebody of the recipient's party can do: at opening that party decides."""
        return Remedy(action, command, f"{role.word} of {self.node.party}")

    def open_as(self, officer: str = "") -> Remedy:
        """Give what opens it: another officer of the recipient's party, named where one is."""
        command = f"comity receive --reader {officer or f'{self.node.party}/OFFICER'}"
        return self.recipients_remedy(RemedyAction.SECOND_OFFICER, command, Role.SECURITY_AUTHORITY)

    def ask_consent(self) -> Remedy:
        # No command asks for consent yet: people do, and the remedy says who.
        return self.recipients_remedy(RemedyAction.ASK_CONSENT, "", Role.LIAISON)

    @property
    def rank(self) -> int | None:
        """Give the portion's rank in the table the clause is decided by."""
        return self.table.ranks.get(self.label.classification)

    def below(self, ranks: Iterable[int]) -> str:
        """Give the highest level below all these ranks; empty where there is none."""
        lowest = min(ranks, default=0)
        return next((level for level, rank in self.table.ranks.items() if rank == lowest - 1), "")

    def raise_with_partner(self) -> Remedy:
        return self.remedy(RemedyAction.RAISE_WITH_PARTNER, f"comity agreement show {self.document.id}", Role.LIAISON)

    def mark(self, marking: str) -> Remedy:
        command = f"comity send FILE --agreement {self.document.id} --marking '{marking}'"
        return self.remedy(RemedyAction.MARK, command, Role.RELEASE_AUTHORITY)

    def sanitise(self) -> Remedy:
        return self.remedy(
            RemedyAction.SANITISE, f"comity preview FILE --agreement {self.document.id}", Role.RELEASE_AUTHORITY
        )

    def state_otherwise(self, option: str) -> Remedy:
        command = f"comity send FILE --agreement {self.document.id} {option}"
        return self.remedy(RemedyAction.MARK, command, Role.LIAISON)

    def approved_by(self, officers: int) -> str:
        """Give the command that sends with so many officers' approvals; who they are their party's directory says."""
        approving = f" --approve-as {self.originator}/OFFICER" * officers
        return f"comity send FILE --agreement {self.document.id}{approving}"

    def released_also(self, *, sanitised: bool = False) -> str:
        """Give the banner that would release the portion to the recipient: what a release authority may decide."""
        label = self.label
        released = (label.releasable_to or frozenset()) | {label.policy, self.node.party}
        words = label.dissemination & {"ORCON"} if sanitised else label.dissemination - {"NATIONAL-ONLY"}
        tlp = Tlp.AMBER_STRICT if label.tlp is Tlp.RED else label.tlp
        displayed = (label.display_only or frozenset()) - released
        changed = replace(label, dissemination=words, releasable_to=released, display_only=displayed or None, tlp=tlp)
        return banner(changed)


def when(milliseconds: int | None) -> str:
    """Give a time as RFC 3339 in UTC, to the millisecond where it has any; one outside the calendar by its number."""
    if milliseconds is None:
        return NOT_ATTESTED
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{milliseconds} ms, outside the calendar"
    return moment.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds").replace("+00:00", "Z")


def span(milliseconds: int | None) -> str:
    """Give a length of time in its largest whole units, e.g. ``2 d 3 h``."""
    if milliseconds is None:
        return NOT_ATTESTED
    rest, parts = abs(milliseconds), []
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return ("-" if milliseconds < 0 else "") + (" ".join(parts[:2]) or "0 s")


def listed(words: object) -> str:
    """Give words in order, separated by commas; `none` for none at all."""
    return (
        ", ".join(sorted(map(str, words))) or "none"
        if isinstance(words, (set, frozenset, tuple, list, dict))
        else str(words)
    )


def attested(fact: bool | None, yes: str, no: str) -> str:
    """Give what is attested in words; that nothing is, where nothing is."""
    return NOT_ATTESTED if fact is None else yes if fact else no
