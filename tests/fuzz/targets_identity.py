"""Keys and people: statements and their bodies, cards, requests and what is issued for them, certificates, key files."""

from __future__ import annotations

import contextlib
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from builders_acts import FIELDS as ACT_FIELDS
from builders_certificates import crafted_leaf, uri
from builders_identity import NOW, PASSPHRASE, Held, Nation, directory_of, nation
from cheap_keys import LEAST
from comity import canonical, statement
from comity.errors import ComityError, KeyFault, MalformedError
from comity.identity.bodies import read_body
from comity.identity.cardfile import decode_card_file, encode_card_file
from comity.identity.certificates import read_authority, read_leaf
from comity.identity.directory import KeyDirectory
from comity.keys.files import RING_FILE, listed_keys, unlock_keys
from comity.keys.tls import certificate_request, from_pem, spki_of_request, to_pem
from comity.node.requests import (
    Issued,
    Request,
    decode_issued,
    decode_request,
    decode_statements,
    encode_issued,
    encode_request,
    encode_statements,
)
from comity.statement import Statement, StatementSignature
from comity.verify.keys import KeyLog
from comity.verify.keys import Statement as VerifiedStatement
from comity.verify.records import FormError
from comity.verify.table import read_json
from comity_broker.acts import read_act
from comity_broker.ledger import read_step
from comity_policy.acts import Act, ActKind
from comity_policy.facts import Role
from comity_policy.steps import LogTerms, Step, StepKind
from fuzz.target import Target, both_or_neither, canonical_form, choosing, chosen, same

_SIGNED = (StatementSignature(bytes(48), b"\x01"),)


@cache
def _nation() -> tuple[Nation, Held, Held, Held]:
    one = nation("XAR")
    accredited = one.attestation()
    return (
        one,
        one.node("n1", offices=("analysis",), accreditation=accredited),
        one.officer("lia", [Role.LIAISON, Role.PLENIPOTENTIARY], clearance=accredited),
        one.broker("hub"),
    )


def _statements() -> list[Statement]:
    one, node, officer, broker = _nation()
    held = [node.statement, officer.statement, broker.statement, one.revocation(bytes(48)), one.card_statement]
    return [*held, one.directory_statement, one.listing(officer, roles=()), one.capabilities(node)]


# --- statements -----------------------------------------------------------------------------------------------------


def any_json(data: bytes) -> object:
    """Read canonical JSON as SDK and broker do, and as the verifier does: of the same bytes the same value."""
    made = both_or_neither(data, (canonical.loads, (MalformedError,)), (read_json, (FormError,)))
    same(canonical.dumps(made), data)
    same(read_json(data), made)
    return made


def signed(data: bytes) -> object:
    """Read a statement's file, fold it into a directory, and read it as the verifier does."""
    data = canonical_form(data)
    made = statement.decode(data)
    same(statement.encode(made), data)
    VerifiedStatement.__init__(object.__new__(VerifiedStatement), json.loads(data)) if _declared(made) else None
    directory = directory_of(_nation()[0])
    with contextlib.suppress(ComityError):
        directory.apply(made, log_index=directory.size, at_ms=NOW)
    return made


def folded(data: bytes) -> object:
    """Fold what a hostile party signed with its own keys: what the directory takes, the verifier takes."""
    one, node, *_ = _nation()
    signers = ((one.directory,), (one.root,), (one.directory, one.root), (node.signer,))[data[0] % 4 if data else 0]
    body = canonical_form(data[1:])
    Statement(body, _SIGNED)
    made = statement.sign_statement(json.loads(body), *signers)
    directory, log = _folds()
    index = directory.size
    directory.apply(made, log_index=index, at_ms=NOW)
    _folds.cache_clear()
    log.apply(index, NOW, VerifiedStatement(statement.to_json(made)))
    return directory.size


@cache
def _folds() -> tuple[KeyDirectory, KeyLog]:
    one = _nation()[0]
    directory, log = directory_of(one), KeyLog()
    log.trust(VerifiedStatement(statement.to_json(one.card_statement)))
    for index, said in enumerate(one.statements, 1):
        log.apply(index, NOW, VerifiedStatement(statement.to_json(said)))
    return directory, log


