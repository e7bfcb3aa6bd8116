"""What `send`, `preview` and `explain` share: options that say what a report is, and how receipts are told."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from comity.errors import MalformedError, UsageError
from comity.node.receipts import Receipt
from comity.node.report_files import REPORT_LIMIT, Wishes, of_content, read_report, with_attachments
from comity.node.times import moment_of, rfc3339
from comity.report import Report

F = TypeVar("F", bound=Callable[..., object])

_OPTIONS = (
    click.option("--marking", default="", help="The banner, e.g. 'SECRET//REL TO XAR, XBO'."),
    click.option("--category", "categories", multiple=True, help="What it is about; may be repeated."),
    click.option("--purpose", default="", help="What the recipient may use it for."),
    click.option("--precedence", default="", help="routine (default), priority, immediate or flash."),
    click.option("--kind", default="", help="report (default), rfi, rfi-answer, tearline, assessment, ..."),
    click.option("--exercise", is_flag=True, help="It is of an exercise: every screen says so, and it comes apart."),
    click.option(
        "--to", "to", multiple=True, metavar="PARTY[/OFFICER]", help="Addressees (default: every other party)."
    ),
    click.option("--title", default="", help="A title of the file, sealed with its content."),
    click.option("--not-before", metavar="TIME", help="An embargo: not handed over or opened before."),
    click.option("--expires-at", metavar="TIME", help="When it expires (default: as late as the agreement allows)."),
    click.option(
        "--summary",
        "summaries",
        nargs=2,
        multiple=True,
        metavar="FILE MARKING",
        help="A summary before the file, with a marking of its own.",
    ),
    click.option(
        "--portion-file",
        "portions",
        nargs=2,
        multiple=True,
        metavar="FILE MARKING",
        help="A further portion after the file, with a marking of its own; may be repeated.",
    ),
    click.option(
        "--attach",
        "attach",
        multiple=True,
        metavar="FILE",
        help="A file of any size that travels beside the report, marked like the whole; may be repeated.",
    ),
    click.option(
        "--attach-marked",
        "attach_marked",
        nargs=2,
        multiple=True,
        metavar="FILE MARKING",
        help="The same, with a marking of its own.",
    ),
    click.option("--emergency", metavar="DIGEST", help="The declaration it goes under: comity emergency declare."),
    click.option("--overall", default="", metavar="MARKING", help="The banner of the whole, if not that of the file."),
)

STRUCTURED_HELP = """A file report.toml, or NAME.report.toml, is a structured report
marking = "SECRET//NOFORN"               # of the whole
purpose = "counter-terrorism"
categories = ["terrorist-financing"]

[[portion]]
title = "Summary"
marking = "SECRET//REL TO XAR, XBO"
text = "Two transfers were announced."

[[portion]]
marking = "SECRET//NOFORN"
file = "source.txt"                      # beside this file or below

Also of the whole: precedence, kind, exercise = true, to = ["XBO"], tlp = "AMBER+STRICT", not_before, expires_at.
A portion has one of text, file (up to about 1 MiB) and attach (a file of any size beside this one).
Also of a portion: media_type, warn = true, personal_data = "ordinary" with persons = 1, tlp,
grading = "B2", confidence = "icd-203: moderate", estimative = "icd-203: likely".
Options fill what it leaves open; they never change what it says."""


def report_options(function: F) -> F:
    """Add the options that say what a report is."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def wishes_of(options: dict[str, object]) -> Wishes:
    """Give what the options of `report_options` say; raises UsageError for a time that is none."""

    def text(name: str) -> str:
        return str(options[name] or "")

    def texts(name: str) -> tuple[str, ...]:
        value = options[name]
        return tuple(map(str, value)) if isinstance(value, tuple) else ()

    def files(name: str) -> tuple[tuple[Path, str], ...]:
        value = options[name]
        return tuple((Path(file), marking) for file, marking in value) if isinstance(value, tuple) else ()

    def time(name: str) -> datetime | None:
        value = options[name]
        return datetime.fromtimestamp(moment_of(str(value)) / 1000, UTC) if value else None

    return Wishes(
        marking=text("marking"),
        overall=text("overall"),
        title=text("title"),
        categories=texts("categories"),
        purpose=text("purpose"),
        precedence=text("precedence"),
        kind=text("kind"),
        to=texts("to"),
        not_before=time("not_before"),
        expires_at=time("expires_at"),
        summaries=files("summaries"),
        portions=files("portions"),
        attachments=(*((Path(one), "") for one in texts("attach")), *files("attach_marked")),
        emergency=_digest(text("emergency")),
        exercise=bool(options["exercise"]),
    )


def _digest(text: str) -> bytes:
    if text and not re.fullmatch("[0-9a-f]{96}", text):
        raise UsageError(
            "--emergency is the digest of a declaration: 96 hexadecimal digits",
            what_to_do="Paste it from comity emergency declare, or from comity emergency list --json.",
        )
    return bytes.fromhex(text)


def one_report(file: str, wishes: Wishes) -> Report:
    """Read one report from a file, or with ``-`` from standard input."""
    return with_attachments(_one_report(file, wishes), wishes.attachments)


def _one_report(file: str, wishes: Wishes) -> Report:
    if file != "-":
        return read_report(Path(file), wishes)
    content = sys.stdin.buffer.read(REPORT_LIMIT + 1)
    if len(content) > REPORT_LIMIT:
        raise MalformedError(f"more than {REPORT_LIMIT} bytes came on standard input")
    if not content:
        raise UsageError("nothing came on standard input")
    return of_content("", content, wishes)


def receipt_facts(receipt: Receipt) -> dict[str, object]:
    """Give what is to be told of a receipt, with the protocol's names."""
    return {
        "agreement_id": receipt.agreement_id,
        "report_id": str(receipt.report_id),
        "leaf": receipt.leaf.hex(),
        "segment_id": receipt.segment_id.hex(),
        "slot": receipt.slot,
        "origin_sequence": receipt.origin_sequence,
        "agreement_sequence": receipt.agreement_sequence,
        "log_origin": receipt.log_origin,
        "log_index": receipt.log_index,
        "admitted_at": rfc3339(receipt.admitted_at),
        "duplicate": receipt.duplicate,
        "recipients": [
            {"node": node, "portions": [index + 1 for index in portions]} for node, portions in receipt.recipients
        ],
    }
