"""Every target there is, by the module that holds it: one target's process imports its own module only."""

from __future__ import annotations

from importlib import import_module

from fuzz.target import Target

MODULES = (
    "targets_envelope",
    "targets_identity",
    "targets_policy",
    "targets_log",
    "targets_bundle",
    "targets_restored",
    "targets_wire",
    "targets_service",
)


def targets_of(module: str) -> tuple[Target, ...]:
    """Give the targets of a module of this folder."""
    return import_module(f"fuzz.{module}").TARGETS


def every_target() -> tuple[Target, ...]:
    """Give all of them; imports every module."""
    return tuple(target for module in MODULES for target in targets_of(module))
