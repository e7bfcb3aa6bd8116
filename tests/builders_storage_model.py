"""The simplest store: dictionaries, one unit after the other. What a real one does is compared with it."""

from builders_storage import RECEIVER
from comity.errors import ComityError, ErrorCode
from comity_broker.storage.protocol import NO_READS, Head, Known


class Shard:
    """One shard's head and rows, each kind by its key."""

    def __init__(self, head):
        self.head = head
        self.rows = {kind: {} for kind in KEYS}

    def known(self, reads=NO_READS) -> Known:
        def chosen(kind, keys):
            return {key: self.rows[kind][key] for key in keys if key in self.rows[kind]}

        return Known(
            reports=chosen("reports", reads.report_ids),
            segments=chosen("segments", reads.segment_ids),
            lanes=chosen("lanes", reads.lanes),
            floors=chosen("floors", reads.floors),
            exceptions=chosen("exceptions", reads.exceptions),
            packets=frozenset(chosen("packets", reads.packets)),
            holdings=chosen("holdings", reads.holdings),
            consumers=chosen("consumers", reads.consumers),
            lane_counts={node: sum(key.node == node for key in self.rows["lanes"]) for node in reads.lanes_of},
            quotas=chosen("quotas", reads.quotas),
            uploads=chosen("uploads", reads.uploads),
        )

    def take(self, rows) -> bool:
        """Take what a unit made, unless a row that may not be replaced is there."""
        given = [(kind, key_of(row), row) for kind, key_of in KEYS.items() for row in getattr(rows, kind)]
        once = [(kind, key) for kind, key, _ in given if kind not in REPLACED]
        if len(set(once)) < len(once) or any(key in self.rows[kind] for kind, key in once):
            return False
        for kind, key, row in given:
            if kind in {"exceptions", "uploads"} and row.state == 0:
                self.rows[kind].pop(key, None)
            else:
                self.rows[kind][key] = row
        self.head = rows.head
        return True

    def sorted(self, kind, key=None) -> list:
        return sorted(self.rows[kind].values(), key=key)


KEYS = {
    "segments": lambda row: row.segment_id,
    "reports": lambda row: row.report_id,
    "batches": lambda row: row.digest,
    "packets": lambda row: row.packet_id,
    "inboxes": lambda row: row[:3],
    "lanes": lambda row: row.key,
    "entries": lambda row: row.log_index,
    "bodies": lambda row: row[:2],
    "tiles": lambda row: row[:2],
    "statements": lambda row: row.log_index,
    "documents": lambda row: row.digest,
    "umbrellas": lambda row: row.log_index,
    "floors": lambda row: row[:3],
    "exceptions": lambda row: row[:4],
    "holds": lambda row: row.log_index,
    "holdings": lambda row: row[:2],
    "consumers": lambda row: row[:2],
    "quotas": lambda row: row[:5],
    "uploads": lambda row: row[:2],
}
REPLACED = {"batches", "documents", "lanes", "floors", "exceptions", "holdings", "consumers", "quotas", "uploads"}


class Model:
    """A store without a disk."""

    def __init__(self, incarnation: bytes):
        self.incarnation = incarnation
        self.shards: dict[str, Shard] = {}

    def commit(self, units) -> list:
        """Do what a store does; give the code of each refusal and None for each commit."""
        return [self._one(unit) for unit in units]

    def _one(self, unit):
        shard = self.shards.get(unit.shard)
        if shard is None and not unit.create:
            return ErrorCode.AGREEMENT_UNKNOWN
        shard = shard or Shard(Head(unit.shard, self.incarnation))
        if unit.expected_epoch not in (None, shard.head.state_epoch):
            return ErrorCode.STATE_CHANGED
        if unit.beside is not None:
            other = self.shards.get(unit.beside[0])
            if other is None or other.head.state_epoch != unit.beside[1]:
                return ErrorCode.STATE_CHANGED
        try:
            rows = unit.build(shard.head, shard.known(unit.reads))
        except ComityError as error:
            return error.code
        except Exception:  # noqa: BLE001 - a model of a store that survives any fault of a build
            return ErrorCode.INTERNAL
        if not shard.take(rows):
            return ErrorCode.INTERNAL
        self.shards[unit.shard] = shard
        return None

    def everything(self) -> dict:
        """What `builders_storage.everything` shows of a store like this."""
        shown = {"consumers": sorted(row for one in self.shards.values() for row in one.rows["consumers"].values())}
        for name in sorted(self.shards):
            one = self.shards[name]
            lanes = one.sorted("lanes", lambda row: row.lane)
            nodes = sorted({row.key.node for row in lanes} | {RECEIVER})
            entries = one.sorted("entries")
            shown[name] = {
                "head": one.head,
                "lanes": lanes,
                "entries": entries,
                "leaf_hashes": [entry.leaf_hash for entry in entries],
                "bodies": one.sorted("bodies"),
                "tiles": [row.root for row in one.sorted("tiles")],
                "statements": one.sorted("statements"),
                "documents": one.sorted("documents"),
                "segments": one.sorted("segments"),
                "reports": one.sorted("reports", lambda row: (row.item, row.slot)),
                "batches": {row.digest: row.record for row in one.rows["batches"].values()},
                "inboxes": [
                    [row for row in one.sorted("inboxes") if row[:2] == (node, lane.lane)]
                    for node in nodes
                    for lane in lanes
                ],
                "floors": one.sorted("floors"),
                "exceptions": one.sorted("exceptions"),
                "holds": one.sorted("holds"),
                "umbrellas": one.sorted("umbrellas"),
                "holdings": one.sorted("holdings"),
                "quotas": one.sorted("quotas"),
                "uploads": one.sorted("uploads"),
            }
        return shown
