"""What `comity node` and `comity officer` share: options, a party's keys, and how an identity is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from comity.cli.base import Invocation, now_ms
from comity.errors import ComityError, ErrorCode, NotFoundError, UsageError
from comity.identity.bodies import DAY_MS, Attestation, Listing, NodeBundle, OfficerAccreditation, read_body
from comity.identity.names import Identity, IdentityKind
from comity.keys.files import listed_keys
from comity.node.access import Access
from comity.node.connection import Connection
from comity.node.enrolment import publish_statement
from comity.node.files import read_file, write_file
from comity.node.home import Place, Profile, check_address
from comity.node.party import PartyKeys
from comity.node.requests import (
    FILE_LIMIT,
    STATEMENTS_LIMIT,
    Issued,
    Request,
    decode_issued,
    decode_request,
    decode_statements,
    encode_issued,
    encode_statements,
)
from comity.node.times import moment_of, rfc3339
from comity.statement import Statement

PARTY_PASSPHRASE = click.option(
    "--party-passphrase-file", metavar="FILE", help="The passphrase of the party's keys, if it is another one."
)


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


def write_issued(run: Invocation, issued: Issued, *, into: str | None, identity: Identity, then: str = "") -> str:
    """Write what was issued for another machine; gives the file. `then` is the subcommand that takes it there."""
    verb = then or ("enrol" if identity.kind is IdentityKind.NODE else "accredit")
    path = Path(into) if into else Path(f"{identity.party}-{identity.name}.issued.json")
    write_file(path, encode_issued(issued))
    run.output.say(
        f"Issued for {identity}: {path}. On its machine: comity {identity.kind.value} {verb} {identity} --issued {path.name}"
    )
    return str(path)


def write_statements(
    run: Invocation, statements: Sequence[Statement], *, into: str, identity: Identity, verb: str
) -> None:
    """Write signed statements for a machine that has a connection to bring to the broker."""
    write_file(Path(into), encode_statements(statements))
    run.output.record(identity=str(identity), file=into, statements=len(statements))
    run.output.say(
        f"Signed, and of no effect yet: {into}",
        f"Where an identity of {identity.party} reaches the broker: comity {identity.kind.value} {verb} {identity} "
        f"--issued {Path(into).name} --as PARTY/NAME",
    )


def published(run: Invocation, actor: Place, statements: Sequence[Statement]) -> list[int]:
    """Bring statements to the actor's broker; gives their entries in the key log."""

    async def go() -> list[int]:
        async with connection_of(run, actor) as connection:
            return [await publish_statement(connection, one) for one in statements]

    return asyncio.run(go())


def revoked(run: Invocation, actor: Place, statements: Sequence[Statement]) -> list[int | ComityError]:
    """Bring revocations to the actor's broker; gives of each its entry in the key log, or why its key is not revoked by it.

    A key that no listing holds, or that is revoked already, keeps none of the others in force. Raises everything else.
    """

    async def go() -> list[int | ComityError]:
        async with connection_of(run, actor) as connection:
            return [await _entry_or_reason(connection, one) for one in statements]

    return asyncio.run(go())


async def _entry_or_reason(connection: Connection, statement: Statement) -> int | ComityError:
    try:
        return await publish_statement(connection, statement)
    except ComityError as error:
        if error.code not in {ErrorCode.KEY_UNKNOWN, ErrorCode.KEY_REVOKED}:
            raise
        return error


def statements_for(file: str, identity: Identity) -> tuple[Statement, ...]:
    """Read what the party's machine signed to take keys or roles from an identity."""
    return decode_statements(read_file(Path(file), STATEMENTS_LIMIT), identity)


def attestation(level: str | None, by: str | None, until: str | None, *, keys: PartyKeys) -> Attestation | None:
    """Give an attested level, None without one; raises UsageError where nobody attests it, and where that one may not."""
    if level is None:
        if by or until:
            raise UsageError("who attests, and until when, belong to a level")
        return None
    if not by:
        raise UsageError("a level is attested by somebody", what_to_do=f"Say by whom, e.g. {keys.party}/security1.")
    authority = Identity.parse(by, IdentityKind.OFFICER)
    keys.require_security_authority(authority, now_ms())
    return Attestation(level, str(authority), moment_of(until) if until else keys.directory.valid_until)


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
    return facts if listing is None else facts | listing_facts(listing) | _ages(place, listing)


def _ages(place: Place, listing: Listing) -> dict[str, object]:
    """Give the listed keys with the time they were made, the oldest of them, and how many older ones are kept."""
    made = {key.fingerprint: created_at for key, created_at in listed_keys(place.keys)}
    listed = [key for key in listing.keys if key.fingerprint in made]
    # TLS keys stand two at a time while one replaces the other: the age is that of what signs and is sealed to.
    aging = [made[key.fingerprint] for key in listed if key.role is not place.identity.kind.tls_role]
    return {
        "keys": [
            {
                "role": key.role.value,
                "suite": int(key.suite),
                "fingerprint": key.fingerprint.hex(),
                "created_at": rfc3339(made[key.fingerprint]) if key.fingerprint in made else None,
            }
            for key in listing.keys
        ],
        "keys_since": rfc3339(min(aging)) if aging else None,
        "older_keys": len(made) - len(listed),
    }


def aged(facts: Mapping[str, object], now: int) -> str:
    """Say how old an identity's keys are; `now` in Unix ms."""
    since = facts.get("keys_since")
    if not isinstance(since, str):
        return "-"
    days = max(0, now - moment_of(since)) // DAY_MS
    return f"{days} day{'' if days == 1 else 's'}"


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
            "offices": sorted(listing.offices),
            "communities": sorted(listing.communities),
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
                    f"{', since ' + key['created_at'] if key.get('created_at') else ''}"
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
