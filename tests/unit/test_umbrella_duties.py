"""What an umbrella says of reports is owed under its arrangements: reading, keeping, correcting, and who certifies it."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace

import pytest

from builders_acting import Officers, answering, refreshed, wall_ms
from builders_acts import DAY, MINUTE, TRACKED, Case
from builders_every_kind import clause_text
from builders_life import amended
from builders_lifecycle import TEXT, amending, digest_of, in_force, treaty
from builders_sdk import AGREEMENT, Shared, report, sharing
from builders_treaty import Treaty
from comity.node.directory import ORDER_MS
from comity.node.duties import duties_of
from comity.node.mirror import Mirror
from comity.texts import agreement_digest
from comity_policy import clauses as kinds
from comity_policy.acts import ActKind
from comity_policy.clauses import Clause, Span
from comity_policy.facts import Precedence
from comity_policy.obligations import DutyKind, DutyState, Tracked
from comity_policy.sections import Amends, AppliesTo, Under
from comity_policy.steps import StepKind
from comity_policy.transitions import TransitionError

UMBRELLA = "XAR-XBO-GSA"
KEEP = kinds.Retention(id="2", text=TEXT, longest=Span(days=7), witnesses=1)
READ = next(one for one in TRACKED if isinstance(one, kinds.PrecedenceRule))
PERSONAL = next(one for one in TRACKED if isinstance(one, kinds.PersonalDataRule))
OTHER = tuple(one for one in treaty().clauses if not isinstance(one, kinds.Retention))


def under(*clauses: Clause, own: tuple[Clause, ...] = (), **changes: object) -> Case:
    """Give an arrangement in force with those clauses of its own, under an umbrella with these."""
    life = in_force(id=UMBRELLA, kind="umbrella", clauses=(treaty().clauses[0], *clauses), **changes)
    named = Under(UMBRELLA, f"sha384:{digest_of(life.document).hex()}")
    return Case(in_force(kind="arrangement", under=named, clauses=(*OTHER, *own)), umbrella=life)


def standing(case: Case, *of: DutyKind) -> list[tuple[str, int, DutyState]]:
    return [(one.duty.clause_id, one.duty.due_ms - case.handovers[0].at_ms, one.state) for one in case.owed(*of)]


def test_reading_and_keeping_times_of_the_umbrella_are_owed_under_the_arrangement():
    case = under(KEEP, READ)
    handed = case.hand(precedence=Precedence.FLASH)
    assert standing(case) == [
        (f"{UMBRELLA}/21", 5 * MINUTE, DutyState.OPEN),
        (f"{UMBRELLA}/2", 7 * DAY, DutyState.OPEN),
    ]
    case.read(handed)
    case.wait(7 * DAY + 1)
    assert [one[2] for one in standing(case)] == [DutyState.DONE, DutyState.OVERDUE]


def test_both_texts_are_owed_each_by_its_own_time():
    case = under(KEEP, own=(kinds.Retention(id="2", text=TEXT, longest=Span(days=30)),))
    case.hand()
    assert [one[:2] for one in standing(case)] == [(f"{UMBRELLA}/2", 7 * DAY), ("2", 30 * DAY)]


@pytest.mark.parametrize("survives", [False, True])
def test_what_the_umbrella_asks_ends_with_it_unless_it_survives(survives):
    lasting = (kinds.Survives(id="9", text=TEXT, clauses=("2",)),) if survives else ()
    case = under(KEEP, *lasting, own=(kinds.Retention(id="2", text=TEXT, longest=Span(days=30)),))
    case.umbrella.take(StepKind.NOTICE, "XAR", reason="Enough.")
    end = case.umbrella.state().departures["XAR"].at_ms
    at = end - DAY
    case.life.now = case.umbrella.now = at
    case.hand()
    assert standing(case)[0][:2] == (f"{UMBRELLA}/2", 7 * DAY if survives else DAY)
    assert standing(case)[-1][:2] == ("2", 30 * DAY)


def test_an_umbrella_that_was_amended_asks_by_the_text_that_the_arrangement_names():
    case = under(KEEP)
    longer = (treaty().clauses[0], kinds.Retention(id="2", text=TEXT, longest=Span(days=300)))
    case.umbrella.amended(amending(case.umbrella.document, clauses=longer))
    case.life.now = case.umbrella.now
    assert case.umbrella.state().document.version == 2
    case.hand()
    assert standing(case) == [(f"{UMBRELLA}/2", 7 * DAY, DutyState.OPEN)]


def test_a_certificate_counts_by_the_umbrellas_clause_and_needs_its_witnesses():
    case = under(KEEP)
    handed = case.hand()
    named = {"originator": "XAR", "reports": (handed.report,), "leaves": (handed.leaf,)}
    with pytest.raises(TransitionError, match="needs 1 witnesses"):
        case.take(ActKind.CERTIFY, "XBO", **named)
    with pytest.raises(TransitionError, match="in an emergency is not allowed"):
        case.take(ActKind.CERTIFY, "XBO", **named, cause="emergency", witnesses=("XBO/second",))
    case.take(ActKind.CERTIFY, "XBO", **named, witnesses=("XBO/second",))
    assert [one[2] for one in standing(case)] == [DutyState.DONE]


ALLOWS = kinds.Retention(id="2", text=TEXT, longest=Span(days=30), emergency_destruction=True)


@pytest.mark.parametrize(("above", "own", "allowed"), [(KEEP, ALLOWS, 0), (ALLOWS, KEEP, 0), (ALLOWS, ALLOWS, 1)])
def test_destruction_in_an_emergency_needs_to_be_allowed_by_both(above, own, allowed):
    case = under(above, own=(own,))
    handed = case.hand()
    named = {"originator": "XAR", "reports": (handed.report,), "leaves": (handed.leaf,), "cause": "emergency"}
    refused = contextlib.nullcontext() if allowed else pytest.raises(TransitionError, match="emergency is not allowed")
    with refused:
        case.take(ActKind.CERTIFY, "XBO", **named, witnesses=("XBO/second",))
    assert len(case.acts) == allowed


def test_a_correction_that_the_umbrella_gives_a_right_to_is_owed_and_its_other_cases_are_not():
    case = under(PERSONAL)
    handed = case.hand()
    named = {"reports": (handed.report,), "leaves": (handed.leaf,)}
    case.take(ActKind.ASK_CORRECTION, "XAR", holder="XBO", **named)
    assert standing(case) == [(f"{UMBRELLA}/26", 5 * DAY, DutyState.OPEN)]
    case.take(ActKind.CORRECTED, "XBO", originator="XAR", **named)
    assert [one[2] for one in standing(case)] == [DutyState.DONE]
    with pytest.raises(TransitionError, match="means nothing there"):
        case.take(ActKind.REVIEW_PERSONAL, "XBO")


def test_without_its_umbrella_an_arrangement_takes_no_such_act():
    case = under(KEEP)
    handed = case.hand()
    case.umbrella = None
    assert case.owed() == []
    named = {"originator": "XAR", "reports": (handed.report,), "leaves": (handed.leaf,)}
    with pytest.raises(TransitionError, match="means nothing there"):
        case.take(ActKind.CERTIFY, "XBO", **named, witnesses=("XBO/second",))


def test_how_long_is_kept_is_of_the_version_that_admitted_it():
    case = Case(in_force())
    admitted_at = case.now
    longer = kinds.Retention(id="2", text=TEXT, longest=Span(days=365))
    case.life.amended(amending(case.life.document, clauses=(*OTHER, longer)))
    assert case.life.state().document.version == 2
    case.wait(DAY)
    case.hand(admitted_at=admitted_at)
    (found,) = case.owed(DutyKind.END_KEEPING)
    assert found.duty.due_ms == admitted_at + 30 * DAY


@pytest.mark.parametrize(
    ("applies_to", "days", "kept"), [("new", 7, 30), ("held-if-stricter", 7, 7), ("held-if-stricter", 90, 30)]
)
def test_a_version_that_applies_to_what_is_held_shortens_its_keeping_and_never_lengthens_it(applies_to, days, kept):
    case = Case(in_force())
    handed = case.hand()
    assert standing(case, DutyKind.END_KEEPING)[0][1] == 30 * DAY
    other = kinds.Retention(id="2", text=TEXT, longest=Span(days=days))
    second = amending(case.life.document, clauses=(*OTHER, other))
    amends = Amends(1, second.amends.digest, AppliesTo(applies_to))
    case.life.amended(replace(second, amends=amends))
    assert case.life.state().document.version == 2
    (found,) = case.owed(DutyKind.END_KEEPING)
    assert found.duty.due_ms == handed.admitted_at + kept * DAY


# --- at a broker that runs ------------------------------------------------------------------------------------------


def arranged(text: bytes, umbrella: bytes) -> bytes:
    """Give a text as an arrangement without retention under an umbrella."""
    head, *clauses = text.split(b"[[clause]]")
    kept = b"[[clause]]".join([head, *(one for one in clauses if b'kind = "retention"' not in one)])
    named = f'[under]\nagreement = "{UMBRELLA}"\ndigest = "sha384:{agreement_digest(umbrella).hex()}"\n\n'
    kept = kept.replace(b"[entry_into_force]", named.encode() + b"[entry_into_force]", 1)
    return kept.replace(b'kind = "agreement"', b'kind = "arrangement"')


def as_umbrella(text: bytes) -> bytes:
    """Give a text as an umbrella: without grants, with a retention of an hour."""
    head, *clauses = text.split(b"[[clause]]")
    kept = [one for one in clauses if b'kind = "scope"' not in one and b'kind = "retention"' not in one]
    text = b"[[clause]]".join([head, *kept]).replace(b'kind = "agreement"', b'kind = "umbrella"')
    text = text.replace(f'"{AGREEMENT}"'.encode(), f'"{UMBRELLA}"'.encode())
    return text + clause_text("40", "retention", "longest = { hours = 1 }\nwitnesses = 1").encode()


def keeping(mirror: Mirror, shared: Shared) -> Tracked:
    """Give the one keeping that XBO is to end, as a mirror knows it."""
    owed = duties_of(mirror, AGREEMENT, shared.world.clock.now_ms()).of("XBO")
    (found,) = [one for one in owed if one.duty.kind is DutyKind.END_KEEPING]
    return found


async def under_umbrella(shared: Shared) -> Treaty:
    """Bring an umbrella and the arrangement into force; gives the umbrella."""
    above = Treaty(shared.world, as_umbrella(shared.treaty.text), shared.treaty.officers, agreement_id=UMBRELLA)
    await above.into_force()
    shared.treaty.text = arranged(shared.treaty.text, above.text)
    await shared.treaty.into_force()
    return above


async def test_the_ledger_tells_of_a_keeping_that_the_umbrella_ends(tmp_path):
    async with sharing(tmp_path, into_force=False) as shared:
        await under_umbrella(shared)
        officers, broker = await Officers(shared).accredit(), shared.world.broker
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            receipt = await sender.send(report(), agreement=AGREEMENT)
            await answering(reader)
            await broker.monitor.look()
            assert await officers.told(DutyKind.END_KEEPING) == []
            shared.world.clock.committed(wall_ms() + 61 * MINUTE)
            await broker.monitor.look()
            assert await officers.told(DutyKind.END_KEEPING) == [("DUTY_OVERDUE", "end-keeping", "XBO")]
            owed = keeping(await refreshed(reader, broker), shared)
            assert (owed.duty.clause_id, owed.state) == (f"{UMBRELLA}/40", DutyState.OVERDUE)
            security, liaison = (officers.held(shared.world.xbo, name) for name in ("security1", "liaison1"))
            named = {"reports": (receipt.report_id.hex,), "leaves": (receipt.leaf.hex(),), "originator": "XAR"}
            await officers.take(ActKind.CERTIFY, security, liaison, **named)
            await broker.monitor.look()
            told = await officers.told(DutyKind.END_KEEPING)
            assert told == [("DUTY_OVERDUE", "end-keeping", "XBO"), ("DUTY_DONE", "end-keeping", "XBO")]
            assert keeping(await refreshed(sender, broker), shared).state is DutyState.DONE


async def test_the_ledger_looks_at_what_is_kept_when_a_version_shortens_it(tmp_path):
    async with sharing(tmp_path) as shared:
        broker, clock, officers = shared.world.broker, shared.world.clock, Officers(shared)
        async with shared.node("XAR") as sender, shared.node("XBO") as reader:
            await sender.send(report(), agreement=AGREEMENT)
            await answering(reader)
            await broker.monitor.look()
            before = shared.treaty.text
            shorter = re.sub(rb"longest = \{[^}]*\}", b"longest = { hours = 1 }", before)
            assert shorter != before
            await shared.treaty.amend(amended(shorter, of=before, applies_to="held-if-stricter"))
            clock.committed(wall_ms() + 61 * MINUTE)
            await broker.monitor.look()
            assert await officers.told(DutyKind.END_KEEPING) == [("DUTY_OVERDUE", "end-keeping", "XBO")]
            assert keeping(await refreshed(sender, broker), shared).state is DutyState.OVERDUE


async def test_a_suspended_umbrella_stops_a_sender_though_the_arrangements_log_is_not_told(tmp_path):
    """A node whose view of the arrangement's log does not name the umbrella's step counts it a moment later all the same."""
    async with sharing(tmp_path, into_force=False) as shared:
        above, clock = await under_umbrella(shared), shared.world.clock
        async with shared.node("XAR", now_ms=clock.now_ms) as sender:
            await above.take(StepKind.SUSPEND, shared.world.xbo, reason="consultations")
            await sender.mirror.refresh(sender._connections[0], {UMBRELLA})
            assert sender.preview(report(), agreement=AGREEMENT).permitted
            clock.committed(clock.now_ms() + ORDER_MS + 2000)
            assert not sender.preview(report(), agreement=AGREEMENT).permitted
