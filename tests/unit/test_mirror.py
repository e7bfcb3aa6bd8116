"""The mirror against a broker that lies: it cannot shrink a log, fork it, leave things out, or put its word for a signature."""

from dataclasses import replace

import pytest

from builders_audit import begun_audit, good_audit, signed_by_all
from builders_audit_log import ORIGIN
from builders_envelope import Stream
from builders_hostile import AGREEMENT, Served, mirror_of, mirrored, refused
from builders_identity import fails
from comity.envelope.core import LogSeen
from comity.envelope.record_list import decode_record_list, encode_record_list
from comity.errors import AccessError, ErrorCode, MalformedError, NotFoundError, VerificationError
from comity.node.alarms import AlarmKind
from comity.node.logs import ForkError, Seen
from comity_broker.auditlog.bodies import BROKER
from comity_broker.auditlog.checkpoint import LogKeys
from comity_broker.auditlog.events import log_frozen
from comity_policy.lifecycle import Phase


def other_log(broker, changed: int):
    """Give the agreement's log with another event from an index on, signed by the same keys."""
    events = list(broker.audit.events)
    events[changed] = log_frozen(time=broker.audit.time, caller=BROKER, reason="another history")
    records = {index: tree for index, tree in broker.audit.records.items() if index != changed}
    return Served.of(ORIGIN, events, broker.audit.log_keys, records, ("XAR", "XBO"))


# --- what is true is taken ------------------------------------------------------------------------------------------


