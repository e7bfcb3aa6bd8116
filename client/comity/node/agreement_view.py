"""One agreement at one moment, as this machine verified it: what decisions, commands and auditors read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from comity.envelope.core import LogSeen
from comity.node.agreement_texts import OwnCaveat
from comity.statement import Statement
from comity_policy.caveat import unread
from comity_policy.document import Document
from comity_policy.engine import CompiledAgreement
from comity_policy.lifecycle import State, Step, StepKind

_LOOKED_AGAIN_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class VerifiedStep:
    """One step with the statement that was signed, and the officer (PARTY/NAME) whose signature verified."""

    step: Step
    statement: Statement
    officer: str


@dataclass(frozen=True, slots=True)
class UmbrellaView:
    """The umbrella of an arrangement as decisions take it: its state, as of one entry of its own log."""

    agreement_id: str
    state: State
    log_origin: str
    log_index: int


@dataclass(frozen=True, slots=True)
class AgreementView:
    """One agreement at one moment, as this machine verified it.

    `state`, `document` and `compiled` are of the moment the view was taken: the version that governs then, with the caveats
    of the party `own` and the umbrella. `texts` has every text of the log by its digest in hex, `own_caveats` those in force.
    `key_log_age_ms` is how old the newest verified view of the key log is by our clock, None before the first.
    """

    agreement_id: str
    own: str
    state: State
    compiled: CompiledAgreement
    texts: Mapping[str, bytes]
    own_caveats: Mapping[str, OwnCaveat]
    umbrella: UmbrellaView | None
    statements: tuple[VerifiedStep, ...]
    log_origin: str
    log_seen: LogSeen
    key_log_seen: LogSeen
    key_log_age_ms: int | None

    @property
    def document(self) -> Document:
        """Give the text of the version that governs."""
        return self.state.document

    @property
    def digest(self) -> bytes:
        """Give the digest of the version that governs, 48 bytes."""
        return self.state.digest

    @property
    def document_bytes(self) -> bytes:
        """Give the exact bytes of the version that governs."""
        return self.texts[self.state.current.digest]

    @property
    def parties(self) -> tuple[str, ...]:
        """Give the parties' codes, ascending."""
        return tuple(sorted(self.document.parties))

    @property
    def admits(self) -> bool:
        """Say whether every party signed this log, so that a broker may admit reports into it."""
        return self.log_origin in self.state.open_logs

    @property
    def turning_points(self) -> tuple[int, ...]:
        """Give the moments after this one at which time alone may change what decisions need to know, ascending.

        A step of the umbrella that the arrangement's log does not name counts after a while: it is looked for once a second.
        """
        if self.umbrella is None:
            return tuple(sorted(self.state.turning_points))
        above = (*self.umbrella.state.turning_points, self.state.now_ms + _LOOKED_AGAIN_MS)
        return tuple(sorted({*self.state.turning_points, *above}))

    @property
    def partner_texts(self) -> Mapping[tuple[str, str], str]:
        """Give what everybody may read of each caveat in force, by party and caveat."""
        added = {step.caveat_digest: step for step in self.state.steps if step.kind is StepKind.CAVEAT_ADD}
        return {key: added[digest].partner_text for key, digest in self.state.caveats.items()}

    def unread_caveats(self, document: Document) -> Mapping[str, str]:
        """Give the own party's caveats in force that do not read under a version, by their ids, with why."""
        found = {caveat_id: unread(one.caveat, document) for caveat_id, one in self.own_caveats.items()}
        return {caveat_id: why for caveat_id, why in found.items() if why}

    def broker_name(self, party: str, name: str) -> str:
        """Give what the text calls this broker; PARTY/NAME, which no text can name, where it is not the one that is meant."""
        named = self.document.brokers.get(name)
        return name if named is not None and named.operator == party else f"{party}/{name}"
