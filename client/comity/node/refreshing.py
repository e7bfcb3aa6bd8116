"""Refreshing a mirror: what is new is fetched, verified, folded, and only then pinned (see `mirror`, rules 1 to 4).

Texts that steps brought are fetched by their digests before their entries are folded. An arrangement's umbrella is refreshed
with it: before it, and again where its log already names entries of the umbrella's log beyond those, which no checkpoint may
have covered yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from comity.errors import (
    AccessError,
    ComityError,
    ErrorCode,
    MalformedError,
    NotFoundError,
    UnreachableError,
    VerificationError,
)
from comity.identity.names import agreement_of, exercise_of
from comity.node import agreement_umbrella
from comity.node.agreement_texts import Text, check_digest, text_of
from comity.node.agreements import KINDS, AgreementFold, brought_by
from comity.node.alarms import AlarmKind
from comity.node.connection import Connection
from comity.node.continuing import Vouch, check_broker_signed
from comity.node.entries import MirroredEntry
from comity.node.exercises import KIND as EXERCISE_KIND
from comity.node.exercises import begun_anew
from comity.node.following import Fetched, Followed, follow
from comity.node.logs import OPERATIONS, ForkError, LeftLog, LogPin, check_keys, check_note
from comity.node.mirror_state import KEYS, Mirrored, MirrorState
from comity.node.mirror_store import MirrorStore
from comity.v1 import agreement_pb2, audit_pb2
from comity_policy.caveat import unread
from comity_policy.document import Document

AGREEMENTS_LIMIT: Final = 4096
# A checkpoint of each log is signed at most a second after its entries.
UMBRELLA_PATIENCE_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.1


async def listed_agreements(connection: Connection, state: MirrorState) -> set[str]:
    """Give the agreements that the broker lists for the party, and those mirrored before: it does not lose one silently."""
    reply = await connection.call(connection.agreements.ListAgreements, agreement_pb2.ListAgreementsRequest())
    if len(reply.agreements) > AGREEMENTS_LIMIT:
        raise VerificationError(f"the broker lists more than {AGREEMENTS_LIMIT} agreements")
    return {one.agreement_id for one in reply.agreements} | state.agreements()


class Refresher:
    """Refreshes one mirror over one connection. `writing` is a second handle on the file, for a worker thread."""

    def __init__(self, state: MirrorState, writing: MirrorStore, connection: Connection) -> None:
        self._state = state
        self._writing = writing
        self._connection = connection
        self._begun: set[str] = set()
        self._exercises: set[str] = set()

    async def keys(self) -> None:
        """Refresh the key log; raises ForkError, VerificationError or MalformedError, which then stop everything."""
        state = self._state
        try:
            fetched = await self._follow(Followed(KEYS, (), state.party, state.tls_name))
            for entry in state.store.entries(KEYS, fetched.pin, state.keys.size, fetched.pin.size):
                state.keys.take(entry)
            check_keys(fetched.pin, state.broker, state.keys.directory)
            for one in fetched.continued:
                check_broker_signed(one.statement, state.broker, state.keys.directory)
        except (VerificationError, MalformedError) as error:
            # The fold may hold entries that are not pinned: begin again from what is.
            state.load()
            state.faults[KEYS] = error
            raise
        state.settle(KEYS, fetched.pin)
        state.faults.pop(KEYS, None)

    async def operations(self) -> None:
        """Refresh the operations log, which nothing else depends on; raises what stops it, AccessError for who may not read it."""
        state = self._state
        try:
            fetched = await self._follow(Followed(OPERATIONS, (), state.party, state.tls_name))
            check_keys(fetched.pin, state.broker, state.keys.directory)
        except UnreachableError:
            raise
        except ComityError as error:
            state.faults[OPERATIONS] = error
            raise
        state.settle(OPERATIONS, fetched.pin)
        state.faults.pop(OPERATIONS, None)

    async def agreement(self, name: str) -> None:
        """Refresh one agreement, once; what stops it is written into the state's faults. Raises UnreachableError."""
        # Also what keeps two texts that name each other as umbrella from going round.
        if name not in self._begun:
            self._begun.add(name)
            await self._refresh(name)

    async def _refresh(self, name: str) -> None:
        state = self._state
        try:
            fold = await self._agreement(name)
        except UnreachableError:
            raise
        except ComityError as error:
            state.folds.pop(name, None)
            state.faults[name] = error
            return
        state.folds[name] = fold
        state.faults.pop(name, None)
        beside = exercise_of(name)
        if beside in self._exercises or (beside in state.logs and not self._has_none(beside, fold)):
            await self._exercise(beside, fold)

    def _has_none(self, name: str, fold: AgreementFold) -> bool:
        """Say whether a broker that serves no log of an exercise need not: a restore lost it whole, and it has not begun anew."""
        state, pin = self._state, self._state.logs[name].pin
        lost = begun_anew(pin, fold.pin)
        if lost is not None:
            left, following = lost
            self._writing.leave(name, left, replace(following, before=pin.before), 0)
            state.load()
            state.raise_alarm(AlarmKind.RESTORED, name, following.origin, told_of(state.store, name, left))
        return lost is not None or (pin.incarnation == fold.pin.incarnation and not pin.tree_size)

    async def _exercise(self, name: str, fold: AgreementFold) -> None:
        """Refresh the log of an agreement's exercise; what stops it is written into the state's faults. Raises UnreachableError."""
        state = self._state
        try:
            parties = tuple(sorted(fold.first.document.parties))
            fetched = await self._follow(Followed(name, parties, state.party, state.tls_name))
            check_keys(fetched.pin, state.broker, state.keys.directory)
            state.settle(name, fetched.pin)
            await self._reach_agreement(name, fold)
            state.follow_exercise(name)
        except UnreachableError:
            raise
        except ComityError as error:
            state.exercises.pop(name, None)
            state.faults[name] = error
            return
        state.faults.pop(name, None)

    async def _reach_agreement(self, name: str, fold: AgreementFold) -> None:
        """Refresh the agreement once more where its exercise's log names entries that came since."""
        pin = self._state.logs[name].pin
        named = self._state.store.entries(name, pin, 0, pin.size, {EXERCISE_KIND})
        if named and named[-1].shared()["agreement_log_index"] >= fold.taken:
            self._state.folds[fold.agreement_id] = await self._agreement(fold.agreement_id)

    async def _agreement(self, name: str) -> AgreementFold:
        state = self._state
        first = text_of(name, state.store.document(name) or await self._fetch_text(name))
        self._require_party(first.document)
        if first.document.under is not None:
            await self.agreement(first.document.under.agreement)
        pin = await self._pinned(first)
        if not state.is_together(name):
            # The broker may have been restored since the key log was fetched.
            await self.keys()
            state.require_together(name)
        fold = state.folds.get(name) or AgreementFold.begun(first, state.party, pin, state.find)
        entries = state.store.entries(name, pin, fold.taken, pin.size, KINDS)
        if any(entry.shared().get("key_log_size", 0) > state.keys.size for entry in entries):
            # The agreement's log went on after the key log was fetched.
            await self.keys()
        await self._bring_texts(fold, entries)
        await self._reach_umbrella(fold, entries)
        fold.take(entries, pin, state.keys)
        self._check_caveats(fold)
        return fold

    def _check_caveats(self, fold: AgreementFold) -> None:
        """Raise the alarm where an own caveat does not read under the version that governs: it stops what the party shares."""
        state = fold.state(self._state.now_ms())
        for caveat_id, one in fold.own_caveats(state).items():
            if why := unread(one.caveat, state.document):
                version = state.document.version
                self._state.raise_alarm(
                    AlarmKind.CAVEAT_UNREAD,
                    fold.agreement_id,
                    f"{fold.own}/{caveat_id}, version {version}",
                    f"the caveat does not read under version {version} ({why}): nothing that it could narrow passes. Withdraw it "
                    "and add it anew as the version needs it: comity agreement caveat withdraw, then add",
                )

    async def _pinned(self, first: Text) -> LogPin:
        """Fetch an agreement's log, check its opening and keys, and pin it."""
        state, name = self._state, first.document.id
        parties = tuple(sorted(first.document.parties))
        fetched = await self._follow(Followed(name, parties, state.party, state.tls_name))
        if fetched.first_new == 0:
            (opening,) = state.store.entries(name, fetched.pin, 0, 1)
            check_digest(name, first.data, opening)
            state.store.put_document(name, first.data)
        check_keys(fetched.pin, state.broker, state.keys.directory)
        state.settle(name, fetched.pin)
        return fetched.pin

    async def _bring_texts(self, fold: AgreementFold, entries: Sequence[MirroredEntry]) -> None:
        """Fetch the texts that entries bring and that are not in the file yet, each checked by its digest."""
        state, name = self._state, fold.agreement_id
        brought = brought_by(entries)
        held = state.store.texts(name) if brought else {}
        for digest, log_index in brought.items():
            if digest in fold.texts or digest in held:
                continue
            try:
                data = await self._fetch_text(name, bytes.fromhex(digest))
            except (NotFoundError, ValueError) as error:
                raise VerificationError(
                    f"the broker does not give the text that entry {log_index} of the log of {name} brings: {digest[:16]}",
                    what_to_do="Nothing is decided under it until then. Ask the broker's operator and the other parties.",
                ) from error
            state.store.put_text(name, digest, text_of(name, data, digest).data)
        state.bring_texts(fold, brought)

    async def _reach_umbrella(self, fold: AgreementFold, entries: Sequence[MirroredEntry]) -> None:
        """Refresh the umbrella until its log has the entries that an arrangement's log names, or patience ends."""
        named = [entry.shared() for entry in entries if entry.kind == agreement_umbrella.KIND]
        under = fold.umbrella.under
        if not named or under is None:
            return
        wanted = max(body["umbrella_log_index"] for body in named)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + UMBRELLA_PATIENCE_SECONDS
        while self._state.find(under.agreement).taken <= wanted and loop.time() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._refresh(under.agreement)

    async def _fetch_text(self, name: str, digest: bytes = b"") -> bytes:
        request = agreement_pb2.GetAgreementRequest(agreement_id=name, digest=digest)
        return (await self._connection.call(self._connection.agreements.GetAgreement, request)).document

    async def _follow(self, followed: Followed) -> Fetched:
        mirrored = self._state.logs.get(followed.name)
        pin = None if mirrored is None else mirrored.pin
        before = b"" if mirrored is None else mirrored.shown
        try:
            fetched = await follow(self._connection, self._writing, followed, pin, self._vouch(followed, pin))
            if fetched.continued:
                self._went_on(followed.name, pin, fetched)
            elif mirrored is not None:
                _check_shown(mirrored, before, fetched.pin)
            if fetched.has_exercise:
                self._exercises.add(exercise_of(followed.name))
        except ForkError as error:
            self._state.forked(followed.name, error)
            await self._present(followed, pin)
            raise
        except ComityError as error:
            if error.code is ErrorCode.LOG_FROZEN and pin is not None and pin.note:
                # A restore names what its nodes held: the broker keeps the longest tree it was shown.
                await self._answer(followed, pin)
            raise
        return fetched

    def _vouch(self, followed: Followed, pin: LogPin | None) -> Vouch:
        """Give what checks the signature of CONTINUES: at the first fetch of the key log its own fold does, afterwards."""
        if followed.name == KEYS and pin is None:
            return lambda _: None
        state = self._state
        return lambda statement: check_broker_signed(statement, state.broker, state.keys.directory)

    def _went_on(self, name: str, before: LogPin | None, fetched: Fetched) -> None:
        """Fold again what a restored broker kept, and say what it lost."""
        self._state.load()
        if before is None:
            return
        left = next((one for one in fetched.pin.before if one.origin == before.origin), None)
        if left is not None:
            self._state.raise_alarm(
                AlarmKind.RESTORED, name, fetched.pin.origin, told_of(self._state.store, name, left)
            )

    async def _present(self, followed: Followed, pin: LogPin | None) -> None:
        """Show the broker our newest note: its answer is evidence too. Whatever it is, the fork stands."""
        if pin is not None and pin.note:
            self._state.keep_evidence(followed.name, *await self._answer(followed, pin))

    async def _answer(self, followed: Followed, pin: LogPin) -> tuple[str, bytes]:
        """Show our newest note; gives what the broker answered, in words, and the note it showed."""
        request = audit_pb2.PresentCheckpointRequest(log=followed.selector, checkpoint=pin.note)
        try:
            reply = await self._connection.call(self._connection.audit.PresentCheckpoint, request)
        except ComityError as refused:
            return f"the broker answered {refused.code.name} to our checkpoint", b""
        return "the broker says that it extends our checkpoint", reply.checkpoint

    def _require_party(self, document: Document) -> None:
        if self._state.party not in document.parties:
            raise AccessError(f"{self._state.party} is no party of {document.id}", code=ErrorCode.NOT_A_PARTY)


