"""`comity agreement diff`: what an amendment changes, clause by clause, and what it newly permits; needs no broker and no keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import click

from comity.cli.agreement_source import CAVEATS, Text, read_texts
from comity.cli.base import Group, Invocation, optional_part
from comity.cli.output import folded, safe
from comity.errors import ErrorCode, UsageError
from comity_policy.diff import Change, Status, compare
from comity_policy.vocabulary import bundled

UNPROVED = "Which way each change goes is not proved here: that needs comity[analysis]. Gloss and text are compared."


@dataclass(frozen=True, slots=True)
class Shown:
    """One change as it is told; `direction` is empty where it was not proved, cases are fields of a table of cases."""

    change: Change
    direction: str = ""
    permitted: str = ""
    refused: str = ""
    permitted_case: Mapping[str, object] | None = None
    refused_case: Mapping[str, object] | None = None

    @property
    def state(self) -> str:
        """Give what became of it in a word or two, e.g. ``relaxed`` or ``added, tightened``."""
        status = self.change.status
        if status is Status.CHANGED:
            return self.direction if self.direction not in {"", "unchanged"} else "changed"
        return f"{status}, {self.direction}" if self.direction not in {"", "unchanged"} else str(status)

    @property
    def words(self) -> str:
        """Give the change in one sentence."""
        told = "; ".join(self.change.words)
        if self.change.part == "clause" and self.change.status in {Status.ADDED, Status.REMOVED}:
            told = self.change.gloss_after or self.change.gloss_before
        if self.direction == "unchanged" and self.change.status is not Status.UNCHANGED:
            told += ("; " if told else "") + "nothing is decided otherwise"
        examples = "".join(
            f"; newly {what}, for example: {case}"
            for what, case in (("permitted", self.permitted), ("refused", self.refused))
            if case
        )
        return f"{self.change.article} {self.state}" + (f": {told}" if told else "") + examples


def add_to(group: Group) -> None:
    """Add the command to `comity agreement`."""
    group.add_command(diff)


_DIFFS = Group("diffs")


@_DIFFS.does(
    "diff",
    example="""comity agreement diff XAR-XBO-1.toml XAR-XBO-1.v2.toml
