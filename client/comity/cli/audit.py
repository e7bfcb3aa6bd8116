"""`comity audit`: follow the log, take it away, verify it without trusting anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from comity.canonical import Json
from comity.cli import audit_replay
from comity.cli.agreement_show import mirror_of
from comity.cli.base import Group, Invocation, until_stopped
from comity.cli.identity import access_of
from comity.cli.output import folded, safe
from comity.errors import ComityError, NotFoundError, UnreachableError, UsageError, VerificationError
from comity.identity.names import IdentityKind, log_name
from comity.node.bundle import Written, write_bundle
from comity.node.catching_up import catch_up
from comity.node.connection import Connection
from comity.node.entries import SHARED, MirroredEntry
from comity.node.files import read_file
from comity.node.logs import OPERATIONS
from comity.node.mirror import Mirror
from comity.node.replay_sources import BundleReplay, replay_bundle
from comity.node.times import rfc3339
from comity.statement import from_json
from comity.verify.checks import Verification

EVERY_SECONDS = 1.0
CHECKPOINT_LIMIT = 1 << 16
REPLAY = "REPLAY"
REPLAY_GAP = "REPLAY_GAP"


@click.group(cls=Group)
def audit() -> None:
    """Follow the log, take it away, verify it without trusting anybody."""


audit_replay.add_to(audit)


@audit.does(
    "tail",
    example="""comity audit tail XAR-XBO-1 --as XAR/auditor1
comity audit tail XAR-XBO-1 --follow --json --as XAR/auditor1
comity audit tail XAR-XBO-1 --exercise --as XAR/auditor1
comity audit tail --keys --as XAR/auditor1
comity audit tail --operations --as XAR/operator1""",
)
@click.argument("agreement_id", required=False)
@click.option("--exercise", is_flag=True, help="The log of the agreement's exercise traffic, instead of its own.")
@click.option("--keys", is_flag=True, help="The key log, instead of an agreement's.")
@click.option(
    "--operations", is_flag=True, help="The operations log: for auditors and operators of the broker's party."
)
@click.option("--follow", is_flag=True, help="Go on with what is added, until interrupted.")
@click.option("--first", type=click.IntRange(min=0), help="From this entry on (default: the last 20).")
@click.option("--offline", is_flag=True, help="From the mirror alone, without asking the broker.")
def tail(
    run: Invocation,
    *,
    agreement_id: str | None,
    exercise: bool,
    keys: bool,
    operations: bool,
    follow: bool,
    first: int | None,
    offline: bool,
) -> None:
    """Show entries of a log as this identity's mirror verified them: what happened, when, by whom, and what it says.

    With --json each line is an entry with its bodies as they are committed to.
    """
    if [agreement_id is not None, keys, operations].count(True) != 1:
        raise UsageError("one log is shown", what_to_do="Name an agreement, or say --keys or --operations.")
    if exercise and agreement_id is None:
        raise UsageError("an exercise is one of an agreement", what_to_do="Name the agreement.")
    name = OPERATIONS if operations else agreement_id and log_name(agreement_id, exercise=exercise)
    agreements = () if name is None else (name,)
    with mirror_of(run, offline=offline, agreements=agreements) as mirror:
        pin = mirror.pin(name)
        if pin is None:
            raise NotFoundError("the mirror has not fetched this log yet")
        next_index = _show(run, mirror, name, max(0, pin.size - 20) if first is None else first)
        if not follow or offline:
            return
        access = access_of(run, run.acting())

        async def go() -> None:
            following = next_index
            async with Connection(access.target) as connection:
                while True:
                    await asyncio.sleep(EVERY_SECONDS)
                    try:
                        await mirror.refresh(connection, agreements=agreements)
                    except UnreachableError as error:
                        run.output.note(f"{safe(error.message)}; going on")
                        continue
                    following = _show(run, mirror, name, following)

        until_stopped(go())


@audit.does(
    "bundle",
    example="""comity audit bundle XAR-XBO-1 --into XAR-XBO-1.audit --as XAR/auditor1
