"""The command line: one file a command group; it prints and parses, and decides nothing."""
