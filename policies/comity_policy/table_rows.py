"""A row of a test table as strict words, with the values under which nothing refuses (see `table_facts`)."""

from __future__ import annotations

from datetime import datetime

import msgspec

# What a row can say was not attested.
MISSING = frozenset(
    {
        "acknowledged",
        "accreditation",
        "accredited_for",
        "admitted",
        "approvals",
        "broker",
        "broker_region",
        "capabilities",
        "clearance",
        "cleared_for",
        "communities",
        "consents",
        "direct",
        "disputed",
        "hops",
        "key_age",
        "key_log_age",
        "log_available",
        "officers",
        "offices",
        "onward_grant",
        "opening_purpose",
        "overdue",
        "reader",
        "region",
        "registered",
        "relabelled_by",
        "sender_capabilities",
        "sender_key_age",
        "sender_roles",
        "size",
        "usage",
        "use",
    }
)


class TableRow(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_party": "from", "to_party": "to"}
):
    """What a row may say; None: whatever the agreement's clauses are content with."""

    # The report.
    from_party: str
    to_party: str
    level: str
    categories: tuple[str, ...]
    purpose: str
    kind: str = "report"
    precedence: str = "ROUTINE"
    suite: int = 1
    releasable_to: tuple[str, ...] | None = None
    display_only: tuple[str, ...] | None = None
    dissemination: tuple[str, ...] = ()
    tlp: str | None = None
    personal_data: str = "NONE"
    persons: int | None = None
    warn: bool = False
    approvals_required: int | None = None
    emergency: bool = False
    created: datetime | None = None
    not_before: str = "0"
    expires: str = "1d"
    addressed_to: str = ""
    office: str = ""
    community: str = ""
    officer: str = ""
    # The recipient node.
    region: str = ""
    offices: tuple[str, ...] | None = None
    communities: tuple[str, ...] | None = None
    officers: tuple[str, ...] | None = None
    accreditation: str = ""
    accredited_for: str = "365d"
    key_age: str = "1d"
    valid: bool = True
    overdue: tuple[str, ...] = ()
    capabilities: tuple[str, ...] | None = None
    # The moment.
    now: str = "0"
    admitted: str = "0"
    broker: str = ""
    broker_region: str = ""
    key_log_age: str = "1m"
    sender_roles: tuple[str, ...] = ("node",)
    sender_key_age: str = "1d"
    sender_capabilities: tuple[str, ...] | None = None
    direct: bool = True
    onward_grant: bool = False
    hops: int = 1
    disputed: bool = False
    declared: bool = True
    size: int = 1
    used_reports: int = 0
    used_bytes: int = 0
    approvals: int | None = None
    log_available: bool = True
    # The opening.
    opening_purpose: str = ""
    reader: str = ""
    reader_offices: tuple[str, ...] | None = None
    reader_communities: tuple[str, ...] | None = None
    clearance: str = ""
    cleared_for: str = "365d"
    use: str = "read"
    consents: tuple[str, ...] | None = None
    registered: bool = True
    acknowledged: tuple[str, ...] | None = None
    relabelled_by: str = ""
    held: bool = False
    # The agreement.
    state: str = "IN_FORCE"
    suspended: tuple[str, ...] = ()
    unbound: tuple[str, ...] = ()
    umbrella_state: str = "IN_FORCE"
    umbrella_suspended: tuple[str, ...] = ()
    umbrella_unbound: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
