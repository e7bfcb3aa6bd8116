"""Windows of quotas as a replay works them out, against the broker's own tally over whatever segments come when."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from builders_replay_facts import DAY, NOTHING, QUOTA, FactsLog, Report
from comity.node.replaying import IDENTICAL
from comity_broker.quotas import Count, QuotaRule, Tally
from comity_broker.storage.protocol import QuotaKey, QuotaRow
from comity_policy.clauses.handling import Window
from comity_policy.facts import Usage
from comity_policy.recorded import What

# What clause 25 of `builders_every_kind` says.
REPORTS, BYTES = 200, 1_000_000
RULE = QuotaRule(QUOTA, "XAR", "XBO", Window.DAY)
SIZES = st.integers(1, 1_200_000) | st.integers(1, 200_000)
SEGMENTS = st.lists(
    st.tuples(st.sampled_from((0, 1, DAY // 3, DAY)), st.lists(SIZES, min_size=1, max_size=5)), min_size=1, max_size=6
)


def fits(held: Usage, size: int) -> bool:
    return held.reports < REPORTS and held.size + size <= BYTES


def settled(tally: Tally, sizes: list[int]) -> list[Usage]:
    """Give what each report's decision knows of the window, and reserve what is admitted, as the broker settles a segment."""
    counts = {slot: Count(frozenset({"XBO"}), size) for slot, size in enumerate(sizes) if fits(NOTHING, size)}
    entire = tally.with_all(Counter(counts.values()))
    held = [tally.without(entire, counts[slot]) if slot in counts else entire for slot in range(len(sizes))]
    if all(fits(held[slot][QUOTA], sizes[slot]) for slot in counts):
        for one in counts.values():
            tally.reserve(*one)
        return [one[QUOTA] for one in held]
    found = []
    for size in sizes:
        found.append(tally.usage[QUOTA])
        if fits(found[-1], size):
            tally.reserve({"XBO"}, size)
    return found


def written(segments: list[tuple[int, list[int]]]) -> FactsLog:
    """Give the log that a broker writes of these segments, each so long after the one before."""
    log, rows = FactsLog(QUOTA), dict[QuotaKey, QuotaRow]()
    for waited, sizes in segments:
        log.at_ms += waited
        tally = Tally([RULE], [RULE.key(log.at_ms)], rows, log.at_ms)
        held = settled(tally, sizes)
        rows.update((row[:5], row) for row in tally.reserved)
        log.submit(*(Report(size, one) for size, one in zip(sizes, held, strict=True)))
    return log


@settings(max_examples=40, deadline=None)
@given(SEGMENTS)
def test_what_the_broker_counted_comes_out_the_same(segments: list[tuple[int, list[int]]]) -> None:
    for done in written(segments).replayed():
        assert (list(done.lines()), set(+done.counts())) == ([], {IDENTICAL})


@settings(max_examples=25, deadline=None)
@given(SEGMENTS, st.data())
def test_a_window_that_is_told_otherwise_is_never_the_same(
    segments: list[tuple[int, list[int]]], data: st.DataObject
) -> None:
    log = written(segments)
    places = [place for place, entry in enumerate(log.entries) if entry.kind.startswith("SUBMIT_")]
    place = data.draw(st.sampled_from(places))
    decisions = log.entries[place].own["XAR"]["decisions"]
    windows = data.draw(st.sampled_from(decisions))["moment"]["usage"]
    key = data.draw(st.sampled_from(("reports", "size")))
    known = {one["moment"]["usage"][0][key] for one in decisions}
    windows[0][key] = data.draw(st.integers(0, 1 << 40).filter(lambda value: value not in known))
    done = log.replayed()[places.index(place)]
    assert What.FACT in {difference.what for one in done.told for difference in one.differences}
