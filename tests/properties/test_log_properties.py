"""Properties of the logs' formats: proofs of every size, notes that read back, and mutations that never pass."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from builders_identity import Seeded
from comity.verify.notes import (
    Checkpoint,
    NoteError,
    parse_checkpoint,
    parse_note,
    parse_policy,
    parse_vkey,
    policy_without_witnesses,
    verify_checkpoint,
)
from comity.verify.trees import (
    TILE_WIDTH,
    Frontier,
    TreeError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    read_bundle,
    root_of,
    subtrees_of,
    verify_consistency,
    verify_inclusion,
)
from comity_broker.auditlog.checkpoint import LogKeys
from comity_broker.auditlog.tiles import Tiles, entry_bundle, from_leaf_hashes

LEAVES = [leaf_hash(number.to_bytes(2, "big")) for number in range(1200)]
KEYS = LogKeys.generate(Seeded("log keys"))
ORIGIN = "hub.xar.example/agreement/XAR-XBO-1/000102030405060708090a0b0c0d0e0f"
POLICY = parse_policy(policy_without_witnesses(KEYS.vkeys(ORIGIN)))
NOTE = KEYS.sign(Checkpoint(ORIGIN, 12345, bytes(range(32))))
TILES = Tiles(from_leaf_hashes(lambda start, end: LEAVES[start:end]))

sizes = st.integers(1, len(LEAVES)) | st.integers(1, 20)
roots = st.binary(min_size=32, max_size=32)
origins = st.text("ABZabz019.-/", min_size=1, max_size=255)


def by_definition(leaves: list[bytes]) -> bytes:
    """Give RFC 6962's MTH, as the specification writes it."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(by_definition(leaves[:split]), by_definition(leaves[split:]))


@given(sizes)
def test_a_root_is_the_one_of_the_definition(size):
    assert root_of(LEAVES[:size]) == by_definition(LEAVES[:size]) == TILES.root(size)


