"""Names of parties, identities and logs, checked before they meet a path, a certificate or a log (design 01 and 05).

Rules in order:
1. A party is three capital letters; a name is ``[a-z0-9][a-z0-9-]{0,62}``, unique over a party's nodes, officers and brokers.
2. An identity is PARTY/NAME for people and ``spiffe://<trust domain>/{node|officer|broker}/<name>`` in certificates.
3. A trust domain is a DNS name in lower case of at most 64 bytes, so that every log origin below stays within 255.
4. A broker's TLS name is ``<name>.<trust domain>``; its logs are called after it and after the incarnation, 16 bytes.
5. What belongs to an agreement's exercise traffic, its log and its consumers, has the name of the real one with ``/exercise``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from comity.errors import MalformedError
from comity.suites import KeyRole

TRUST_DOMAIN_LIMIT: Final = 64
INCARNATION_BYTES: Final = 16

_PARTY: Final = re.compile(r"[A-Z]{3}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_AGREEMENT: Final = re.compile(r"[A-Z0-9][A-Z0-9-]{1,63}")
_EXERCISE: Final = "/exercise"
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# The last label begins with a letter: an IPv4 address is not a name.
_TRUST_DOMAIN: Final = re.compile(rf"(?:{_LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_SPIFFE: Final = re.compile(r"spiffe://([a-z0-9.-]{1,64})/(node|officer|broker)/([a-z0-9-]{1,63})")


class IdentityKind(StrEnum):
    """What an identity is; the value is the word in its SPIFFE path."""

    NODE = "node"
    OFFICER = "officer"
    BROKER = "broker"

    @property
    def tls_role(self) -> KeyRole:
        """Give the role of its TLS keys."""
        return KeyRole(f"{self.value}-tls")

    @property
    def signing_role(self) -> KeyRole:
        """Give the role of its signing keys."""
        return KeyRole(f"{self.value}-signing")


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """A party's node, officer or broker. Its parts are checked when it is made (MalformedError), so they are path-safe."""

    party: str
    kind: IdentityKind
    name: str

    def __post_init__(self) -> None:
        check_party(self.party)
        check_name(self.name)

    def __str__(self) -> str:
        return f"{self.party}/{self.name}"

    @classmethod
    def parse(cls, text: str, kind: IdentityKind) -> Identity:
        """Read ``XAR/n1``; raises MalformedError."""
        party, name = split_identity(text)
        return cls(party, kind, name)

    def spiffe_uri(self, trust_domain: str) -> str:
        """Give the URI of its certificates; raises MalformedError for a trust domain that is none."""
        return str(SpiffeId(check_trust_domain(trust_domain), self.kind, self.name))

    def tls_name(self, trust_domain: str) -> str | None:
        """Give the DNS name of its certificates: brokers have one, others None."""
        return broker_tls_name(self.name, trust_domain) if self.kind is IdentityKind.BROKER else None


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """What a certificate's URI says. Which party has the trust domain, only a trusted card says."""

    trust_domain: str
    kind: IdentityKind
    name: str

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/{self.kind.value}/{self.name}"


def check_party(text: str) -> str:
    """Give a party code back; raises MalformedError when it is none."""
    return _checked(text, _PARTY, "a party code (three capital letters)")


def check_name(text: str) -> str:
    """Give a name back; raises MalformedError when it is none."""
    return _checked(text, _NAME, "a name (lower-case letters, digits and hyphens, at most 63, no hyphen first)")


def check_trust_domain(text: str) -> str:
    """Give a trust domain back; raises MalformedError when it is none."""
    if len(text) > TRUST_DOMAIN_LIMIT:
        raise MalformedError(f"a trust domain has at most {TRUST_DOMAIN_LIMIT} characters")
    return _checked(text, _TRUST_DOMAIN, "a trust domain (a DNS name in lower case)")


def split_identity(text: str) -> tuple[str, str]:
    """Give party and name of ``XAR/n1``; raises MalformedError."""
    party, separator, name = text.partition("/")
    if not separator:
        raise MalformedError("an identity is written PARTY/NAME, for example XAR/n1")
    return check_party(party), check_name(name)


def parse_spiffe(uri: str) -> SpiffeId:
    """Read the URI of a certificate; raises MalformedError."""
    match = _SPIFFE.fullmatch(uri)
    if match is None:
        raise MalformedError("not the SPIFFE URI of a node, an officer or a broker")
    trust_domain, kind, name = match.groups()
    return SpiffeId(check_trust_domain(trust_domain), IdentityKind(kind), check_name(name))


def broker_tls_name(name: str, trust_domain: str) -> str:
    """Give the name a broker's certificate holds and clients ask for, e.g. ``hub.xar.example``; raises MalformedError."""
    return f"{check_name(name)}.{check_trust_domain(trust_domain)}"


def agreement_log_origin(tls_name: str, name: str, incarnation: bytes) -> str:
    """Give the origin of a broker's log of one agreement, or of its exercise (`exercise_of`); raises MalformedError."""
    agreement = _checked(agreement_of(name), _AGREEMENT, "an agreement id")
    origin = f"{_checked_tls_name(tls_name)}/agreement/{agreement}/{_incarnation(incarnation)}"
    return exercise_of(origin) if is_exercise(name) else origin


def exercise_of(agreement_id: str) -> str:
    """Give the name of the log of an agreement's exercise traffic: its id with ``/exercise`` (no id has a slash)."""
    return f"{agreement_id}{_EXERCISE}"


def is_exercise(name: str) -> bool:
    """Say whether the name, or the origin, of a log is that of an exercise."""
    return name.endswith(_EXERCISE)


def agreement_of(name: str) -> str:
    """Give the agreement whose log, real or of its exercise, has this name."""
    return name.removesuffix(_EXERCISE)


def log_name(agreement_id: str, *, exercise: bool) -> str:
    """Give the name of the log that an agreement's real or exercise traffic stands in."""
    return exercise_of(agreement_id) if exercise else agreement_id


def lasting_name(origin: str) -> str:
    """Give what all incarnations of a log have of their origins: without the incarnation."""
    return log_name(agreement_of(origin).rpartition("/")[0], exercise=is_exercise(origin))


def incarnation_of(origin: str) -> bytes:
    """Give the incarnation that the origin of a log names, of whatever length it is; raises ValueError where it is no hex."""
    return bytes.fromhex(agreement_of(origin).rpartition("/")[2])


def key_log_origin(tls_name: str, incarnation: bytes) -> str:
    """Give the origin of a broker's key log; raises MalformedError."""
    return f"{_checked_tls_name(tls_name)}/keys/{_incarnation(incarnation)}"


def operations_log_origin(tls_name: str, incarnation: bytes) -> str:
    """Give the origin of a broker's operations log; raises MalformedError."""
    return f"{_checked_tls_name(tls_name)}/operations/{_incarnation(incarnation)}"


def _checked_tls_name(text: str) -> str:
    name, _, trust_domain = text.partition(".")
    return broker_tls_name(name, trust_domain)


def _incarnation(incarnation: bytes) -> str:
    if len(incarnation) != INCARNATION_BYTES:
        raise MalformedError(f"an incarnation has {INCARNATION_BYTES} bytes")
    return incarnation.hex()


def _checked(text: str, shape: re.Pattern[str], what: str) -> str:
    if not shape.fullmatch(text):
        raise MalformedError(f"not {what}: {text[:80]!r}")
    return text
