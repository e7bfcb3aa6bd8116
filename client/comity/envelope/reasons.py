"""Why something was refused or not opened, precisely: for the local operations log, never for a peer (design 03).

`RejectReason` is the `reason` of a RejectedError, one member a check, so that a test can ask for the very check. The public side of a refused slot is `evidence.SlotCode`.
"""

from __future__ import annotations

from enum import StrEnum

from comity.errors import RejectedError


class RejectReason(StrEnum):
    """One member for every check of envelopes that needs no state of a broker or node."""

    # the batch signature
    BATCH_COUNT = "batch: its count is not the number of segment ids"
    BATCH_SEGMENT_ID = "batch: a segment's id is not in its list at this place"
    BATCH_PATH = "batch: index, count and path do not fit"
    BATCH_SUITE = "batch: names another suite than the key has"
    BATCH_KEY_SET = "batch: names another key set than the key's"
    BATCH_SIGNATURE = "batch: the signature does not verify"
    # the whole segment
    AGREEMENT = "segment: its agreement is not the batch's"
    CORE_AGREEMENT = "core: its agreement is not the batch's"
    CORE_SUITE = "core: its suite is not the batch's"
    CORE_KEY_SET = "core: its key set is not the batch's"
    ORIGINATOR = "core: its originator is not the key set's node"
    CALLER = "core: its originator is not the caller"
    CLASS = "core: its class is not the segment's"
    ORIGIN_EPOCH = "core: its origin_epoch is not the segment's"
    ORIGIN_SEQUENCE = "core: its origin_sequence is not first + slot"
    PORTION_COUNT = "envelope: portions of profile, manifest and ciphertexts differ in number"
    STANZA_COUNT = "envelope: stanzas are not as many as rows"
    PORTION_INDEX = "manifest: a row names a portion that does not exist"
    ROW_TWICE = "manifest: two rows name one KEM key"
    OWN_ROW = "manifest: not exactly one row of the originator's party, with all portions"
    AGREEMENT_DIGEST = "segment: cores name different agreement texts"
    ADDRESSEES = "segment: cores have different addressees"
    PRECEDENCE = "segment: cores have different precedences"
    EXERCISE = "segment: cores differ in the exercise flag"
    REPORT_TWICE = "segment: one report id stands in two slots"
    # bodies against their digests
    STANZA_DIGEST = "envelope: a stanza is not the one its row names"
    CIPHERTEXT_DIGEST = "envelope: a ciphertext is not the one the manifest names"
    NOT_COMPLETE = "envelope: a stanza or ciphertext is withheld where all must come"
    PACKET_UNNAMED = "packet: no row names it"
    PACKET_MISSING = "packet: a row names one that did not come"
    PACKETS_UNSORTED = "packets: not strictly ascending by id"
    # approvals
    APPROVAL_OFFICER = "approval: its officer is not known as one of the originator's party"
    APPROVAL_ROLE = "approval: the officer does not hold the role it states"
    APPROVAL_SIGNATURE = "approval: the signature does not verify"
    APPROVALS_MISSING = "approvals: fewer distinct officers than the core requires"
    # opening
    NOT_OURS = "open: no row names a KEM key of this node"
    ROW_PARTY = "open: the row with our key names another party"
    PRUNED = "open: the slot came pruned"
    STANZA_WITHHELD = "open: our stanza did not come"
    CIPHERTEXT_WITHHELD = "open: a ciphertext of ours did not come"
    PACKET_WITHHELD = "open: the key packet of our row did not come"
    PACKET_UNREADABLE = "open: the key packet does not open"
    STANZA_UNREADABLE = "open: the stanza does not open to exactly its row's keys"
    CIPHERTEXT_UNREADABLE = "open: a ciphertext does not open under its key"
    PORTION_MALFORMED = "open: a portion's header, length or padding is not as the format says"
    # uploaded ciphertexts
    UPLOAD_DIGEST = "upload: the stored ciphertext is not the one the manifest names"
    UPLOAD_UNREADABLE = "upload: the ciphertext does not open under its key"
    # acknowledgements
    ACK_SIGNATURE = "ack: the signature does not verify"
    ACK_SUITE = "ack: names another suite than the key has"
    ACK_AGREEMENT = "ack: of another agreement"
    ACK_KEY_SET = "ack: of another key set"
    ACK_CONSUMER = "ack: of another consumer"
    ACK_SEGMENT = "ack: of a segment this consumer was not given"
    ACK_OUTCOMES = "ack: not one outcome a slot"
    # receipts
    RECEIPT_PATH = "receipt: the path has not six hashes or the slot is not below 64"
    RECEIPT_SIGNATURE = "receipt: the signature does not verify"
    # envelopes that travel alone
    EXPORTED_ROOT = "exported: slot, count and path do not fit"


def require(condition: bool, reason: RejectReason) -> None:
    """Raise RejectedError with `reason` unless the condition holds. Every check above goes through here."""
    if not condition:
        raise RejectedError(reason)


def refuse(reason: RejectReason) -> None:
    """Raise RejectedError with `reason`: `require`, for checks of every report whose condition is written out where it stands."""
    require(False, reason)
