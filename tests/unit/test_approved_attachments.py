"""Reports with attachments before their officers: what is shown is what is sealed, and what is sealed is what goes, or nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import comity
from builders_approvals import TWO, approver, approving, signer_of
from builders_sdk import AGREEMENT, report
from comity.attachment import Into
from comity.errors import AccessError, ConflictError, ErrorCode, StorageError
from comity.node.alarms import AlarmKind
from comity.node.approving import Approver, ToApprove
from comity.node.attached_files import AttachedFiles
from comity.node.offline import own_opener
from comity.portion import Portion

BOTH = "SECRET//REL TO XAR, XBO"
SIZE = 1_200_000


def with_video(folder: Path, text: str = "two boats"):
    path = folder / "video.mp4"
    path.write_bytes(os.urandom(SIZE))
    attached = comity.attached(path, BOTH, media_type="video/mp4", title="Boats")
    return report("", Portion.of_text(text, BOTH), attached), path.read_bytes()


def outbox(world) -> Path:
    return world.shared.access("XAR").place.outbox


def sealed(world) -> list[Path]:
    folder = outbox(world) / "attachments"
    return sorted(folder.iterdir()) if folder.exists() else []


def approve(world, sender, held, *names: str, unlocked: bool = True, agrees: Callable[[ToApprove], bool] | None = None):
    """Have officers approve later, with the node's keys unlocked or not; give what each was shown."""
    ring = world.shared.access("XAR").ring
    opener = (lambda: own_opener(sender.identity, ring)) if unlocked else None
    shown: list[ToApprove] = []
    with world.offline(sender) as offline:
        for name in names:
            officer = approver(world.officers[name], shown)
            if agrees is not None:
                officer = Approver(officer.identity, officer.signers, agrees)
            offline.approve(held.report.report_id, officer, opener)
    return shown


async def received(world, folder: Path) -> list[tuple[str, bytes]]:
    """Give the texts and attachments that XBO receives."""
    found = []
    async with world.node("XBO") as reader:
        async for delivery in reader.receive(follow=False, purpose="counter-terrorism"):
            async with delivery as one:
                saved = [await each.save(folder / str(one.report_id)) for each in one.attachments]
                found.append((one.text, *(each.path.read_bytes() for each in saved)))
    return found


async def test_officers_see_what_is_attached_and_it_goes_with_the_next_process(tmp_path):
    async with approving(tmp_path) as world:
        async with world.node("XAR") as sender:
            sent, content = with_video(tmp_path)
            told = []
            held = await sender.await_approval(sent, agreement=AGREEMENT, progress=told.append)
            assert (told[-1].portion, told[-1].done) == (1, SIZE)
            (ciphertext,) = sealed(world)
            assert content[:100] not in ciphertext.read_bytes()
            (shown,) = approve(world, sender, held, "duty1")
            text, video = shown.portions
            assert (text.text, text.file) == ("two boats", None)
            assert (video.file_name, video.media_type, video.title) == ("video.mp4", "video/mp4", "Boats")
            assert (video.size, video.digest) == (SIZE, hashlib.sha384(content).hexdigest())
            saved = video.file.save(Into(tmp_path / "look", lambda portion: portion.file_name))
            assert (saved.path, saved.new) == (tmp_path / "look" / "video.mp4", True)
            assert saved.path.read_bytes() == content
            assert not video.file.save(tmp_path / "look" / "video.mp4").new
        # The process ends; an officer approves without one; the next one sends what it finds.
        assert sealed(world) == [ciphertext]
        async with world.node("XAR") as sender:
            await sender.settle()
            assert (sender.released, sealed(world)) == ((), [ciphertext])
            approve(world, sender, held, "release1", unlocked=False)
        async with world.node("XAR") as sender:
            await sender.settle()
            assert sender.released == (held.report.report_id,)
            assert not sender.alarms()
        assert await received(world, tmp_path / "in") == [("two boats", content)]


