"""The home directory of a user, a node or a party's machine: where identities, keys and trusted cards lie (design 01).

    HOME/parties/XAR/       card.json, ca.pem, keys/, issued/         a party whose keys are on this machine
    HOME/trusted/XBO.card                                            cards whose words somebody compared
    HOME/nodes/XAR/n1/      profile.toml, bundle.json, certificate.pem, keys/, outbox/, inbox-<consumer>.sqlite, mirror.sqlite
    HOME/officers/XAR/o1/   profile.toml, accreditation.json, certificate.pem, keys/, mirror.sqlite

Rules in order:
1. HOME is what is given, else COMITY_HOME, else $XDG_DATA_HOME/comity, else ~/.local/share/comity. Directories are made 0700,
   files 0600.
2. Names are checked before they meet a path: only an `Identity` or a checked party code does.
3. A file is written whole under another name, flushed to disk and renamed: a reader sees the old or the new one.
4. Trust in a party's root is given once. A newer card of the same root takes the old one's place and keeps the directory keys
   that only the old one lists: what they signed counts until their end. Another root is refused.

    home = Home.at(None, os.environ)
    place = home.locate("XAR/n1")
    place.profile.broker_address, place.statement
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from comity.errors import ConflictError, ErrorCode, MalformedError, NotFoundError, UsageError
from comity.identity.bodies import PartyCard
from comity.identity.cardfile import CardFile, decode_card_file, encode_card_file
from comity.identity.names import Identity, IdentityKind, agreement_of, check_name, check_party, split_identity
from comity.node.files import read_file, write_file
from comity.statement import FILE_LIMIT as STATEMENT_LIMIT
from comity.statement import Statement, decode, encode
from comity_policy.strict_toml import tables_of

CARD_LIMIT: Final = 1 << 20
PROFILE_LIMIT: Final = 1 << 14
CERTIFICATE_LIMIT: Final = 1 << 16

_FOLDERS: Final = {IdentityKind.NODE: "nodes", IdentityKind.OFFICER: "officers"}
_STATEMENTS: Final = {IdentityKind.NODE: "bundle.json", IdentityKind.OFFICER: "accreditation.json"}
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[1-9]\d{0,4}")


@dataclass(frozen=True, slots=True)
class Profile:
    """What an identity usually means: its broker's address and name. Both may be empty until they are told."""

    identity: Identity
    broker_address: str = ""
    broker: Identity | None = None

    def __post_init__(self) -> None:
        if self.broker_address:
            check_address(self.broker_address)


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of one node or officer. That something lies in it is not said by having a place."""

    identity: Identity
    directory: Path

    @property
    def keys(self) -> Path:
        """Give the directory of its key files."""
        return self.directory / "keys"

    @property
    def statement_path(self) -> Path:
        """Give the file of its bundle or accreditation."""
        return self.directory / _STATEMENTS[self.identity.kind]

    @property
    def certificate_path(self) -> Path:
        """Give the file of its certificate."""
        return self.directory / "certificate.pem"

    @property
    def mirror(self) -> Path:
        """Give the file of its mirror of the logs."""
        return self.directory / "mirror.sqlite"

    @property
    def outbox(self) -> Path:
        """Give the directory of its outbox."""
        return self.directory / "outbox"

    def inbox(self, consumer: str) -> Path:
        """Give the file of a consumer's inbox, of real or exercise traffic; raises MalformedError for a name that is none."""
        check_name(agreement_of(consumer))
        return self.directory / f"inbox-{consumer.replace('/', '.')}.sqlite"

    @property
    def register(self) -> Path:
        """Give the file of its register: what was opened by whom, and what waits."""
        return self.directory / "register.sqlite"

    @property
    def exists(self) -> bool:
        """Say whether somebody made this identity here."""
        return (self.directory / "profile.toml").is_file()

    @property
    def profile(self) -> Profile:
        """Read the profile; raises NotFoundError, UsageError for one that is not as it must be."""
        path = self.directory / "profile.toml"
        return _read_profile(path, read_file(path, PROFILE_LIMIT, f"{self.identity} is not on this machine"), self)

    def write_profile(self, profile: Profile) -> None:
        """Write the profile."""
        broker = str(profile.broker) if profile.broker is not None else ""
        lines = [
            f"identity = {json.dumps(str(profile.identity))}",
            f"kind = {json.dumps(profile.identity.kind.value)}",
            "",
            "[broker]",
            f"address = {json.dumps(profile.broker_address)}",
            f"identity = {json.dumps(broker)}",
            "",
        ]
        write_file(self.directory / "profile.toml", "\n".join(lines).encode())

    @property
    def statement(self) -> Statement:
        """Read its bundle or accreditation; raises NotFoundError where its party has issued none yet."""
        what = "key bundle" if self.identity.kind is IdentityKind.NODE else "accreditation"
        missing = f"{self.identity} has no {what} yet: its party has to issue one"
        return decode(read_file(self.statement_path, STATEMENT_LIMIT, missing))

    @property
    def certificate_pem(self) -> bytes:
        """Read its certificate; raises NotFoundError where its party has issued none yet."""
        missing = f"{self.identity} has no certificate yet: its party has to issue one"
        return read_file(self.certificate_path, CERTIFICATE_LIMIT, missing)

    def install(self, statement: Statement, certificate_pem: bytes) -> None:
        """Write what the party issued."""
        write_file(self.certificate_path, certificate_pem)
        write_file(self.statement_path, encode(statement))


