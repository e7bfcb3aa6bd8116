"""What of an agreement this release does not carry yet: nobody proposes or signs a text that could only refuse, or not end.

The engine decides every clause, the whole life of an agreement is carried and the ledger follows every duty, but brokers and the
SDK attest only some facts. What needs more is named here, once, for `check`, for whoever proposes or signs, and for the broker
that is brought a text.

    >>> not_carried(document)
    (NotCarried(clause_id='8', what='onward: nothing is passed on by anybody but its originator'),)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from comity_policy import clauses as kinds
from comity_policy.clauses import CaveatClause, Clause
from comity_policy.companions import Caveat
from comity_policy.sections import AgreementKind, Document

_FACTS: Final[Mapping[type, str]] = {
    kinds.Onward: "nothing is passed on by anybody but its originator",
}


@dataclass(frozen=True, slots=True)
class NotCarried:
    """A clause that is not carried; `what` says what it is, and what is lacking for it."""

    clause_id: str
    what: str


# Kinds that count in one log of one broker: an umbrella's arrangements, and an agreement's brokers, each have a log of their own.
_COUNTING: Final = (kinds.Acknowledge, kinds.Quota)


def not_carried(document: Document) -> tuple[NotCarried, ...]:
    """Give every clause of an agreement that this release does not carry, in their order."""
    counted = document.kind != AgreementKind.UMBRELLA and len(document.brokers) < 2
    found = (_clause(one) if counted or not isinstance(one, _COUNTING) else _uncounted(one) for one in document.clauses)
    return tuple(NotCarried(one.id, what) for one, parts in zip(document.clauses, found, strict=True) for what in parts)


def caveat_not_carried(caveat: Caveat) -> tuple[NotCarried, ...]:
    """Give the same of a national caveat: a clause of which no fact is attested would stop everything its party sends."""
    return _parts(caveat.clauses)


def told(parts: tuple[NotCarried, ...]) -> str:
    """Give the parts in one line of words for a refusal."""
    return "; ".join(f"clause {one.clause_id}, {one.what}" for one in parts)


def _uncounted(clause: Clause) -> Iterator[str]:
    yield f"{clause.__struct_config__.tag}: it is counted in one log, not over an umbrella's arrangements or several brokers"


def _parts(clauses: Iterable[Clause | CaveatClause]) -> tuple[NotCarried, ...]:
    return tuple(NotCarried(one.id, what) for one in clauses for what in _clause(one))


def _clause(clause: Clause | CaveatClause) -> Iterator[str]:
    tag = clause.__struct_config__.tag
    lacking = _FACTS.get(type(clause))
    if lacking is not None:
        yield f"{tag}: {lacking}"
