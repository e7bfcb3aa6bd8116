"""Reports with a file attached, as a node sends and receives them."""

from __future__ import annotations

import os
from pathlib import Path

import comity
from builders_sdk import report
from comity.node.delivery import Delivery
from comity.node.node import Node
from comity.portion import Portion
from comity.report import Report

BOTH = "SECRET//REL TO XAR, XBO"
SIZE = 3_000_000


def video(folder: Path, size: int = SIZE, name: str = "video.mp4") -> Path:
    """Write random bytes into a file."""
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


def with_video(path: Path, of_file: str = BOTH, **fields) -> Report:
    return report("", Portion.of_text("two boats", BOTH), comity.attached(path, of_file, title="Boats"), **fields)


async def received(node: Node) -> list[Delivery]:
    """Give what is due, acknowledged."""
    found = []
    async for delivery in node.receive(follow=False, purpose="counter-terrorism"):
        found.append(delivery)
        delivery.acknowledge()
    return found
