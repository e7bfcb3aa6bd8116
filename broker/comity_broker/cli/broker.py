"""`comity broker`: make a broker, run it, ask how it is."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import msgspec

from comity.cli.base import Group, Invocation, now_ms, until_stopped
from comity.errors import ComityError, ErrorCode, NotFoundError, UsageError
from comity.identity.bodies import BrokerBundle
from comity.identity.cardfile import CardFile, decode_card_file
from comity.identity.names import Identity, IdentityKind
from comity.node.connection import Connection
from comity.node.files import read_file, write_file
from comity.node.home import CARD_LIMIT, trust_card
from comity.node.operations import drain_broker
from comity.node.party import PartyKeys
from comity.node.requests import FILE_LIMIT, Request, decode_issued, decode_request, encode_issued, encode_request
from comity.node.times import rfc3339
from comity_broker.attachment_check import check_attachments
from comity_broker.cli.backup import backup
from comity_broker.cli.maintenance import maintenance
from comity_broker.cli.places import DATA_HELP, data_directory
from comity_broker.cli.restore import restore
from comity_broker.cli.status import metrics_once, show_once, watch
from comity_broker.installation import install, open_installation, prepare, renewal
from comity_broker.settings import read_settings
from comity_broker.storage.blob_directory import BlobDirectory
from comity_broker.storage.sqlite import open_storage

SETTINGS_HELP = "The settings (default: $CONFIGURATION_DIRECTORY/broker.toml, else /etc/comity/broker.toml)."


@click.group(cls=Group)
def broker() -> None:
    """Brokers: make one, run it, ask how it is.

    A broker carries sealed reports under signed agreements. It reads no report, and is trusted with nothing that it cannot
    be caught at.
    """


@broker.does(
    "init",
    example="""comity broker init XAR/hub --region xar --trust XAR.card --trust XBO.card
comity broker init --issue request.json --into issued.json
comity broker init --install issued.json
comity broker init --renew""",
)
@click.argument("identity", required=False)
@click.option("--region", help="The region its data rests in, as agreements name it.")
@click.option("--trust", "cards", multiple=True, metavar="CARD", help="A party card whose words you compared.")
@click.option("--data", metavar="DIR", help=DATA_HELP)
@click.option("--issue", metavar="REQUEST", help="On the party's machine: issue what this request asks for.")
@click.option("--install", "installed", metavar="ISSUED", help="Put in place what the party issued.")
@click.option(
    "--renew", is_flag=True, help="Have bundle and certificate issued anew for the keys it has, running or not."
)
@click.option("--into", metavar="FILE", help="Where to write the request, or what was issued.")
@click.option(
    "--party-passphrase-file", metavar="FILE", help="The passphrase of the party's keys, where they are here."
)
def init(  # noqa: PLR0917 - the options of the command
    run: Invocation,
    identity: str | None,
    region: str | None,
    cards: tuple[str, ...],
    data: str | None,
    issue: str | None,
    installed: str | None,
    renew: bool,
    into: str | None,
    party_passphrase_file: str | None,
) -> None:
    """Make a broker's keys, and have the party that operates it issue its certificate and bundle.

    Where that party's directory key is on this machine, everything is done at once. Otherwise a request is written, which
    its machine answers with --issue, and --install puts the answer in place. --renew goes the same way for a broker that is
    made already; a running one shows its new certificate from the next connection on.
    """
    if issue is not None:
        _issue(run, Path(issue), into, party_passphrase_file)
        return
    where = data_directory(data)
    if installed is not None:
        body = install(
            where, decode_issued(read_file(Path(installed), FILE_LIMIT, f"{installed} does not exist")), now_ms()
        )
        run.output.record(identity=str(body.identity), valid_until=rfc3339(body.valid_until))
        run.output.say(f"{body.identity} is ready until {rfc3339(body.valid_until)}: comity broker run --data {where}")
        return
    if renew:
        _renew(run, where, into, party_passphrase_file)
        return
    if identity is None or region is None:
        raise UsageError("a broker has an identity and a region", what_to_do="comity broker init XAR/hub --region xar")
    name = Identity.parse(identity, IdentityKind.BROKER)
    request = prepare(
        where,
        name,
        region,
        _cards(run, cards),
        passphrase=run.fresh_passphrase(f"the keys of {identity}"),
        now_ms=now_ms(),
    )
    answered = _answered(run, where, request, into, party_passphrase_file, made="Made")
    if answered is not None:
        run.output.say(
            f"Made {identity} in {where}; its certificate and bundle end {rfc3339(answered.valid_until)}.",
            f"Start it: comity broker run --data {where}",
        )


@broker.does("run", example="comity broker run --data /var/lib/comity --listen 127.0.0.1:7443")
@click.option("--data", metavar="DIR", help=DATA_HELP)
@click.option("--settings", "settings_file", metavar="FILE", help=SETTINGS_HELP)
@click.option("--listen", metavar="HOST:PORT", help="Where to listen (default: loopback, port 7443; port 0 takes any).")
@click.option("--port-file", metavar="FILE", help="Write HOST:PORT here once it serves.")
def run_broker(
    run: Invocation, data: str | None, settings_file: str | None, listen: str | None, port_file: str | None
) -> None:
    """Run the broker until SIGTERM, which drains it: nothing is lost, sessions go on at the next start."""
    from comity_broker.logging import log_to_stderr  # noqa: PLC0415 - only a running broker logs
    from comity_broker.serving import serve  # noqa: PLC0415 - the server's parts are loaded where one runs

    where = data_directory(data)
    settings = read_settings(
        _settings_path(settings_file), os.environ, {"listen": listen}, required=settings_file is not None
    )
    installation = open_installation(where, run.passphrase(f"the broker in {where}"), now_ms())
    log_to_stderr()
    create = not (where / "store.sqlite").exists()
    with open_storage(where, create=create) as storage:
        serve(installation, storage, settings, port_file=None if port_file is None else Path(port_file))


@broker.does(
    "status",
    example="""comity broker status --as XAR/operator1
