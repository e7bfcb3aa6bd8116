"""What may leave: decided for every portion and every node before anything is sealed, and explained where it may not."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from builders_audit import fresh_audit
from builders_egress import AGREEMENT, SENDER, clearing, report
from builders_identity import HOUR
from comity.canonical import loads
from comity.errors import ErrorCode, KeyFault, MalformedError, RefusedError
from comity.node.egress import Egress
from comity.node.portion_inputs import CONTENT_BYTES
from comity.node.signed_terms import DEFAULT_KEEP_MS
from comity.suites import Suite
from comity.verify.trees import EMPTY_ROOT
from comity_policy.facts import Precedence, Role
from comity_policy.groups import Membership, bundled, day_of
from comity_policy.steps import StepKind


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


async def test_a_permitted_report_goes_to_the_accredited_nodes_of_its_addressees(tmp_path):
    async with clearing(tmp_path) as world:
        cleared = world.egress.clear(report(), AGREEMENT)
        assert cleared.nodes == (("XBO/m1", (0,)),)
        assert cleared.refused_parties == ()
        assert cleared.profile.suite == Suite.HYBRID


async def test_a_preview_says_the_same_as_what_is_sent(tmp_path):
    async with clearing(tmp_path) as world:
        preview = world.egress.preview(report(), AGREEMENT)
        assert preview.permitted
        assert preview.refusal is None
        assert [(one.node, one.portions, one.withheld) for one in preview.nodes] == [("XBO/m1", (0,), ())]
        assert preview.expires_at == world.egress.clear(report(), AGREEMENT).times.expires_at


async def test_a_refused_report_is_explained_the_same_in_a_preview_and_in_the_error(tmp_path):
    async with clearing(tmp_path, accredited=False) as world:
        refused = world.refusal(report())
        preview = world.egress.preview(report(), AGREEMENT)
        assert isinstance(refused, RefusedError)
        assert not preview.permitted
        assert preview.refusal.clauses == refused.clauses == preview.explanations
        assert (preview.refusal.code, preview.refusal.message) == (refused.code, refused.message)
        assert refused.clauses
        assert all(one.remedy for one in preview.explanations)
        assert refused.what_to_do


async def test_an_agreement_that_is_suspended_refuses_under_a_code_of_its_own(tmp_path):
    audit = fresh_audit()
    suspension = audit.statement(StepKind.SUSPEND, "XBO/lia", Role.LIAISON, clauses=(), reason="a leak")
    audit.step(suspension, StepKind.SUSPEND)
    async with clearing(tmp_path, audit) as world:
        refused = world.refusal(report())
        assert refused.code is ErrorCode.AGREEMENT_NOT_IN_FORCE
        assert world.egress.preview(report(), AGREEMENT).refusal.code is refused.code


async def test_the_clock_moving_on_is_seen_where_the_mirror_stays_the_same(tmp_path):
    async with clearing(tmp_path) as world:
        world.egress.clear(report(), AGREEMENT)
        world.now += 3000 * 24 * HOUR
        with pytest.raises((KeyFault, RefusedError)):
            world.egress.clear(report(), AGREEMENT)


async def test_a_node_the_broker_does_not_list_may_send_nothing(tmp_path):
    async with clearing(tmp_path) as world:
        nowhere = Egress(world.mirror, replace(SENDER, name="nowhere"), lambda: world.now)
        with pytest.raises(KeyFault) as caught:
            nowhere.clear(report(), AGREEMENT)
        error = caught.value
        assert error.code is ErrorCode.NOT_ENROLLED
        assert "comity node enrol" in error.what_to_do


async def test_reports_in_turn_are_each_cleared_as_if_it_came_alone(tmp_path):
    """What is kept of the report before must not be taken for the next one's."""
    async with clearing(tmp_path) as world:
        plain, grouped = report(), report(marking="SECRET//REL TO XAR, XSEA")
        others = [
            report(title="a title"),
            grouped,
            replace(plain, portions=(replace(plain.portions[0], extra={"grading": "B2"}),)),
            replace(plain, portions=(replace(plain.portions[0], marking=grouped.portions[0].marking),)),
            replace(plain, portions=(*plain.portions, *plain.portions)),
            replace(plain, precedence=Precedence.PRIORITY),
            replace(plain, portions=(replace(plain.portions[0], warn=True),)),
        ]
        for one in [turn for other in others for turn in (plain, other)]:
            alone = Egress(world.mirror, SENDER, lambda: world.now).clear(one, AGREEMENT)
            cleared = world.egress.clear(one, AGREEMENT)
            assert (cleared.profile, cleared.portions, cleared.nodes) == (alone.profile, alone.portions, alone.nodes)


# --- times ----------------------------------------------------------------------------------------------------------


async def test_a_report_may_be_handed_over_at_once_and_is_kept_as_long_as_the_agreement_allows(tmp_path):
    async with clearing(tmp_path) as world:
        times = world.egress.clear(report(), AGREEMENT).times
        assert times.created_at == times.not_before == world.now
        assert world.now < times.expires_at <= world.now + DEFAULT_KEEP_MS


