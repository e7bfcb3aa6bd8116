"""What is signed of a report besides its marking: its times, what it refers to, and the suite its keys are of.

Pure; an agreement bounds each, with its umbrella and the own party's caveats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from comity.envelope.core import Reference, Relation
from comity.errors import ErrorCode, KeyFault, MalformedError
from comity.identity.records import NodeRecord
from comity.node.agreement_view import AgreementView
from comity.report import Report, milliseconds
from comity.suites import KeyRole, Suite
from comity_policy.clauses import Retention, Suites
from comity_policy.facts import Times
from comity_policy.sources import AnyClause, every_layer

NO_TIMES: Final = Times(-1, -1, -1)
DEFAULT_KEEP_MS: Final = 30 * 86_400_000
_WORDS: Final = {relation: relation.name.lower().replace("_", "-") for relation in Relation}
_RELATIONS: Final = {word: relation for relation, word in _WORDS.items()}


def suite_of(view: AgreementView, own: NodeRecord) -> Suite:
    """Give the first suite the agreement allows that our node has keys of; without a clause the default one."""
    clauses = [one for one in _binding(view) if isinstance(one, Suites)]
    allowed = clauses[0].allowed if clauses else (int(Suite.HYBRID),)
    for suite in allowed:
        if all(suite in one.allowed for one in clauses) and own.key(KeyRole.NODE_SIGNING, suite) is not None:
            return Suite(suite)
    raise KeyFault(
        f"{own.identity} has no key of a suite that {view.agreement_id} allows",
        what_to_do=f"comity node rotate {own.identity}",
        code=ErrorCode.SUITE_NOT_ALLOWED,
    )


def longest_keeping(view: AgreementView) -> int:
    """Give how long a report under an agreement may be kept, in milliseconds; without a clause 30 days."""
    kept = [one.longest.milliseconds for one in _binding(view) if isinstance(one, Retention)]
    return min([DEFAULT_KEEP_MS, *kept])


def _binding(view: AgreementView) -> Iterator[AnyClause]:
    """Give every clause that binds what is sent: the agreement's own first, its umbrella's, and those of own caveats."""
    return (clause for layer in every_layer(view.compiled.source) for clause in layer.clauses)


def times_of(report: Report, keep_ms: int, now: int) -> Times:
    """Give the signed times: `not_before` never before now, `expires_at` as late as the agreement lets it."""
    not_before = now if report.not_before is None else max(now, milliseconds(report.not_before))
    expires_at = now + keep_ms if report.expires_at is None else milliseconds(report.expires_at)
    if expires_at <= not_before:
        raise MalformedError(
            "the report would expire before it may be handed over",
            what_to_do="Give an expires_at after not_before, or leave both out.",
        )
    return Times(now, not_before, expires_at)


def references_of(report: Report) -> tuple[Reference, ...]:
    """Give the references as a core holds them; raises MalformedError for a relation that is none."""
    found: list[Reference] = []
    for word, report_id, leaf in report.refers_to:
        if word not in _RELATIONS:
            raise MalformedError(f"{word!r} is not one of: {', '.join(_RELATIONS)}")
        found.append(Reference(_RELATIONS[word], report_id.bytes, leaf))
    return tuple(found)


def words_of(references: tuple[Reference, ...]) -> tuple[tuple[str, UUID, bytes], ...]:
    """Give references as reports hold them."""
    return tuple((_WORDS[one.relation], UUID(bytes=one.report_id), one.leaf) for one in references)
