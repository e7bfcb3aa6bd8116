"""Traces by OpenTelemetry's SDK, configured by its standard variables; the only module that loads it (`comity_broker.tracing`).

OTEL_TRACES_EXPORTER names exporters as they are installed (`console` comes with the SDK, `otlp` with
`opentelemetry-exporter-otlp-proto-grpc` or `-http`); OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_* and
OTEL_EXPORTER_* are read by the SDK. Nothing is installed globally: other instrumentation of the process stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points, version
from typing import Final

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from comity.errors import ComityError, ErrorCode, UsageError
from comity_broker.counts import class_name
from comity_broker.tracing import NOTHING, About

_GROUP: Final = "opentelemetry_traces_exporter"
_UNNAMED: Final = "unknown_service"
# What the conventions call each step: the operation's name, its type, and the kind of span.
_STEPS: Final = {
    "publish": ("publish", "receive", SpanKind.SERVER),
    "admission": ("admit", "process", SpanKind.INTERNAL),
    "commit": ("commit", "process", SpanKind.INTERNAL),
    "receipt": ("receipt", "process", SpanKind.INTERNAL),
    "dispatch": ("deliver", "send", SpanKind.PRODUCER),
    "acknowledgement": ("ack", "settle", SpanKind.SERVER),
}


class OtelTracer:
    """Makes spans with a provider of its own."""

    def __init__(self, provider: TracerProvider, carries: Callable[[str], bool]) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("comity_broker", version("comity"))
        self._carries = carries

    @classmethod
    def of(cls, exporters: Sequence[str], carries: Callable[[str], bool]) -> OtelTracer:
        """Make a tracer that hands over to these exporters; raises UsageError for one that is not installed."""
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, _UNNAMED)).startswith(_UNNAMED):
            resource = resource.merge(Resource({SERVICE_NAME: "comity-broker"}))
        provider = TracerProvider(resource=resource)
        for name in exporters:
            provider.add_span_processor(BatchSpanProcessor(_exporter(name)))
        return cls(provider, carries)

    @contextmanager
    def span(self, name: str, about: About = NOTHING) -> Iterator[Callable[[About], None]]:
        """Make a span around a block."""
        operation, kind_of_operation, kind = _STEPS[name]
        with self._tracer.start_as_current_span(
            name, kind=kind, record_exception=False, set_status_on_exception=False
        ) as span:
            span.set_attribute("messaging.system", "comity")
            span.set_attribute("messaging.operation.name", operation)
            span.set_attribute("messaging.operation.type", kind_of_operation)
            self._say(span, about)
            try:
                yield lambda more: self._say(span, more)
            except BaseException as error:
                # The code alone: a message may name people, and what a peer wrote.
                code = error.code.name if isinstance(error, ComityError) else type(error).__name__
                span.set_attribute("error.type", code)
                span.set_status(Status(StatusCode.ERROR))
                raise

    def close(self) -> None:
        """Hand over what is not handed over yet."""
        self._provider.shutdown()

    def _say(self, span: Span, about: About) -> None:
        if about.agreement_id and self._carries(about.agreement_id):
            span.set_attribute("messaging.destination.name", about.agreement_id)
        if about.party:
            span.set_attribute("comity.party", about.party)
        if about.transport_class >= 0:
            span.set_attribute("comity.class", class_name(about.transport_class))
        if about.reports:
            span.set_attribute("messaging.batch.message_count", about.reports)


def _exporter(name: str) -> SpanExporter:
    found = next(iter(entry_points(group=_GROUP, name=name)), None)
    if found is None:
        raise UsageError(
            f"OTEL_TRACES_EXPORTER names {name!r}, which is not installed here",
            what_to_do="For otlp: pip install opentelemetry-exporter-otlp-proto-grpc. Or write console, or none.",
            code=ErrorCode.NOT_INSTALLED,
        )
    made: SpanExporter = found.load()()
    return made