async def test_a_moment_that_has_passed_is_not_signed_as_not_before(tmp_path):
    async with clearing(tmp_path) as world:
        early = report(not_before=moment(world.now - HOUR), expires_at=moment(world.now + HOUR))
        assert world.egress.clear(early, AGREEMENT).times.not_before == world.now


@pytest.mark.parametrize(("not_before", "expires_at"), [(None, -1), (None, 0), (-HOUR, 0), (31 * 24 * HOUR, None)])
async def test_a_report_that_expires_before_it_may_be_handed_over_is_a_mistake(tmp_path, not_before, expires_at):
    async with clearing(tmp_path) as world:
        start = None if not_before is None else moment(world.now + not_before)
        end = None if expires_at is None else moment(world.now + expires_at)
        late = report(not_before=start, expires_at=end)
        assert isinstance(world.refusal(late), MalformedError)


# --- groups ---------------------------------------------------------------------------------------------------------

MINUTE = HOUR // 60
TO_THE_SEA_LEAGUE = "SECRET//REL TO XAR, XSEA"


async def test_a_group_gives_way_to_its_members_of_the_day_and_the_header_keeps_which(tmp_path):
    async with clearing(tmp_path) as world:
        day = day_of(world.now)
        cleared = world.egress.clear(report(marking=TO_THE_SEA_LEAGUE), AGREEMENT)
        assert cleared.nodes == (("XBO/m1", (0,)),)
        (marked,) = cleared.profile.portions
        assert marked.label.releasable_to == bundled().on(day)["XSEA"] | {"XAR"}
        assert loads(cleared.portions[0].encoded_header)["groups"] == {
            "codes": ["XSEA"],
            "day": day.isoformat(),
            "digest": bundled().digest,
        }
        assert world.egress.preview(report(marking=TO_THE_SEA_LEAGUE), AGREEMENT).permitted


async def test_after_midnight_the_same_marking_means_the_members_of_the_new_day(tmp_path):
    audit = fresh_audit()
    audit.time += 16 * HOUR - 5 * MINUTE  # from 8 in the morning to shortly before midnight, UTC
    async with clearing(tmp_path, audit) as world:
        today, founded = day_of(world.now), date(2020, 1, 1)
        leaving = Membership("XDE", founded, today + timedelta(days=1))
        groups = replace(bundled(), memberships={"XSEA": (leaving, Membership("XBO", founded))})
        egress = Egress(world.mirror, SENDER, lambda: world.now, groups)
        released = []
        for _ in range(2):
            cleared = egress.clear(report(marking=TO_THE_SEA_LEAGUE), AGREEMENT)
            released.append(cleared.profile.portions[0].label.releasable_to)
            world.now += 10 * MINUTE
        assert released == [{"XAR", "XBO", "XDE"}, {"XAR", "XBO"}]


async def test_a_group_nobody_knows_is_refused_before_anything_is_sealed(tmp_path):
    async with clearing(tmp_path) as world:
        refused = world.refusal(report(marking="SECRET//REL TO XAR, XYZW"))
        assert isinstance(refused, MalformedError)
        assert "unknown group 'XYZW'" in refused.message


# --- what this release does not carry -------------------------------------------------------------------------------


async def test_a_portion_that_is_too_large_is_refused_before_it_is_sealed(tmp_path):
    async with clearing(tmp_path) as world:
        assert world.egress.clear(report("a" * CONTENT_BYTES), AGREEMENT)
        error = world.refusal(report("a" * (CONTENT_BYTES + 1)))
        assert error.code is ErrorCode.LIMIT_EXCEEDED
        assert error.what_to_do


async def test_an_exercise_is_signed_as_one_beside_a_report_that_is_like_it_in_all_else(tmp_path):
    async with clearing(tmp_path) as world:
        real, play = (world.egress.clear(report(exercise=one), AGREEMENT) for one in (False, True))
        assert (real.profile.exercise, play.profile.exercise) == (False, True)
        # What it says of the log it was sealed under is of the exercise's own, which nobody has begun yet.
        assert (play.view.log_seen.size, play.view.log_seen.root) == (0, EMPTY_ROOT)
        assert play.view.log_seen.incarnation == real.view.log_seen.incarnation
        assert real.view.log_seen.size > 0


async def test_a_reference_to_another_report_has_one_of_the_known_words(tmp_path):
    async with clearing(tmp_path) as world:
        leaf, other = bytes(48), uuid4()
        cleared = world.egress.clear(report(refers_to=[("supersedes", other, leaf)]), AGREEMENT)
        assert [(one.report_id, one.leaf) for one in cleared.refers_to] == [(other.bytes, leaf)]
        error = world.refusal(report(refers_to=[("replaces", other, leaf)]))
        assert isinstance(error, MalformedError)
        assert "supersedes" in error.message
