"""What a mirror holds in memory: pins, the directory of keys, agreements, and what stops them; a fold of its file.

Everything here is derived from verified entries in the file, and is made again from them whenever another process wrote, or a
refresh failed half way. No network.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from comity.envelope.core import LogSeen
from comity.errors import ComityError, ErrorCode, KeyFault, NotFoundError, VerificationError
from comity.identity.bodies import PartyCard
from comity.identity.names import Identity, agreement_of, is_exercise
from comity.node.agreement_texts import Text, text_of
from comity.node.agreements import KINDS, AgreementFold, brought_by
from comity.node.alarms import Alarm, AlarmKind
from comity.node.clock import NowMs
from comity.node.directory import KeyLog
from comity.node.exercises import KIND as EXERCISE_KIND
from comity.node.exercises import ExercisePlaces, check_pin
from comity.node.logs import OPERATIONS, ForkError, LogPin, Seen, check_note
from comity.node.mirror_store import MirrorStore
from comity.node.roots import Roots

KEYS: Final = ""
_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Mirrored:
    """One log in memory: its pin, when it was refreshed, and a note shown elsewhere that it has yet to reach."""

    pin: LogPin
    refreshed_at: int
    shown: bytes
    roots: Roots


class MirrorState:
    """The memory of one mirror. `logs`, `folds` and `faults` are by an agreement's id, `KEYS` for the key log, `OPERATIONS`.

    `logs`, `exercises` and `faults` are by the name of an exercise's log too.
    """

    def __init__(
        self,
        store: MirrorStore,
        *,
        party: str,
        broker: Identity,
        tls_name: str,
        cards: Mapping[str, PartyCard],
        now_ms: NowMs,
    ) -> None:
        self.store = store
        self.party = party
        self.broker = broker
        self.tls_name = tls_name
        self.now_ms = now_ms
        self._cards = dict(cards)
        self.logs: dict[str, Mirrored] = {}
        self.keys = KeyLog.trusting(self._cards)
        self.folds: dict[str, AgreementFold] = {}
        self.exercises: dict[str, ExercisePlaces] = {}
        self.faults: dict[str, ComityError] = {}
        self.version = 0
        self._left_roots: dict[tuple[str, str], Roots] = {}
        self.load()

    def require(self, name: str) -> None:
        """Raise what stops a log, if anything does."""
        fault = self.faults.get(name)
        if fault is not None:
            raise fault

    def mirrored_keys(self) -> Mirrored:
        """Give the key log; raises KeyFault KEY_LOG_STALE before its first refresh."""
        mirrored = self.logs.get(KEYS)
        if mirrored is None:
            raise KeyFault(
                "the key log was never fetched",
                what_to_do="Connect to the broker once, for instance with: comity agreement list",
                code=ErrorCode.KEY_LOG_STALE,
            )
        return mirrored

    def settle(self, name: str, pin: LogPin) -> None:
        """Pin a log where a refresh verified it; what a stream showed beyond it is kept for the next one."""
        mirrored = self.logs.get(name)
        same = mirrored is not None and mirrored.pin.origin == pin.origin
        roots = mirrored.roots if mirrored is not None and same else Roots(self.store, name, pin.first)
        shown = b"" if mirrored is None else mirrored.shown
        if shown and (not same or check_note(pin, shown).size <= pin.tree_size):
            shown = b""
        now = self.now_ms()
        self.store.put_pin(name, pin, now, shown)
        self.logs[name] = Mirrored(pin, now, shown, roots)

    def reload(self) -> None:
        """Take what another process wrote meanwhile."""
        for name in self.store.names():
            row, mirrored = self.store.pin(name), self.logs.get(name)
            if row is not None and (
                mirrored is None
                or (mirrored.pin.origin, mirrored.pin.size, mirrored.shown) != (row[0].origin, row[0].size, row[2])
            ):
                self.load()
                return

    def load(self) -> None:
        """Fold everything again from the file, with the cards that are trusted here."""
        self.logs, self.folds, self.exercises, self.faults = {}, {}, {}, {}
        self.keys = KeyLog.trusting(self._cards)
        for name in self.store.names():
            row = self.store.pin(name)
            if row is not None:
                self.logs[name] = Mirrored(*row, Roots(self.store, name, row[0].first))
        keys = self.logs.get(KEYS)
        if keys is not None:
            for entry in self.store.entries(KEYS, keys.pin, 0, keys.pin.size):
                self.keys.take(entry)
        waiting = {}
        for name in sorted(self.agreements()):
            try:
                first = self._first_text(name)
                if first.document.under is None:
                    self.folds[name] = self._folded(first)
                else:
                    waiting[name] = first
            except ComityError as error:
                self.faults[name] = error
        # Arrangements after all that they may be under.
        for name, first in waiting.items():
            try:
                self.folds[name] = self._folded(first)
            except ComityError as error:
                self.faults[name] = error
        for name in filter(is_exercise, sorted(self.logs)):
            try:
                self.follow_exercise(name)
            except ComityError as error:
                self.faults[name] = error
        self.version += 1

    def agreements(self) -> set[str]:
        """Give the agreements whose logs are mirrored."""
        return {name for name in self.logs.keys() - {KEYS, OPERATIONS} if not is_exercise(name)}

    def follow_exercise(self, name: str) -> None:
        """Take what an exercise's log says of its agreement, from the file; raises VerificationError, and what stops the agreement."""
        fold, pin = self.find(agreement_of(name)), self.logs[name].pin
        check_pin(pin, fold.pin)
        places = ExercisePlaces(name)
        places.take(self.store.entries(name, pin, 0, pin.size, {EXERCISE_KIND}), fold)
        self.exercises[name] = places

    def _first_text(self, name: str) -> Text:
        data = self.store.document(name)
        if data is None:
            raise NotFoundError(f"the text of {name} is not in the mirror", code=ErrorCode.AGREEMENT_UNKNOWN)
        return text_of(name, data)

    def _folded(self, first: Text) -> AgreementFold:
        name = first.document.id
        pin = self.logs[name].pin
        fold = AgreementFold.begun(first, self.party, pin, self.find)
        entries = self.store.entries(name, pin, 0, pin.size, KINDS)
        self.bring_texts(fold, brought_by(entries))
        fold.take(entries, pin, self.keys)
        return fold

    def bring_texts(self, fold: AgreementFold, brought: Mapping[str, int]) -> None:
        """Give a fold the texts that entries bring, from the file; raises VerificationError for one that is not there."""
        name, held = fold.agreement_id, self.store.texts(fold.agreement_id)
        for digest, log_index in brought.items():
            if digest in fold.texts:
                continue
            if digest not in held:
                raise VerificationError(
                    f"the text that entry {log_index} of the log of {name} brings is not in the mirror: {digest[:16]}",
                    what_to_do="Fetch it: comity agreement list",
                )
            fold.texts[digest] = text_of(name, held[digest], digest)

    def find(self, agreement_id: str) -> AgreementFold:
        """Give an agreement's fold; raises what stops it, or NotFoundError AGREEMENT_UNKNOWN."""
        self.require(agreement_id)
        self.require_together(agreement_id)
        fold = self.folds.get(agreement_id)
        if fold is None:
            raise NotFoundError(
                f"no agreement {agreement_id} is known here",
                what_to_do="comity agreement list shows those there are.",
                code=ErrorCode.AGREEMENT_UNKNOWN,
            )
        return fold

    def compare_left(self, name: str, seen: LogSeen) -> Seen:
        """Say what a view of an incarnation that is not the present one is worth; one that nothing here names is a fork.

        Of what a restored broker lost, as much is compared as was verified here: the rest nobody has, as all of an exercise that began
        after the backup.
        """
        for left in self.logs[name].pin.before:
            if left.incarnation != seen.incarnation:
                continue
            if seen.size > left.verified:
                return Seen.CONSISTENT
            roots = self._left_roots.setdefault((name, left.origin), Roots(self.store, name, left=left))
            return Seen.CONSISTENT if roots.root(seen.size) == seen.root else Seen.FORK
        real = self.logs.get(agreement_of(name)) if is_exercise(name) and not self.logs[name].pin.before else None
        began_anew = real is not None and any(one.incarnation == seen.incarnation for one in real.pin.before)
        return Seen.CONSISTENT if began_anew else Seen.FORK

    def is_together(self, name: str) -> bool:
        """Say whether a log is of the same incarnation of the broker as the key log."""
        keys, log = self.logs.get(KEYS), self.logs.get(name)
        return keys is None or log is None or keys.pin.incarnation == log.pin.incarnation

    def require_together(self, name: str) -> None:
        """Check that; raises VerificationError: a broker that was restored goes on with all of its logs, or with none."""
        if not self.is_together(name):
            raise VerificationError(
                f"the key log and the log of {name} are of different incarnations of the broker",
                what_to_do="Nothing is decided under it. Ask the broker's operator: a restore continues every log at once.",
            )

    # --- alarms and evidence ----------------------------------------------------------------------------------------

    def forked(self, name: str, error: ForkError) -> None:
        """Stop a log, keep what proves the fork, and raise the alarm."""
        self.faults[name] = error
        self.keep_evidence(name, error.message, error.shown)
        self.raise_alarm(AlarmKind.FORK, name, name or "keys", error.message)

    def keep_evidence(self, name: str, what: str, shown: bytes) -> None:
        """Keep what was shown beside our newest note of that log."""
        mirrored = self.logs.get(name)
        own = b"" if mirrored is None else mirrored.pin.note
        self.store.put_evidence(self.now_ms(), name, what, own, shown)

    def raise_alarm(self, kind: AlarmKind, agreement_id: str, subject: str, detail: str) -> None:
        """Write an alarm and log it; the same one is written once."""
        if self.store.alarm(Alarm(kind, agreement_id, subject, detail, self.now_ms())):
            _LOG.error(
                "alarm", extra={"kind": kind.value, "agreement": agreement_id, "subject": subject, "detail": detail}
            )
