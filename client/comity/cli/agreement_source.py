"""What `comity agreement check | test | prove | diff | export` work on: a text as it is decided, with its umbrella and caveats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from comity.errors import ErrorCode, MalformedError, UsageError
from comity.node.files import read_file
from comity.node.negotiation import load_document
from comity.texts import agreement_digest
from comity_policy.caveat import load_caveat
from comity_policy.companions import Caveat, Umbrella
from comity_policy.document import SIZE_LIMIT, Document, DocumentError
from comity_policy.engine import CompositionError, compile_agreement
from comity_policy.facts import AgreementState
from comity_policy.sections import AgreementKind
from comity_policy.sources import Source
from comity_policy.tables import companions_named
from comity_policy.vocabulary import bundled

IN_FORCE = AgreementState(in_force=True)

_C = TypeVar("_C", bound=Callable[..., object])

UMBRELLA = click.option("--umbrella", metavar="FILE", help="The umbrella agreement of an arrangement.")
CAVEATS = click.option("--caveat", "caveats", multiple=True, metavar="FILE", help="A national caveat; may be repeated.")


def beside(command: _C) -> _C:
    """Give a command the options --umbrella and --caveat."""
    return UMBRELLA(CAVEATS(command))


@dataclass(frozen=True, slots=True)
class Text:
    """A text with what stands beside it: the umbrella (in force) and the caveats that were given, each on this very text."""

    document: Document
    digest: bytes
    umbrella: Umbrella | None = None
    caveats: tuple[Caveat, ...] = ()

    def source(self, state: AgreementState = IN_FORCE) -> Source:
        """Give what is decided; raises UsageError for an arrangement without its umbrella."""
        if self.document.kind == AgreementKind.ARRANGEMENT and self.umbrella is None:
            raise UsageError(f"{self.document.id} is decided with its umbrella", what_to_do="--umbrella FILE")
        return compile_agreement(
            self.document, self.digest, state, bundled(), umbrella=self.umbrella, caveats=self.caveats
        ).source


def read_text(file: str, umbrella: str | None = None, caveats: Sequence[str] = ()) -> Text:
    """Read a text, its umbrella and the caveats on it.

    Raises MalformedError for one that does not load, and for an umbrella or caveat that does not belong to the text.
    """
    document, digest = _loaded(file)
    above = Umbrella(*_loaded(umbrella), IN_FORCE) if umbrella is not None else None
    return _checked(Text(document, digest, above, tuple(_caveat(one, document) for one in caveats)))


def named_beside(path: Path, table: bytes) -> tuple[str | None, tuple[str, ...]]:
    """Give the files of the umbrella and the caveats that the table of cases at `path` names; raises TableError."""
    named = companions_named(table)
    umbrella = str(path.with_name(named.umbrella)) if named.umbrella else None
    return umbrella, tuple(str(path.with_name(name)) for name in named.caveats)


def read_texts(files: tuple[str, str], umbrellas: Sequence[str], caveats: Sequence[str]) -> tuple[Text, Text]:
    """Read two texts; each umbrella and caveat goes to the text that names it, or that it names, by digest.

    Raises as `read_text`, and MalformedError for an umbrella or caveat that belongs to neither.
    """
    texts = [Text(*_loaded(file)) for file in files]
    for file in umbrellas:
        above = Umbrella(*_loaded(file), IN_FORCE)
        named = f"sha384:{above.digest.hex()}"
        found = [at for at, one in enumerate(texts) if one.document.under and one.document.under.digest == named]
        _require_any(found, file, "is the umbrella of neither text")
        for at in found:
            texts[at] = Text(texts[at].document, texts[at].digest, above, texts[at].caveats)
    for file in caveats:
        known = [(at, _caveat(file, one.document), f"sha384:{one.digest.hex()}") for at, one in enumerate(texts)]
        narrowed = [(at, caveat) for at, caveat, named in known if caveat.digest == named]
        _require_any(narrowed, file, "is on neither text")
        for at, caveat in narrowed:
            one = texts[at]
            texts[at] = Text(one.document, one.digest, one.umbrella, (*one.caveats, caveat))
    return _checked(texts[0]), _checked(texts[1])


def source_in_force(
    file: str, umbrella: str | None, suspended: tuple[str, ...] = (), caveats: Sequence[str] = ()
) -> Source:
    """Give the agreement in force, with clauses suspended; raises UsageError for clauses that cannot be, else as `read_text`."""
    text = read_text(file, umbrella, caveats)
    return text.source(AgreementState(in_force=True, suspended_clauses=_suspendable(text.document, suspended)))


def _checked(text: Text) -> Text:
    try:
        compile_agreement(text.document, text.digest, IN_FORCE, bundled(), umbrella=text.umbrella, caveats=text.caveats)
    except CompositionError as error:
        raise MalformedError(
            str(error),
            what_to_do="--umbrella names the text that [under] names, --caveat one whose digest is that of the text.",
            code=ErrorCode.AGREEMENT_INVALID,
        ) from error
    return text


def _require_any(found: Sequence[object], file: str, problem: str) -> None:
    if not found:
        raise MalformedError(
            f"{file} {problem}", what_to_do="Compare the digests they name.", code=ErrorCode.AGREEMENT_INVALID
        )


def _loaded(file: str) -> tuple[Document, bytes]:
    text = read_file(Path(file), SIZE_LIMIT)
    return load_document(text), agreement_digest(text)


def _caveat(file: str, document: Document) -> Caveat:
    try:
        return load_caveat(read_file(Path(file), SIZE_LIMIT), document)
    except DocumentError as error:
        raise MalformedError(
            f"{file}: {error}", what_to_do="Correct the caveat.", code=ErrorCode.AGREEMENT_INVALID
        ) from error


def _suspendable(document: Document, clause_ids: tuple[str, ...]) -> frozenset[str]:
    known = {clause.id: clause for clause in document.clauses}
    for clause_id in clause_ids:
        if clause_id not in known:
            raise UsageError(f"{document.id} has no clause {clause_id}", what_to_do=f"It has {', '.join(known)}.")
        if not known[clause_id].suspendable:
            raise UsageError(f"clause {clause_id} cannot be suspended", what_to_do="Name another, or none.")
    return frozenset(clause_ids)
