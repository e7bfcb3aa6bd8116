"""Audit bundles as the verifier meets them: with one file changed, and as a hostile broker would have logged and signed them."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from builders_audit import good_audit
from builders_audit_log import ORIGIN, Audit
from comity.verify import table
from comity.verify.checks import Verification
from comity_broker.auditlog.bodies import Event
from fuzz.target import Target, canonical_form

PARTIES = ("XAR", "XBO")


@cache
def _audit() -> Audit:
    return good_audit()


def bundle(data: bytes) -> object:
    """Verify a bundle of which one file says something else; whatever it says, the verifier gives its verdict."""
    folder, names, originals, _ = _written()
    path = folder / names[(data[0] if data else 0) % len(names)]
    path.write_bytes(data[1:])
    try:
        done = Verification(folder)
        return done.verdict, done.findings, dict(done.counts)
    finally:
        path.write_bytes(originals[path])


@cache
def _written() -> tuple[Path, list[Path], dict[Path, bytes], tempfile.TemporaryDirectory[str]]:
    kept = tempfile.TemporaryDirectory()
    folder = Path(kept.name)
    _audit().write(folder)
    for tile in folder.glob("logs/**/tile/[0-9]"):
        shutil.rmtree(tile)
    submitted = _audit().find("SUBMIT_ACCEPTED")
    of_log = ("policy", "checkpoint", "body/0.shared", f"body/{submitted}.shared", f"body/{submitted}.XBO")
    names = [Path("logs") / ORIGIN / one for one in of_log]
    for pattern in (
        "logs/**/tile/entries/**/*",
        "logs/**/record/*/0",
        "agreements/*",
        "parties/XAR.json",
        "receipts/*",
    ):
        names += [path.relative_to(folder) for path in sorted(folder.glob(pattern)) if path.is_file()][:1]
    names += [path.relative_to(folder) for path in sorted(folder.glob("envelopes/*"))][:1]
    return folder, names, {folder / name: (folder / name).read_bytes() for name in names}, kept


def _bundles() -> list[bytes]:
    folder, names, originals, _ = _written()
    return [bytes([number]) + originals[folder / name] for number, name in enumerate(names)]


def hostile_bundle(data: bytes) -> object:
    """Verify a bundle whose log holds any bodies, committed to and signed: a hostile broker's, from end to end."""
    audit = _audit()
    place = data[0] % len(audit.events) if data else 0
    part = (table.SHARED, *PARTIES)[data[1] % 3] if len(data) > 1 else table.SHARED
    event, said = audit.events[place], canonical_form(data[2:])
    changed = replace(event, shared=said) if part == table.SHARED else replace(event, own={**event.own, part: said})
    changed_audit = replace(audit, events=[*audit.events[:place], changed, *audit.events[place + 1 :]])
    with tempfile.TemporaryDirectory() as kept:
        changed_audit.write(Path(kept))
        done = Verification(Path(kept))
    return done.verdict, done.findings, dict(done.counts)


def _hostile_bundles() -> list[bytes]:
    found = {}
    for place, event in enumerate(_audit().events):
        for number, part in enumerate((table.SHARED, *PARTIES)):
            if said := _body_of(event, part):
                found.setdefault((event.kind, part == table.SHARED), bytes((place, number)) + said)
    return list(found.values())


def _body_of(event: Event, part: str) -> bytes:
    return event.shared if part == table.SHARED else event.own.get(part, b"")


TARGETS = (
    Target("bundle", "audit bundles with one file changed", bundle, _bundles, (ValueError,), inputs=12),
    Target(
        "bundle-signed", "audit bundles of a hostile broker", hostile_bundle, _hostile_bundles, (ValueError,), inputs=12
    ),
)
