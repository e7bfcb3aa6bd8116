"""What a replay reads of an agreement's log beside its decisions: its steps, unsigned, and other events as the broker writes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from comity import canonical
from comity.node.logged_entries import LoggedEntry
from comity.statement import Statement, StatementSignature
from comity.texts import agreement_digest, caveat_digest
from comity.verify import table
from comity_broker.auditlog import events
from comity_broker.auditlog.bodies import BROKER, Event
from comity_broker.auditlog.events import BroughtCaveat
from comity_policy.document import load
from comity_policy.facts import AgreementState
from comity_policy.steps import LogTerms, Step, StepKind

PARTIES = ("XAR", "XBO")
TERMS = LogTerms("hub.arland.example/agreement/X/00", ("a", "b"), 1, "ab" * 32)
IN_FORCE = AgreementState(in_force=True)


def unsigned(body: dict) -> Statement:
    """Give a statement under a signature that nobody made: a replay looks at none."""
    return Statement(canonical.dumps(body), (StatementSignature(bytes(48), b"-"),))


def read(event: Event, log_index: int, readers: Collection[str] = PARTIES) -> LoggedEntry:
    """Give an event as those parties read it whose bodies are here."""
    kind = event.kind.value
    shared = table.read_body("agreement", kind, "shared", event.shared)
    own = {party: table.read_body("agreement", kind, party, event.own.get(party, b"")) for party in readers}
    return LoggedEntry(log_index, kind, shared, own)


class Life:
    """The steps of one agreement, one an entry, from the opening of its log on."""

    def __init__(self, text: bytes, parties: Sequence[str] = PARTIES, at_ms: int = 1) -> None:
        self.text, self.parties, self.at_ms = text, parties, at_ms
        self.entries: list[LoggedEntry] = []
        self._chain, self._own = "", dict[str, str]()
        opened = events.agreement_log_opened(terms=TERMS, statements=(), **self._common())
        self._add(opened)

    @property
    def digest(self) -> bytes:
        return agreement_digest(self.text)

    def take(self, kind: StepKind, party: str, brought: BroughtCaveat | None = None, **fields: object) -> LoggedEntry:
        """Take a step of a party, in a role that may; a caveat is `brought` with it."""
        role = min(kind.roles)
        follows = self._chain if kind.multilateral else self._own.get(party, "")
        step = Step(
            kind=kind,
            agreement_id=load(self.text).id,
            agreement_digest=self.digest.hex(),
            party=party,
            officer=f"{party}/{role.word}",
            role=role,
            follows="" if kind is StepKind.LOG_SIGN else follows,
            **fields,
        )
        statement = unsigned(step.to_body())
        if kind.multilateral:
            self._chain = statement.digest.hex()
        elif kind is not StepKind.LOG_SIGN:
            self._own[party] = statement.digest.hex()
        if kind is StepKind.LOG_SIGN:
            return self._add(events.agreement_log_opened(terms=TERMS, statements=[statement], **self._common()))
        return self._add(events.step_taken(kind, statement=statement, caveat=brought, **self._common()))

    def caveat(self, party: str, name: str, text: bytes, salt: bytes) -> LoggedEntry:
        """Let a party add a caveat."""
        said = {"caveat": name, "caveat_digest": caveat_digest(salt, text).hex(), "partner_text": "A limitation."}
        return self.take(StepKind.CAVEAT_ADD, party, BroughtCaveat(party, text, salt), **said)

    def signed(self) -> Life:
        """Take every step that brings the text into force on signature."""
        if len(self.entries) == 1:
            self.take(StepKind.PROPOSE, self.parties[0])
        for kind in (StepKind.REVIEW, StepKind.SIGN):
            for party in self.parties:
                self.take(kind, party)
        for party in self.parties:
            self.take(StepKind.LOG_SIGN, party, log=TERMS)
        return self

    def completed(self) -> None:
        """Let every party notify its completion, and another one receive it."""
        said = {"instrument": "Law 17", "authority": "Parliament", "date": "2026-01-04"}
        for party, other in zip(self.parties, reversed(self.parties), strict=True):
            self.take(StepKind.NOTIFY_COMPLETION, party, **said)
            self.take(StepKind.RECEIVE, other, names=self._own[party])

    def _common(self) -> dict:
        return {
            "time": self.at_ms,
            "caller": BROKER,
            "key_log_size": 1,
            "state_epoch": 1,
            "agreement_id": load(self.text).id,
            "agreement_digest": self.digest,
        }

    def _add(self, event: Event) -> LoggedEntry:
        self.entries.append(read(event, len(self.entries), self.parties))
        return self.entries[-1]


@cache
def life(text: bytes, state: AgreementState = IN_FORCE) -> tuple[LoggedEntry, ...]:
    """Give the entries that bring a text into that state."""
    made = Life(text).signed()
    if state.suspended_clauses:
        made.take(StepKind.SUSPEND, "XAR", clauses=tuple(sorted(state.suspended_clauses)), reason="Consultations.")
    return tuple(made.entries)
