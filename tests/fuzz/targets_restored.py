"""What a restored broker says of its logs (CONTINUES), as mirrors and the verifier read it."""

from __future__ import annotations

from builders_audit import good_audit
from builders_audit_cases_continued import ContinuedAudit
from comity import canonical
from comity.continuing import Continued
from fuzz.target import Target, same


def continued(data: bytes) -> Continued:
    said = Continued.from_body(canonical.load_object(data))
    same(canonical.dumps(said.to_body()), data)
    same(Continued.from_body(said.to_body()), said)
    return said


def _continued() -> list[bytes]:
    audit = good_audit()
    kept, kept_keys = ContinuedAudit(audit).restore()
    found = (audit.body(kept), _shared(audit.key_events[kept_keys].shared))
    return [bytes.fromhex(one["statement"]["body"]) for one in found]


def _shared(body: bytes) -> dict:
    return canonical.load_object(body)


TARGETS = (Target("continued", "what a restored broker says of its logs", continued, _continued, inputs=500),)
