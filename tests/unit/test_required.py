"""A thing that is not here is reported in one line, and fails the run where COMITY_REQUIRE names it."""

import pytest

from required import require


def test_what_is_here_lets_the_test_go_on(monkeypatch):
    monkeypatch.setenv("COMITY_REQUIRE", "postgres")
    require("postgres", available=True, what_to_do="start it")


def test_what_is_absent_is_skipped_with_a_line_that_says_what_to_do(monkeypatch):
    monkeypatch.delenv("COMITY_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^postgres is not here: start it$"):
        require("postgres", available=False, what_to_do="start it")


def test_what_is_absent_fails_the_run_where_it_is_required(monkeypatch):
    monkeypatch.setenv("COMITY_REQUIRE", "systemd,postgres")
    with pytest.raises(pytest.fail.Exception, match="COMITY_REQUIRE names it"):
        require("postgres", available=False, what_to_do="start it")
