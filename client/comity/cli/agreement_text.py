"""`comity agreement new | check | test`: work on an agreement's text, before anybody signs it; needs no broker."""

from __future__ import annotations

import time
from pathlib import Path

import click

from comity.cli.agreement_promises import promise_findings
from comity.cli.agreement_source import beside, named_beside, read_text
from comity.cli.base import Group, Invocation
from comity.cli.output import folded
from comity.errors import ErrorCode, MalformedError, UsageError, VerificationError
from comity.identity.bodies import PartyCard
from comity.identity.names import split_identity
from comity.node.files import read_file, write_file
from comity.node.negotiation import check_roots
from comity.texts import agreement_digest
from comity_policy.check import Finding, Severity, check
from comity_policy.document import Document, DocumentError
from comity_policy.tables import SIZE_LIMIT as TABLE_LIMIT
from comity_policy.tables import TableError, run_table
from comity_policy.templates import BrokerInfo, PartyInfo, render_template
from comity_policy.vocabulary import bundled


def add_to(group: Group) -> None:
    """Add the commands to `comity agreement`."""
    for one in (new, check_, test):
        group.add_command(one)


_TEXTS = Group("texts")


@_TEXTS.does(
    "new",
    example="""comity agreement new XAR-XBO-1 --party XAR --party XBO --broker-name XAR/hub --broker-region xar
comity agreement new XAR-XBO-2 --party XAR --party XBO --broker-name XAR/hub --broker-region xar \\
    --category cyber --purpose cyber-defence --levels XBO=OTEVRENO,VYHRAZENE,DUVERNE,TAJNE,PRISNE-TAJNE""",
)
@click.argument("agreement_id")
@click.option("--party", "parties", multiple=True, help="The two parties, whose cards are trusted here.")
@click.option("--broker-name", required=True, metavar="PARTY/NAME", help="The broker that will carry it.")
@click.option("--broker-region", required=True, help="Where that broker's disks stand, e.g. xar.")
@click.option("--title", default="", help="The agreement's title.")
@click.option("--category", "categories", multiple=True, default=("terrorism",), help="What is granted, both ways.")
@click.option("--purpose", "purposes", multiple=True, default=("counter-terrorism", "threat-to-life"), help="What for.")
@click.option(
    "--levels", "levels", multiple=True, metavar="PARTY=LEVEL,LEVEL,...", help="A party's levels, lowest first."
)
@click.option("--retention-days", default=30, show_default=True, help="The longest keeping.")
@click.option("--into", metavar="FILE", help="Where to write it (default: ID.toml).")
def new(
    run: Invocation,
    *,
    agreement_id: str,
    parties: tuple[str, ...],
    broker_name: str,
    broker_region: str,
    title: str,
    categories: tuple[str, ...],
    purposes: tuple[str, ...],
    levels: tuple[str, ...],
    retention_days: int,
    into: str | None,
) -> None:
    """Write a commented agreement to begin a negotiation with, from the cards trusted here."""
    if len(set(parties)) != 2:
        raise UsageError("an agreement from the template has two parties", what_to_do="--party XAR --party XBO")
    operator, name = split_identity(broker_name)
    cards = {code: run.home.trusted_card(code).card for code in parties}
    try:
        text = render_template(
            agreement_id,
            {code: _party_info(card) for code, card in cards.items()},
            BrokerInfo(name, operator, broker_region),
            title=title,
            levels=dict(_levels(one) for one in levels),
            categories=categories,
            purposes=purposes,
            retention_days=retention_days,
        )
    except DocumentError as error:
        raise MalformedError(f"that makes no agreement: {error.problem}", code=ErrorCode.AGREEMENT_INVALID) from error
    except ValueError as error:
        raise UsageError(str(error)) from error
    path = Path(into) if into is not None else Path(f"{agreement_id}.toml")
    try:
        write_file(path, text.encode(), replace=False)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already", code=ErrorCode.FILE_EXISTS) from error
    run.output.record(
        agreement_id=agreement_id, file=str(path), digest=agreement_digest(text.encode()), parties=sorted(parties)
    )
    run.output.say(
        f"Wrote {path}. Both parties sign these very bytes: negotiate first, then",
        f"  comity agreement check {path}",
        f"  comity agreement propose {path} --as {operator}/OFFICER",
    )


