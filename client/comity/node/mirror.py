"""The mirror: a party's own verified copy of its broker's logs, from which everything is decided here (designs 02, 03, 05).

Rules in order:
1. A refresh fetches the key log first, then the logs of the party's agreements, each as `logs` and `following` say: nothing is
   taken that does not continue what was verified before. Only then the pins on disk move.
2. The directory of keys and every agreement's state are folds of these entries, made here; the broker's word on either is
   not looked at.
3. A fork stops everything under that log, is an alarm, and the notes that prove it stay; our newest note is shown to the
   broker (PresentCheckpoint), which then freezes the log or contradicts itself once more.
4. An agreement that cannot be folded (a party not trusted here, a step without authority) stops that agreement alone.
5. How old the view of the key log is, is counted by our clock from the last refresh that verified.
Several processes share one mirror: a refresh holds its lock and first takes what another one wrote.

    with Mirror.of_identity(home, "XAR/n1") as mirror:
        await mirror.refresh(connection)
        mirror.agreement("XAR-XBO-1").state.phase
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from comity.envelope.core import LogSeen
from comity.errors import ComityError
from comity.identity.bodies import PartyCard
from comity.identity.directory import KeyDirectory
from comity.identity.names import Identity, agreement_of, exercise_of, is_exercise
from comity.node.access import broker_of
from comity.node.agreement_view import AgreementView
from comity.node.agreements import AgreementFold
from comity.node.alarms import Alarm, AlarmKind
from comity.node.clock import NowMs, wall_ms
from comity.node.connection import Connection
from comity.node.entries import MirroredEntry
from comity.node.home import Home
from comity.node.locks import FileLock
from comity.node.logs import OPERATIONS, ForkError, LogPin, Seen, check_note, origin_of, same_log
from comity.node.lost import Lost
from comity.node.mirror_state import KEYS, MirrorState
from comity.node.mirror_store import MirrorStore
from comity.node.refreshing import Refresher, listed_agreements
from comity.node.verified import VerifiedSignatures
from comity.verify.trees import EMPTY_ROOT

# A node that is connected refreshes every few seconds; agreements ask for an hour or less.
_STALE_MS: Final = 15 * 60_000


class Mirror:
    """The mirror of one identity. Not for several threads at once; a context manager."""

    def __init__(
        self,
        path: Path,
        *,
        party: str,
        broker: Identity,
        broker_tls_name: str,
        cards: Mapping[str, PartyCard],
        now_ms: NowMs = wall_ms,
    ) -> None:
        self._writing = MirrorStore(path)
        self._state = MirrorState(
            MirrorStore(path), party=party, broker=broker, tls_name=broker_tls_name, cards=cards, now_ms=now_ms
        )
        self._lock = FileLock(path, f"the mirror {path}")
        self._turn = asyncio.Lock()
        self.verified: Final = VerifiedSignatures()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        party: str,
        broker: Identity,
        broker_tls_name: str,
        cards: Mapping[str, PartyCard],
        now_ms: NowMs = wall_ms,
    ) -> Mirror:
        """Open a mirror's file, or begin one; raises StorageError."""
        return cls(path, party=party, broker=broker, broker_tls_name=broker_tls_name, cards=cards, now_ms=now_ms)

    @classmethod
    def of_identity(cls, home: Home, identity: str | Identity, *, now_ms: NowMs = wall_ms) -> Mirror:
        """Open the mirror of an identity of this machine, with the cards trusted here; raises NotFoundError, StorageError."""
        place, broker, tls_name = broker_of(home, identity)
        return cls(
            place.mirror,
            party=place.identity.party,
            broker=broker,
            broker_tls_name=tls_name,
            cards=home.trusted_roots(),
            now_ms=now_ms,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._lock.release()
        self._writing.close()
        self._state.store.close()

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def broker(self) -> Identity:
        """Give the broker whose logs these are."""
        return self._state.broker

    @property
    def party(self) -> str:
        """Give the party whose view of the logs this is."""
        return self._state.party

    @property
    def directory(self) -> KeyDirectory:
        """Give the directory of keys; raises ForkError while the key log is forked."""
        self._state.require(KEYS)
        return self._state.keys.directory

    def require_keys(self) -> None:
        """Raise what stops the key log, and with it everything, if anything does."""
        self._state.require(KEYS)

    @property
    def key_log_seen(self) -> LogSeen:
        """Give the newest verified view of the key log; raises KeyFault KEY_LOG_STALE before the first."""
        return self._state.mirrored_keys().pin.seen

    @property
    def key_log_size(self) -> int:
        """Give how many entries of the key log were verified, over all incarnations; raises as `key_log_seen`."""
        return self._state.mirrored_keys().pin.size

    @property
    def key_log_age_ms(self) -> int | None:
        """Give how old that view is, in milliseconds of our clock; None before the first, 0 where our clock was set back since."""
        mirrored = self._state.logs.get(KEYS)
        return None if mirrored is None else max(0, self._state.now_ms() - mirrored.refreshed_at)

    @property
    def is_stale(self) -> bool:
        """Say whether that view is older than a node that refreshes lets it become: our clock stepped, or the broker is away."""
        age = self.key_log_age_ms
        return age is not None and age > _STALE_MS

    def key_log_size_at(self, at_ms: int) -> int:
        """Give how many entries the key log had at that time of the broker (Unix ms), as far as the mirror has come."""
        return self._state.keys.size_at(at_ms)

    def key_log_least_at(self, at_ms: int) -> int:
        """Give how many entries the key log had at least at that time (Unix ms) of another log of the broker."""
        return self._state.keys.least_size(at_ms)

    def agreement(self, agreement_id: str) -> AgreementView:
        """Give an agreement as of now.

        Raises NotFoundError AGREEMENT_UNKNOWN, and whatever stopped it: ForkError, KeyFault PARTY_UNTRUSTED, VerificationError.
        """
        self._state.require(KEYS)
        fold = self._state.find(agreement_id)
        state = fold.state(self._state.now_ms())
        return AgreementView(
            agreement_id=agreement_id,
            own=fold.own,
            state=state,
            compiled=fold.compiled(state),
            texts={digest: text.data for digest, text in fold.texts.items()},
            own_caveats=fold.own_caveats(state),
            umbrella=fold.umbrella_of(state),
            statements=tuple(fold.steps),
            log_origin=fold.pin.origin,
            log_seen=fold.pin.seen,
            key_log_seen=self.key_log_seen,
            key_log_age_ms=self.key_log_age_ms,
        )

    def agreements(self) -> tuple[AgreementView, ...]:
        """Give every agreement that could be folded, by id; `faults` has the others."""
        if KEYS in self._state.faults:
            return ()
        found = (self._looked_at(name) for name in sorted(self._state.folds))
        return tuple(one for one in found if isinstance(one, AgreementView))

    @property
    def faults(self) -> Mapping[str, ComityError]:
        """Give what stops an agreement, by its id; under the empty text what stops the key log, and so everything."""
        faults = dict(self._state.faults)
        if KEYS not in faults:
            found = {name: self._looked_at(name) for name in self._state.folds}
            faults |= {name: one for name, one in found.items() if isinstance(one, ComityError)}
        return faults

    def _looked_at(self, name: str) -> AgreementView | ComityError:
        """Give an agreement as of now, or what stops it: its umbrella, a caveat that does not read on a new version."""
        try:
            return self.agreement(name)
        except ComityError as error:
            return error

    def exercise_seen(self, agreement_id: str) -> LogSeen:
        """Give the newest verified view of the log of an agreement's exercise, of an empty one at first; raises what stopped it."""
        name = exercise_of(agreement_id)
        self._state.require(name)
        mirrored = self._state.logs.get(name)
        if mirrored is None:
            return LogSeen(self._state.find(agreement_id).pin.incarnation, 0, EMPTY_ROOT)
        return mirrored.pin.seen

    def decided_before(self, log_name: str, log_index: int) -> int | None:
        """Give the place in the agreement's log before which stands what decided on an entry of its log or its exercise's.

        None where the mirror of the exercise has not come that far. Raises whatever stopped the exercise, VerificationError.
        """
        if not is_exercise(log_name):
            return log_index
        self._state.require(log_name)
        places, mirrored = self._state.exercises.get(log_name), self._state.logs.get(log_name)
        if places is None or mirrored is None or log_index >= mirrored.pin.size:
            return None
        return places.before(log_index)

    @property
    def lost(self) -> Lost:
        """Give what a restored broker lost, as far as it was verified here."""
        return Lost(self._state)

    def fold(self, agreement_id: str) -> AgreementFold:
        """Give an agreement's fold: its states at other places of its log; raises as `agreement`."""
        self.agreement(agreement_id)
        return self._state.folds[agreement_id]

    def is_apart(self, agreement_id: str) -> bool:
        """Say whether the key log of a broker that was restored is here, and that agreement's log is not yet."""
        return not self._state.is_together(agreement_id)

    def follows(self, incarnation: bytes) -> bool:
        """Say whether the key log that is mirrored is of this incarnation of the broker; an empty one is any."""
        mirrored = self._state.logs.get(KEYS)
        return not incarnation or (mirrored is not None and mirrored.pin.incarnation == incarnation)

    def pin(self, agreement_id: str | None) -> LogPin | None:
        """Give what was verified of an agreement's log (None: of the key log; or OPERATIONS) so far; None before the first refresh."""
        mirrored = self._state.logs.get(agreement_id or KEYS)
        return None if mirrored is None else mirrored.pin

    def entries(self, agreement_id: str | None, first: int = 0, limit: int = 1024) -> tuple[MirroredEntry, ...]:
        """Give verified entries of an agreement's log (None: of the key log; or OPERATIONS) from an index on."""
        mirrored = self._state.logs.get(agreement_id or KEYS)
        if mirrored is None:
            return ()
        end = min(mirrored.pin.size, first + limit)
        return self._state.store.entries(agreement_id or KEYS, mirrored.pin, first, end)

    def entries_of(
        self, agreement_id: str, kinds: Collection[str], first: int = 0, end: int | None = None
    ) -> tuple[MirroredEntry, ...]:
        """Give every verified entry of some kinds of an agreement's log, or of a part of it, without `end`."""
        mirrored = self._state.logs.get(agreement_id)
        if mirrored is None:
            return ()
        size = mirrored.pin.size
        return self._state.store.entries(
            agreement_id, mirrored.pin, first, size if end is None else min(end, size), kinds
        )

    def entry_at(self, agreement_id: str, log_index: int) -> tuple[MirroredEntry, ...]:
        """Give one verified entry of an agreement's log; none where the mirror has not come that far."""
        mirrored = self._state.logs.get(agreement_id)
        if mirrored is None or log_index >= mirrored.pin.size:
            return ()
        return self._state.store.entries(agreement_id, mirrored.pin, log_index, log_index + 1)

    def leaf_hash(self, agreement_id: str, log_index: int) -> bytes | None:
        """Give the leaf hash of a verified entry; None where the mirror has not come that far."""
        mirrored = self._state.logs.get(agreement_id)
        if mirrored is None or log_index >= mirrored.pin.size:
            return None
        return self._state.store.leaves(agreement_id, log_index, 1)[0]

    # --- what others were shown -------------------------------------------------------------------------------------

    def compare(self, agreement_id: str | None, seen: LogSeen) -> Seen:
        """Say what a view that a peer signed is worth: a part of this log, further than it, or a fork."""
        mirrored = self._state.logs.get(agreement_id or KEYS)
        if mirrored is None:
            return Seen.AHEAD
        if seen.incarnation != mirrored.pin.incarnation:
            return self._state.compare_left(agreement_id or KEYS, seen)
        if seen.size > mirrored.pin.tree_size:
            return Seen.AHEAD
        return Seen.CONSISTENT if mirrored.roots.root(seen.size) == seen.root else Seen.FORK

    def take_checkpoint(self, agreement_id: str | None, note: bytes) -> None:
        """Take a checkpoint that a stream brought: a part of this log, or what the next refresh must reach.

        Raises ForkError, and VerificationError for a note that is not signed; does nothing for a log that is not mirrored.
        """
        name = agreement_id or KEYS
        mirrored = self._state.logs.get(name)
        if mirrored is None:
            return
        if origin_of(note) not in mirrored.pin.origins and same_log(origin_of(note), mirrored.pin.origin):
            # The broker was restored, or shows another history: the next refresh tells which.
            return
        checkpoint = check_note(mirrored.pin, note)
        if checkpoint.size <= mirrored.pin.tree_size:
            if mirrored.roots.root(checkpoint.size) != checkpoint.root:
                error = ForkError(mirrored.pin.origin, f"another tree of {checkpoint.size} entries was signed", note)
                self._state.forked(name, error)
                raise error
        elif not mirrored.shown or checkpoint.size > check_note(mirrored.pin, mirrored.shown).size:
            mirrored.shown = note
            self._state.store.put_pin(name, mirrored.pin, mirrored.refreshed_at, note)

    # --- alarms -----------------------------------------------------------------------------------------------------

    def raise_alarm(self, kind: AlarmKind, agreement_id: str, subject: str, detail: str) -> None:
        """Write an alarm and log it; the same one is written once."""
        self._state.raise_alarm(kind, agreement_id, subject, detail)

    def alarms(self) -> tuple[Alarm, ...]:
        """Give every alarm of this identity, the oldest first."""
        return self._state.store.alarms()

    def keep_evidence(self, agreement_id: str | None, what: str, shown: bytes) -> None:
        """Keep what contradicts our newest note of a log, beside it."""
        self._state.keep_evidence(agreement_id or KEYS, what, shown)

    def evidence(self) -> tuple[tuple[int, str, str, bytes, bytes], ...]:
        """Give what was kept: time, log (an agreement's id, or empty), what it is, our note, what was shown."""
        return self._state.store.evidence()

    # --- refresh ----------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Give a number that is another one after every change of what is known here."""
        return self._state.version

    async def refresh(self, connection: Connection, agreements: Collection[str] | None = None) -> None:
        """Fetch and verify what is new in the key log and in the party's agreements, or in those named (OPERATIONS too).

        Raises ForkError, UnreachableError and the like; for a named agreement whatever stops it.
        """
        state = self._state
        async with self._turn, self._lock:
            state.reload()
            refresher = Refresher(state, self._writing, connection)
            try:
                await refresher.keys()
                names = (
                    await listed_agreements(connection, state)
                    if agreements is None
                    else {agreement_of(one) for one in agreements}
                )
                for name in sorted(names):
                    await (refresher.operations() if name == OPERATIONS else refresher.agreement(name))
            finally:
                state.version += 1
        for name in sorted(names):
            fault = state.faults.get(name)
            if fault is None and agreements is not None and name in state.folds:
                looked_at = self._looked_at(name)
                fault = looked_at if isinstance(looked_at, ComityError) else None
            if fault is not None and (agreements is not None or isinstance(fault, ForkError)):
                raise fault
