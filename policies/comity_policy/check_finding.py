"""What the check of an agreement finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about an agreement; `clause_id` is empty where it is about the whole."""

    severity: Severity
    clause_id: str
    message: str


def error(clause_id: str, message: str) -> Finding:
    return Finding(Severity.ERROR, clause_id, message)


def warning(clause_id: str, message: str) -> Finding:
    return Finding(Severity.WARNING, clause_id, message)


def note(clause_id: str, message: str) -> Finding:
    return Finding(Severity.NOTE, clause_id, message)
