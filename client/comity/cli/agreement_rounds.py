"""The rounds of a negotiation: which texts were on the table, who brought each, and what the newest one changes."""

from __future__ import annotations

from collections.abc import Iterator

from comity.cli.agreement_source import IN_FORCE, Text
from comity.cli.output import Output, folded, safe
from comity.errors import ErrorCode, NotFoundError
from comity.node.agreement_view import AgreementView
from comity.node.times import rfc3339
from comity_policy.companions import Umbrella
from comity_policy.diff import Status, compare
from comity_policy.document import Document
from comity_policy.lifecycle import Version


def show_rounds(output: Output, version: Version) -> None:
    """Print a line for each text of a negotiation; nothing where there was one only."""
    if len(version.rounds) < 2:
        return
    for number, step in enumerate(version.rounds, start=1):
        digest = f"sha384:{step.agreement_digest[:16]}"
        output.show(f"  round {number}     {rfc3339(step.at_ms)}  {safe(step.officer)}  {digest}")


def newest_change(view: AgreementView) -> tuple[Text, Text]:
    """Give the text before the newest one and the newest one: of two rounds, or the version that governs and its change.

    Raises NotFoundError where there was one text only.
    """
    pending, governing = view.state.pending, view.state.current
    version = pending or governing
    rounds = [step.agreement_digest for step in version.rounds]
    if len(rounds) > 1:
        before = rounds[-2]
    elif pending is not None:
        before = governing.digest
    else:
        raise NotFoundError(
            f"there was one text of {view.agreement_id} only: nothing to compare",
            what_to_do="Two files are compared by: comity agreement diff BEFORE AFTER",
            code=ErrorCode.ITEM_UNKNOWN,
        )
    return _text(view, before), _text(view, version.digest)


def show_newest_change(output: Output, view: AgreementView) -> None:
    """Say in words, clause by clause, what the newest text changes, and how to see which way each change goes."""
    before, after = newest_change(view)
    output.say(f"The text was sha384:{before.digest.hex()[:16]}, now it is sha384:{after.digest.hex()[:16]}:")
    output.say(*_words(before.document, after.document))
    output.say(
        f"Which way each change goes, with examples: comity agreement show {view.agreement_id} --diff",
        f"The text before: comity agreement show {view.agreement_id} --digest {before.digest.hex()[:16]} --text",
    )


def _words(before: Document, after: Document) -> Iterator[str]:
    for change in compare(before, after):
        if change.status is not Status.UNCHANGED:
            told = "; ".join(change.words) or change.gloss_after or change.gloss_before
            yield from folded(safe(f"{change.article} {change.status}" + (f": {told}" if told else "")), "  ")


def _text(view: AgreementView, digest: str) -> Text:
    document, umbrella = view.state.texts[digest], None
    if view.umbrella is not None and document.under is not None:
        named = view.umbrella.state.version(document.under.digest.removeprefix("sha384:"))
        if named is not None:
            umbrella = Umbrella(named.document, bytes.fromhex(named.digest), IN_FORCE)
    return Text(document, bytes.fromhex(digest), umbrella)
