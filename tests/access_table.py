"""Who may call what, written by hand: the second pair of eyes on the declarations in the protocol files.

Columns: n node, l liaison, r release-authority, g legal-reviewer, d duty-officer, s security-authority, p plenipotentiary,
a auditor, o operator, u a certificate that is not enrolled. An upper-case O is an operator of the broker's own party only.
"""

from __future__ import annotations

LETTERS = {
    "n": "node",
    "l": "liaison",
    "r": "release-authority",
    "g": "legal-reviewer",
    "d": "duty-officer",
    "s": "security-authority",
    "p": "plenipotentiary",
    "a": "auditor",
    "o": "operator",
    "u": "unenrolled",
}

TABLE = {
    "/comity.v1.DirectoryService/BeginEnrolment": "nlrgdspaou",
    "/comity.v1.DirectoryService/CompleteEnrolment": "nlrgdspaou",
    "/comity.v1.DirectoryService/PublishStatement": "nlrgdspao",
    "/comity.v1.AgreementService/Propose": "lp",
    "/comity.v1.AgreementService/SubmitStep": "lrgsp",
    "/comity.v1.AgreementService/SubmitAct": "nlrgdsp",
    "/comity.v1.AgreementService/ListAgreements": "nlrgdspa",
    "/comity.v1.AgreementService/GetAgreement": "nlrgdspa",
    "/comity.v1.AttachmentService/Upload": "n",
    "/comity.v1.AttachmentService/Download": "n",
    "/comity.v1.AuditService/GetCheckpoint": "nlrgdspao",
    "/comity.v1.AuditService/GetEntries": "nlrgdspao",
    "/comity.v1.AuditService/GetInclusionProof": "nlrgdspao",
    "/comity.v1.AuditService/GetTile": "nlao",
    "/comity.v1.AuditService/PresentCheckpoint": "nla",
    "/comity.v1.AuditService/GetEvidence": "nla",
    "/comity.v1.ExchangeService/Publish": "n",
    "/comity.v1.ExchangeService/PublishOne": "n",
    "/comity.v1.ExchangeService/Subscribe": "n",
    "/comity.v1.ExchangeService/Replay": "n",
    "/comity.v1.ExchangeService/ListReports": "nla",
    "/comity.v1.ExchangeService/ResolveParked": "n",
    "/comity.v1.ExchangeService/ResolveHeld": "n",
    "/comity.v1.OperationsService/GetStatus": "O",
    "/comity.v1.OperationsService/GetMetrics": "O",
    "/comity.v1.OperationsService/SetMaintenance": "O",
    "/comity.v1.OperationsService/Drain": "O",
    "/grpc.health.v1.Health/Check": "nlrgdspao",
    "/grpc.health.v1.Health/Watch": "nlrgdspao",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "nlrgdspao",
}


def roles_of(method: str) -> frozenset[str]:
    """Give the roles that may call a method."""
    return frozenset(LETTERS[letter] for letter in TABLE[method].lower())
