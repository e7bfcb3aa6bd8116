"""The broker's directory: who a connection is, enrolment with proof of possession, and statements that enter the key log.

In order, for a statement: the caller's party is the statement's; `KeyDirectory.admissible`; for bundles and accreditations a
proof for every key that signs or decapsulates; one commit to the key log; memory follows; then the agreements of that party get
a new epoch, and a revocation its entry in each of their logs; streams of whoever no longer counts end. A crash in between is
made good at the next start: what the key log says and an agreement's log lacks is written then.

While the newest listing of an identity counts, only a key that it lists brings the next one: what its party was made to sign
for somebody else's key takes nobody's place. A newcomer comes in where nothing is listed, or what is listed counts no more.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from comity.errors import AccessError, ComityError, ErrorCode, KeyFault, MalformedError
from comity.identity.bodies import Body, BrokerBundle, NodeBundle, OfficerAccreditation, Revocation
from comity.identity.capabilities import NodeCapabilities
from comity.identity.certificates import read_leaf
from comity.identity.connecting import connecting
from comity.identity.directory import KeyDirectory
from comity.identity.listed import ListedKey
from comity.identity.names import Identity, IdentityKind
from comity.identity.records import NodeRecord, OfficerRecord, Record
from comity.keys.possession import NONCE_BYTES, kem_answer_verifies, seal_kem_challenge, signing_proof_verifies
from comity.statement import Statement, encode
from comity.suites import KeyRole, RandomBytes, Suite, fingerprint
from comity_broker.access import NODE, UNENROLLED, Caller
from comity_broker.auditlog.bodies import Caller as LogCaller
from comity_broker.auditlog.events import key_statement
from comity_broker.auditlog.kinds import EventKind
from comity_broker.clock import BrokerClock
from comity_broker.entries import Salts, add_events
from comity_broker.journal import Journal
from comity_broker.logs import Logs
from comity_broker.outcomes import settled
from comity_broker.storage.protocol import KEYS, Head, Known, Rows, StatementRow, Unit

_PENDING_SECONDS: Final = 300.0
_PENDING_LIMIT: Final = 256
_PROVEN: Final = frozenset({KeyRole.NODE_SIGNING, KeyRole.NODE_KEM, KeyRole.OFFICER_SIGNING})
_CHALLENGE: Final = 32
# A node states what it can when its software changes: more often than this fills everybody's mirror, and has agreements decided anew.
STATEMENTS_AN_HOUR: Final = 16
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Challenge:
    """What one key must answer; `sealed` is empty for a signing key."""

    key: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Begun:
    """An enrolment that waits for its proofs."""

    nonce: bytes
    challenges: tuple[Challenge, ...]


@dataclass(frozen=True, slots=True)
class _Pending:
    statement: bytes
    caller: Identity
    secrets: dict[bytes, bytes] = field(repr=False)
    until: float


class Directory:
    """The key log's writer, and the answer to who calls."""

    def __init__(
        self,
        *,
        keys: KeyDirectory,
        journal: Journal,
        logs: Logs,
        clock: BrokerClock,
        random_bytes: RandomBytes,
        tls_name: str,
    ) -> None:
        self.keys = keys
        self._journal = journal
        self._logs = logs
        self._clock = clock
        self._random_bytes = random_bytes
        self._tls_name = tls_name
        self._pending: dict[bytes, _Pending] = {}
        self._writing = asyncio.Lock()
        self._listeners: list[Callable[[Body, int, Statement], object]] = []

    # --- who calls --------------------------------------------------------------------------------------------------

    def caller(self, spiffe_uri: str, certificate_pem: bytes) -> Caller:
        """Give the caller behind a certificate; raises KeyFault or AccessError."""
        try:
            der = ssl.PEM_cert_to_DER_cert(certificate_pem.decode("ascii"))
        except ValueError as error:
            raise KeyFault("the client certificate does not read", code=ErrorCode.UNAUTHENTICATED) from error
        leaf = read_leaf(der)
        if str(leaf.spiffe) != spiffe_uri:
            raise KeyFault("the client certificate names two identities", code=ErrorCode.UNAUTHENTICATED)
        identity = self.keys.identity_of(leaf)
        key = fingerprint(identity.kind.tls_role, Suite.X509, leaf.spki)
        certificate = hashlib.sha384(der).digest()
        try:
            record = connecting(self.keys, der, self._clock.now_ms())
        except AccessError as error:
            if error.code is not ErrorCode.NOT_ENROLLED:
                raise
            return Caller(identity, frozenset({UNENROLLED}), certificate, key, der=der)
        return Caller(record.identity, _roles(record), certificate, key, _agreements(record), der)

    def still(self, caller: Caller) -> ComityError | None:
        """Give why a caller counts no longer; None while it does."""
        if caller.roles == {UNENROLLED}:
            return None
        try:
            record = connecting(self.keys, caller.der, self._clock.now_ms())
        except ComityError as error:
            return error
        return None if _roles(record) == caller.roles else _changed(caller)

    def on_statement(self, listener: Callable[[Body, int, Statement], object]) -> None:
        """Call `listener(body, key log index, statement)` after each statement that entered the key log."""
        self._listeners.append(listener)

    # --- enrolment --------------------------------------------------------------------------------------------------

    def begin(self, statement: Statement, caller: Caller) -> Begun:
        """Check a bundle or accreditation of the caller's own and make challenges; raises ComityError."""
        body = self._own(statement, caller)
        self._expire()
        # An identity has one enrolment open, so that none can hold the places of all.
        for before in [nonce for nonce, one in self._pending.items() if one.caller == caller.identity]:
            del self._pending[before]
        if len(self._pending) >= _PENDING_LIMIT:
            raise AccessError(
                "too many enrolments are open",
                what_to_do="Try again in a few minutes.",
                code=ErrorCode.RATE_LIMITED,
                retry_after_seconds=60.0,
            )
        nonce = self._random_bytes(NONCE_BYTES)
        secrets: dict[bytes, bytes] = {}
        challenges: list[Challenge] = []
        for key in body.keys:
            if key.role not in _PROVEN:
                continue
            sealed = b""
            if key.role is KeyRole.NODE_KEM:
                secrets[key.fingerprint] = secret = self._random_bytes(_CHALLENGE)
                sealed = seal_kem_challenge(
                    key.suite,
                    key.public,
                    node=str(caller.identity),
                    verifier=self._tls_name,
                    nonce=nonce,
                    challenge=secret,
                )
            challenges.append(Challenge(key.fingerprint, sealed))
        self._pending[nonce] = _Pending(
            encode(statement), caller.identity, secrets, self._clock.monotonic() + _PENDING_SECONDS
        )
        return Begun(nonce, tuple(challenges))

    async def complete(
        self, nonce: bytes, statement: Statement, proofs: dict[bytes, bytes], caller: Caller, by: LogCaller
    ) -> int:
        """Check the proofs and write the statement; give its index in the key log. A logged one gives its entry."""
        before = self.keys.logged_at(statement.digest)
        if before is not None:
            return before
        self._expire()
        pending = self._pending.pop(nonce, None)
        if pending is None or pending.caller != caller.identity or pending.statement != encode(statement):
            raise KeyFault(
                "no such enrolment is open, or it was opened for another statement",
                what_to_do="Begin the enrolment again.",
                code=ErrorCode.POSSESSION_FAILED,
            )
        body = self._own(statement, caller)
        for key in body.keys:
            proof = proofs.get(key.fingerprint, b"")
            if key.role in _PROVEN and not self._proven(pending, nonce, key, proof):
                raise KeyFault(
                    f"the proof that {caller.identity} holds its {key.role.value} key does not verify",
                    what_to_do="Enrol with the keys that the bundle lists.",
                    code=ErrorCode.POSSESSION_FAILED,
                )
        return await self._write(statement, by, enrolling=caller)

    async def publish(self, statement: Statement, caller: Caller, by: LogCaller) -> int:
        """Write a statement that needs no proof of possession: revocation, directory key, withdrawal, a node's capabilities."""
        before = self.keys.logged_at(statement.digest)
        if before is not None:
            return before
        body = self.keys.admissible(statement, self._clock.now_ms())
        if body.party != caller.party:
            raise AccessError(
                f"{caller.identity} brings a statement of {body.party}", code=ErrorCode.ACTING_FOR_ANOTHER
            )
        if isinstance(body, NodeCapabilities) and body.identity != caller.identity:
            raise AccessError(
                f"{caller.identity} brings the capabilities of {body.identity}",
                what_to_do="Each node says over its own connection what it can.",
                code=ErrorCode.ACTING_FOR_ANOTHER,
            )
        if isinstance(body, NodeCapabilities):
            self._require_seldom(body)
        withdrawal = isinstance(body, OfficerAccreditation) and not body.roles
        if isinstance(body, NodeBundle | OfficerAccreditation) and not withdrawal:
            raise AccessError(
                "a bundle or accreditation enters by enrolment, with proof of its keys",
                what_to_do="Enrol it.",
                code=ErrorCode.POSSESSION_FAILED,
            )
        return await self._write(statement, by)

    async def take(self, statement: Statement, by: LogCaller) -> int:
        """Write a statement of the broker's own start: a trusted card's directory key, the broker's bundle."""
        before = self.keys.logged_at(statement.digest)
        return await self._write(statement, by) if before is None else before

    # --- inside -----------------------------------------------------------------------------------------------------

    def _require_seldom(self, body: NodeCapabilities) -> None:
        since = self._clock.now_ms() - _HOUR_MS
        if self.keys.capabilities_since(body.party, body.node, since) >= STATEMENTS_AN_HOUR:
            raise AccessError(
                f"{body.identity} has stated {STATEMENTS_AN_HOUR} times within an hour what it can",
                what_to_do="Its newest statement counts. State again later.",
                code=ErrorCode.RATE_LIMITED,
                retry_after_seconds=600.0,
            )

    def _own(self, statement: Statement, caller: Caller) -> NodeBundle | OfficerAccreditation:
        body = self.keys.admissible(statement, self._clock.now_ms())
        if not isinstance(body, NodeBundle | OfficerAccreditation):
            raise MalformedError("enrolment takes a node's bundle or an officer's accreditation")
        if body.identity != caller.identity:
            raise AccessError(
                f"{caller.identity} brings the keys of {body.identity}",
                what_to_do="Each identity enrols over a connection of its own.",
                code=ErrorCode.ACTING_FOR_ANOTHER,
            )
        if caller.key not in {key.fingerprint for key in body.keys}:
            raise KeyFault(
                "the statement does not list the key of this connection's certificate",
                what_to_do="Connect with the certificate that belongs to the statement.",
                code=ErrorCode.POSSESSION_FAILED,
            )
        self._require_vouched(caller)
        return body

    def _require_vouched(self, caller: Caller) -> None:
        identity = caller.identity
        newest = self.keys.find(identity.party, identity.name)
        if newest is None or newest.lists(caller.key) or not self._counts(newest):
            return
        verb = "withdraw" if identity.kind is IdentityKind.OFFICER else "revoke"
        raise AccessError(
            f"{identity} is enrolled with other keys, which count: a key that they do not list brings no new ones",
            what_to_do=f"Enrol over a connection with its present certificate. Where that is lost: comity {identity.kind.value} "
            f"{verb} {identity}, and then enrol.",
            code=ErrorCode.NOT_ENROLLED,
        )

    def _counts(self, record: Record) -> bool:
        revoked = any(self.keys.revocation(one) is not None for one in record.fingerprints)
        return not revoked and self.keys.is_current(record, self._clock.now_ms())

    def _proven(self, pending: _Pending, nonce: bytes, key: ListedKey, proof: bytes) -> bool:
        identity = str(pending.caller)
        if key.role is KeyRole.NODE_KEM:
            secret = pending.secrets[key.fingerprint]
            return kem_answer_verifies(
                key.suite, key.public, node=identity, nonce=nonce, challenge=secret, answer=proof
            )
        return signing_proof_verifies(
            key.role,
            key.suite,
            key.public,
            identity=identity,
            verifier=self._tls_name,
            nonce=nonce,
            proof=proof,
        )

    async def _write(self, statement: Statement, by: LogCaller, *, enrolling: Caller | None = None) -> int:
        async with self._writing:
            before = self.keys.logged_at(statement.digest)
            if before is not None:
                return before
            now = self._clock.now_ms()
            # Again: another statement of the identity may have come first.
            body = self.keys.admissible(statement, now) if enrolling is None else self._own(statement, enrolling)
            kind = self._kind(body)
            log = self._logs.log(KEYS)
            salts = Salts.draw(log, 1, self._random_bytes)
            signatures = encode(statement)

            def build(head: Head, _: Known) -> Rows[tuple[int, int]]:
                at = max(head.broker_time, now)
                rows = Rows(replace(head.raised(), broker_time=at), (head.leaf_next, at))
                add_events(rows, log, [key_statement(kind, time=at, caller=by, statement=statement)], salts)
                rows.statements.append(StatementRow(head.leaf_next, at, statement.body, signatures))
                return rows

            log_index, at = settled(await self._journal.submit(Unit(KEYS, build, urgency=0))).result
            self._clock.committed(at)
            self.keys.apply(statement, log_index=log_index, at_ms=at)
        for listener in self._listeners:
            listener(body, log_index, statement)
        return log_index

    def _kind(self, body: Body) -> EventKind:
        if isinstance(body, Revocation):
            return EventKind.KEY_REVOKED
        if isinstance(body, NodeCapabilities):
            return EventKind.CAPABILITIES_STATED
        name = body.identity.name if isinstance(body, NodeBundle | OfficerAccreditation | BrokerBundle) else ""
        first = self.keys.next_sequence(body.party, name) == 1
        return EventKind.KEY_ENROLLED if first else EventKind.KEY_ROTATED

    def _expire(self) -> None:
        now = self._clock.monotonic()
        for nonce in [nonce for nonce, one in self._pending.items() if one.until <= now]:
            del self._pending[nonce]


def _roles(record: Record) -> frozenset[str]:
    if isinstance(record, NodeRecord):
        return frozenset({NODE})
    if isinstance(record, OfficerRecord):
        return frozenset(role.word for role in record.roles)
    return frozenset()


def _agreements(record: Record) -> frozenset[str]:
    return record.agreements if isinstance(record, OfficerRecord) else frozenset()


def _changed(caller: Caller) -> ComityError:
    return AccessError(f"the roles of {caller.identity} changed", what_to_do="Connect again.")