comity audit bundle XAR-XBO-1 --exercise --into XAR-XBO-1.audit --as XAR/auditor1""",
)
@click.argument("agreement_id")
@click.option("--exercise", is_flag=True, help="The log of its exercise traffic too, with its evidence and receipts.")
@click.option("--into", required=True, metavar="DIR", help="A new folder.")
def bundle(run: Invocation, *, agreement_id: str, exercise: bool, into: str) -> None:
    """Write everything that proves what happened under an agreement into a folder, for `comity audit verify`.

    Both logs with the bodies this party may see (of an arrangement its umbrella's as well), the texts, the cards of their parties,
    the signed manifest of every report that this party sent or was handed, and the receipts kept by its nodes on this machine.
    No plaintext, no key.
    """
    place = run.acting()
    access = access_of(run, place)

    party = place.identity.party
    outboxes = [one.outbox for one in run.home.places(IdentityKind.NODE) if one.identity.party == party]

    async def go(mirror: Mirror) -> Written:
        async with Connection(access.target) as connection:
            await catch_up(connection, mirror, (agreement_id,))
            return await write_bundle(
                connection,
                mirror,
                agreement_id,
                run.home.trusted_cards(),
                Path(into),
                outboxes=outboxes,
                exercise=exercise,
            )

    with Mirror.of_identity(run.home, place.identity) as mirror:
        written = asyncio.run(go(mirror))
    directory = written.directory
    run.output.record(
        agreement_id=agreement_id,
        directory=str(directory),
        entries=dict(written.entries),
        envelopes=written.envelopes,
        receipts=written.receipts,
    )
    for origin, count in written.entries.items():
        run.output.say(f"{count} entries of {origin}")
    run.output.say(f"{written.receipts} receipts of this party's nodes on this machine")
    run.output.say(
        f"{written.envelopes} envelopes. Wrote {directory}; next, on any machine: comity audit verify {directory}"
    )


@audit.does(
    "verify",
    example="""comity audit verify XAR-XBO-1.audit
comity audit verify XAR-XBO-1.audit --root XBO=sha384:8eda44c3... --since last-year.checkpoint --json""",
)
@click.argument("directory", metavar="DIR", type=click.Path())
@click.option(
    "--root", "roots", multiple=True, metavar="PARTY=sha384:HEX", help="A root compared over another channel."
)
@click.option("--since", multiple=True, metavar="FILE", help="A checkpoint of the last audit; may be repeated.")
@click.option("--party", "parties", multiple=True, help="Whose own bodies must be there (default: everybody's).")
def verify(
    run: Invocation, *, directory: str, roots: tuple[str, ...], since: tuple[str, ...], parties: tuple[str, ...]
) -> None:
    """Verify a bundle offline, without trusting anybody who made it. Exit code 15 when anything does not hold.

    Without --root, the roots of the cards trusted here are required, so that nobody passes off other nations' keys. Each
    finding has a stable code; docs/verification.md says what each check compares. Every decision is taken again as well, with the
    policy engine and the reference interpreter (comity audit replay).
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise NotFoundError(f"there is no bundle {folder}")
    named = dict(_root(one) for one in roots)
    trusted = {code: f"sha384:{card.root_fingerprint.hex()}" for code, card in run.home.trusted_roots().items()}
    notes = [read_file(Path(one), CHECKPOINT_LIMIT) for one in since]
    done = Verification(folder, notes, trusted | named, parties)
    findings: list[dict[str, object]] = [
        {"code": one.code.value, "origin": one.origin, "log_index": one.log_index, "message": one.message}
        for one in done.findings
    ]
    # What does not verify says nothing about decisions.
    replayed = replay_bundle(folder, done.logs) if done.verdict != "FAIL" else BundleReplay()
    findings += [
        {"code": code, "origin": origin, "log_index": log_index, "message": words}
        for code, told in ((REPLAY, replayed.findings), (REPLAY_GAP, replayed.gaps))
        for origin, log_index, words in told
    ]
    verdict = replayed.verdict(done.verdict)
    counts = {**done.counts, **{what: count for what, count in replayed.counts.items() if count}}
    logs = [{"origin": log.origin, "log_size": len(log.leaves)} for log in done.logs]
    run.output.record(verdict=verdict, findings=findings, counts=counts, logs=logs)
    for log in logs:
        run.output.say(f"{log['log_size']} entries of {safe(str(log['origin']))}")
    run.output.say(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    for one in findings:
        where = f" entry {one['log_index']}" if one["log_index"] is not None else ""
        run.output.show(*folded(f"{one['code']}: {safe(str(one['origin']))}{where}: {safe(str(one['message']))}"))
    run.output.show(verdict)
    if verdict == "FAIL":
        codes = ", ".join(dict.fromkeys(str(one["code"]) for one in findings))
        raise VerificationError(
            f"{folder} does not verify: {codes}",
            what_to_do="Keep the bundle as it is; docs/verification.md says what each code means.",
        )


def _show(run: Invocation, mirror: Mirror, agreement_id: str | None, first: int) -> int:
    """Show the entries from an index on; gives the index after the last."""
    while page := mirror.entries(agreement_id, first):
        for entry in page:
            _show_entry(run, entry)
        first += len(page)
    return first


def _show_entry(run: Invocation, entry: MirroredEntry) -> None:
    bodies = {part: _body(entry, part) for part in entry.parts}
    bodies = {part: body for part, body in bodies.items() if body}
    said = {key: value for body in bodies.values() for key, value in body.items()}
    at = rfc3339(said["time"]) if isinstance(said.get("time"), int) else None
    run.output.record(log_index=entry.log_index, kind=entry.kind, at=at, origin=entry.origin, bodies=bodies)
    run.output.show(safe(f"{entry.log_index:6} {at or '-':24} {entry.kind:20} {_told(said)}"))


def _body(entry: MirroredEntry, part: str) -> Mapping[str, Any]:
    """Give a body as its kind declares it; one of another form is shown as what it is."""
    try:
        return entry.shared() if part == SHARED else entry.own(part)
    except VerificationError as error:
        return {"reason": f"the {part} body cannot be read: {error.message}"}


def _told(said: Mapping[str, Any]) -> str:
    """Say in a few words what an entry's bodies say. A broker wrote them: what has not its shape is left out."""
    words = []
    actor, recipient = _table(said, "actor"), _table(said, "recipient")
    if actor.get("party"):
        words.append(str(actor.get("officer") or f"{actor['party']}/{actor.get('node', '')}").rstrip("/"))
    if recipient:
        words.append(f"to {recipient.get('party')}/{recipient.get('node')}")
    if "slots" in said:
        refused = len(_items(said, "refusals"))
        words.append(f"{said['slots']} reports, {said.get('count')} admitted, {refused} refused")
    statements = [said["statement"]] if "statement" in said else _items(said, "statements")
    words += [_statement(one) for one in statements]
    words += [str(said[key]) for key in ("broker", "action", "outcome", "reason", "consumer") if said.get(key)]
    return "; ".join(words)


def _table(said: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = said.get(key)
    return value if isinstance(value, dict) else {}


def _items(said: Mapping[str, Any], key: str) -> list[Any]:
    value = said.get(key)
    return value if isinstance(value, list) else []


def _statement(one: Json) -> str:
    try:
        fields = from_json(one).fields
    except ComityError:
        return "a statement that cannot be read"
    before = fields.get("before")
    if fields["type"] == "log-continued" and isinstance(before, dict):
        return f"goes on with what was restored of {before.get('origin')}: {before.get('size')} entries"
    who = str(fields.get("officer") or fields.get("node") or fields.get("broker") or "")
    name = who if "/" in who else f"{fields.get('party', '')}/{who}".rstrip("/")
    return f"{fields['type']} of {name}"


def _root(text: str) -> tuple[str, str]:
    party, separator, root = text.partition("=")
    if not separator or not root.startswith("sha384:"):
        raise UsageError(f"{text!r} is no root", what_to_do="--root XBO=sha384:<96 hexadecimal digits>")
    return party, root
