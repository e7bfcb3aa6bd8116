"""`comity node`: the systems that send and receive, from their keys to their place in the key log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import click

from comity.cli.base import Group, Invocation, now_ms
from comity.cli.identity import (
    access_of,
    aged,
    attestation,
    identity_facts,
    issue_for_request,
    listing_facts,
    party_keys,
    profile_of,
    published,
    read_issued,
    show_facts,
    statements_for,
    told_broker,
    write_issued,
    write_statements,
)
from comity.errors import ErrorCode, NotFoundError, UsageError
from comity.identity.bodies import Listing, Revocation, read_body
from comity.identity.listed import ListedKey
from comity.identity.names import Identity, IdentityKind
from comity.node.connection import Connection
from comity.node.enrolment import enrol
from comity.node.files import write_file
from comity.node.home import Place
from comity.node.identities import REQUEST_FILE, create_node, install, read_request
from comity.node.party import PartyKeys
from comity.node.requests import Issued, Request, encode_request
from comity.node.rotating import ROTATION_REQUEST, begin_rotation, complete_rotation, issued_before, take_rotation
from comity.node.times import moment_of, rfc3339
from comity.statement import Statement
from comity.suites import KeyRole, by_word

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
    attested = attestation(accreditation, accredited_by, accredited_until, keys=keys)
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
    "rotate",
    example="""comity node rotate XAR/n1
comity node rotate XAR/n1 --request rotation.json --into issued.json
comity node rotate XAR/n1 --issued issued.json""",
)
@click.argument("identity_name", metavar="[PARTY/NAME]", required=False)
@click.option("--fresh", is_flag=True, help="Let the old certificate vouch for nothing: a key of the node was revoked.")
@click.option("--accreditation", metavar="LEVEL", help="Another level (default: what its newest bundle says).")
@click.option("--accredited-by", metavar="PARTY/NAME", help="The security authority that attests it.")
@click.option("--accredited-until", metavar="TIME", help="Until when (default: as long as the bundle).")
@click.option("--days", default=90, show_default=True, help="How long bundle and certificate are valid at most.")
@click.option("--request", metavar="FILE", help="On the party's machine: issue for a rotation begun on the node's.")
@click.option("--into", metavar="FILE", help="Where to write what was issued for a request.")
@click.option("--issued", metavar="FILE", help="What the party issued on its own machine.")
@_PARTY_PASSPHRASE
def rotate(
    run: Invocation,
    *,
    identity_name: str | None,
    fresh: bool,
    accreditation: str | None,
    accredited_by: str | None,
    accredited_until: str | None,
    days: int,
    request: str | None,
    into: str | None,
    issued: str | None,
    party_passphrase_file: str | None,
) -> None:
    """Give an enrolled node new keys and a new certificate, without losing what is on its way.

    What the outbox holds is sent first; then the new bundle is enrolled over a connection with the old certificate. The old
    keys stay beside the new ones, so that what was sealed to them still opens, and running processes go on. Nothing may
    be sending with the node meanwhile. A rotation that was interrupted goes on when this is run again.
    """
    run.identity = identity_name or run.identity

    def issue(wanted: Request) -> Issued:
        keys = party_keys(run, wanted.identity.party, party_passphrase_file)
        said = attestation(accreditation, accredited_by, accredited_until, keys=keys)
        kept = said or keys.accreditation(wanted.identity, now_ms())
        return keys.issue_node(wanted, now_ms=now_ms(), accreditation=kept, days=days)

    if request is not None:
        identity = Identity.parse(run.identity, IdentityKind.NODE)
        made = issue(issue_for_request(request, identity))
        file = write_issued(run, made, into=into, identity=identity, then="rotate")
        run.output.record(**listing_facts(made.listing(now_ms())), file=file)
        return
    place = run.acting(IdentityKind.NODE)
    passphrase = run.passphrase(str(place.identity))
    if issued is not None:
        take_rotation(run.home, place, read_issued(issued), now_ms=now_ms())
    elif fresh or not issued_before(place, now_ms()):
        wanted = begin_rotation(run.home, place, passphrase=passphrase, now_ms=now_ms(), fresh=fresh)
        if not run.home.party(place.identity.party).exists:
            _show_rotation_request(run, place, wanted)
            return
        take_rotation(run.home, place, issue(wanted), now_ms=now_ms())
    done = asyncio.run(complete_rotation(run.home, place, passphrase, now_ms=now_ms(), address=run.broker or None))
    run.output.record(**identity_facts(place), log_index=done.log_index)
    run.output.say(
        f"{place.identity} has new keys, valid until {rfc3339(done.bundle.valid_until)}: entry {done.log_index} of the key log.",
        "Processes that run with it go on; start them again before the old certificate ends.",
    )


def _show_rotation_request(run: Invocation, place: Place, wanted: Request) -> None:
    path = place.directory / ROTATION_REQUEST
    write_file(path, encode_request(wanted))
    run.output.record(**identity_facts(place), request=str(path))
    run.output.say(
        f"Made new keys of {place.identity}; the old ones count until the new ones are enrolled.",
        f"The request, for the machine of {place.identity.party}: {path}",
        f"There: comity node rotate {place.identity} --request {ROTATION_REQUEST}",
    )


@node.does(
    "revoke",
    example="""comity node revoke XAR/n1 --reason 'laptop lost' --as XAR/officer1
