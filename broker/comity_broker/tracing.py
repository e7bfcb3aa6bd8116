"""Traces, as the engine room sees them: a span around a step of the work, where somebody wants them (docs/operator.md, "Traces").

Rules in order:
1. Traces are off unless the standard OTEL_ variables ask for them and the extra `otel` is installed. Off is `None`: who would make
   spans looks once, when it is made, and nothing of OpenTelemetry is loaded.
2. A span says party, agreement, class, how many reports, and the code of what failed: nothing of a report, nobody's name, no
   message of an error. An agreement's id is one that this broker carries.
3. Names and attributes follow OpenTelemetry's conventions for messaging, with `messaging.system` = comity.

`comity_broker.tracing_otel` makes the one `Tracer` there is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from comity_broker.storage.protocol import Outcome, Unit

_LOG: Final = logging.getLogger(__name__)
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class About:
    """What a span says; what is empty, or -1 of a class, it does not say."""

    agreement_id: str = ""
    party: str = ""
    transport_class: int = -1
    reports: int = 0


NOTHING: Final = About()


class Tracer(Protocol):
    """Who makes spans."""

    def span(self, name: str, about: About = NOTHING) -> AbstractContextManager[Callable[[About], None]]:
        """Make a span around a block; within it what else is known by then may be said, and an error ends it as failed."""

    def close(self) -> None:
        """Hand over what is not handed over yet; blocks, a few seconds at most."""


class Submitting(Protocol):
    """A journal, as far as whoever commits needs it."""

    async def submit(self, unit: Unit[R]) -> Outcome[R]:
        """Have a unit written; give its outcome."""


@dataclass(frozen=True, slots=True)
class TracedJournal:
    """A journal with a span around each wait for a commit."""

    journal: Submitting
    tracer: Tracer

    async def submit(self, unit: Unit[R]) -> Outcome[R]:
        """Have a unit written; give its outcome."""
        with self.tracer.span("commit", About(unit.shard, transport_class=unit.urgency)):
            return await self.journal.submit(unit)


def exporters(environ: Mapping[str, str]) -> list[str]:
    """Give the exporters of traces that the environment asks for, by OpenTelemetry's rules; none where traces are off.

    They are off where nothing asks for them: beyond the standard's default of `otlp`, an endpoint has to be named.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    default = "otlp" if any(environ.get(name) for name in _ENDPOINTS) else "none"
    named = [one.strip() for one in (environ.get("OTEL_TRACES_EXPORTER") or default).split(",")]
    return [one for one in named if one and one != "none"]


def tracer_of(environ: Mapping[str, str], carries: Callable[[str], bool]) -> Tracer | None:
    """Give the tracer that the environment asks for, None where traces are off; `carries` says whether an agreement is ours.

    Raises UsageError for an exporter that is not installed. Without the extra there are no traces, and the log says so.
    """
    wanted = exporters(environ)
    if not wanted:
        return None
    try:
        from comity_broker import tracing_otel  # noqa: PLC0415 - rule 1
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        _LOG.warning("traces_off", extra={"reason": "the extra is not installed: pip install 'comity[otel]'"})
        return None
    return tracing_otel.OtelTracer.of(wanted, carries)
