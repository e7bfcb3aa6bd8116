"""Which portions of an opened report its opener may have: the decisions at point O, and what is lacking where they refuse.

Rules in order:
1. Each portion is decided twice: with the agreement as it was at its admission and the time of that log entry, and as of now.
   It is permitted where both permit it.
2. What the opening itself brings (who reads, for what purpose and use, caveats acknowledged, a registered copy) is the same on
   both occasions. That it was opened before counts as of now only: nothing was, when it was admitted.
3. Consent to a use is given by nobody in this release, and a marking is the one that was signed: nobody changed it.
4. A portion for which only something of the opening is lacking *waits*: another opening may have it. What no opening could have
   is refused.
Pure: facts, times and texts are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from comity_policy.engine import CompiledAgreement
from comity_policy.explanation import ClauseExplanation, explain
from comity_policy.facts import Moment, NodeFacts, Profile, Reader, Times, Use
from comity_policy.readers import Lack, UseCaveat, lacking, use_caveats

NO_CONSENTS: Final[frozenset[Use]] = frozenset()
NOT_RELABELLED: Final = ""
NOT_ENROLLED: Final = "this node was not enrolled then"
_NEVER: Final = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Opened:
    """What one opening brings. `purpose` None adopts the one that the report states."""

    purpose: str | None = None
    use: Use = Use.READ
    reader: Reader | None = None
    acknowledged: frozenset[str] = _NEVER
    registered: bool = False
    held: bool = False

    def onto(self, moment: Moment, stated: str) -> Moment:
        """Give a moment with the facts of this opening, of a report that states that purpose."""
        return replace(
            moment,
            opening_purpose=stated if self.purpose is None else self.purpose,
            reader=self.reader,
            use=self.use,
            consents=NO_CONSENTS,
            registered=self.registered,
            caveats_acknowledged=self.acknowledged,
            relabelled_by=NOT_RELABELLED,
        )


# One occasion to decide at: the agreement as it was, our node as it was (None: not enrolled), and the moment.
Occasion = tuple[CompiledAgreement, NodeFacts | None, Moment]


@dataclass(frozen=True, slots=True)
class Permitted:
    """What came out. `refused` explains what stays closed; `lacks` is what another opening would bring for what waits.

    `caveats` are those that were not acknowledged and keep something closed.
    """

    portions: tuple[int, ...]
    waiting: tuple[int, ...]
    refused: tuple[ClauseExplanation, ...] = ()
    reasons: tuple[str, ...] = ()
    lacks: frozenset[Lack] = frozenset()
    caveats: tuple[UseCaveat, ...] = ()


def permitted(occasions: Sequence[Occasion], profile: Profile, times: Times, portions: Iterable[int]) -> Permitted:
    """Decide these portions by rule 1; where all are permitted, nothing is explained or tried."""
    open_, closed = [], {}
    for index in portions:
        denials = [one for one in occasions if not _permits(one, profile, times, index)]
        if denials:
            closed[index] = denials
        else:
            open_.append(index)
    return Permitted(tuple(open_), ()) if not closed else _closed(tuple(open_), closed, profile, times)


def _permits(occasion: Occasion, profile: Profile, times: Times, index: int) -> bool:
    compiled, node, moment = occasion
    return node is not None and compiled.decide(profile, times, index, node, moment).permit


def _closed(
    open_: tuple[int, ...], closed: Mapping[int, Sequence[Occasion]], profile: Profile, times: Times
) -> Permitted:
    """Say why portions stay closed, and which of them wait for another opening."""
    told: dict[ClauseExplanation, list[int]] = {}
    reasons: dict[str, None] = {}
    waiting: dict[int, frozenset[Lack]] = {}
    for index, denials in closed.items():
        lacked = [_lacking(one, profile, times, index) for one in denials]
        if all(lacked):
            waiting[index] = frozenset[Lack]().union(*lacked)
        for clause_id, one in _explained(denials, profile, times, index).items():
            reasons[clause_id] = None
            if one is not None:
                told.setdefault(replace(one, portions=()), []).append(index)
    caveats_alone = any(one == {Lack.CAVEATS} for one in waiting.values())
    return Permitted(
        portions=open_,
        waiting=tuple(waiting),
        refused=tuple(replace(one, portions=tuple(indices)) for one, indices in told.items()),
        reasons=tuple(reasons),
        lacks=frozenset[Lack]().union(*waiting.values()),
        caveats=_caveats(closed, profile) if caveats_alone else (),
    )


def _lacking(occasion: Occasion, profile: Profile, times: Times, index: int) -> frozenset[Lack]:
    compiled, node, moment = occasion
    return frozenset() if node is None else lacking(compiled, profile, times, index, node, moment)


def _explained(
    denials: Sequence[Occasion], profile: Profile, times: Times, index: int
) -> dict[str, ClauseExplanation | None]:
    """Give what refuses a portion by clause id, each clause once: as of the last occasion on which it refuses."""
    found: dict[str, ClauseExplanation | None] = {}
    for compiled, node, moment in denials:
        if node is None:
            found[NOT_ENROLLED] = None
            continue
        decision = compiled.decide(profile, times, index, node, moment)
        found |= {one.clause_id: one for one in explain(compiled, profile, times, index, node, moment, decision)}
    return found


def _caveats(closed: Mapping[int, Sequence[Occasion]], profile: Profile) -> tuple[UseCaveat, ...]:
    found: dict[str, UseCaveat] = {}
    for denials in closed.values():
        for compiled, node, moment in denials:
            if node is not None:
                acknowledged = moment.caveats_acknowledged or _NEVER
                found |= {one.clause_id: one for one in use_caveats(compiled.source, profile, node, acknowledged)}
    return tuple(found.values())