async def test_officers_at_once_send_it_and_one_who_declines_leaves_nothing_of_it(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        sent, content = with_video(tmp_path)
        shown: list[ToApprove] = []
        first = approver(world.officers["duty1"], shown)
        declining = Approver(
            world.officers["release1"].identity, (signer_of(world.officers["release1"]),), lambda _: False
        )
        with pytest.raises(AccessError, match="did not approve"):
            await sender.send(sent, agreement=AGREEMENT, approved_by=[first, declining])
        assert sealed(world) == []
        with world.offline(sender) as offline:
            assert offline.waiting() == ()
        receipt = await sender.send(sent, agreement=AGREEMENT, approved_by=world.approvers(*TWO))
        assert shown[0].portions[1].digest == hashlib.sha384(content).hexdigest()
        assert receipt.recipients == (("XBO/n1", (0, 1)),)
        assert await received(world, tmp_path / "in") == [("two boats", content)]


@pytest.mark.parametrize("unlocked", [True, False])
async def test_nobody_approves_what_lies_in_the_outbox_and_was_not_sealed(tmp_path, unlocked):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        held = await sender.await_approval(with_video(tmp_path)[0], agreement=AGREEMENT)
        (path,) = sealed(world)
        right = path.read_bytes()

        def asked(_: ToApprove) -> bool:
            raise AssertionError("an officer was asked")

        for wrong in (right[:-1], right + b"x", right[:600_000] + b"x" + right[600_001:], os.urandom(len(right)), None):
            if wrong is None:
                path.unlink()
            else:
                path.write_bytes(wrong)
            with pytest.raises(StorageError):
                approve(world, sender, held, "duty1", unlocked=unlocked, agrees=asked)
        path.write_bytes(right)
        approve(world, sender, held, *TWO, unlocked=unlocked)


async def test_what_is_swapped_after_its_approval_reaches_nobody(tmp_path):
    """Bytes of the file: the broker finds them. File and row: the sender does, before it uploads anything."""
    async with approving(tmp_path) as world:
        async with world.node("XAR") as sender:
            first = await sender.await_approval(with_video(tmp_path)[0], agreement=AGREEMENT)
            (path,) = sealed(world)
            approve(world, sender, first, *TWO)
            path.write_bytes(os.urandom(path.stat().st_size))
            assert await sender._sender._awaiting.release_ready() == (first.report.report_id,)
            await sender.settle()
            assert "UPLOAD_MISMATCH" in next(iter(sender.alarms())).detail
            second = await sender.await_approval(with_video(tmp_path)[0], agreement=AGREEMENT)
            (swapped,) = set(sealed(world)) - {path}
            approve(world, sender, second, *TWO)
            content = os.urandom(swapped.stat().st_size)
            swapped.write_bytes(content)
            database = apsw.Connection(str(outbox(world) / "attachments.sqlite"))
            database.execute(
                "UPDATE file SET digest = ? WHERE name = ?", (hashlib.sha384(content).digest(), swapped.name)
            )
            database.close()
            assert await sender._sender._awaiting.release_ready() == ()
            with world.offline(sender) as offline:
                assert [one.report.report_id for one in offline.waiting()] == [second.report.report_id]
        assert await received(world, tmp_path / "in") == []


async def test_an_approval_of_one_attachment_is_none_of_another(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        held = [await sender.await_approval(with_video(tmp_path)[0], agreement=AGREEMENT) for _ in range(2)]
        approved, other = (one.report.report_id for one in held)
        approve(world, sender, held[0], *TWO)
        database = apsw.Connection(str(outbox(world) / "waiting.sqlite"))
        database.execute("UPDATE approval SET report_id = ? WHERE report_id = ?", (other.bytes, approved.bytes))
        database.close()
        assert await sender._sender._awaiting.release_ready() == ()
        with world.offline(sender) as offline:
            assert [one.approved_by for one in offline.waiting()] == [(), ()]


async def test_what_waited_too_long_and_what_was_never_stored_leave_no_file(tmp_path):
    async with approving(tmp_path) as world:
        async with world.node("XAR") as sender:
            held = await sender.await_approval(with_video(tmp_path)[0], agreement=AGREEMENT)
            (path,) = sealed(world)
            # As of a process that died between the files of a report and the report.
            files = AttachedFiles(outbox(world), os.urandom)
            name = files.begin()
            files.write(name, [b"sealed"], lambda: None)
            files.keep(bytes(48), [(name, 0, bytes(48), 6)])
            files.close()
        async with world.node("XAR") as sender:
            await sender.settle()
            assert sealed(world) == [path]
        async with world.node("XAR", now_ms=lambda: held.until_ms) as sender:
            await sender.settle()
            assert [one.kind for one in sender.alarms()] == [AlarmKind.NOT_TAKEN]
            assert sealed(world) == []


async def test_a_file_that_is_looked_at_takes_no_other_files_place(tmp_path):
    async with approving(tmp_path) as world, world.node("XAR") as sender:
        held = await sender.await_approval(with_video(tmp_path)[0], agreement=AGREEMENT)
        (shown,) = approve(world, sender, held, "duty1")
        (tmp_path / "there").write_bytes(b"something else")
        with pytest.raises(ConflictError) as caught:
            shown.portions[1].file.save(tmp_path / "there")
        assert caught.value.code is ErrorCode.FILE_EXISTS
        (path,) = sealed(world)
        path.write_bytes(os.urandom(path.stat().st_size))
        with pytest.raises(StorageError):
            shown.portions[1].file.save(tmp_path / "new")
        assert not (tmp_path / "new").exists()
