"""What a node says that it can: who may say it, what of it counts, and that node, broker and verifier agree."""

import json
from pathlib import Path

import pytest

from builders_broker import brokered
from builders_identity import DAY, NOW, directory_of, fails, fold, malformed, nation, signed_again
from builders_sdk import sharing
from comity import statement
from comity.errors import AccessError, ComityError, ConflictError, ErrorCode, KeyFault
from comity.identity.bodies import read_body
from comity.identity.state import CLOCK_SKEW_MS
from comity.node.enrolment import publish_statement
from comity.statement import verify_signature_of
from comity.suites import Suite
from comity.verify.keys import Key, KeyLog
from comity.verify.keys import Statement as VerifiedStatement
from comity.verify.records import FormError
from comity_broker.directory import STATEMENTS_AN_HOUR
from comity_policy.abilities import OBLIGATIONS, words_of

VECTORS = Path(__file__).parent.parent / "vectors" / "capabilities-v1.json"


class Stated:
    """A party with two nodes, in the SDK's fold and in the verifier's."""

    def __init__(self):
        self.xar = nation("XAR")
        self.n1, self.n2 = self.xar.node("n1"), self.xar.node("n2")
        self.directory = directory_of(self.xar)
        self.verified = KeyLog()
        self.verified.trust(VerifiedStatement(statement.to_json(self.xar.card_statement)))
        for index, said in enumerate(self.xar.statements, 1):
            self.verified.apply(index, NOW, VerifiedStatement(statement.to_json(said)))

    def takes(self, said, at_ms=NOW):
        index = self.directory.size
        fold(self.directory, said, at_ms=at_ms)
        self.verified.apply(index, at_ms, VerifiedStatement(statement.to_json(said)))

    def refuses(self, said, code, kind=KeyFault, at_ms=NOW, *, verifier=True):
        size = self.directory.size
        error = fails(lambda: self.directory.apply(said, log_index=size, at_ms=at_ms), code, kind)
        assert self.directory.size == size
        if verifier:
            with pytest.raises(FormError):
                self.verified.apply(size, at_ms, VerifiedStatement(statement.to_json(said)))
        return error

    def said(self, node="n1", log_size=None):
        found = self.directory.capabilities("XAR", node, log_size)
        return None if found is None else found.body.abilities


@pytest.fixture
def stated():
    return Stated()


# --- who says it, and what counts -----------------------------------------------------------------------------------


def test_a_node_says_what_it_can_and_the_newest_statement_counts(stated):
    assert stated.said() is None
    before = stated.directory.size
    stated.takes(stated.xar.capabilities(stated.n1, obligations=frozenset({"use"})))
    stated.takes(stated.xar.capabilities(stated.n1, sequence=2))
    assert stated.said().words == words_of(wire=[1], suites=[1], obligations=OBLIGATIONS)
    assert stated.said(log_size=before) is None
    assert stated.said(log_size=before + 1).obligations == {"use"}
    assert stated.said("n2") is None
    assert [said["sequence"] for _, said in stated.verified.capabilities["XAR", "n1"]] == [1, 2]


def test_another_nodes_key_the_directory_key_or_two_keys_do_not_sign_it(stated):
    for signer in (stated.n2.signer, stated.xar.directory, stated.xar.root):
        stated.refuses(stated.xar.capabilities(stated.n1, signer=signer), ErrorCode.BUNDLE_REJECTED)
    twice = statement.cosign(stated.xar.capabilities(stated.n1), stated.n2.signer)
    stated.refuses(twice, ErrorCode.BUNDLE_REJECTED)


def test_an_old_number_replayed_or_used_again_is_stale(stated):
    first = stated.xar.capabilities(stated.n1)
    stated.takes(first)
    stated.takes(stated.xar.capabilities(stated.n1, sequence=5))
    stated.refuses(first, ErrorCode.SEQUENCE_STALE, ConflictError)
    for number in (4, 5):
        other = stated.xar.capabilities(stated.n1, sequence=number, software="another")
        error = stated.refuses(other, ErrorCode.SEQUENCE_STALE, ConflictError)
        assert "sequence 6" in error.what_to_do


def test_a_suite_without_keys_a_later_time_and_an_unknown_node_are_refused(stated):
    # The verifier lets these pass: it asks who said it, not whether it was wise to say.
    refuses = {"verifier": False}
    stated.refuses(stated.xar.capabilities(stated.n1, suites=(1, 2)), ErrorCode.BUNDLE_REJECTED, **refuses)
    later = stated.xar.capabilities(stated.n1, valid_from=NOW + CLOCK_SKEW_MS + 1)
    stated.refuses(later, ErrorCode.CLOCK_WINDOW, **refuses)
    nobody = stated.xar.capabilities(stated.n1, node="n9")
    assert "no node that is enrolled" in stated.refuses(nobody, ErrorCode.BUNDLE_REJECTED).message
    ended = stated.xar.capabilities(stated.n1)
    stated.refuses(ended, ErrorCode.KEY_EXPIRED, at_ms=NOW + 61 * DAY)


def test_a_statement_outlives_a_rotation_and_ends_with_a_revocation(stated):
    old = stated.n1.signer
    stated.takes(stated.xar.capabilities(stated.n1))
    stated.takes(stated.n1.rotated())
    assert stated.said() is not None
    stated.refuses(stated.xar.capabilities(stated.n1, signer=old, sequence=2), ErrorCode.BUNDLE_REJECTED)
    size = stated.directory.size
    stated.takes(stated.xar.revocation(old.fingerprint))
    assert stated.said() is None
    assert stated.said(log_size=size) is not None
    stated.takes(stated.xar.capabilities(stated.n1, sequence=2))
    assert stated.said() is not None


