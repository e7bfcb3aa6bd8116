"""Comity: signed and sealed reports between nations under agreements that a machine enforces."""
