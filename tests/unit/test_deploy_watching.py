"""What lies in deploy/ for watching a broker: every metric and label it names is one that the broker exports, as it exports it."""

import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from comity_broker.clock import BrokerClock
from comity_broker.counts import Counts, Durations
from comity_broker.dispatch.status import AgreementBacklog, ConsumerStatus
from comity_broker.journal import JournalNumbers
from comity_broker.metrics import exposition
from comity_broker.rates import Looks
from comity_broker.settings import Settings
from comity_broker.survey import AgreementPicture, Alarm, DiskPicture, Picture
from documents import REPOSITORY

DASHBOARD = json.loads((REPOSITORY / "deploy/grafana-dashboard.json").read_text(encoding="utf-8"))
ALERTS = (REPOSITORY / "deploy/prometheus-alerts.yml").read_text(encoding="utf-8")
GUIDE = (REPOSITORY / "docs/operator.md").read_text(encoding="utf-8")

A, P = "XAR-XBO-1", "XBO"
NAME = re.compile(r"\bcomity_\w+")
# What Prometheus itself adds to every sample.
OWN = {"instance", "job"}
COUNTS = {
    **{
        name: {(A, P, 4): 1}
        for name in ("admitted_segments", "admitted_reports", "admitted_bytes", "duplicate_segments")
    },
    **{name: {(A, P, 4): 1} for name in ("handed_over_reports", "redelivered_reports")},
    **{name: {(A, P, "REJECTED"): 1} for name in ("refused_reports", "refused_answers")},
    "acknowledged_reports": {(A, P): 1},
    "denied_calls": {"NOT_ENROLLED": 1},
}


def full() -> Picture:
    """A picture in which every metric has a value."""
    durations = Durations()
    durations.add(0.001)
    return Picture(
        started_at=1,
        now_ms=2,
        version="0.1.0",
        draining=False,
        cpu_seconds=1.0,
        resident_bytes=1,
        journal=JournalNumbers(durations, 1, 0, 0),
        last_commit_age=0.0,
        counts=Counts(**COUNTS),
        rates=Looks(Counts(), Durations, BrokerClock().monotonic).rates(),
        disk=DiskPicture(1, 2, Settings().full_at),
        key_log_size=1,
        operations_log_size=1,
        operations_dropped=0,
        agreements=(AgreementPicture(A, "IN_FORCE", 1, 1, ""),),
        consumers=(ConsumerStatus("XBO/n1", "default", True, (AgreementBacklog(A, {4: 1}, 1, 1, 1),), 1, 1, 1, 2, 1),),
        alarms=(Alarm("MONITOR", "why", "what", agreement_id=A),),
    )


def exported() -> dict[str, set[str]]:
    """Every name there is, with its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition(full())):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


EXPORTED = exported()
QUERIES = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
RULES = [
    (block.split("\n", 1)[0].strip(), re.search(r"^\s+expr: (.+)$", block, re.MULTILINE)[1], block)
    for block in ALERTS.split("- alert:")[1:]
]


def labels_used(query: str) -> set[str]:
    """Give the labels that a query selects, groups or matches by."""
    grouped = re.findall(r"\b(?:by|on|group_left|ignoring) \(([^)]*)\)", query)
    selected = re.findall(r"[{,](\w+)\s*(?:=~|!~|!=|=)", query)
    return {one.strip() for group in grouped for one in group.split(",") if one.strip()} | set(selected)


def check(query: str) -> None:
    """Check that a query names what there is, and no label that none of it has."""
    names = set(NAME.findall(query)) - {"comity_broker"}
    assert names, query
    assert names <= EXPORTED.keys()
    assert labels_used(query) <= OWN.union(*(EXPORTED[name] for name in names))


# --- the dashboard --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "query", "legend"), QUERIES)
def test_every_query_of_the_dashboard_is_of_what_the_broker_exports(title, query, legend):
    check(query)
    told = set(re.findall(r"{{(\w+)}}", legend))
    assert told <= labels_used(query) | {"log", "agreement", "class", "version"}
    assert told <= OWN.union(*(EXPORTED[name] for name in NAME.findall(query)))


def test_the_dashboard_shows_every_metric_there_is_but_what_is_part_of_one():
    shown = {name for _, query, _ in QUERIES for name in NAME.findall(query)}
    left_out = {
        "comity_commit_duration_seconds_count",
        "comity_commit_duration_seconds_sum",
        "comity_admitted_segments_total",
    }
    assert EXPORTED.keys() - shown == left_out


def test_the_dashboard_asks_for_its_data_source_and_its_panels_do_not_overlap():
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]
    taken = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert not re.search(r"https?://", json.dumps(DASHBOARD))


# --- the alerts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alert", "query", "block"), RULES, ids=[one[0] for one in RULES])
def test_every_alert_is_of_what_the_broker_exports_and_says_what_to_do(alert, query, block):
    if alert == "ComityBrokerGone":
        assert query == 'up{job="comity"} == 0'
    else:
        check(query)
    assert re.search(r"severity: (page|warn)}", block)
    assert re.search(r'^\s+what_to_do: ".+"$', block, re.MULTILINE)
    told = set(re.findall(r"\$labels\.(\w+)", block))
    assert told <= labels_used(query) | OWN


def test_there_is_an_alert_for_each_thing_that_needs_a_person():
    assert {alert for alert, _, _ in RULES} >= {
        "ComityConsumerStalled",
        "ComityLogFrozen",
        "ComityDiskReserve",
        "ComityCommitLatency",
        "ComityOperationsRecordsDropped",
    }
    assert all("\t" not in line for line in ALERTS.splitlines())


# --- the guide ------------------------------------------------------------------------------------------------------


def test_the_operators_guide_names_every_metric_and_no_other():
    families = {family.name for family in text_string_to_metric_families(exposition(full()))}
    named = set(re.findall(r"`(comity_\w+)`", GUIDE))
    assert {name.removesuffix("_total") for name in named} == families