def test_a_key_that_was_revoked_says_nothing_more(stated):
    stated.takes(stated.xar.capabilities(stated.n1))
    stated.takes(stated.xar.revocation(stated.n1.signer.fingerprint))
    stated.refuses(stated.xar.capabilities(stated.n1, sequence=2), ErrorCode.KEY_REVOKED)
    assert stated.said() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"obligations": ["use", "use"]},
        {"obligations": ["use", "embargo"]},
        {"obligations": ["surrender"]},
        {"obligations": ["Use"]},
        {"wire": []},
        {"wire": [1, 1]},
        {"wire": [0]},
        {"wire": [True]},
        {"wire": ["1"]},
        {"suites": []},
        {"suites": [2, 1]},
        {"suites": [0x10000]},
        {"software": ""},
        {"software": "x" * 65},
        {"software": "comity\u202e1"},
        {"sequence": 0},
        {"valid_from": 0},
        {"node": "N1"},
    ],
)
def test_what_is_out_of_its_form_or_unknown_is_refused(stated, changes):
    sample = stated.xar.capabilities(stated.n1)
    malformed(lambda: read_body(signed_again(sample, **changes)))


@pytest.mark.parametrize("changes", [{"obligations": ["use"] * 17}, {"wire": [1] * 9}, {"suites": list(range(1, 10))}])
def test_what_is_too_long_is_refused_before_it_is_read(stated, changes):
    sample = stated.xar.capabilities(stated.n1)
    malformed(lambda: read_body(signed_again(sample, **changes)), ErrorCode.LIMIT_EXCEEDED)


# --- pinned ---------------------------------------------------------------------------------------------------------


def test_the_pinned_statement_reads_verifies_and_is_made_of_the_same_bytes():
    pinned = json.loads(VECTORS.read_text())
    said = statement.decode(bytes.fromhex(pinned["statement"]))
    key, suite, public = bytes.fromhex(pinned["key"]), pinned["suite"], bytes.fromhex(pinned["public"])
    assert said.digest.hex() == pinned["digest"]
    assert said.body.decode() == pinned["body"]
    assert verify_signature_of(said, key, suite, public)
    by = Key("node-signing", suite, public)
    assert by.fingerprint == key
    assert VerifiedStatement(statement.to_json(said)).by(by)
    body = read_body(said)
    assert json.loads(json.dumps(sorted(body.abilities.words))) == pinned["words"]
    xar = nation("XAR")
    again = xar.capabilities(
        xar.node("n1"),
        **{
            name: getattr(body, name)
            for name in ("software", "wire", "suites", "obligations", "valid_from", "sequence")
        },
    )
    assert again.body == said.body


# --- at the broker, and by the node itself --------------------------------------------------------------------------


async def test_nobody_brings_what_another_node_says(tmp_path):
    async with brokered(tmp_path) as world:
        n1, n2 = await world.enrolled(world.xar.node("n1")), await world.enrolled(world.xar.node("n2"))
        officer = await world.enrolled(world.xar.officer("liaison1"))
        said = world.xar.capabilities(n1)
        for caller in (n2, officer):
            async with world.connection(caller) as connection:
                with pytest.raises(AccessError) as refused:
                    await publish_statement(connection, said)
                assert refused.value.code is ErrorCode.ACTING_FOR_ANOTHER
        async with world.connection(n1) as connection:
            first = await publish_statement(connection, said)
            assert await publish_statement(connection, said) == first
            old = world.xar.capabilities(n1, software="older")
            with pytest.raises(ConflictError):
                await publish_statement(connection, old)
        assert world.broker.directory.keys.capabilities("XAR", "n1").log_index == first


async def test_a_node_does_not_fill_the_key_log_with_what_it_can(tmp_path):
    async with brokered(tmp_path) as world:
        n1 = await world.enrolled(world.xar.node("n1"))
        async with world.connection(n1) as connection:
            for number in range(1, STATEMENTS_AN_HOUR + 1):
                await publish_statement(connection, world.xar.capabilities(n1, sequence=number))
            size = world.broker.directory.keys.size
            with pytest.raises(ComityError) as refused:
                await publish_statement(connection, world.xar.capabilities(n1, sequence=STATEMENTS_AN_HOUR + 1))
        assert refused.value.code is ErrorCode.RATE_LIMITED
        assert refused.value.retry_after_seconds
        assert world.broker.directory.keys.size == size


async def test_a_node_says_it_when_it_connects_and_again_only_when_it_can_something_else(tmp_path, monkeypatch):
    async with sharing(tmp_path) as world:
        keys = world.world.broker.directory.keys
        async with world.node("XAR") as node:
            stated = keys.capabilities("XAR", "n1")
            assert stated.body.abilities.obligations == OBLIGATIONS
            assert stated.body.abilities.suites == (int(Suite.HYBRID),)
            await _mirrored(node, "XAR", stated.log_index)
        async with world.node("XAR"):
            assert keys.capabilities("XAR", "n1") == stated
        monkeypatch.setattr("comity.node.abilities.OBLIGATIONS", frozenset({"use"}))
        async with world.node("XAR"):
            newer = keys.capabilities("XAR", "n1")
        assert (newer.body.sequence, newer.body.abilities.obligations) == (2, {"use"})
        async with world.node("XBO") as partner:
            await _mirrored(partner, "XAR", newer.log_index)


async def _mirrored(node, party, log_index):
    found = []

    async def look():
        await node.mirror.refresh(node.connection, ())
        found.append(node.mirror.directory.capabilities(party, "n1"))

    for _ in range(200):
        await look()
        if found[-1] is not None and found[-1].log_index == log_index:
            return
    raise AssertionError(f"the statement of {party}/n1 never came to the mirror")
