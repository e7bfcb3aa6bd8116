"""Properties of statements, names, key directories and key files: what decodes is one encoding, what is hostile refuses."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from builders_identity import NOW, PASSPHRASE, Held, Seeded, fold, nation
from comity import canonical, statement
from comity.errors import ComityError, KeyFault, MalformedError
from comity.identity.bodies import key_set_of, read_body
from comity.identity.cardfile import decode_card_file, encode_card_file
from comity.identity.certificates import read_authority, read_leaf
from comity.identity.directory import KeyDirectory
from comity.identity.names import check_trust_domain, parse_spiffe, split_identity
from comity.identity.verdicts import Verdict, verdict
from comity.identity.words import fingerprint_words
from comity.keys.files import create_keys, load_keys
from comity.keys.tls import from_pem, spki_of_request
from comity.statement import Statement, StatementSignature, sign_statement
from comity.suites import KeyRole

XAR = nation("XAR")
HELD = [XAR.node("n1", offices=("watch",)), XAR.officer("officer1"), XAR.broker("hub")]
SAMPLES = [
    XAR.card_statement,
    *XAR.statements,
    XAR.revocation(HELD[0].signer.fingerprint),
    XAR.capabilities(HELD[0]),
]

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


# --- statements -----------------------------------------------------------------------------------------------------


signature = st.builds(StatementSignature, st.binary(min_size=48, max_size=48), st.binary(min_size=1, max_size=80))
bodies = st.dictionaries(st.text(max_size=8), json, max_size=5).map(lambda body: {**body, "type": "example"})
statements = st.builds(
    lambda body, signatures: Statement(canonical.dumps(body), tuple(sorted(signatures, key=lambda one: one.key))),
    bodies,
    st.lists(signature, min_size=1, max_size=8, unique_by=lambda one: one.key),
)


@given(statements)
def test_a_statement_comes_back_from_its_file_in_the_same_bytes(given_statement):
    data = statement.encode(given_statement)
    assert statement.decode(data) == given_statement
    assert len(data) <= statement.FILE_LIMIT


@given(st.data())
def test_bytes_that_decode_are_the_only_encoding_of_their_statement(data):
    raw = bytearray(statement.encode(data.draw(statements)))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))
    try:
        decoded = statement.decode(bytes(raw))
    except MalformedError:
        return
    assert statement.encode(decoded) == raw


@given(st.binary(max_size=200) | json.map(canonical.dumps))
def test_no_bytes_make_a_reader_of_files_raise_anything_else(data):
    for use in (statement.decode, decode_card_file, read_authority, read_leaf, spki_of_request, from_pem):
        try:
            use(data)
        except ComityError:
            continue
        raise AssertionError(f"{use.__name__} took {data!r}")


# --- statements about keys ------------------------------------------------------------------------------------------


def places(value, path=()):
    """Give the path of every value within a JSON value."""
    yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@settings(max_examples=300)
@given(st.data())
def test_a_body_with_one_value_changed_is_refused_as_malformed_or_says_another_thing(data):
    sample = data.draw(st.sampled_from(SAMPLES))
    path = data.draw(st.sampled_from(sorted(places(sample.fields), key=str)))
    changed = replaced(sample.fields, path, data.draw(json))
    assume(isinstance(changed, dict) and changed != sample.fields)
    try:
        forged = Statement(canonical.dumps(changed), sample.signatures)
        body = read_body(forged)
    except MalformedError:
        return
    assert body != read_body(sample)


@settings(max_examples=200)
@given(st.data())
def test_no_change_of_a_signed_body_is_ever_taken_by_a_directory(data):
    sample = data.draw(st.sampled_from(XAR.statements[1:]))
    path = data.draw(st.sampled_from(sorted(places(sample.fields), key=str)))
    changed = replaced(sample.fields, path, data.draw(json | st.text(alphabet="0123456789abcdef", max_size=8)))
    assume(isinstance(changed, dict) and changed != sample.fields)
    directory = fold(KeyDirectory({"XAR": XAR.card}), XAR.directory_statement)
    try:
        directory.admissible(Statement(canonical.dumps(changed), sample.signatures), NOW)
    except (MalformedError, KeyFault):
        return
    raise AssertionError(f"{path} was changed and taken")


@given(st.binary(max_size=64))
def test_a_card_file_with_a_byte_more_or_less_is_none(junk):
    data = encode_card_file(XAR.card_file)
    for wrong in (data + junk, junk + data, data[: -1 - len(junk)]):
        if wrong == data:
            continue
        try:
            decode_card_file(wrong)
        except ComityError:
            continue
        raise AssertionError("taken")


# --- names and words ------------------------------------------------------------------------------------------------

near_names = st.from_regex(re.compile(r"[A-Za-z]{2,4}/[a-zA-Z0-9./\\-]{0,70}"), fullmatch=True) | st.text(max_size=80)


@given(near_names)
def test_an_identity_that_is_read_stays_in_its_folder(text):
    try:
        party, name = split_identity(text)
    except MalformedError:
        return
    path = Path("/home") / party / name
    assert path.parts == ("/", "home", party, name)
    assert f"{party}/{name}" == text
    assert name not in {".", ".."}


@given(st.text(max_size=100) | st.from_regex(re.compile(r"spiffe://[a-z0-9.:@-]{0,70}/[a-z]{1,7}/[A-Za-z0-9/-]{0,70}")))
def test_a_spiffe_uri_that_is_read_is_written_the_same(text):
    try:
        spiffe = parse_spiffe(text)
    except MalformedError:
        return
    assert str(spiffe) == text
    assert check_trust_domain(spiffe.trust_domain)


@given(st.binary(min_size=48, max_size=48), st.integers(0, 15), st.integers(1, 255))
def test_one_other_byte_is_another_word(fingerprint, place, change):
    other = bytearray(fingerprint)
    other[place] ^= change
    words, changed = fingerprint_words(fingerprint), fingerprint_words(bytes(other))
    assert [i for i in range(16) if words[i] != changed[i]] == [place]


indices, times = st.integers(0, 50), st.integers(0, 50)


@given(indices, indices | st.none(), times | st.none(), times, times)
def test_a_claim_of_an_earlier_compromise_never_makes_a_verdict_better(entered, revoked, at_ms, claim, other):
    order = [Verdict.VALID, Verdict.CONTESTED, Verdict.INVALID]
    earlier, later = sorted(one for one in (max(claim, 1), max(other, 1)))
    by_earlier, by_later = (verdict(entered, revoked, at_ms, one) for one in (earlier, later))
    assert order.index(by_earlier) >= order.index(by_later)
    assert (by_later is Verdict.INVALID) == (revoked is not None and entered >= revoked)


# --- key files ------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.data())
def test_a_key_file_with_one_byte_changed_never_opens_as_another_key(data):
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "keys"
        made = create_keys(directory, PASSPHRASE, random_bytes=Seeded("ring"))
        saved = made.save(KeyRole.NODE_SIGNING, HELD[0].keys[0][1], created_at=NOW)
        path = data.draw(st.sampled_from(sorted(directory.iterdir())))
        raw = bytearray(path.read_bytes())
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(raw)
        try:
            listed = load_keys(directory, PASSPHRASE).listed()
        except KeyFault:
            return
        assert listed == (saved,)


# --- the fold as a machine ------------------------------------------------------------------------------------------


class Fold(RuleBasedStateMachine):
    """A party's nodes are listed, renewed, rotated and revoked in any order; what counts is compared with a plain model."""

    @initialize()
    def start(self) -> None:
        self.nation = nation("XAR")
        self.directory = fold(KeyDirectory({"XAR": self.nation.card}), self.nation.directory_statement)
        self.nodes: dict[str, Held] = {}
        self.listed: dict[str, set[bytes]] = {}
        self.revoked: set[bytes] = set()
        self.every: set[bytes] = set()
        self.history: list[tuple[int, dict[bytes, bool]]] = []

    def log(self, name: str, given_statement: Statement) -> None:
        keys = {key.fingerprint for key in self.nodes[name].listed}
        if keys & self.revoked:
            try:
                fold(self.directory, given_statement)
            except KeyFault:
                return
            raise AssertionError("a revoked key was listed again")
        fold(self.directory, given_statement)
        self.listed[name] = keys
        self.every |= keys

    @rule(name=st.sampled_from(["n1", "n2"]))
    def enrol_or_renew(self, name: str) -> None:
        if name in self.nodes:
            self.log(name, self.nodes[name].reissued())
        else:
            self.nodes[name] = self.nation.node(name)
            self.log(name, self.nodes[name].statement)

    @precondition(lambda self: self.nodes)
    @rule(data=st.data())
    def rotate(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.nodes)))
        self.log(name, self.nodes[name].rotated())

    @precondition(lambda self: self.every - self.revoked)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.every - self.revoked)))
        fold(self.directory, self.nation.revocation(key))
        self.revoked.add(key)

    def expected(self) -> dict[bytes, bool]:
        current = set().union(*self.listed.values()) if self.listed else set()
        return {key: key in current - self.revoked for key in self.every}

    @invariant()
    def what_counts_is_what_the_model_says(self) -> None:
        expected = self.expected()
        assert {key: self.directory.counts(key) for key in self.every} == expected
        self.history.append((self.directory.size, expected))

    @invariant()
    def what_counted_at_a_place_of_the_log_counts_there_for_ever(self) -> None:
        for size, expected in self.history[-6:]:
            assert {key: self.directory.counts(key, size) for key in expected} == expected

    @invariant()
    def a_fold_of_the_same_log_is_the_same(self) -> None:
        for name, keys in self.listed.items():
            record = self.directory.node("XAR", name)
            assert record.fingerprints == keys
            assert record.sequence == self.directory.next_sequence("XAR", name) - 1


TestFold = Fold.TestCase
TestFold.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


def test_the_key_set_is_of_the_exact_body():
    body = HELD[0].statement.body
    other = sign_statement({**HELD[0].statement.fields, "sequence": 2}, XAR.directory)
    assert read_body(HELD[0].statement).key_set == key_set_of(body) != read_body(other).key_set
