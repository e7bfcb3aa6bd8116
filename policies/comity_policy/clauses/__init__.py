"""The clause kinds of an agreement as strict, frozen types: what a TOML clause may say and nothing else.

Every clause has an `id` (the article), a `kind` (the tag), a `text` in every authentic language and typed fields;
there are no free expressions. An unknown field, kind or word does not load. Spans are calendar-free durations.
Whether a clause is enforced, tracked or only recorded is its `status`, printed wherever the clause is.

`Clause` is what an agreement may say, `CaveatClause` what a national caveat may: requirements alone.
"""

from __future__ import annotations

from comity_policy.clauses.base import (
    BaseClause,
    LevelRow,
    Span,
    Status,
)
from comity_policy.clauses.duties import (
    Article,
    Audit,
    Authorities,
    Breach,
    Closed,
    Contact,
    Disputes,
    Exclude,
    OnFailure,
    Oversight,
    SecurityMeasures,
    Survives,
)
from comity_policy.clauses.handling import (
    Acknowledge,
    Capabilities,
    Consent,
    Copies,
    CopyRow,
    DualControl,
    Embargo,
    Emergency,
    End,
    EndRow,
    PrecedenceRule,
    Quota,
    Relabel,
    Reproduction,
    Retention,
    Suites,
    UseRule,
    Window,
)
from comity_policy.clauses.sharing import (
    Carrier,
    Ceiling,
    CeilingLimit,
    Channel,
    ChannelRow,
    Clearance,
    NeedRow,
    NeedToKnow,
    Onward,
    OriginatorControl,
    Passage,
    PersonalDataRule,
    PreApproval,
    Purpose,
    Releasability,
    Residency,
    Scope,
    Special,
)

__all__ = [
    "Acknowledge",
    "Article",
    "Audit",
    "Authorities",
    "BaseClause",
    "Breach",
    "Capabilities",
    "Carrier",
    "CaveatClause",
    "Ceiling",
    "CeilingLimit",
    "Channel",
    "ChannelRow",
    "Clause",
    "Clearance",
    "Closed",
    "Consent",
    "Contact",
    "Copies",
    "CopyRow",
    "Disputes",
    "DualControl",
    "Embargo",
    "Emergency",
    "End",
    "EndRow",
    "Exclude",
    "LevelRow",
    "NeedRow",
    "NeedToKnow",
    "OnFailure",
    "Onward",
    "OriginatorControl",
    "Oversight",
    "Passage",
    "PersonalDataRule",
    "PreApproval",
    "PrecedenceRule",
    "Purpose",
    "Quota",
    "Relabel",
    "Releasability",
    "Reproduction",
    "Residency",
    "Retention",
    "Scope",
    "SecurityMeasures",
    "Span",
    "Special",
    "Status",
    "Suites",
    "Survives",
    "UseRule",
    "Window",
]

Clause = (
    Scope
    | Ceiling
    | Clearance
    | NeedToKnow
    | Releasability
    | OriginatorControl
    | Onward
    | Purpose
    | PersonalDataRule
    | Residency
    | Channel
    | Retention
    | Reproduction
    | Quota
    | PrecedenceRule
    | DualControl
    | Acknowledge
    | Suites
    | Capabilities
    | UseRule
    | Embargo
    | Relabel
    | Emergency
    | Survives
    | Audit
    | Breach
    | Disputes
    | SecurityMeasures
    | Authorities
    | Article
)

CaveatClause = (
    Exclude
    | Ceiling
    | Clearance
    | NeedToKnow
    | Purpose
    | PersonalDataRule
    | Residency
    | Channel
    | Retention
    | Quota
    | PrecedenceRule
    | DualControl
    | Suites
    | Capabilities
)
