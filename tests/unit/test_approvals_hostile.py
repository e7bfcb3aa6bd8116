"""What a broker makes of approvals that are not what they say: of other bytes, by other people, too few, too many."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders_approvals import TWO, approving, received, signer_of
from builders_identity import nation
from builders_sdk import AGREEMENT, report
from comity.envelope.evidence import encode_approvals, sign_approval
from comity.envelope.forwarding import with_approvals
from comity.errors import ComityError, ErrorCode, MalformedError
from comity_broker.services import publishing
from comity_policy.explanation import RemedyAction
from comity_policy.facts import Role


class Forging:
    """A node that puts what it likes beside a report, whatever its officers signed."""

    def __init__(self, world, monkeypatch) -> None:
        self.world = world
        self.monkeypatch = monkeypatch

    async def send(self, approvals) -> ComityError | None:
        """Send a report with the approvals that `approvals(item)` makes; give why the broker refused it."""
        honest = publishing.parse_in_slices

        async def parsed(data, memo):
            segment = await honest(data, memo)
            ((_, item),) = segment.whole
            return await honest(with_approvals(data, {0: approvals(item)}), memo)

        self.monkeypatch.setattr(publishing, "parse_in_slices", parsed)
        try:
            async with self.world.node("XAR") as sender:
                await sender.send(report(), agreement=AGREEMENT, approved_by=self.world.approvers(*TWO))
        except ComityError as error:
            return error
        finally:
            self.monkeypatch.setattr(publishing, "parse_in_slices", honest)
        return None


async def test_false_approvals_refuse_the_slot_and_let_nothing_in(tmp_path, monkeypatch):
    async with approving(tmp_path) as world:
        forging = Forging(world, monkeypatch)
        duty, release = (world.officers[name] for name in TWO)
        foreign = await world.officer(world.shared.world.xbo, "foreign1", Role.DUTY_OFFICER)
        gone = await world.officer(world.shared.world.xar, "gone1", Role.DUTY_OFFICER)
        revoked = world.shared.world.xar.revocation(signer_of(gone).fingerprint)
        world.shared.world.broker.keys.apply(revoked, log_index=10_000, at_ms=world.shared.world.clock.now_ms())

        def sound(item):
            return sign_approval(signer_of(duty), item.leaf, Role.DUTY_OFFICER, 1)

        cases = {
            "of another leaf": lambda item: [
                sound(item),
                sign_approval(signer_of(release), bytes(48), Role.RELEASE_AUTHORITY, 1),
            ],
            "by the other party": lambda item: [
                sound(item),
                sign_approval(signer_of(foreign), item.leaf, Role.DUTY_OFFICER, 1),
            ],
            "by a revoked officer": lambda item: [
                sound(item),
                sign_approval(signer_of(gone), item.leaf, Role.DUTY_OFFICER, 1),
            ],
            "in a role that is not held": lambda item: [
                sound(item),
                sign_approval(signer_of(release), item.leaf, Role.PLENIPOTENTIARY, 1),
            ],
            "with another time than was signed": lambda item: [
                replace(sound(item), time=2),
                sign_approval(signer_of(release), item.leaf, Role.RELEASE_AUTHORITY, 1),
            ],
        }
        for name, approvals in cases.items():
            refused = await forging.send(approvals)
            assert refused is not None, name
            assert refused.code is ErrorCode.REJECTED, name
        assert await received(world) == []


async def test_too_few_approvals_are_refused_by_the_clause_that_asks_for_them(tmp_path, monkeypatch):
    async with approving(tmp_path) as world:
        forging = Forging(world, monkeypatch)
        duty = world.officers["duty1"]
        refused = await forging.send(lambda item: [sign_approval(signer_of(duty), item.leaf, Role.DUTY_OFFICER, 1)])
        assert refused is not None
        assert [one.clause_id for one in refused.clauses] == ["26"]
        assert refused.clauses[0].remedy.action is RemedyAction.SECOND_OFFICER
        assert await forging.send(lambda _: []) is not None
        assert await received(world) == []


async def test_one_person_with_two_keys_is_one_officer(tmp_path, monkeypatch):
    """Between two listings of a rotation both keys may count; the person is one."""
    async with approving(tmp_path) as world:
        forging = Forging(world, monkeypatch)
        duty, release = (world.officers[name] for name in TWO)
        keys = world.shared.world.broker.keys
        honest, second = keys.officer_by_key, signer_of(release).fingerprint

        def one_person(key, now_ms, log_size=None):
            record = honest(key, now_ms, log_size)
            return replace(record, officer="duty1") if key == second else record

        monkeypatch.setattr(keys, "officer_by_key", one_person)
        refused = await forging.send(
            lambda item: [
                sign_approval(signer_of(duty), item.leaf, Role.DUTY_OFFICER, 1),
                sign_approval(signer_of(release), item.leaf, Role.RELEASE_AUTHORITY, 1),
            ]
        )
        assert refused is not None
        assert [one.clause_id for one in refused.clauses] == ["26"]


def test_more_approvals_than_sixteen_are_no_segment():
    xar = nation("XAR")
    approvals = [
        sign_approval(signer_of(xar.officer(f"o{number}")), bytes(48), Role.LIAISON, 1) for number in range(17)
    ]
    with pytest.raises(MalformedError):
        encode_approvals(approvals)
