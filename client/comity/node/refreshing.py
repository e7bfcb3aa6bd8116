"""Refreshing a mirror: what is new is fetched, verified, folded, and only then pinned (see `mirror`, rules 1 to 4)."""

from __future__ import annotations

from typing import Final

from comity.errors import AccessError, ComityError, ErrorCode, MalformedError, UnreachableError, VerificationError
from comity.node.agreements import KINDS, AgreementFold, check_digest, document_digest, parse_document
from comity.node.connection import Connection
from comity.node.following import Fetched, Followed, follow
from comity.node.logs import OPERATIONS, ForkError, LogPin, check_keys, check_note
from comity.node.mirror_state import KEYS, Mirrored, MirrorState
from comity.node.mirror_store import MirrorStore
from comity.v1 import agreement_pb2, audit_pb2
from comity_policy.document import Document

AGREEMENTS_LIMIT: Final = 4096


async def listed_agreements(connection: Connection, state: MirrorState) -> set[str]:
    """Give the agreements that the broker lists for the party, and those mirrored before: it does not lose one silently."""
    reply = await connection.call(connection.agreements.ListAgreements, agreement_pb2.ListAgreementsRequest())
    if len(reply.agreements) > AGREEMENTS_LIMIT:
        raise VerificationError(f"the broker lists more than {AGREEMENTS_LIMIT} agreements")
    return {one.agreement_id for one in reply.agreements} | (state.logs.keys() - {KEYS, OPERATIONS})


class Refresher:
    """Refreshes one mirror over one connection. `writing` is a second handle on the file, for a worker thread."""

    def __init__(self, state: MirrorState, writing: MirrorStore, connection: Connection) -> None:
        self._state = state
        self._writing = writing
        self._connection = connection

    async def keys(self) -> None:
        """Refresh the key log; raises ForkError, VerificationError or MalformedError, which then stop everything."""
        state = self._state
        try:
            fetched = await self._follow(Followed(KEYS, (), state.party, state.tls_name))
            for entry in state.store.entries(KEYS, fetched.pin.origin, state.keys.size, fetched.pin.size):
                state.keys.take(entry)
            check_keys(fetched.pin, state.broker, state.keys.directory)
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
        """Refresh one agreement; what stops it is written into the state's faults. Raises UnreachableError."""
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

    async def _agreement(self, name: str) -> AgreementFold:
        state = self._state
        text = state.store.document(name) or await self._fetch_text(name)
        document = parse_document(name, text)
        self._require_party(document)
        fetched = await self._follow(Followed(name, tuple(sorted(document.parties)), state.party, state.tls_name))
        if fetched.first_new == 0:
            (opening,) = state.store.entries(name, fetched.pin.origin, 0, 1)
            check_digest(name, text, opening)
            state.store.put_document(name, text)
        check_keys(fetched.pin, state.broker, state.keys.directory)
        state.settle(name, fetched.pin)
        fold = state.folds.get(name) or AgreementFold(name, text, document, document_digest(text), fetched.pin)
        entries = state.store.entries(name, fetched.pin.origin, fold.taken, fetched.pin.size, KINDS)
        if any(entry.shared().get("key_log_size", 0) > state.keys.size for entry in entries):
            # The agreement's log went on after the key log was fetched.
            await self.keys()
        fold.take(entries, fetched.pin, state.keys)
        return fold

    async def _fetch_text(self, name: str) -> bytes:
        request = agreement_pb2.GetAgreementRequest(agreement_id=name)
        return (await self._connection.call(self._connection.agreements.GetAgreement, request)).document

    async def _follow(self, followed: Followed) -> Fetched:
        mirrored = self._state.logs.get(followed.name)
        pin = None if mirrored is None else mirrored.pin
        before = b"" if mirrored is None else mirrored.shown
        try:
            fetched = await follow(self._connection, self._writing, followed, pin)
            if mirrored is not None:
                _check_shown(mirrored, before, fetched.pin)
        except ForkError as error:
            self._state.forked(followed.name, error)
            await self._present(followed, pin)
            raise
        return fetched

    async def _present(self, followed: Followed, pin: LogPin | None) -> None:
        """Show the broker our newest note: its answer is evidence too. Whatever it is, the fork stands."""
        if pin is None or not pin.note:
            return
        request = audit_pb2.PresentCheckpointRequest(log=followed.selector, checkpoint=pin.note)
        try:
            reply = await self._connection.call(self._connection.audit.PresentCheckpoint, request)
        except ComityError as refused:
            answer, note = f"the broker answered {refused.code.name} to our checkpoint", b""
        else:
            answer, note = "the broker says that it extends our checkpoint", reply.checkpoint
        self._state.keep_evidence(followed.name, answer, note)

    def _require_party(self, document: Document) -> None:
        if self._state.party not in document.parties:
            raise AccessError(f"{self._state.party} is no party of {document.id}", code=ErrorCode.NOT_A_PARTY)


def _check_shown(mirrored: Mirrored, before: bytes, pin: LogPin) -> None:
    """Check that the log reached what a stream had shown before it was fetched, and that all that was shown is a part of it.

    What a stream showed while it was fetched may be ahead of it: that is for the next refresh to reach.
    """
    for note in dict.fromkeys((before, mirrored.shown)):
        if not note:
            continue
        shown = check_note(pin, note)
        if shown.size > pin.size:
            if note == before:
                raise ForkError(pin.origin, f"a tree of {shown.size} entries was shown before, now {pin.size}", note)
        elif mirrored.roots.root(shown.size) != shown.root:
            raise ForkError(pin.origin, f"another tree of {shown.size} entries was shown before", note)