@dataclass(frozen=True, slots=True)
class PartyPlace:
    """The directory of a party whose keys are on this machine."""

    party: str
    directory: Path

    @property
    def keys(self) -> Path:
        """Give the directory of its key files."""
        return self.directory / "keys"

    @property
    def issued(self) -> Path:
        """Give the directory of what it issued."""
        return self.directory / "issued"

    @property
    def authority_path(self) -> Path:
        """Give the file of its X.509 authority's certificate, PEM."""
        return self.directory / "ca.pem"

    @property
    def exists(self) -> bool:
        """Say whether the party's keys are on this machine."""
        return (self.directory / "card.json").is_file()

    @property
    def card_file(self) -> CardFile:
        """Read its card file; raises NotFoundError."""
        missing = f"the keys of {self.party} are not on this machine"
        return decode_card_file(read_file(self.directory / "card.json", CARD_LIMIT, missing))

    def write_card_file(self, card_file: CardFile) -> None:
        """Write its card file."""
        write_file(self.directory / "card.json", encode_card_file(card_file))


@dataclass(frozen=True, slots=True)
class Home:
    """A home directory, whether or not it exists yet."""

    path: Path

    @classmethod
    def at(cls, given: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Home:
        """Give the home of rule 1."""
        named = given or environ.get("COMITY_HOME")
        if named:
            return cls(Path(named).expanduser().absolute())
        base = environ.get("XDG_DATA_HOME") or "~/.local/share"
        return cls(Path(base).expanduser().absolute() / "comity")

    def place(self, identity: Identity) -> Place:
        """Give the directory an identity has, whether or not it exists; raises UsageError for a broker's."""
        folder = _FOLDERS.get(identity.kind)
        if folder is None:
            raise UsageError(f"{identity} is a broker: it lives in its data directory, not in a home")
        return Place(identity, self.path / folder / identity.party / identity.name)

    def locate(self, identity: str | Identity) -> Place:
        """Give the directory of a node or officer that exists; raises NotFoundError that says which there are."""
        if isinstance(identity, Identity):
            candidates = [self.place(identity)]
        else:
            party, name = split_identity(identity)
            candidates = [self.place(Identity(party, kind, name)) for kind in _FOLDERS]
        for place in candidates:
            if place.exists:
                return place
        here = ", ".join(str(place.identity) for place in self.places()) or "none"
        raise NotFoundError(
            f"there is no node or officer {identity} in {self.path}",
            what_to_do=f"Identities here: {here}. Make one with 'comity node create' or 'comity officer create', "
            "or name another home with --home.",
            code=ErrorCode.FILE_UNKNOWN,
        )

    def places(self, kind: IdentityKind | None = None) -> tuple[Place, ...]:
        """Give every node and officer made here, or those of one kind, by name."""
        kinds = tuple(_FOLDERS) if kind is None else (kind,)
        return tuple(place for one in kinds for place in self._places(one) if place.exists)

    def _places(self, kind: IdentityKind) -> Iterator[Place]:
        for party in _names(self.path / _FOLDERS[kind], check_party):
            for name in _names(self.path / _FOLDERS[kind] / party, check_name):
                yield self.place(Identity(party, kind, name))

    def party(self, code: str) -> PartyPlace:
        """Give the directory of a party's keys, whether or not it exists; raises MalformedError for a code that is none."""
        return PartyPlace(check_party(code), self.path / "parties" / check_party(code))

    def parties(self) -> tuple[PartyPlace, ...]:
        """Give every party whose keys are on this machine."""
        found = (self.party(code) for code in _names(self.path / "parties", check_party))
        return tuple(one for one in found if one.exists)

    @property
    def trusted(self) -> Path:
        """Give the directory of trusted cards."""
        return self.path / "trusted"

    def trusted_card(self, party: str) -> CardFile:
        """Give the card file trusted for a party; raises NotFoundError."""
        path = self.trusted / f"{check_party(party)}.card"
        missing = f"no card of {party} is trusted here"
        what_to_do = "Get its card over one channel, compare its words over another: comity party trust FILE"
        data = read_file(path, CARD_LIMIT, missing, what_to_do)
        return _card_of(path, data)

    def trusted_cards(self) -> dict[str, CardFile]:
        """Give every trusted card file by party."""
        return read_cards(self.trusted)

    def trusted_roots(self) -> dict[str, PartyCard]:
        """Give every trusted card by party, as a directory of keys wants them."""
        return {party: one.card for party, one in self.trusted_cards().items()}

    def trust(self, card_file: CardFile) -> Path:
        """Write a card somebody compared the words of; raises ConflictError for another root than the trusted one."""
        return trust_card(self.trusted, card_file)


def trust_card(directory: Path, card_file: CardFile) -> Path:
    """Write a card into a directory of trusted cards (a home's or a broker's) by rule 4; gives its path.

    Raises ConflictError for another root, an older card, and other directory keys under numbers that the trusted card has.
    """
    card = card_file.card
    path = directory / f"{card.party}.card"
    if path.exists():
        before = _card_of(path, read_file(path, CARD_LIMIT, ""))
        if before.card.root_fingerprint != card.root_fingerprint:
            raise ConflictError(
                f"another root of {card.party} is trusted here: nothing was changed",
                what_to_do="A root changes by a statement signed with the old and the new one. If somebody sent you this "
                "card, do not trust it before you have spoken with them.",
                code=ErrorCode.FILE_EXISTS,
            )
        if before.newest_sequence > card_file.newest_sequence:
            raise ConflictError(
                f"a newer card of {card.party} is trusted here: nothing was changed",
                what_to_do="An older card lacks the party's newest keys. Ask for its newest: comity party export.",
                code=ErrorCode.SEQUENCE_STALE,
            )
        card_file = card_file.joined(before)
        card_file.to_directory()  # what is written reads again
    write_file(path, encode_card_file(card_file))
    return path


def read_cards(directory: Path) -> dict[str, CardFile]:
    """Give every card file in a directory of trusted cards, by party."""
    found = {}
    for path in sorted(directory.glob("*.card")) if directory.is_dir() else ():
        card_file = _card_of(path, read_file(path, CARD_LIMIT, ""))
        found[card_file.card.party] = card_file
    return found


def check_address(address: str) -> str:
    """Give a HOST:PORT back; raises UsageError when it is none."""
    port = address.rpartition(":")[2]
    if not _ADDRESS.fullmatch(address) or int(port) > 65_535:
        raise UsageError(f"{address!r} is no address", what_to_do="Write HOST:PORT, e.g. 127.0.0.1:7443.")
    return address


class _BrokerSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    address: str
    identity: str


class _ProfileFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    identity: str
    kind: str
    broker: _BrokerSection


def _read_profile(path: Path, data: bytes, place: Place) -> Profile:
    try:
        said = msgspec.convert(tables_of(data), _ProfileFile, strict=True)
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageError(
            f"{path} is not a profile: {error}",
            what_to_do="It has identity, kind, and [broker] with address and identity.",
        ) from error
    if (said.identity, said.kind) != (str(place.identity), place.identity.kind.value):
        raise UsageError(f"{path} is the profile of another identity", what_to_do="Move it back to where it was.")
    broker = Identity.parse(said.broker.identity, IdentityKind.BROKER) if said.broker.identity else None
    return Profile(place.identity, said.broker.address, broker)


def _card_of(path: Path, data: bytes) -> CardFile:
    card_file = decode_card_file(data)
    if path.name != f"{card_file.card.party}.card":
        raise MalformedError(f"{path} is the card of {card_file.card.party}")
    return card_file


def _names(directory: Path, check: Callable[[str], str]) -> Iterator[str]:
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        with suppress(MalformedError):
            yield check(path.name)
