"""Going on with a log that a restored broker continued (designs 04 and 05, docs/adr/0023): what a mirror asks of CONTINUES.

Rules in order:
1. The first entry of the log in its place is CONTINUES, signed by the broker's signing key; it states its own origin and place, and
   leads, incarnation by incarnation, to the very log that is mirrored here. Anything else is a FORK.
2. The tree it says was restored is a part of our own history: the same root under the same size, and signed by the keys of the log that is
   left. Where our history is shorter, the rest of the restored tree is fetched first and led to that root.
3. Only then the mirror goes on: what the broker kept counts as before, what it lost stays here under the old log's name, as evidence,
   and is folded no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from comity.continuing import Continued
from comity.errors import MalformedError, VerificationError
from comity.identity.directory import KeyDirectory
from comity.identity.names import Identity
from comity.node.entries import MirroredEntry
from comity.node.logs import ForkError, LeftLog, LogPin, check_note, extend, opened
from comity.node.mirror_store import MirrorStore
from comity.node.roots import Roots
from comity.statement import Statement, from_json, verify_signature_of
from comity.suites import KeyRole

KIND: Final = "CONTINUES"
_INCARNATIONS: Final = 256
_PAGE: Final = 1024

# Gives entries as they come from a broker, each checked under an origin: (origin, first index, at most so many).
Fetch = Callable[[str, int, int], Awaitable[Sequence[MirroredEntry]]]
Vouch = Callable[[Statement], None]


@dataclass(frozen=True, slots=True)
class ContinuedEntry:
    """A CONTINUES entry: the statement, and what it says."""

    statement: Statement
    said: Continued


def read_continued(entry: MirroredEntry) -> ContinuedEntry:
    """Read the first entry of a log that goes on with another; raises VerificationError."""
    if entry.kind != KIND:
        raise VerificationError(f"{entry.origin}: entry {entry.log_index} neither opens nor continues a log")
    try:
        statement = from_json(entry.shared()["statement"])
        said = Continued.from_body(statement.fields)
    except MalformedError as error:
        raise VerificationError(f"{entry.origin}: entry {entry.log_index}: {error.message}") from error
    if (said.origin, said.first) != (entry.origin, entry.log_index):
        raise VerificationError(f"{entry.origin}: entry {entry.log_index} continues a log of another name or place")
    return ContinuedEntry(statement, said)


def check_broker_signed(statement: Statement, broker: Identity, directory: KeyDirectory) -> None:
    """Check that a statement is signed by the broker's signing key and by nothing else; raises VerificationError."""
    for one in statement.signatures:
        owner = directory.owner(one.key)
        if (
            owner is None
            or owner.identity != broker
            or owner.key.role is not KeyRole.BROKER_SIGNING
            or directory.revocation(one.key) is not None
            or not verify_signature_of(statement, one.key, owner.key.suite, owner.key.public)
        ):
            raise VerificationError(
                f"what the log goes on with is not signed by {broker}",
                what_to_do="Nothing is taken of it. Ask the broker's operator what happened.",
            )


@dataclass(slots=True)
class Continuing:
    """Brings one log's pin to the incarnation that is served. `vouch` checks a statement's signature."""

    name: str
    store: MirrorStore
    fetch: Fetch
    vouch: Vouch

    async def reach(self, pin: LogPin | None, origin: str, first: int) -> tuple[LogPin, list[ContinuedEntry]]:
        """Give the pin of the log with this origin, whose first leaf has this index, and what led there, the oldest first.

        `pin` is what was verified before. Raises ForkError where the log served goes on with another history.
        """
        chain: list[ContinuedEntry] = []
        while first and (pin is None or origin != pin.origin) and len(chain) < _INCARNATIONS:
            (entry,) = await self.fetch(origin, first, 1)
            one = read_continued(entry)
            self.vouch(one.statement)
            chain.append(one)
            origin, first = one.said.before.origin, one.said.before.first
        chain.reverse()
        if pin is None:
            pin = opened((await self.fetch(origin, 0, 1))[0])
        elif (origin, first) != (pin.origin, pin.first):
            raise ForkError(pin.origin, f"a log of another name is served in its place: {origin[:200]}")
        for one in chain:
            pin = await self._left(pin, one.said)
        return pin, chain

    async def _left(self, pin: LogPin, said: Continued) -> LogPin:
        before = said.before
        signed = check_note(pin, said.checkpoint)
        if (signed.size, signed.root) != (before.size, before.root):
            raise ForkError(pin.origin, "what was restored of it is not what its own keys signed", said.checkpoint)
        pin = await self._reached(pin, said)
        left = LeftLog(
            origin=pin.origin,
            vkeys=pin.vkeys,
            first=pin.first,
            kept=before.size,
            verified=pin.tree_size,
            note=pin.note if pin.tree_size > before.size else said.checkpoint,
        )
        following = LogPin(said.origin, said.log_vkeys, first=said.first, before=(*pin.before, left))
        _ = following.policy
        await asyncio.to_thread(self.store.leave, self.name, left, replace(following, before=pin.before), 0)
        return following

    async def _reached(self, pin: LogPin, said: Continued) -> LogPin:
        """Give the pin of a log that is left, with all of what was restored; raises ForkError where it is no part of our history."""
        before, frontier = said.before, pin.frontier
        if frontier.size >= before.size:
            root = await asyncio.to_thread(Roots(self.store, self.name, pin.first).root, before.size)
        else:
            while frontier.size < before.size:
                wanted = min(_PAGE, before.size - frontier.size)
                page = await self.fetch(pin.origin, pin.first + frontier.size, wanted)
                frontier, leaves, tiles = extend(frontier, (entry.entry for entry in page))
                await asyncio.to_thread(self.store.append, self.name, page, leaves, tiles)
            root = frontier.root
        if root != before.root:
            raise ForkError(
                pin.origin,
                f"the restored broker goes on from {before.size} entries that are not the first {before.size} of this log",
                said.checkpoint,
            )
        return replace(pin, frontier=frontier)
