"""An agreement for FLASH: the world's own text without its precedence clause, which keeps FLASH for officers, so that a node may send it."""

from __future__ import annotations

import re

from processes import ending
from world_files import AGREEMENT, CODES, World

FLASH_AGREEMENT = "XAR-XBO-2"
_PRECEDENCE = re.compile(
    r'^\[\[clause\]\]\nid = "10"\nkind = "precedence"\n.*?(?=^\[\[clause\]\])', re.MULTILINE | re.DOTALL
)


def bring_into_force(world: World) -> None:
    """Propose it, review and sign it on both sides; the world's broker runs meanwhile."""
    text, removed = _PRECEDENCE.subn("", (world.path / f"{AGREEMENT}.toml").read_text())
    assert removed == 1, "the world's agreement has no precedence clause where it is looked for"
    path = world.path / f"{FLASH_AGREEMENT}.toml"
    path.write_text(text.replace(AGREEMENT, FLASH_AGREEMENT))
    with ending(world.start_broker()) as (broker,):
        world.machine("XAR").done("agreement", "propose", str(path), "--as", "XAR/officer1")
        for step in ("review", "sign"):
            for code in CODES:
                world.machine(code).done("agreement", step, FLASH_AGREEMENT, "--yes", "--as", f"{code}/officer1")
        assert broker.stop() == 0, broker.tail
