"""Encrypted key files: one file a key, one passphrase a directory (design 01, "Identities and files"; design 03).

A directory holds `ring.json` and `<role>-<first 16 hex of the fingerprint>.key` for each key.

Rules in order:
1. argon2id turns the passphrase into a key that opens `ring.json`; inside is the ring key, 32 random bytes, which opens every
   key file. So a start costs one argon2id, and a new passphrase rewrites one file. Without `ring.json` the keys are lost: a
   backup takes the whole directory.
2. Everything is AES-256-GCM under random nonces, with the whole header as associated data: role, suite, public key and
   cost cannot be changed without notice.
3. The cost stands in the header and is bounded when read: no header can ask for more than 1 GiB, 16 passes and 16 lanes.
4. A key that opens must be the key its header and its file name say: its public half is computed again.
5. Files are 0600, never followed through a symbolic link, never overwritten (`comity.keys.private_files`).

`listed_keys` reads headers without a passphrase, to show them: nothing there is authenticated.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from comity import canonical
from comity.canonical import Json
from comity.errors import ErrorCode, KeyFault, MalformedError, UsageError
from comity.identity.fields import Fields
from comity.identity.listed import ListedKey
from comity.keys.private_files import PrivateDirectory, open_private, unsafe
from comity.keys.ring import HeldKey, KeyRing, Secret, listed_key, secret_from_bytes
from comity.pae import pae
from comity.suites import KeyRole, RandomBytes

RING_FILE: Final = "ring.json"
FILE_LIMIT: Final = 1 << 16
KEYS_LIMIT: Final = 256
PASSPHRASE_LIMIT: Final = 1024

_VERSION: Final = 1
_NONCE: Final = 12
_KEY: Final = 32
_SALT: Final = 16
_RESTORE: Final = "Restore it from a backup."


@dataclass(frozen=True, slots=True)
class Cost:
    """What one argon2id costs: memory in KiB, passes, lanes. Bounded, so that no file can exhaust a machine."""

    memory_kib: int = 65_536
    passes: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        if not (1 <= self.lanes <= 16 and 1 <= self.passes <= 16 and 8 * self.lanes <= self.memory_kib <= 1 << 20):
            raise MalformedError("argon2id: 1 to 16 lanes, 1 to 16 passes, 8 KiB a lane to 1 GiB")


DEFAULT_COST: Final = Cost()


class KeyFiles:
    """A directory of key files whose passphrase was right. Made by `create_keys` and `unlock_keys` only."""

    __slots__ = ("_directory", "_key", "_random_bytes")

    def __init__(self, directory: Path, key: bytes, random_bytes: RandomBytes) -> None:
        self._directory = directory
        self._key = AESGCM(key)
        self._random_bytes = random_bytes

    def save(self, role: KeyRole, secret: Secret, *, created_at: int) -> ListedKey:
        """Write a key file and give the key's public side; `created_at` in Unix ms.

        Raises UsageError FILE_EXISTS, MalformedError for a key of another kind than the role has, StorageError.
        """
        listed = listed_key(role, secret)
        header: dict[str, Json] = {
            "version": _VERSION,
            "role": role.value,
            "suite": int(listed.suite),
            "public": listed.public.hex(),
            "created_at": created_at,
        }
        nonce = self._random_bytes(_NONCE)
        sealed = self._key.encrypt(nonce, secret.to_private_bytes(), _bound("key-file", header))
        data = canonical.dumps({"header": header, "nonce": nonce.hex(), "sealed": sealed.hex()})
        with open_private(self._directory, random_bytes=self._random_bytes) as private:
            private.create(file_name(listed), data)
        return listed

    def load(self) -> KeyRing:
        """Open every key file; raises KeyFault KEY_FILE_UNSAFE naming the file that is wrong."""
        with open_private(self._directory) as private:
            return KeyRing(self._open(private, name) for name in _key_names(private, self._directory))

    def newer(self, ring: KeyRing) -> KeyRing:
        """Give the keys again where files came or went since `ring` was loaded (a rotation), else `ring`; raises as `load`."""
        with open_private(self._directory) as private:
            names = set(_key_names(private, self._directory))
        return ring if names == {file_name(key) for key in ring.listed()} else self.load()

    def destroy(self, key: ListedKey) -> None:
        """Remove a key's file; raises NotFoundError. What a disk keeps of it stays encrypted."""
        with open_private(self._directory) as private:
            private.remove(file_name(key))

    def _open(self, private: PrivateDirectory, name: str) -> HeldKey:
        path = self._directory / name
        try:
            header, nonce, sealed = _parts(private.read(name, FILE_LIMIT))
            listed, created_at = _read_header(header)
            opened = self._key.decrypt(nonce, sealed, _bound("key-file", header))
            secret = secret_from_bytes(listed.role, int(listed.suite), opened)
            same = listed_key(listed.role, secret) == listed and file_name(listed) == name
        except InvalidTag as error:
            raise unsafe(path, "was changed, or belongs to another directory's ring", _RESTORE) from error
        except MalformedError as error:
            raise unsafe(path, f"is damaged: {error.message}", _RESTORE) from error
        if not same:
            raise unsafe(path, "holds another key than it says", _RESTORE)
        return HeldKey(listed, secret, created_at)


