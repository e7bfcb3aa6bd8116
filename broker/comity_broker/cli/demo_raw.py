"""A raw client, with which `comity demo` forces a refused report past the SDK: it seals for everybody and asks no clause.

It is what somebody might write who has a node's keys and does not like what the SDK says. One thing is left out, the egress
decision: every portion gets a key for every node of the other parties. Then it publishes, and says what the broker answers:
exit code 0 and the report's entry, or the exit code and the clauses of the broker's refusal.

    python -m comity_broker.cli.demo_raw XAR/n1 FILE AGREEMENT MARKING CATEGORY PURPOSE --json
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Final

from comity.cli.output import Output, report_error
from comity.envelope.core import Core
from comity.envelope.evidence import encode_batch_signature, sign_batch
from comity.envelope.padding import encode_header
from comity.envelope.run_form import PortionInput
from comity.envelope.seal import Sealer, SealInput
from comity.errors import ComityError, KeyFault, UsageError
from comity.keys.passphrase import find_passphrase
from comity.node.access import Access
from comity.node.connection import Connection
from comity.node.directory import recipient_of
from comity.node.home import Home
from comity.node.mirror import Mirror
from comity.node.refusals import error_of
from comity.node.report_files import Wishes, read_report
from comity.node.sealing import ReportIds
from comity.report import Report
from comity.suites import KeyRole, Suite
from comity.v1 import exchange_pb2 as pb
from comity_policy.facts import Originator

DAY_MS: Final = 86_400_000
WORDS: Final = 6


def now_ms() -> int:
    """Give this machine's time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def forced(access: Access, mirror: Mirror, report: Report, agreement_id: str) -> pb.PublishBatch:
    """Seal a report for every node of every other party, whatever the agreement says, and sign it."""
    identity, now = access.place.identity, now_ms()
    view, directory = mirror.agreement(agreement_id), mirror.directory
    own = directory.node(identity.party, identity.name)
    mine = None if own is None else recipient_of(own, Suite.HYBRID)
    if own is None or mine is None:
        raise KeyFault(f"{identity} is not enrolled")
    profile = report.profile(
        suite=int(Suite.HYBRID),
        originator=Originator(identity.party, identity.name),
        key_set=own.key_set,
        agreement_id=agreement_id,
        agreement_digest=view.digest,
        statements_seen=len(view.statements),
        parties=view.parties,
        levels=view.document.levels_of(identity.party),
    )
    core = Core(
        report_id=ReportIds(os.urandom).draw(now),
        # A lane of its own, so that what the SDK sends after it is not disturbed.
        origin_epoch=os.urandom(16),
        origin_sequence=1,
        created_at=now,
        not_before=now,
        expires_at=now + DAY_MS,
        agreement_log_seen=view.log_seen,
        key_log_seen=view.key_log_seen,
        refers_to=(),
        profile=profile,
    )
    everything = tuple(range(len(report.portions)))
    others = [node for party in view.parties if party != identity.party for node in directory.nodes(party)]
    recipients = [one for node in others if (one := recipient_of(node, Suite.HYBRID)) is not None]
    portions = tuple(
        PortionInput(encode_header(one.header), one.content if isinstance(one.content, bytes) else b"")
        for one in report.portions
    )
    sealer = Sealer(mine, identity.name, own.key_set, now_ms=now_ms)
    segment = sealer.seal_segment([SealInput(core, portions, tuple((one, everything) for one in recipients))])
    signer = access.ring.signer(KeyRole.NODE_SIGNING, Suite.HYBRID, among=own.fingerprints)
    batch = sign_batch(signer, agreement_id, own.key_set, [segment.segment_id])
    return pb.PublishBatch(
        batch_signature=encode_batch_signature(batch.signature),
        segment_ids=[segment.segment_id],
        segments=[segment.data],
        indices=[0],
        key_packets=[packet.data for packet in sorted(segment.packets, key=lambda one: one.packet_id)],
    )


async def publish(access: Access, home: Home, report: Report, agreement_id: str) -> int:
    """Publish a forced report; gives its log entry, or raises what the broker refuses it with."""
    with Mirror.of_identity(home, access.place.identity) as mirror:
        async with Connection(access.target) as connection:
            await mirror.refresh(connection, agreements=(agreement_id,))
            request = pb.PublishOneRequest(batch=forced(access, mirror, report, agreement_id))
            answer = await connection.call(connection.exchange.PublishOne, request)
    for refused in answer.refusals:
        raise error_of(refused.refusal)
    for receipt in answer.receipts:
        for slot in receipt.refusals:
            raise error_of(slot.refusal)
    return answer.receipts[0].entry.log_index


def main(words: list[str]) -> int:
    """Run the raw client; gives its exit code."""
    output = Output(json="--json" in words)
    said = [word for word in words if word != "--json"]
    try:
        if len(said) != WORDS:
            raise UsageError("IDENTITY FILE AGREEMENT MARKING CATEGORY PURPOSE")
        identity, file, agreement_id, marking, category, purpose = said
        home = Home.at(None, os.environ)
        passphrase = find_passphrase(file=None, environ=os.environ, ask=None)
        access = Access.load(home, identity, passphrase, now_ms=now_ms())
        report = read_report(Path(file), Wishes(marking=marking, categories=(category,), purpose=purpose))
        log_index = asyncio.run(publish(access, home, report, agreement_id))
    except ComityError as error:
        report_error(error, as_json=output.json)
        return error.exit_code
    output.record(agreement_id=agreement_id, log_index=log_index)
    output.show(f"The broker took it: entry {log_index} of the log of {agreement_id}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
