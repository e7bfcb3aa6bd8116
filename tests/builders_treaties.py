"""An arrangement, its umbrella and national caveats, made from the small world of `builders_engine`."""

from __future__ import annotations

from dataclasses import replace

from builders_engine import CLAUSES, DIGEST, TEXT, VOCABULARIES, document_of
from comity_policy import clauses as kinds
from comity_policy.caveat import Caveat
from comity_policy.clauses import CaveatClause, Clause, Span
from comity_policy.document import Document, Under
from comity_policy.engine import CompiledAgreement, Umbrella, compile_agreement
from comity_policy.facts import AgreementState

UMBRELLA_DIGEST = b"u" * 48
IN_FORCE = AgreementState(in_force=True)
UNDER = Under("XAR-GSA-1", f"sha384:{UMBRELLA_DIGEST.hex()}")
LIMIT = kinds.CeilingLimit(from_party="XAR", to_party="XBO", level="CONFIDENTIAL")
UMBRELLA_CLAUSES: tuple[Clause, ...] = (
    kinds.Ceiling(id="4", text=TEXT, limits=(LIMIT,)),
    kinds.Retention(id="8", text=TEXT, longest=Span(days=10)),
    kinds.Embargo(id="9", text=TEXT),
)


def arrangement(clauses: tuple[Clause, ...] = CLAUSES) -> Document:
    return replace(document_of(clauses), kind="arrangement", under=UNDER)


def umbrella(clauses: tuple[Clause, ...] = UMBRELLA_CLAUSES, state: AgreementState = IN_FORCE) -> Umbrella:
    document = replace(document_of(clauses), kind="umbrella", id="XAR-GSA-1")
    return Umbrella(document, UMBRELLA_DIGEST, state)


def under(
    above: Umbrella | None,
    clauses: tuple[Clause, ...] = CLAUSES,
    state: AgreementState = IN_FORCE,
    caveats: tuple[Caveat, ...] = (),
) -> CompiledAgreement:
    """The arrangement compiled with its umbrella and caveats."""
    return compile_agreement(arrangement(clauses), DIGEST, state, VOCABULARIES, umbrella=above, caveats=caveats)


def caveat(
    *clauses: CaveatClause, party: str = "XAR", caveat_id: str = "C1", incoming: bool = False, digest: bytes = DIGEST
) -> Caveat:
    return Caveat(
        party=party,
        id=caveat_id,
        agreement="XAR-XBO-1",
        digest=f"sha384:{digest.hex()}",
        partner_text="A national limitation applies.",
        clauses=clauses,
        incoming=incoming,
    )


def narrowed(*caveats: Caveat, clauses: tuple[Clause, ...] = CLAUSES) -> CompiledAgreement:
    """The agreement compiled with caveats."""
    return compile_agreement(document_of(clauses), DIGEST, IN_FORCE, VOCABULARIES, caveats=caveats)