def create_keys(
    directory: Path, passphrase: bytes, *, cost: Cost = DEFAULT_COST, random_bytes: RandomBytes = os.urandom
) -> KeyFiles:
    """Make a directory of key files (0700) with an empty ring; raises UsageError FILE_EXISTS when it has one."""
    ring_key = random_bytes(_KEY)
    data = _sealed_ring(ring_key, passphrase, cost, random_bytes)
    with open_private(directory, random_bytes=random_bytes, create=True) as private:
        private.create(RING_FILE, data)
    return KeyFiles(directory, ring_key, random_bytes)


def unlock_keys(directory: Path, passphrase: bytes, *, random_bytes: RandomBytes = os.urandom) -> KeyFiles:
    """Open a directory of key files; raises KeyFault PASSPHRASE_WRONG or KEY_FILE_UNSAFE, NotFoundError."""
    with open_private(directory) as private:
        return KeyFiles(directory, _opened_ring(private, directory, passphrase), random_bytes)


def load_keys(directory: Path, passphrase: bytes) -> KeyRing:
    """Give all keys of a directory; raises as `unlock_keys` and `KeyFiles.load` do."""
    return unlock_keys(directory, passphrase).load()


def change_passphrase(
    directory: Path,
    old: bytes,
    new: bytes,
    *,
    cost: Cost = DEFAULT_COST,
    random_bytes: RandomBytes = os.urandom,
) -> None:
    """Seal the ring key anew; a stolen copy of the old files still opens with the old passphrase."""
    with open_private(directory, random_bytes=random_bytes) as private:
        ring_key = _opened_ring(private, directory, old)
        private.replace(RING_FILE, _sealed_ring(ring_key, new, cost, random_bytes))


def listed_keys(directory: Path) -> tuple[tuple[ListedKey, int], ...]:
    """Give key and time of making (Unix ms) of every file, by its header alone; raises KeyFault KEY_FILE_UNSAFE."""
    found: list[tuple[ListedKey, int]] = []
    with open_private(directory) as private:
        for name in _key_names(private, directory):
            try:
                header, _, _ = _parts(private.read(name, FILE_LIMIT))
                listed, created_at = _read_header(header)
            except MalformedError as error:
                raise unsafe(directory / name, f"is damaged: {error.message}", _RESTORE) from error
            if file_name(listed) != name:
                raise unsafe(directory / name, "holds another key than it says", _RESTORE)
            found.append((listed, created_at))
    return tuple(found)


