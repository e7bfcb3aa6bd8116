"""`comity audit replay`: every decision of a log taken again, and what a draft would have changed; nobody is trusted for it."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import click

from comity.cli.base import Group, Invocation
from comity.cli.identity import access_of
from comity.cli.output import folded, safe
from comity.errors import ErrorCode, NotFoundError, UsageError, VerificationError
from comity.identity.names import agreement_of, log_name
from comity.node.catching_up import catch_up
from comity.node.connection import Connection
from comity.node.files import read_file
from comity.node.logged_offices import folded_offices
from comity.node.logged_texts import Texts
from comity.node.mirror import Mirror
from comity.node.negotiation import load_document
from comity.node.replay_sources import (
    bundle_cards,
    bundle_entries,
    bundle_evidence,
    bundle_life,
    bundle_logs,
    bundle_played,
    bundle_texts,
    mirror_entries,
    mirror_lives,
    mirror_offices,
    mirror_played,
    of_agreements,
    umbrella_logs,
)
from comity.node.replaying import DIFFERENT, GAPS, LogReplay, Replayed
from comity_policy.document import SIZE_LIMIT, Document
from comity_policy.replay import Second, Told, Verdict
from comity_policy.what_if import Change

_SHOWN = 50


def add_to(group: Group) -> None:
    """Add the command to `comity audit`."""
    group.add_command(replay)


_REPLAYS = Group("replays")


@_REPLAYS.does(
    "replay",
    example="""comity audit replay XAR-XBO-1.audit
