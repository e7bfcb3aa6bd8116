"""Party card files: what `comity party export` writes and `comity party trust` reads (design 03, "Keys and trust").

A file is canonical JSON ``{"card": statement, "directory": [statement, ...]}``: the card, and the party's directory keys in
the order of their sequences. A file that decodes is consistent: the card is signed by the root it names, and a directory
that trusts the card takes every directory key, in that order. It still says nothing about who made it: a person compares
the words of the root's fingerprint over a second channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from comity import canonical
from comity.errors import ConflictError, ErrorCode, KeyFault, MalformedError
from comity.identity.bodies import DirectoryKey, PartyCard, read_body
from comity.identity.directory import KeyDirectory
from comity.identity.words import fingerprint_words
from comity.statement import Statement, from_json, to_json, verify_signature_of

DIRECTORY_LIMIT: Final = 32
CARD_FILE_LIMIT: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class CardFile:
    """A verified card and the party's directory-key statements."""

    card: PartyCard
    directory: tuple[Statement, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Give the sixteen words of the root's fingerprint, to be read aloud."""
        return fingerprint_words(self.card.root_fingerprint)

    @property
    def newest_sequence(self) -> int:
        """Give the sequence of the newest directory key, 0 where none is listed; raises MalformedError for another body."""
        return max((read_directory_key(one).sequence for one in self.directory), default=0)

    def joined(self, earlier: CardFile) -> CardFile:
        """Give this file with the directory keys that only an earlier one of the same root lists: what they signed counts on.

        Where that is more than a file holds, those that end first are left out, of the earlier file only. Raises ConflictError
        where the two list different keys under one sequence.
        """
        mine = {read_directory_key(one).sequence: one for one in self.directory}
        others: list[tuple[DirectoryKey, Statement]] = []
        for statement in earlier.directory:
            key = read_directory_key(statement)
            same = mine.get(key.sequence)
            if same is None:
                others.append((key, statement))
            elif same.digest != statement.digest:
                raise ConflictError(
                    f"the root of {self.card.party} signed two directory keys with the number {key.sequence}: "
                    "nothing was changed",
                    what_to_do="Its keys are used on two machines, or were restored from a copy, or were stolen. Speak with "
                    "that party before you trust either card.",
                    code=ErrorCode.STATEMENT_CONFLICT,
                )
        others.sort(key=lambda one: (one[0].valid_until, one[0].sequence))
        over = len(others) + len(mine) - DIRECTORY_LIMIT
        by_sequence = mine | {key.sequence: statement for key, statement in others[max(0, over) :]}
        return CardFile(self.card, tuple(by_sequence[number] for number in sorted(by_sequence)))

    def to_directory(self) -> KeyDirectory:
        """Give a directory of this party alone, for instance for the authority a first connection trusts."""
        directory = KeyDirectory({self.card.party: self.card})
        for index, statement in enumerate(self.directory):
            # Expired keys stay in the file; each is folded at its own time, and counts by its validity.
            directory.apply(statement, log_index=index, at_ms=read_directory_key(statement).valid_from)
        return directory


def read_directory_key(statement: Statement) -> DirectoryKey:
    """Read a statement of a card file; raises MalformedError for one that lists no directory key."""
    body = read_body(statement)
    if not isinstance(body, DirectoryKey):
        raise MalformedError("a card file lists directory keys only")
    return body


def read_party_card(statement: Statement) -> PartyCard:
    """Read a card and check that the root it names signed it, alone; raises MalformedError or KeyFault BUNDLE_REJECTED."""
    card = read_body(statement)
    if not isinstance(card, PartyCard):
        raise MalformedError("not a party's card")
    root = card.root
    if len(statement.signatures) != 1 or not verify_signature_of(
        statement, root.fingerprint, int(root.suite), root.public
    ):
        raise KeyFault("the card is not signed by the root it names", code=ErrorCode.BUNDLE_REJECTED)
    return card


def encode_card_file(file: CardFile) -> bytes:
    """Encode a card file."""
    return canonical.dumps(
        {"card": to_json(file.card.statement), "directory": [to_json(one) for one in file.directory]}
    )


def decode_card_file(data: bytes) -> CardFile:
    """Read a card file and check it; raises MalformedError, ConflictError or KeyFault."""
    value = canonical.load_object(data, limit=CARD_FILE_LIMIT)
    if set(value) != {"card", "directory"}:
        raise MalformedError("a card file is an object of 'card' and 'directory'")
    listed = value["directory"]
    if not isinstance(listed, list) or len(listed) > DIRECTORY_LIMIT:
        raise MalformedError(f"a card file lists at most {DIRECTORY_LIMIT} directory keys")
    file = CardFile(read_party_card(from_json(value["card"])), tuple(from_json(one) for one in listed))
    file.to_directory()
    return file
