"""The server's side of the handshake, and what of the data directory a running broker takes over without a restart.

Rules in order:
1. Every handshake asks anew for the certificate and the authorities: a renewed certificate, and a party's new authority, count
   from the next connection on; an authority that ended counts no longer. Connections have a maximum age.
2. A certificate file is taken only if it is this broker's, of the key that was opened at the start, and valid now. Else the one
   before stays, and the log says why, once for each file; one that is yet to begin is looked at again in each handshake.
3. Renewed cards and bundles enter the key log at a fixed beat: cards first, since they carry the key that signed the bundle.
   Only parties that were trusted at the start are looked at; the root in a card is the one trusted then.
4. What failed only for now (a full disk, a clock a little behind) is tried again at each beat until it is taken or refused for
   good; what is refused again for the same reason is said in the log once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import grpc

from comity.errors import ComityError, ErrorCode, KeyFault
from comity.identity.certificates import read_leaf, require_time
from comity.identity.directory import KeyDirectory
from comity.keys.tls import from_pem
from comity.node.files import read_file
from comity.node.home import read_cards
from comity.statement import FILE_LIMIT, Statement, decode
from comity_broker.auditlog.bodies import BROKER
from comity_broker.clock import BrokerClock
from comity_broker.directory import Directory
from comity_broker.installation import CERTIFICATE_LIMIT, Installation, authorities_pem

BEAT_SECONDS: Final = 2.0
_PASSES: Final = frozenset(
    {
        ErrorCode.STORAGE_FULL,
        ErrorCode.STORAGE_FAILED,
        ErrorCode.UNREACHABLE,
        ErrorCode.CLOCK_WINDOW,
    }
)
_LOG: Final = logging.getLogger(__name__)

_Seen = tuple[tuple[str, int, int], ...]


class Credentials:
    """Makes the configuration of a handshake, and says when it has changed."""

    def __init__(self, installation: Installation, keys: KeyDirectory, clock: BrokerClock) -> None:
        self._installation = installation
        self._keys = keys
        self._clock = clock
        self._certificate = installation.certificate_pem
        self._path = installation.data / "certificate.pem"
        self._seen = self._told = seen(self._path)
        self._given = (b"", b"")

    def server(self) -> grpc.ServerCredentials:
        """Give credentials that ask for a client certificate at each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self.renewed,  # type: ignore[arg-type]  # None means "as before", which the stubs do not say
            require_client_authentication=True,
        )

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Give the configuration where it is another one than at the last handshake, else None."""
        self._look()
        return None if self._parts() == self._given else self._configuration()

    @property
    def certificate_pem(self) -> bytes:
        """Give the certificate that the next handshake shows."""
        return self._certificate

    def _parts(self) -> tuple[bytes, bytes]:
        now = self._clock.now_ms()
        roots = [one for party in self._keys.cards for one in self._keys.authorities(party, now)]
        return self._certificate, authorities_pem(roots)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        self._given = certificate, roots = self._parts()
        pair = (self._installation.key_pem, certificate)
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    def _look(self) -> None:
        """Take a renewed certificate, by rule 2."""
        now_seen = seen(self._path)
        if now_seen == self._seen:
            return
        try:
            self._certificate = self._checked(read_file(self._path, CERTIFICATE_LIMIT))
        except ComityError as error:
            if now_seen != self._told:
                _LOG.error("certificate_not_taken", extra={"code": error.code.name, "reason": error.message})
            self._told = now_seen
            if error.code in _PASSES:
                return
        self._seen = now_seen

    def _checked(self, pem: bytes) -> bytes:
        before, leaf = read_leaf(from_pem(self._certificate)), read_leaf(from_pem(pem))
        if (leaf.spiffe, leaf.spki) != (before.spiffe, before.spki):
            raise KeyFault("the new certificate is of another broker or another key")
        require_time(str(leaf.spiffe), leaf.not_before_ms, leaf.not_after_ms, self._clock.now_ms())
        return pem


class Renewals:
    """Brings renewed cards and the broker's renewed bundle into the key log while the broker runs, by rule 3."""

    def __init__(self, installation: Installation, directory: Directory) -> None:
        self._installation = installation
        self._directory = directory
        self._cards = installation.data / "cards"
        self._bundle = installation.data / "bundle.json"
        self._seen = self._tried = self._looked_at()
        self._told: set[tuple[bytes, ErrorCode | None]] = set()

    async def run(self) -> None:
        """Look at a fixed beat, for ever."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take what changed since the last look; what is refused is said in the log, and the rest is taken."""
        now_seen = self._looked_at()
        if now_seen == self._seen:
            return
        if now_seen != self._tried:
            self._tried = now_seen
            self._told.clear()
        if await self._took_all():
            self._seen = now_seen

    async def _took_all(self) -> bool:
        """Take what is there; say whether no part of it failed only for now."""
        try:
            statements = list(self._read())
        except ComityError as error:
            self._say(logging.ERROR, "renewal_not_read", b"", error)
            return error.code not in _PASSES
        final = True
        for statement in statements:
            fields: dict[str, object] = {"type": statement.type}
            try:
                fields["log_index"] = await self._directory.take(statement, BROKER)
            except ComityError as error:
                final &= error.code not in _PASSES
                self._say(logging.WARNING, "statement_not_taken", statement.digest, error, fields)
            else:
                self._say(logging.INFO, "statement_taken", statement.digest, None, fields)
        return final

    def _say(
        self,
        level: int,
        what: str,
        digest: bytes,
        error: ComityError | None,
        fields: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Say an outcome once for the files as they are now."""
        code = None if error is None else error.code
        if (digest, code) not in self._told:
            self._told.add((digest, code))
            why = {} if error is None else {"code": error.code.name, "reason": error.message}
            _LOG.log(level, what, extra={**fields, **why})

    def _read(self) -> Iterable[Statement]:
        for party, card in read_cards(self._cards).items():
            if party in self._installation.cards:
                yield from card.directory
        if self._bundle.exists():
            yield decode(read_file(self._bundle, FILE_LIMIT))

    def _looked_at(self) -> _Seen:
        return seen(self._bundle, *sorted(self._cards.glob("*.card")))


def seen(*paths: Path) -> _Seen:
    """Give what says that a file is another one now: its name, the time it was written, its number on the disk."""
    found = []
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        found.append((path.name, status.st_mtime_ns, status.st_ino))
    return tuple(found)
