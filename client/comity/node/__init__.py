"""The asynchronous SDK of a node: connection, sending, receiving, and what they keep on disk."""
