"""What decisions are made from: the signed profile of a report, the recipient's attested facts, the moment.

Everything here is a frozen value without behaviour, shared by the engine, the reference interpreter, the envelope's
codec and the explanations. A fact that may be missing is ``None``; a clause that needs it then denies (FACT_MISSING).
Times are Unix milliseconds, UTC. Enums count from 1 in the order design 03 writes them: the numbers are wire values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from comity_policy.marking import Label


class Role(IntEnum):
    """The roles of principals, in the order of design 01; 0 on the wire means none."""

    NODE = 1
    LIAISON = 2
    RELEASE_AUTHORITY = 3
    LEGAL_REVIEWER = 4
    DUTY_OFFICER = 5
    SECURITY_AUTHORITY = 6
    PLENIPOTENTIARY = 7
    AUDITOR = 8
    OPERATOR = 9

    @property
    def word(self) -> str:
        """Give the role as people and statements write it, e.g. ``legal-reviewer``."""
        return self.name.lower().replace("_", "-")


class Precedence(IntEnum):
    """ACP 121 precedence."""

    FLASH = 1
    IMMEDIATE = 2
    PRIORITY = 3
    ROUTINE = 4


class Kind(IntEnum):
    """What a message is."""

    REPORT = 1
    RFI = 2
    RFI_ANSWER = 3
    TEARLINE = 4
    SANITISED = 5
    ASSESSMENT = 6
    PLAN = 7
    ASSISTANCE = 8
    RECALL = 9
    SUPERSEDE = 10
    BREACH = 11

    @property
    def word(self) -> str:
        """Give the kind as agreements write it."""
        return self.name.lower()


class Action(IntEnum):
    """Whether an addressee is to act or only to know."""

    ACTION = 1
    INFO = 2


class PersonalData(IntEnum):
    """Whether a portion holds personal data."""

    NONE = 1
    ORDINARY = 2
    SPECIAL = 3


class Use(StrEnum):
    """What an opener is about to do with what it opens."""

    READ = "read"
    COPY = "copy"
    TRANSLATION = "translation"
    EVIDENCE = "evidence"
    ACTION = "action"


class Point(StrEnum):
    """Where a decision is taken: egress (sender's SDK), admission (broker), opening (recipient's SDK)."""

    EGRESS = "E"
    ADMISSION = "A"
    OPENING = "O"


@dataclass(frozen=True, slots=True)
class Originator:
    """Who made a report. `officer_fingerprint` is 48 bytes or empty, `officer_role` is None with it."""

    party: str
    node: str
    officer_fingerprint: bytes = b""
    officer_role: Role | None = None


@dataclass(frozen=True, slots=True)
class Addressee:
    """A party, optionally narrowed to an office, a community or an officer (empty text: not narrowed)."""

    party: str
    action: Action = Action.ACTION
    office: str = ""
    community: str = ""
    officer: str = ""


@dataclass(frozen=True, slots=True)
class PortionMarking:
    """What policy knows of one portion."""

    label: Label
    personal_data: PersonalData = PersonalData.NONE
    persons: int = 0
    warn: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """The part of a core that many reports share (design 03). Digests are 48 raw bytes; `emergency` may be empty."""

    suite: int
    originator: Originator
    key_set: bytes
    agreement_id: str
    agreement_digest: bytes
    statements_seen: int
    precedence: Precedence
    exercise: bool
    kind: Kind
    categories: tuple[str, ...]
    purpose: str
    emergency: bytes
    addressees: tuple[Addressee, ...]
    approvals_required: int
    portions: tuple[PortionMarking, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """The signed times of one report: created_at <= not_before < expires_at."""

    created_at: int
    not_before: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A recipient node as its newest logged bundle and accreditation attest it; None: not attested.

    `accreditation_level` is a level of the node's own party; `oldest_key_since` is when the oldest key that would be
    used began to be valid; `valid` says that its bundle is current and not revoked. `officers` are the identities (such
    as ``XBO/officer1``) that its party's directory lists as accredited for the agreement at the time. At admission,
    `overdue` are the ids of the acknowledge clauses under which its party is late beyond their limit. `capabilities` are what
    the node's newest signed statement says that its software can, in the words of `abilities`.
    """

    party: str
    node: str
    region: str | None
    offices: frozenset[str]
    communities: frozenset[str]
    accreditation_level: str | None
    accreditation_until: int | None
    oldest_key_since: int | None
    valid: bool | None = None
    officers: frozenset[str] | None = None
    overdue: frozenset[str] | None = None
    capabilities: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a quota's window holds already, without the report that is decided: reports, and their bytes."""

    reports: int
    size: int


