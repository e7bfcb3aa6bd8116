"""The broker's logs: entries, trees, checkpoints and tiles in public formats (design of audit)."""
