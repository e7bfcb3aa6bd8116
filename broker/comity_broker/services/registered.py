"""Every service of a broker, added to a gRPC server: ours, and the two standard ones beside them."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from comity.v1 import (
    agreement_pb2_grpc,
    attachments_pb2_grpc,
    audit_pb2_grpc,
    exchange_pb2_grpc,
    identity_pb2_grpc,
    operations_pb2_grpc,
)
from comity_broker.services.agreements import AgreementService
from comity_broker.services.attachments import AttachmentService
from comity_broker.services.audit import AuditService
from comity_broker.services.declarations import service_names
from comity_broker.services.directory import DirectoryService
from comity_broker.services.exchange import ExchangeService
from comity_broker.services.operations import OperationsService


def register(
    server: grpc.aio.Server,
    *,
    directory: DirectoryService,
    agreements: AgreementService,
    audit: AuditService,
    exchange: ExchangeService,
    attachments: AttachmentService,
    operations: OperationsService,
) -> health.aio.HealthServicer:
    """Add them; give the health service, which says SERVING until it is told otherwise."""
    identity_pb2_grpc.add_DirectoryServiceServicer_to_server(directory, server)
    agreement_pb2_grpc.add_AgreementServiceServicer_to_server(agreements, server)
    audit_pb2_grpc.add_AuditServiceServicer_to_server(audit, server)
    exchange_pb2_grpc.add_ExchangeServiceServicer_to_server(exchange, server)
    attachments_pb2_grpc.add_AttachmentServiceServicer_to_server(attachments, server)
    operations_pb2_grpc.add_OperationsServiceServicer_to_server(operations, server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    reflection.enable_server_reflection((*service_names(), health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return healthy