def told_of(store: MirrorStore, name: str, left: LeftLog) -> str:
    """Say what a restored broker kept of a log and what it lost, in words."""
    lost = store.lost_kinds(left)
    kinds = ", ".join(f"{count} {kind}" for kind, count in lost.items())
    after = f"goes on after entry {left.end - 1}" if left.end else "begins this log anew"
    what = f"the broker was restored from a backup and {after}"
    what += (
        f"; it lost {sum(lost.values())} entries that are here: {kinds}" if lost else "; nothing that is here is lost"
    )
    return (
        f"{what}. A liaison of each party confirms it: comity agreement confirm-log {agreement_of(name)}"
        if name
        else what
    )


def _check_shown(mirrored: Mirrored, before: bytes, pin: LogPin) -> None:
    """Check that the log reached what a stream had shown before it was fetched, and that all that was shown is a part of it.

    What a stream showed while it was fetched may be ahead of it: that is for the next refresh to reach.
    """
    for note in dict.fromkeys((before, mirrored.shown)):
        if not note:
            continue
        shown = check_note(pin, note)
        if shown.size > pin.tree_size:
            if note == before:
                raise ForkError(
                    pin.origin, f"a tree of {shown.size} entries was shown before, now {pin.tree_size}", note
                )
        elif mirrored.roots.root(shown.size) != shown.root:
            raise ForkError(pin.origin, f"another tree of {shown.size} entries was shown before", note)
