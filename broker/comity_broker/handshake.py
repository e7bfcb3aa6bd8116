"""The server's side of the handshake: its certificate, and the authorities whose clients are let in.

Every handshake asks anew, so that a party's new authority counts without a restart and one that ended no longer does.
"""

from __future__ import annotations

import grpc

from comity.identity.directory import KeyDirectory
from comity_broker.clock import BrokerClock
from comity_broker.installation import Installation, authorities_pem


class Credentials:
    """Makes the configuration of a handshake, and says when it has changed."""

    def __init__(self, installation: Installation, keys: KeyDirectory, clock: BrokerClock) -> None:
        self._installation = installation
        self._keys = keys
        self._clock = clock
        self._given = b""

    def server(self) -> grpc.ServerCredentials:
        """Give credentials that ask for a client certificate at each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            self._renewed,  # type: ignore[arg-type]  # None means "as before", which the stubs do not say
            require_client_authentication=True,
        )

    def _roots(self) -> bytes:
        now = self._clock.now_ms()
        return authorities_pem([one for party in self._keys.cards for one in self._keys.authorities(party, now)])

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        self._given = self._roots()
        pair = (self._installation.key_pem, self._installation.certificate_pem)
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=self._given)

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        return None if self._roots() == self._given else self._configuration()
