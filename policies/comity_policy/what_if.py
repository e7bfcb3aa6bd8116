"""What another text of an agreement would have answered: recorded decisions, asked again under a draft.

The draft is taken as the text that the reports name, in the state, under the umbrella and with the caveats of then; what was
suspended then and has no clause in the draft suspends nothing. A record that tells of an umbrella nobody holds is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from comity_policy.caveat import binding
from comity_policy.companions import Umbrella
from comity_policy.document import Document
from comity_policy.engine import CompiledAgreement, decide_report
from comity_policy.recorded import Held, Recipient, Recorded, Under
from comity_policy.sources import source_of


@dataclass(frozen=True, slots=True)
class Change:
    """One portion that another text would have decided otherwise: permitted then or now, and the clauses that refuse."""

    slot: int
    recipient: Recipient
    portion: int
    permits: bool
    clauses: tuple[str, ...]


class WhatIf:
    """Asks of recorded decisions what another text of the agreement would have answered."""

    def __init__(self, held: Held, draft: Document) -> None:
        self._held = held
        self._draft = draft
        self._compiled: dict[Under, CompiledAgreement | None] = {}

    def changes(self, recorded: Recorded) -> Iterator[Change]:
        """Give what would have been decided otherwise, by report, recipient and portion.

        The draft is taken as the text that the reports name, in the state, under the umbrella and with the caveats of then;
        what was suspended then and has no clause in the draft suspends nothing.
        """
        compiled = self._under(recorded.under)
        if compiled is None:
            return
        said = {(name, portion) for name, portions in recorded.permitted.items() for portion in portions}
        for slot, times in recorded.reports:
            found = decide_report(compiled, recorded.profile, times, recorded.nodes, recorded.moment)
            got = {(name, portion) for name, portions in found.permitted.items() for portion in portions}
            for name, portion in sorted(said ^ got):
                permits = (name, portion) in got
                then = recorded.refused.get((*name, portion), frozenset())
                now = found.violations.get((*name, portion), ())
                clauses = sorted(clause for clause, _ in then) if permits else [one.clause_id for one in now]
                yield Change(slot, name, portion, permits, tuple(clauses))

    def _under(self, under: Under) -> CompiledAgreement | None:
        if under not in self._compiled:
            above = under.umbrella
            text = None if above is None else self._held.documents.get(above[1])
            if above is not None and text is None:
                self._compiled[under] = None
                return None
            umbrella = None if above is None or text is None else Umbrella(text, above[1], above[2])
            caveats = [self._held.caveats[one] for _, _, one in under.caveats if one in self._held.caveats]
            named = self._held.documents.get(under.agreement_digest)
            document = replace(self._draft, id=named.id) if named is not None else self._draft
            caveats = [binding(one, document, under.agreement_digest) for one in caveats]
            source = source_of(
                document,
                under.agreement_digest,
                under.state,
                self._held.vocabularies,
                umbrella=umbrella,
                caveats=caveats,
            )
            self._compiled[under] = CompiledAgreement(source)
        return self._compiled[under]
