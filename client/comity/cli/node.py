"""`comity node`: the systems that send and receive, from their keys to their place in the key log."""

from __future__ import annotations

import asyncio

import click

from comity.cli import node_capabilities, node_revoke
from comity.cli.base import Group, Invocation, now_ms
from comity.cli.identity import (
    PARTY_PASSPHRASE,
    access_of,
    aged,
    attestation,
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
from comity.errors import UsageError
from comity.identity.bodies import Listing, NodeBundle, read_body
from comity.identity.names import Identity, IdentityKind
from comity.node.abilities import state_at_enrolment
from comity.node.connection import Connection
from comity.node.enrolment import enrol
from comity.node.files import write_file
from comity.node.home import Place
from comity.node.identities import REQUEST_FILE, create_node, install, read_request
from comity.node.party import issued_for
from comity.node.requests import Issued, Request, encode_request
from comity.node.rotating import ROTATION_REQUEST, begin_rotation, complete_rotation, issued_before, take_rotation
from comity.node.times import rfc3339
from comity.suites import by_word

_BROKER_NAME = click.option("--broker-name", metavar="PARTY/NAME", help="The broker's identity, e.g. XAR/hub.")


@click.group(cls=Group)
def node() -> None:
    """Nodes: the systems that send and receive."""


node_revoke.add_to(node)
node_capabilities.add_to(node)


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
@PARTY_PASSPHRASE
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
            log_index = await enrol(connection, place.statement, access.ring)
            bundle = read_body(place.statement)
            if isinstance(bundle, NodeBundle):
                await state_at_enrolment(connection, bundle, access.ring, now_ms())
            return log_index

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
@click.option("--fresh", is_flag=True, help="New keys that no old one vouches for: one was revoked, or all are lost.")
@click.option("--lose-outbox", is_flag=True, help="Go on though reports in the outbox can be sent no more.")
@click.option("--accreditation", metavar="LEVEL", help="Another level (default: what its newest bundle says).")
@click.option("--accredited-by", metavar="PARTY/NAME", help="The security authority that attests it.")
@click.option("--accredited-until", metavar="TIME", help="Until when (default: as long as the bundle).")
@click.option("--days", default=90, show_default=True, help="How long bundle and certificate are valid at most.")
@click.option("--request", metavar="FILE", help="On the party's machine: issue for a rotation begun on the node's.")
@click.option("--into", metavar="FILE", help="Where to write what was issued for a request.")
@click.option("--issued", metavar="FILE", help="What the party issued on its own machine.")
@PARTY_PASSPHRASE
def rotate(
    run: Invocation,
    *,
    identity_name: str | None,
    fresh: bool,
    lose_outbox: bool,
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

    After a revocation, or when the certificate has expired, nothing vouches and nothing stored can be sent: with --fresh the
    node comes back as a newcomer, with keys that nobody had before (an interrupted one goes on without --fresh; with it, it
    begins anew once the party has issued). While its present keys count, the broker takes no fresh ones: revoke a node
    whose keys are lost first. Reports in the outbox are lost then; where some wait, this says how many, and goes on with
    --lose-outbox only.
    """
    run.identity = identity_name or run.identity

    def issue(wanted: Request) -> Issued:
        keys = party_keys(run, wanted.identity.party, party_passphrase_file)
        said = attestation(accreditation, accredited_by, accredited_until, keys=keys)
        kept = said or keys.accreditation(wanted.identity, now_ms())
        return keys.issue_node(wanted, now_ms=now_ms(), accreditation=kept, days=days)

    if request is not None:
        identity = Identity.parse(run.identity, IdentityKind.NODE)
        asked = issue_for_request(request, identity)
        vouched = _vouched(run, asked)
        made = issue(asked)
        file = write_issued(run, made, into=into, identity=identity, then="rotate")
        run.output.record(**listing_facts(made.listing(now_ms())), file=file, vouched=vouched)
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
    done = asyncio.run(
        complete_rotation(
            run.home, place, passphrase, now_ms=now_ms(), address=run.broker or None, lose_outbox=lose_outbox
        )
    )
    run.output.record(**identity_facts(place), log_index=done.log_index, lost=done.lost)
    if done.lost:
        run.output.say(f"Reports in the outbox that can be sent no more: {done.lost}. Send them anew.")
    run.output.say(
        f"{place.identity} has new keys, valid until {rfc3339(done.bundle.valid_until)}: entry {done.log_index} of the key log.",
        "Processes that run with it go on; start them again before the old certificate ends.",
    )


def _vouched(run: Invocation, asked: Request) -> bool:
    """Say whether a request lists a TLS key of the newest bundle, as a rotation's does; warns where it does not."""
    newest = next(iter(issued_for(run.home.party(asked.identity.party), asked.identity)), None)
    body = None if newest is None else read_body(newest)
    if not isinstance(body, Listing):
        return False
    role = asked.identity.kind.tls_role
    if {key.fingerprint for key in body.keys if key.role is role} & {key.fingerprint for key in asked.keys}:
        return True
    run.output.note(
        f"Warning: this request lists no TLS key of the newest bundle of {asked.identity}. The broker takes what is issued for it "
        "only where that bundle counts no more. Ask whoever runs the node: unless they began with --fresh, it is not theirs."
    )
    return False


def _show_rotation_request(run: Invocation, place: Place, wanted: Request) -> None:
    path = place.directory / ROTATION_REQUEST
    write_file(path, encode_request(wanted))
    run.output.record(**identity_facts(place), request=str(path))
    run.output.say(
        f"Made new keys of {place.identity}; the old ones count until the new ones are enrolled.",
        f"The request, for the machine of {place.identity.party}: {path}",
        f"There: comity node rotate {place.identity} --request {ROTATION_REQUEST}",
    )


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
