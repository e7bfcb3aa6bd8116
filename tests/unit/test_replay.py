"""Replay: every decision of a log comes out the same, and what was changed is named."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from builders_replay import (
    MixedLog,
    bundle,
    changed,
    differences,
    digest,
    document,
    first_index,
    later,
    logged,
    one_decision,
    passing,
    passing_entry,
    read_again,
    replayed,
    replayed_bundle,
    text,
)
from comity.envelope.evidence import SlotCode
from comity.envelope.vocabularies import vocabularies_digest
from comity.errors import VerificationError
from comity.node.decision_records import Evidence
from comity.node.logged_entries import LoggedEntry
from comity.node.logged_texts import Texts
from comity.verify.records import FormError
from comity_policy.clauses import Ceiling
from comity_policy.decision import ENGINE, ReportDecision, Violation
from comity_policy.document import load
from comity_policy.facts import AgreementState
from comity_policy.recorded import Folded, Under, What
from comity_policy.replay import Replayer
from comity_policy.vocabulary import bundled


def test_ten_thousand_mixed_decisions_come_out_the_same():
    log = MixedLog.of(segments=100, seed=1)
    counts = Counter[str]()
    reasons: set[str] = set()
    permitted = 0
    for entry, done in zip(log.entries, log.replay(), strict=True):
        assert list(done.lines()) == []
        counts.update(done.counts())
        for decision in entry.own["XAR"]["decisions"]:
            permitted += sum(last - first + 1 for first, last in decision["slots"]) * any(
                one["portions"] for one in decision["recipients"]
            )
            reasons |= {one["clause"] for each in decision["recipients"] for one in each["violations"]}
    assert counts["decisions identical"] == 10_000
    assert +counts == Counter({"decisions identical": 10_000})
    # The run is mixed: neither side of the answer stands alone, and many clauses refuse.
    assert 2_000 < permitted < 8_000
    assert len(reasons) >= 8


def test_a_text_of_which_one_byte_was_changed_is_one_that_was_not_presented():
    done = replayed(passing_entry(), Texts([text() + b"\n"]))
    assert +done.counts() == Counter({"decisions not replayed": 1})
    named = f"text: the text sha384:{digest().hex()[:16]}... that was decided by"
    assert any(named in line for line in done.gaps())


def test_another_vocabulary_is_named():
    held = bundled()
    other = replace(held, digests={**held.digests, "categories": "sha384:" + "0" * 96})
    done = replayed(passing_entry(), Texts([text()], other))
    assert differences(done) == {What.VOCABULARY}
    assert "categories: held here is another version" in " ".join(done.lines())


def test_another_engine_is_named():
    done = replayed(changed(passing_entry(), "shared", lambda said: said.update(engine="comity-policy/0")))
    assert differences(done) == {What.ENGINE}


def facts_of(own: dict[str, Any]) -> dict[str, Any]:
    return own["attested"][own["decisions"][0]["recipients"][0]["facts"]]


FACTS = {
    "accreditation_level": (lambda own: facts_of(own).update(accreditation_level="UNCLASSIFIED"), "accreditation"),
    "accreditation_until": (lambda own: facts_of(own).update(accreditation_until=1), "accreditation"),
    "valid": (lambda own: facts_of(own).update(valid=False), "baseline/node"),
    "broker_region": (lambda own: own["decisions"][0]["moment"].update(broker_region="xde"), "xde"),
    "direct": (lambda own: own["decisions"][0]["moment"].update(direct=False), "baseline/onward"),
    "now": (lambda own: own["decisions"][0]["moment"].update(now=1), "baseline/times"),
    "log_available": (lambda own: own["decisions"][0]["moment"].update(key_log_age=10**12), "clause"),
    "portions": (lambda own: own["decisions"][0]["recipients"][0].update(portions=[]), "was refused and is permitted"),
}


@pytest.mark.parametrize(("change", "named"), FACTS.values(), ids=FACTS.keys())
def test_a_changed_fact_is_named_with_its_clause(change, named):
    done = replayed(changed(passing_entry(), "XAR", change))
    assert differences(done) - {What.OUTCOME} == {What.FACT}
    assert named in " ".join(done.lines())


def test_another_profile_than_was_recorded_is_named():
    entry = passing_entry()
    other = replace(entry.manifests[0], profile=replace(entry.manifests[0].profile, statements_seen=7))
    assert differences(replayed(replace(entry, manifests={0: other}))) == {What.FACT}


def refused_entry() -> LoggedEntry:
    facts = passing()
    times = replace(facts.times, expires_at=facts.times.expires_at + 400 * 86_400_000)
    decision = one_decision(facts.profile, times, facts.node, facts.moment)
    assert not decision.result.permit
    return logged([decision], first_index(), 1, [(0, SlotCode.POLICY)])


def test_a_refused_report_is_replayed_from_what_the_log_keeps_for_its_originator():
    entry = refused_entry()
    assert replayed(entry).counts()["decisions identical"] == 1
    partner = replayed(replace(entry, own={"XBO": entry.own["XBO"]}))
    assert +partner.counts() == Counter({"decisions of reports that this party was not handed": 1})


def test_a_report_whose_manifest_was_not_presented_is_not_replayed():
    done = replayed(replace(passing_entry(), manifests={}))
    assert +done.counts() == Counter({"decisions not replayed": 1})


def test_times_that_were_changed_are_named():
    entry = changed(refused_entry(), "XAR", lambda own: own["decisions"][0]["times"][0].__setitem__(2, 10**13))
    facts = passing()
    both = replace(entry, manifests={0: Evidence(bytes(48), facts.profile, facts.times)})
    assert differences(replayed(both)) == {What.FACT}
    assert "other times" in " ".join(replayed(both).lines())


# state


def test_a_bundle_is_replayed_with_the_state_that_its_own_steps_amount_to(tmp_path):
    (done,) = replayed_bundle(bundle(tmp_path))
    assert done.counts()["decisions identical"] == 3


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"suspended_clauses": ["3.1"]}, "suspended_clauses 3.1, by the log's steps none"),
        ({"in_force": False, "reason": "SUSPENDED"}, "in_force no, by the log's steps yes"),
        ({"unbound": ["XBO"]}, "unbound XBO, by the log's steps none"),
    ],
)
def test_a_state_that_the_steps_of_the_log_do_not_amount_to_is_named(tmp_path, state, words):
    (done,) = replayed_bundle(bundle(tmp_path, **state))
    assert What.STATE in differences(done)
    assert words in " ".join(done.lines())


def test_a_caveat_that_is_not_in_force_by_the_steps_is_named(tmp_path):
    other = {"party": "XBO", "id": "C9", "digest": "ab" * 48}
    (done,) = replayed_bundle(bundle(tmp_path, under={"caveats": [other]}))
    assert What.CAVEAT in differences(done)
    assert "XBO/C9: decided by, and not in force by the log's steps" in " ".join(done.lines())


def test_a_caveat_in_force_that_was_not_decided_by_is_named():
    folded = Folded(digest(), AgreementState(in_force=True), frozenset({("XAR", "C1", bytes(48))}))
    vocabularies = vocabularies_digest(bundled().digests)
    made_under = Under(ENGINE, digest(), vocabularies, AgreementState(in_force=True), folded=folded)
    made = Replayer(MixedLog().texts().held())._under(made_under)
    assert [one.what for one in made.differences] == [What.CAVEAT]


def test_a_decision_by_another_text_than_the_one_that_governs_is_named(tmp_path):
    (done,) = replayed_bundle(bundle(tmp_path, agreement_digest="ab" * 48))
    assert What.AGREEMENT in differences(done)
    assert "governs by the log's steps" in " ".join(done.lines())


def test_a_decision_under_a_suspended_clause_is_replayed_in_that_state():
    log = MixedLog.of(segments=1, seed=3, state=AgreementState(in_force=True, suspended_clauses=frozenset({"6"})))
    (done,) = log.replay()
    assert list(done.lines()) == []


# what another text would have changed


def without_ceiling():
    return replace(document(), clauses=tuple(one for one in document().clauses if not isinstance(one, Ceiling)))


def test_a_draft_says_what_it_would_have_permitted_and_refused():
    log = MixedLog.of(segments=2, seed=5)
    for draft, permits in ((without_ceiling(), True), (stricter(), False)):
        changes = [one for done in log.replay(draft=draft) for one in done.changes]
        assert changes
        assert {one.permits for one in changes} == {permits}
        assert {clause for one in changes for clause in one.clauses} == ({"4"} if permits else {"6"})
    assert [one for done in log.replay(draft=document()) for one in done.changes] == []


def stricter():
    words = text().replace(b'purposes = ["counter-terrorism", "threat-to-life"]', b'purposes = ["threat-to-life"]')
    assert words != text()
    return load(words)


# what a hostile record says


def decided(own: dict[str, Any]) -> dict[str, Any]:
    return own["decisions"][0]


UNREADABLE = {
    "a fact is missing": lambda own: decided(own)["moment"].pop("direct"),
    "a fact of a wrong type": lambda own: decided(own)["moment"].update(now="yesterday"),
    "an unknown key": lambda own: decided(own).update(hidden=1),
}
HOSTILE = {
    "an unknown role": lambda own: decided(own)["moment"].update(sender_roles=["emperor"]),
    "an unknown reason": lambda own: decided(own)["recipients"][0].update(
        violations=[{"clause": "4", "reason": "BECAUSE", "portions": [0]}]
    ),
    "a portion that there is not": lambda own: decided(own)["recipients"][0].update(portions=[7]),
    "portions that do not ascend": lambda own: decided(own)["recipients"][0].update(portions=[0, 0]),
    "slots that do not ascend": lambda own: decided(own).update(slots=[[3, 2]]),
    "very many slots": lambda own: decided(own).update(slots=[[0, 10**9]]),
    "facts that are not there": lambda own: decided(own)["recipients"][0].update(facts=1),
    "no slot": lambda own: decided(own).update(slots=[]),
    "a profile that is none": lambda own: decided(own).update(content="00" * 20, times=[[1, 2, 3]]),
    "a recipient named twice": lambda own: decided(own).update(recipients=decided(own)["recipients"] * 2),
    "a quota named twice": lambda own: decided(own)["moment"].update(
        usage=[{"clause": "9", "reports": 1, "size": 1}] * 2
    ),
}


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_record_of_another_form_is_refused_where_its_body_is_read(change):
    with pytest.raises(FormError, match="decisions not of the shape declared"):
        read_again(changed(passing_entry(), "XAR", change))


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_record_is_refused_with_its_entry(change):
    with pytest.raises(VerificationError, match=f"entry {first_index()}: "):
        replayed(changed(passing_entry(), "XAR", change))


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.pop("under"),
        lambda said: said["under"].update(vocabularies="00"),
        lambda said: said["under"].update(umbrella="XAR-GSA-1"),
        lambda said: said["under"].update(caveats=[{"party": "XAR", "id": "A", "digest": "00" * 48}] * 2),
        lambda said: said["under"]["state"].pop("unbound"),
    ],
)
def test_what_decisions_were_made_under_is_checked_as_well(change):
    with pytest.raises(VerificationError, match=f"entry {first_index()}: "):
        replayed(changed(passing_entry(), "shared", change))


def test_times_that_no_report_can_have_are_refused():
    for times in ([[1, 2]], [[3, 2, 1]], [], [[1, 2, 3]] * 2):
        with pytest.raises(VerificationError):
            replayed(changed(refused_entry(), "XAR", lambda own, times=times: decided(own).update(times=times)))


def test_the_reference_interpreter_is_asked_and_a_disagreement_named(monkeypatch):
    from comity_policy import reference

    monkeypatch.setattr(
        reference,
        "decide_report",
        lambda *_given, **_named: ReportDecision(False, {}, {("XBO", "n", 0): (Violation("4", "DENIED"),)}),
    )
    assert differences(replayed(passing_entry())) == {What.REFERENCE}


def test_every_report_is_decided_with_its_own_times():
    facts = passing()
    long = later(facts.times, 400 * 86_400_000)
    one = one_decision(facts.profile, facts.times, facts.node, facts.moment)
    two = replace(one, slots=[0, 1], times=[facts.times, long])
    manifests = {slot: Evidence(bytes(48), facts.profile, times) for slot, times in enumerate(two.times)}
    done = replayed(logged([two], first_index(), 2, manifests=manifests))
    assert [(told.slot, told.verdict.value) for told in done.told] == [(0, "identical"), (1, "different")]
