"""Traces: off without a trace of them, on by the standard's variables, and spans that say party and agreement and nobody's name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from builders_sdk import AGREEMENT, report, sharing, until
from comity.errors import ErrorCode, RejectedError, UsageError
from comity_broker.journal import Journal
from comity_broker.services.publishing import Publishing
from comity_broker.services.publishing_traced import TracedPublishing
from comity_broker.tracing import About, exporters, tracer_of
from comity_broker.tracing_otel import OtelTracer

OTLP = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}
ATTRIBUTES = {
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.destination.name",
    "messaging.batch.message_count",
    "comity.party",
    "comity.class",
    "error.type",
}


class Traced:
    """A tracer whose spans a test reads."""

    def __init__(self) -> None:
        self.finished = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self.finished))

    def __call__(self, carries) -> OtelTracer:
        return OtelTracer(self._provider, carries)

    def named(self, name: str) -> list:
        return [one for one in self.finished.get_finished_spans() if one.name == name]


@pytest.fixture
def traced():
    return Traced()


# --- off ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, []),
        ({"OTEL_SERVICE_NAME": "hub"}, []),
        ({"OTEL_TRACES_EXPORTER": "none", **OTLP}, []),
        ({"OTEL_TRACES_EXPORTER": "", **OTLP}, ["otlp"]),
        (OTLP, ["otlp"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, ["otlp"]),
        ({"OTEL_TRACES_EXPORTER": "console"}, ["console"]),
        ({"OTEL_TRACES_EXPORTER": " console, otlp "}, ["console", "otlp"]),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "True"}, []),
    ],
)
def test_traces_are_wanted_by_the_standards_variables_alone(environ, wanted):
    assert exporters(environ) == wanted


def test_a_broker_that_is_not_traced_loads_nothing_of_it():
    script = (
        "import sys, os; from comity_broker import server; from comity_broker.cli import broker;"
        "from comity_broker.tracing import tracer_of; assert tracer_of(os.environ, bool) is None;"
        "assert not [one for one in sys.modules if one.partition('.')[0] == 'opentelemetry'], 'it is loaded'"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env={})
    assert (done.returncode, done.stderr) == (0, "")


async def test_where_traces_are_off_the_hot_path_is_the_very_code_without_them(tmp_path):
    async with sharing(tmp_path) as world:
        broker = world.world.broker
        assert broker.tracer is None
        assert type(broker.publishing) is Publishing
        assert type(broker.publishing._journal) is type(broker.dispatcher.shared.journal) is Journal
        async with world.node("XBO") as reader:
            async for _ in reader.receive(follow=False, purpose="counter-terrorism"):
                raise AssertionError("nothing was sent")


def test_without_the_extra_there_are_no_traces_and_the_log_says_so(monkeypatch, caplog):
    for name in [one for one in sys.modules if one.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "comity_broker.tracing_otel")
    monkeypatch.delattr("comity_broker.tracing_otel")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert tracer_of(OTLP, bool) is None
    (record,) = caplog.records
    assert (record.message, "comity[otel]" in record.reason) == ("traces_off", True)


def test_an_exporter_that_is_not_installed_is_said_with_what_to_do():
    with pytest.raises(UsageError, match="'carrier-pigeon', which is not installed") as caught:
        tracer_of({"OTEL_TRACES_EXPORTER": "carrier-pigeon"}, bool)
    assert caught.value.code is ErrorCode.NOT_INSTALLED
    assert "opentelemetry-exporter-otlp" in caught.value.what_to_do


# --- on -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("named", "service"), [({}, "comity-broker"), ({"OTEL_SERVICE_NAME": "hub"}, "hub")])
def test_the_console_exporter_writes_spans_when_the_tracer_closes(named, service):
    script = (
        "import os; from comity_broker.tracing import About, tracer_of; tracer = tracer_of(os.environ, bool);\n"
        "with tracer.span('commit', About('XAR-XBO-1')): pass\n"
        "tracer.close()"
    )
    environ = {"OTEL_TRACES_EXPORTER": "console", **named}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environ)
    assert '"name": "commit"' in done.stdout
    assert f'"service.name": "{service}"' in done.stdout
    assert AGREEMENT in done.stdout


async def test_a_report_leaves_spans_of_admission_commit_receipt_dispatch_and_acknowledgement(tmp_path, traced):
    async with sharing(tmp_path, tracer=traced) as world:
        assert type(world.world.broker.publishing) is TracedPublishing
        async with world.node("XAR") as sender:
            receipt = await sender.send(report("two boats"), agreement=AGREEMENT)
        async with world.node("XBO") as reader:
            async for delivery in reader.receive(follow=False, purpose="counter-terrorism", consumer="evening-desk"):
                async with delivery:
                    pass
        await until(lambda: traced.named("acknowledgement"))
    (publish,) = traced.named("publish")
    for name in ("admission", "receipt"):
        (span,) = traced.named(name)
        assert span.parent.span_id == publish.context.span_id
    commits = traced.named("commit")
    (dispatch,) = traced.named("dispatch")
    (acknowledgement,) = traced.named("acknowledgement")
    parents = {one.parent.span_id for one in commits if one.parent is not None}
    assert {publish.context.span_id, dispatch.context.span_id, acknowledgement.context.span_id} <= parents
    assert dict(publish.attributes) == {
        "messaging.system": "comity",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "receive",
        "messaging.destination.name": AGREEMENT,
        "messaging.batch.message_count": 1,
        "comity.party": "XAR",
        "comity.class": "routine",
    }
    assert (dispatch.attributes["comity.party"], dispatch.attributes["messaging.batch.message_count"]) == ("XBO", 1)
    everything = "\n".join(one.to_json() for one in traced.finished.get_finished_spans())
    for name in ("n1", "evening-desk", "two boats", str(receipt.report_id), "127.0.0.1"):
        assert f'"{name}' not in everything
        assert f"/{name}" not in everything
    assert {key for one in traced.finished.get_finished_spans() for key in one.attributes} <= ATTRIBUTES
    assert {one.status.status_code for one in traced.finished.get_finished_spans()} == {StatusCode.UNSET}


def test_an_error_is_told_by_its_code_and_nothing_it_says(traced):
    tracer = traced(lambda _: True)
    with pytest.raises(RejectedError), tracer.span("admission", About(AGREEMENT)):
        raise RejectedError("a signature of XAR/n1 does not verify")
    with pytest.raises(KeyError), tracer.span("admission", About(AGREEMENT)):
        raise KeyError("XAR/n1")
    first, second = traced.named("admission")
    assert (first.attributes["error.type"], second.attributes["error.type"]) == ("REJECTED", "KeyError")
    for span in (first, second):
        assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, None, ())
        assert "n1" not in span.to_json()


def test_an_agreement_that_a_peer_merely_states_is_in_no_span(traced):
    with traced(lambda one: one == AGREEMENT).span("publish", About("XAR-secret-plan-1", "XBO")):
        pass
    (span,) = traced.named("publish")
    assert "XAR-secret-plan-1" not in span.to_json()