comity node revoke XAR/n1 --reason 'key seen elsewhere' --compromised-at 2026-11-20T08:00:00Z --as XAR/officer1
comity node revoke XAR/n1 --reason 'laptop lost' --into revoked.json
comity node revoke XAR/n1 --issued revoked.json --as XAR/officer1""",
)
@click.argument("identity_name", metavar="PARTY/NAME")
@click.option("--reason", help="Why, for the key log: everybody who mirrors it reads this.")
@click.option("--compromised-at", metavar="TIME", help="When the keys were compromised, if that is known.")
@click.option("--key", "only", metavar="FINGERPRINT", help="One key of the node only, by its fingerprint.")
@click.option(
    "--into", metavar="FILE", help="Only sign, on a machine without a network: write what is to be published."
)
@click.option("--issued", metavar="FILE", help="Publish what the party's machine signed.")
@_PARTY_PASSPHRASE
def revoke(
    run: Invocation,
    *,
    identity_name: str,
    reason: str | None,
    compromised_at: str | None,
    only: str | None,
    into: str | None,
    issued: str | None,
    party_passphrase_file: str | None,
) -> None:
    """Revoke a node's keys: it is out at once where it is connected, and everywhere within seconds.

    The party's directory key signs, here; who acts (--as) brings it to the broker. Where the party's machine has no network,
    it signs with --into, and --issued publishes the file elsewhere.
    """
    identity = Identity.parse(identity_name, IdentityKind.NODE)
    if issued is not None:
        _revoked(run, run.acting(), identity, statements_for(issued, identity), {})
        return
    if reason is None:
        raise UsageError("why the keys are revoked is not said", what_to_do="--reason 'laptop lost'")
    actor = None if into is not None else run.acting()
    keys = party_keys(run, identity.party, party_passphrase_file)
    since = moment_of(compromised_at) if compromised_at else 0
    chosen = _chosen(keys, identity, only)
    statements = [keys.revoke(key.fingerprint, reason=reason, now_ms=now_ms(), compromised_at=since) for key in chosen]
    if into is not None:
        write_statements(run, statements, into=into, identity=identity, verb="revoke")
    elif actor is not None:
        _revoked(run, actor, identity, statements, {key.fingerprint: key.role for key in chosen})


def _chosen(keys: PartyKeys, identity: Identity, only: str | None) -> list[ListedKey]:
    newest = keys.newest(identity)
    if newest is None:
        raise NotFoundError(f"{identity.party} has issued nothing for {identity} here", code=ErrorCode.IDENTITY_UNKNOWN)
    body = read_body(newest)
    listed = body.keys if isinstance(body, Listing) else ()
    chosen = [key for key in listed if only is None or key.fingerprint.hex() == only.lower()]
    if not chosen:
        raise NotFoundError(f"{identity} has no key {only}", code=ErrorCode.KEY_UNKNOWN)
    return chosen


def _revoked(
    run: Invocation,
    actor: Place,
    identity: Identity,
    statements: Sequence[Statement],
    roles: Mapping[bytes, KeyRole],
) -> None:
    bodies = [read_body(one) for one in statements]
    revocations = [body for body in bodies if isinstance(body, Revocation)]
    if len(revocations) != len(bodies):
        raise UsageError(
            "the file withdraws an officer", what_to_do=f"comity officer withdraw {identity} --issued FILE"
        )
    for body, log_index in zip(revocations, published(run, actor, statements), strict=True):
        role = roles.get(body.key)
        which = f"{role.value} key" if role is not None else f"key {body.key.hex()[:32]}"
        run.output.record(identity=str(identity), role=role and role.value, key=body.key.hex(), log_index=log_index)
        run.output.say(f"Revoked the {which} of {identity}: entry {log_index} of the key log.")


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
                aged(facts, now_ms()),
                str(facts.get("valid_until", "not issued")),
            )
        )
    run.output.table(("NODE", "REGION", "BROKER", "KEYS", "VALID UNTIL"), rows, "No node is made here yet.")
