"""Agreement documents: strict TOML in, one frozen value out, or a refusal that names path and line.

Rules in order (design of agreements):

1. At most 1 MiB of UTF-8 TOML. TOML, because it coerces nothing: YAML reads the country ``NO`` as false.
2. Only known sections, fields, clause kinds and words; a parameter that nothing honours is unknown. Every value has
   exactly its type: a date in quotation marks is text, ``true`` is no number.
3. What must hold between the parts is `semantics.py`: ids, references, texts in every language, equivalences that are
   total and monotone, ceilings for every direction that is granted, words of the vocabularies, positive spans; what the
   agreement's life needs (entry into force, term, notice, annexes) is `terms.py`; what its invariants need is
   `invariant_faults.py`.
4. The vocabularies an agreement names by digest are those bundled here (`vocabulary.py`), or it does not load.

    document = load(path.read_bytes())
    document.clause("4.1"), document.rank_of(("XAR", "XBO"), "SECRET")

The digest that is signed is taken over the very bytes given to `load`, never over a value printed again.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from comity_policy.clauses import Clause
from comity_policy.faults import Fault
from comity_policy.invariants import Invariant
from comity_policy.sections import (
    AgreementKind,
    Amends,
    Annex,
    Broker,
    Document,
    Duration,
    EntryIntoForce,
    Equivalence,
    Heading,
    Interpretation,
    Languages,
    NoLevel,
    Party,
    Provisional,
    Row,
    Termination,
    Under,
)
from comity_policy.semantics import structure_faults, word_faults
from comity_policy.strict_toml import (
    SIZE_LIMIT,
    AtError,
    DocumentError,
    clause_of,
    converted,
    each,
    each_named,
    load_with,
    sections_known,
)
from comity_policy.toml_lines import Path
from comity_policy.vocabulary import VocabularyError, resolve

__all__ = [
    "SIZE_LIMIT",
    "Amends",
    "Annex",
    "Broker",
    "Document",
    "DocumentError",
    "Duration",
    "EntryIntoForce",
    "Equivalence",
    "Interpretation",
    "Languages",
    "NoLevel",
    "Party",
    "Provisional",
    "Row",
    "Termination",
    "Under",
    "load",
]

_REQUIRED = (
    "agreement",
    "parties",
    "brokers",
    "languages",
    "entry_into_force",
    "duration",
    "vocabularies",
    "equivalence",
    "clause",
)
_OPTIONAL = ("under", "termination", "provisional", "interpretation", "amends", "annex", "invariant")
_T = TypeVar("_T")


def load(data: bytes) -> Document:
    """Give the document the bytes say, at most 1 MiB; raises DocumentError, and nothing else, for anything wrong."""
    return load_with(
        data, _document, lambda document: next(structure_faults(document), None) or _unknown_words(document)
    )


def _document(raw: dict[str, object]) -> Document:
    sections_known(raw, _REQUIRED, _OPTIONAL)
    heading = converted(raw["agreement"], Heading, ("agreement",))
    if heading.kind not in tuple(AgreementKind):
        known = ", ".join(AgreementKind)
        raise AtError(("agreement", "kind"), f"{heading.kind!r} is not a kind of agreement; write one of {known}")
    annexes = each(raw.get("annex", []), "annex", _annex)
    return Document(
        id=heading.id,
        version=heading.version,
        kind=heading.kind,
        title=heading.title,
        parties=each_named(raw["parties"], Party, "parties"),
        brokers=each_named(raw["brokers"], Broker, "brokers"),
        languages=converted(raw["languages"], Languages, ("languages",)),
        entry_into_force=converted(raw["entry_into_force"], EntryIntoForce, ("entry_into_force",)),
        duration=converted(raw["duration"], Duration, ("duration",)),
        equivalences=each(raw["equivalence"], "equivalence", _equivalence),
        clauses=(*each(raw["clause"], "clause", _clause), *(clause for annex in annexes for clause in annex.clauses)),
        vocabularies=each_named(raw["vocabularies"], str, "vocabularies"),
        termination=_optional(raw, "termination", Termination),
        interpretation=_optional(raw, "interpretation", Interpretation) or Interpretation(),
        under=_optional(raw, "under", Under),
        provisional=_optional(raw, "provisional", Provisional),
        amends=_optional(raw, "amends", Amends),
        annexes=annexes,
        invariants=each(raw.get("invariant", []), "invariant", _invariant),
    )


def _optional(raw: dict[str, object], name: str, kind: type[_T]) -> _T | None:
    return converted(raw[name], kind, (name,)) if name in raw else None


def _annex(raw: object, path: Path) -> Annex:
    if not isinstance(raw, dict) or "clause" not in raw:
        return converted(raw, Annex, path)
    annex = converted({**raw, "clause": []}, Annex, path)
    clauses = each(raw["clause"], "clause", _clause, path)
    return msgspec.structs.replace(annex, clauses=clauses)


def _equivalence(raw: object, path: Path) -> Equivalence:
    return converted(raw, Equivalence, path)


def _clause(raw: object, path: Path) -> Clause:
    made: Clause = clause_of(raw, Clause, path)  # type: ignore[arg-type]  # a union is a type to msgspec, not to mypy
    return made


def _invariant(raw: object, path: Path) -> Invariant:
    made: Invariant = clause_of(raw, Invariant, path, "invariant")  # type: ignore[arg-type]  # a union, as above
    return made


def _unknown_words(document: Document) -> Fault | None:
    try:
        words = resolve(document.vocabularies)
    except VocabularyError as error:
        return Fault(("vocabularies", error.name), str(error))
    return next(word_faults(document, words), None)
