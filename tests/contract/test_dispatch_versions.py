"""What was shared under an earlier version is handed over under it; what became forbidden since is held, and waits."""

import pytest

from builders_dispatch import STORES, opened
from builders_dispatch_consumer import numbers
from builders_dispatch_segments import AGREEMENT
from builders_identity import DAY
from comity.texts import agreement_digest
from comity_broker.auditlog.kinds import EventKind
from comity_broker.dispatch.frames import Delivered, SkipReason
from comity_policy.lifecycle import StepKind

CAVEAT = """
[caveat]
party = "XAR"
id = "C1"
agreement = "{id}"
digest = "sha384:{digest}"
partner_text = "A limitation."

[[clause]]
id = "1"
kind = "exclude"
categories = ["terrorism"]
text.en = "As we see fit."
"""


@pytest.fixture(params=STORES)
async def world(request, tmp_path):
    async with opened(request.param, tmp_path) as made:
        yield made


def next_version(world, *, applies_to: str, stricter: bool) -> bytes:
    text = world.standing.text
    amends = f'[amends]\nversion = 1\ndigest = "sha384:{agreement_digest(text).hex()}"\napplies_to = "{applies_to}"\n\n'
    text = text.replace(b"version = 1", b"version = 2", 1)
    if stricter:
        text = text.replace(b'level = "SECRET"', b'level = "UNCLASSIFIED"')
    return text.replace(b"[entry_into_force]", amends.encode() + b"[entry_into_force]", 1)


def held(frames) -> list[int]:
    absent = [one for frame in frames if isinstance(frame, Delivered) for one in frame.absent]
    return [one.origin_sequence for one in absent if one.reason.why is SkipReason.HELD]


async def test_a_report_of_the_old_version_is_handed_over_under_it_though_the_new_one_forbids_it(world):
    await world.admit(1)
    await world.amend(next_version(world, applies_to="new", stricter=True))
    consumer = await world.connect()
    assert numbers(*await consumer.deliveries()) == [1]


async def test_a_stricter_version_that_applies_to_what_is_held_holds_it(world):
    await world.admit(1)
    await world.amend(next_version(world, applies_to="held-if-stricter", stricter=True))
    consumer = await world.connect()
    assert numbers(*await consumer.deliveries()) == []
    assert held(consumer.frames) == [1]
    assert len(await world.entries(EventKind.HELD)) == 1


async def test_a_version_that_applies_to_what_is_held_and_is_no_stricter_holds_nothing(world):
    await world.admit(1)
    await world.amend(next_version(world, applies_to="held-if-stricter", stricter=False))
    await world.admit(1)
    consumer = await world.connect()
    assert numbers(*await consumer.deliveries()) == [1, 2]
    assert await world.entries(EventKind.HELD) == []


async def test_what_a_caveat_forbids_since_is_held_and_goes_when_it_is_withdrawn(world):
    await world.admit(1)
    text = CAVEAT.format(id=AGREEMENT, digest=world.standing.first_digest.hex()).encode()
    await world.add_caveat(text)
    consumer = await world.connect()
    assert numbers(*await consumer.deliveries()) == []
    assert len(await world.entries(EventKind.HELD)) == 1
    await world.take(StepKind.CAVEAT_WITHDRAW, "XAR", caveat="C1")
    assert numbers(*await consumer.deliveries()) == [1]


async def test_what_notice_has_ended_is_not_handed_over(world):
    await world.admit(1)
    await world.take(StepKind.NOTICE, "XBO", reason="We go other ways.")
    (end,) = [one.at_ms for one in world.standing.state(world.clock.now_ms()).departures.values()]
    assert end > world.clock.now_ms()
    world.pass_seconds((end - world.clock.now_ms()) / 1000 - 60)
    assert world.standing.in_force(world.clock.now_ms())
    world.pass_seconds(120 + DAY / 1000)
    assert not world.standing.in_force(world.clock.now_ms())
    consumer = await world.connect()
    assert [one for one in await consumer.all() if isinstance(one, Delivered)] == []


async def test_a_text_that_never_governed_permits_nothing(world):
    world.maker.digest = bytes(48)
    await world.admit(1)
    await world.epoch_raised()
    consumer = await world.connect()
    assert numbers(*await consumer.deliveries()) == []
    assert len(await world.entries(EventKind.HELD)) == 1
