"""Entering the key log: proofs of possession for a bundle or accreditation, and statements that need none (design 03).

Rules in order:
1. The identity enrols itself, over its own connection; what is enrolled is the statement its party signed.
2. A proof is given for the broker this connection checked only: a challenge that names another verifier is not answered, so
   that nobody passes challenges on.
3. Only keys that the statement lists are proved, each once; a challenge for any other key is refused.
4. Enrolling again what is logged already is no error: the broker answers with its entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from comity.errors import ComityError, ConflictError, ErrorCode, KeyFault
from comity.identity.bodies import Listing, read_body
from comity.keys.possession import answer_kem_challenge, prove_signing_key
from comity.keys.ring import KeyRing
from comity.keys.signer import SoftDecapsulator, SoftSigner
from comity.node.connection import Connection
from comity.statement import Statement
from comity.suites import KeyRole
from comity.v1 import identity_pb2 as pb

_SIGNING: Final = (KeyRole.NODE_SIGNING, KeyRole.OFFICER_SIGNING)


async def enrol(connection: Connection, statement: Statement, ring: KeyRing) -> int:
    """Enrol a bundle or accreditation with proofs by its own keys; gives its entry in the key log.

    Raises KeyFault for a statement that is none or a verifier that is not this broker, and what the broker refuses.
    """
    listing = read_body(statement)
    if not isinstance(listing, Listing):
        raise KeyFault("only a bundle or an accreditation is enrolled", code=ErrorCode.BUNDLE_REJECTED)
    message = statement_message(statement)
    try:
        begun = await connection.call(connection.directory.BeginEnrolment, pb.BeginEnrolmentRequest(statement=message))
    except ConflictError as conflict:
        return await _logged_before(connection, message, conflict)
    if begun.verifier != connection.broker_tls_name:
        raise KeyFault(
            f"the challenges are for {begun.verifier[:255]!r}, not for {connection.broker_tls_name}",
            what_to_do="Do not go on: somebody passes another broker's challenges on.",
            code=ErrorCode.POSSESSION_FAILED,
        )
    listed = {key.fingerprint for key in listing.keys}
    signers = {one.fingerprint: one for role in _SIGNING for one in ring.signers(role) if one.fingerprint in listed}
    openers = {key: one for key, one in ring.decapsulators().items() if key in listed}
    proofs = [
        pb.PossessionProof(key=one.key, answer=_answer(one, signers, openers, str(listing.identity), begun))
        for one in begun.challenges
    ]
    completed = await connection.call(
        connection.directory.CompleteEnrolment,
        pb.CompleteEnrolmentRequest(nonce=begun.nonce, statement=message, proofs=proofs),
    )
    return completed.log_index


async def publish_statement(connection: Connection, statement: Statement) -> int:
    """Bring a revocation, a directory key or a withdrawal into the key log; gives its entry. Raises what the broker refuses."""
    published = await connection.call(
        connection.directory.PublishStatement, pb.PublishStatementRequest(statement=statement_message(statement))
    )
    return published.log_index


def statement_message(statement: Statement) -> pb.Statement:
    """Give a statement as it travels."""
    signatures = [pb.StatementSignature(key=one.key, signature=one.signature) for one in statement.signatures]
    return pb.Statement(body=statement.body, signatures=signatures)


async def _logged_before(connection: Connection, statement: pb.Statement, conflict: ConflictError) -> int:
    """Give the entry of exactly this statement, which needs no proof any more; another one is the conflict it was."""
    try:
        completed = await connection.call(
            connection.directory.CompleteEnrolment, pb.CompleteEnrolmentRequest(statement=statement)
        )
    except ComityError:
        raise conflict from None
    return completed.log_index


def _answer(
    challenge: pb.PossessionChallenge,
    signers: Mapping[bytes, SoftSigner],
    openers: Mapping[bytes, SoftDecapsulator],
    identity: str,
    begun: pb.BeginEnrolmentResponse,
) -> bytes:
    if challenge.key in signers:
        return prove_signing_key(signers[challenge.key], identity, begun.verifier, begun.nonce)
    if challenge.key in openers:
        key = openers[challenge.key]
        return answer_kem_challenge(key, challenge.sealed, node=identity, verifier=begun.verifier, nonce=begun.nonce)
    raise KeyFault(
        f"the broker asks {identity} to prove a key that is not here or not in its statement",
        what_to_do="Have the newest request issued, then enrol again.",
        code=ErrorCode.POSSESSION_FAILED,
    )