comity broker status --watch
comity broker status --json
comity broker status --prometheus""",
)
@click.option("--watch", "watching", is_flag=True, help="Draw it anew, on a terminal; with --json a line each time.")
@click.option(
    "--every", default=2.0, metavar="SECONDS", type=click.FloatRange(0.5, 3600), help="How often (default: 2)."
)
@click.option("--prometheus", is_flag=True, help="The metrics, in the Prometheus text format.")
def status(run: Invocation, *, watching: bool, every: float, prometheus: bool) -> None:
    """Say how a running broker is; for operators of its own party.

    Alarms first: what stands still and needs somebody, such as a consumer that has backlog and credit and gets nothing. --watch
    goes on until Ctrl-C on a terminal, and with --json anywhere; else it is one picture.
    """
    if prometheus and (watching or run.output.json):
        raise UsageError("--prometheus goes with neither --watch nor --json")
    connection = _connected(run)
    if prometheus:
        run.output.exact(asyncio.run(metrics_once(connection)))
    elif watching and (run.output.json or sys.stdout.isatty()):
        until_stopped(watch(run.output, connection, every))
    else:
        asyncio.run(show_once(run.output, connection))


@broker.does("drain", example="comity broker drain --as XAR/operator1")
def drain(run: Invocation) -> None:
    """Have a running broker finish what is open and stop; for operators of its own party."""

    async def ask() -> None:
        async with _connected(run) as connection:
            await drain_broker(connection)

    asyncio.run(ask())
    run.output.record(state="DRAINING")
    run.output.say("The broker drains and stops.")


@broker.does("config", example="comity broker config --settings /etc/comity/broker.toml")
@click.option("--settings", "settings_file", metavar="FILE", help=SETTINGS_HELP)
def config(run: Invocation, settings_file: str | None) -> None:
    """Print the settings a start would use: file, environment (COMITY_BROKER_*) and defaults. None is a secret."""
    settings = read_settings(_settings_path(settings_file), os.environ, {}, required=settings_file is not None)
    values = msgspec.structs.asdict(settings)
    run.output.record(**values)
    run.output.show(*(f"{key} = {_toml(value)}" for key, value in values.items()))


broker.add_command(backup)
broker.add_command(restore)
broker.add_command(maintenance)


@broker.does("check", example="comity broker check --data /var/lib/comity")
@click.option("--data", metavar="DIR", help=DATA_HELP)
def check(run: Invocation, data: str | None) -> None:
    """Check the whole store of a broker that does not run: database, numbers, trees, attachments. Repairs and deletes nothing."""
    where = data_directory(data)
    if not (where / "store.sqlite").exists():
        raise NotFoundError(f"there is no store in {where}", code=ErrorCode.FILE_UNKNOWN)

    async def look() -> list[str]:
        with open_storage(where) as storage:
            return [*await storage.reader.check(), *await check_attachments(storage.reader, BlobDirectory(where))]

    wrong = asyncio.run(look())
    run.output.record(wrong=wrong)
    if wrong:
        raise ComityError(
            f"{len(wrong)} faults: " + "; ".join(wrong[:5]),
            what_to_do="Copy the directory before anything else; the verifier tells what the evidence still proves.",
            code=ErrorCode.STORAGE_FAILED,
        )
    run.output.say(f"The store in {where} is sound.")


def _connected(run: Invocation) -> Connection:
    place = run.acting(IdentityKind.OFFICER)
    passphrase = run.passphrase(str(place.identity))
    return Connection.of_identity(run.home, str(place.identity), passphrase, run.broker or None)


def _settings_path(given: str | None) -> Path:
    directory = os.environ.get("CONFIGURATION_DIRECTORY", "").split(":")[0] or "/etc/comity"
    return Path(given) if given is not None else Path(directory) / "broker.toml"


def _cards(run: Invocation, files: tuple[str, ...]) -> dict[str, CardFile]:
    if not files:
        return run.home.trusted_cards()
    read = [decode_card_file(read_file(Path(file), CARD_LIMIT, f"{file} does not exist")) for file in files]
    return {one.card.party: one for one in read}


def _issue(run: Invocation, request_file: Path, into: str | None, passphrase_file: str | None) -> None:
    request = decode_request(read_file(request_file, FILE_LIMIT, f"{request_file} does not exist"))
    code = request.identity.party
    party = PartyKeys.open(
        run.home, code, run.passphrase(f"the keys of {code}", passphrase_file or ""), now_ms=now_ms()
    )
    path = Path(into or "issued.json")
    write_file(path, encode_issued(party.issue_broker(request, now_ms=now_ms())))
    run.output.record(identity=str(request.identity), issued=str(path))
    run.output.say(f"Issued for {request.identity}: {path}. On the broker: comity broker init --install {path}")


def _renew(run: Invocation, where: Path, into: str | None, passphrase_file: str | None) -> None:
    request = renewal(where, run.passphrase(f"the broker in {where}"))
    body = _answered(run, where, request, into, passphrase_file, made="Read")
    if body is not None:
        run.output.say(f"Renewed {request.identity}: its certificate and bundle end {rfc3339(body.valid_until)}.")


def _answered(
    run: Invocation, where: Path, request: Request, into: str | None, passphrase_file: str | None, *, made: str
) -> BrokerBundle | None:
    """Put in place what the party issues for a request; where its keys are elsewhere, write the request and give None.

    `made` says what was done with the broker's keys.
    """
    code = request.identity.party
    if not run.home.party(code).exists:
        path = Path(into or where / "request.json")
        write_file(path, encode_request(request))
        run.output.record(identity=str(request.identity), request=str(path), data=str(where))
        run.output.say(
            f"{made} the keys of {request.identity} in {where}.", f"Its request, for the machine of {code}: {path}"
        )
        return None
    whose = f"the keys of {code}"
    party = PartyKeys.open(run.home, code, run.passphrase(whose, passphrase_file or ""), now_ms=now_ms())
    trust_card(where / "cards", party.card_file)
    body = install(where, party.issue_broker(request, now_ms=now_ms()), now_ms())
    run.output.record(identity=str(request.identity), data=str(where), valid_until=rfc3339(body.valid_until))
    return body


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
