"""Audits in which exactly one check fails: notes, trees, entries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from builders_audit_files import put, write_entries
from builders_audit_log import ORIGIN, Audit
from builders_envelope import Stream
from comity.verify.notes import Checkpoint, policy_without_witnesses
from comity.verify.trees import EMPTY_ROOT, Frontier, leaf_hash, root_of
from comity_broker.auditlog import events
from comity_broker.auditlog.log import Log

Case = Callable[[Audit, Path], object]
CASES: list[tuple[str, Case]] = []


def case(code: str) -> Callable[[Case], Case]:
    """Enter an audit in which exactly the check `code` fails; it is given a good one and writes its bundle."""

    def enter(make: Case) -> Case:
        CASES.append((code, make))
        return make

    return enter


def drop(audit: Audit, *kinds: str) -> None:
    """Take the events of these kinds away."""
    audit.events = [event for event in audit.events if event.kind not in kinds]


# --- the note, the tree, the entries --------------------------------------------------------------------------------


@case("NOTE")
def a_checkpoint_whose_signature_was_touched(audit: Audit, folder: Path) -> None:
    path = audit.write(folder).agreement / "checkpoint"
    text, blank, lines = path.read_text().partition("\n\n")
    first, second, end = lines.split("\n")
    put(path, f"{text}{blank}{first[:-8]}{'A' if first[-8] != 'A' else 'B'}{first[-7:]}\n{second}\n{end}".encode())


@case("NOTE")
def a_checkpoint_signed_with_one_key_only(audit: Audit, folder: Path) -> None:
    path = audit.write(folder).agreement / "checkpoint"
    put(path, b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


@case("NOTE")
def a_log_in_the_folder_of_another(audit: Audit, folder: Path) -> None:
    where = audit.write(folder).agreement
    where.rename(where.with_name("ff" * 16))


@case("TREE")
def a_tile_that_is_not_the_one_of_the_entries(audit: Audit, folder: Path) -> None:
    (tile,) = (audit.write(folder).agreement / "tile/0").rglob("000.p/*")
    put(tile, bytes(32) + tile.read_bytes()[32:])


@case("TREE")
def an_entry_changed_where_neither_tile_nor_body_would_tell(audit: Audit, folder: Path) -> None:
    logs = audit.write(folder)
    (bundle,) = (logs.agreement / "tile/entries").rglob("000.p/*")
    (tile,) = (logs.agreement / "tile/0").rglob("000.p/*")
    tile.unlink()
    (logs.agreement / f"body/{len(audit.events) - 1}.XBO").unlink()
    data = bundle.read_bytes()
    put(bundle, data[:-1] + bytes([data[-1] ^ 1]))


@case("NOTE")
def a_log_of_a_kind_that_this_release_does_not_have(audit: Audit, folder: Path) -> None:
    origin = f"hub.xar.example/weather/{'00' * 16}"
    where = audit.write(folder).folder / "logs" / origin
    put(where / "policy", policy_without_witnesses(audit.log_keys.vkeys(origin)))
    put(where / "checkpoint", audit.log_keys.sign(Checkpoint(origin, 0, EMPTY_ROOT)))


@case("CONSISTENCY")
def a_log_that_was_rewritten_since_the_last_audit(audit: Audit, folder: Path) -> bytes:
    audit.write(folder)
    return audit.log_keys.sign(Checkpoint(ORIGIN, 3, bytes(32)))


@case("CONSISTENCY")
def a_log_that_shrank_since_the_last_audit(audit: Audit, folder: Path) -> bytes:
    audit.write(folder)
    return audit.log_keys.sign(Checkpoint(ORIGIN, 1000, bytes(32)))


@case("CONSISTENCY")
def a_log_of_the_last_audit_that_is_not_there(audit: Audit, folder: Path) -> bytes:
    audit.write(folder)
    other = ORIGIN.replace("00", "11")
    return audit.log_keys.sign(Checkpoint(other, 1, bytes(32)))


@case("ENTRY")
def an_entry_with_the_number_of_another(audit: Audit, folder: Path) -> None:
    place = 8 + 8 + len("comity/v1/audit-entry") + 8
    with_last_entry(audit, folder, lambda data: data[:place] + bytes(8) + data[place + 8 :])


@case("ENTRY")
def an_entry_of_a_kind_that_does_not_exist(audit: Audit, folder: Path) -> None:
    with_last_entry(audit, folder, lambda data: data.replace(b"AUDIT_FAILURE", b"AUDIT_SUCCESS"))


@case("ENTRY")
def an_entry_that_leaves_a_party_out(audit: Audit, folder: Path) -> None:
    with_last_entry(audit, folder, lambda data: b"\0\0\0\0\0\0\0\6" + data[8 : -3 - 8 - 8 - 48])


def with_last_entry(audit: Audit, folder: Path, change: Callable[[bytes], bytes]) -> None:
    """Put one more entry at the end, changed, under a checkpoint that covers it."""
    logs = audit.write(folder)
    audit.events.append(events.audit_failure(time=audit.tick(), reason="disk"))
    entries = list(Log(ORIGIN, ("XAR", "XBO")).append(Frontier(), audit.events, Stream(ORIGIN.encode())).entries)
    data = [*(entry.data for entry in entries[:-1]), change(entries[-1].data)]
    for path in (logs.agreement / "tile").rglob("*.p/*"):
        path.unlink()
    write_entries(logs.agreement, data)
    write_log_bodies(logs.agreement, entries[:-1])
    root = root_of(map(leaf_hash, data))
    put(logs.agreement / "checkpoint", audit.log_keys.sign(Checkpoint(ORIGIN, len(data), root)))


def write_log_bodies(folder: Path, entries: list) -> None:
    for entry in entries:
        for name, part in entry.parts.items():
            put(folder / f"body/{entry.log_index}.{name}", part.salt + part.body)
