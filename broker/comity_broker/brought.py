"""What a step brings besides itself: the text of a new version or round, or a national caveat with its salt.

In order: it is of a size that is read at all; its digest is the one that the step names; it loads strictly; a caveat says of
itself what the step says of it (party, name, version, what others may read) and asks for nothing that this release cannot
attest. Whether a text may come now, and whether it is carried here, is for the fold and the ledger to say.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from comity.errors import ComityError, ConflictError, ErrorCode, MalformedError
from comity.texts import CAVEAT_LIMIT, SALT_SIZE, TEXT_LIMIT, agreement_digest, caveat_digest
from comity_broker.auditlog.events import BroughtCaveat
from comity_broker.ledger import load_text
from comity_broker.storage.protocol import DocumentRow
from comity_policy.carried import caveat_not_carried, told
from comity_policy.caveat import load_caveat
from comity_policy.document import Document, DocumentError
from comity_policy.lifecycle import State, Step, StepKind

TEXTS_LIMIT: Final = 256
CAVEATS_LIMIT: Final = 64
_NEW_TEXT: Final = frozenset({StepKind.COUNTER, StepKind.AMEND, StepKind.NOTES})


@dataclass(frozen=True, slots=True)
class Brought:
    """What a step brought, read: texts by digest in hex with the rows that keep them, or a caveat."""

    texts: Mapping[str, Document] = field(default_factory=dict)
    rows: tuple[DocumentRow, ...] = ()
    caveat: BroughtCaveat | None = None


NOTHING: Final = Brought()


def check_sizes(step: Step, text: bytes, salt: bytes) -> None:
    """Check that a step comes with a text and a salt of the sizes its kind may have; raises MalformedError."""
    caveat = step.kind is StepKind.CAVEAT_ADD
    limit = CAVEAT_LIMIT if caveat else TEXT_LIMIT if step.kind in _NEW_TEXT else 0
    if len(text) > limit:
        raise MalformedError(
            f"{step.kind.value} brings a text of at most {limit} bytes",
            what_to_do="Leave the text out." if not limit else "Shorten it.",
            code=ErrorCode.LIMIT_EXCEEDED,
        )
    if caveat and not text:
        raise MalformedError("a caveat comes with its text", code=ErrorCode.MALFORMED)
    if len(salt) != (SALT_SIZE if caveat else 0):
        wanted = f"a salt of {SALT_SIZE} bytes" if caveat else "no salt"
        raise MalformedError(f"{step.kind.value} comes with {wanted}", code=ErrorCode.MALFORMED)


def read_brought(state: State, step: Step, text: bytes, salt: bytes) -> Brought:
    """Read what a step brings; `state` is that before the step. Raises ComityError."""
    if step.kind is StepKind.CAVEAT_ADD:
        return Brought(caveat=_caveat(state, step, text, salt))
    if step.kind not in _NEW_TEXT or (not text and step.agreement_digest in state.texts):
        return NOTHING
    if not text:
        raise MalformedError(
            f"{step.kind.value} names a text that is not here",
            what_to_do="Send the text with the step.",
            code=ErrorCode.DIGEST_MISMATCH,
        )
    digest = agreement_digest(text)
    if digest.hex() != step.agreement_digest:
        raise _mismatch("the text that came is not the one the step names")
    if step.agreement_digest in state.texts:
        return NOTHING
    if len(state.texts) >= TEXTS_LIMIT:
        raise MalformedError(
            f"at most {TEXTS_LIMIT} texts of one agreement are kept",
            what_to_do="Agree on a new agreement.",
            code=ErrorCode.LIMIT_EXCEEDED,
        )
    return Brought({step.agreement_digest: load_text(text)}, (DocumentRow(digest, text),))


def _caveat(state: State, step: Step, text: bytes, salt: bytes) -> BroughtCaveat:
    if not hmac.compare_digest(caveat_digest(salt, text).hex(), step.caveat_digest):
        raise _mismatch("the caveat and salt that came are not those the step names")
    if sum(party == step.party for party, _ in state.caveats) >= CAVEATS_LIMIT:
        raise MalformedError(
            f"a party has at most {CAVEATS_LIMIT} caveats in force on one agreement",
            what_to_do="Withdraw one, or say it in one text.",
            code=ErrorCode.LIMIT_EXCEEDED,
        )
    try:
        caveat = load_caveat(text, state.document)
    except DocumentError as error:
        raise _invalid(error.message) from error
    said = (caveat.party, caveat.id, caveat.digest, caveat.partner_text)
    if said != (step.party, step.caveat, f"sha384:{step.agreement_digest}", step.partner_text):
        raise _invalid("the caveat says another party, id, digest of the agreement or partner_text than the step")
    if parts := caveat_not_carried(caveat, state.document):
        raise _invalid(f"this broker does not carry all of it: {told(parts)}")
    return BroughtCaveat(step.party, text, salt)


def _mismatch(message: str) -> ComityError:
    return ConflictError(message, what_to_do="Send the very bytes the step names.", code=ErrorCode.DIGEST_MISMATCH)


def _invalid(message: str) -> ComityError:
    return MalformedError(message, what_to_do="Correct the caveat and sign it again.", code=ErrorCode.AGREEMENT_INVALID)