@given(st.lists(st.integers(0, 40), max_size=8))
def test_appending_in_any_turns_gives_one_tree_and_each_full_tile_once(turns):
    edge, full, done = Frontier(), [], 0
    for count in turns:
        edge, more = Frontier.decode(edge.encode()).append(LEAVES[done : done + count])
        full += more
        done += count
    assert edge.root == root_of(LEAVES[:done])
    assert [(one.level, one.number) for one in full] == [(1, number) for number in range(done // TILE_WIDTH)]


@given(sizes, st.data())
def test_every_inclusion_proof_verifies_from_memory_and_from_tiles(size, data):
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, subtrees_of(LEAVES[:size]))
    assert proof == TILES.inclusion(index, size)
    verify_inclusion(LEAVES[index], index, size, proof, root_of(LEAVES[:size]))


@given(sizes, st.data())
def test_every_consistency_proof_verifies_from_memory_and_from_tiles(new, data):
    old = data.draw(st.integers(0, new))
    proof = consistency_proof(old, new, subtrees_of(LEAVES[:new]))
    assert proof == TILES.consistency(old, new)
    verify_consistency(old, root_of(LEAVES[:old]), new, root_of(LEAVES[:new]), proof)


@given(sizes, st.data())
def test_a_changed_inclusion_proof_never_verifies(size, data):
    index = data.draw(st.integers(0, size - 1))
    proof = list(inclusion_proof(index, size, subtrees_of(LEAVES[:size])))
    changed = data.draw(_changed(proof))
    assume(changed != proof)
    with pytest.raises(TreeError):
        verify_inclusion(LEAVES[index], index, size, changed, root_of(LEAVES[:size]))


@given(sizes, st.data())
def test_a_changed_consistency_proof_never_verifies(new, data):
    old = data.draw(st.integers(1, new))
    proof = list(consistency_proof(old, new, subtrees_of(LEAVES[:new])))
    changed = data.draw(_changed(proof))
    assume(changed != proof)
    with pytest.raises(TreeError):
        verify_consistency(old, root_of(LEAVES[:old]), new, root_of(LEAVES[:new]), changed)


@given(sizes, st.data())
def test_no_proof_joins_a_rewritten_history(new, data):
    old = data.draw(st.integers(1, new))
    place = data.draw(st.integers(0, old - 1))
    rewritten = [*LEAVES[:place], leaf_hash(b"another entry"), *LEAVES[place + 1 : new]]
    proof = consistency_proof(old, new, subtrees_of(rewritten))
    with pytest.raises(TreeError):
        verify_consistency(old, root_of(LEAVES[:old]), new, root_of(rewritten), proof)


@given(st.integers(0, 1 << 64), roots, st.integers(0, 1 << 64), roots, st.lists(st.binary(max_size=33), max_size=6))
def test_no_numbers_however_wild_do_more_than_be_refused(old, old_root, new, new_root, proof):
    for check in (
        lambda: verify_consistency(old, old_root, new, new_root, proof),
        lambda: verify_inclusion(old_root, old, new, proof, new_root),
    ):
        try:
            check()
        except TreeError:
            continue


@st.composite
def _changed(draw: st.DrawFn, proof: list[bytes]) -> list[bytes]:
    changed = list(proof)
    place = draw(st.integers(0, len(proof)))
    match draw(st.sampled_from(["drop", "add", "flip", "swap"])):
        case "drop":
            del changed[place : place + 1]
        case "add":
            changed.insert(place, draw(roots))
        case "flip" if place < len(proof):
            changed[place] = bytes([changed[place][0] ^ 1]) + changed[place][1:]
        case "swap":
            changed.reverse()
    return changed


# --- notes ----------------------------------------------------------------------------------------------------------


@given(origins, st.integers(1, (1 << 63) - 1), roots)
def test_a_checkpoint_reads_back(origin, size, root):
    checkpoint = Checkpoint(origin, size, root)
    assert parse_checkpoint(checkpoint.text) == checkpoint


@given(st.integers(1, (1 << 63) - 1), roots)
def test_what_a_log_signs_verifies(size, root):
    checkpoint = Checkpoint(ORIGIN, size, root)
    signed = KEYS.sign(checkpoint)
    assert verify_checkpoint(signed, POLICY) == checkpoint
    text, signatures = parse_note(signed)
    keys = {key.key_id: key for key in POLICY.logs}
    assert (text + "\n" + "".join(keys[one].line(blob) for _, one, blob in signatures)).encode() == signed


@given(st.integers(0, len(NOTE) - 1), st.sampled_from(["flip", "drop", "double", "cut"]), st.integers(1, 255))
def test_a_changed_note_never_verifies_as_another_checkpoint(place, how, by):
    match how:
        case "flip":
            changed = NOTE[:place] + bytes([NOTE[place] ^ by]) + NOTE[place + 1 :]
        case "drop":
            changed = NOTE[:place] + NOTE[place + 1 :]
        case "double":
            changed = NOTE[:place] + NOTE[place : place + 1] * 2 + NOTE[place + 1 :]
        case _:
            changed = NOTE[:place]
    with pytest.raises(NoteError):
        verify_checkpoint(changed, POLICY)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_however_wild_make_a_note_or_policy(data):
    for parse in (parse_note, parse_policy, lambda one: verify_checkpoint(one, POLICY)):
        with pytest.raises(NoteError):
            parse(data)


@given(st.text(max_size=60))
def test_no_text_however_wild_makes_a_verifier_key(text):
    with pytest.raises(NoteError):
        parse_vkey(text)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=300))
def test_entry_bundles_read_back_and_cut_ones_are_refused(entries):
    for number in range(-(-len(entries) // TILE_WIDTH)):
        data = entry_bundle(number, len(entries), lambda start, end: entries[start:end])
        part = entries[number * TILE_WIDTH : (number + 1) * TILE_WIDTH]
        assert read_bundle(data, len(part)) == part
        with pytest.raises(TreeError):
            read_bundle(data[:-1], len(part))
        with pytest.raises(TreeError):
            read_bundle(data + b"\0", len(part))
