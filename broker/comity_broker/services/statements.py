"""Statements between protobuf and our own record: exact bytes in, exact bytes out."""

from __future__ import annotations

from comity.statement import Statement, StatementSignature
from comity.v1 import identity_pb2


def statement_of(message: identity_pb2.Statement) -> Statement:
    """Give the statement a message carries; raises MalformedError."""
    return Statement(message.body, tuple(StatementSignature(one.key, one.signature) for one in message.signatures))
