"""`comity node`: the systems that send and receive, from their keys to their place in the key log."""

from __future__ import annotations

import asyncio

import click

from comity.cli.base import Group, Invocation, now_ms
from comity.cli.identity import (
    access_of,
    attestation,
    connection_of,
    identity_facts,
    issue_for_request,
    listing_facts,
    party_keys,
    profile_of,
    read_issued,
    show_facts,
    told_broker,
    write_issued,
)
from comity.errors import ErrorCode, NotFoundError, UsageError
from comity.identity.bodies import Listing, read_body
from comity.identity.names import Identity, IdentityKind
from comity.node.connection import Connection
from comity.node.enrolment import enrol, publish_statement
from comity.node.home import Place
from comity.node.identities import REQUEST_FILE, create_node, install, read_request
from comity.node.times import moment_of, rfc3339
from comity.suites import by_word

_PARTY_PASSPHRASE = click.option(
    "--party-passphrase-file", metavar="FILE", help="The passphrase of the party's keys, if it is another one."
)
_BROKER_NAME = click.option("--broker-name", metavar="PARTY/NAME", help="The broker's identity, e.g. XAR/hub.")


@click.group(cls=Group)
def node() -> None:
    """Nodes: the systems that send and receive."""


@node.does(
    "create",
    example="""comity node create XAR/n1 --region xar --accreditation SECRET --accredited-by XAR/security1 \\
    --broker 127.0.0.1:7443 --broker-name XAR/hub
comity node create XAR/n1 --request n1.request.json --accreditation SECRET --accredited-by XAR/security1""",
)
@click.argument("identity_name", metavar="PARTY/NAME")
@click.option("--region", help="Where its disks stand, a word of the vocabulary, e.g. xar.")
@click.option("--office", "offices", multiple=True, help="An office it serves; may be repeated.")
@click.option("--community", "communities", multiple=True, help="A community of interest; may be repeated.")
@click.option("--suite", "suites", multiple=True, default=("hybrid",), help="hybrid or cnsa; may be repeated.")
@click.option("--accreditation", metavar="LEVEL", help="The level its system is accredited for, of its own party.")
@click.option("--accredited-by", metavar="PARTY/NAME", help="The security authority that attests it.")
@click.option("--accredited-until", metavar="TIME", help="Until when (default: as long as the bundle).")
@click.option("--days", default=90, show_default=True, help="How long bundle and certificate are valid at most.")
@_BROKER_NAME
@click.option("--request", metavar="FILE", help="Issue for a request that came from the node's own machine.")
@click.option("--into", metavar="FILE", help="Where to write what was issued for a request.")
@_PARTY_PASSPHRASE
def create(
    run: Invocation,
    *,
    identity_name: str,
    region: str | None,
    offices: tuple[str, ...],
    communities: tuple[str, ...],
    suites: tuple[str, ...],
    accreditation: str | None,
    accredited_by: str | None,
    accredited_until: str | None,
    days: int,
    broker_name: str | None,
    request: str | None,
    into: str | None,
    party_passphrase_file: str | None,
) -> None:
    """Make a node's keys and its request to the party.

    Where the party's keys are on this machine, bundle and certificate are issued at once. Elsewhere the request, a file, goes
    to the party's machine, and `--request` issues there for it.
    """
    identity = Identity.parse(identity_name, IdentityKind.NODE)
    home = run.home
    if request is None and not home.party(identity.party).exists:
        if accreditation or accredited_by:
            raise UsageError(
                f"the keys of {identity.party} are not on this machine",
                what_to_do="Say the accreditation where they are, with --request.",
            )
        place = _made(run, identity, region, broker_name, offices=offices, communities=communities, suites=suites)
        run.output.say(
            f"Its request, for the machine of {identity.party}: {place.directory / REQUEST_FILE}",
            f"There: comity node create {identity} --request {REQUEST_FILE}",
        )
        run.output.record(**identity_facts(place), request=str(place.directory / REQUEST_FILE))
        return
    # Opened first: nothing is made where the party could not answer.
    keys = party_keys(run, identity.party, party_passphrase_file)
    latest = keys.directory.valid_until
    attested = attestation(accreditation, accredited_by, accredited_until, party=identity.party, latest_ms=latest)
    if request is not None:
        issued = keys.issue_node(
            issue_for_request(request, identity), now_ms=now_ms(), accreditation=attested, days=days
        )
        file = write_issued(run, issued, into=into, identity=identity)
        run.output.record(**listing_facts(issued.listing(now_ms())), file=file)
        return
    place = _made(run, identity, region, broker_name, offices=offices, communities=communities, suites=suites)
    issued = keys.issue_node(read_request(place), now_ms=now_ms(), accreditation=attested, days=days)
    listing = install(home, place, issued, now_ms=now_ms())
    run.output.say(
        f"{identity.party} issued its bundle and certificate, valid until {rfc3339(listing.valid_until)}.",
        f"Next, with a running broker: comity node enrol {identity}",
    )
    run.output.record(**identity_facts(place), request=str(place.directory / REQUEST_FILE))


