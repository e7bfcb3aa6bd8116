"""Private keys: the protocols they sit behind, and encrypted key files."""
