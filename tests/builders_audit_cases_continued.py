"""Audits over two incarnations: what a restored broker went on with, and cases in which exactly that check fails."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from builders_audit_cases import case
from builders_audit_files import write_log
from builders_audit_log import KEYS_ORIGIN, ORIGIN, Audit
from builders_envelope import Stream
from comity.continuing import Continued, LeftLog
from comity.statement import Statement, sign_statement
from comity.verify.notes import Checkpoint
from comity.verify.trees import Frontier
from comity_broker.auditlog import events
from comity_broker.auditlog.bodies import Event
from comity_broker.auditlog.log import Log
from comity_policy.facts import Role
from comity_policy.steps import LogTerms, StepKind

NEXT = "11" * 16
NEXT_ORIGIN = f"{ORIGIN.rpartition('/')[0]}/{NEXT}"
NEXT_KEYS_ORIGIN = f"{KEYS_ORIGIN.rpartition('/')[0]}/{NEXT}"
ANCHOR_KEY = "cd" * 32

Say = Callable[[Continued], Continued]


def unchanged(said: Continued) -> Continued:
    return said


@dataclass
class ContinuedAudit:
    """An audit whose broker was restored, without the last `lost` entries of the agreement's log; `say` changes CONTINUES."""

    audit: Audit
    lost: int = 1
    say: Say = unchanged
    signer: str = ""
    confirming: tuple[str, ...] = ("XAR", "XBO")

    def write(self, folder: Path) -> None:
        """Write the bundle: both logs in both incarnations."""
        audit = self.audit
        audit.write(folder)
        kept, kept_keys = self.restore()
        logs, parties = folder / "logs", ("XAR", "XBO")
        records = {index: tree for index, tree in audit.records.items() if index >= kept}
        new = audit.events[kept:]
        write_log(logs / NEXT_ORIGIN, Log(NEXT_ORIGIN, parties), new, records, audit.log_keys, log_first=kept)
        new_keys = audit.key_events[kept_keys:]
        write_log(logs / NEXT_KEYS_ORIGIN, Log(NEXT_KEYS_ORIGIN), new_keys, {}, audit.log_keys, log_first=kept_keys)

    def restore(self) -> tuple[int, int]:
        """Let the broker be restored, and a report follow whose lane lost numbers; gives how many entries of both logs were kept."""
        audit = self.audit
        kept, kept_keys = len(audit.events) - self.lost, len(audit.key_events)
        said = self._statement(ORIGIN, NEXT_ORIGIN, audit.events[:kept], self.say)
        of_keys = self._statement(KEYS_ORIGIN, NEXT_KEYS_ORIGIN, audit.key_events, unchanged)
        audit.events = audit.events[:kept]
        audit.sent = audit.sent[: sum(index < kept for index in audit.receipts)]
        audit.key_events.append(events.log_continued(time=audit.tick(), statement=of_keys))
        audit.events.append(events.agreement_log_continued(statement=said, **audit.common()))
        terms = LogTerms(NEXT_ORIGIN, audit.log_keys.vkeys(NEXT_ORIGIN), 1, ANCHOR_KEY)
        for party in self.confirming:
            step = audit.statement(StepKind.LOG_CONFIRM, f"{party}/lia", Role.LIAISON, log=terms)
            audit.step(step, StepKind.LOG_CONFIRM)
        audit.submit(1, first=100)
        return kept, kept_keys

    def _statement(self, old: str, new: str, kept: list[Event], say: Say) -> Statement:
        audit = self.audit
        parties = ("XAR", "XBO") if "agreement" in old else ()
        edge = Log(old, parties).append(Frontier(), kept, Stream(old.encode())).frontier
        said = Continued(
            time=audit.time,
            origin=new,
            log_vkeys=audit.log_keys.vkeys(new),
            anchor_slot=1,
            anchor_key=ANCHOR_KEY,
            before=LeftLog(old, 0, edge.size, edge.root),
            checkpoint=audit.log_keys.sign(Checkpoint(old, edge.size, edge.root)),
            agreement_sequence=1 + sum(one.admission.count for one in audit.sent) if parties else 0,
        )
        signer = audit.nodes[self.signer].signer if self.signer else audit.hub.signer
        return sign_statement(say(said).to_body(), signer)


@case("CONTINUES")
def a_restored_root_that_the_old_log_does_not_have(audit: Audit, folder: Path) -> None:
    ContinuedAudit(audit, say=lambda said: replace(said, before=replace(said.before, root=bytes(32)))).write(folder)


@case("CONTINUES")
def a_restored_tree_that_the_old_logs_keys_did_not_sign(audit: Audit, folder: Path) -> None:
    def say(said: Continued) -> Continued:
        return replace(said, checkpoint=audit.log_keys.sign(Checkpoint(ORIGIN, 1, bytes(32))))

    ContinuedAudit(audit, say=say).write(folder)


@case("CONTINUES")
def a_continuation_that_the_broker_did_not_sign(audit: Audit, folder: Path) -> None:
    ContinuedAudit(audit, signer="XAR/n1").write(folder)


@case("CONTINUES")
def a_log_that_is_continued_and_not_there(audit: Audit, folder: Path) -> None:
    ContinuedAudit(audit).write(folder)
    shutil.rmtree(folder / "logs" / ORIGIN)


@case("LOG_OPENED")
def a_report_before_every_party_confirmed_the_log(audit: Audit, folder: Path) -> None:
    ContinuedAudit(audit, confirming=("XAR",)).write(folder)
