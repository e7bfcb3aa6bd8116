"""What `comity agreement prove | export` work on: an agreement's text as it is decided, an arrangement with its umbrella."""

from __future__ import annotations

from pathlib import Path

import click

from comity.errors import ErrorCode, MalformedError, UsageError
from comity.node.agreements import document_digest
from comity.node.files import read_file
from comity.node.negotiation import load_document
from comity_policy.document import SIZE_LIMIT, Document
from comity_policy.engine import CompositionError, compile_agreement
from comity_policy.facts import AgreementState
from comity_policy.lowering import Source, Umbrella
from comity_policy.sections import AgreementKind
from comity_policy.vocabulary import bundled

IN_FORCE = AgreementState(in_force=True)

UMBRELLA = click.option("--umbrella", metavar="FILE", help="The umbrella agreement of an arrangement.")


def source_in_force(file: str, umbrella: str | None, suspended: tuple[str, ...] = ()) -> Source:
    """Give the agreement in force, with clauses suspended; raises UsageError for clauses that cannot be.

    Raises MalformedError for a text that does not load, and for an umbrella that is not the one the text names.
    """
    document, digest = _loaded(file)
    if document.kind == AgreementKind.ARRANGEMENT and umbrella is None:
        raise UsageError(f"{document.id} is decided with its umbrella", what_to_do="--umbrella FILE")
    above = Umbrella(*_loaded(umbrella), IN_FORCE) if umbrella is not None else None
    state = AgreementState(in_force=True, suspended_clauses=_suspendable(document, suspended))
    try:
        return compile_agreement(document, digest, state, bundled(), umbrella=above).source
    except CompositionError as error:
        raise MalformedError(
            str(error), what_to_do="--umbrella names the text that [under] names.", code=ErrorCode.AGREEMENT_INVALID
        ) from error


def _loaded(file: str) -> tuple[Document, bytes]:
    text = read_file(Path(file), SIZE_LIMIT)
    return load_document(text), document_digest(text)


def _suspendable(document: Document, clause_ids: tuple[str, ...]) -> frozenset[str]:
    known = {clause.id: clause for clause in document.clauses}
    for clause_id in clause_ids:
        if clause_id not in known:
            raise UsageError(f"{document.id} has no clause {clause_id}", what_to_do=f"It has {', '.join(known)}.")
        if not known[clause_id].suspendable:
            raise UsageError(f"clause {clause_id} cannot be suspended", what_to_do="Name another, or none.")
    return frozenset(clause_ids)
