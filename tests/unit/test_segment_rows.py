"""What handing over asks of all of a segment's reports stands in its row, as each of its admitted reports says it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.envelope.evidence import SlotCode
from comity.errors import RefusedError
from comity_broker.dispatch.checking import all_may_go
from comity_broker.dispatch.packets import decode_named, packets_named
from comity_broker.slots import SlotRefused

REPORTS = 12


@pytest.mark.parametrize("refused", [frozenset(), frozenset({0, 3})], ids=["all admitted", "some refused"])
async def test_a_row_says_of_its_admitted_reports_when_they_may_go_and_which_packets_they_name(tmp_path, refused):
    async with sharing(tmp_path) as world:
        broker = world.world.broker
        admission = broker.publishing._admission
        honest = admission._slot

        def refusing(deciding, base, within, slot, *given):
            one = honest(deciding, base, within, slot, *given)
            reason = SlotRefused(SlotCode.POLICY, RefusedError("not this one"))
            return replace(one, refused=reason) if slot in refused else one

        admission._slot = refusing
        await sent(world)
        rows = await broker.logs._reader.segments_from(AGREEMENT, 0, 100)
        reports = await broker.logs._reader.reports_of(AGREEMENT, [row.item for row in rows])
    assert max(row.slots for row in rows) > max(refused, default=0) + 1
    for row in rows:
        of_row = reports.get(row.item, [])
        assert len(of_row) == row.slots - len(refused & set(range(row.slots)))
        assert row.expires_first == min((one.expires_at for one in of_row), default=0)
        assert row.not_before_last == max((one.not_before for one in of_row), default=0)
        assert decode_named(row.packets) == packets_named(row.data)
        expire, wait = {one.expires_at for one in of_row}, {one.not_before for one in of_row}
        for now in expire | wait | {one - 1 for one in expire | wait}:
            assert all_may_go(row, now) == all(one.not_before <= now < one.expires_at for one in of_row)


async def sent(world) -> None:
    """Send reports of many times as one stream, so that they share a segment."""
    today = datetime.now(UTC)
    reports = [
        report(
            marking="SECRET//REL TO XBO, XAR",
            not_before=today + timedelta(minutes=number % 5),
            expires_at=today + timedelta(days=20 - number % 7),
        )
        for number in range(REPORTS)
    ]
    async with world.node("XBO") as sender:
        assert len([one async for one in sender.send_many(reports, agreement=AGREEMENT)]) == REPORTS
