"""Whether an officer is in office: at one place of the key log and one moment, for one agreement."""

from __future__ import annotations

from comity.identity.directory import KeyDirectory
from comity_policy.facts import Role


def in_office(
    keys: KeyDirectory,
    officer: str,
    key: bytes,
    role: Role,
    agreement_id: str,
    *,
    now_ms: int,
    log_size: int | None = None,
) -> bool:
    """Say whether an officer (PARTY/NAME) holds a role for an agreement by an accreditation that counts, and the key does.

    `key` is the fingerprint of what the officer signed with, 48 bytes; `log_size` how many entries the key log had (None: now).
    """
    party, _, name = officer.partition("/")
    record = keys.officer(party, name, log_size)
    return (
        record is not None
        and record.holds(role, agreement_id)
        and record.lists(key)
        and keys.is_current(record, now_ms, log_size)
        and keys.counts(key, log_size)
    )