def _made(
    run: Invocation,
    identity: Identity,
    region: str | None,
    broker_name: str | None,
    *,
    offices: tuple[str, ...],
    communities: tuple[str, ...],
    suites: tuple[str, ...],
) -> Place:
    if region is None:
        raise UsageError("where the node's disks stand is not said", what_to_do=f"--region {identity.party.lower()}")
    create_node(
        run.home,
        identity,
        region=region,
        profile=profile_of(run, identity, broker_name),
        passphrase=run.fresh_passphrase(str(identity)),
        now_ms=now_ms(),
        offices=offices,
        communities=communities,
        suites=[by_word(word) for word in suites],
    )
    place = run.home.place(identity)
    run.output.say(f"Made the keys of node {identity} in {place.directory}.")
    return place


@node.does(
    "enrol",
    example="""comity node enrol XAR/n1
comity node enrol XAR/n1 --issued XAR-n1.issued.json --broker hub.example:7443 --broker-name XAR/hub""",
)
@click.argument("identity_name", metavar="[PARTY/NAME]", required=False)
@click.option("--issued", metavar="FILE", help="What the party issued on its own machine.")
@_BROKER_NAME
def enrol_(run: Invocation, identity_name: str | None, issued: str | None, broker_name: str | None) -> None:
    """Bring the node's bundle into the broker's key log, proving that the node holds the keys."""
    run.identity = identity_name or run.identity
    place = run.acting(IdentityKind.NODE)
    if issued is not None:
        install(run.home, place, read_issued(issued), now_ms=now_ms())
    told_broker(run, place, broker_name)
    access = access_of(run, place)

    async def go() -> int:
        async with Connection(access.target) as connection:
            return await enrol(connection, place.statement, access.ring)

    log_index = asyncio.run(go())
    run.output.record(identity=str(place.identity), broker=str(access.broker), log_index=log_index)
    run.output.say(f"{place.identity} is enrolled at {access.broker}: entry {log_index} of its key log.")


@node.does(
    "revoke",
    example="""comity node revoke XAR/n1 --reason 'laptop lost' --as XAR/officer1
comity node revoke XAR/n1 --reason 'key seen elsewhere' --compromised-at 2026-11-20T08:00:00Z --as XAR/officer1""",
)
@click.argument("identity_name", metavar="PARTY/NAME")
@click.option("--reason", required=True, help="Why, for the key log: everybody who mirrors it reads this.")
@click.option("--compromised-at", metavar="TIME", help="When the keys were compromised, if that is known.")
@click.option("--key", "only", metavar="FINGERPRINT", help="One key of the node only, by its fingerprint.")
@_PARTY_PASSPHRASE
def revoke(
    run: Invocation,
    *,
    identity_name: str,
    reason: str,
    compromised_at: str | None,
    only: str | None,
    party_passphrase_file: str | None,
) -> None:
    """Revoke a node's keys: it is out at once where it is connected, and everywhere within seconds.

    The party's directory key signs, here; who acts (--as) brings it to the broker.
    """
    identity = Identity.parse(identity_name, IdentityKind.NODE)
    actor = run.acting()
    keys = party_keys(run, identity.party, party_passphrase_file)
    newest = keys.newest(identity)
    if newest is None:
        raise NotFoundError(f"{identity.party} has issued nothing for {identity} here", code=ErrorCode.IDENTITY_UNKNOWN)
    body = read_body(newest)
    listed = body.keys if isinstance(body, Listing) else ()
    chosen = [key for key in listed if only is None or key.fingerprint.hex() == only.lower()]
    if not chosen:
        raise NotFoundError(f"{identity} has no key {only}", code=ErrorCode.KEY_UNKNOWN)
    since = moment_of(compromised_at) if compromised_at else 0
    statements = [
        (key, keys.revoke(key.fingerprint, reason=reason, now_ms=now_ms(), compromised_at=since)) for key in chosen
    ]

    async def go() -> list[int]:
        async with connection_of(run, actor) as connection:
            return [await publish_statement(connection, statement) for _, statement in statements]

    for (key, _), log_index in zip(statements, asyncio.run(go()), strict=True):
        run.output.record(identity=str(identity), role=key.role.value, key=key.fingerprint.hex(), log_index=log_index)
        run.output.say(f"Revoked the {key.role.value} key of {identity}: entry {log_index} of the key log.")


@node.does("show", example="comity node show XAR/n1")
@click.argument("identity_name", metavar="[PARTY/NAME]", required=False)
def show(run: Invocation, identity_name: str | None) -> None:
    """Show a node of this machine: its broker, its bundle, its keys."""
    run.identity = identity_name or run.identity
    place = run.acting(IdentityKind.NODE)
    facts = identity_facts(place)
    run.output.record(**facts)
    show_facts(run, facts)


@node.does("list", example="comity node list")
def list_(run: Invocation) -> None:
    """List the nodes of this machine."""
    rows = []
    for place in run.home.places(IdentityKind.NODE):
        facts = identity_facts(place)
        run.output.record(**facts)
        rows.append(
            (
                str(place.identity),
                str(facts.get("region", "")),
                str(facts.get("broker") or ""),
                str(facts.get("valid_until", "not issued")),
            )
        )
    run.output.table(("NODE", "REGION", "BROKER", "VALID UNTIL"), rows, "No node is made here yet.")
