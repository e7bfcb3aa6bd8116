"""Whatever a broker writes of an umbrella: the places only go forward, and each judges exactly what stands after it."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from builders_audit import begun_audit
from comity.errors import NotFoundError, VerificationError
from comity.node.agreement_texts import text_of
from comity.node.agreement_umbrella import UmbrellaPlaces
from comity.node.agreements import AgreementFold
from comity.node.logs import LogPin
from comity_policy.sections import Under

NAME = "XAR-XBO-GSA"
ORIGIN = f"hub.xar.example/agreement/{NAME}/{'00' * 16}"
SIZE = 12


def _nothing(name):
    raise NotFoundError(name)


def _umbrella():
    text = begun_audit().text.decode().replace('"XAR-XBO-1"', f'"{NAME}"', 1)
    head, *clauses = text.replace('kind = "agreement"', 'kind = "umbrella"', 1).split("[[clause]]")
    kept = [one for one in clauses if 'kind = "scope"' not in one]
    first = text_of(NAME, "[[clause]]".join([head, *kept]).encode())
    fold = AgreementFold.begun(first, "XAR", LogPin(ORIGIN, ("a", "b")), _nothing)
    fold.taken = SIZE
    return fold


UMBRELLA = _umbrella()


@given(named=st.lists(st.integers(0, 2 * SIZE), max_size=20), before=st.integers(0, 40))
def test_places_only_go_forward_and_the_last_before_an_entry_counts(named, before):
    places = UmbrellaPlaces("XAR-XBO-1", Under(NAME, f"sha384:{UMBRELLA.first.digest}"), lambda _: UMBRELLA)
    taken = []
    for log_index, index in enumerate(named, start=1):
        with contextlib.suppress(VerificationError):
            places.take(log_index, NAME, ORIGIN, index)
            taken.append((log_index, index))
    indices = [index for _, index in taken]
    assert indices == sorted(set(indices))
    assert all(index < SIZE for index in indices)
    found = places.at(before, 0)
    expected = [index for log_index, index in taken if log_index < before]
    assert (found.log_index if found is not None else None) == (expected[-1] if expected else None)
