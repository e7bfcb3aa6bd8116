"""What `comity node` and `comity officer` share: options, a party's keys, and how an identity is shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from comity.cli.base import Invocation, now_ms
from comity.errors import NotFoundError, UsageError
from comity.identity.bodies import Attestation, Listing, NodeBundle, OfficerAccreditation, read_body
from comity.identity.names import Identity, IdentityKind
from comity.node.access import Access
from comity.node.connection import Connection
from comity.node.files import read_file, write_file
from comity.node.home import Place, Profile, check_address
from comity.node.party import PartyKeys
from comity.node.requests import FILE_LIMIT, Issued, Request, decode_issued, decode_request, encode_issued
from comity.node.times import moment_of, rfc3339


def profile_of(run: Invocation, identity: Identity, broker_name: str | None) -> Profile:
    """Give the profile of a new identity: the broker may be told now or when it enrols."""
    broker = Identity.parse(broker_name, IdentityKind.BROKER) if broker_name else None
    return Profile(identity, check_address(run.broker) if run.broker else "", broker)


def told_broker(run: Invocation, place: Place, broker_name: str | None) -> None:
    """Write the broker an identity was told of into its profile."""
    profile = place.profile
    if run.broker or broker_name:
        told = profile_of(run, place.identity, broker_name)
        place.write_profile(
            Profile(place.identity, told.broker_address or profile.broker_address, told.broker or profile.broker)
        )


def access_of(run: Invocation, place: Place) -> Access:
    """Open an identity's keys and its broker's address."""
    return Access.load(
        run.home,
        place.identity,
        run.passphrase(str(place.identity)),
        now_ms=now_ms(),
        address=run.broker or None,
    )


def connection_of(run: Invocation, place: Place) -> Connection:
    """Describe the connection of an identity; `async with` opens it."""
    return Connection(access_of(run, place).target)


def party_keys(run: Invocation, party: str, file: str | None) -> PartyKeys:
    """Open a party's keys; `file` is --party-passphrase-file."""
    whose = f"the keys of {party}"
    return PartyKeys.open(run.home, party, run.passphrase(whose, file or ""), now_ms=now_ms())


def issue_for_request(file: str, identity: Identity) -> Request:
    """Read a request that came from another machine; raises UsageError when it is another identity's."""
    request = decode_request(read_file(Path(file), FILE_LIMIT))
    if request.identity != identity:
        raise UsageError(f"{file} is the request of {request.identity}, a {request.identity.kind.value}")
    return request


def read_issued(file: str) -> Issued:
    """Read what a party issued on another machine."""
    return decode_issued(read_file(Path(file), FILE_LIMIT))


def write_issued(run: Invocation, issued: Issued, *, into: str | None, identity: Identity) -> str:
    """Write what was issued for another machine; gives the file."""
    path = Path(into) if into else Path(f"{identity.party}-{identity.name}.issued.json")
    write_file(path, encode_issued(issued))
    run.output.say(f"Issued for {identity}: {path}. On its machine: comity {identity.kind.value} "
                   f"{'enrol' if identity.kind is IdentityKind.NODE else 'accredit'} {identity} --issued {path.name}")  # fmt: skip
    return str(path)


def attestation(
    level: str | None, by: str | None, until: str | None, *, party: str, latest_ms: int
) -> Attestation | None:
    """Give an attested level, None without one; raises UsageError where nobody attests it."""
    if level is None:
        if by or until:
            raise UsageError("who attests, and until when, belong to a level")
        return None
    if not by:
        raise UsageError("a level is attested by somebody", what_to_do=f"Say by whom, e.g. {party}/security1.")
    end = moment_of(until) if until else latest_ms
    return Attestation(level, str(Identity.parse(by, IdentityKind.OFFICER)), end)


def listing_of(place: Place) -> Listing | None:
    """Give what an identity's party issued for it, None where nothing is here yet."""
    try:
        body = read_body(place.statement)
    except NotFoundError:
        return None
    return body if isinstance(body, Listing) else None


def identity_facts(place: Place) -> dict[str, object]:
    """Give what is to be told of an identity, with the protocol's names."""
    profile = place.profile
    listing = listing_of(place)
    facts: dict[str, object] = {
        "identity": str(place.identity),
        "kind": place.identity.kind.value,
        "broker": str(profile.broker) if profile.broker else None,
        "address": profile.broker_address or None,
        "issued": listing is not None,
    }
    return facts if listing is None else facts | listing_facts(listing)


def listing_facts(listing: Listing) -> dict[str, object]:
    """Give what a bundle or accreditation says."""
    facts: dict[str, object] = {
        "identity": str(listing.identity),
        "kind": listing.identity.kind.value,
        "sequence": listing.sequence,
        "valid_from": rfc3339(listing.valid_from),
        "valid_until": rfc3339(listing.valid_until),
        "keys": [
            {"role": key.role.value, "suite": int(key.suite), "fingerprint": key.fingerprint.hex()}
            for key in listing.keys
        ],
    }
    if isinstance(listing, NodeBundle):
        facts |= {
            "region": listing.region,
            "offices": sorted(listing.offices),
            "communities": sorted(listing.communities),
            "key_set": listing.key_set.hex(),
            "accreditation": _attested(listing.accreditation),
        }
    if isinstance(listing, OfficerAccreditation):
        facts |= {
            "roles": sorted(role.word for role in listing.roles),
            "agreements": sorted(listing.agreements),
            "clearance": _attested(listing.clearance),
        }
    return facts


def _attested(one: Attestation | None) -> dict[str, object] | None:
    return None if one is None else {"level": one.level, "by": one.by, "until": rfc3339(one.until)}


def show_facts(run: Invocation, facts: Mapping[str, object]) -> None:
    """Show an identity's facts, one a line."""
    width = max(map(len, facts))
    for name, value in facts.items():
        label = name.replace("_", " ").ljust(width)
        if name == "keys" and isinstance(value, list):
            run.output.show(
                *(
                    f"{'key'.ljust(width)}  {key['role']}, suite {key['suite']}, {key['fingerprint'][:32]}"
                    for key in value
                )
            )
        elif isinstance(value, list):
            run.output.show(f"{label}  {', '.join(map(str, value)) or '-'}")
        elif isinstance(value, dict):
            run.output.show(f"{label}  {', '.join(f'{key} {one}' for key, one in value.items())}")
        elif isinstance(value, bool):
            run.output.show(f"{label}  {'yes' if value else 'no'}")
        else:
            run.output.show(f"{label}  {'-' if value is None else value}")
