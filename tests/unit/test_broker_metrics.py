"""Metrics of a broker that runs: what is counted, what labels say and never say, and that a picture is of one moment."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from prometheus_client.parser import text_string_to_metric_families

from builders_sdk import AGREEMENT, report, sharing, until
from comity.errors import ComityError
from comity_broker.metrics import exposition
from comity_broker.survey import Alarm, Picture

# Everything a label may be, and what its values may be: words of ours, agreements and parties.
LABELS = {"agreement", "party", "class", "code", "kind", "log", "version", "le"}


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Give every value by name and labels."""
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    """Give one value; `class_` is the label class."""
    return samples(text)[name, tuple(sorted((key.rstrip("_"), one) for key, one in labels.items()))]


async def metrics(world) -> str:
    return exposition(await world.world.broker.survey.picture())


async def test_what_is_sent_handed_over_and_acknowledged_is_counted_by_party_agreement_and_class(tmp_path):
    async with sharing(tmp_path) as world:
        async with world.node("XAR") as sender:
            await sender.send(report("two boats"), agreement=AGREEMENT)
            await sender.send(report("three boats"), agreement=AGREEMENT)
        text = await metrics(world)
        sent = {"agreement": AGREEMENT, "party": "XAR", "class_": "routine"}
        assert value(text, "comity_admitted_reports_total", **sent) == 2
        assert value(text, "comity_admitted_segments_total", **sent) == 2
        assert value(text, "comity_admitted_bytes_total", **sent) > 2000
        assert value(text, "comity_commits_total") >= 2
        assert value(text, "comity_cpu_seconds_total") > 0
        assert value(text, "comity_resident_memory_bytes") > 1 << 20
        assert value(text, "comity_commit_duration_seconds_count") == value(text, "comity_commits_total")
        assert value(text, "comity_log_entries", log="agreement", agreement=AGREEMENT) > 2
        async with world.node("XBO") as reader:
            got = 0
            async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
                async with delivery:
                    got += 1
        assert got == 2
        read = {"agreement": AGREEMENT, "party": "XBO", "class_": "routine"}
        counts = world.world.broker.counts
        await until(lambda: counts.acknowledged_reports.get((AGREEMENT, "XBO")) == 2)
        text = await metrics(world)
        assert value(text, "comity_handed_over_reports_total", **read) == 2
        assert value(text, "comity_acknowledged_reports_total", agreement=AGREEMENT, party="XBO") == 2
        assert value(text, "comity_consumers", party="XBO") == 1
        assert ("comity_backlog_reports", tuple(sorted({**read, "class": "routine"}.items()))) not in samples(text)


async def test_what_is_refused_is_counted_by_its_code(tmp_path):
    async with sharing(tmp_path) as world:
        async with world.world.connection(world.treaty.officers["XBO", "liaison1"]) as connection:
            from comity.node.operations import broker_status

            with pytest.raises(ComityError):
                await broker_status(connection)
        assert value(await metrics(world), "comity_denied_calls_total", code="ROLE_NOT_ALLOWED") == 1


async def test_no_label_names_a_node_a_consumer_an_officer_or_a_report(tmp_path):
    async with sharing(tmp_path) as world:
        async with world.node("XAR") as sender:
            receipt = await sender.send(report("two boats"), agreement=AGREEMENT)
        async with world.node("XBO") as reader:
            async for delivery in reader.receive(follow=False, purpose="counter-terrorism", consumer="evening-desk"):
                async with delivery:
                    pass
        world.world.broker.counts.refused(("", "XBO", "REJECTED"), 1)
        text = await metrics(world)
        found = samples(text)
        assert {label for _, labels in found for label, _ in labels} <= LABELS
        assert {dict(labels).get("party", "XAR") for _, labels in found} == {"XAR", "XBO"}
        assert {dict(labels).get("agreement", "") for _, labels in found} == {"", AGREEMENT}
        for name in ("evening-desk", "XBO/n1", "XAR/n1", "liaison1", str(receipt.report_id), "127.0.0.1", "hub.xar"):
            assert name not in text


async def test_an_agreement_that_a_peer_merely_states_is_no_label(tmp_path):
    async with sharing(tmp_path) as world, world.node("XAR") as sender:
        broker = world.world.broker
        # The sender knows an agreement that this broker does not carry.
        forgotten = broker.ledger._standings.pop(AGREEMENT)
        sending = asyncio.ensure_future(sender.send(report("two boats"), agreement=AGREEMENT))
        await until(lambda: broker.counts.refused_reports)
        broker.ledger._standings[AGREEMENT] = forgotten
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert {agreement for agreement, _, _ in broker.counts.refused_reports} == {""}
        assert value(await metrics(world), "comity_refused_reports_total", agreement="", party="XAR", code=code(broker))


def code(broker) -> str:
    """Give the code of the one refusal there was."""
    ((_, _, name),) = broker.counts.refused_reports
    return name


async def test_a_picture_does_not_change_with_the_broker(tmp_path):
    async with sharing(tmp_path) as world:
        survey, counts = world.world.broker.survey, world.world.broker.counts
        picture = await survey.picture()
        before = exposition(picture)
        counts.admitted((AGREEMENT, "XAR", 4), 1, 1)
        counts.denied("TLS_TOO_OLD")
        assert exposition(picture) == before
        assert await survey.picture(3600.0) is picture, "one that is young enough is given again"
        assert await survey.picture() is not picture


async def test_many_who_ask_at_once_have_the_backlogs_counted_once(tmp_path):
    async with sharing(tmp_path) as world:
        survey = world.world.broker.survey
        asked = []
        counted = survey.dispatcher.status

        async def counting():
            asked.append(1)
            return await counted()

        survey.dispatcher.status = counting
        pictures = await asyncio.gather(*(survey.picture(5.0) for _ in range(20)))
        assert len(asked) == 1
        assert len({id(one) for one in pictures}) == 1


async def test_a_frozen_log_and_a_full_disk_are_alarms_and_values(tmp_path):
    async with sharing(tmp_path) as world:
        broker = world.world.broker
        await broker.agreements.freeze(AGREEMENT, "two histories")
        picture = await broker.survey.picture()
        assert [(one.kind, one.agreement_id, one.reason) for one in picture.alarms] == [
            ("FROZEN", AGREEMENT, "its log is frozen: two histories")
        ]
        assert value(exposition(picture), "comity_frozen_logs", agreement=AGREEMENT) == 1
        assert value(exposition(picture), "comity_alarms", kind="FROZEN") == 1
        broker.survey.full_at = {**broker.survey.full_at, 4: 0.0, 3: 1.0, 2: 1.0, 1: 1.0, 0: 1.0}
        picture = await broker.survey.picture()
        (disk,) = [one for one in picture.alarms if one.kind == "DISK"]
        assert disk.reason.endswith("full: ROUTINE refused")
        assert value(exposition(picture), "comity_disk_refusing", class_="routine") == 1
        assert value(exposition(picture), "comity_disk_refusing", class_="flash") == 0


async def test_a_duty_that_stands_still_is_a_value(tmp_path):
    async with sharing(tmp_path) as world:
        picture = await world.world.broker.survey.picture()
        alarm = Alarm("MONITOR", "the disk does not answer", "Look at the disk.", agreement_id=AGREEMENT, times=3)
        failing: Picture = dataclasses.replace(picture, alarms=(alarm,))
        text = exposition(failing)
        assert value(text, "comity_stopped_duties", agreement=AGREEMENT) == 1
        assert value(text, "comity_alarms", kind="MONITOR") == 1
        assert "the disk does not answer" not in text