comity agreement diff XAR-XBO-1.toml XAR-XBO-1.v2.toml --markdown > review.md""",
)
@click.argument("before", type=click.Path())
@click.argument("after", type=click.Path())
@click.option("--umbrella", "umbrellas", multiple=True, metavar="FILE", help="The umbrella of either; may be repeated.")
@CAVEATS
@click.option("--markdown", is_flag=True, help="As a summary for a review, in Markdown.")
def diff(
    run: Invocation, *, before: str, after: str, umbrellas: tuple[str, ...], caveats: tuple[str, ...], markdown: bool
) -> None:
    """Say what another text of an agreement changes: per clause relaxed, tightened, both, unchanged, added or removed.

    Gloss and text of both stand side by side; for each relaxation there is one report that is newly permitted. Every relaxation
    is listed, which is proved. Directions need comity[analysis]; without it only gloss and text are compared.
    """
    show_diff(run, read_texts((before, after), umbrellas, caveats), markdown=markdown)


def show_diff(run: Invocation, texts: tuple[Text, Text], *, markdown: bool = False) -> None:
    """Print and record what the second text changes, with directions where they can be proved."""
    shown, proved = _shown(*texts)
    _record(run, texts, shown, proved=proved)
    lines = _markdown(texts, shown, proved=proved) if markdown else _plain(texts, shown, proved=proved)
    run.output.show(*lines)


def _shown(before: Text, after: Text) -> tuple[tuple[Shown, ...], bool]:
    try:
        with optional_part("analysis"):
            from comity_policy.analysis import diff as proofs  # noqa: PLC0415 - an optional part, and slow to load
    except UsageError as error:
        if error.code is not ErrorCode.NOT_INSTALLED:
            raise
        return tuple(map(Shown, compare(before.document, after.document))), False
    found = proofs.diff(before.source(), after.source(), bundled())
    return tuple(
        Shown(
            one.change,
            one.direction.value,
            permitted=one.relaxation.words if one.relaxation is not None else "",
            refused=one.tightening.words if one.tightening is not None else "",
            permitted_case=one.relaxation.fields if one.relaxation is not None else None,
            refused_case=one.tightening.fields if one.tightening is not None else None,
        )
        for one in found
    ), True


def _record(run: Invocation, texts: tuple[Text, Text], shown: Iterable[Shown], *, proved: bool) -> None:
    before, after = texts
    run.output.record(
        before={"agreement_id": before.document.id, "version": before.document.version, "digest": before.digest},
        after={"agreement_id": after.document.id, "version": after.document.version, "digest": after.digest},
        directions_proved=proved,
    )
    for one in shown:
        change = one.change
        run.output.record(
            part=change.part,
            id=change.id,
            article=change.article,
            kind=change.kind or None,
            status=change.status.value,
            direction=one.direction or None,
            changes=list(change.words),
            gloss={"before": change.gloss_before or None, "after": change.gloss_after or None},
            text={"before": change.text_before, "after": change.text_after},
            newly_permitted=one.permitted_case,
            newly_refused=one.refused_case,
        )


def _plain(texts: tuple[Text, Text], shown: tuple[Shown, ...], *, proved: bool) -> Iterator[str]:
    yield _head(texts)
    if not proved:
        yield from folded(UNPROVED)
    for one in _changed(shown):
        yield ""
        yield from folded(safe(one.words))
        for what, was, now in _sides(one.change):
            yield from folded(safe(f"{what} was: {was}"), "    ")
            yield from folded(safe(f"{what} is:  {now}"), "    ")
    yield ""
    yield from folded(_sum(shown))


def _markdown(texts: tuple[Text, Text], shown: tuple[Shown, ...], *, proved: bool) -> Iterator[str]:
    yield from (f"# {_head(texts)}", "")
    yield from (
        _sum(shown) if proved else f"{_sum(shown)} {UNPROVED}",
        "",
        "| Clause | Kind | Change |",
        "|---|---|---|",
    )
    for one in shown:
        yield f"| {_cell(one.change.article)} | {one.change.kind} | {one.state} |"
    for one in _changed(shown):
        yield from (
            "",
            f"## {safe(one.change.article)} {one.state}",
            "",
            *(f"- {safe(words)}" for words in one.change.words),
        )
        for what, case in (("permitted", one.permitted), ("refused", one.refused)):
            if case:
                yield f"- Newly {what}, for example: {safe(case)}"
        sides = list(_sides(one.change))
        if sides:
            yield from ("", "| | Before | After |", "|---|---|---|")
            yield from (f"| {what} | {_cell(was)} | {_cell(now)} |" for what, was, now in sides)


def _head(texts: tuple[Text, Text]) -> str:
    before, after = (f"{one.document.id} version {one.document.version}" for one in texts)
    return f"{before} -> {after}"


def _changed(shown: Iterable[Shown]) -> Iterator[Shown]:
    return (one for one in shown if one.change.status is not Status.UNCHANGED)


def _sides(change: Change) -> Iterator[tuple[str, str, str]]:
    """Give gloss and every language's text, as (what, before, after)."""
    if change.part != "clause":
        return
    yield "gloss", change.gloss_before or "-", change.gloss_after or "-"
    old, new = change.text_before or {}, change.text_after or {}
    for language in dict.fromkeys((*old, *new)):
        yield f"text ({language})", old.get(language, "-"), new.get(language, "-")


def _sum(shown: Iterable[Shown]) -> str:
    counts: dict[str, int] = {}
    for one in shown:
        counts[one.state] = counts.get(one.state, 0) + 1
    return ", ".join(f"{count} {state}" for state, count in counts.items()) + "."


def _cell(text: str) -> str:
    return " ".join(safe(text).replace("|", "\\|").split())
