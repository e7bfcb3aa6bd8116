"""Logs: notes, proofs, tiles, entries and their bodies as SDK and verifier read them, decision records, whole bundles."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cache
from hashlib import sha384
from typing import Any

from builders_audit import good_audit
from builders_audit_log import AGREEMENT, KEYS_ORIGIN, ORIGIN, Audit
from builders_hostile import Served
from comity import canonical
from comity.envelope import tree
from comity.envelope.receipts import slot_record_leaf
from comity.errors import ComityError, MalformedError
from comity.identity.directory import KeyDirectory
from comity.node.claims import Claim, Said, contradiction, decode_claim, encode_claim, over
from comity.node.decided import recipients
from comity.node.decision_records import RecordReader
from comity.node.directory import KeyLog
from comity.node.duties import Facts
from comity.node.entries import MirroredEntry, Part, _items, check_entry
from comity.node.logs import opened
from comity.pae import pae
from comity.verify import table
from comity.verify.crypto import split_pae
from comity.verify.notes import (
    NoteError,
    parse_checkpoint,
    parse_note,
    parse_policy,
    parse_vkey,
    policy_without_witnesses,
    verify_checkpoint,
)
from comity.verify.records import FormError
from comity.verify.trees import (
    Frontier,
    TreeError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    read_bundle,
    root_from_inclusion,
    subtrees_of,
    verify_consistency,
)
from comity_broker.auditlog.kinds import LogKind
from comity_broker.auditlog.kinds import read_body as broker_read_body
from fuzz.target import Target, both_or_neither, canonical_form, choosing, chosen, joined, same, split

PARTIES = ("XAR", "XBO")


@cache
def _audit() -> Audit:
    return good_audit()


@cache
def _served() -> tuple[Served, Served]:
    audit = _audit()
    return (
        Served.of(ORIGIN, audit.events, audit.log_keys, audit.records, PARTIES),
        Served.of(KEYS_ORIGIN, audit.key_events, audit.log_keys),
    )


# --- notes and trees --------------------------------------------------------------------------------------------------


def _note(data: bytes) -> object:
    text, signatures = parse_note(data)
    with contextlib.suppress(NoteError):
        same(parse_checkpoint(text).text, text)
    with contextlib.suppress(NoteError):
        verify_checkpoint(data, parse_policy(policy_without_witnesses(_audit().log_keys.vkeys(ORIGIN))))
    return text, signatures


def _policy(data: bytes) -> object:
    made = parse_policy(data)
    same(parse_policy(policy_without_witnesses(map(str, made.logs))), made)
    return made


def _vkey(data: bytes) -> object:
    text = data.decode("utf-8", "surrogateescape")
    made = parse_vkey(text)
    same(str(made), text)
    return made


def _notes() -> list[bytes]:
    log, keys = _served()
    vkeys = _audit().log_keys.vkeys(ORIGIN)
    return [
        *choosing(0, log.note(), keys.note(), log.note(1)),
        *choosing(1, policy_without_witnesses(vkeys), b"# ours\n" + policy_without_witnesses(vkeys)),
        *choosing(2, *(one.encode() for one in vkeys)),
    ]


def _proof(data: bytes) -> object:
    """Verify a path and a consistency proof whose numbers are any: what is wrong is a TreeError, nothing else."""
    head, hashes = data[:32], [data[place : place + 32] for place in range(32, len(data), 32)]
    index, size, old, new = (int.from_bytes(head[place : place + 8], "big") for place in (0, 8, 16, 24))
    found = []
    with contextlib.suppress(TreeError):
        found.append(root_from_inclusion(bytes(32), index, size, hashes))
    verify_consistency(old, hashes[0] if hashes else b"", new, hashes[1] if len(hashes) > 1 else b"", hashes[2:])
    return found


def _frontier(data: bytes) -> object:
    made = Frontier.decode(data)
    same(made.encode(), data)
    assert len(made.root) == 32
    return made


def _bundle(data: bytes) -> object:
    entries = read_bundle(data[1:], data[0] if data else 0)
    same(b"".join(len(one).to_bytes(2, "big") + one for one in entries), data[1:])
    return entries


def _pae(data: bytes) -> object:
    mine = _items(data)
    try:
        theirs = split_pae(data)
    except ValueError:
        theirs = None
    same(mine, theirs)
    if mine is None:
        raise TreeError("refused by both")
    return mine


def _trees() -> list[bytes]:
    leaves = [leaf_hash(bytes([number])) for number in range(13)]
    subtree, number = subtrees_of(leaves), (3).to_bytes(8, "big")
    roots = [Frontier().append(leaves[:size])[0].root for size in (3, 13)]
    whole = (13).to_bytes(8, "big")
    log, _ = _served()
    entries = [one.data for one in log.entries[:5]]
    return [
        *choosing(0, b"".join((number, whole, number, whole, *roots, *consistency_proof(3, 13, subtree)))),
        *choosing(0, b"".join((number, whole, bytes(16), *inclusion_proof(3, 13, subtree)))),
        *choosing(1, Frontier().append(leaves)[0].encode(), Frontier().encode()),
        *choosing(2, b"\x05" + b"".join(len(one).to_bytes(2, "big") + one for one in entries)),
        *choosing(3, *entries, pae("x", b"a", "b", 7)),
    ]


# --- bodies -----------------------------------------------------------------------------------------------------------

_ROWS = tuple((log, kind) for log in LogKind for kind in sorted(table.TABLE[log.value]))


def body(data: bytes) -> object:
    """Read the body of an entry as the broker writes it and as the verifier reads it; the same is taken, as the same."""
    if len(data) < 2:
        raise MalformedError("no body")
    log, kind = _ROWS[data[0] % len(_ROWS)]
    part = (table.SHARED, "XAR")[data[1] % 2]
    said = canonical_form(data[2:])
    if said == b"{}":
        raise MalformedError("written as no bytes at all; the verifier takes it for the same")
    made = both_or_neither(
        said,
        (lambda one: broker_read_body(log, kind, part, one), (MalformedError,)),
        (lambda one: table.read_body(log.value, kind, part, one), (FormError,)),
    )
    same(table.read_body(log.value, kind, part, said), made)
    return made


def _row_of(log: LogKind, kind: str) -> int:
    return _ROWS.index((log, kind))


def _bodies() -> list[bytes]:
    found = []
    for log, served in zip((LogKind.AGREEMENT, LogKind.KEYS), _served(), strict=True):
        for entry, kind in zip(served.entries, _kinds(served), strict=True):
            parts = [one for one in (table.SHARED, "XAR") if one in entry.parts and entry.parts[one].body]
            found += [
                bytes((_row_of(log, kind), parts_index)) + entry.parts[name].body
                for parts_index, name in enumerate((table.SHARED, "XAR"))
                if name in parts
            ]
    return found


def _kinds(served: Served) -> Iterator[str]:
    for entry in served.entries:
        yield split_pae(entry.data)[2].decode()


# --- entries of a hostile broker --------------------------------------------------------------------------------------


def entry(data: bytes) -> object:
    """Take an entry of the mirror's log that commits to whatever bodies: everything that reads entries refuses it by name."""
    if len(data) < 2:
        raise MalformedError("no entry")
    kinds = sorted(table.TABLE["agreement"])
    kind, log_index = kinds[data[0] % len(kinds)], data[1] % 4
    shared, own, records = split(data[2:], 3)
    kept = tuple(_records(records))
    parts = {
        table.SHARED: Part(bytes(32), _fitting(canonical_form(shared), kept), kept),
        "XBO": Part(bytes(32), canonical_form(own)),
    }
    committed = {
        name: sha384(pae("audit-body", part.salt, ORIGIN, log_index, name, part.body)).digest()
        for name, part in parts.items()
    }
    named = (committed[table.SHARED], "XAR", bytes(48), "XBO", committed["XBO"])
    made = check_entry(
        ORIGIN, log_index, pae("audit-entry", log_index, kind, *named), parts, parties=PARTIES, own="XBO"
    )
    return [_refusing(read, made) for read in (_opened, _compared, _decisions, _shown, _owed)]


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(data):
        start = position + 1
        position = start + data[position]
        yield bytes(32), data[start:position]


