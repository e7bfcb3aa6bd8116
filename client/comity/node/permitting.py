"""Which portions of an opened report its opener may have: the decisions at point O, and what is lacking where they refuse.

Rules in order:
1. Each portion is decided twice: with the agreement as it was at its admission and the time of that log entry, and as of now,
   under the version it names and every later one that applies to what is held. It is permitted where all permit it.
2. What the opening itself brings (who reads, for what purpose and use, caveats acknowledged, a registered copy) is the same on
   both occasions. That it was opened before counts as of now only: nothing was, when it was admitted.
3. A caveat counts as acknowledged where its very words were, as the text of that occasion has them. A purpose is what the
   opener states, never the sender's for want of one.
4. Consent to a use is given by nobody in this release, and a marking is the one that was signed: nobody changed it.
5. A portion for which only something of the opening is lacking *waits*: another opening may have it. What no opening could have
   is refused.
Pure: facts, times and texts are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from comity_policy.engine import CompiledAgreement
from comity_policy.explanation import ClauseExplanation, explain
from comity_policy.facts import Moment, NodeFacts, Profile, Reader, Times, Use
from comity_policy.readers import Lack, UseCaveat, lacking, use_caveats

NO_CONSENTS: Final[frozenset[Use]] = frozenset()
NOT_RELABELLED: Final = ""
NOT_ENROLLED: Final = "this node was not enrolled then"
_NEVER: Final = frozenset[str]()
_NOTHING: Final = frozenset[bytes]()


@dataclass(frozen=True, slots=True)
class Opened:
    """What one opening brings: `purposes` that the opener states, caveats `acknowledged` by the digests of their words."""

    purposes: tuple[str, ...] = ()
    use: Use = Use.READ
    reader: Reader | None = None
    acknowledged: frozenset[bytes] = _NOTHING
    registered: bool = False
    held: bool = False

    def purpose_of(self, stated: str) -> str | None:
        """Give what a report that states that purpose is opened for: the same, where it is among the opener's; None without any."""
        return stated if stated in self.purposes else next(iter(self.purposes), None)

    def onto(self, moment: Moment, stated: str, caveats: Iterable[UseCaveat] = ()) -> Moment:
        """Give a moment with the facts of this opening, of a report that states that purpose and stands under those caveats."""
        return replace(
            moment,
            opening_purpose=self.purpose_of(stated),
            reader=self.reader,
            use=self.use,
            consents=NO_CONSENTS,
            registered=self.registered,
            caveats_acknowledged=frozenset(one.clause_id for one in caveats if one.digest in self.acknowledged),
            relabelled_by=NOT_RELABELLED,
        )


class Occasion(NamedTuple):
    """One occasion to decide at: the agreement as it was, our node as it was (None: not enrolled), and the moment.

    `later`: a version that came after the one a report names, and applies to what is held; it is asked as if the report named it.
    `as_admitted`: the moment is that of its admission, of which nobody asks whether an embargo was over.
    """

    compiled: CompiledAgreement
    node: NodeFacts | None
    moment: Moment
    later: bool = False
    as_admitted: bool = False

    def named(self, profile: Profile) -> Profile:
        """Give the profile as this version is asked about it."""
        return replace(profile, agreement_digest=self.compiled.source.digest) if self.later else profile

    def lasting(self, times: Times) -> Times:
        """Give the signed times as this moment is asked about them."""
        put_off = self.as_admitted and times.not_before > times.created_at
        return replace(times, not_before=times.created_at) if put_off else times


@dataclass(frozen=True, slots=True)
class Permitted:
    """What came out. `refused` explains what stays closed; `waiting` says of a portion what another opening would bring for it.

    `caveats` are those that were not acknowledged and keep something closed.
    """

    portions: tuple[int, ...]
    waiting: Mapping[int, frozenset[Lack]]
    refused: tuple[ClauseExplanation, ...] = ()
    reasons: tuple[str, ...] = ()
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
    return Permitted(tuple(open_), {}) if not closed else _closed(tuple(open_), closed, profile, times)


def _permits(occasion: Occasion, profile: Profile, times: Times, index: int) -> bool:
    compiled, node, moment, *_ = occasion
    if node is None:
        return False
    return compiled.decide(occasion.named(profile), occasion.lasting(times), index, node, moment).permit


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
        waiting=waiting,
        refused=tuple(replace(one, portions=tuple(indices)) for one, indices in told.items()),
        reasons=tuple(reasons),
        caveats=_caveats(closed, profile) if caveats_alone else (),
    )


def _lacking(occasion: Occasion, profile: Profile, times: Times, index: int) -> frozenset[Lack]:
    compiled, node, moment, *_ = occasion
    if node is None:
        return frozenset()
    return lacking(compiled, occasion.named(profile), occasion.lasting(times), index, node, moment)


def _explained(
    denials: Sequence[Occasion], profile: Profile, times: Times, index: int
) -> dict[str, ClauseExplanation | None]:
    """Give what refuses a portion by clause id, each clause once: as of the last occasion on which it refuses."""
    found: dict[str, ClauseExplanation | None] = {}
    for one in denials:
        compiled, node, moment, *_ = one
        if node is None:
            found[NOT_ENROLLED] = None
            continue
        named, lasting = one.named(profile), one.lasting(times)
        decision = compiled.decide(named, lasting, index, node, moment)
        explained = explain(compiled, named, lasting, index, node, moment, decision)
        found |= {each.clause_id: each for each in explained}
    return found


def _caveats(closed: Mapping[int, Sequence[Occasion]], profile: Profile) -> tuple[UseCaveat, ...]:
    found: dict[bytes, UseCaveat] = {}
    for denials in closed.values():
        for compiled, node, moment, *_ in denials:
            if node is not None:
                acknowledged = moment.caveats_acknowledged or _NEVER
                found |= {one.digest: one for one in use_caveats(compiled.source, profile, node, acknowledged)}
    return tuple(found.values())