async def test_a_mirror_holds_the_log_the_state_and_the_keys(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        view = mirror.agreement(AGREEMENT)
        assert view.state.phase is Phase.IN_FORCE
        assert view.admits
        assert view.document_bytes == broker.audit.text
        assert [one.officer for one in view.statements][:2] == ["XAR/lia", "XAR/law"]
        assert view.log_seen == LogSeen(bytes(range(16)), len(broker.audit.events), broker.log.checkpoint().root)
        assert mirror.directory.node("XBO", "m1").key_set == broker.audit.key_set("XBO/m1")
        assert mirror.directory.node("XDE", "n1") is None
        assert mirror.key_log_age_ms == 0
        assert not mirror.alarms()


async def test_a_mirror_follows_what_is_added_and_only_asks_for_that(tmp_path):
    audit = good_audit()
    async with mirrored(audit, tmp_path) as (broker, mirror, refresh):
        await refresh()
        before = mirror.pin(AGREEMENT).size
        audit.submit(2)
        broker.publish()
        await refresh()
        assert mirror.pin(AGREEMENT).size == before + 1
        assert [entry.kind for entry in mirror.entries(AGREEMENT, before)] == ["SUBMIT_ACCEPTED"]
        assert mirror.leaf_hash(AGREEMENT, before) == broker.log.leaves[before]


async def test_a_mirror_opened_again_is_the_same_and_takes_what_another_process_fetched(tmp_path):
    audit = good_audit()
    async with mirrored(audit, tmp_path) as (broker, mirror, refresh), broker.connection() as connection:
        await refresh()
        with mirror_of(broker, tmp_path) as second:
            assert second.agreement(AGREEMENT).state.phase is Phase.IN_FORCE
            audit.submit(1)
            broker.publish()
            await second.refresh(connection)
        await refresh()
        assert mirror.pin(AGREEMENT).size == len(audit.events)


async def test_the_age_of_the_view_is_counted_by_our_clock(tmp_path):
    clock = {"now": 5_000}
    audit = good_audit()
    async with mirrored(audit, tmp_path, now_ms=lambda: clock["now"]) as (_, mirror, refresh):
        assert mirror.key_log_age_ms is None
        await refresh()
        clock["now"] = 65_000
        assert mirror.key_log_age_ms == 60_000


async def test_views_of_others_are_compared_with_the_log_at_their_size(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        size = len(broker.log.entries)
        for at in range(size + 1):
            seen = LogSeen(bytes(range(16)), at, broker.log.checkpoint(at).root)
            assert mirror.compare(AGREEMENT, seen) is Seen.CONSISTENT
            assert mirror.compare(AGREEMENT, replace(seen, root=bytes(32))) is Seen.FORK
        assert mirror.compare(AGREEMENT, LogSeen(bytes(16), 1, broker.log.checkpoint(1).root)) is Seen.FORK
        assert mirror.compare(AGREEMENT, LogSeen(bytes(range(16)), size + 1, bytes(32))) is Seen.AHEAD
        assert mirror.compare(None, LogSeen(bytes(range(16)), 3, broker.keys.checkpoint(3).root)) is Seen.CONSISTENT


async def test_roots_of_a_log_of_many_tiles_are_right_at_every_size(tmp_path):
    audit = good_audit()
    async with mirrored(audit, tmp_path) as (broker, mirror, refresh):
        for _ in range(700):
            audit.events.append(log_frozen(time=audit.tick(), caller=BROKER, reason="again"))
        broker.publish()
        await refresh()
        for at in (1, 255, 256, 257, 511, 512, 513, 700, len(audit.events)):
            seen = LogSeen(bytes(range(16)), at, broker.log.checkpoint(at).root)
            assert mirror.compare(AGREEMENT, seen) is Seen.CONSISTENT


# --- forks ----------------------------------------------------------------------------------------------------------


async def test_a_log_that_shrank_is_a_fork_and_the_evidence_is_kept(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        own = mirror.pin(AGREEMENT).note
        broker.log = broker.log.cut(5)
        error = await refused(refresh, ForkError)
        assert error.code is ErrorCode.FORK
        (first, answer) = mirror.evidence()
        assert first[3:] == (own, broker.log.note())
        assert answer[2] == "the broker says that it extends our checkpoint"
        assert broker.presented == [own]
        assert [one.kind for one in mirror.alarms()] == [AlarmKind.FORK]
        fails(lambda: mirror.agreement(AGREEMENT), ErrorCode.FORK, ForkError)


async def test_a_fork_stops_its_agreement_in_a_general_refresh_as_well(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        broker.log = broker.log.cut(5)
        with pytest.raises(ForkError):
            await refresh()
        assert mirror.agreements() == ()
        assert mirror.directory.node("XAR", "n1") is not None


async def test_another_tree_of_the_same_size_is_a_fork(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, _, refresh):
        await refresh()
        broker.log = other_log(broker, len(broker.audit.events) - 1)
        await refused(refresh, ForkError)


async def test_a_longer_log_that_does_not_continue_ours_is_a_fork(tmp_path):
    audit = good_audit()
    async with mirrored(audit, tmp_path) as (broker, _, refresh):
        await refresh()
        at = len(audit.events) - 1
        audit.submit(1)
        broker.log = other_log(broker, at)
        await refused(refresh, ForkError)


async def test_entries_that_are_not_those_the_checkpoint_signs_are_a_fork(tmp_path):
    audit = good_audit()
    async with mirrored(audit, tmp_path) as (broker, mirror, refresh):
        await refresh()
        at = len(audit.events)
        audit.submit(1)
        broker.publish()
        true = broker.log
        broker.lie = lambda method, reply: (
            _entries_of(other_log(broker, at), at, reply) if method == "GetEntries" else reply
        )
        await refused(refresh, ForkError)
        assert mirror.pin(AGREEMENT).size == at
        broker.lie = lambda method, reply: reply
        broker.log = true
        await refresh((AGREEMENT,))
        assert mirror.pin(AGREEMENT).size == at + 1


def _entries_of(served, first, reply):
    if all(entry.log_index < first for entry in reply.entries):
        return reply
    del reply.entries[:]
    reply.entries.extend(served.entry(index, ("shared", "XAR")) for index in range(first, len(served.entries)))
    return reply


async def test_a_new_incarnation_that_nothing_confirmed_is_a_fork(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, _, refresh):
        await refresh()
        other = ORIGIN[:-2] + "ff"
        events = [replace(one) for one in broker.audit.events]
        broker.log = Served.of(other, events, broker.audit.log_keys, broker.audit.records, ("XAR", "XBO"))
        await refused(refresh, ForkError)


@pytest.mark.parametrize("code", [ErrorCode.LOG_UNKNOWN, ErrorCode.RANGE_INVALID])
async def test_a_log_that_is_not_served_as_far_as_before_is_a_fork(tmp_path, code):
    def lie(method, reply):
        if method == "GetCheckpoint" and broker.calls[-2:] != ["GetCheckpoint", "GetCheckpoint"]:
            return reply
        raise NotFoundError("there is no such log here", code=code)

    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        broker.calls.clear()
        broker.lie = lie
        error = await refused(refresh, ForkError)
        assert "not served any more" in error.message
        assert mirror.evidence()[-1][2] == f"the broker answered {code.name} to our checkpoint"


async def test_a_key_log_that_forked_stops_everything(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        broker.keys = broker.keys.cut(6)
        with pytest.raises(ForkError):
            await refresh()
        fails(lambda: mirror.directory, ErrorCode.FORK, ForkError)
        fails(lambda: mirror.agreement(AGREEMENT), ErrorCode.FORK, ForkError)
        assert mirror.agreements() == ()


async def test_a_checkpoint_that_a_stream_brings_must_be_a_part_of_the_log(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        mirror.take_checkpoint(AGREEMENT, broker.log.note(4))
        forged = other_log(broker, 7)
        fails(lambda: mirror.take_checkpoint(AGREEMENT, forged.note(9)), ErrorCode.FORK, ForkError)
        assert mirror.evidence()[0][4] == forged.note(9)


async def test_a_checkpoint_that_a_stream_brings_must_be_reached_by_the_next_refresh(tmp_path):
    audit = good_audit()
    async with mirrored(audit, tmp_path) as (broker, mirror, refresh):
        await refresh()
        before = broker.log
        audit.submit(1)
        broker.publish()
        shown, true = broker.log.note(), broker.log
        mirror.take_checkpoint(AGREEMENT, shown)
        broker.log = before
        await refused(refresh, ForkError)
        broker.log = true
        await refresh((AGREEMENT,))
        mirror.agreement(AGREEMENT)


async def test_a_checkpoint_of_nobody_is_no_checkpoint(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        with pytest.raises(VerificationError):
            mirror.take_checkpoint(AGREEMENT, LogKeys.generate().sign(broker.log.checkpoint()))


# --- signatures and names -------------------------------------------------------------------------------------------


async def test_a_checkpoint_signed_by_other_keys_is_refused(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        await refresh()
        broker.audit.submit(1)
        broker.publish()
        broker.log.keys = LogKeys.generate()
        await refused(refresh)
        assert mirror.pin(AGREEMENT).size == len(broker.log.entries) - 1


async def test_a_checkpoint_that_one_of_both_keys_signed_is_refused(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, _, refresh):
        broker.lie = lambda method, reply: _without_last_signature(reply) if method == "GetCheckpoint" else reply
        await refused(refresh)


def _without_last_signature(reply):
    lines = reply.checkpoint.decode().split("\n")
    reply.checkpoint = ("\n".join(lines[:-2]) + "\n").encode()
    return reply


async def test_a_log_whose_keys_the_brokers_party_never_listed_is_refused(tmp_path):
    audit = begun_audit(log_keys=LogKeys.generate(Stream(b"other log keys")))
    signed_by_all(audit)
    async with mirrored(audit, tmp_path) as (_, mirror, refresh):
        with pytest.raises(VerificationError, match="not listed as a log key"):
            await refresh()
        assert mirror.pin(None) is None


async def test_a_log_of_another_broker_or_agreement_is_not_ours(tmp_path):
    async with mirrored(good_audit(), tmp_path, broker_tls_name="hub.xbo.example") as (_, _, refresh):
        await refused(refresh)
    audit = good_audit()
    async with mirrored(audit, tmp_path / "second") as (broker, _, refresh):
        other = ORIGIN.replace(AGREEMENT, "XAR-XBO-2")
        broker.log = Served.of(other, audit.events, audit.log_keys, audit.records, ("XAR", "XBO"))
        await refused(refresh)


async def test_a_text_that_its_log_does_not_name_is_refused(tmp_path):
    audit = good_audit()
    async with mirrored(audit, tmp_path) as (broker, mirror, refresh):
        broker.lie = lambda method, reply: _other_text(reply) if method == "GetAgreement" else reply
        error = await refused(refresh)
        assert error.code is ErrorCode.DIGEST_MISMATCH
        broker.lie = lambda method, reply: reply
        await refresh((AGREEMENT,))
        assert mirror.agreement(AGREEMENT).document_bytes == audit.text


def _other_text(reply):
    reply.document += b"\n# a word that nobody signed\n"
    return reply


async def test_a_text_that_does_not_load_or_is_of_another_agreement_is_refused(tmp_path):
    async with mirrored(good_audit(), tmp_path) as (broker, _, refresh):
        broker.lie = lambda method, reply: _no_text(reply) if method == "GetAgreement" else reply
        await refused(refresh, MalformedError)


def _no_text(reply):
    reply.document = b"nothing"
    return reply


async def test_an_agreement_of_others_is_none_of_ours(tmp_path):
    async with mirrored(good_audit(), tmp_path, party="XDE") as (_, _, refresh):
        await refused(refresh, AccessError)


# --- entries and bodies ---------------------------------------------------------------------------------------------


def spoilt(change):
    """Give a lie that changes the last entry of a run of entries with our own part."""

    def lie(method, reply):
        if method == "GetEntries" and len(reply.entries[-1].parts) == 2:
            change(reply.entries)
        return reply

    return lie


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda entries: entries[-1].parts.pop(), "came with the parts"),
        (lambda entries: entries[-1].parts.pop(0), "came with the parts"),
        (lambda entries: entries[-1].parts.add(part="XBO", salt=bytes(32)), "came with the parts"),
        (lambda entries: entries[-1].parts.append(entries[-1].parts[0]), "one part twice"),
        (lambda entries: setattr(entries[-1].parts[0], "body", b"{}"), "not the one it commits to"),
        (lambda entries: setattr(entries[-1].parts[1], "salt", bytes(32)), "not the one it commits to"),
        (lambda entries: setattr(entries[-1].parts[1], "salt", b""), "of a wrong size"),
        (lambda entries: setattr(entries[-1], "entry", entries[-1].entry + b"x"), "not an entry"),
        (lambda entries: setattr(entries[-1], "entry", b""), "not an entry"),
        (lambda entries: len(entries) > 1 and setattr(entries[-1], "entry", entries[-2].entry), "states another index"),
        (lambda entries: setattr(entries[-1], "log_index", 99), "others or none came"),
        (lambda entries: entries.pop(0), "others or none came"),
        (lambda entries: entries.__delitem__(slice(None)), "others or none came"),
        (
            lambda entries: setattr(entries[0].parts[0], "records", encode_record_list([(bytes(32), b"x")])),
            "has records that nothing names",
        ),
    ],
)
async def test_a_broker_cannot_leave_out_or_change_what_an_entry_commits_to(tmp_path, change, says):
    async with mirrored(good_audit(), tmp_path) as (broker, mirror, refresh):
        broker.lie = spoilt(change)
        assert says in (await refused(refresh)).message
        assert mirror.pin(AGREEMENT) is None
        broker.lie = lambda method, reply: reply
        await refresh((AGREEMENT,))
        mirror.agreement(AGREEMENT)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda records: encode_record_list(records[:-1]), "without its slot records"),
        (lambda _: b"", "without its slot records"),
        (lambda records: encode_record_list([(records[0][0], records[1][1]), *records[1:]]), "not those it names"),
        (lambda records: encode_record_list([(bytes(32), records[0][1]), *records[1:]]), "not those it names"),
        (lambda records: encode_record_list([(b"", bytes(31)), *records[1:]]), "one is cut short"),
        (lambda records: encode_record_list(records)[:-1], "one is cut short"),
        (lambda records: encode_record_list(records) + b"\x00\x00", "one is cut short"),
        (lambda records: encode_record_list(records)[:-1] + b"\xff", "not those it names"),
    ],
)
async def test_a_broker_cannot_leave_out_or_change_the_record_of_a_report(tmp_path, change, says):
    def lie(method, reply):
        for entry in reply.entries if method == "GetEntries" else ():
            for part in entry.parts:
                if part.records:
                    part.records = change(decode_record_list(part.records))
        return reply

    async with mirrored(good_audit(), tmp_path) as (broker, _, refresh):
        broker.lie = lie
        assert says in (await refused(refresh)).message
