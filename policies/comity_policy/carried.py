"""What of an agreement this release does not carry yet: nobody proposes or signs a text that could only refuse, or not end.

The engine decides every clause, the whole life of an agreement is carried and the ledger follows every duty, but some kinds count in
one log of one broker. What needs more is named here, once, for `check`, for whoever proposes or signs, and for the broker that is
brought a text. What is carried and has no command yet, so that nothing comes of it, is named by `unused`.

    >>> not_carried(document)
    (NotCarried(clause_id='8', what="quota: it is counted in one log, not over an umbrella's arrangements or several brokers"),)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from comity_policy import clauses as kinds
from comity_policy.clauses import CaveatClause, Clause
from comity_policy.companions import Caveat
from comity_policy.sections import AgreementKind, Document

# An umbrella's arrangements, and an agreement's brokers, each have a log of their own.
_COUNTING: Final = (kinds.Acknowledge, kinds.Quota)
_UNUSED: Final[Mapping[type, str]] = {
    kinds.Onward: "no command of this release passes anything on, so nothing goes onward under it",
}


@dataclass(frozen=True, slots=True)
class NotCarried:
    """A clause that is not carried, or of which nothing comes; `what` says what it is, and what is lacking for it."""

    clause_id: str
    what: str


def not_carried(document: Document) -> tuple[NotCarried, ...]:
    """Give every clause of an agreement that this release does not carry, in their order."""
    one_log = document.kind != AgreementKind.UMBRELLA and len(document.brokers) < 2
    return () if one_log else tuple(_uncounted(document.clauses))


def caveat_not_carried(caveat: Caveat, document: Document) -> tuple[NotCarried, ...]:
    """Give the same of a national caveat on an agreement."""
    return () if len(document.brokers) < 2 else tuple(_uncounted(caveat.clauses))


def unused(document: Document) -> tuple[NotCarried, ...]:
    """Give every clause that is decided and of which nothing comes in this release, in their order."""
    found = ((one, _UNUSED.get(type(one))) for one in document.clauses)
    return tuple(NotCarried(one.id, f"{_tag(one)}: {lacking}") for one, lacking in found if lacking is not None)


def told(parts: tuple[NotCarried, ...]) -> str:
    """Give the parts in one line of words for a refusal."""
    return "; ".join(f"clause {one.clause_id}, {one.what}" for one in parts)


def _uncounted(clauses: Iterable[Clause | CaveatClause]) -> Iterator[NotCarried]:
    for one in clauses:
        if isinstance(one, _COUNTING):
            what = "it is counted in one log, not over an umbrella's arrangements or several brokers"
            yield NotCarried(one.id, f"{_tag(one)}: {what}")


def _tag(clause: Clause | CaveatClause) -> str:
    return str(clause.__struct_config__.tag)
