"""One file a gRPC service: translate, call the engine room, translate back."""
