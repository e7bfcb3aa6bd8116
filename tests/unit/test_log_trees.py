"""RFC 6962 trees: published known answers, and every proof that must be refused."""

from __future__ import annotations

import hashlib

import pytest

from comity.verify.trees import (
    EMPTY_ROOT,
    Frontier,
    TileHash,
    TreeError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    read_bundle,
    root_of,
    subtrees_of,
    tile_path,
    verify_consistency,
    verify_inclusion,
)

# The entries and roots that Certificate Transparency's implementations test with.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
# Published inclusion paths (leaf, size) and consistency proofs (old, new) of the same trees.
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def unhex(proof: list[str]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(item) for item in proof)


def refused(*arguments: object, check=verify_consistency) -> None:
    with pytest.raises(TreeError):
        check(*arguments)


def test_the_published_roots_come_out():
    assert [root_of(LEAVES[:size]) for size in range(1, 9)] == ROOTS
    assert root_of(()) == EMPTY_ROOT == hashlib.sha256(b"").digest()


@pytest.mark.parametrize(("place", "proof"), PATHS.items())
def test_the_published_inclusion_paths_come_out_and_verify(place, proof):
    index, size = place
    assert inclusion_proof(index, size, subtrees_of(LEAVES)) == unhex(proof)
    verify_inclusion(LEAVES[index], index, size, unhex(proof), ROOTS[size - 1])


@pytest.mark.parametrize(("sizes", "proof"), CONSISTENCY.items())
def test_the_published_consistency_proofs_come_out_and_verify(sizes, proof):
    old, new = sizes
    assert consistency_proof(old, new, subtrees_of(LEAVES)) == unhex(proof)
    verify_consistency(old, ROOTS[old - 1], new, ROOTS[new - 1], unhex(proof))


def test_a_proof_for_another_leaf_index_size_or_root_is_refused():
    proof = unhex(PATHS[5, 8])
    verify_inclusion(LEAVES[5], 5, 8, proof, ROOTS[7])
    for leaf, index, size, root in (
        (LEAVES[4], 5, 8, ROOTS[7]),
        (LEAVES[5], 4, 8, ROOTS[7]),
        (LEAVES[5], 5, 6, ROOTS[7]),
        (LEAVES[5], 5, 9, ROOTS[7]),
        (LEAVES[5], 5, 8, ROOTS[6]),
        (LEAVES[5], 8, 8, ROOTS[7]),
        (LEAVES[5], -1, 8, ROOTS[7]),
        (LEAVES[5], 5, 1 << 63, ROOTS[7]),
    ):
        refused(leaf, index, size, proof, root, check=verify_inclusion)


def test_a_proof_alone_does_not_prove_the_size_which_is_why_only_a_checkpoints_size_counts():
    """Trees of 7 and 8 leaves give leaf 5 paths of one shape: a size beside a proof must never be believed."""
    verify_inclusion(LEAVES[5], 5, 7, unhex(PATHS[5, 8]), ROOTS[7])


def test_an_inclusion_proof_that_is_longer_shorter_or_of_other_widths_is_refused():
    proof = unhex(PATHS[5, 8])
    for wrong in (proof[:-1], (*proof, bytes(32)), (*proof[:2], proof[2][:31]), (*proof[:2], proof[2] + b"\0"), ()):
        refused(LEAVES[5], 5, 8, wrong, ROOTS[7], check=verify_inclusion)
    refused(LEAVES[5][:31], 5, 8, proof, ROOTS[7], check=verify_inclusion)


def test_a_leaf_is_not_taken_for_a_node_and_a_node_not_for_a_leaf():
    left = subtrees_of(LEAVES)(1, 0)
    refused(left, 0, 4, (subtrees_of(LEAVES)(1, 1),), ROOTS[7], check=verify_inclusion)
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != left


def test_a_consistency_proof_of_other_sizes_or_roots_is_refused():
    proof = unhex(CONSISTENCY[6, 8])
    verify_consistency(6, ROOTS[5], 8, ROOTS[7], proof)
    refused(5, ROOTS[5], 8, ROOTS[7], proof)
    refused(6, ROOTS[5], 9, ROOTS[7], proof)
    refused(6, ROOTS[4], 8, ROOTS[7], proof)
    refused(6, ROOTS[5], 8, ROOTS[6], proof)
    refused(8, ROOTS[7], 6, ROOTS[5], proof)
    for wrong in (proof[:-1], (*proof, bytes(32)), (), (proof[0][:31], *proof[1:])):
        refused(6, ROOTS[5], 8, ROOTS[7], wrong)


def test_a_proof_where_none_is_needed_is_refused():
    verify_consistency(5, ROOTS[4], 5, ROOTS[4], ())
    refused(5, ROOTS[4], 5, ROOTS[4], (bytes(32),))
    verify_consistency(0, EMPTY_ROOT, 5, ROOTS[4], ())
    refused(0, EMPTY_ROOT, 5, ROOTS[4], (bytes(32),))


def test_equal_sizes_with_unequal_roots_are_two_histories():
    refused(5, ROOTS[4], 5, ROOTS[5], ())


def test_an_empty_tree_has_one_root():
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, ())
    refused(0, bytes(32), 0, bytes(32), ())
    refused(0, bytes(32), 5, ROOTS[4], ())


def test_a_root_that_is_not_32_bytes_is_refused():
    refused(1, ROOTS[0][:31], 1, ROOTS[0][:31], ())
    refused(1, ROOTS[0], 2, ROOTS[1] + b"\0", (LEAVES[1],))


def test_no_proof_is_built_for_what_is_not_there():
    for build in (
        lambda: inclusion_proof(8, 8, subtrees_of(LEAVES)),
        lambda: inclusion_proof(-1, 8, subtrees_of(LEAVES)),
        lambda: consistency_proof(8, 7, subtrees_of(LEAVES)),
    ):
        with pytest.raises(TreeError):
            build()


def test_the_edge_of_a_tree_keeps_one_hash_a_bit_and_survives_storage():
    edge, _ = Frontier().append(LEAVES[:7])
    assert len(edge.hashes) == 3
    assert Frontier.decode(edge.encode()) == edge
    for wrong in (b"", edge.encode()[:-1], edge.encode() + bytes(32), (8).to_bytes(8, "big") + bytes(96)):
        with pytest.raises(TreeError):
            Frontier.decode(wrong)


def test_a_tile_that_becomes_full_is_reported_once():
    leaves = [leaf_hash(number.to_bytes(2, "big")) for number in range(600)]
    edge, full = Frontier().append(leaves[:255])
    assert full == []
    edge, full = edge.append(leaves[255:])
    assert full == [TileHash(1, 0, root_of(leaves[:256])), TileHash(1, 1, root_of(leaves[256:512]))]


@pytest.mark.parametrize(
    ("level", "number", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 1_234_067, 256, "tile/0/x001/x234/067"),
        (1, 1000, 17, "tile/1/x001/000.p/17"),
        (None, 5, 1, "tile/entries/005.p/1"),
        (63, 999, 256, "tile/63/999"),
    ],
)
def test_tiles_have_the_paths_of_the_specification(level, number, width, path):
    assert tile_path(level, number, width) == path


def test_an_entry_bundle_is_read_exactly():
    assert read_bundle(b"\0\1a\0\0\0\2bc", 3) == [b"a", b"", b"bc"]
    for data, width in ((b"\0\1a", 2), (b"\0\1a\0", 1), (b"\0\2a", 1), (b"\0", 1), (b"\0\1a\0\1b", 1), (b"", 1)):
        with pytest.raises(TreeError):
            read_bundle(data, width)
