"""Key files: what others can read, change or swap is refused; a passphrase opens all keys of a directory at one cost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from builders_identity import NOW, PASSPHRASE, Seeded, fails, nation
from cheap_keys import LEAST, SHIPPED
from comity import canonical
from comity.errors import ComityError, ErrorCode, MalformedError, NotFoundError, StorageError, UsageError
from comity.keys import files, private_files
from comity.keys.files import Cost, change_passphrase, create_keys, file_name, listed_keys, load_keys, unlock_keys
from comity.keys.log_keys import LogSecret
from comity.keys.private_files import open_private
from comity.keys.ring import listed_key
from comity.keys.signer import SoftSigner
from comity.keys.tls import TlsSecret
from comity.pae import pae
from comity.suites import KeyRole, Suite, generate_kem, generate_signing, verify_signature

SOURCE = Seeded("key files")
SECRETS = {
    KeyRole.ROOT: generate_signing(Suite.HYBRID, SOURCE),
    KeyRole.DIRECTORY: generate_signing(Suite.CNSA, SOURCE),
    KeyRole.X509_ISSUING: TlsSecret.generate(SOURCE),
    KeyRole.NODE_SIGNING: generate_signing(Suite.HYBRID, SOURCE),
    KeyRole.NODE_KEM: generate_kem(Suite.HYBRID, SOURCE),
    KeyRole.NODE_TLS: TlsSecret.generate(SOURCE),
    KeyRole.LOG: LogSecret.generate(0x01, SOURCE),
    KeyRole.WITNESS: LogSecret.generate(0x06, SOURCE),
}


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "n1" / "keys"


@pytest.fixture
def stored(folder) -> Path:
    """Give a directory with a signing and a TLS key."""
    made = create_keys(folder, PASSPHRASE, cost=LEAST)
    made.save(KeyRole.NODE_SIGNING, SECRETS[KeyRole.NODE_SIGNING], created_at=NOW)
    made.save(KeyRole.NODE_TLS, SECRETS[KeyRole.NODE_TLS], created_at=NOW)
    return folder


def the_key(folder: Path, role: str = "node-signing") -> Path:
    (path,) = folder.glob(f"{role}-*.key")
    return path


def unsafe(folder: Path) -> ComityError:
    return fails(lambda: load_keys(folder, PASSPHRASE), ErrorCode.KEY_FILE_UNSAFE)


# --- saving and loading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(SECRETS), ids=str)
def test_a_key_of_every_role_comes_back(folder, role):
    saved = create_keys(folder, PASSPHRASE, cost=LEAST).save(role, SECRETS[role], created_at=NOW)
    (held,) = load_keys(folder, PASSPHRASE).listed()
    assert held == saved == listed_key(role, SECRETS[role])


def test_a_ring_gives_what_signs_opens_and_speaks_tls(tmp_path):
    n1 = nation("XAR", suites=(Suite.HYBRID, Suite.CNSA)).node("n1")
    n1.save(tmp_path / "keys")
    ring = load_keys(tmp_path / "keys", PASSPHRASE)
    for suite in (Suite.HYBRID, Suite.CNSA):
        signer = ring.signer(KeyRole.NODE_SIGNING, suite)
        signature = signer.sign("statement", int(suite), b"body")
        message = pae("statement", int(suite), b"body")
        assert verify_signature(suite, signer.public, "statement", message, signature)
    assert set(ring.decapsulators()) == {one.fingerprint for one in n1.listed if one.role is KeyRole.NODE_KEM}
    assert ring.tls(KeyRole.NODE_TLS).pem() == n1.tls.pem()
    assert b"PRIVATE KEY" in ring.tls(KeyRole.NODE_TLS).pem()


def test_a_broker_gets_its_log_keys_back(tmp_path):
    hub = nation("XAR").broker("hub")
    hub.save(tmp_path / "keys")
    kept = load_keys(tmp_path / "keys", PASSPHRASE).log_keys()
    assert {one.public for one in kept} == {one.public for one in hub.log_keys}
    assert {len(one.sign(b"checkpoint")) for one in kept} == {64, 2420}


def test_files_are_of_the_owner_alone_and_named_after_role_and_fingerprint(stored):
    assert stored.stat().st_mode & 0o777 == 0o700
    for path in stored.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    listed = listed_key(KeyRole.NODE_SIGNING, SECRETS[KeyRole.NODE_SIGNING])
    assert the_key(stored).name == f"node-signing-{listed.fingerprint.hex()[:16]}.key" == file_name(listed)


def test_a_wide_umask_does_not_open_them(folder):
    before = os.umask(0)
    try:
        create_keys(folder, PASSPHRASE, cost=LEAST)
    finally:
        os.umask(before)
    assert (folder / "ring.json").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_no_private_byte_lies_in_the_files(stored):
    private = SECRETS[KeyRole.NODE_SIGNING].to_private_bytes()
    for path in stored.iterdir():
        data = path.read_bytes()
        assert private not in data
        assert private.hex().encode() not in data
        assert PASSPHRASE not in data


def test_keys_are_shown_without_a_passphrase(stored):
    shown = listed_keys(stored)
    assert {key.role for key, _ in shown} == {KeyRole.NODE_SIGNING, KeyRole.NODE_TLS}
    assert {made for _, made in shown} == {NOW}


def test_two_keys_of_one_role_need_the_newest_listing_to_tell_which_counts(folder):
    made = create_keys(folder, PASSPHRASE, cost=LEAST)
    old, new = generate_signing(1, Seeded("old")), generate_signing(1, Seeded("new"))
    for secret in (old, new):
        made.save(KeyRole.NODE_SIGNING, secret, created_at=NOW)
    ring = made.load()
    wanted = SoftSigner(new, KeyRole.NODE_SIGNING)
    assert ring.signer(KeyRole.NODE_SIGNING, among={wanted.fingerprint}).public == new.public
    assert len(ring.signers(KeyRole.NODE_SIGNING)) == 2
    assert "2 keys" in fails(lambda: ring.signer(KeyRole.NODE_SIGNING), ErrorCode.KEY_UNKNOWN).message
    fails(lambda: ring.signer(KeyRole.NODE_SIGNING, among=set()), ErrorCode.KEY_UNKNOWN)
    fails(lambda: ring.signer(KeyRole.NODE_SIGNING, Suite.CNSA), ErrorCode.KEY_UNKNOWN)
    fails(lambda: ring.tls(KeyRole.NODE_TLS), ErrorCode.KEY_UNKNOWN)


def test_a_key_of_another_kind_than_its_role_is_not_saved(folder):
    made = create_keys(folder, PASSPHRASE, cost=LEAST)
    for role, secret in (
        (KeyRole.NODE_KEM, SECRETS[KeyRole.ROOT]),
        (KeyRole.ROOT, SECRETS[KeyRole.NODE_KEM]),
        (KeyRole.LOG, SECRETS[KeyRole.NODE_TLS]),
        (KeyRole.NODE_TLS, SECRETS[KeyRole.LOG]),
    ):
        fails(lambda: made.save(role, secret, created_at=NOW), ErrorCode.MALFORMED, MalformedError)  # noqa: B023 - called at once
    assert made.load().listed() == ()


def test_a_key_is_destroyed_by_name(stored):
    made = unlock_keys(stored, PASSPHRASE)
    key = listed_key(KeyRole.NODE_TLS, SECRETS[KeyRole.NODE_TLS])
    made.destroy(key)
    assert [one.role for one in made.load().listed()] == [KeyRole.NODE_SIGNING]
    fails(lambda: made.destroy(key), ErrorCode.FILE_UNKNOWN, NotFoundError)


def test_what_shows_keys_shows_no_secret(stored):
    ring = load_keys(stored, PASSPHRASE)
    shown = [repr(ring), repr(SECRETS[KeyRole.NODE_TLS]), repr(SECRETS[KeyRole.LOG])]
    assert shown == ["KeyRing(node-signing, node-tls)", "TlsSecret()", "LogSecret(kind=0x01)"]


# --- passphrase and cost --------------------------------------------------------------------------------------------


def test_a_wrong_passphrase_says_so(stored):
    fails(lambda: load_keys(stored, b"wrong"), ErrorCode.PASSPHRASE_WRONG)


def test_an_empty_or_endless_passphrase_is_refused(folder):
    for passphrase in (b"", b"x" * 1025):
        with pytest.raises(UsageError):
            create_keys(folder, passphrase, cost=LEAST)


def test_a_new_passphrase_opens_the_same_keys_and_the_old_one_opens_nothing(stored):
    before = load_keys(stored, PASSPHRASE).listed()
    key_file = the_key(stored).read_bytes()
    change_passphrase(stored, PASSPHRASE, b"another", cost=LEAST)
    assert load_keys(stored, b"another").listed() == before
    assert the_key(stored).read_bytes() == key_file
    fails(lambda: load_keys(stored, PASSPHRASE), ErrorCode.PASSPHRASE_WRONG)
    fails(lambda: change_passphrase(stored, PASSPHRASE, b"x", cost=LEAST), ErrorCode.PASSPHRASE_WRONG)


def test_the_default_cost_is_what_a_guesser_must_pay(folder):
    assert dict.fromkeys(("create_keys", "change_passphrase"), files.DEFAULT_COST) == SHIPPED
    create_keys(folder, PASSPHRASE, cost=files.DEFAULT_COST)
    header = json.loads((folder / "ring.json").read_bytes())["header"]
    assert (header["memory_kib"], header["passes"], header["kdf"]) == (65_536, 3, "argon2id")
    assert load_keys(folder, PASSPHRASE).listed() == ()


def edited(path: Path, **header: object) -> None:
    value = canonical.load_object(path.read_bytes())
    path.write_bytes(canonical.dumps({**value, "header": {**value["header"], **header}}))


@pytest.mark.parametrize(
    "header",
    [
        {"memory_kib": 64 << 20},
        {"memory_kib": (1 << 20) + 1},
        {"memory_kib": 0},
        {"passes": 17},
        {"passes": 0},
        {"lanes": 17},
        {"lanes": 0},
        {"memory_kib": 8, "lanes": 2},
        {"kdf": "pbkdf2"},
        {"version": 2},
        {"salt": "00"},
        {"more": 1},
    ],
    ids=str,
)
def test_a_ring_that_asks_for_too_much_or_another_function_refuses_before_any_work(stored, header, monkeypatch):
    monkeypatch.setattr(files, "Argon2id", None)
    edited(stored / "ring.json", **header)
    unsafe(stored)


@pytest.mark.parametrize("cost", [(1 << 21, 1, 1), (8, 17, 1), (8, 1, 2), (8, 0, 1), (8, 1, 0)])
def test_a_cost_out_of_bounds_cannot_be_made(cost):
    with pytest.raises(MalformedError):
        Cost(*cost)


@pytest.mark.parametrize("header", [{"memory_kib": 16}, {"passes": 2}, {"salt": "00" * 16}], ids=str)
def test_a_changed_cost_or_salt_opens_nothing(stored, header):
    edited(stored / "ring.json", **header)
    fails(lambda: load_keys(stored, PASSPHRASE), ErrorCode.PASSPHRASE_WRONG)


# --- what others did to the files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601])
@pytest.mark.parametrize("name", ["ring.json", "key"])
def test_a_file_that_others_may_use_is_refused(stored, mode, name):
    path = the_key(stored) if name == "key" else stored / name
    path.chmod(mode)
    assert "chmod 600" in unsafe(stored).what_to_do


@pytest.mark.parametrize("name", ["ring.json", "key"])
def test_a_symbolic_link_is_refused(stored, tmp_path, name):
    path = the_key(stored) if name == "key" else stored / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in unsafe(stored).message


def test_a_directory_that_is_a_link_or_that_others_may_write_is_refused(stored, tmp_path):
    (tmp_path / "link").symlink_to(stored)
    unsafe(tmp_path / "link")
    stored.chmod(0o770)
    unsafe(stored)
    unsafe(stored / "ring.json")


def test_a_pipe_or_a_directory_in_place_of_a_key_is_refused(stored):
    path = the_key(stored)
    path.unlink()
    os.mkfifo(path, 0o600)
    unsafe(stored)
    path.unlink()
    path.mkdir(mode=0o700)
    unsafe(stored)


def test_a_file_of_another_user_is_refused(stored, monkeypatch):
    owner = os.geteuid()
    monkeypatch.setattr(private_files.os, "geteuid", lambda: owner + 1)
    if owner != 0:
        unsafe(stored)
        return
    for path in (stored, stored / "ring.json", the_key(stored)):
        os.chown(path, 12345, -1)
        assert "another user" in unsafe(stored).message
        os.chown(path, 0, -1)
    assert load_keys(stored, PASSPHRASE)


def test_an_endless_file_is_refused(stored):
    with open_private(stored) as private:
        size = (stored / "ring.json").stat().st_size
        assert len(private.read("ring.json", size)) == size
        fails(lambda: private.read("ring.json", size - 1), ErrorCode.KEY_FILE_UNSAFE)
    the_key(stored).write_bytes(b"x" * (files.FILE_LIMIT + 1))
    unsafe(stored)


@pytest.mark.parametrize("what", ["header", "nonce", "sealed"])
def test_a_changed_part_of_a_key_file_is_found(stored, what):
    path = the_key(stored)
    value = canonical.load_object(path.read_bytes())
    if what == "header":
        value["header"]["created_at"] += 1
    else:
        first = value[what][0]
        value[what] = ("1" if first == "0" else "0") + value[what][1:]
    path.write_bytes(canonical.dumps(value))
    assert str(path) in unsafe(stored).message


@pytest.mark.parametrize("changes", [{"role": "officer-signing"}, {"role": "king"}, {"suite": 2}, {"suite": 9}])
def test_a_key_cannot_be_given_another_role_or_suite(stored, changes):
    edited(the_key(stored), **changes)
    unsafe(stored)


def test_a_key_under_another_name_is_refused(stored):
    path = the_key(stored)
    other = path.with_name(path.name.replace("node-signing", "officer-signing"))
    path.rename(other)
    unsafe(stored)
    fails(lambda: listed_keys(stored), ErrorCode.KEY_FILE_UNSAFE)
    other.rename(path.with_name("node-signing-0000000000000000.key"))
    unsafe(stored)


def test_a_key_of_another_directory_is_refused(stored, tmp_path):
    create_keys(tmp_path / "mine", PASSPHRASE, cost=LEAST)
    (tmp_path / "mine" / the_key(stored).name).write_bytes(the_key(stored).read_bytes())
    (tmp_path / "mine" / the_key(stored).name).chmod(0o600)
    unsafe(tmp_path / "mine")


@pytest.mark.parametrize("data", [b"", b"{}", b"not json", b'{"header":{},"nonce":"","sealed":""}'])
@pytest.mark.parametrize("name", ["ring.json", "key"])
def test_a_damaged_file_is_named(stored, data, name):
    path = the_key(stored) if name == "key" else stored / name
    path.write_bytes(data)
    assert str(path) in unsafe(stored).message


@pytest.mark.parametrize("private", [b"", b"\x01" + bytes(31), b"\x01" + bytes(33), b"\x02" + bytes(32)])
def test_a_private_log_key_is_a_known_type_and_a_seed(private):
    fails(lambda: LogSecret(private), ErrorCode.MALFORMED, MalformedError)


def test_a_file_with_a_strange_name_or_too_many_files_are_refused(stored):
    (stored / "x.key").write_bytes(b"")
    unsafe(stored)
    (stored / "x.key").unlink()
    for number in range(files.KEYS_LIMIT):
        (stored / f"log-{number:016x}.key").write_bytes(b"")
    assert "more than" in unsafe(stored).message


def test_nothing_is_overwritten(stored):
    before = {path: path.read_bytes() for path in stored.iterdir()}
    made = unlock_keys(stored, PASSPHRASE)
    key = SECRETS[KeyRole.NODE_SIGNING]
    fails(lambda: made.save(KeyRole.NODE_SIGNING, key, created_at=1), ErrorCode.FILE_EXISTS, UsageError)
    fails(lambda: create_keys(stored, b"other", cost=LEAST), ErrorCode.FILE_EXISTS, UsageError)
    assert {path: path.read_bytes() for path in stored.iterdir()} == before


def test_what_a_crash_leaves_behind_is_not_read(stored):
    (stored / ".node-signing-0.key.0.tmp").write_bytes(b"half")
    assert len(load_keys(stored, PASSPHRASE).listed()) == 2


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with open_private(tmp_path) as private:
        monkeypatch.setattr(private_files.os, "write", full)
        fails(lambda: private.create("a.key", b"data"), ErrorCode.STORAGE_FULL, StorageError)
        fails(lambda: private.replace("a.key", b"data"), ErrorCode.STORAGE_FULL, StorageError)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_without_keys_says_so(tmp_path):
    fails(lambda: load_keys(tmp_path / "none", PASSPHRASE), ErrorCode.FILE_UNKNOWN, NotFoundError)
    fails(lambda: load_keys(tmp_path, PASSPHRASE), ErrorCode.FILE_UNKNOWN, NotFoundError)
