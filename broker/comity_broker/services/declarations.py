"""The access declarations of the protocol files, read from the generated descriptors: one source, no second list.

Every method of our services must have one, or the broker does not start. The two standard services beside ours (health,
reflection) are for whoever is enrolled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from comity.errors import ComityError
from comity.v1 import (
    access_pb2,
    agreement_pb2,
    attachments_pb2,
    audit_pb2,
    exchange_pb2,
    identity_pb2,
    operations_pb2,
)
from comity_broker.access import Declaration

FILES: Final[tuple[FileDescriptor, ...]] = (
    agreement_pb2.DESCRIPTOR,
    attachments_pb2.DESCRIPTOR,
    audit_pb2.DESCRIPTOR,
    exchange_pb2.DESCRIPTOR,
    identity_pb2.DESCRIPTOR,
    operations_pb2.DESCRIPTOR,
)
STANDARD: Final = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
_PREFIX: Final = "CALLER_ROLE_"


def service_names() -> tuple[str, ...]:
    """Give the full names of our services."""
    return tuple(name.full_name for file in FILES for name in file.services_by_name.values())


def declarations(files: Iterable[FileDescriptor] = FILES) -> dict[str, Declaration]:
    """Give every method's declaration by its path; raises ComityError for one that has none."""
    found: dict[str, Declaration] = {}
    for file in files:
        for service in file.services_by_name.values():
            for method in service.methods:
                found[f"/{service.full_name}/{method.name}"] = _declaration(method)
    enrolled = frozenset(_word(number) for number in access_pb2.CallerRole.values() if number not in {0, 10})
    return found | {path: Declaration(enrolled) for path in STANDARD}


def _declaration(method: MethodDescriptor) -> Declaration:
    declared = method.GetOptions().Extensions[access_pb2.access]
    roles = frozenset(_word(number) for number in declared.roles)
    if not roles or "unspecified" in roles:
        raise ComityError(f"{method.full_name} does not declare who may call it")
    return Declaration(roles, declared.broker_operator_only)


def _word(number: int) -> str:
    return access_pb2.CallerRole.Name(number).removeprefix(_PREFIX).lower().replace("_", "-")  # type: ignore[arg-type]  # a declared number