def _foldable() -> list[bytes]:
    one, node, officer, broker = _nation()
    said = [
        *(choosing(0, one.listing(node, sequence=9).body, one.listing(broker, sequence=9).body)),
        *(choosing(2, one.listing(officer, sequence=9).body)),
        *(choosing(0, one.listing(officer, sequence=9, roles=(Role.LIAISON,)).body)),
        *(choosing(1, one.directory_key(sequence=9).body)),
        *(choosing(0, one.revocation(node.signer.fingerprint).body)),
        *(choosing(3, one.revocation(node.signer.fingerprint).body)),
        *(choosing(3, one.capabilities(node).body, one.capabilities(node, obligations=["use"], sequence=2).body)),
    ]
    _nation.cache_clear()  # a listing is remembered as the newest: the next one begins afresh
    return said


def _declared(made: Statement) -> bool:
    """Say whether SDK and verifier know the body: the verifier reads those about keys, and steps and acts by their entry."""
    try:
        read_body(made)
    except MalformedError:
        return False
    return True


def body(data: bytes) -> object:
    """Read a body that somebody signed: about keys, as a step, and as an act; what it says is what it was read from."""
    made = Statement(canonical_form(data), _SIGNED)
    readers = {"keys": read_body, "step": read_step, "act": read_act}
    found = []
    for read in readers.values():
        try:
            found.append(read(made))
        except MalformedError:
            continue
    for one in found:
        if isinstance(one, Step | Act):
            same(canonical.dumps(one.to_body()), made.body)
    if not found:
        raise MalformedError("nobody's body")
    return found


def _bodies() -> list[bytes]:
    said: dict[str, Any] = {
        "agreement_id": "XAR-XBO-1",
        "agreement_digest": "ab" * 48,
        "party": "XAR",
        "officer": "XAR/lia",
    }
    terms = LogTerms("hub.xar.example/agreement/XAR-XBO-1/" + "00" * 16, ("a+b+c", "d+e+f"), 1, "ab" * 32)
    fields: dict[StepKind, dict[str, Any]] = {
        StepKind.LOG_SIGN: {"log": terms, "role": Role.PLENIPOTENTIARY},
        StepKind.OBJECT: {"clauses": ("4.1",), "reason": "Too wide."},
        StepKind.NOTIFY_COMPLETION: {"instrument": "Law 7", "authority": "Parliament", "date": "2027-01-31"},
        StepKind.DISPUTE_OPEN: {"subject": "entry", "subject_id": "a/7", "deadline": "2027-02-28", "reason": "No."},
        StepKind.CAVEAT_ADD: {"caveat": "C1", "caveat_digest": "cd" * 48, "partner_text": "A limitation."},
    }
    steps = [Step(kind=kind, **{"role": Role.LIAISON, **said, **more}) for kind, more in fields.items()]
    acts = [Act(kind=kind, made_at=NOW, role=min(kind.roles), **said, **ACT_FIELDS.get(kind, {})) for kind in ActKind]
    return [
        *(one.body for one in _statements()),
        *(canonical.dumps(one.to_body()) for one in (*steps, *acts)),
    ]


# --- files that people carry ------------------------------------------------------------------------------------------


def card(data: bytes) -> object:
    data = canonical_form(data)
    made = decode_card_file(data)
    same(encode_card_file(made), data)
    assert len(made.words) == 16
    same(made.joined(made), made)
    return made


def _request(data: bytes) -> object:
    made = decode_request(canonical_form(data))
    same(decode_request(encode_request(made)), decode_request(encode_request(decode_request(encode_request(made)))))
    return made


def _issued(data: bytes) -> object:
    data = canonical_form(data)
    made = decode_issued(data)
    same(encode_issued(made), data)
    with contextlib.suppress(MalformedError, KeyFault):
        made.listing(NOW)
        from_pem(made.certificate_pem)
    return made


