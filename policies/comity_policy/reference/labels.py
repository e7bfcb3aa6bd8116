"""The check of a label in the reference interpreter. Source: docs/policy-semantics.md, "Ill-formed labels"."""

from __future__ import annotations

from comity_policy.marking import Label, OriginKind


def is_ill_formed(label: Label) -> bool:
    """Say whether one of the seven rules is broken."""
    policy, released, shown, origin = label.policy, label.releasable_to, label.display_only, label.origin
    national, relido = "NATIONAL-ONLY" in label.dissemination, "RELIDO" in label.dissemination
    tags = [one.tag for one in label.categories]
    kind, parties = origin.kind, origin.parties
    return any(
        (
            not all(_is_code(code) for code in codes_of(label)),
            national and (released is not None or shown is not None or relido),
            relido and shown is not None,
            released is not None and (policy not in released or len(released) < 2),
            shown is not None and (not shown or policy in shown or bool(shown & (released or frozenset()))),
            kind is OriginKind.OWN and len(parties) > 0,
            kind is OriginKind.FGI and (not parties or policy in parties),
            kind is OriginKind.JOINT and (len(parties) < 2 or policy not in parties),
            any(tags[i] >= tags[i + 1] for i in range(len(tags) - 1)),
            label.successor is not None and (label.successor.policy != policy or is_ill_formed(label.successor)),
        )
    )


def codes_of(label: Label) -> set[str]:
    """Give the codes of REL TO, DISPLAY ONLY and the origin."""
    return {*(label.releasable_to or ()), *(label.display_only or ()), *label.origin.parties}


def _is_code(code: str) -> bool:
    return len(code) == 3 and all("A" <= letter <= "Z" for letter in code)
