"""Where a broker keeps everything: one protocol, one module an engine."""
