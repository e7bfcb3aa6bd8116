"""What `comity agreement check` says of an agreement's invariants: those that its clauses do not keep, as far as z3 is here."""

from __future__ import annotations

from collections.abc import Iterator

from comity.cli.base import optional_part
from comity.errors import ComityError, ErrorCode
from comity_policy.check_finding import Finding, note
from comity_policy.companions import Umbrella
from comity_policy.document import Document
from comity_policy.engine import compile_agreement
from comity_policy.facts import AgreementState
from comity_policy.sections import AgreementKind
from comity_policy.vocabulary import bundled


def promise_findings(document: Document, digest: bytes, umbrella: Umbrella | None = None) -> Iterator[Finding]:
    """Give an error for each invariant that does not hold, and a note where none could be proved."""
    if not document.invariants and umbrella is None:
        return
    if document.kind == AgreementKind.ARRANGEMENT and umbrella is None:
        yield note("", "its invariants are not proved here: comity agreement prove FILE --umbrella FILE")
        return
    try:
        with optional_part("analysis"):
            from comity_policy.analysis import proofs  # noqa: PLC0415 - an optional part, and slow to load
    except ComityError as error:
        if error.code is not ErrorCode.NOT_INSTALLED:
            raise
        yield note("", f"its invariants are not proved here: {error.what_to_do}")
        return
    in_force = AgreementState(in_force=True)
    source = compile_agreement(document, digest, in_force, bundled(), umbrella=umbrella).source
    yield from proofs.broken_promises(source)
