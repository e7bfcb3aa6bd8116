"""`comity party`: a nation's own keys, its card, and whose cards are trusted (design 03, "Keys and trust")."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from comity.cli.base import Group, Invocation, now_ms
from comity.cli.output import folded
from comity.errors import ErrorCode, NotFoundError, UsageError, VerificationError
from comity.identity.cardfile import CardFile, decode_card_file, encode_card_file
from comity.node.files import read_file, write_file
from comity.node.home import CARD_LIMIT, read_cards, trust_card
from comity.node.party import create_party, renew_party
from comity.node.times import rfc3339


@click.group(cls=Group)
def party() -> None:
    """Parties: a nation's own keys, and the cards of others.

    A party card says which root key is a nation's. Whoever trusts a card compares its sixteen words with the other nation
    over a second channel; nothing else makes a key count.
    """


@party.does(
    "create",
    example="comity party create XAR --name 'Republic of Arden' --trust-domain xar.example --jurisdiction XAR",
)
@click.argument("code")
@click.option("--name", required=True, help="The party's name, as it stands in agreements.")
@click.option("--trust-domain", required=True, help="The DNS name all its certificates are constrained to.")
@click.option("--jurisdiction", required=True, help="Whose law applies, usually the code again.")
def create(run: Invocation, code: str, name: str, trust_domain: str, jurisdiction: str) -> None:
    """Make a party's root, directory and issuing keys on this machine, and its card.

    Keep this machine off the network: nodes and officers send it requests as files.
    """
    card_file = create_party(
        run.home,
        code,
        name=name,
        trust_domain=trust_domain,
        jurisdiction=jurisdiction,
        passphrase=run.fresh_passphrase(f"the keys of {code}"),
        now_ms=now_ms(),
    )
    run.output.record(**_facts(card_file))
    run.output.say(f"Made the keys of {code} in {run.home.path / 'parties' / code}.", *_words(card_file))
    run.output.say(f"Its card, for others: comity party export {code} --into {code}.card")


@party.does("renew", example="comity party renew XAR")
@click.argument("code")
def renew(run: Invocation, code: str) -> None:
    """Have the root list a new directory key and certificate authority, for 90 days from now.

    The card stays the same but for its list of keys: whoever trusts the party takes the renewed card over with 'comity party
    trust FILE', and compares no words. What was issued before lasts until its own end. Hand the card on first: a
    broker takes what the new key signed once it has the card, without a restart.
    """
    card_file = renew_party(run.home, code, run.passphrase(f"the keys of {code}"), now_ms=now_ms())
    until = card_file.to_directory().authorities(code, now_ms())[0].not_after_ms
    run.output.record(**_facts(card_file), valid_until=rfc3339(until))
    run.output.say(
        f"{code} has a new directory key, until {rfc3339(until)}.",
        f"Its renewed card, for every broker and every home: comity party export {code} --into {code}.card",
        "There: comity party trust FILE, at a broker with --data DIR. Then issue anew: comity broker init --renew,",
        "comity officer accredit, comity node rotate.",
    )


@party.does("export", example="comity party export XAR --into XAR.card")
@click.argument("code")
@click.option("--into", metavar="FILE", help="Where to write it (default: standard output).")
def export(run: Invocation, code: str, into: str | None) -> None:
    """Write a party's card file, to be given to others. It holds no secret."""
    card_file = _known(run, code)
    data = encode_card_file(card_file)
    if into is None:
        run.output.exact(data.decode())
        run.output.record(**_facts(card_file), card_file=data.decode())
        return
    write_file(Path(into), data)
    run.output.record(**_facts(card_file), file=into)
    run.output.say(f"Wrote the card of {code} to {into}.")


