"""`comity officer`: the people who act for a party, with roles that it gives them for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from comity.cli.base import Group, Invocation, now_ms
from comity.cli.identity import (
    PARTY_PASSPHRASE,
    access_of,
    attestation,
    identity_facts,
    issue_for_request,
    listing_facts,
    party_keys,
    profile_of,
    published,
    read_issued,
    statements_for,
    told_broker,
    write_issued,
    write_statements,
)
from comity.errors import ErrorCode, NotFoundError, UsageError
from comity.identity.bodies import Listing, OfficerAccreditation, read_body
from comity.identity.names import Identity, IdentityKind
from comity.node.connection import Connection
from comity.node.enrolment import enrol
from comity.node.home import Place
from comity.node.identities import REQUEST_FILE, create_officer, install, read_request
from comity.node.requests import Issued, Request
from comity.node.times import rfc3339
from comity.statement import Statement
from comity.suites import by_word
from comity_policy.facts import Role

_ROLES = {role.word: role for role in Role if role is not Role.NODE}
_BROKER_NAME = click.option("--broker-name", metavar="PARTY/NAME", help="The broker's identity, e.g. XAR/hub.")


@click.group(cls=Group)
def officer() -> None:
    """Officers: the people who act for a party."""


@officer.does(
    "create",
    example="comity officer create XAR/officer1 --broker 127.0.0.1:7443 --broker-name XAR/hub",
)
@click.argument("identity_name", metavar="PARTY/NAME")
@click.option("--suite", default="hybrid", show_default=True, help="hybrid or cnsa.")
@_BROKER_NAME
def create(run: Invocation, *, identity_name: str, suite: str, broker_name: str | None) -> None:
    """Make an officer's keys and the request to the party, on the officer's own machine."""
    identity = Identity.parse(identity_name, IdentityKind.OFFICER)
    home = run.home
    create_officer(
        home,
        identity,
        profile=profile_of(run, identity, broker_name),
        passphrase=run.fresh_passphrase(str(identity)),
        now_ms=now_ms(),
        suite=by_word(suite),
    )
    place = home.place(identity)
    run.output.record(**identity_facts(place), request=str(place.directory / REQUEST_FILE))
    run.output.say(
        f"Made the keys of officer {identity} in {place.directory}.",
        f"Next, with a running broker: comity officer accredit {identity} --role ROLE",
        f"Where the keys of {identity.party} are elsewhere, take {REQUEST_FILE} there.",
    )


@officer.does(
    "accredit",
    example="""comity officer accredit XAR/officer1 --role liaison --role plenipotentiary --agreement XAR-XBO-1
comity officer accredit XBO/analyst1 --role liaison --office counter-terrorism --clearance TAJNE --cleared-by XBO/security1
comity officer accredit XAR/officer1 --role auditor --request request.json --into issued.json
comity officer accredit XAR/officer1 --issued issued.json""",
)
@click.argument("identity_name", metavar="PARTY/NAME")
@click.option("--role", "roles", multiple=True, type=click.Choice(list(_ROLES)), help="A role; may be repeated.")
@click.option("--agreement", "agreements", multiple=True, help="Only for this agreement; may be repeated.")
@click.option("--clearance", metavar="LEVEL", help="The officer's personal clearance, a level of the party.")
@click.option("--cleared-by", metavar="PARTY/NAME", help="The security authority that attests it.")
@click.option("--clearance-until", metavar="TIME", help="Until when (default: as long as the accreditation).")
@click.option("--office", "offices", multiple=True, help="An office the officer belongs to; may be repeated.")
@click.option("--community", "communities", multiple=True, help="A community of interest; may be repeated.")
@click.option("--days", default=90, show_default=True, help="How long it is valid at most.")
@_BROKER_NAME
@click.option("--request", metavar="FILE", help="Accredit for a request that came from the officer's own machine.")
@click.option("--into", metavar="FILE", help="Where to write what was issued for a request.")
@click.option("--issued", metavar="FILE", help="Enrol what the party issued on its own machine.")
@PARTY_PASSPHRASE
def accredit(
    run: Invocation,
    *,
    identity_name: str,
    roles: tuple[str, ...],
    agreements: tuple[str, ...],
    clearance: str | None,
    cleared_by: str | None,
    clearance_until: str | None,
    offices: tuple[str, ...],
    communities: tuple[str, ...],
    days: int,
    broker_name: str | None,
    request: str | None,
    into: str | None,
    issued: str | None,
    party_passphrase_file: str | None,
) -> None:
    """Give an officer roles, for a time and for agreements, and bring that into the broker's key log.

    The party's directory key signs; full powers (plenipotentiary) are signed by its root as well. The officer enrols over the
    officer's own connection, proving the keys. Offices, communities and the clearance are what clauses on who may read ask for.
    """
    identity = Identity.parse(identity_name, IdentityKind.OFFICER)
    home = run.home

    def issue(wanted: Request) -> Issued:
        if not roles:
            raise UsageError("an accreditation gives at least one role", what_to_do=f"--role: {', '.join(_ROLES)}.")
        keys = party_keys(run, identity.party, party_passphrase_file)
        return keys.accredit(
            wanted,
            [_ROLES[word] for word in roles],
            now_ms=now_ms(),
            agreements=agreements,
            offices=offices,
            communities=communities,
            clearance=attestation(clearance, cleared_by, clearance_until, keys=keys),
            days=days,
        )

    if request is not None:
        made = issue(issue_for_request(request, identity))
        run.output.record(
            **listing_facts(made.listing(now_ms())), file=write_issued(run, made, into=into, identity=identity)
        )
        return
    place = home.locate(identity)
    listing = install(
        home, place, read_issued(issued) if issued is not None else issue(read_request(place)), now_ms=now_ms()
    )
    told_broker(run, place, broker_name)
    log_index = _enrolled(run, place)
    run.output.record(**listing_facts(listing), log_index=log_index)
    held = ", ".join(sorted(roles)) or "the roles that were issued"
    run.output.say(
        f"{identity} is accredited until {rfc3339(listing.valid_until)}: {held}. Entry {log_index} of the key log."
    )


@officer.does(
    "withdraw",
    example="""comity officer withdraw XAR/officer1 --as XAR/officer2