def _fitting(shared: bytes, records: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Give a shared body that names the records which came, where it names any."""
    try:
        said = canonical.load_object(shared)
    except MalformedError:
        return shared
    if "records" not in said or not records:
        return shared
    root = tree.root([slot_record_leaf(salt, record) for salt, record in records])
    return canonical.dumps({**said, "records": root.hex(), "slots": len(records)})


def _refusing(read: Any, made: MirroredEntry) -> object:
    try:
        return read(made)
    except ComityError:
        return None


def _opened(made: MirroredEntry) -> object:
    return opened(made)


def _compared(made: MirroredEntry) -> object:
    segment_id = _audit().sent[0].admission.segment_id
    found = []
    for said in Said:
        for named in (segment_id, b""):
            claim = Claim(AGREEMENT, made.log_index, said, named, (0, 1), over(_audit().sent[0].leaves[:2]), 0)
            same(decode_claim(AGREEMENT, encode_claim(claim)), claim)
            found.append(contradiction(claim, made, party="XBO", node="m1"))
    return found


def _decisions(made: MirroredEntry) -> object:
    reader = RecordReader()
    under = reader.under(made.shared())
    own = made.own("XBO")
    return [reader.decision(under, one, lambda _: None, own["attested"]) for one in reader.decisions(own)]


def _shown(made: MirroredEntry) -> object:
    return recipients(made, "XBO", 0)


def _owed(made: MirroredEntry) -> object:
    facts = Facts(_directory(), AGREEMENT)
    for one in (_submitted(), made):
        facts.take(one, "XBO")
    return facts.handovers, facts.answers


@cache
def _directory() -> KeyDirectory:
    audit = _audit()
    log = KeyLog.trusting({one.party: one.card for one in (audit.xar, audit.xbo)})
    served = _served()[1]
    for index, one in enumerate(served.entries):
        parts = {table.SHARED: Part(one.parts[table.SHARED].salt, one.parts[table.SHARED].body)}
        log.take(check_entry(KEYS_ORIGIN, index, one.data, parts, parties=(), own="XBO"))
    return log.directory


@cache
def _submitted() -> MirroredEntry:
    return next(one for one in _mirrored() if one.kind == "SUBMIT_ACCEPTED")


def _mirrored() -> list[MirroredEntry]:
    served = _served()[0]
    found = []
    for index, one in enumerate(served.entries):
        tree = served.records.get(index)
        records = () if tree is None else tuple(zip(tree.salts, tree.records, strict=True))
        parts = {
            name: Part(one.parts[name].salt, one.parts[name].body, records if name == table.SHARED else ())
            for name in (table.SHARED, "XBO")
        }
        found.append(check_entry(ORIGIN, index, one.data, parts, parties=PARTIES, own="XBO"))
    return found


def _entries() -> list[bytes]:
    kinds = sorted(table.TABLE["agreement"])
    found = []
    for one in _mirrored():
        shared, own = one.parts[table.SHARED].body, one.parts["XBO"].body
        kept = b"".join(bytes([len(record)]) + record for _, record in one.parts[table.SHARED].records)
        if len(shared) < 1 << 16 and len(own) < 1 << 16:
            found.append(bytes((kinds.index(one.kind), min(one.log_index, 3))) + joined(shared, own, kept))
    return found


TARGETS = (
    Target(
        "note",
        "checkpoints, policies, verifier keys",
        chosen({"note": _note, "policy": _policy, "vkey": _vkey}),
        _notes,
        (NoteError,),
        inputs=500,
    ),
    Target(
        "tree",
        "proofs, frontiers, entry bundles, PAEs",
        chosen({"proof": _proof, "frontier": _frontier, "bundle": _bundle, "pae": _pae}),
        _trees,
        (TreeError,),
        inputs=500,
    ),
    Target("log-body", "bodies of log entries; broker and verifier", body, _bodies, inputs=500),
    Target("log-entry", "entries that a hostile broker logged, as a mirror reads them", entry, _entries, inputs=500),
)
