"""What a recorded decision says it was made under, held against what the log's own steps before it amount to.

The text that governs, its state, the caveats in force and, where its own log is known, the umbrella: each that is not the same is a
difference of its own, in words.
"""

from __future__ import annotations

from collections.abc import Iterator

from comity_policy.facts import AgreementState
from comity_policy.recorded import Difference, Folded, Under, What


def compared_with_steps(under: Under, folded: Folded) -> Iterator[Difference]:
    """Hold what a decision says it was made under against what the log's own steps amount to."""
    if folded.state != under.state:
        yield Difference(What.STATE, _state_words(under.state, folded.state))
    if folded.agreement_digest != under.agreement_digest:
        said, governs = short(under.agreement_digest), short(folded.agreement_digest)
        yield Difference(What.AGREEMENT, f"decided by {said}, while {governs} governs by the log's steps")
    recorded = frozenset(under.caveats)
    for party, caveat_id, _ in sorted(folded.caveats - recorded):
        yield Difference(What.CAVEAT, f"{party}/{caveat_id}: in force by the log's steps, and not decided by")
    for party, caveat_id, _ in sorted(recorded - folded.caveats):
        yield Difference(What.CAVEAT, f"{party}/{caveat_id}: decided by, and not in force by the log's steps")
    if folded.umbrella_known:
        yield from _compared_above(under.umbrella, folded.umbrella)


def _compared_above(
    said: tuple[str, bytes, AgreementState] | None, folded: tuple[str, bytes, AgreementState] | None
) -> Iterator[Difference]:
    """Hold the umbrella that was decided under against what its own log amounts to."""
    if said is None or folded is None:
        if said is not folded:
            was, is_now = (_above_words(one) for one in (said, folded))
            yield Difference(What.UMBRELLA, f"decided under {was}, by the umbrella's log under {is_now}")
        return
    if said[:2] != folded[:2]:
        yield Difference(
            What.UMBRELLA, f"decided under {_above_words(said)}, by the umbrella's log under {_above_words(folded)}"
        )
    if said[2] != folded[2]:
        yield Difference(What.UMBRELLA, f"{said[0]}: {_state_words(said[2], folded[2])}")


def _above_words(one: tuple[str, bytes, AgreementState] | None) -> str:
    return "none" if one is None else f"{one[0]} {short(one[1])}"


def _state_words(said: AgreementState, folded: AgreementState) -> str:
    odd = [
        f"{name} {_plain(getattr(said, name))}, by the log's steps {_plain(getattr(folded, name))}"
        for name in ("in_force", "reason", "suspended_clauses", "unbound")
        if getattr(said, name) != getattr(folded, name)
    ]
    return "; ".join(odd)


def _plain(value: object) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "none"


def short(digest: bytes) -> str:
    """Give a digest as people tell it apart."""
    return f"sha384:{digest.hex()[:16]}..."