comity officer withdraw XAR/officer1 --into withdrawn.json
comity officer withdraw XAR/officer1 --issued withdrawn.json --as XAR/officer2""",
)
@click.argument("identity_name", metavar="PARTY/NAME")
@click.option(
    "--into", metavar="FILE", help="Only sign, on a machine without a network: write what is to be published."
)
@click.option("--issued", metavar="FILE", help="Publish what the party's machine signed.")
@PARTY_PASSPHRASE
def withdraw(
    run: Invocation, *, identity_name: str, into: str | None, issued: str | None, party_passphrase_file: str | None
) -> None:
    """Take an officer's roles away, at once; who acts (--as) brings it to the broker.

    Where the party's machine has no network, it signs with --into, and --issued publishes the file elsewhere.
    """
    identity = Identity.parse(identity_name, IdentityKind.OFFICER)
    if issued is not None:
        _withdrawn(run, run.acting(), identity, statements_for(issued, identity))
        return
    actor = None if into is not None else run.acting()
    keys = party_keys(run, identity.party, party_passphrase_file)
    newest = keys.newest(identity)
    if newest is None:
        raise NotFoundError(f"{identity.party} has accredited no {identity} here", code=ErrorCode.IDENTITY_UNKNOWN)
    body = read_body(newest)
    statement = keys.withdraw(identity, now_ms=now_ms(), keys=body.keys if isinstance(body, Listing) else ())
    if into is not None:
        write_statements(run, [statement], into=into, identity=identity, verb="withdraw")
    elif actor is not None:
        _withdrawn(run, actor, identity, [statement])


def _withdrawn(run: Invocation, actor: Place, identity: Identity, statements: Sequence[Statement]) -> None:
    if not all(isinstance(read_body(one), OfficerAccreditation) for one in statements):
        raise UsageError("the file revokes keys", what_to_do="comity node revoke PARTY/NAME --issued FILE")
    for log_index in published(run, actor, statements):
        run.output.record(identity=str(identity), log_index=log_index)
        run.output.say(f"{identity} has no role any more: entry {log_index} of the key log.")


@officer.does("list", example="comity officer list")
def list_(run: Invocation) -> None:
    """List the officers of this machine."""
    rows = []
    for place in run.home.places(IdentityKind.OFFICER):
        facts = identity_facts(place)
        run.output.record(**facts)
        roles = facts.get("roles")
        rows.append(
            (
                str(place.identity),
                ", ".join(map(str, roles)) if isinstance(roles, list) else "not accredited",
                str(facts.get("broker") or ""),
                str(facts.get("valid_until", "")),
            )
        )
    run.output.table(("OFFICER", "ROLES", "BROKER", "VALID UNTIL"), rows, "No officer is made here yet.")


def _enrolled(run: Invocation, place: Place) -> int:
    access = access_of(run, place)

    async def go() -> int:
        async with Connection(access.target) as connection:
            return await enrol(connection, place.statement, access.ring)

    return asyncio.run(go())
