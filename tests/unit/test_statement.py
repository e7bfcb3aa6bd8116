"""Statements: exact bytes, signatures by known keys, and one encoding."""

from __future__ import annotations

import hashlib

import pytest

from builders_identity import Seeded
from comity import canonical, statement
from comity.errors import ErrorCode, MalformedError, UsageError
from comity.keys.signer import SoftSigner
from comity.pae import pae
from comity.statement import Statement, StatementSignature
from comity.suites import KeyRole, Suite, generate_signing, verify_signature

ROOT = SoftSigner(generate_signing(Suite.HYBRID, Seeded("root")), KeyRole.ROOT)
OTHER = SoftSigner(generate_signing(Suite.CNSA, Seeded("other")), KeyRole.DIRECTORY)
BODY = {"type": "example", "number": 7}


def verifies(signed: Statement, signer: SoftSigner) -> bool:
    return statement.verify_signature_of(signed, signer.fingerprint, signer.suite, signer.public)


def test_each_key_signs_the_body_under_its_own_suite():
    signed = statement.sign_statement(BODY, ROOT, OTHER)
    assert signed.body == canonical.dumps(BODY)
    for signer in (ROOT, OTHER):
        assert verifies(signed, signer)
        message = pae("statement", int(signer.suite), signed.body)
        signature = signed.signature_of(signer.fingerprint)
        assert verify_signature(signer.suite, signer.public, "statement", message, signature)


def test_the_digest_is_that_of_the_body_whoever_signed():
    one, both = statement.sign_statement(BODY, ROOT), statement.sign_statement(BODY, ROOT, OTHER)
    assert one.digest == both.digest == statement.statement_digest(one.body) == hashlib.sha384(one.body).digest()


def test_a_second_signer_can_sign_later():
    both = statement.cosign(statement.sign_statement(BODY, ROOT), OTHER)
    assert verifies(both, ROOT)
    assert verifies(both, OTHER)


def test_one_key_signs_once():
    with pytest.raises(UsageError):
        statement.cosign(statement.sign_statement(BODY, ROOT), ROOT)
    with pytest.raises(UsageError):
        statement.sign_statement(BODY, ROOT, ROOT)


def test_a_signature_moved_to_another_body_does_not_verify():
    signed = statement.sign_statement(BODY, ROOT)
    moved = Statement(canonical.dumps({**BODY, "number": 8}), signed.signatures)
    assert not verifies(moved, ROOT)


def test_a_signature_claimed_for_another_key_does_not_verify():
    signed = statement.sign_statement(BODY, ROOT)
    claimed = Statement(signed.body, (StatementSignature(OTHER.fingerprint, signed.signatures[0].signature),))
    assert not verifies(claimed, OTHER)
    assert not verifies(claimed, ROOT)


def test_a_signature_for_another_purpose_is_no_signature_of_a_statement():
    body = canonical.dumps(BODY)
    signature = ROOT.sign("approval", int(ROOT.suite), body)
    assert not verifies(Statement(body, (StatementSignature(ROOT.fingerprint, signature),)), ROOT)


def test_a_statement_comes_back_from_its_file():
    signed = statement.sign_statement(BODY, ROOT, OTHER)
    data = statement.encode(signed)
    assert statement.decode(data) == signed
    assert statement.encode(statement.decode(data)) == data
    assert signed.type == "example"
    assert signed.fields == BODY


def test_what_is_read_of_a_body_cannot_change_it():
    signed = statement.sign_statement(BODY, ROOT)
    signed.fields["number"] = 8
    assert signed.fields == BODY


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type":7}',
        b'{"type":""}',
        b'{"type":"Example"}',
        b'{"type": "example"}',
        b'{"type":"example","type":"example"}',
        b'{"type":"example"} ',
        b'{"a":1.0,"type":"example"}',
        b"\xff",
    ],
)
def test_bytes_that_are_no_body_refuse(body):
    with pytest.raises(MalformedError):
        Statement(body, statement.sign_statement(BODY, ROOT).signatures)


def test_a_body_over_its_limit_refuses():
    with pytest.raises(MalformedError):
        statement.sign_statement({"type": "example", "text": "x" * statement.BODY_LIMIT}, ROOT)


def signatures(*keys: bytes) -> tuple[StatementSignature, ...]:
    return tuple(StatementSignature(key, b"signature") for key in keys)


def test_signatures_are_in_one_order_each_key_once_and_not_many():
    body = canonical.dumps(BODY)
    keys = [bytes([number]) * 48 for number in range(9)]
    assert len(Statement(body, signatures(*keys[:8])).signatures) == 8
    for wrong in ([], keys[:2][::-1], [keys[0], keys[0]]):
        with pytest.raises(MalformedError):
            Statement(body, signatures(*wrong))
    with pytest.raises(MalformedError) as caught:
        Statement(body, signatures(*keys))
    assert caught.value.code is ErrorCode.LIMIT_EXCEEDED


@pytest.mark.parametrize(("key", "signature"), [(47, 10), (49, 10), (48, 0), (48, statement.SIGNATURE_BYTES + 1)])
def test_a_fingerprint_or_signature_of_another_size_refuses(key, signature):
    with pytest.raises(MalformedError):
        StatementSignature(bytes(key), bytes(signature))


def changed(**changes: object) -> bytes:
    value = statement.to_json(statement.sign_statement(BODY, ROOT))
    return canonical.dumps({**value, **changes})


@pytest.mark.parametrize(
    "data",
    [
        changed(more=1),
        changed(body="zz"),
        changed(body="7B"),
        changed(body=7),
        changed(signatures={}),
        changed(signatures=7),
        changed(signatures=[7]),
        changed(signatures=[{"key": "00" * 48, "signature": "00", "suite": 1}]),
        changed(signatures=[{"key": "00" * 48}]),
        changed(signatures=[{"key": "0" * 95, "signature": "00"}]),
        changed() + b"\n",
        b" " + changed(),
        b"[]",
        b"7",
    ],
)
def test_a_file_that_is_not_exactly_a_statement_refuses(data):
    with pytest.raises(MalformedError):
        statement.decode(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"signatures": [7] * 9},
        {"body": "00" * (statement.BODY_LIMIT + 1)},
        {"signatures": [{"key": "00" * 49, "signature": "00"}]},
        {"signatures": [{"key": "00" * 48, "signature": "00" * (statement.SIGNATURE_BYTES + 1)}]},
    ],
)
def test_what_is_over_a_limit_refuses_before_it_is_read(changes):
    with pytest.raises(MalformedError) as caught:
        statement.from_json({**statement.to_json(statement.sign_statement(BODY, ROOT)), **changes})
    assert caught.value.code is ErrorCode.LIMIT_EXCEEDED


def test_a_key_is_never_asked_to_sign_what_is_no_statement():
    class Asked:
        suite, public, fingerprint = ROOT.suite, ROOT.public, ROOT.fingerprint

        def sign(self, purpose: str, *items: object) -> bytes:
            raise AssertionError(purpose)

    for body in ({}, {"type": "Example"}, {"type": "example", "text": "x" * statement.BODY_LIMIT}):
        with pytest.raises(MalformedError):
            statement.sign_statement(body, Asked())


def test_the_largest_statement_fits_its_file():
    body = canonical.dumps({"type": "example", "text": "x" * (statement.BODY_LIMIT - 28)})
    assert len(body) == statement.BODY_LIMIT
    all_signed = tuple(StatementSignature(bytes([n]) * 48, bytes(statement.SIGNATURE_BYTES)) for n in range(8))
    largest = Statement(body, all_signed)
    assert statement.decode(statement.encode(largest)) == largest
