"""Every attack on an envelope that needs no broker state is refused for precisely its reason."""

from __future__ import annotations

import pytest

from builders_envelope_attacks import ATTACKS, Attack, honest, observe
from comity.envelope.open import OUTCOMES
from comity.envelope.reasons import RejectReason


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_is_refused_for_precisely_its_reason(attack: Attack) -> None:
    assert attack.run() == (attack.reason, attack.outcome)


def test_the_envelope_that_attacks_start_from_opens() -> None:
    assert observe(honest) == ("accepted: OpenedReport", None)


def test_every_reason_has_an_attack() -> None:
    assert {attack.reason for attack in ATTACKS} == set(RejectReason)


def test_every_reason_that_opening_can_give_has_an_outcome() -> None:
    opened = {attack.reason: attack.outcome for attack in ATTACKS if attack.outcome is not None}
    assert opened == OUTCOMES
