"""`comity doctor`: whether this installation is well, and the way to a partner."""

from __future__ import annotations

import asyncio
from typing import Final

import click

from comity.cli.base import Invocation, command, now_ms
from comity.errors import ComityError
from comity.identity.names import IdentityKind
from comity.node.doctor import Doctor
from comity.node.doctor_peer import PeerDoctor
from comity.node.examining import Finding, Findings, Standing
from comity.node.home import Place
from comity.node.mirror import Mirror
from comity.node.offline import OfflineNode

_CHECK_WIDTH: Final = 13


@command(
    "doctor",
    example="""comity doctor --as XAR/n1
comity doctor --peer XBO --as XAR/n1
comity doctor --peer XBO --agreement XAR-XBO-1 --as XAR/n1 --json""",
    notes="""Exit codes
0 where nothing fails (warnings included), else that of the first failure:
16 keys, certificate, or a partner whose card is not trusted here; 17 the broker cannot be reached; 18 no room;
10 the agreement is not in force, this node or all of the partner's are below its floor, or it lets nothing go; 15 a log does not verify;
12 there is no agreement with the partner here.""",
)
@click.option("--peer", metavar="PARTY", help="Also the way to this partner, end to end. By a node.")
@click.option("--agreement", "agreement_id", help="With --peer: under this agreement only.")
def doctor(run: Invocation, *, peer: str | None, agreement_id: str | None) -> int:
    """Look at this identity's installation: files, keys, certificate, disk, broker, TLS, clock, mirror, alarms.

    Each line says ok, warn or fail, and what to do. With --peer: the partner's card, the agreement, its nodes, their keys and what they can, the log,
    whether a sample report would go, what was last handed over and acknowledged, and what the partner is late with. Nothing is sent and
    nothing changed but the own mirror, which is fetched.
    """
    if agreement_id is not None and peer is None:
        raise click.UsageError("--agreement is for --peer")
    place = run.acting(*((IdentityKind.NODE,) if peer else ()))
    findings = Findings()
    if _own(run, place, findings) and peer is not None:
        with OfflineNode.open(run.home, place.identity) as node:
            PeerDoctor(node, peer, findings, now_ms).examine(agreement_id)
    _tell(run, findings)
    failure = findings.first_failure
    return 0 if failure is None or failure.code is None else ComityError(failure.found, code=failure.code).exit_code


def _own(run: Invocation, place: Place, findings: Findings) -> bool:
    """Look at the own installation; say whether the mirror could be fetched, without which nothing is known of a partner."""
    examining = Doctor(run.home, place, findings, now_ms)
    examining.files()
    examining.disk()
    if findings.has_failed(("files",)):
        return False
    access = examining.keys(run.passphrase(str(place.identity)), run.broker)
    if access is None:
        return False
    target = access.target

    async def go(mirror: Mirror) -> bool:
        return await examining.broker(target) and await examining.mirror(mirror, target)

    with Mirror.of_identity(run.home, place.identity) as mirror:
        fetched = asyncio.run(go(mirror))
        if fetched:
            examining.listed(mirror)
    return fetched


def _tell(run: Invocation, findings: Findings) -> None:
    for one in findings.all:
        run.output.record(**_facts(one))
        run.output.show(f"{one.standing.value:5}{one.check:{_CHECK_WIDTH}}{one.found}")
        if one.what_to_do and one.standing is not Standing.OK:
            run.output.show(f"{'':{5 + _CHECK_WIDTH}}{one.what_to_do}")


def _facts(one: Finding) -> dict[str, object]:
    return {
        "check": one.check,
        "standing": one.standing.value,
        "found": one.found,
        "what_to_do": one.what_to_do or None,
        "code": None if one.code is None else one.code.name,
    }