@dataclass(frozen=True, slots=True)
class Reader:
    """The officer who opens, as the directory attests; `clearance_level` is a level of the reader's own party."""

    officer: str
    offices: frozenset[str]
    communities: frozenset[str]
    clearance_level: str | None
    clearance_until: int | None


@dataclass(frozen=True, slots=True)
class Moment:
    """What is true at the point and time of decision.

    `now` decides (at admission the broker's clock; opening repeats admission with the logged time and adds its own).
    `admitted_at` is the log entry's time, known at opening only. `broker_region` is where ciphertext rests.
    `key_log_age` is how old the decider's newest view of the key log is, in milliseconds. `sender_roles` are the
    attested roles of the officer or node who sends. `opening_purpose` is what the opener says (opening only).
    `onward_grant` says whether a grant for this very report covers a transfer by somebody else than the originator;
    `direct` says that the originator itself sends. `sender_capabilities` are what the sending node's newest signed statement says;
    at opening what it said when the report was admitted.

    At admission: `size` is the report's length in bytes as it is carried; `usage` is what the current window of each quota
    holds, by clause id; `approvals` are the distinct identities of the officers of the sending party whose approvals of this
    very report verified; `log_available` says that the agreement's log takes entries and has its quorum. `emergency_declared` says
    that a duty officer's signed declaration with the digest the profile names was verified (egress and opening too).
    Where somebody else than the originator sends: `hops` counts the transfers including this one; `disputed` says that an
    open dispute names the report.
    At opening: `reader` is the officer who opens, None where no officer does; `use` is what the opening is for;
    `consents` are the uses of this report to which its originator consented; `registered` says that the copy is entered in
    the register; `caveats_acknowledged` are the ids of the use clauses whose caveat was shown and acknowledged;
    `relabelled_by` is the party that changed the marking since it was signed, empty where none did; `held` says that this
    party opened the report before.
    """

    point: Point
    now: int
    broker: str | None
    broker_region: str | None
    key_log_age: int | None
    sender_roles: frozenset[Role] | None
    direct: bool | None = None
    onward_grant: bool = False
    admitted_at: int | None = None
    opening_purpose: str | None = None
    sender_key_since: int | None = None
    sender_capabilities: frozenset[str] | None = None
    size: int | None = None
    usage: Mapping[str, Usage] | None = None
    approvals: frozenset[str] | None = None
    log_available: bool | None = None
    emergency_declared: bool = False
    hops: int | None = None
    disputed: bool | None = None
    reader: Reader | None = None
    use: Use | None = None
    consents: frozenset[Use] | None = None
    registered: bool | None = None
    caveats_acknowledged: frozenset[str] | None = None
    relabelled_by: str | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class AgreementState:
    """The fold's answer for one agreement and time, as far as decisions need it.

    `in_force` is false before entry into force, after the end, and while suspended whole; `reason` then says which in
    one word of NOT_YET, EXPIRED, SUSPENDED, TERMINATED. `suspended_clauses` are ids of single suspended clauses. `unbound`
    are the parties that the text names and does not bind now.
    """

    in_force: bool
    reason: str = ""
    suspended_clauses: frozenset[str] = frozenset()
    unbound: frozenset[str] = frozenset()
