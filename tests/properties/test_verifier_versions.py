"""Which version governs, as the verifier reads it off the steps, against the fold: never a false alarm, and no other text passes."""

from __future__ import annotations

import pytest
from hypothesis import settings

from builders_histories_machine import Histories
from comity.verify.records import FormError
from comity.verify.steps import Versions
from comity_policy.document import Document
from comity_policy.lifecycle import Step

HISTORIES = 600 if settings().max_examples > 1_000 else 60


def as_read(document: Document) -> dict:
    """Give what a text says of its parties, its entry into force and what it amends, as TOML gives it."""
    entry = document.entry_into_force
    said = {"rule": entry.rule.value, "zone": entry.zone, "minimum": entry.minimum, "at": entry.at}
    if entry.offset is not None:
        said["offset"] = {
            name: value for name in ("days", "first_day_of_month") if (value := getattr(entry.offset, name)) is not None
        }
    amends = {} if document.amends is None else {"amends": {"digest": document.amends.digest}}
    return {
        "entry_into_force": {name: value for name, value in said.items() if value is not None},
        "parties": dict.fromkeys(document.parties),
        **amends,
    }


class Governed(Histories):
    """The same histories, with what the verifier makes of each step."""

    def check_state(self):
        super().check_state()
        if not hasattr(self, "versions"):
            self.versions, self.seen = Versions(), 0
        for step in self.log[self.seen :]:
            self.take(step)
        self.seen = len(self.log)
        self.check_governing()

    def take(self, step: Step) -> None:
        document = self.every_text().get(step.agreement_digest)
        word = step.kind.value.removeprefix("agreement-")
        said = None if document is None else as_read(document)
        self.versions.take(word, step.to_body(), step.digest, step.at_ms, said)

    def check_governing(self) -> None:
        state, in_force = self.state, self.state.policy().in_force
        if not state.proposed:
            return
        self.versions.check(state.current.digest, self.now, self.now, in_force=in_force)
        assert self.versions.opened(state.current.digest) or not state.open_logs
        if state.governed == state.versions[:1]:
            signers = frozenset().union(*state.log_signed.values())
            assert self.versions.opened(state.current.digest) is state.enough(signers)
        if state.departures:
            # Whom a notice still binds the verifier does not follow: it then passes more than governs.
            return
        earlier = state.governed[:-1] if in_force else ()
        for version in (*earlier, *([] if state.pending is None else [state.pending])):
            with pytest.raises(FormError):
                self.versions.check(version.digest, self.now, self.now, in_force=in_force)


Governed.TestCase.settings = settings(max_examples=HISTORIES, stateful_step_count=25, deadline=None)
TestGoverned = Governed.TestCase