@party.does(
    "trust",
    example="""comity party trust XBO.card
comity party trust XBO.card --words 'chopper yesteryear ...'
comity party trust XBO.card --data /var/lib/comity""",
)
@click.argument("file", type=click.Path())
@click.option("--words", help="The sixteen words the other party read aloud; they must be those of the card.")
@click.option("--yes", is_flag=True, help="The words were compared: do not ask.")
@click.option("--data", metavar="DIR", help="Trust it at a broker: into its data directory, not into the home.")
def trust(run: Invocation, file: str, words: str | None, yes: bool, data: str | None) -> None:
    """Trust a party's card, after its words were compared over a second channel.

    Call the other party on a line you know, and let them read the words of their card (comity party show). Only if every word
    is the same is the card theirs.
    """
    card_file = decode_card_file(read_file(Path(file), CARD_LIMIT))
    directory = Path(data) / "cards" if data is not None else run.home.trusted
    code = card_file.card.party
    before = read_cards(directory).get(code)
    known = before is not None and before.card.root_fingerprint == card_file.card.root_fingerprint
    if not known and before is None:
        run.output.say(*_words(card_file))
        _confirm(card_file, words, yes=yes)
    path = trust_card(directory, card_file)
    run.output.record(**_facts(card_file), file=str(path))
    run.output.say(f"The card of {code} is trusted in {directory}{' (its root was already)' if known else ''}.")


@party.does("show", example="comity party show XAR")
@click.argument("code")
def show(run: Invocation, code: str) -> None:
    """Show a party: its names, its root and the words of it, its directory keys."""
    card_file = _known(run, code)
    facts = _facts(card_file)
    run.output.record(**facts)
    run.output.show(
        f"{code}: {facts['name']}",
        f"  trust domain  {facts['trust_domain']}",
        f"  jurisdiction  {facts['jurisdiction']}",
        f"  root          {facts['root']}",
        f"  keys here     {'yes' if run.home.party(code).exists else 'no'}",
        *_words(card_file),
    )
    for one in card_file.to_directory().authorities(code, now_ms()):
        run.output.show(f"  certificates are issued until {rfc3339(one.not_after_ms)}")


@party.does("list", example="comity party list")
def list_(run: Invocation) -> None:
    """List the parties whose cards are trusted here, and those whose keys are here."""
    rows = []
    for code, card_file in run.home.trusted_cards().items():
        own = run.home.party(code).exists
        run.output.record(**_facts(card_file), keys_here=own)
        rows.append((code, card_file.card.name, card_file.card.trust_domain, "yes" if own else "no"))
    run.output.table(("PARTY", "NAME", "TRUST DOMAIN", "KEYS HERE"), rows, "No party is trusted here yet.")


def _known(run: Invocation, code: str) -> CardFile:
    place = run.home.party(code)
    if place.exists:
        return place.card_file
    if not (run.home.trusted / f"{code}.card").exists():
        raise NotFoundError(
            f"no party {code} is known here",
            what_to_do="comity party create makes one, comity party trust FILE trusts another's card.",
            code=ErrorCode.FILE_UNKNOWN,
        )
    return run.home.trusted_card(code)


def _confirm(card_file: CardFile, words: str | None, *, yes: bool) -> None:
    code = card_file.card.party
    if words is not None:
        if words.casefold().split() != [word.casefold() for word in card_file.words]:
            raise VerificationError(
                f"the words are not those of this card of {code}: it is not trusted",
                what_to_do="Ask for the card and the words again, each over its own channel. If they differ again, somebody "
                "changed the card on its way.",
            )
        return
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "trusting a card needs somebody's word that its words were compared",
            what_to_do="Say --words 'the sixteen words', or --yes when they were compared.",
        )
    if not click.confirm(f"Did {code} read exactly these words over a second channel?", err=True):
        raise click.Abort


def _words(card_file: CardFile) -> list[str]:
    heading = "  The words of its root, to be read aloud over a second channel:"
    return [heading, *folded(" ".join(card_file.words), "    ")]


def _facts(card_file: CardFile) -> dict[str, object]:
    card = card_file.card
    return {
        "party": card.party,
        "name": card.name,
        "trust_domain": card.trust_domain,
        "jurisdiction": card.jurisdiction,
        "root": f"sha384:{card.root_fingerprint.hex()}",
        "words": list(card_file.words),
        "issued_at": rfc3339(card.issued_at),
        "directory_sequence": card_file.newest_sequence,
    }
