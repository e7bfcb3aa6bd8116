"""The example in the docstring of every module about markings runs as it stands."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest

from comity import portion
from comity_policy import banner, grading, groups, iep, marking, stanag4774, timestamps, tlp, xml_elements

MODULES = (banner, grading, groups, iep, marking, portion, stanag4774, timestamps, tlp, xml_elements)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_example_of_a_module_runs(module: ModuleType) -> None:
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed
