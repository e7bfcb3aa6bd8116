"""A node begins only so many lanes under an agreement: each is kept for good, at the broker and at every recipient."""

from __future__ import annotations

import msgspec
import pytest

from builders_sdk import AGREEMENT, report, sharing
from comity.errors import ComityError, ErrorCode
from comity_policy.facts import Precedence


async def sent(sender, precedence=Precedence.ROUTINE, recipients="XBO, XAR"):
    one = report(marking=f"SECRET//REL TO {recipients}", precedence=precedence)
    return await sender.send(one, agreement=AGREEMENT)


async def test_a_node_begins_no_lane_beyond_its_number_and_goes_on_with_those_it_has(tmp_path):
    async with sharing(tmp_path) as world:
        publishing = world.world.broker.publishing
        publishing._settings = msgspec.structs.replace(publishing._settings, lanes_per_node=1)
        async with world.node("XBO") as sender, world.node("XAR") as other:
            await sent(sender)
            with pytest.raises(ComityError, match="begin another") as caught:
                await sent(sender, Precedence.PRIORITY)
            assert caught.value.code is ErrorCode.LIMIT_EXCEEDED
            assert "lanes_per_node" in caught.value.what_to_do
            await sent(sender)
            await sent(other, recipients="XAR, XBO")
        lanes = await world.world.broker.logs._reader.lanes(AGREEMENT)
        assert [lane.key.node for lane in lanes] == ["XBO/n1", "XAR/n1"]
