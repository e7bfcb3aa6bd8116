"""Decisions in made-up logs, made as the broker makes them: by the engine and the text, so that a replay gives the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from builders_audit_outcomes import ADMITTING
from builders_envelope import NodeKeys
from builders_identity import NOW
from comity.envelope.profile import encode_profile
from comity.envelope.vocabularies import vocabularies_digest
from comity.pae import pae
from comity_broker.auditlog.submissions import DecidedUnder, LoggedDecision
from comity_policy.document import load
from comity_policy.engine import CompiledAgreement, compile_agreement, decide_report
from comity_policy.facts import AgreementState, NodeFacts, Profile, Times
from comity_policy.vocabulary import bundled

UNDER = DecidedUnder(vocabularies_digest(bundled().digests), AgreementState(in_force=True))


@cache
def compiled(text: bytes) -> CompiledAgreement:
    """Give a text in force."""
    return compile_agreement(load(text), hashlib.sha384(pae("agreement", text)).digest(), UNDER.state, bundled())


def decided(
    text: bytes, digest: bytes, reader: NodeKeys, times: Sequence[Times], shared: Profile, *, now: int
) -> LoggedDecision:
    """Decide on the slots of a segment that all have this profile, for one node."""
    node = NodeFacts(
        reader.party,
        reader.name,
        "xbo",
        frozenset(),
        frozenset(),
        "SECRET",
        NOW * 2,
        NOW,
        valid=True,
        officers=frozenset(),
        overdue=frozenset(),
    )
    moment = replace(ADMITTING, now=now)
    result = decide_report(compiled(text), replace(shared, agreement_digest=digest), times[0], [node], moment)
    return LoggedDecision(range(len(times)), encode_profile(shared), moment, [node], result, times)
