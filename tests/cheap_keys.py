"""Keys of tests at the least cost of a passphrase: the same form and the same code, without a second of argon2id for each start.

    make_keys_cheap()          # from now on in this process, where no cost is named; files keep the cost they were made with

Nothing shipped has a switch for it. `SHIPPED` says what the functions ask where no test has been here before them.
"""

from __future__ import annotations

from comity.keys.files import Cost, change_passphrase, create_keys

LEAST = Cost(memory_kib=8, passes=1, lanes=1)

_MAKERS = (create_keys, change_passphrase)
SHIPPED = {maker.__name__: maker.__kwdefaults__["cost"] for maker in _MAKERS}


def make_keys_cheap() -> None:
    """Have every key directory made at the least cost there is."""
    for maker in _MAKERS:
        maker.__kwdefaults__["cost"] = LEAST