@_TEXTS.does(
    "check",
    example="""comity agreement check XAR-XBO-1.toml
comity agreement check XAR-XBO-CT.toml --umbrella XAR-XBO-GSA.toml
comity agreement check XAR-XBO-1.toml --caveat NO-ROUTES.toml""",
)
@click.argument("file", type=click.Path())
@beside
def check_(run: Invocation, *, file: str, umbrella: str | None, caveats: tuple[str, ...]) -> None:
    """Say what is wrong or risky in an agreement, and what no machine will enforce.

    Errors mean that it must not be signed. The roots it pins are compared with the cards trusted here. An arrangement is held
    against its umbrella: what it allows and the umbrella does not is dead. A caveat may only subtract, and has to subtract. An
    invariant that does not hold is an error; with comity[analysis] they are proved.
    """
    text = read_text(file, umbrella, caveats)
    document = text.document
    above = text.umbrella.document if text.umbrella is not None else None
    findings = (
        *_root_findings(run, document),
        *promise_findings(document, text.digest, text.umbrella),
        *check(document, bundled(), above, text.caveats),
    )
    for one in findings:
        run.output.record(severity=one.severity.value, clause_id=one.clause_id, message=one.message)
        where = f"clause {one.clause_id}: " if one.clause_id else ""
        run.output.show(*folded(f"{one.severity.value.upper():8}{where}{one.message}"))
    errors = sum(one.severity is Severity.ERROR for one in findings)
    run.output.say(
        f"{document.id}: {len(document.clauses)} clauses, {errors} errors, "
        f"{sum(one.severity is Severity.WARNING for one in findings)} warnings. Digest sha384:{text.digest.hex()}"
    )
    if errors:
        raise MalformedError(
            f"{document.id} has {errors} error{'s' if errors > 1 else ''}",
            what_to_do="It must not be signed like this.",
            code=ErrorCode.AGREEMENT_INVALID,
        )


@_TEXTS.does(
    "test",
    example="""comity agreement test XAR-XBO-1.toml
comity agreement test XAR-XBO-1.toml --table cases.toml""",
)
@click.argument("file", type=click.Path())
@click.option("--table", metavar="FILE", help="The table of cases (default: FILE with .test.toml instead of .toml).")
@beside
def test(run: Invocation, *, file: str, table: str | None, umbrella: str | None, caveats: tuple[str, ...]) -> None:
    """Answer a table of cases with the agreement, and say whether the table would notice if it said something else.

    The table may name the files beside it that the agreement is decided with: umbrella = "FILE", caveats = ["FILE"].
    """
    cases = Path(table) if table is not None else Path(file).with_suffix(".test.toml")
    rows = read_file(cases, TABLE_LIMIT)
    began = time.monotonic()
    try:
        named_umbrella, named_caveats = named_beside(cases, rows)
        text = read_text(file, umbrella or named_umbrella, caveats or named_caveats)
        document = text.source().document
        result = run_table(document, text.digest, rows, bundled(), umbrella=text.umbrella, caveats=text.caveats)
    except TableError as error:
        raise MalformedError(f"{cases}: {error}", what_to_do="Correct the table.") from error
    for row in result.rows:
        run.output.record(
            name=row.name, point=row.point.name, expected=list(row.expected), got=list(row.got), passed=row.passed
        )
    for line in result.lines():
        run.output.show(line)
    run.output.record(
        passed=result.passed,
        cases=len(result.rows),
        failed=len(result.failed),
        uncovered=list(result.uncovered),
        survivors=list(result.survivors),
        mutants=result.mutants,
    )
    run.output.note(f"{time.monotonic() - began:.1f} s")
    if not result.passed:
        raise VerificationError(f"{cases} does not hold, or would not notice a change of {document.id}")


def _party_info(card: PartyCard) -> PartyInfo:
    return PartyInfo(card.name, f"sha384:{card.root_fingerprint.hex()}", card.trust_domain, card.jurisdiction)


def _levels(text: str) -> tuple[str, list[str]]:
    party, separator, words = text.partition("=")
    if not separator or not words:
        raise UsageError(f"{text!r} gives no levels", what_to_do="--levels XBO=LOWEST,...,HIGHEST")
    return party, [word.strip() for word in words.split(",")]


def _root_findings(run: Invocation, document: Document) -> list[Finding]:
    cards = run.home.trusted_roots()
    if not cards:
        return []
    try:
        check_roots(document, cards)
    except VerificationError as error:
        # A card that is not trusted yet is to be fetched; one that is trusted and differs is an error.
        missing = error.code is ErrorCode.PARTY_UNTRUSTED
        return [Finding(Severity.WARNING if missing else Severity.ERROR, "", error.message)]
    return []
