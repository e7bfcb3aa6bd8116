"""`comity agreement prove`: what an agreement's text never permits, proved by z3; needs no broker and no keys."""

from __future__ import annotations

import click

from comity.cli.agreement_source import beside, source_in_force
from comity.cli.base import Group, Invocation, optional_part
from comity.cli.output import folded
from comity.errors import VerificationError


def add_to(group: Group) -> None:
    """Add the command to `comity agreement`."""
    group.add_command(prove)


_PROOFS = Group("proofs")


@_PROOFS.does(
    "prove",
    example="""comity agreement prove XAR-XBO-1.toml
comity agreement prove XAR-XBO-1.toml --suspend 3.1 --suspend 9
comity agreement prove XAR-XBO-1.toml --caveat NO-ROUTES.toml""",
)
@click.argument("file", type=click.Path())
@click.option("--suspend", "suspended", multiple=True, metavar="CLAUSE", help="As though suspended; may be repeated.")
@beside
def prove(
    run: Invocation, *, file: str, suspended: tuple[str, ...], umbrella: str | None, caveats: tuple[str, ...]
) -> None:
    """Prove what the agreement never permits, whatever a report says and whoever asks; or show a case that it does permit.

    National-only never leaves, nothing unmarked, nothing above the ceiling, ORCON goes on by grant alone, nothing without a
    grant; suspending a clause and a national caveat only subtract; an arrangement permits nothing that its umbrella refuses.
    Needs comity[analysis].
    """
    with optional_part("analysis"):
        from comity_policy.analysis import proofs  # noqa: PLC0415 - an optional part, and slow to load
    source = source_in_force(file, umbrella, suspended, caveats)
    document = source.document
    outcomes = []
    for proof in proofs.prove(source):
        counterexample = proof.counterexample
        outcomes.append(proof.outcome)
        run.output.record(
            invariant=proof.invariant,
            statement=proof.statement,
            clause_id=proof.clause_id or None,
            outcome=proof.outcome.value,
            counterexample=counterexample.fields if counterexample is not None else None,
        )
        run.output.show(*folded(proof.words))
    refuted = outcomes.count(proofs.Outcome.REFUTED)
    run.output.say(f"{document.id}: {len(outcomes) - refuted} of {len(outcomes)} proved.")
    if refuted:
        raise VerificationError(
            f"{document.id} permits {refuted} thing{'s' if refuted > 1 else ''} it never should",
            what_to_do="Each case above is permitted by the engine too: comity agreement test can hold it in a table.",
        )
