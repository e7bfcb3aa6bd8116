"""What was taken back is remembered through restarts, by whichever process, and only for the report and party it names."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from comity.node.taken_back import KEPT_AFTER_EXPIRY_MS, How, TakenBack, TakenBackReports
from comity_broker.dispatch.checking import TAKEN_BACK, Suspension, judge
from comity_broker.storage.protocol import HoldingRow, HoldingState, ReportRow

NAMES = st.tuples(
    st.sampled_from((b"1" * 16, b"2" * 16)), st.sampled_from((b"a" * 48, b"b" * 48)), st.sampled_from(("XAR", "XBO"))
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 1), NAMES, st.sampled_from(How), st.integers(1, 100)),
        st.tuples(st.just("reopen"), st.integers(0, 1)),
        st.tuples(st.just("expire"), st.integers(0, 1), st.integers(0, 120)),
    ),
    max_size=20,
)


@given(STEPS)
@settings(max_examples=80, deadline=None)
def test_two_processes_and_a_dictionary_agree(steps):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "taken-back.sqlite"
        stores = [TakenBackReports(path), TakenBackReports(path)]
        model: dict[tuple[bytes, bytes, str], tuple[How, int]] = {}
        for number, (what, which, *given_) in enumerate(steps):
            if what == "add":
                (report, leaf, party), how, expires_at = given_
                stores[which].look()
                stores[which].add(TakenBack(report, leaf, party, how, number.to_bytes(16), "A", 1, expires_at))
                if model.get((report, leaf, party), (None, 0))[0] is not How.RECALLED:
                    model[report, leaf, party] = how, expires_at
            elif what == "reopen":
                stores[which].close()
                stores[which] = TakenBackReports(path)
            else:
                stores[which].drop_expired(KEPT_AFTER_EXPIRY_MS + given_[0])
                model = {name: one for name, one in model.items() if one[1] > given_[0]}
        for store in stores:
            store.look()
            for report in (b"1" * 16, b"2" * 16):
                for leaf in (b"a" * 48, b"b" * 48):
                    for party in ("XAR", "XBO", "XDE"):
                        found = store.find(report, leaf, party)
                        expected = model.get((report, leaf, party))
                        assert (None if found is None else (found.how, found.expires_at)) == expected
            store.close()


@given(
    words=st.dictionaries(st.integers(0, 7), st.sampled_from(HoldingState)),
    slots=st.integers(1, 255),
    denied=st.integers(0, 255),
    held=st.integers(0, 255),
    times=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=8, max_size=8),
)
def test_what_was_taken_back_is_never_handed_over_held_or_waited_for(words, slots, denied, held, times):
    reports = {
        slot: ReportRow(bytes(16), bytes(48), 1, slot, 1, 1, 1, not_before, expires_at, 1)
        for slot, (not_before, expires_at) in enumerate(times)
    }
    rows = {slot: HoldingRow(1, slot, state, 5) for slot, state in words.items()}
    verdicts = judge(slots, reports, 2, denied=denied, suspensions=[Suspension(3, held)], words=rows)
    taken = {slot for slot, state in words.items() if state in TAKEN_BACK}
    for slot in range(8):
        if slot in taken:
            assert not verdicts.hand >> slot & 1
            assert not verdicts.expired >> slot & 1
            assert slot not in verdicts.hold
        else:
            assert slot not in verdicts.taken_back
    if not verdicts.until_ms:
        assert set(verdicts.taken_back) == {slot for slot in taken if slots >> slot & 1}
