"""`comity node revoke`: every key of a node is taken, whatever of it the broker has by now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import click

from comity.cli.base import Group, Invocation, now_ms
from comity.cli.identity import PARTY_PASSPHRASE, party_keys, revoked, statements_for, write_statements
from comity.errors import ComityError, ErrorCode, NotFoundError, UsageError
from comity.identity.bodies import Listing, Revocation, read_body
from comity.identity.listed import ListedKey
from comity.identity.names import Identity, IdentityKind
from comity.node.home import Place
from comity.node.party import PartyKeys, issued_for
from comity.node.times import moment_of
from comity.statement import Statement
from comity.suites import KeyRole

_REVOKES = Group("revokes")
# Why a key is not revoked by what was brought, for people.
_NOT_REVOKED: Final = {
    ErrorCode.KEY_UNKNOWN: "it was never enrolled",
    ErrorCode.KEY_REVOKED: "it is revoked already",
}


def add_to(group: Group) -> None:
    """Add the command to `comity node`."""
    group.add_command(revoke)


@_REVOKES.does(
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
@PARTY_PASSPHRASE
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

    Every key that the party ever issued a bundle for is taken, older ones and those of a rotation that did not get to the
    broker too; a key that the broker does not know, or that is revoked already, is told and stops nothing. The party's
    directory key signs, here; who acts (--as) brings it to the broker. Where the party's machine has no network, it signs
    with --into, and --issued publishes the file elsewhere.
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
    """Give the keys to revoke, the newest first: of everything that was issued, for what the broker has of it is not known here."""
    issued = issued_for(keys.place, identity)
    if not issued:
        raise NotFoundError(f"{identity.party} has issued nothing for {identity} here", code=ErrorCode.IDENTITY_UNKNOWN)
    bodies = [read_body(one) for one in issued]
    listed = {key.fingerprint: key for body in bodies if isinstance(body, Listing) for key in body.keys}
    chosen = [key for key in listed.values() if only is None or key.fingerprint.hex() == only.lower()]
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
    outcomes = revoked(run, actor, statements)
    for body, outcome in zip(revocations, outcomes, strict=True):
        role = roles.get(body.key)
        which = f"{role.value} key" if role is not None else f"key {body.key.hex()[:32]}"
        if isinstance(outcome, ComityError):
            why = _NOT_REVOKED[outcome.code]
            run.output.record(
                identity=str(identity), role=role and role.value, key=body.key.hex(), code=outcome.code.name
            )
            run.output.say(f"Not revoked, {why}: the {which} {body.key.hex()[:32]} of {identity}.")
            continue
        run.output.record(identity=str(identity), role=role and role.value, key=body.key.hex(), log_index=outcome)
        run.output.say(f"Revoked the {which} of {identity}: entry {outcome} of the key log.")
    faults = [one for one in outcomes if isinstance(one, ComityError)]
    if len(faults) == len(outcomes):
        raise faults[0]
