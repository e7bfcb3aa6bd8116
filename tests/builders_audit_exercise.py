"""Audits of an agreement with an exercise beside it, for the verifier.

audit = playing()                # one report of an exercise, decided after the last step of the agreement
audit.real                       # the agreement's own log
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

from builders_audit import good_audit
from builders_audit_files import put, write_log
from builders_audit_log import ORIGIN, Audit, Sent
from builders_envelope import Stream
from comity.envelope.receipts import encode_receipt, encode_signed_receipt, sign_receipts
from comity_broker.auditlog import events
from comity_broker.auditlog.bodies import BROKER
from comity_broker.auditlog.exercise import exercise_follows
from comity_broker.auditlog.log import Log

EXERCISE_ORIGIN = f"{ORIGIN}/exercise"


@dataclass
class ExerciseAudit(Audit):
    """The log of an exercise; `real` is the agreement's, which lies beside it."""

    origin = EXERCISE_ORIGIN
    real: Audit = field(default_factory=good_audit)

    def follow(self, place: int, **named: object) -> None:
        """Say that the agreement counts as of that entry of its log."""
        said = {"agreement_id": self.agreement, "agreement_origin": ORIGIN, "agreement_log_index": place, **named}
        self.events.append(exercise_follows(time=self.tick(), caller=BROKER, state_epoch=2, **said))

    def play(self, count: int = 1, **fields: object) -> Sent:
        """Submit reports of the exercise."""
        sent = self.submit(count, **{"exercise": True, **fields})
        index = len(self.events) - 1
        self.receipts[index] = replace(self.receipts[index], origin=EXERCISE_ORIGIN)
        return sent

    def write(self, folder: Path) -> SimpleNamespace:
        """Write the bundle with both logs."""
        logs = self.real.write(folder)
        logs.exercise = folder / "logs" / EXERCISE_ORIGIN
        log = Log(EXERCISE_ORIGIN, ("XAR", "XBO"))
        appended = write_log(logs.exercise, log, self.events, self.records, self.log_keys)
        for index, receipt in self.receipts.items():
            named = replace(receipt, leaf_hash=receipt.leaf_hash or appended.entries[index].leaf_hash)
            signer = self.real.hub.signer
            (signed,) = sign_receipts(signer, signer.fingerprint, [encode_receipt(named)], Stream(b"exercise"))
            put(folder / "receipts" / f"exercise-{index}", encode_signed_receipt(signed))
        for number, envelope in enumerate(self.envelopes):
            put(folder / "envelopes" / f"exercise-{number}", envelope)
        return logs


def last_step(real: Audit) -> int:
    """Give the last entry of an agreement's log that changed what is decided under it."""
    changing = ("LOG_OPENED", "AGREEMENT_", "KEY_REVOKED")
    return max(index for index, event in enumerate(real.events) if event.kind.startswith(changing))


def beside(real: Audit, **more: object) -> ExerciseAudit:
    """Begin the exercise of an agreement, of which nothing is said yet."""
    fresh = {name: [] if isinstance(value, list) else value for name, value in vars(real).items()}
    kept = {"records": {}, "receipts": {}, "key_events": real.key_events, "time": real.time}
    audit = ExerciseAudit(**{**fresh, **kept, "real": real, **more})
    audit.events.append(events.agreement_log_opened(terms=audit.terms, statements=(), **audit.common()))
    return audit


def playing(*places: int, **named: object) -> ExerciseAudit:
    """Give an exercise that followed these entries of its agreement's log (its last step, where none is named), and a report of it."""
    audit = beside(good_audit())
    for place in places or (last_step(audit.real),):
        audit.follow(place, **named)
    audit.play()
    return audit
