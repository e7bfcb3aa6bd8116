"""What this node's software can, and saying so in the key log (design 01, "Trust the other end's abilities"; docs/adr/0030).

Rules in order:
1. What is said is what this release does: its version, the wire protocol it speaks, every obligation of `comity_policy.abilities`, and
   the suites of which the node's newest bundle lists keys.
2. It is said at enrolment, and whenever a node connects and its newest statement says something else. Where an agreement asks it, the
   node then waits until its own mirror has the statement: else it would refuse itself what the broker takes.
3. Saying it stops nothing: a broker that does not take it now is asked again at the next start. Where an agreement sets a floor, the
   decision names a node that said nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from comity.errors import ComityError, ErrorCode
from comity.identity.bodies import NodeBundle
from comity.identity.capabilities import Abilities, node_capabilities
from comity.identity.records import NodeRecord
from comity.keys.ring import KeyRing
from comity.node.connection import Connection
from comity.node.enrolment import publish_statement
from comity.node.mirror import Mirror
from comity.node.own_keys import OwnKeys
from comity.suites import KeyRole, Suite
from comity_policy.abilities import OBLIGATIONS

# The package of the protocol files is comity.v1.
WIRE_VERSIONS: Final = (1,)
MIRRORED_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.1
_LOG: Final = logging.getLogger(__name__)


def abilities_of(listed: NodeRecord | NodeBundle) -> Abilities:
    """Give what this software can with the keys that a node has listed."""
    from importlib.metadata import version  # noqa: PLC0415 - reads the installed package: once a process

    suites = sorted({int(key.suite) for key in listed.keys if key.role is KeyRole.NODE_KEM})
    return Abilities(f"comity {version('comity')}", WIRE_VERSIONS, tuple(suites), OBLIGATIONS)


async def state_at_enrolment(connection: Connection, bundle: NodeBundle, ring: KeyRing, now_ms: int) -> int | None:
    """State what a node can that has just enrolled; gives the entry of the key log, None where it stated something before."""
    listed = frozenset(key.fingerprint for key in bundle.keys if key.role is KeyRole.NODE_SIGNING)
    suite = min(key.suite for key in bundle.keys if key.role is KeyRole.NODE_SIGNING)
    signer = ring.signer(KeyRole.NODE_SIGNING, Suite(suite), among=listed)
    said = node_capabilities(
        signer, party=bundle.party, node=bundle.node, abilities=abilities_of(bundle), valid_from=now_ms, sequence=1
    )
    try:
        return await publish_statement(connection, said)
    except ComityError as error:
        if error.code is ErrorCode.SEQUENCE_STALE:
            return None
        raise


async def state_when_changed(connection: Connection, mirror: Mirror, keys: OwnKeys, now_ms: int) -> None:
    """State what the node can, where its newest statement says something else; raises what stops the mirror."""
    log_index = await _state_when_changed(connection, mirror, keys, now_ms)
    if log_index is None or not any(view.compiled.sets_floor for view in mirror.agreements()):
        return
    loop = asyncio.get_running_loop()
    deadline = loop.time() + MIRRORED_SECONDS
    # A checkpoint is signed at most a second after its entries.
    while mirror.directory.size <= log_index and loop.time() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)
        await mirror.refresh(connection, ())


async def _state_when_changed(connection: Connection, mirror: Mirror, keys: OwnKeys, now_ms: int) -> int | None:
    try:
        record = keys.record
        able = abilities_of(record)
        stated = mirror.directory.capabilities(record.party, record.node)
        if stated is not None and stated.body.abilities == able:
            return None
        _, signer = keys.newest_signer()
        said = node_capabilities(
            signer,
            party=record.party,
            node=record.node,
            abilities=able,
            valid_from=now_ms,
            sequence=mirror.directory.next_capabilities(record.party, record.node),
        )
        return await publish_statement(connection, said)
    except ComityError as error:
        # A node that is not enrolled, or another process of this node that said it a moment ago.
        _LOG.info("capabilities_not_stated", extra={"code": error.code.name, "reason": error.message})
        return None
