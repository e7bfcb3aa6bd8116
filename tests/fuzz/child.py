"""One target under atheris, in a process of its own: `python tests/fuzz/child.py MODULE NAME FOLDER SECONDS`.

FOLDER keeps what was found to lead further (`corpus`) from one run to the next, and inputs that are findings (`findings`).
libFuzzer bounds each input in time and the process in memory, and says so by the file name: crash-, timeout-, oom-.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from pathlib import Path
from random import Random

import atheris

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

INPUT_SECONDS = 20
MEMORY_MB = 2048
_MIXED = 0.5


def main() -> None:
    """Fuzz one target; libFuzzer ends the process, with 0 or, at a finding, another code."""
    module, name, folder, seconds = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    with atheris.instrument_imports(include=["comity", "comity_policy", "comity_broker"]):
        from fuzz.all_targets import targets_of

        target = next(one for one in targets_of(module) if one.name == name)
        seeds = [bytes(one) for one in target.seeds()]
    from fuzz.mutate import mutated
    from fuzz.target import attempt

    corpus, findings = folder / "corpus", folder / "findings"
    for made in (corpus, findings):
        made.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:32]).write_bytes(seed)
    for old in findings.iterdir():
        old.unlink()

    def one_input(data: bytes) -> None:
        try:
            attempt(target, data)
        except BaseException:
            (findings / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
            raise

    def mutator(data: bytes, longest: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < _MIXED:
            return atheris.Mutate(data, longest)
        return mutated(data, random.choice(seeds), random, longest)

    options = [
        f"-max_total_time={seconds}",
        f"-max_len={target.longest}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        "-verbosity=1",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *options], one_input, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