def _taken_away(data: bytes) -> object:
    data = canonical_form(data)
    made = decode_statements(data, _nation()[2].identity)
    same(encode_statements(made), data)
    return made


def _carried() -> list[bytes]:
    one, node, officer, broker = _nation()
    requests = [
        encode_request(
            Request(
                held.identity,
                tuple(held.listed),
                certificate_request(held.tls, held.identity, one.trust_domain),
                region="xar",
                offices=("analysis",),
            )
        )
        for held in (node, broker)
    ]
    issued = [encode_issued(Issued(held.statement, held.certificate, one.authority.der)) for held in (node, officer)]
    return [
        *choosing(0, *requests),
        *choosing(1, *issued),
        *choosing(2, encode_statements([one.revocation(bytes(48)), one.listing(officer, roles=())])),
    ]


# --- certificates -----------------------------------------------------------------------------------------------------


def _certificates() -> list[bytes]:
    one, node, _, broker = _nation()
    several = [uri("spiffe://xar.example/node/n1"), uri("spiffe://xar.example/node/n2")]
    return [
        *choosing(0, one.authority.der),
        *choosing(1, node.certificate, broker.certificate, crafted_leaf(one, several), crafted_leaf(one, [])),
        *choosing(2, certificate_request(node.tls, node.identity, one.trust_domain)),
        *choosing(3, to_pem([node.certificate]), to_pem([node.certificate, broker.certificate])),
    ]


# --- key files --------------------------------------------------------------------------------------------------------


def key_file(data: bytes) -> object:
    """Read a key file's header, and open a ring; what a ring may cost is bounded by a header that is read before."""
    folder, name, _ = _keys()
    if data[:1] == b"r":
        _write(folder / RING_FILE, data[1:])
        cost = _cost(data[1:])
        # Its bound, 1 GiB and 16 passes, is the format's; here only what is cheap is derived.
        return unlock_keys(folder, PASSPHRASE).load() if cost <= LEAST.memory_kib * 4 else None
    _write(folder / name, data[1:])
    return listed_keys(folder)


def _cost(data: bytes) -> int:
    try:
        header = json.loads(data)["header"]
        return int(header["memory_kib"]) * int(header["passes"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)


@cache
def _keys() -> tuple[Path, str, tempfile.TemporaryDirectory[str]]:
    kept = tempfile.TemporaryDirectory()
    folder = Path(kept.name) / "keys"
    _nation()[1].save(folder)
    names = sorted(path.name for path in folder.glob("*.key"))
    for name in names[1:]:
        (folder / name).unlink()
    return folder, names[0], kept


def _key_files() -> list[bytes]:
    folder, name, _ = _keys()
    found = [b"r" + (folder / RING_FILE).read_bytes(), b"k" + (folder / name).read_bytes()]
    return [*found, *(one[:1] + canonical.dumps({**json.loads(one[1:]), "nonce": "00" * 12}) for one in found)]


TARGETS = (
    Target(
        "canonical-json",
        "canonical JSON; SDK and verifier",
        any_json,
        lambda: [
            *(one.body for one in _statements()),
            b'{"a":[1,-2,null,true,"\\u0007\xc3\xa9"],"b":{}}',
            b"9007199254740991",
        ],
    ),
    Target(
        "statement", "statements; SDK, directory and verifier", signed, lambda: map(statement.encode, _statements())
    ),
    Target("body", "bodies about keys, of steps and of acts", body, _bodies, inputs=600),
    Target("folded", "statements that a hostile party signed; directory and verifier", folded, _foldable),
    Target("card", "party cards", card, lambda: [encode_card_file(_nation()[0].card_file)], inputs=150),
    Target(
        "carried",
        "requests, what was issued, statements that take away",
        chosen({"request": _request, "issued": _issued, "statements": _taken_away}),
        _carried,
    ),
    Target(
        "certificate",
        "authorities, leaves, certificate requests, PEM",
        chosen({"authority": read_authority, "leaf": read_leaf, "request": spki_of_request, "pem": from_pem}),
        _certificates,
        inputs=500,
    ),
    Target("key-file", "key files and rings", key_file, _key_files, inputs=200),
)