def file_name(key: ListedKey) -> str:
    """Give the name of a key's file."""
    return f"{key.role.value}-{key.fingerprint.hex()[:16]}.key"


# --- the ring -------------------------------------------------------------------------------------------------------


def _sealed_ring(ring_key: bytes, passphrase: bytes, cost: Cost, random_bytes: RandomBytes) -> bytes:
    salt = random_bytes(_SALT)
    header: dict[str, Json] = {
        "version": _VERSION,
        "kdf": "argon2id",
        "memory_kib": cost.memory_kib,
        "passes": cost.passes,
        "lanes": cost.lanes,
        "salt": salt.hex(),
    }
    nonce = random_bytes(_NONCE)
    sealed = AESGCM(_derive(passphrase, salt, cost)).encrypt(nonce, ring_key, _bound("key-ring", header))
    return canonical.dumps({"header": header, "nonce": nonce.hex(), "sealed": sealed.hex()})


def _opened_ring(private: PrivateDirectory, directory: Path, passphrase: bytes) -> bytes:
    path = directory / RING_FILE
    try:
        header, nonce, sealed = _parts(private.read(RING_FILE, FILE_LIMIT))
        fields = Fields(header, "ring", ("version", "kdf", "memory_kib", "passes", "lanes", "salt"))
        fields.number("version", least=_VERSION, most=_VERSION)
        fields.text("kdf", _argon2id)
        cost = Cost(fields.number("memory_kib"), fields.number("passes"), fields.number("lanes"))
        salt = fields.data("salt", size=_SALT)
    except MalformedError as error:
        raise unsafe(path, f"is damaged: {error.message}", _RESTORE) from error
    try:
        return AESGCM(_derive(passphrase, salt, cost)).decrypt(nonce, sealed, _bound("key-ring", header))
    except InvalidTag as error:
        raise KeyFault(
            f"the passphrase does not open {path}",
            what_to_do="Try again; if it is right, the file was changed: restore it from a backup.",
            code=ErrorCode.PASSPHRASE_WRONG,
        ) from error


def _derive(passphrase: bytes, salt: bytes, cost: Cost) -> bytes:
    if not 0 < len(passphrase) <= PASSPHRASE_LIMIT:
        raise UsageError(f"a passphrase has 1 to {PASSPHRASE_LIMIT} bytes")
    function = Argon2id(salt=salt, length=_KEY, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib)
    return function.derive(passphrase)


# --- reading --------------------------------------------------------------------------------------------------------


def _parts(data: bytes) -> tuple[Json, bytes, bytes]:
    value = canonical.load_object(data, limit=FILE_LIMIT)
    fields = Fields(value, "key file", ("header", "nonce", "sealed"))
    return value["header"], fields.data("nonce", size=_NONCE), fields.data("sealed", limit=FILE_LIMIT)


def _read_header(header: Json) -> tuple[ListedKey, int]:
    fields = Fields(header, "header", ("version", "role", "suite", "public", "created_at"))
    fields.number("version", least=_VERSION, most=_VERSION)
    role = KeyRole(fields.text("role", _role))
    return ListedKey(role, fields.number("suite", most=0xFFFF), fields.data("public")), fields.number("created_at")


def _key_names(private: PrivateDirectory, directory: Path) -> list[str]:
    names = [name for name in private.names() if name.endswith(".key") and not name.startswith(".")]
    if len(names) > KEYS_LIMIT:
        raise unsafe(directory, f"holds more than {KEYS_LIMIT} key files", "Move the old ones away.")
    return names


def _bound(purpose: str, header: Mapping[str, Json] | Json) -> bytes:
    return pae(purpose, canonical.dumps(header))


def _argon2id(text: str) -> str:
    if text != "argon2id":
        raise MalformedError("not argon2id")
    return text


def _role(text: str) -> str:
    if text not in list(KeyRole):
        raise MalformedError("not a role of a key")
    return text
