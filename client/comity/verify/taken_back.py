"""What originators took back in one agreement's log, and that nothing of it is handed over from then on (docs/verification.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comity.verify.records import require
from comity.verify.segments import Node, Segment
from comity.verify.table import slots_of

_CONTROL = 0


class TakenBack:
    """The reports that were taken back so far, by the node they were due for and their segment."""

    def __init__(self) -> None:
        self._gone: dict[tuple[Node, str], set[int]] = {}

    def take(self, kind: str, told: Mapping[str, Any], segments: Mapping[str, Segment]) -> None:
        """Take a RECALLED or SUPERSEDED; raises FormError. What was not presented is not compared."""
        who = told["actor"]["party"]
        for by in (one for one in [*segments.values()][-1:] if one.entry.records):
            made = [one for slot, one in by.entry.records.items() if slot in by.admitted]
            here = (told["report_id"], told["leaf"]) in {(one["report_id"].hex(), one["leaf"].hex()) for one in made}
            require(here, "what took it back is not in the segment that was admitted last")
            same = by.entry.shared["actor"]["party"] == who
            require(
                same and (kind == "RECALLED") == (by.entry.shared["class"] % 5 == _CONTROL),
                "it is of another party or kind",
            )
        for segment_id, slots in ((one["segment_id"], slots_of(one["slots"])) for one in told["segments"]):
            segment = segments.get(segment_id)
            if segment is not None:
                require(segment.entry.shared["actor"]["party"] == who, "it takes back what another party sent")
                require(set(slots) <= segment.admitted, "it takes back what was not admitted")
            node = told["recipient"]["party"], told["recipient"]["node"]
            self._gone.setdefault((node, segment_id), set()).update(slots)

    def check(self, node: Node, segment_id: str, slots: Sequence[int]) -> None:
        """Check that nothing that is handed over to a node was taken back before; raises FormError."""
        gone = sorted(self._gone.get((node, segment_id), set()).intersection(slots))
        require(not gone, f"slots {gone} were handed over after they had been taken back")
