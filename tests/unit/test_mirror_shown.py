"""What a stream shows of a log while the mirror fetches it: ahead is no fork, another tree is one, and nothing shown is forgotten."""

from builders_audit import good_audit
from builders_audit_log import ORIGIN
from builders_hostile import AGREEMENT, Served, mirrored, refused
from comity.node.logs import ForkError
from comity_broker.auditlog.bodies import BROKER
from comity_broker.auditlog.events import log_frozen


def showing(mirror, note: bytes):
    """Give a lie that shows a checkpoint to the mirror at the moment entries are on their way to it."""
    left = [note]

    def lie(method: str, reply: object) -> object:
        if method == "GetEntries" and left:
            mirror.take_checkpoint(AGREEMENT, left.pop())
        return reply

    return lie


async def test_a_checkpoint_shown_during_a_refresh_may_be_ahead_of_it_and_is_for_the_next_one(tmp_path):
    audit = good_audit()
    async with mirrored(audit, tmp_path) as (broker, mirror, refresh):
        await refresh()
        audit.submit(1)
        broker.publish()
        fetched = broker.log
        audit.submit(1)
        broker.publish()
        ahead = broker.log
        broker.log, broker.lie = fetched, showing(mirror, ahead.note())
        await refresh((AGREEMENT,))
        assert mirror.pin(AGREEMENT).size == len(fetched.entries)
        assert not mirror.alarms()
        await refused(refresh, ForkError)  # the log must come to what was shown
        broker.log = ahead
        await refresh((AGREEMENT,))
        assert mirror.pin(AGREEMENT).size == len(ahead.entries)


async def test_another_tree_shown_during_a_refresh_is_a_fork(tmp_path):
    audit = good_audit()
    async with mirrored(audit, tmp_path) as (broker, mirror, refresh):
        await refresh()
        audit.submit(1)
        events = [*audit.events[:-1], log_frozen(time=audit.time, caller=BROKER, reason="another history")]
        forged = Served.of(ORIGIN, events, audit.log_keys, audit.records, ("XAR", "XBO"))
        audit.submit(1)
        broker.publish()
        broker.lie = showing(mirror, forged.note())
        await refused(refresh, ForkError)
        assert mirror.alarms()
