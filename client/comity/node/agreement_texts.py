"""The texts and national caveats that an agreement's log names, each taken by its digest alone (design 02).

Rules in order:
1. A text is named by SHA-384(PAE(agreement, text)). It has at most 1 MiB, loads, and its id is the log's.
2. A step that brings another text (counter, amend, notes) names it by digest; what is not held yet is asked for by that digest,
   and what comes is believed by that digest.
3. A caveat is named by SHA-384(PAE(caveat, salt, text)): salted, for it could be guessed. Its text stands in its own party's
   part of the entry and in no other: ours is there whole, and is what our officer's step says of it; a partner's is not.
   What cannot be read of our own stops the agreement: a caveat that is known and left out would be a leak.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from comity.errors import ErrorCode, MalformedError, VerificationError
from comity.node.entries import MirroredEntry
from comity.texts import CAVEAT_LIMIT, TEXT_LIMIT, agreement_digest, caveat_digest
from comity_policy.caveat import Caveat, load_caveat
from comity_policy.document import Document, DocumentError, load
from comity_policy.steps import Step

# The kinds of entries whose step brings a text of its own.
BRINGING: Final = frozenset({"AGREEMENT_COUNTERED", "AGREEMENT_AMENDED", "AGREEMENT_NOTED"})


@dataclass(frozen=True, slots=True)
class Text:
    """One text of an agreement: its exact bytes, what they say, and their digest in hex."""

    data: bytes
    document: Document
    digest: str


@dataclass(frozen=True, slots=True)
class OwnCaveat:
    """A national caveat of the own party: its exact text, the digest its step names (hex), and what it says."""

    data: bytes
    digest: str
    caveat: Caveat


def parse_document(agreement_id: str, document: bytes) -> Document:
    """Read a text that must have this id; raises MalformedError AGREEMENT_INVALID, or VerificationError."""
    try:
        parsed = load(document)
    except DocumentError as error:
        raise MalformedError(
            f"the text of {agreement_id} does not load: {error.message}", code=ErrorCode.AGREEMENT_INVALID
        ) from error
    if parsed.id != agreement_id:
        raise VerificationError(f"the text given for {agreement_id} is that of {parsed.id}")
    return parsed


def text_of(agreement_id: str, data: bytes, digest: str | None = None) -> Text:
    """Take a text, by its digest where one is named; raises VerificationError DIGEST_MISMATCH, MalformedError."""
    found = agreement_digest(data).hex()
    if len(data) > TEXT_LIMIT or (digest is not None and found != digest):
        raise VerificationError(
            f"a text of {agreement_id} that the broker gives is not the one its log names",
            what_to_do="Compare with the other parties' mirrors and tell the broker's operator: nothing is decided until then.",
            code=ErrorCode.DIGEST_MISMATCH,
        )
    return Text(data, parse_document(agreement_id, data), found)


def check_digest(agreement_id: str, document: bytes, opening: MirroredEntry) -> None:
    """Check that a text is the one entry 0 of its log names; raises VerificationError DIGEST_MISMATCH."""
    if opening.shared()["agreement_digest"] != agreement_digest(document).hex():
        raise VerificationError(
            f"the text of {agreement_id} that the broker gives is not the one its log names",
            code=ErrorCode.DIGEST_MISMATCH,
        )


def loaded_caveat(data: bytes, document: Document) -> Caveat:
    """Read a caveat's text on a text of its agreement; raises MalformedError AGREEMENT_INVALID that names the place."""
    try:
        return load_caveat(data, document)
    except DocumentError as error:
        raise MalformedError(
            f"the caveat does not load on version {document.version} of {document.id}: {error.message}",
            what_to_do="Correct the text; comity agreement caveat add --help shows one.",
            code=ErrorCode.AGREEMENT_INVALID,
        ) from error


def own_caveat(entry: MirroredEntry, step: Step, own: str, document: Document) -> OwnCaveat | None:
    """Give the caveat that an entry adds where it is the own party's, None for a partner's; raises VerificationError.

    `document` is the text that governed then.
    """
    body = entry.own(own)
    if step.party != own:
        if body:
            raise _wrong(entry, f"gives {own} a caveat of {step.party}")
        return None
    if not body:
        raise _wrong(entry, "keeps our own caveat from us")
    data, salt = bytes.fromhex(body["caveat"]), bytes.fromhex(body["salt"])
    if len(data) > CAVEAT_LIMIT or caveat_digest(salt, data).hex() != step.caveat_digest:
        raise _wrong(entry, "has another text of our caveat than our officer signed", ErrorCode.DIGEST_MISMATCH)
    caveat = loaded_caveat(data, document)
    said = (caveat.party, caveat.id, caveat.digest, caveat.partner_text)
    if said != (own, step.caveat, f"sha384:{step.agreement_digest}", step.partner_text):
        raise _wrong(entry, "has a caveat that says something else than its step")
    return OwnCaveat(data, step.caveat_digest, caveat)


def _wrong(entry: MirroredEntry, problem: str, code: ErrorCode = ErrorCode.STATEMENT_REJECTED) -> VerificationError:
    return VerificationError(f"entry {entry.log_index} of {entry.origin}: {problem}", code=code)