comity audit replay --agreement XAR-XBO-1 --as XAR/auditor1
comity audit replay --agreement XAR-XBO-1 --exercise --as XAR/auditor1
comity audit replay XAR-XBO-1.audit --with draft.toml""",
)
@click.argument("directory", metavar="[BUNDLE]", required=False, type=click.Path())
@click.option("--agreement", "agreement_id", metavar="ID", help="From the mirror and the broker's evidence instead.")
@click.option(
    "--exercise", is_flag=True, help="Of --agreement the log of its exercise; a bundle is replayed with what is in it."
)
@click.option("--with", "draft", metavar="FILE", help="What would this text of the agreement have changed?")
@click.option(
    "--second",
    type=click.Choice([one.value for one in Second]),
    default=Second.ANSWER.value,
    show_default=True,
    help="Of which reports the reference interpreter is asked too: of the first with each answer, or of each record.",
)
def replay(
    run: Invocation,
    *,
    directory: str | None,
    agreement_id: str | None,
    exercise: bool,
    draft: str | None,
    second: str,
) -> None:
    """Take every decision of a log again, and say of each whether it is the same. Exit code 15 where one differs.

    A difference names what differs: agreement, vocabulary, umbrella, caveat, engine, state, fact or outcome, with the clause. What
    was not presented is named and the rest goes on; the exit code is then 12. The engine decides every report, the reference
    interpreter the first with each answer. With --with FILE: what that text would have decided otherwise, by clause.
    """
    if (directory is None) == (agreement_id is None):
        raise UsageError("one log is replayed", what_to_do="Name a bundle, or say --agreement ID.")
    if exercise and directory is not None:
        raise UsageError(
            "a bundle is replayed with every log in it",
            what_to_do="Leave --exercise, or say --agreement ID.",
        )
    document = load_document(read_file(Path(draft), SIZE_LIMIT)) if draft is not None else None
    tally = Tally()
    if directory is not None:
        _replay_bundle(run, Path(directory), tally, document, Second(second))
    else:
        name = log_name(str(agreement_id), exercise=exercise)
        _replay_mirror(run, name, tally, document, Second(second))
    _tell(run, tally, document)


@dataclass(slots=True)
class Tally:
    """What a replay came to: counts, and how often each clause of a draft would have decided otherwise."""

    counts: Counter[str] = field(default_factory=Counter)
    permits: Counter[str] = field(default_factory=Counter)
    refuses: Counter[str] = field(default_factory=Counter)
    shown: int = 0

    def take(self, done: Replayed) -> None:
        """Count one entry."""
        self.counts.update(done.counts())
        for one in done.changes:
            (self.permits if one.permits else self.refuses).update(one.clauses)
        self.counts["portions that would be permitted"] += sum(one.permits for one in done.changes)
        self.counts["portions that would be refused"] += sum(not one.permits for one in done.changes)

    @property
    def different(self) -> int:
        """Give how many reports were decided otherwise than recorded."""
        return self.counts[DIFFERENT]

    @property
    def incomplete(self) -> int:
        """Give of how many reports something was not presented."""
        return sum(self.counts[one] for one in GAPS)

    def words(self) -> str:
        """Give what there is, with its number."""
        told = [f"{count} {what}" for what, count in sorted(self.counts.items()) if count]
        return ", ".join(told) or "0 decisions"


def _replay_bundle(run: Invocation, folder: Path, tally: Tally, draft: Document | None, second: Second) -> None:
    if not folder.is_dir():
        raise NotFoundError(f"there is no bundle {folder}")
    every = bundle_logs(folder)
    logs, cards = of_agreements(every), bundle_cards(folder)
    if not logs:
        raise NotFoundError(f"{folder} holds no agreement's log")
    evidence = bundle_evidence(folder)
    umbrellas = {log.origin: bundle_life(bundle_texts(folder), log, every) for log in umbrella_logs(logs)}
    for log in logs:
        offices = folded_offices(cards, every, log)
        replaying = LogReplay(
            bundle_texts(folder),
            draft=draft,
            second=second,
            umbrellas=umbrellas,
            offices=offices,
            played=bundle_played(bundle_texts(folder), log, every),
        )
        with _progress(run, len(log.entries), log.origin) as advance:
            for entry in bundle_entries(log, evidence, every):
                done = replaying.take(entry)
                # What a log continues is told where it stands.
                if entry.log_index >= log.first:
                    _show(run, tally, done, told=draft is None)
                    advance(1)


def _replay_mirror(run: Invocation, name: str, tally: Tally, draft: Document | None, second: Second) -> None:
    place = run.acting()
    access = access_of(run, place)

    async def go(mirror: Mirror) -> None:
        async with Connection(access.target) as connection:
            await catch_up(connection, mirror, (name,))
            # Raises for one that is not mirrored, or whose log does not hold.
            mirror.agreement(agreement_of(name))
            texts = Texts(text for view in mirror.agreements() for text in view.texts.values())
            replaying = LogReplay(
                texts,
                draft=draft,
                second=second,
                umbrellas=mirror_lives(mirror, name),
                offices=mirror_offices(mirror),
                played=mirror_played(texts, mirror, name),
            )
            pin = mirror.pin(name)
            if pin is None:
                raise NotFoundError(f"the mirror has fetched no log of {name}", code=ErrorCode.LOG_UNKNOWN)
            with _progress(run, pin.size, name) as advance:
                async for entry in mirror_entries(connection, mirror, name):
                    _show(run, tally, replaying.take(entry), told=draft is None)
                    advance(1)

    with Mirror.of_identity(run.home, place.identity) as mirror:
        asyncio.run(go(mirror))


@contextmanager
def _progress(run: Invocation, length: int, label: str) -> Iterator[Callable[[int], object]]:
    """Show how far a replay is, on the terminal of people who did not ask for quiet."""
    if run.output.json or run.output.quiet or not sys.stderr.isatty():
        yield lambda _steps: None
        return
    with click.progressbar(length=length, label=safe(label), file=sys.stderr) as bar:
        yield bar.update


def _show(run: Invocation, tally: Tally, done: Replayed | None, *, told: bool) -> None:
    """Count an entry and show what differs in it, or what a draft would have changed; of very many the first ones."""
    if done is None:
        return
    tally.take(done)
    run.output.record(
        log_index=done.log_index,
        identical=[one.slot for one in done.told if one.verdict is Verdict.IDENTICAL],
        open=[_opened(one) for one in done.told if one.verdict is Verdict.OPEN],
        different=[_difference(one) for one in done.told if one.verdict is Verdict.DIFFERENT],
        not_replayed=[*(one.slot for one in done.told if one.verdict is Verdict.UNKNOWN), *done.unknown],
        gaps=list(done.gaps()),
        not_handed=list(done.kept),
        changes=[_change(one) for one in done.changes] or None,
    )
    lines = chain(done.lines(), _gaps(done)) if told else (_changed(done.log_index, one) for one in done.changes)
    for line in lines:
        tally.shown += 1
        if tally.shown <= _SHOWN:
            run.output.show(*folded(safe(line)))
        elif tally.shown == _SHOWN + 1:
            run.output.show("... and more; all of them with --json")


def _gaps(done: Replayed) -> Iterator[str]:
    return (f"not presented: {line}" for line in done.gaps())


def _opened(one: Told) -> dict[str, object]:
    return {
        "slot": one.slot,
        "gaps": [{"what": each.what.value, "message": each.words} for each in one.gaps],
        "caveats": list(one.unread),
    }


def _difference(one: Told) -> dict[str, object]:
    return {
        "slot": one.slot,
        "differences": [{"what": each.what.value, "message": each.words} for each in one.differences],
    }


def _change(one: Change) -> dict[str, object]:
    return {
        "slot": one.slot,
        "recipient": "/".join(one.recipient),
        "portion": one.portion,
        "outcome": "permitted" if one.permits else "refused",
        "clauses": list(one.clauses),
    }


def _changed(log_index: int, one: Change) -> str:
    how = "would be permitted, was refused by" if one.permits else "would be refused by"
    where = f"entry {log_index}, slot {one.slot}, portion {one.portion + 1} to {'/'.join(one.recipient)}"
    return f"{where}: {how} {', '.join(one.clauses)}"


def _tell(run: Invocation, tally: Tally, draft: Document | None) -> None:
    run.output.record(
        counts=dict(tally.counts),
        newly_permitted_by_clause=dict(tally.permits) or None,
        newly_refused_by_clause=dict(tally.refuses) or None,
    )
    run.output.say(f"{tally.words()}.")
    for what, clauses in (("permitted, refused then by", tally.permits), ("refused, now by", tally.refuses)):
        for clause, count in sorted(clauses.items()):
            run.output.say(f"  {count} {what} {safe(clause)}")
    if draft is None and tally.different:
        raise VerificationError(
            f"{tally.different} decision{'s' if tally.different > 1 else ''} came out otherwise than recorded",
            what_to_do="Keep the log as it is; each line above says what differs.",
        )
    if draft is None and tally.incomplete:
        raise NotFoundError(
            f"of {tally.incomplete} decision{'s' if tally.incomplete > 1 else ''} not all was presented; what was is as recorded",
            what_to_do="Each line above names what is missing: ask whoever has it, or write the bundle anew.",
        )
