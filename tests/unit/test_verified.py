"""Signatures that are remembered: the exact bytes alone, so many at most, and nothing of the keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_acting import CLAUSES, Officers, wall_ms
from builders_every_kind import clause_text
from builders_identity import nation
from builders_sdk import AGREEMENT, sharing
from comity.errors import MalformedError
from comity.keys.signer import SoftSigner
from comity.node.acts import acts_of, declaration_of
from comity.node.verified import VerifiedSignatures
from comity.statement import Statement, StatementSignature, sign_statement, verify_signature_of
from comity.suites import KeyRole
from comity_policy.acts import ActKind

BODY = {"type": "breach-close", "names": "it"}


class Counting:
    """Verifies, and counts how often."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, statement: Statement, key: bytes, suite: int, public: bytes) -> bool:
        self.times += 1
        return verify_signature_of(statement, key, suite, public)


@pytest.fixture(scope="module")
def signer() -> SoftSigner:
    held = nation().officer("liaison1")
    return held.ring.signers(KeyRole.OFFICER_SIGNING)[0]


def test_the_same_bytes_are_verified_once_and_any_other_again(signer):
    counting = Counting()
    memo = VerifiedSignatures(counting)
    statement = sign_statement(BODY, signer)
    key, suite, public = signer.fingerprint, int(signer.suite), signer.public
    assert [memo.holds(statement, key, suite, public) for _ in range(3)] == [True, True, True]
    assert counting.times == 1
    (signature,) = statement.signatures
    flipped = bytes([signature.signature[0] ^ 1]) + signature.signature[1:]
    for other, other_public in (
        (replace(statement, body=statement.body.replace(b"it", b"at")), public),
        (replace(statement, signatures=(StatementSignature(key, flipped),)), public),
        (statement, bytes([public[0] ^ 1]) + public[1:]),
    ):
        assert [memo.holds(other, key, suite, other_public) for _ in range(2)] == [False, False]
    assert counting.times == 4
    assert not memo.holds(statement, bytes(48), suite, public)
    assert memo.holds(statement, key, suite, public)
    assert (counting.times, len(memo)) == (4, 4)


def test_it_holds_so_many_and_lets_the_oldest_go(signer):
    counting = Counting()
    memo = VerifiedSignatures(counting, kept=2)
    key, suite, public = signer.fingerprint, int(signer.suite), signer.public
    made = [sign_statement({**BODY, "names": str(number)}, signer) for number in range(3)]
    assert all(memo.holds(one, key, suite, public) for one in (*made, *made[1:]))
    assert (counting.times, len(memo)) == (3, 2)
    assert memo.holds(made[0], key, suite, public)
    assert counting.times == 4


async def test_an_act_is_verified_once_and_counts_no_longer_than_its_key(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        shared.treaty.text += "".join(clause_text(one, *fields) for one, fields in CLAUSES.items()).encode()
        officers = await Officers(shared).accredit()
        await shared.treaty.into_force()
        duty1 = officers.held(shared.world.xar, "duty1")
        async with shared.node("XAR") as node:
            _, log_index = await officers.take(ActKind.DECLARE, duty1)
            while (pin := node.mirror.pin(AGREEMENT)) is None or pin.size <= log_index:
                await node.refresh()
            counting = Counting()
            node.mirror.verified = VerifiedSignatures(counting)
            assert [len(acts_of(node.mirror, AGREEMENT)) for _ in range(3)] == [1, 1, 1]
            assert counting.times == 1
            revoked = shared.world.xar.revocation(duty1.ring.signers(KeyRole.OFFICER_SIGNING)[0].fingerprint)
            node.mirror.directory.apply(revoked, log_index=node.mirror.key_log_seen.size, at_ms=wall_ms())
            digest = bytes.fromhex(acts_of(node.mirror, AGREEMENT)[0].digest)
            with pytest.raises(MalformedError, match="is not valid for XAR now"):
                declaration_of(node.mirror, AGREEMENT, digest, "XAR", wall_ms())
            assert counting.times == 1
