"""What a full store costs: the whole path with so many reports stored already, against an empty store in the same run.

Two worlds, each with a broker, a sender and a receiver. One is filled first; then both send rounds of the same size in turn, so that
neighbours on the machine move both alike. The value is the median of the rounds' ratios. A million reports take a while to store: the
default is less, `--stored 1000000` asks for all of them.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

from exchanging import WARM, exchanging, split_us
from results import PERCENT, Row, ratio

TARGET = 90.0
MILLION = 1_000_000


def million_stored(folder: Path, stored: int, reports: int, rounds: int) -> dict[str, Row]:
    """Measure rounds of so many reports each beside so many stored."""
    words, warm = [str(reports)] * rounds, min(WARM, reports)
    with (
        exchanging(folder / "empty", words, warm=warm) as empty,
        exchanging(folder / "full", [str(stored), *words], warm=warm) as full,
    ):
        filling = full.round()
        pairs = [(empty.round(), full.round()) for _ in range(rounds)]
    fresh, beside = [one for one, _ in pairs], [one for _, one in pairs]
    rates = {"empty": median(one.rate for one in fresh), "full": median(one.rate for one in beside)}
    share = median(after.rate / before.rate for before, after in pairs)
    context: dict[str, object] = {
        "stored": stored,
        "reports": reports,
        "rounds": rounds,
        "reports_a_second": {name: round(rate, 1) for name, rate in rates.items()},
        "filled_at": round(filling.rate, 1),
        "cpu_us_empty": split_us(fresh),
        "cpu_us_full": split_us(beside),
        "peak_mib": beside[-1].peak_mib,
    }
    if stored < MILLION:
        context["not_the_whole"] = f"the target speaks of {MILLION:,} stored: --stored {MILLION}"
    return {"million_stored": Row(100 * share, PERCENT, TARGET, context | ratio(share, "an empty store", 1.0))}
