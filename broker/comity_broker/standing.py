"""One agreement as it stands at this broker: texts, steps and caveats, its umbrella, and what decides in each state.

Rules in order:

1. State is the fold of the steps (`comity_policy.lifecycle`); which version decides on what is `comity_policy.governing`.
   This broker knows every party's caveats, and so decides with all that are in force.
2. An arrangement takes its umbrella as of the entry that its own log named last (UMBRELLA_CHANGED), never as of a later one:
   the order in its own log decides, and whoever has that log can say which state a decision was taken in.
3. Nothing is kept but what was compiled, and which of it counts until the next step or the next moment that may change it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from comity_broker.auditlog.submissions import DecidedUnder
from comity_policy.clauses import Capabilities
from comity_policy.document import Document
from comity_policy.engine import CompiledAgreement
from comity_policy.facts import AgreementState
from comity_policy.governing import Basis, Key, known_caveats, shared_before, sharing
from comity_policy.lifecycle import State, Step, fold, taken
from comity_policy.steps import StepKind
from comity_policy.vocabulary import bundled

_COMPILED_KEPT = 32

Under = Callable[[bytes], Sequence[CompiledAgreement]]


@dataclass(frozen=True, slots=True)
class _Sharing:
    """What decides on what is shared from `since` on until the moment `until`, Unix ms, at which time alone may change it."""

    steps: tuple[Step, ...]
    umbrella_at: int
    since: int
    until: int | None
    compiled: CompiledAgreement
    under: DecidedUnder

    def counts(self, steps: tuple[Step, ...], umbrella_at: int, now_ms: int) -> bool:
        """Say whether it is that of these steps, place and time."""
        same = self.steps is steps and self.umbrella_at == umbrella_at
        return same and self.since <= now_ms and (self.until is None or now_ms < self.until)


@dataclass(frozen=True, slots=True)
class _Openness:
    """Whether it is in force and its log is signed, from `since` on until the moment `until`, Unix ms, as in `_Sharing`."""

    steps: tuple[Step, ...]
    umbrella: tuple[Standing, tuple[Step, ...], int] | None
    since: int
    until: int | None
    in_force: bool
    admits: bool

    def counts(
        self, steps: tuple[Step, ...], umbrella: tuple[Standing, tuple[Step, ...], int] | None, now_ms: int
    ) -> bool:
        """Say whether it is that of these steps, umbrella and time."""
        return (
            self.steps is steps
            and self.umbrella == umbrella
            and self.since <= now_ms
            and (self.until is None or now_ms < self.until)
        )


@dataclass(slots=True, eq=False)
class Standing:
    """One agreement. `text`, `first` and `first_digest` are those that were proposed first; parties and roots never change.

    `epoch` is the head's state_epoch that the steps amount to. `texts` are all texts that steps brought, `caveats` all texts
    of caveats, by their digests in hex. `changed_at` is the newest entry that an umbrella's arrangements and its own exercise must
    follow. `continued` says that a restore opened its present log.
    """

    text: bytes
    first: Document
    first_digest: bytes
    origin: str
    steps: tuple[Step, ...] = ()
    epoch: int = 0
    frozen_reason: str = ""
    texts: dict[str, Document] = field(default_factory=dict)
    caveats: dict[str, bytes] = field(default_factory=dict)
    changed_at: int = 0
    umbrella: Standing | None = None
    umbrella_at: int = 0
    continued: bool = False
    _confirmed: tuple[tuple[Step, ...], str] | None = None
    _folded: State | None = None
    _earlier: tuple[int, State] | None = None
    _moments: tuple[int, ...] | None = None
    _compiled: dict[Key, CompiledAgreement] = field(default_factory=dict)
    _sharing: _Sharing | None = None
    _open: _Openness | None = None

    @property
    def agreement_id(self) -> str:
        """Give the agreement's id."""
        return self.first.id

    @property
    def parties(self) -> tuple[str, ...]:
        """Give the parties' codes, ascending."""
        return tuple(sorted(self.first.parties))

    @property
    def beside(self) -> tuple[str, int] | None:
        """Give the shard that its units depend on too, with the epoch of it: none, but for an exercise (`exercises`)."""
        return None

    @property
    def lags(self) -> bool:
        """Say whether its log does not say yet what it is decided by: never, but for an exercise."""
        return False

    @property
    def statements(self) -> int:
        """Give how many steps it has taken."""
        return len(self.steps)

    @property
    def stopped(self) -> str:
        """Give why nothing is accepted or handed over under it: its log or its umbrella's is frozen; else nothing."""
        umbrella = self.umbrella
        above = "" if umbrella is None else umbrella.frozen_reason or umbrella.unconfirmed
        return self.frozen_reason or self.unconfirmed or (above and f"its umbrella's: {above}")

    @property
    def unconfirmed(self) -> str:
        """Give why nothing goes on though the log is open: a restore continued it, and not every party has confirmed that."""
        if not self.continued:
            return ""
        # Asked with every segment; only a step changes it.
        if self._confirmed is None or self._confirmed[0] is not self.steps:
            self._confirmed = self.steps, self._why_unconfirmed(self.state(0))
        return self._confirmed[1]

    def _why_unconfirmed(self, state: State) -> str:
        if self.origin in state.open_logs or not state.open_logs:
            return ""
        signed = state.log_signed.get(self.origin, frozenset())
        missing = ", ".join(one for one in self.parties if one not in signed)
        return f"the broker was restored, and this has not been confirmed by {missing}"

    # --- its state ----------------------------------------------------------------------------------------------------

    def state(self, now_ms: int) -> State:
        """Give the state at a time, not before the last step."""
        if self._folded is None:
            self._folded = fold(self.first, self.first_digest, self.steps, 0, self.texts)
        return self._folded.at(now_ms)

    def state_with(self, texts: Mapping[str, Document], now_ms: int) -> State:
        """Give the state at a time in which more texts are held."""
        state = self.state(now_ms)
        return replace(state, texts={**state.texts, **texts}) if texts else state

    def state_as_of(self, log_index: int, now_ms: int) -> State:
        """Give what the steps up to an entry, inclusive, amount to at a time."""
        if not self.steps or self.steps[-1].log_index <= log_index:
            return self.state(now_ms)
        if self._earlier is None or self._earlier[0] != log_index:
            steps = (one for one in self.steps if one.log_index <= log_index)
            self._earlier = (log_index, fold(self.first, self.first_digest, steps, 0, self.texts))
        return self._earlier[1].at(now_ms)

    def umbrella_state(self, now_ms: int) -> State | None:
        """Give the state of its umbrella that counts; None where it has none."""
        return None if self.umbrella is None else self.umbrella.state_as_of(self.umbrella_at, now_ms)

    def document(self, now_ms: int) -> Document:
        """Give the text that governs at a time."""
        return self.state(now_ms).document

    def digest(self, now_ms: int) -> bytes:
        """Give the digest of the text that governs at a time."""
        return self.state(now_ms).digest

    def in_force(self, now_ms: int) -> bool:
        """Say whether it is in force, with its umbrella where it has one."""
        return self._openness(now_ms).in_force

    def admits(self, now_ms: int) -> bool:
        """Say whether every party signed this log: no report before."""
        return self._openness(now_ms).admits

    def _openness(self, now_ms: int) -> _Openness:
        """Give it as it is at a time: asked at every turn of whoever delivers, and changed by steps and moments alone."""
        held, umbrella = self._open, self.umbrella
        above = None if umbrella is None else (umbrella, umbrella.steps, self.umbrella_at)
        if held is None or not held.counts(self.steps, above, now_ms):
            state, over = self.state(now_ms), self.umbrella_state(now_ms)
            in_force = state.policy().in_force and (
                self.first.under is None or (over is not None and over.policy().in_force)
            )
            states = (state, over)
            until = min(
                (one.turning_points[0] for one in states if one is not None and one.turning_points), default=None
            )
            admits = self.origin in state.open_logs
            held = self._open = _Openness(self.steps, above, now_ms, until, in_force, admits)
        return held

    @property
    def may_set_floor(self) -> bool:
        """Say whether any text of it, of its umbrella or of a caveat may ask what nodes can."""
        texts = (self.first, *self.texts.values())
        asks = any(isinstance(clause, Capabilities) for text in texts for clause in text.clauses)
        return asks or bool(self.caveats) or (self.umbrella is not None and self.umbrella.may_set_floor)

    def turned(self, since_ms: int, now_ms: int) -> bool:
        """Say whether time alone, without a step, may have changed since a moment what decisions need to know."""
        if self._moments is None:
            self._moments = self.state(0).turning_points
        above = self.umbrella
        return any(since_ms < moment <= now_ms for moment in self._moments) or (
            above is not None and above.turned(since_ms, now_ms)
        )

    # --- what decides -------------------------------------------------------------------------------------------------

    def basis(self, now_ms: int) -> Basis:
        """Give what decides on what is shared at a time."""
        state = self.state(now_ms)
        return sharing(state, self.umbrella_state(now_ms), known_caveats(state, self.caveats))

    def compiled(self, now_ms: int) -> CompiledAgreement:
        """Give the agreement ready to decide on what is shared at a time."""
        return self._current(now_ms).compiled

    def _current(self, now_ms: int) -> _Sharing:
        """Give what decides at a time, made anew after a step, for another place of the umbrella, or when time alone may matter."""
        held = self._sharing
        if held is None or not held.counts(self.steps, self.umbrella_at, now_ms):
            compiled = self._ready(self.basis(now_ms))
            states = (self.state(now_ms), self.umbrella_state(now_ms))
            until = min(
                (one.turning_points[0] for one in states if one is not None and one.turning_points), default=None
            )
            under = DecidedUnder.of(compiled.source, bundled().digests, states[0].caveats)
            held = self._sharing = _Sharing(self.steps, self.umbrella_at, now_ms, until, compiled, under)
        return held

    def decided_under(self, now_ms: int) -> DecidedUnder:
        """Give what decisions of that time are made under, as the log records it."""
        return self._current(now_ms).under

    def compiled_before(self, now_ms: int) -> Under:
        """Give, by the digest a report names, what decides now on reports shared under that version; nothing permits none."""

        def bases(digest: bytes) -> Iterable[Basis]:
            return self._bases(digest, now_ms)

        return self._under(bases)

    def while_suspended(self, clauses: str, now_ms: int) -> Under:
        """Give the same as it decides while nothing but these clauses were suspended (`HoldRow`)."""
        own = frozenset(one for one in clauses.split(",") if "/" not in one)
        above = frozenset(one.partition("/")[2] for one in clauses.split(",") if "/" in one)

        def alone(one: Basis) -> Basis:
            umbrella = one.umbrella
            if umbrella is not None:
                umbrella = replace(umbrella, state=AgreementState(in_force=True, suspended_clauses=above))
            state = AgreementState(in_force=True, suspended_clauses=own)
            return replace(one, state=state, umbrella=umbrella, caveats={})

        return self._under(lambda digest: [alone(one) for one in self._bases(digest, now_ms)])

    def _bases(self, digest: bytes, now_ms: int) -> tuple[Basis, ...]:
        state = self.state(now_ms)
        caveats = known_caveats(state, self.caveats)
        return shared_before(digest.hex(), state, self.umbrella_state(now_ms), caveats)

    def _under(self, bases: Callable[[bytes], Iterable[Basis]]) -> Under:
        found: dict[bytes, tuple[CompiledAgreement, ...]] = {}

        def compiled(digest: bytes) -> tuple[CompiledAgreement, ...]:
            if digest not in found:
                found[digest] = tuple(self._ready(one) for one in bases(digest))
            return found[digest]

        return compiled

    def _ready(self, basis: Basis) -> CompiledAgreement:
        found = self._compiled.get(basis.key)
        if found is None:
            if len(self._compiled) >= _COMPILED_KEPT:
                self._compiled.clear()
            found = self._compiled[basis.key] = basis.compiled(bundled())
        return found

    # --- what comes ---------------------------------------------------------------------------------------------------

    def with_step(self, step: Step, epoch: int) -> None:
        """Take a committed step, of which `texts` and `caveats` have what it brought."""
        before = self.state(0)
        self._folded = taken(replace(before, texts={**before.texts, **self.texts}), step)
        self.steps = (*self.steps, step)
        self._moments = None
        self.epoch, self.changed_at = epoch, max(self.changed_at, step.log_index)

    def suspended_since(self, log_index: int) -> str | None:
        """Give what was suspended after an entry, as `HoldRow` writes it for an arrangement under this; None for nothing."""
        steps = [one for one in self.steps if one.log_index > log_index and one.kind is StepKind.SUSPEND]
        if not steps or any(not one.clauses for one in steps):
            return "" if steps else None
        return ",".join(dict.fromkeys(f"{self.agreement_id}/{clause}" for one in steps for clause in one.clauses))
