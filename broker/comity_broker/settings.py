"""One typed settings object, read from a TOML file, then the environment, then flags (house style, "Configuration").

Rules: an unknown key refuses to start; every value has exactly its type and range; the defaults are the safe ones: loopback,
mTLS (which nothing switches off), deny. A setting narrows what a peer may send, it never widens a format's limit.
An environment value is named COMITY_BROKER_<KEY>, e.g. COMITY_BROKER_LISTEN. No setting is a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from comity.errors import ErrorCode, NotFoundError, UsageError
from comity_policy.strict_toml import tables_of

FILE_LIMIT: Final = 64 << 10
_PREFIX: Final = "COMITY_BROKER_"
_LISTEN: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(?:0|[1-9]\d{0,4})")

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an operator can choose. Sizes in bytes, times in seconds."""

    listen: str = "127.0.0.1:7443"
    metrics_listen: str = ""
    window_segments: Annotated[int, Meta(ge=1, le=256)] = 16
    streams_per_node: Annotated[int, Meta(ge=2, le=64)] = 8
    lanes_per_node: Annotated[int, Meta(ge=1, le=100_000)] = 1_000
    refusals_per_second: Annotated[int, Meta(ge=1, le=10_000)] = 50
    connection_age: Seconds = 3600.0
    redelivery: Seconds = 60.0
    attempts: Annotated[int, Meta(ge=1, le=100)] = 5
    stalled_after: Seconds = 120.0
    consumers_per_node: Annotated[int, Meta(ge=1, le=256)] = 16
    attachment_bytes: Annotated[int, Meta(ge=1, le=64 << 30)] = 64 << 30
    uploads_per_node: Annotated[int, Meta(ge=1, le=256)] = 8
    upload_bytes_per_node: Annotated[int, Meta(ge=1)] = 64 << 30
    attachments_total_bytes: Annotated[int, Meta(ge=1)] = 1 << 40
    drain: Seconds = 20.0
    checkpoint_every: Seconds = 1.0
    revocation_poll: Seconds = 10.0
    clock_step: Seconds = 5.0
    commit_timeout: Seconds = 10.0
    routine_full: Annotated[float, Meta(gt=0, le=0.85)] = 0.85
    priority_full: Annotated[float, Meta(gt=0, le=0.90)] = 0.90
    urgent_full: Annotated[float, Meta(gt=0, le=0.95)] = 0.95

    @property
    def address(self) -> tuple[str, int]:
        """Give host (without brackets) and port."""
        return _host_and_port(self.listen)

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Give host (without brackets) and port where metrics are read; None where they are not."""
        return _host_and_port(self.metrics_listen) if self.metrics_listen else None

    @property
    def full_at(self) -> dict[int, float]:
        """Give by class from how full a disk on it is not written any more: recalls are, as acknowledgements, until it is full."""
        urgent = self.urgent_full
        return {0: 1.0, 1: urgent, 2: urgent, 3: self.priority_full, 4: self.routine_full}


def read_settings(
    path: Path | None, environment: Mapping[str, str], flags: Mapping[str, object], *, required: bool = False
) -> Settings:
    """Give the settings; raises UsageError naming the key and the source, NotFoundError for a required file."""
    values: dict[str, object] = {}
    if path is not None:
        values |= _from_file(path, required=required)
    known = {field.name: field for field in msgspec.structs.fields(Settings)}
    for name, text in environment.items():
        if name.startswith(_PREFIX):
            key = name.removeprefix(_PREFIX).lower()
            if key not in known:
                raise UsageError(f"{name}: there is no setting {key!r}", what_to_do=_known_keys())
            values[key] = text if known[key].type is str else _number(name, text)
    values |= {key: value for key, value in flags.items() if value is not None}
    try:
        settings = msgspec.convert(values, Settings, strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"settings: {error}", what_to_do=_known_keys()) from error
    if not _LISTEN.fullmatch(settings.listen) or settings.address[1] > 65_535:
        raise UsageError(f"settings: listen is {settings.listen!r}", what_to_do="Write HOST:PORT, e.g. 127.0.0.1:7443.")
    _check_metrics(settings)
    return settings


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _check_metrics(settings: Settings) -> None:
    """Refuse every place for metrics but a loopback address: nobody is asked who they are there (docs/adr/0015).

    A name does not do, since it may lead elsewhere tomorrow.
    """
    text = settings.metrics_listen
    if not text:
        return
    said = f"settings: metrics_listen is {text!r}"
    if not _LISTEN.fullmatch(text) or _host_and_port(text)[1] > 65_535:
        raise UsageError(said, what_to_do="Write ADDRESS:PORT, e.g. 127.0.0.1:9464, or nothing for no metrics.")
    try:
        loopback = ipaddress.ip_address(_host_and_port(text)[0]).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"{said}, which is no loopback address: whoever reads metrics is not asked who they are",
            what_to_do="Write 127.0.0.1:PORT or [::1]:PORT, and let the collector of this machine pass them on.",
        )


def _from_file(path: Path, *, required: bool) -> dict[str, object]:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        if required:
            raise NotFoundError(f"there is no settings file {path}", code=ErrorCode.FILE_UNKNOWN) from error
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > FILE_LIMIT:
        raise UsageError(f"{path} has {len(data)} bytes, at most {FILE_LIMIT}")
    try:
        return tables_of(data)
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def _number(name: str, text: str) -> float | int:
    try:
        return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError:
        raise UsageError(f"{name} is {text!r}, not a number") from None


def _known_keys() -> str:
    return "Settings are: " + ", ".join(field.name for field in msgspec.structs.fields(Settings)) + "."
